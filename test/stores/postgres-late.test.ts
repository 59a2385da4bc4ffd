// PostgreSQL: statements that run after their deadline change nothing.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { describe, test } from 'node:test'
import { createDaypass, type Store } from '../../src/index.ts'
import { createPostgresStore } from '../../src/stores/postgres.ts'
import { findRow, issuer, makeSession, makeStep, sameRow } from '../../src/testing/store-harness.ts'
import {
  type Connected,
  countActive,
  countWaiting,
  holdLock,
  newPool,
  throughPool,
  throughPostgresJs,
  until,
  usePostgres,
  withoutCancel,
} from './postgres-setup.ts'

const server = usePostgres()

const hour = 3_600_000
/** A lock like that of CREATE INDEX. It allows reads. */
const tableLock = 'LOCK TABLE daypass_session IN SHARE ROW EXCLUSIVE MODE'
const is503 = { status: 503, code: 'ERR_STORE_UNAVAILABLE' }
const key = () => randomBytes(16).toString('base64url')

const clocks: Record<string, () => number> = {
  'of this machine': Date.now,
  'an hour ahead of the engine’s': () => Date.now() + hour,
  'an hour behind the engine’s': () => Date.now() - hour,
}

for (const [name, clock] of Object.entries(clocks)) {
  test(`by a clock ${name}: late statements change nothing, in every call`, async () => {
    const url = await server.engine.database()
    const pool = newPool(url)
    const store = createPostgresStore(withoutCancel(pool), { timeout: 2000, clock })
    await store.open(issuer)
    const now = clock()
    const rows = [makeSession(now), makeSession(now), makeSession(now, { subject: 'subject-2' })] as const
    for (const row of rows) await store.create(row)
    const unborn = makeSession(now)

    const lock = await holdLock(url, tableLock)
    const calls: Promise<unknown>[] = [
      store.create(unborn),
      store.advance(makeStep(rows[0], now)),
      store.update(rows[0].id, now, { label: 'late' }),
      store.revoke(rows[1].id, now, 'sign-out'),
      store.revokeSubject('subject-2', now, 'password'),
    ]
    const rejected = Promise.all(calls.map((call) => assert.rejects(call, is503)))
    await until(async () => (await countWaiting(url)) === 5)
    await rejected
    assert.equal(await countWaiting(url), 5, 'the statements still wait, and their callers are gone')
    await lock.release()
    await until(async () => (await countActive(url)) === 0)

    for (const row of rows) sameRow(await store.find(row.id), row)
    assert.equal(await store.find(unborn.id), null)
    assert.deepEqual(await store.revokedSince(0), [])
    assert.ok(await store.advance(makeStep(rows[0], now)), 'the retry succeeds')
    await store.close()
    await pool.end()
  })
}

test('after a 503 neither a second key nor a retry without a key is a theft, and a sign-out reaches all instances', async () => {
  const url = await server.engine.database()
  const pool = newPool(url)
  let ahead = 0
  const clock = () => Date.now() + ahead
  const events: string[] = []
  const secret = randomBytes(32)
  const daypass = (store: Store) =>
    createDaypass({ secret, issuer, store, clock, onEvent: ({ type }) => events.push(type) })
  const a = daypass(createPostgresStore(withoutCancel(pool), { timeout: 2000 }))
  const b = daypass(createPostgresStore(pool))
  const [keyed, keyless, leaving] = [await a.issue('bob'), await a.issue('ada'), await a.issue('eve')]
  await b.verify(leaving.accessToken)

  const lock = await holdLock(url, tableLock)
  await Promise.all([
    assert.rejects(a.refresh(keyed.refreshToken, { idempotencyKey: key() }), is503),
    assert.rejects(a.refresh(keyless.refreshToken), is503),
    assert.rejects(a.revoke(leaving.session.id), is503),
  ])
  await lock.release()
  await until(async () => (await countActive(url)) === 0)
  // Longer than every interval of the protocol except `retryInterval`.
  ahead = 60_000

  assert.equal((await a.refresh(keyed.refreshToken, { idempotencyKey: key() })).outcome, 'rotated')
  assert.equal((await a.refresh(keyless.refreshToken)).outcome, 'rotated')
  assert.equal(await a.revoke(leaving.session.id), true)
  await assert.rejects(b.verify(leaving.accessToken), { code: 'ERR_ACCESS_TOKEN_REVOKED' })
  assert.ok(!events.includes('reused'))
  await pool.end()
})

test('a repeated sign-out is announced again, because the first one may have become visible late', async () => {
  const pool = newPool(await server.engine.database())
  const store = createPostgresStore(pool)
  await store.open(issuer)
  const now = Date.now()
  const [one, many] = [makeSession(now), makeSession(now, { subject: 'subject-2' })]
  for (const row of [one, many]) await store.create(row)
  await store.revoke(one.id, now, 'sign-out')
  await store.revokeSubject('subject-2', now, 'password')
  assert.deepEqual(await store.revokedSince(now + 1), [])

  assert.equal(await store.revoke(one.id, now + 40_000, 'admin'), null)
  assert.deepEqual(await store.revokedSince(now + 30_000), [{ id: one.id, revokedAt: now }])
  assert.deepEqual(await store.revokeSubject('subject-2', now + 50_000, 'admin'), [])
  assert.deepEqual(await store.revokedSince(now + 45_000), [{ id: many.id, revokedAt: now }])
  assert.equal((await findRow(store, one.id)).revokedReason, 'sign-out')
  await pool.end()
})

const drivers: Record<string, (url: string) => Connected> = {
  pg: (url) => throughPool(url, { max: 2 }),
  'postgres.js': (url) => throughPostgresJs(url, { max: 2 }),
}
const behindPgBouncer: Record<string, (url: string) => Connected> = {
  pg: (url) => throughPool(server.through(url), { max: 2 }),
  'postgres.js': (url) => throughPostgresJs(server.through(url), { max: 2, prepare: false }),
}

for (const [name, driver] of Object.entries(drivers)) describe(`through ${name}`, () => cancels(driver))
for (const [name, driver] of Object.entries(behindPgBouncer)) {
  describe(`through ${name} and PgBouncer`, { skip: server.noPgBouncer }, () => cancels(driver))
}

function cancels(driver: (url: string) => Connected): void {
  test('a statement whose caller is gone is cancelled, and its connection is free', async () => {
    const url = await server.engine.database()
    const { client, end } = driver(url)
    const store = createPostgresStore(client, { timeout: 2000 })
    await store.open(issuer)
    const now = Date.now()
    const row = makeSession(now)
    await store.create(row)
    const lock = await holdLock(url, tableLock)
    // More calls than connections, so that some are never sent.
    const calls = Array.from({ length: 6 }, () => store.create(makeSession(now)))
    await Promise.all(calls.map((call) => assert.rejects(call, is503)))
    await until(async () => (await countWaiting(url)) === 0)
    sameRow(await store.find(row.id), row)
    await lock.release()
    assert.ok(await store.advance(makeStep(row, now)))
    assert.equal((await store.list(row.subject, now, 100)).length, 1)
    await store.close()
    await end()
  })
}
