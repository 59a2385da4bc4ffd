// The server's accounts and limits on every engine and with each driver: one contract.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, describe, type TestContext, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { createDaypass } from 'daypass'
import { type AccountStore, openAccountsFirst } from '../../server/src/account-store.ts'
import { openForIssuer } from '../../server/src/issuer.ts'
import { openStores } from '../../server/src/stores.ts'
import { type MongoEngine, noMongo, startMongo } from '../engines/mongodb.ts'
import { type MysqlEngine, noMysql, startMysql } from '../engines/mysql.ts'
import { type PostgresEngine, startPostgres } from '../engines/postgres.ts'
import { type RedisEngine, redisMissing, startRedis, startRedisCluster } from '../engines/redis.ts'
import { temporaryFolder } from '../stores/harness.ts'
import { openWithout } from './open-without.ts'

const newAccount = () => {
  const id = randomBytes(8).toString('hex')
  return { id, email: `zoë{${id}}@b.c`, passwordHash: 'hash', createdAt: Date.now() }
}

async function checkStores(t: TestContext, url: string, hidden: string[] = []): Promise<void> {
  const instances = await Promise.all(Array.from({ length: 4 }, () => openWithout(hidden, () => openStores(url))))
  const { accounts, sessions, createLimiter } = instances[0]!
  t.after(() => Promise.all(instances.map((stores) => stores.close())))
  const auth = createDaypass({ secret: randomBytes(32), issuer: 'https://one.test', store: sessions })

  // All at the same time on an empty database, together with the sessions.
  await Promise.all([auth.issue('ada'), ...instances.map((stores) => stores.accounts.open())])
  const account = newAccount()
  assert.equal(await accounts.findByEmail(account.email), null)
  assert.equal(await accounts.findById(account.id), null)
  assert.equal(await accounts.create(account), true)
  assert.equal(await accounts.create({ ...account, id: 'another' }), false)
  assert.equal(await accounts.findById('another'), null)
  assert.deepEqual(await accounts.findByEmail(account.email), account)
  assert.deepEqual(await accounts.findById(account.id), account)

  const rivals = Array.from({ length: 20 }, () => ({ ...newAccount(), email: `rival-${account.email}` }))
  const made = await Promise.all(rivals.map((rival, n) => instances[n % 4]!.accounts.create(rival)))
  assert.equal(made.filter(Boolean).length, 1)
  assert.deepEqual(await accounts.findByEmail(rivals[0]!.email), rivals[made.indexOf(true)])

  assert.equal(await accounts.setPassword(account.id, 'not its hash', 'x'), false)
  assert.equal(await accounts.setPassword('nobody', 'hash', 'x'), false)
  const changes = await Promise.all(
    ['a', 'b', 'c', 'd'].map((to, n) => instances[n]!.accounts.setPassword(account.id, 'hash', to)),
  )
  assert.equal(changes.filter(Boolean).length, 1, 'of changes at once one is done')
  assert.equal((await accounts.findById(account.id))!.passwordHash, 'abcd'[changes.indexOf(true)])

  const unused = () => assert.fail('the database responds')
  const two = { issuer: 'https://two.test', port: 3000 }
  await assert.rejects(openForIssuer(sessions, two, unused), {
    code: 'ERR_OPTION_INVALID',
    message: /^DAYPASS_ISSUER is https:\/\/two\.test, .* belong to https:\/\/one\.test\..* DAYPASS_PREFIX=/,
  })
  const other = await openWithout(hidden, () => openStores(url, undefined, 'daypass2'))
  t.after(() => other.close())
  assert.equal(await openForIssuer(other.sessions, two, unused), two.issuer)
  assert.equal((await other.accounts.findById(account.id))?.email, account.email, 'the accounts are the same')
  assert.deepEqual(await other.sessions.list('ada', Date.now(), 9), [], 'the sessions are not')

  const limiter = createLimiter({ keyPrefix: `test${randomBytes(4).toString('hex')}`, points: 5, duration: 2 })
  // SecantusDB sometimes responds with null to an upsert while another one inserts the row. MongoDB does not.
  const isFirstAlone = url.startsWith('mongodb:') && process.env.MONGODB_URL === undefined
  const first = isFirstAlone ? [await limiter.penalty('k')] : []
  const others = await Promise.all(Array.from({ length: 20 - first.length }, () => limiter.penalty('k')))
  const counted = [...first, ...others]
  assert.deepEqual(
    counted.map(({ consumedPoints }) => consumedPoints).sort((a, b) => a - b),
    Array.from({ length: 20 }, (_, n) => n + 1),
  )
  const state = (await limiter.get('k'))!
  assert.equal(state.consumedPoints, 20)
  assert.ok(state.msBeforeNext > 0 && state.msBeforeNext <= 2000)
  assert.equal((await limiter.reward('k')).consumedPoints, 19)
  await limiter.penalty('other')
  await limiter.delete('other')
  assert.equal(await limiter.get('other'), null)
  while ((await limiter.get('k')) !== null) await delay(50)
  assert.equal((await limiter.penalty('k')).consumedPoints, 1, 'a new window')
}

test('sqlite:', async (t) => {
  const folder = temporaryFolder()
  t.after(folder.remove)
  await checkStores(t, `sqlite:${folder.path}/app.db`)
})

describe('postgres:', () => {
  let engine: PostgresEngine
  before(async () => {
    engine = await startPostgres()
  })
  after(() => engine.remove())
  test('through pg', async (t) => checkStores(t, await engine.database()))
  test('through postgres', async (t) => checkStores(t, await engine.database(), ['pg']))
})

describe('mysql:', { skip: noMysql }, () => {
  let engine: MysqlEngine
  before(async () => {
    engine = await startMysql()
  })
  after(() => engine.remove())
  test('through mysql2', async (t) => checkStores(t, await engine.database()))
})

describe('redis:', { skip: redisMissing }, () => {
  let engine: RedisEngine
  let cluster: RedisEngine
  before(async () => {
    engine = await startRedis()
    cluster = await startRedisCluster()
  })
  after(() => Promise.all([engine.remove(), cluster.remove()]))
  for (const [driver, hidden] of Object.entries({ redis: 'ioredis', ioredis: 'redis' })) {
    test(`one server, through ${driver}`, (t) => checkStores(t, engine.url, [hidden]))
    test(`a Cluster, through ${driver}`, (t) => checkStores(t, cluster.url, [hidden]))
  }
})

describe('mongodb:', { skip: noMongo }, () => {
  let engine: MongoEngine
  before(async () => {
    engine = await startMongo()
  })
  after(() => engine.remove())
  test('through mongodb', async (t) => {
    const url = new URL(engine.url)
    url.pathname = `/${engine.database()}`
    await checkStores(t, url.href)
  })
})

test('accounts are opened once before their first calls, and again if opening failed', async () => {
  let opened = 0
  let isAway = true
  const account = newAccount()
  const store = {
    async open() {
      opened++
      if (isAway) throw new Error('away')
    },
    findById: async () => account,
  } as unknown as AccountStore
  const accounts = openAccountsFirst(store)
  await assert.rejects(accounts.findById('1'), /away/)
  assert.equal(opened, 1)
  isAway = false
  const found = await Promise.all(Array.from({ length: 10 }, () => accounts.findById('1')))
  assert.equal(found.length, 10)
  await accounts.findById('1')
  assert.equal(opened, 2)
})
