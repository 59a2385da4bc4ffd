// The PostgreSQL store on a real server: the contract, and the tests of this store alone.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { describe, test } from 'node:test'
import pg from 'pg'
import postgres from 'postgres'
import { createDaypass } from '../../src/index.ts'
import { createPostgresStore, type PgPool } from '../../src/stores/postgres.ts'
import { runConcurrencyKit, runCrashKit, startFaultyProxy } from '../../src/testing/index.ts'
import { makeSession, makeStep } from '../../src/testing/store-harness.ts'
import { pgbouncer } from '../engines/pgbouncer.ts'
import { once, openPostgresStore } from '../engines/postgres.ts'
import { drivers, newPool, runContract, usePostgres } from './postgres-setup.ts'
import { raceThrough } from './two-instances.ts'

let database = ''
const server = usePostgres(async (engine) => {
  database = await engine.database()
})

for (const [name, driver] of Object.entries(drivers)) {
  describe(`through ${name}`, () => {
    runContract(() => database, driver)
    test('the end of the run names its version', (t) => {
      t.diagnostic(`engine: PostgreSQL ${server.engine.version} (${name})`)
    })
  })
}

const { noPgBouncer, behindPgBouncer } = server
for (const [name, driver] of Object.entries(behindPgBouncer)) {
  describe(`through ${name} and a PgBouncer in transaction mode`, { skip: noPgBouncer }, () => {
    runContract(() => database, driver)
    test('the end of the run names its version', (t) => {
      if ('version' in pgbouncer)
        t.diagnostic(`engine: PostgreSQL ${server.engine.version} behind PgBouncer ${pgbouncer.version} (${name})`)
    })
  })
}
if (noPgBouncer)
  test('the end of the run names the engine that did not run', (t) => t.diagnostic(`engine: PgBouncer ${noPgBouncer}`))

/** A Daypass on a pool whose statements are counted. */
async function counted(url: string) {
  const statements: string[] = []
  const pool = newPool(url)
  const counting: PgPool = {
    query(statement) {
      statements.push(statement.text)
      return pool.query(statement)
    },
  }
  const auth = createDaypass({ secret: randomBytes(32), issuer: 'test', store: createPostgresStore(counting) })
  return { auth, statements, pool }
}

const key = () => randomBytes(16).toString('base64url')

test('a refresh is one statement, and concurrent refreshes share one', async () => {
  const { auth, statements, pool } = await counted(await server.engine.database())
  const tokens = await Promise.all(Array.from({ length: 32 }, (_, index) => auth.issue(`subject-${index}`)))
  statements.length = 0
  await auth.refresh(tokens[0]!.refreshToken, { idempotencyKey: key() })
  assert.equal(statements.length, 1)
  statements.length = 0
  await Promise.all(tokens.slice(1).map(({ refreshToken }) => auth.refresh(refreshToken, { idempotencyKey: key() })))
  assert.equal(statements.length, 1)
  await pool.end()
})

test('a hundred concurrent refreshes of one token through two instances: one lineage, no error but 409', async () => {
  const url = await server.engine.database()
  const pools = [newPool(url), newPool(url)] as const
  await raceThrough([createPostgresStore(pools[0]), createPostgresStore(pools[1])])
  assert.equal((await once(url, 'SELECT count(*)::int AS rows FROM daypass_session'))[0]!.rows, 1)
  for (const pool of pools) await pool.end()
})

test('eight instances that start together on an empty database make its tables once', async () => {
  const url = await server.engine.database()
  const pools = Array.from({ length: 8 }, () => newPool(url, { max: 1 }))
  await Promise.all(pools.map((pool) => createPostgresStore(pool).open('test')))
  await Promise.all(pools.map((pool) => pool.end()))
})

