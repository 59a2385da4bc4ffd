// Redis: commands that arrive after their deadline change nothing.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { createRedisStore } from '../../src/stores/redis.ts'
import { makeSession, makeStep } from '../../src/testing/store-harness.ts'
import { connect, redisMissing, startRedis, waitUntil } from '../engines/redis.ts'

const newPrefix = () => `test-${randomBytes(6).toString('hex')}`
const unavailable = { code: 'ERR_STORE_UNAVAILABLE' }

describe('late commands', { skip: redisMissing }, async () => {
  if (redisMissing) return
  const engine = await startRedis('--appendfsync', 'no')
  after(engine.remove)
  const server = engine.servers[0]!
  const admin = engine.admin as Redis

  for (const library of ['ioredis', 'node-redis'] as const) {
    test(`${library}: a sign-in, a refresh and sign-outs that a frozen server runs late change nothing`, async (t) => {
      const { client, close } = await connect(engine.url, library)
      t.after(close)
      const prefix = newPrefix()
      const store = createRedisStore(client, { prefix, timeout: 300 })
      const now = Date.now()
      const session = makeSession(now)
      await store.create(session)
      const fresh = makeSession(now, { subject: 'fresh' })
      server.freeze()
      try {
        await Promise.all(
          [
            store.create(fresh),
            store.advance(makeStep(session, now)),
            store.update(session.id, now, { label: 'late' }),
            store.revoke(session.id, now, 'sign-out'),
            store.revokeSubject(session.subject, now, 'sign-out'),
          ].map((call) => assert.rejects(call, unavailable)),
        )
        await delay(300)
      } finally {
        server.thaw()
      }
      await waitUntil(() => store.check().then(() => true))
      assert.equal(await store.find(fresh.id), null)
      assert.deepEqual(await store.list('fresh', now, 10), [])
      assert.equal(await admin.exists(`${prefix}:subject:{fresh}`), 0)
      const row = await store.find(session.id)
      assert.deepEqual([row?.generation, row?.revokedAt, row?.device], [0, null, {}])
      // The retry of each succeeds.
      await store.create(fresh)
      assert.equal((await store.revokeSubject('fresh', Date.now(), 'sign-out')).length, 1)
      assert.ok((await store.revokedSince(now)).some(({ id }) => id === fresh.id))
    })
  }

  test('ioredis, maxRetriesPerRequest null: commands whose caller is gone are not sent when the server returns', async (t) => {
    const own = await startRedis('--appendfsync', 'no')
    t.after(own.remove)
    const client = new Redis(own.url, { maxRetriesPerRequest: null, retryStrategy: () => 50 })
    client.on('error', () => {})
    t.after(() => client.disconnect())
    const prefix = newPrefix()
    const store = createRedisStore(client, { prefix, timeout: 200 })
    await store.check()
    await own.servers[0]!.kill()
    await waitUntil(async () => client.status !== 'ready')
    const calls = Array.from({ length: 50 }, () => assert.rejects(store.find('x'), unavailable))
    await Promise.all(calls)
    await own.servers[0]!.start()
    await waitUntil(() => store.check().then(() => true))
    const stats = await (own.admin as Redis).info('commandstats')
    const sent = [...stats.matchAll(/cmdstat_eval(?:sha)?:calls=(\d+)/g)].reduce(
      (sum, [, calls]) => sum + Number(calls),
      0,
    )
    assert.ok(sent < 25, `${sent} scripts arrived`)
  })
})
