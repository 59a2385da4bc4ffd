// PostgreSQL: making the tables, sharing them between issuers, and using them from two versions.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import pg from 'pg'
import { createPostgresStore } from '../../src/stores/postgres.ts'
import { issuer, makeSession, makeStep, sameRow } from '../../src/testing/store-harness.ts'
import { once } from '../engines/postgres.ts'
import { drivers, newPool, usePostgres } from './postgres-setup.ts'

const server = usePostgres()

const schema = (url: string) =>
  once(url, 'SELECT module, version, usable_from, issuer FROM daypass_schema ORDER BY module')
const tables = async (url: string) =>
  (await once(url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")).map(
    (row) => row.tablename,
  )

const { noPgBouncer } = server
const behindPgBouncer = Object.fromEntries(
  Object.entries(server.behindPgBouncer).map(([name, driver]) => [`${name} and PgBouncer`, driver]),
)

for (const [name, driver] of [...Object.entries(drivers), ...Object.entries(behindPgBouncer)]) {
  test(`eight instances start together on one empty database through ${name}`, {
    skip: name in behindPgBouncer && noPgBouncer,
  }, async () => {
    const url = await server.engine.database()
    const { client, end } = await driver(url)
    const stores = Array.from({ length: 8 }, () => createPostgresStore(client))
    await Promise.all(stores.map((store) => store.open(issuer)))
    const row = makeSession(Date.now())
    await stores[0]!.create(row)
    sameRow(await stores[1]!.find(row.id), row)
    assert.deepEqual(await schema(url), [{ module: 'session', version: 1, usable_from: 1, issuer }])
    await end()
  })
}

test('two issuers with two prefixes have separate tables', async () => {
  const url = await server.engine.database()
  const pool = newPool(url)
  const shop = createPostgresStore(pool, { prefix: 'shop' })
  const blog = createPostgresStore(pool, { prefix: 'blog_2' })
  await shop.open('https://shop.example')
  await blog.open('https://blog.example')
  const row = makeSession(Date.now())
  await shop.create(row)
  assert.equal(await blog.find(row.id), null)
  assert.deepEqual(await tables(url), ['blog_2_schema', 'blog_2_session', 'shop_schema', 'shop_session'])
  await assert.rejects(createPostgresStore(pool, { prefix: 'shop' }).open('https://blog.example'), {
    code: 'ERR_STORE_ISSUER',
  })
  await pool.end()
})

test('of two issuers that open an empty database concurrently, one gets it and the other is rejected', async () => {
  const url = await server.engine.database()
  const pool = newPool(url)
  const results = await Promise.allSettled(
    ['https://a.example', 'https://b.example'].map((each) => createPostgresStore(pool).open(each)),
  )
  assert.deepEqual(results.map(({ status }) => status).sort(), ['fulfilled', 'rejected'])
  const refused = results.find((result) => result.status === 'rejected')!
  assert.equal(refused.reason.code, 'ERR_STORE_ISSUER')
  await pool.end()
})

test('a newer version that only adds does not stop an older one, running or starting', async () => {
  const url = await server.engine.database()
  const pool = newPool(url)
  const running = createPostgresStore(pool)
  await running.open(issuer)
  const now = Date.now()
  const row = makeSession(now)
  await running.create(row)
  // A newer version does this in a rolling deploy.
  await once(url, "ALTER TABLE daypass_session ADD COLUMN later text NOT NULL DEFAULT 'x'")
  await once(url, "UPDATE daypass_schema SET version = 2 WHERE module = 'session'")
  const starting = createPostgresStore(pool)
  await starting.open(issuer)
  for (const store of [running, starting]) {
    const other = makeSession(now)
    await store.create(other)
    assert.ok(await store.advance(makeStep(other, now)))
    assert.ok(await store.revoke(other.id, now, 'admin'))
    sameRow(await store.find(row.id), row)
  }
  assert.deepEqual((await schema(url))[0], { module: 'session', version: 2, usable_from: 1, issuer })
  await pool.end()
})

test('an older version, running or starting, is rejected on tables that it cannot use, and writes nothing', async () => {
  const url = await server.engine.database()
  const pool = newPool(url)
  const running = createPostgresStore(pool)
  await running.open(issuer)
  const now = Date.now()
  const row = makeSession(now)
  await running.create(row)
  await once(url, 'UPDATE daypass_schema SET version = 3, usable_from = 2')
  const before = await once(url, 'SELECT s.*, xmin FROM daypass_session s')
  const schemaBefore = await once(url, 'SELECT s.*, xmin FROM daypass_schema s')

  const isRejected = { code: 'ERR_STORE_SCHEMA', status: 503 }
  await assert.rejects(createPostgresStore(pool).open(issuer), isRejected)
  await assert.rejects(running.create(makeSession(now)), isRejected)
  await assert.rejects(running.advance(makeStep(row, now)), isRejected)
  await assert.rejects(running.update(row.id, now, { label: 'x' }), isRejected)
  await assert.rejects(running.revoke(row.id, now, 'admin'), isRejected)
  await assert.rejects(running.revokeSubject(row.subject, now, 'admin'), isRejected)
  await assert.rejects(running.prune(now + 1e12, 100), isRejected)
  assert.deepEqual(await once(url, 'SELECT s.*, xmin FROM daypass_session s'), before)
  assert.deepEqual(await once(url, 'SELECT s.*, xmin FROM daypass_schema s'), schemaBefore)

  // Roll back the newer version.
  await once(url, 'UPDATE daypass_schema SET version = 1, usable_from = 1')
  assert.ok(await running.advance(makeStep(row, now)))
  await pool.end()
})

test('a role that may not make tables can use existing ones', async () => {
  const url = await server.engine.database()
  const owner = newPool(url)
  await createPostgresStore(owner).open(issuer)
  const role = `app_${process.pid}`
  await once(url, `CREATE ROLE ${role} LOGIN PASSWORD 'app'`)
  await once(url, `GRANT SELECT, INSERT, UPDATE, DELETE ON daypass_session, daypass_schema TO ${role}`)
  const address = new URL(url)
  address.username = role
  address.password = 'app'
  const pool = newPool(address.href)
  const store = createPostgresStore(pool)
  await store.open(issuer)
  await store.create(makeSession(Date.now()))
  await store.check()
  await pool.end()
  await owner.end()
})

test('check writes, waits for no lock, and reports a read-only engine', async () => {
  const url = await server.engine.database()
  const pool = newPool(url)
  const store = createPostgresStore(pool)
  await store.open(issuer)
  const checkedAt = async () => (await once(url, "SELECT checked_at FROM daypass_schema WHERE module = 'session'"))[0]
  await store.check()
  const first = await checkedAt()
  assert.ok(first!.checked_at)
  await store.check()
  assert.notDeepEqual(await checkedAt(), first)
  await Promise.all(Array.from({ length: 20 }, () => store.check()))
  await pool.end()

  const readOnly = new pg.Pool({ connectionString: url, options: '-c default_transaction_read_only=on' })
  const standby = createPostgresStore(readOnly)
  await standby.open(issuer)
  const row = makeSession(Date.now())
  const isRejected = { code: 'ERR_STORE_READ_ONLY', status: 503 }
  await assert.rejects(standby.check(), isRejected)
  await assert.rejects(standby.create(row), isRejected)
  await assert.rejects(standby.advance(makeStep(row, Date.now())), isRejected)
  await readOnly.end()
})
