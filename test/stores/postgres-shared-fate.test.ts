// PostgreSQL: a locked row or a bad value of one session does not affect other refreshes.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { createDaypass } from '../../src/index.ts'
import { createPostgresStore, type PgPool } from '../../src/stores/postgres.ts'
import type { Store } from '../../src/testing/index.ts'
import { findRow, issuer, makeSession, makeStep, sameRow } from '../../src/testing/store-harness.ts'
import { once } from '../engines/postgres.ts'
import { countWaiting, holdLock, newPool, throughPostgresJs, until, usePostgres } from './postgres-setup.ts'

const server = usePostgres()

const key = () => randomBytes(16).toString('base64url')
const is503 = { status: 503, code: 'ERR_STORE_UNAVAILABLE' }
const lockSubject = (subject: string) => `SELECT 1 FROM daypass_session WHERE subject = '${subject}' FOR UPDATE`

test('while one row is locked, 32 others refresh, no statement waits, and no connection is held', async () => {
  const url = await server.engine.database()
  const pool = newPool(url, { max: 2 })
  const store = createPostgresStore(pool, { timeout: 10_000 })
  const auth = createDaypass({ secret: randomBytes(32), issuer, store })
  let locked = await auth.issue('locked')
  let others = await Promise.all(Array.from({ length: 32 }, (_, index) => auth.issue(`other-${index}`)))
  const lock = await holdLock(url, lockSubject('locked'))

  const order: string[] = []
  const idempotencyKey = key()
  const blocked = auth.refresh(locked.refreshToken, { idempotencyKey }).then((tokens) => {
    order.push('locked')
    return tokens
  })
  for (let round = 0; round < 5; round++) {
    others = await Promise.all(others.map(({ refreshToken }) => auth.refresh(refreshToken, { idempotencyKey: key() })))
    order.push('others')
    assert.equal(await countWaiting(url), 0)
  }
  await until(() => pool.idleCount === pool.totalCount)
  assert.equal(pool.waitingCount, 0)
  await lock.release()
  locked = await blocked
  assert.deepEqual(order, ['others', 'others', 'others', 'others', 'others', 'locked'])
  await auth.refresh(locked.refreshToken)
  await pool.end()
})

