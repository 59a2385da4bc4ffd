// MySQL: locked rows and tables, late statements, deadlocks, bad values, read-only servers, and versions of the tables.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { describe, test } from 'node:test'
import { createDaypass } from '../../src/index.ts'
import { createMysqlStore, type MysqlClient } from '../../src/stores/mysql.ts'
import { findRow, issuer, makeSession, makeStep, sameRow } from '../../src/testing/store-harness.ts'
import { noMysql, once } from '../engines/mysql.ts'
import { countWaiting, holdLock, newPool, until, useMysql } from './mysql-setup.ts'

const hour = 3_600_000
const is503 = { status: 503, code: 'ERR_STORE_UNAVAILABLE' }
const key = () => randomBytes(16).toString('base64url')
const hex = (id: string) => Buffer.from(id, 'base64url').toString('hex')
const lockRow = (id: string) => `SELECT 1 FROM daypass_session WHERE id = X'${hex(id)}' FOR UPDATE`
/** As ALTER TABLE and backups do. It allows reads. */
const tableLock = 'LOCK TABLES daypass_session READ'

/** A pool whose late statements stay at the server, as if the network lost what ends them. */
const withoutCancel = (pool: ReturnType<typeof newPool>): MysqlClient => ({
  query: (statement) => pool.query(statement),
})

const clocks: Record<string, () => number> = {
  'of this machine': Date.now,
  'an hour ahead of the engine’s': () => Date.now() + hour,
  'an hour behind the engine’s': () => Date.now() - hour,
}