test('list, revoke and prune use their indexes at 200,000 sessions, and refreshes stay HOT', {
  timeout: 60_000,
}, async () => {
  const url = await server.engine.database()
  const pool = newPool(url)
  const store = createPostgresStore(pool)
  await store.open('test')
  const now = Date.now()
  await store.create(makeSession(now, { expiresAt: now + 2_592_000_000 }))
  await pool.query(
    `INSERT INTO daypass_session SELECT row.* FROM generate_series(1, 200000) n, daypass_session s,
       jsonb_populate_record(s, jsonb_build_object(
         'id', gen_random_uuid(), 'subject', 'subject-' || n / 2,
         'idle_expires_at', $1::int8 + n * 3000, 'idle_hour', ($1::int8 + n * 3000) / 3600000,
         'revoked_at', CASE WHEN n % 100 = 0 THEN $1::int8 END,
         'announced_at', CASE WHEN n % 100 = 0 THEN $1::int8 END)) row`,
    [now],
  )
  await pool.query('ANALYZE daypass_session')
  const plans: Record<string, string> = {}
  const explaining = createPostgresStore({
    async query(statement) {
      const { rows } = await pool.query(`EXPLAIN ${statement.text}`, statement.values)
      plans[`${Object.keys(plans).length}: ${statement.text.trim()}`] = rows.map((row) => row['QUERY PLAN']).join('\n')
      return pool.query(statement)
    },
  })
  await explaining.list('subject-77', now, 100)
  await explaining.revokeSubject('subject-78', now, 'admin')
  await explaining.update('AAAAAAAAAAAAAAAAAAAAAA', now, { claims: {}, label: null })
  await explaining.revoke('AAAAAAAAAAAAAAAAAAAAAA', now, 'admin')
  await explaining.revokedSince(now + 1)
  await explaining.prune(now + 3_600_000, 500)
  assert.ok(Object.keys(plans).length >= 5)
  for (const [statement, plan] of Object.entries(plans)) {
    assert.doesNotMatch(plan, /Seq Scan on daypass_session/, `${statement}\n${plan}`)
    assert.match(plan, /Index/, `${statement}\n${plan}`)
  }

  const hot = async () => {
    const rows = await once(
      url,
      "SELECT n_tup_upd::int AS all, n_tup_hot_upd::int AS hot FROM pg_stat_user_tables WHERE relname = 'daypass_session'",
    )
    return rows[0]!
  }
  const auth = createDaypass({ secret: randomBytes(32), issuer: 'test', store })
  let { refreshToken } = await auth.issue('hot')
  const before = await hot()
  for (let round = 0; round < 50; round++) refreshToken = (await auth.refresh(refreshToken)).refreshToken
  // A connection reports its statistics when it ends.
  await pool.end()
  await new Promise((resolve) => setTimeout(resolve, 200))
  const after = await hot()
  assert.ok(after.all - before.all >= 50)
  assert.ok(after.hot - before.hot >= 0.9 * 50, `${after.hot - before.hot} of 50 were HOT`)
})

test('a prune in progress blocks no sign-in, refresh, list or sign-out', async () => {
  const url = await server.engine.database()
  const pool = newPool(url)
  const store = createPostgresStore(pool, { timeout: 5000 })
  await store.open('test')
  const now = Date.now()
  const over = { idleExpiresAt: now - 3_600_000, expiresAt: now - 3_600_000 }
  for (let i = 0; i < 30; i++) await store.create(makeSession(now, over))
  const live = makeSession(now)
  await store.create(live)

  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query('BEGIN')
  assert.equal(await createPostgresStore(client).prune(now, 20), 20)
  // The prune is not committed, so it holds all of its locks.
  const locks = await pool.query("SELECT DISTINCT mode FROM pg_locks WHERE relation = 'daypass_session'::regclass")
  const rowLocks = ['AccessShareLock', 'RowShareLock', 'RowExclusiveLock']
  for (const { mode } of locks.rows) assert.ok(rowLocks.includes(mode), mode)
  assert.ok(await store.advance(makeStep(live, now)))
  await store.create(makeSession(now, { subject: 'new' }))
  assert.equal((await store.list(live.subject, now, 100)).length, 1)
  assert.deepEqual(await store.revokedSince(now), [])
  assert.ok(await store.revoke(live.id, now, 'sign-out'))
  assert.equal(await store.prune(now, 500), 10, 'another instance prunes the remaining rows')
  await client.query('ROLLBACK')
  await client.end()
  assert.equal(await store.prune(now, 500), 20)
  await pool.end()
})