test('every call on a row that stays locked is 503; its retry succeeds', async () => {
  const url = await server.engine.database()
  const pool = newPool(url, { max: 1 })
  const store = createPostgresStore(pool, { timeout: 2000 })
  await store.open(issuer)
  const now = Date.now()
  const rows = [makeSession(now), makeSession(now), makeSession(now)] as const
  for (const row of rows) await store.create(row)
  const lock = await holdLock(url, `SELECT 1 FROM daypass_session WHERE id = '${uuidOf(rows[0].id)}' FOR UPDATE`)
  await Promise.all([
    assert.rejects(store.advance(makeStep(rows[0], now)), is503),
    assert.rejects(store.update(rows[0].id, now, { label: 'x' }), is503),
    assert.rejects(store.revoke(rows[0].id, now, 'sign-out'), is503),
    assert.rejects(store.revokeSubject(rows[0].subject, now, 'password', rows[1].id), is503),
  ])
  assert.equal(await countWaiting(url), 0)
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

const uuidOf = (id: string) => Buffer.from(id, 'base64url').toString('hex')

test('concurrent refreshes and sign-outs of one subject from two instances do not deadlock', async () => {
  const url = await server.engine.database()
  const pools = [newPool(url), newPool(url)] as const
  const [a, b] = pools.map((pool) => createPostgresStore(pool)) as [Store, Store]
  await a.open(issuer)
  for (let round = 0; round < 10; round++) {
    const now = Date.now()
    const rows = Array.from({ length: 30 }, () => makeSession(now, { subject: `subject-${round}` }))
    await Promise.all(rows.map((row) => a.create(row)))
    const answers = await Promise.all([
      ...rows.map((row) => a.advance(makeStep(row, now))),
      ...rows.toReversed().map((row) => b.advance(makeStep(row, now))),
      a.revokeSubject(`subject-${round}`, now, 'password').then(() => null),
      b.revokeSubject(`subject-${round}`, now, 'admin').then(() => null),
    ])
    assert.ok(answers.filter((answer) => answer !== null).length <= 30)
    assert.deepEqual(await a.list(`subject-${round}`, now, 100), [])
  }
  const [stat] = await once(url, 'SELECT deadlocks::int FROM pg_stat_database WHERE datname = current_database()')
  assert.equal(stat!.deadlocks, 0)
  for (const pool of pools) await pool.end()
})

test('with serializable transactions, conflicts are retried and no caller gets an error', async () => {
  const url = await server.engine.database()
  await once(url, `ALTER DATABASE ${new URL(url).pathname.slice(1)} SET default_transaction_isolation = 'serializable'`)
  const pool = newPool(url)
  const { client, end } = throughPostgresJs(url)
  const secret = randomBytes(32)
  const auths = [pool, client].map((each) => createDaypass({ secret, issuer, store: createPostgresStore(each) }))
  let tokens = await Promise.all(Array.from({ length: 32 }, (_, index) => auths[index % 2]!.issue(`subject-${index}`)))
  for (let round = 0; round < 5; round++) {
    tokens = await Promise.all(
      tokens.map(({ refreshToken }, index) =>
        auths[(index + round) % 2]!.refresh(refreshToken, { idempotencyKey: key() }),
      ),
    )
  }
  const ended = await Promise.all(tokens.map(({ session }, index) => auths[index % 2]!.revoke(session.id)))
  assert.ok(ended.every(Boolean))
  await pool.end()
  await end()
})

for (const state of ['40001', '40P01']) {
  test(`a statement that the engine aborted for a conflict (${state}) is sent again`, async () => {
    const url = await server.engine.database()
    const pool = newPool(url)
    let failures = 3
    const failing: PgPool = {
      async query(statement) {
        if (/WITH gate/.test(statement.text) && failures-- > 0) {
          throw Object.assign(new Error('could not serialize access'), { code: state })
        }
        return pool.query(statement)
      },
    }
    const store = createPostgresStore(failing)
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

test('a value that PostgreSQL cannot store fails alone in its batch; a large value is stored', async () => {
  const url = await server.engine.database()
  const pool = newPool(url)
  const store = createPostgresStore(pool)
  await store.open(issuer)
  const now = Date.now()
  const rows = Array.from({ length: 32 }, () => makeSession(now))
  await Promise.all(rows.map((row) => store.create(row)))
  // A trigger of the app that rejects one row.
  await once(
    url,
    `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
       BEGIN IF NEW.ip = 'refused' THEN RAISE 'not here'; END IF; RETURN NEW; END $$`,
  )
  await once(url, 'CREATE TRIGGER refuse BEFORE UPDATE ON daypass_session FOR EACH ROW EXECUTE FUNCTION refuse()')
  const large = 'x'.repeat(10_000)
  const bad = new Map<number, string>([
    [3, 'a\0b'],
    [17, '\ud800'],
    [20, 'refused'],
  ])
  const ipOf = (index: number) => bad.get(index) ?? (index === 9 ? large : '192.0.2.1')
  const answers = await Promise.allSettled(
    rows.map((row, index) => store.advance(makeStep(row, now, { ip: ipOf(index) }))),
  )
  for (const [index, answer] of answers.entries()) {
    if (!bad.has(index)) {
      assert.equal(answer.status === 'fulfilled' && answer.value?.session.device.ip, ipOf(index))
      continue
    }
    assert.equal(answer.status, 'rejected', JSON.stringify(ipOf(index)))
    assert.equal(answer.reason.code, 'ERR_STORE_UNAVAILABLE')
    sameRow(await store.find(rows[index]!.id), rows[index]!)
  }
  await pool.end()
})

test('a result list that begins with holes, as postgres.js makes after a broken connection, loses no row', async () => {
  const url = await server.engine.database()
  const pool = newPool(url)
  const store = createPostgresStore({
    unsafe(text: string, values: string[]) {
      const rows = pool.query({ text, values, rowMode: 'array' }).then((result) => {
        const list: unknown[] = []
        for (const [index, [value]] of result.rows.entries()) {
          list[index + 2] = [
            value === null ? null : Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)),
          ]
        }
        return list
      })
      return { raw: () => Object.assign(rows, { cancel() {} }) }
    },
  })
  await store.open(issuer)
  const row = makeSession(Date.now())
  await store.create(row)
  sameRow(await store.find(row.id), row)
  assert.ok(await store.advance(makeStep(row, Date.now())))
  await pool.end()
})

test('errors contain the engine’s text and no values', async () => {
  const url = await server.engine.database()
  const pool = newPool(url)
  const { client, end } = throughPostgresJs(url, { debug: true })
  for (const each of [pool, client]) {
    const store = createPostgresStore(each)
    await store.open(issuer)
    const secrets = { claims: { note: 'private-claims' }, subject: 'private-subject', device: { ip: 'private\0ip' } }
    for (const members of [secrets, { ...secrets, device: {}, id: 'AAAAAAAAAAAAAAAAAAAAAA' }]) {
      const row = makeSession(Date.now(), members)
      const error: any = await store.create(row).then(
        () => store.create(row).catch((error) => error),
        (error) => error,
      )
      assert.equal(error.code, 'ERR_STORE_UNAVAILABLE')
      assert.equal(typeof error.cause, 'string')
      assert.doesNotMatch(`${error.cause}${error.stack}`, /private/)
      await once(url, `DELETE FROM daypass_session`)
    }
  }
  await pool.end()
  await end()
})
