// A Redis store rejects keys of another version, of another issuer and of the app before it writes.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, describe, test } from 'node:test'
import type { Redis } from 'ioredis'
import { createRedisStore } from '../../src/stores/redis.ts'
import { makeSession, makeStep, sameRow } from '../../src/testing/store-harness.ts'
import { connect, readKeys, redisMissing, startRedis, startRedisCluster } from '../engines/redis.ts'

const newPrefix = () => `test-${randomBytes(6).toString('hex')}`
const newer = { code: 'ERR_STORE_SCHEMA' }

/** The error names the taken key, and the option to change. */
const isTaken = (key: string) => (error: any) => {
  assert.equal(error.code, 'ERR_OPTION_INVALID')
  assert.ok(error.message.includes(`\`${key}\``) && error.message.includes('`prefix`'), error.message)
  return true
}

describe('versions, issuers and prefixes in Redis', { skip: redisMissing }, async () => {
  if (redisMissing) return
  const [engine, cluster] = await Promise.all([startRedis('--appendfsync', 'no'), startRedisCluster()])
  after(() => Promise.all([engine.remove(), cluster.remove()]))
  const admin = engine.admin as Redis
  const { client, close } = await connect(engine.url, 'ioredis')
  after(close)
  const dump = (prefix: string) => readKeys(admin, prefix).then((rows) => rows.map(String).sort())

  test('keys of a newer version are rejected unless their record allows this version', async () => {
    const prefix = newPrefix()
    await createRedisStore(client, { prefix }).open('a')
    const open = () => createRedisStore(client, { prefix }).open('a')
    await admin.hset(`${prefix}:schema:session`, 'version', 3, 'usable_from', 2)
    const before = await dump(prefix)
    await assert.rejects(open(), newer)
    assert.deepEqual(await dump(prefix), before)
    // A newer version that only added something, and a rollback to this one.
    await admin.hset(`${prefix}:schema:session`, 'usable_from', 1)
    await open()
    assert.equal(await admin.hget(`${prefix}:schema:session`, 'version'), '3')
  })

  const others: [key: string, make: (key: string) => Promise<unknown>][] = [
    ['schema:session', (key) => admin.set(key, 'x')],
    ['schema:session', (key) => admin.rpush(key, 'x')],
    ['schema:session', (key) => admin.hset(key, 'version', '1', 'theirs', 'x')],
    ['revoked', (key) => admin.sadd(key, 'x')],
  ]
  for (const [name, make] of others) {
    test(`${name} is a key of the app’s own (${/admin\.(\w+)/.exec(String(make))![1]}): refused by its name, and left alone`, async (t) => {
      const prefix = newPrefix()
      await make(`${prefix}:${name}`)
      const { client: nodeRedis, close } = await connect(engine.url, 'node-redis')
      t.after(close)
      for (const each of [client, nodeRedis]) {
        await assert.rejects(createRedisStore(each, { prefix }).open('a'), isTaken(`${prefix}:${name}`))
      }
      assert.deepEqual(await admin.keys(`${prefix}:*`), [`${prefix}:${name}`])
    })
  }

  test('a key of the app in place of a row or of a subject’s index: the error names the key', async () => {
    const prefix = newPrefix()
    const store = createRedisStore(client, { prefix })
    await store.open('a')
    const session = makeSession(Date.now())
    const list = `${prefix}:subject:{${session.subject}}`
    await admin.set(list, 'x')
    await assert.rejects(store.create(session), isTaken(list))
    await assert.rejects(store.list(session.subject, Date.now(), 10), isTaken(list))
    assert.equal(await store.find(session.id), null)
    const row = `${prefix}:session:{${session.id}}`
    await admin.hset(row, 'x', '1')
    await assert.rejects(store.find(session.id), isTaken(row))
    await assert.rejects(store.advance(makeStep(session, Date.now())), isTaken(row))
    await admin.del(list, row)
    await store.create(session)
    sameRow(await store.find(session.id), session)
  })

  test('a row of a newer version: every call on it is ERR_STORE_SCHEMA and writes nothing', async () => {
    const prefix = newPrefix()
    const now = Date.now()
    const store = createRedisStore(client, { prefix })
    await store.open('a')
    const session = makeSession(now)
    await store.create(session)
    const key = `${prefix}:session:{${session.id}}`
    const row = (await admin.getBuffer(key))!
    row[0] = 2
    await admin.set(key, row, 'PX', 3_600_000)
    const before = await dump(prefix)
    const calls = {
      find: () => store.find(session.id),
      advance: () => store.advance(makeStep(session, now)),
      update: () => store.update(session.id, now, { label: 'x' }),
      revoke: () => store.revoke(session.id, now, 'sign-out'),
      revokeSubject: () => store.revokeSubject(session.subject, now, 'sign-out'),
      list: () => store.list(session.subject, now, 10),
    }
    for (const [name, call] of Object.entries(calls)) await assert.rejects(call(), newer, name)
    assert.equal(await store.prune(now + 400 * 86_400_000, 10), 0)
    await store.close()
    assert.deepEqual(await dump(prefix), before)
    // One such row does not prevent the subject's other sessions from being ended.
    const other = makeSession(now)
    await store.create(other)
    await assert.rejects(store.revokeSubject(session.subject, now, 'sign-out'), newer)
    assert.equal((await store.find(other.id))?.revokedAt, now)
  })

  test('a refresh and an update keep bytes that a newer version added at the end of a row', async () => {
    const prefix = newPrefix()
    const store = createRedisStore(client, { prefix })
    const session = makeSession(Date.now())
    await store.create(session)
    const key = `${prefix}:session:{${session.id}}`
    const row = (await admin.getBuffer(key))!
    const longer = Buffer.concat([row.subarray(0, -1), Buffer.from(',"added"]')])
    await admin.set(key, longer, 'PX', 3_600_000)
    sameRow(await store.find(session.id), session)
    assert.ok(await store.advance(makeStep(session, Date.now())))
    assert.equal((await store.update(session.id, Date.now(), { label: 'phone' }))?.device.label, 'phone')
    assert.ok(await store.revoke(session.id, Date.now(), 'sign-out'))
    assert.match(String(await admin.getBuffer(key)), /,"added"\]$/)
  })

  for (const [name, url] of [
    ['one server', engine.url],
    ['Cluster', cluster.url],
  ] as const) {
    test(`${name}: subjects that are parts of keys`, async (t) => {
      const { client, close } = await connect(url, 'node-redis')
      t.after(close)
      const store = createRedisStore(client, { prefix: newPrefix() })
      await store.open('a')
      for (const subject of ['revoked', 'check', 'account', '{a}', '}', '*', 'schema:session', ':']) {
        const session = makeSession(Date.now(), { subject })
        await store.create(session)
        sameRow((await store.list(subject, Date.now(), 10))[0], session)
      }
    })
  }

  test('a prefix and a longer one that begins with it share no key, for any subject', async () => {
    const base = newPrefix()
    const names = ['', ':subject', ':session', ':schema', ':subject:subject', ':account', ':revoked', ':try']
    const subjects = ['revoked', 'check', 'schema:session', 'session', '{revoked}', 'subject:{revoked}']
    const stores = names.map((name) => createRedisStore(client, { prefix: base + name }))
    for (const [index, store] of stores.entries()) {
      await store.open(`issuer ${index}`)
      for (const subject of subjects) {
        await store.create(makeSession(Date.now(), { subject }))
      }
      await store.check()
    }
    for (const store of stores) {
      for (const subject of subjects) {
        assert.equal((await store.list(subject, Date.now(), 10)).length, 1)
      }
    }
    assert.equal((await stores[0]!.revokeSubject('revoked', Date.now(), 'admin')).length, 1)
    for (const store of stores.slice(1)) assert.deepEqual(await store.revokedSince(0), [])
  })
})