test('while the engine is away each call fails in bounded time as unavailable; later all clients continue', async () => {
  if (process.env.POSTGRES_URL) return
  const url = await server.engine.database()
  const pool = newPool(url)
  const auth = createDaypass({ secret: randomBytes(32), issuer: 'test', store: createPostgresStore(pool) })
  const first = await auth.issue('ada')
  await server.engine.stop()
  const idempotencyKey = key()
  const began = performance.now()
  await assert.rejects(auth.refresh(first.refreshToken, { idempotencyKey }), {
    status: 503,
    code: 'ERR_STORE_UNAVAILABLE',
  })
  assert.ok(performance.now() - began < 6000)
  await server.engine.start()
  const second = await auth.refresh(first.refreshToken, { idempotencyKey })
  assert.equal(second.outcome, 'rotated')
  await pool.end()
})

test('a call whose statement hangs fails after the timeout', async () => {
  const url = await server.engine.database()
  const pool = newPool(url)
  const store = createPostgresStore(pool, { timeout: 300 })
  const auth = createDaypass({ secret: randomBytes(32), issuer: 'test', store })
  const { refreshToken, session } = await auth.issue('ada')
  const blocker = new pg.Client({ connectionString: url })
  await blocker.connect()
  await blocker.query('BEGIN')
  await blocker.query('SELECT * FROM daypass_session FOR UPDATE')
  await assert.rejects(auth.refresh(refreshToken), { status: 503 })
  await blocker.query('ROLLBACK')
  await blocker.end()
  assert.equal((await auth.refresh(refreshToken)).session.id, session.id)
  await pool.end()
})

test('3 server processes, 40 of them killed −9, and nobody is signed out; a thief is caught', {
  timeout: 60_000,
}, async (t) => {
  const module = import.meta.resolve('../engines/postgres.ts')
  const store = { module, export: 'openPostgresStore', args: [await server.engine.database()] }
  const report = await runCrashKit({ store, kills: 40 })
  t.diagnostic(JSON.stringify(report))
  assert.equal(report.caught, 2)
  assert.ok(report.refreshes > 15)
})

test('24 tabs on three instances, responses lost, and nobody is signed out', {
  timeout: 60_000,
}, async (t) => {
  const url = await server.engine.database()
  const stores = Array.from({ length: 3 }, () => openPostgresStore(url))
  t.diagnostic(JSON.stringify(await runConcurrencyKit({ stores })))
  await Promise.all(stores.map((store) => store.close()))
})

test('connections cut and delayed in the middle of calls, the engine stopped and started: nobody is signed out', {
  timeout: 60_000,
}, async (t) => {
  const url = await server.engine.database()
  const address = new URL(url)
  const proxy = await startFaultyProxy({ port: Number(address.port), host: address.hostname, cut: 0.02 })
  address.host = `${proxy.host}:${proxy.port}`
  // `fetch_types: false`, as the store's documentation says.
  const sql = postgres(address.href, { max: 4, onnotice: () => {}, connect_timeout: 3, fetch_types: false })
  const stores = [openPostgresStore(url), openPostgresStore(address.href), createPostgresStore(sql, { timeout: 2000 })]
  async function meanwhile() {
    await new Promise((resolve) => setTimeout(resolve, 500))
    await server.engine.stop()
    await new Promise((resolve) => setTimeout(resolve, 500))
    await server.engine.start()
    await proxy.untilCut(20)
  }
  const report = await runConcurrencyKit({ stores, requests: 1500, meanwhile })
  t.diagnostic(JSON.stringify({ ...report, cuts: proxy.cuts() }))
  if (!process.env.POSTGRES_URL) assert.ok(report.unavailable > 0)
  for (const store of stores) await store.close()
  await sql.end({ timeout: 1 })
  await proxy.close()
})
