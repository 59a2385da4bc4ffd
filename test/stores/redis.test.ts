// Does the Redis store keep the contract on real servers, alone and in a Cluster, through both client libraries?

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, describe, test } from 'node:test'
import type { AccountStore } from '../../src/server/account-store.ts'
import { createRedisAccounts } from '../../src/server/accounts-redis.ts'
import { storeContract } from '../../src/testing/index.ts'
import {
  connect,
  givenRedis,
  type RedisEngine,
  redisHarness,
  redisMissing,
  startRedis,
  startRedisCluster,
} from '../engines/redis.ts'

const skip = process.env.REDIS_URL ? false : redisMissing
const single = skip ? undefined : await (process.env.REDIS_URL ? givenRedis(process.env.REDIS_URL) : startRedis())
const cluster = redisMissing ? undefined : await startRedisCluster()
after(() => Promise.all([single?.remove(), cluster?.remove()]))

const engines: [string, RedisEngine | undefined][] = [
  ['single', single],
  ['Cluster of 3 masters and 3 replicas', cluster],
]
for (const [name, engine] of engines) {
  for (const library of ['ioredis', 'node-redis'] as const) {
    describe(`Redis, ${name}, ${library}`, { skip: engine === undefined ? redisMissing : false }, () => {
      let failed = 0
      for (const rule of storeContract) {
        test(rule.name, async (t) => {
          failed++
          await rule.run({
            ...redisHarness(engine!, () => connect(engine!.url, library)),
            note: (line) => t.diagnostic(line),
          })
          failed--
        })
      }
      test('told at the end of the run', (t) => {
        if (failed === 0) t.diagnostic(`engine: Redis ${engine!.version} (${name}, ${library}): contract passed`)
      })
    })
  }
}

if (redisMissing) test('the engine that did not run is named', (t) => t.diagnostic(`engine: Redis ${redisMissing}`))

describe('accounts and limits in Redis', () => {
  for (const [name, engine] of engines) {
    for (const library of ['ioredis', 'node-redis'] as const) {
      test(`${name}, ${library}`, { skip: engine === undefined ? redisMissing : false }, async (t) => {
        const { client, close } = await connect(engine!.url, library)
        t.after(close)
        await checkAccounts(createRedisAccounts(client, `test-${randomBytes(6).toString('hex')}`))
      })
    }
  }
})

async function checkAccounts(accounts: AccountStore): Promise<void> {
  const account = { id: '1', email: 'zoë{a}@b.c', passwordHash: 'hash', createdAt: Date.now() }
  assert.equal(await accounts.findByEmail(account.email), null)
  assert.equal(await accounts.findById('1'), null)
  assert.equal(await accounts.create(account), true)
  assert.equal(await accounts.create({ ...account, id: '2' }), false)
  assert.equal(await accounts.findById('2'), null)
  assert.deepEqual(await accounts.findByEmail(account.email), account)
  assert.deepEqual(await accounts.findById('1'), account)
  await accounts.setPassword('1', 'other')
  await accounts.setPassword('2', 'of nobody')
  assert.equal((await accounts.findById('1'))?.passwordHash, 'other')
  const rivals = Array.from({ length: 20 }, (_, i) => ({ ...account, id: `r${i}`, email: 'rival@b.c' }))
  const made = await Promise.all(rivals.map((rival) => accounts.create(rival)))
  assert.equal(made.filter(Boolean).length, 1)
  const winner = rivals[made.indexOf(true)]!
  assert.deepEqual(await accounts.findByEmail('rival@b.c'), winner)
  const found = await Promise.all(rivals.map(({ id }) => accounts.findById(id)))
  assert.deepEqual(
    found.filter((each) => each !== null),
    [winner],
  )

  const now = Date.now()
  const tries = await Promise.all(Array.from({ length: 20 }, () => accounts.countTry('k', now, 60_000)))
  assert.deepEqual(
    tries.map((each) => each.tries).sort((a, b) => a - b),
    Array.from({ length: 20 }, (_, n) => n + 1),
  )
  assert.ok(tries.every(({ until }) => until === now + 60_000))
  assert.deepEqual(await accounts.countTry('k', now + 59_999, 60_000), { tries: 21, until: now + 60_000 })
  assert.deepEqual(await accounts.countTry('k', now + 60_000, 50), { tries: 1, until: now + 60_050 })
  await accounts.forgetTries('k')
  assert.equal((await accounts.countTry('k', now, 60_000)).tries, 1)
}