describe('MySQL', { skip: noMysql }, () => {
  const server = useMysql()

  test('while one row is locked, 32 others refresh, and no statement waits', async () => {
    const url = await server.engine.database()
    const pool = newPool(url, { connectionLimit: 2 })
    const store = createMysqlStore(pool, { timeout: 10_000 })
    const auth = createDaypass({ secret: randomBytes(32), issuer, store })
    const locked = await auth.issue('locked')
    let others = await Promise.all(Array.from({ length: 32 }, (_, index) => auth.issue(`other-${index}`)))
    const lock = await holdLock(url, lockRow(locked.session.id))
    const order: string[] = []
    const blocked = auth.refresh(locked.refreshToken, { idempotencyKey: key() }).then((tokens) => {
      order.push('locked')
      return tokens
    })
    for (let round = 0; round < 5; round++) {
      others = await Promise.all(
        others.map(({ refreshToken }) => auth.refresh(refreshToken, { idempotencyKey: key() })),
      )
      order.push('others')
    }
    await lock.release()
    const tokens = await blocked
    assert.deepEqual(order, ['others', 'others', 'others', 'others', 'others', 'locked'])
    await auth.refresh(tokens.refreshToken)
    await pool.end()
  })

  test('every call on a row that stays locked is 503; its retry succeeds', async () => {
    const url = await server.engine.database()
    const pool = newPool(url, { connectionLimit: 1 })
    const store = createMysqlStore(pool, { timeout: 1500 })
    await store.open(issuer)
    const now = Date.now()
    const rows = [makeSession(now), makeSession(now), makeSession(now)] as const
    for (const row of rows) await store.create(row)
    const lock = await holdLock(url, lockRow(rows[0].id))
    await Promise.all([
      assert.rejects(store.advance(makeStep(rows[0], now)), is503),
      assert.rejects(store.update(rows[0].id, now, { label: 'x' }), is503),
      assert.rejects(store.revoke(rows[0].id, now, 'sign-out'), is503),
      assert.rejects(store.revokeSubject(rows[0].subject, now, 'password', rows[1].id), is503),
    ])
    sameRow(await store.find(rows[0].id), rows[0])
    assert.ok(await store.advance(makeStep(rows[1], now)))
    assert.equal((await findRow(store, rows[2].id)).revokedReason, 'password', 'the rows without a lock have ended')
    await lock.release()
    const ended = await store.revokeSubject(rows[0].subject, now, 'password', rows[1].id)
    assert.deepEqual(
      ended.map(({ id }) => id),
      [rows[0].id],
    )
    await pool.end()
  })

  for (const [name, clock] of Object.entries(clocks)) {
    test(`by a clock ${name}: late statements change nothing, in every call`, async () => {
      const url = await server.engine.database()
      const pool = newPool(url, { connectionLimit: 10 })
      const store = createMysqlStore(withoutCancel(pool), { timeout: 1500, clock })
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
      await Promise.all(calls.map((call) => assert.rejects(call, is503)))
      assert.ok((await countWaiting(url)) >= 5, 'the statements still wait, and their callers are gone')
      await lock.release()
      await until(async () => (await countWaiting(url)) === 0)

      for (const row of rows) sameRow(await store.find(row.id), row)
      assert.equal(await store.find(unborn.id), null)
      assert.deepEqual(await store.revokedSince(0), [])
      assert.ok(await store.advance(makeStep(rows[0], now)), 'the retry succeeds')
      await store.close()
      await pool.end()
    })
  }

  test('a statement whose caller is gone is ended at the server, and the pool has its connections', async () => {
    const url = await server.engine.database()
    const pool = newPool(url, { connectionLimit: 2 })
    const store = createMysqlStore(pool, { timeout: 1500 })
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
    await pool.end()
  })

  test('a repeated sign-out is announced again, because the first one may have become visible late', async () => {
    const pool = newPool(await server.engine.database())
    const store = createMysqlStore(pool)
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

  test('a batch is exact if another write changes some of its rows between its read and its write', async () => {
    const pool = newPool(await server.engine.database())
    const other = createMysqlStore(pool)
    let before = async () => {}
    let after = async () => {}
    const store = createMysqlStore({
      async query(statement) {
        const isWrite = /^\s*UPDATE/.test(statement.sql)
        if (isWrite) await before()
        const answer = await pool.query(statement)
        if (isWrite) await after()
        return answer
      },
    })
    await store.open(issuer)
    await other.open(issuer)
    const now = Date.now()
    const rows = Array.from({ length: 5 }, () => makeSession(now))
    for (const row of rows) await store.create(row)
    const [moved, ended, renamed, later, plain] = rows as [any, any, any, any, any]
    before = async () => {
      before = async () => {}
      await other.advance(makeStep(moved, now))
      await other.revoke(ended.id, now, 'admin')
      await other.update(renamed.id, now, { label: 'between' })
    }
    after = async () => {
      after = async () => {}
      await other.update(later.id, now, { label: 'after' })
    }
    const [a, b, c, d, e] = await Promise.all(rows.map((row) => store.advance(makeStep(row, now))))
    assert.deepEqual([a, b], [null, null])
    assert.deepEqual([c?.session.generation, c?.session.device.label], [1, 'between'])
    assert.equal(d?.session.generation, 1)
    assert.equal(e?.session.generation, 1)
    const labels = await Promise.all(
      [renamed, later, plain].map(async ({ id }) => (await findRow(store, id)).device.label),
    )
    assert.deepEqual(labels, ['between', 'after', undefined])
    await pool.end()
  })

  for (const errno of [1205, 1213, 1020]) {
    test(`conflict ${errno}: the statement is sent again`, async () => {
      const pool = newPool(await server.engine.database())
      let failures = 0
      const store = createMysqlStore({
        async query(statement) {
          if (failures-- > 0) throw Object.assign(new Error('conflict'), { errno, sqlState: '40001' })
          return pool.query(statement)
        },
      })
      await store.open(issuer)
      const now = Date.now()
      const row = makeSession(now)
      await store.create(row)
      failures = 3
      assert.ok(await store.advance(makeStep(row, now)))
      failures = 3
      assert.ok(await store.revoke(row.id, now, 'admin'))
      await pool.end()
    })
  }

  test('concurrent refreshes and sign-outs of one subject from two instances end without an error', async () => {
    const url = await server.engine.database()
    const pools = [newPool(url), newPool(url)] as const
    const stores = pools.map((pool) => createMysqlStore(pool))
    for (const store of stores) await store.open(issuer)
    const now = Date.now()
    for (let round = 0; round < 5; round++) {
      const rows = Array.from({ length: 30 }, () => makeSession(now, { subject: `round-${round}` }))
      await Promise.all(rows.map((row) => stores[0]!.create(row)))
      const calls = rows.map((row, index) => stores[index % 2]!.advance(makeStep(row, now)))
      const ended = await Promise.all(stores.map((store) => store.revokeSubject(`round-${round}`, now, 'admin')))
      await Promise.all(calls)
      assert.equal(new Set(ended.flat().map(({ id }) => id)).size, 30)
      assert.equal(ended.flat().length, 30)
    }
    for (const pool of pools) await pool.end()
  })

  test('a row that the server rejects fails alone in its batch, and the error has no values', async () => {
    const url = await server.engine.database()
    const pool = newPool(url)
    const store = createMysqlStore(pool)
    await store.open(issuer)
    const now = Date.now()
    const rows = Array.from({ length: 32 }, () => makeSession(now))
    await Promise.all(rows.map((row) => store.create(row)))
    // A trigger of the app that rejects one row.
    await once(
      url,
      `CREATE TRIGGER refuse BEFORE UPDATE ON daypass_session FOR EACH ROW
       IF NEW.ip = 'refused' THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not here'; END IF`,
    )
    const steps = rows.map((row, index) => makeStep(row, now, { ip: index === 20 ? 'refused' : '192.0.2.1' }))
    // A key that is too long for its column.
    steps[3] = { ...steps[3]!, key: randomBytes(300) }
    const answers = await Promise.allSettled(steps.map((step) => store.advance(step)))
    for (const [index, answer] of answers.entries()) {
      if (index !== 20 && index !== 3) {
        assert.equal(answer.status === 'fulfilled' && answer.value?.session.generation, 1)
        continue
      }
      assert.equal(answer.status, 'rejected')
      assert.equal(answer.reason.code, 'ERR_STORE_UNAVAILABLE')
      assert.doesNotMatch(`${answer.reason.cause}${answer.reason.stack}`, /UPDATE|X'/)
      sameRow(await store.find(rows[index]!.id), rows[index]!)
    }
    await pool.end()
  })

  test('a read-only server is reported by check and by writes', async () => {
    const url = await server.engine.database()
    const owner = newPool(url)
    await createMysqlStore(owner).open(issuer)
    await owner.end()
    const pool = newPool(url, { connectionLimit: 1 })
    const store = createMysqlStore(pool)
    await pool.query('SET SESSION TRANSACTION READ ONLY')
    await store.open(issuer)
    const row = makeSession(Date.now())
    await assert.rejects(store.check(), { code: 'ERR_STORE_READ_ONLY', status: 503 })
    await pool.query('SET SESSION TRANSACTION READ ONLY')
    await assert.rejects(store.create(row), { code: 'ERR_STORE_READ_ONLY', status: 503 })
    await store.check()
    await pool.end()
  })

  test('a user who may not make tables can use existing ones', async () => {
    const url = await server.engine.database()
    const owner = newPool(url)
    await createMysqlStore(owner).open(issuer)
    await owner.end()
    const user = `app_${process.pid}`
    await once(url, `CREATE USER ${user}@'%' IDENTIFIED BY 'app'`)
    await once(url, `GRANT SELECT, INSERT, UPDATE, DELETE ON daypass_session TO ${user}@'%'`)
    await once(url, `GRANT SELECT, INSERT, UPDATE ON daypass_schema TO ${user}@'%'`)
    const address = new URL(url)
    address.username = user
    address.password = 'app'
    const pool = newPool(address.href)
    const store = createMysqlStore(pool)
    await store.open(issuer)
    const now = Date.now()
    const row = makeSession(now)
    await store.create(row)
    assert.ok(await store.advance(makeStep(row, now)))
    await store.revoke(row.id, now, 'admin')
    assert.equal(await store.prune(now + hour, 10), 1)
    await store.check()
    await pool.end()
    await once(url, `DROP USER ${user}@'%'`)
  })

  test('of two issuers that open an empty database concurrently, one gets it and the other is rejected', async () => {
    const pool = newPool(await server.engine.database())
    const results = await Promise.allSettled(
      ['https://a.example', 'https://b.example'].map((each) => createMysqlStore(pool).open(each)),
    )
    assert.deepEqual(results.map(({ status }) => status).sort(), ['fulfilled', 'rejected'])
    assert.equal(results.find((result) => result.status === 'rejected')!.reason.code, 'ERR_STORE_ISSUER')
    await pool.end()
  })

  test('an older version, running or starting, is rejected on tables that it cannot use, and writes nothing', async () => {
    const url = await server.engine.database()
    const pool = newPool(url)
    const running = createMysqlStore(pool)
    await running.open(issuer)
    const now = Date.now()
    const row = makeSession(now)
    await running.create(row)
    // A newer version that only adds stops nobody.
    await once(url, "ALTER TABLE daypass_session ADD COLUMN later VARCHAR(9) NOT NULL DEFAULT 'x'")
    await once(url, 'UPDATE daypass_schema SET version = 2')
    await createMysqlStore(pool).open(issuer)
    await running.create(makeSession(now))
    assert.ok(await running.advance(makeStep(row, now)))

    await once(url, 'UPDATE daypass_schema SET version = 3, usable_from = 2')
    const all = () => once(url, 'SELECT * FROM daypass_session ORDER BY id')
    const before = await all()
    const isRejected = { code: 'ERR_STORE_SCHEMA', status: 503 }
    await assert.rejects(createMysqlStore(pool).open(issuer), isRejected)
    await assert.rejects(running.create(makeSession(now)), isRejected)
    await assert.rejects(running.advance(makeStep({ ...row, generation: 1 }, now)), isRejected)
    await assert.rejects(running.update(row.id, now, { label: 'x' }), isRejected)
    await assert.rejects(running.revoke(row.id, now, 'admin'), isRejected)
    await assert.rejects(running.revokeSubject(row.subject, now, 'admin'), isRejected)
    await assert.rejects(running.prune(now + 1e12, 100), isRejected)
    assert.deepEqual(await all(), before)
    // Roll back the newer version.
    await once(url, 'UPDATE daypass_schema SET version = 1, usable_from = 1')
    assert.ok(await running.advance(makeStep({ ...row, generation: 1 }, now)))
    await pool.end()
  })

  test('a newer version that takes the tables between a read and its write stops the write', async () => {
    const url = await server.engine.database()
    const pool = newPool(url)
    let isTaken = false
    const store = createMysqlStore({
      async query(statement) {
        if (!isTaken && /^\s*UPDATE/.test(statement.sql) && statement.sql.includes('JSON_TABLE')) {
          isTaken = true
          await once(url, 'UPDATE daypass_schema SET version = 3, usable_from = 2')
        }
        return pool.query(statement)
      },
    })
    await store.open(issuer)
    const row = makeSession(Date.now())
    await store.create(row)
    await assert.rejects(store.advance(makeStep(row, Date.now())), { code: 'ERR_STORE_SCHEMA' })
    sameRow(await store.find(row.id), row)
    await pool.end()
  })
})
