// The MySQL store on a real server: the contract, and the tests of this store alone.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { describe, test } from 'node:test'
import { createDaypass } from '../../src/index.ts'
import { createMysqlStore, type MysqlClient } from '../../src/stores/mysql.ts'
import { runConcurrencyKit, runCrashKit, startFaultyProxy } from '../../src/testing/index.ts'
import { issuer, makeSession, makeStep } from '../../src/testing/store-harness.ts'
import { noMysql, once, openMysqlStore } from '../engines/mysql.ts'
import { contract, newPool, throughCallbacks, throughPool, useMysql } from './mysql-setup.ts'
import { raceThrough } from './two-instances.ts'

const key = () => randomBytes(16).toString('base64url')

/** A pool whose statements are counted. */
function countedPool(url: string) {
  const statements: string[] = []
  const pool = newPool(url)
  const client: MysqlClient = {
    query(statement) {
      statements.push(statement.sql)
      return pool.query(statement)
    },
  }
  return { client, statements, pool }
}

if (noMysql)
  test('the end of the run names the engine that did not run', (t) => t.diagnostic(`engine: MySQL ${noMysql}`))

describe('MySQL', { skip: noMysql }, () => {
  let database = ''
  const server = useMysql(async (engine) => {
    database = await engine.database()
  })

  contract('through mysql2/promise', () => database, throughPool)
  contract('through mysql2 with callbacks', () => database, throughCallbacks)
  test('the end of the run names its version', (t) => t.diagnostic(`engine: ${server.engine.name} (mysql2)`))

  test('each call takes the round trips that docs/mysql.md states, and concurrent refreshes share theirs', async () => {
    const { client, statements, pool } = countedPool(await server.engine.database())
    const store = createMysqlStore(client)
    const auth = createDaypass({ secret: randomBytes(32), issuer: 'test', store })
    const tokens = await Promise.all(Array.from({ length: 32 }, (_, index) => auth.issue(`subject-${index}`)))
    const now = Date.now()
    const session = makeSession(now)
    await store.create(session)
    async function count(call: () => Promise<unknown>) {
      statements.length = 0
      await call()
      return statements.length
    }
    const refresh = ({ refreshToken }: { refreshToken: string }) =>
      auth.refresh(refreshToken, { idempotencyKey: key() })
    assert.deepEqual(
      {
        create: await count(() => store.create(makeSession(now))),
        refresh: await count(() => refresh(tokens[0]!)),
        'refreshes at once': await count(() => Promise.all(tokens.slice(1).map(refresh))),
        'a refresh too late': await count(() => store.advance(makeStep({ ...session, generation: -1 }, now))),
        find: await count(() => store.find(session.id)),
        list: await count(() => store.list('subject-1', now, 10)),
        update: await count(() => store.update(session.id, now, { label: 'new' })),
        revoke: await count(() => store.revoke(session.id, now, 'admin')),
        revokeSubject: await count(() => store.revokeSubject('subject-9', now, 'admin')),
        revokedSince: await count(() => store.revokedSince(now)),
        prune: await count(() => store.prune(now + 1, 1)),
        check: await count(() => store.check()),
      },
      {
        create: 1,
        refresh: 2,
        'refreshes at once': 2,
        'a refresh too late': 1,
        find: 1,
        list: 1,
        update: 2,
        revoke: 2,
        revokeSubject: 2,
        revokedSince: 1,
        prune: 4,
        check: 1,
      },
    )
    await pool.end()
  })

  test('a hundred concurrent refreshes of one token through two instances: one lineage, no error but 409', async () => {
    const url = await server.engine.database()
    const pools = [newPool(url), newPool(url)] as const
    await raceThrough([createMysqlStore(pools[0]), createMysqlStore(pools[1])])
    assert.equal((await once(url, 'SELECT COUNT(*) AS n FROM daypass_session'))[0]!.n, 1)
    for (const pool of pools) await pool.end()
  })

  test('every statement uses an index at 200,000 sessions', { timeout: 120_000 }, async () => {
    const url = await server.engine.database()
    const pool = newPool(url)
    const store = createMysqlStore(pool)
    await store.open('test')
    const now = Date.now()
    const session = makeSession(now, { expiresAt: now + 2_592_000_000 })
    await store.create(session)
    const columns = (await once(url, 'SHOW COLUMNS FROM daypass_session')).map(({ Field }) => Field as string)
    const values: Record<string, string> = {
      id: 'UNHEX(MD5(n.n))',
      subject: "CONCAT('subject-', n.n DIV 2)",
      idle_expires_at: `${now} + n.n * 3000`,
      idle_hour: `(${now} + n.n * 3000) DIV 3600000`,
      revoked_at: `IF(n.n MOD 100 = 0, ${now}, NULL)`,
      announced_at: `IF(n.n MOD 100 = 0, ${now}, NULL)`,
    }
    const digits =
      '(SELECT 0 AS d UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8 UNION ALL SELECT 9)'
    const tables = ['a', 'b', 'c', 'd', 'e'].map((name) => `${digits} ${name}`).join(' CROSS JOIN ')
    await once(
      url,
      `INSERT INTO daypass_session (${columns.map((name) => `\`${name}\``).join(', ')})
       SELECT ${columns.map((name) => values[name] ?? `s.\`${name}\``).join(', ')}
       FROM (SELECT 1 + a.d + 10 * b.d + 100 * c.d + 1000 * d.d + 10000 * e.d + 100000 * f.d AS n
         FROM ${tables} CROSS JOIN (SELECT 0 AS d UNION ALL SELECT 1) f) n, daypass_session s`,
    )
    await once(url, 'ANALYZE TABLE daypass_session')
    const plans: { statement: string; tables: Record<string, any>[] }[] = []
    const explaining = createMysqlStore({
      async query(statement) {
        if (/^\s*(SELECT|UPDATE|DELETE)/.test(statement.sql)) {
          const [rows] = await pool.query(`EXPLAIN ${statement.sql}`)
          plans.push({ statement: statement.sql, tables: rows as Record<string, any>[] })
        }
        return pool.query(statement)
      },
    })
    assert.ok(await explaining.advance(makeStep(session, now)))
    await explaining.find(session.id)
    await explaining.list('subject-77', now, 100)
    assert.equal((await explaining.revokeSubject('subject-78', now, 'admin')).length, 2)
    assert.ok(await explaining.update(session.id, now, { claims: {}, label: null }))
    await explaining.revoke(session.id, now, 'admin')
    await explaining.revokedSince(now + 1)
    assert.equal(await explaining.prune(now + 3_600_000, 500), 500)
    assert.ok(plans.length >= 10)
    for (const { statement, tables } of plans) {
      // A table function and the list of locked rows are short, and have no index.
      const sessions = tables.filter(({ table }) => table === 's')
      for (const plan of sessions) {
        assert.ok(!['ALL', 'index'].includes(plan.type), `${statement}\n${JSON.stringify(tables, null, 1)}`)
      }
    }
    await pool.end()
  })

  test('while the engine is away each call fails in bounded time as unavailable; later all clients continue', async () => {
    if (process.env.MYSQL_URL) return
    const pool = newPool(await server.engine.database())
    const auth = createDaypass({ secret: randomBytes(32), issuer: 'test', store: createMysqlStore(pool) })
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

  test('3 server processes, 40 of them killed −9, and nobody is signed out; a thief is caught', {
    timeout: 120_000,
  }, async (t) => {
    const module = import.meta.resolve('../engines/mysql.ts')
    const store = { module, export: 'openMysqlStore', args: [await server.engine.database()] }
    const report = await runCrashKit({ store, kills: 40 })
    t.diagnostic(JSON.stringify(report))
    assert.equal(report.caught, 2)
    assert.ok(report.refreshes > 15)
  })

  test('24 tabs on three instances, responses lost, and nobody is signed out', { timeout: 120_000 }, async (t) => {
    const url = await server.engine.database()
    const stores = Array.from({ length: 3 }, () => openMysqlStore(url))
    t.diagnostic(JSON.stringify(await runConcurrencyKit({ stores })))
    await Promise.all(stores.map((store) => store.close()))
  })

  test('connections cut and delayed in the middle of calls, the engine stopped and started: nobody is signed out', {
    timeout: 120_000,
  }, async (t) => {
    const url = await server.engine.database()
    const address = new URL(url)
    const proxy = await startFaultyProxy({ port: Number(address.port || 3306), host: address.hostname, cut: 0.02 })
    address.host = `${proxy.host}:${proxy.port}`
    const pool = newPool(address.href, { connectionLimit: 4, connectTimeout: 2000 })
    const stores = [openMysqlStore(url), openMysqlStore(address.href), createMysqlStore(pool, { timeout: 2000 })]
    async function meanwhile() {
      await new Promise((resolve) => setTimeout(resolve, 500))
      await server.engine.stop()
      await new Promise((resolve) => setTimeout(resolve, 500))
      await server.engine.start()
      await proxy.untilCut(20)
    }
    const report = await runConcurrencyKit({ stores, requests: 1500, meanwhile })
    t.diagnostic(JSON.stringify({ ...report, cuts: proxy.cuts() }))
    if (!process.env.MYSQL_URL) assert.ok(report.unavailable > 0)
    for (const store of stores) await store.close()
    await pool.end()
    await proxy.close()
  })

  test('eight instances that start together on an empty database make its tables once', async () => {
    const url = await server.engine.database()
    const pools = Array.from({ length: 8 }, () => newPool(url, { connectionLimit: 1 }))
    await Promise.all(pools.map((pool) => createMysqlStore(pool).open(issuer)))
    assert.deepEqual(await once(url, 'SELECT module, version, usable_from, issuer FROM daypass_schema'), [
      { module: 'session', version: 1, usable_from: 1, issuer },
    ])
    await Promise.all(pools.map((pool) => pool.end()))
  })
})
