// SQLite shared with others: the app's transactions, other processes' locks, and failing calls in a batch.

import assert from 'node:assert/strict'
import { DatabaseSync } from 'node:sqlite'
import { type TestContext, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { isDaypassError } from '../../src/errors.ts'
import { createSqliteStore } from '../../src/stores/sqlite.ts'
import { findRow, issuer, makeSession, makeStep, sameRow } from '../../src/testing/store-harness.ts'
import { temporaryFolder } from './harness.ts'

const t0 = Date.now()
const isLocked = (error: unknown) => isDaypassError(error, 'ERR_STORE_LOCKED')

function temporaryFile(t: TestContext): string {
  const folder = temporaryFolder()
  t.after(folder.remove)
  return `${folder.path}/app.db`
}

/** An app's database with a table, and a store on the same database. */
async function openApp(t: TestContext, path = ':memory:') {
  const db = new DatabaseSync(path)
  t.after(() => db.isOpen && db.close())
  db.exec('CREATE TABLE users (name TEXT)')
  const store = createSqliteStore(db)
  await store.open(issuer)
  const session = makeSession(t0)
  await store.create(session)
  return { db, store, session }
}

for (const begin of ['BEGIN', 'BEGIN IMMEDIATE', 'BEGIN EXCLUSIVE', 'SAVEPOINT app']) {
  test(`calls during a transaction of the app (${begin}) wait for its end, and are not rolled back with it`, async (t) => {
    const { db, store, session } = await openApp(t)
    db.exec(begin)
    db.exec("INSERT INTO users VALUES ('Zoë')")
    const born = makeSession(t0)
    const calls = Promise.all([
      store.advance(makeStep(session, t0 + 1)),
      store.create(born),
      store.find(session.id),
      store.list(session.subject, t0, 10),
      store.check(),
    ])
    await delay(50)
    assert.equal(db.isTransaction, true)
    db.exec(begin === 'SAVEPOINT app' ? 'ROLLBACK TO app; RELEASE app' : 'ROLLBACK')
    const [advanced] = await calls
    sameRow(await store.find(session.id), advanced!.session)
    sameRow(await store.find(born.id), born)
    assert.deepEqual(db.prepare('SELECT * FROM users').all(), [])
  })
}

test('an open transaction of the app is ERR_STORE_LOCKED, the error explains it, and the transaction is not touched', async (t) => {
  const { db, store, session } = await openApp(t)
  db.exec("BEGIN; INSERT INTO users VALUES ('Zoë')")
  const step = makeStep(session, t0 + 1)
  const calls = [store.advance(step), store.find(session.id), store.check(), store.open(issuer)]
  for (const result of await Promise.allSettled(calls)) {
    assert.equal(result.status, 'rejected')
    assert.ok(isLocked(result.reason))
    assert.match(String(result.reason.cause), /DatabaseSync/)
  }
  assert.equal(db.isTransaction, true)
  db.exec('COMMIT')
  assert.equal(db.prepare('SELECT * FROM users').all().length, 1)
  sameRow(await store.find(session.id), session)
  assert.ok(await store.advance(step))
})

test('neither a half-read statement of the app nor constant writes of the app block calls', async (t) => {
  const { db, store, session } = await openApp(t, temporaryFile(t))
  db.exec("INSERT INTO users VALUES ('a'), ('b'), ('c')")
  const rows = db.prepare('SELECT * FROM users').iterate()
  rows.next()
  assert.ok(await store.advance(makeStep(session, t0 + 1)))
  assert.deepEqual([...rows].length, 2)
  let row = await findRow(store, session.id)
  for (let n = 0; n < 20; n++) {
    db.exec(`BEGIN; INSERT INTO users VALUES ('${n}'); COMMIT`)
    row = (await store.advance(makeStep(row, t0 + n)))!.session
  }
  assert.equal(row.generation, 21)
})

test('while another process holds the lock, the event loop continues', async (t) => {
  const path = temporaryFile(t)
  const store = createSqliteStore(path)
  await store.open(issuer)
  const session = makeSession(t0)
  await store.create(session)
  const locker = new DatabaseSync(path)
  locker.exec('BEGIN IMMEDIATE')
  let turns = 0
  const timer = setInterval(() => turns++, 1)
  const refused = assert.rejects(store.advance(makeStep(session, t0 + 1)), isLocked)
  // Reads succeed meanwhile.
  sameRow(await store.find(session.id), session)
  await refused
  clearInterval(timer)
  assert.ok(turns >= 10, `${turns} turns while a call waited a second`)
  locker.exec('ROLLBACK')
  locker.close()
  assert.ok(await store.advance(makeStep(session, t0 + 1)))
  await store.close()
})

test('a thousand calls that wait for one lock fail at the same time', async (t) => {
  const path = temporaryFile(t)
  const store = createSqliteStore(path)
  await store.open(issuer)
  const locker = new DatabaseSync(path)
  locker.exec('BEGIN IMMEDIATE')
  const began = performance.now()
  const results = await Promise.allSettled(Array.from({ length: 1000 }, () => store.create(makeSession(t0))))
  assert.ok(results.every((result) => result.status === 'rejected' && isLocked(result.reason)))
  assert.ok(performance.now() - began < 20_000, 'one after another it would be a thousand seconds')
  locker.close()
  await store.close()
})

test('if a reader in another process blocks a rollback journal’s commit, the batch fails as a whole and is reported', async (t) => {
  const path = temporaryFile(t)
  const { db, store, session } = await openApp(t, path)
  assert.equal(db.prepare('PRAGMA journal_mode').get()!.journal_mode, 'delete')
  db.exec('PRAGMA busy_timeout = 20')
  const reader = new DatabaseSync(path)
  reader.exec('BEGIN; SELECT * FROM users; SELECT count(*) FROM daypass_session')
  const rows = reader.prepare('SELECT * FROM daypass_session').iterate()
  rows.next()
  const born = [makeSession(t0), makeSession(t0)]
  const results = await Promise.allSettled([
    ...born.map((each) => store.create(each)),
    store.advance(makeStep(session, t0 + 1)),
  ])
  assert.ok(results.every((result) => result.status === 'rejected' && isLocked(result.reason)))
  reader.close()
  for (const { id } of born) assert.equal(await store.find(id), null)
  sameRow(await store.find(session.id), session)
  await Promise.all(born.map((each) => store.create(each)))
})

test('an error that rolls back the whole transaction fails only the call that caused it', async (t) => {
  const { db, store } = await openApp(t)
  // The trigger does the same as SQLite on a full disk: it rolls back the whole transaction.
  db.exec(`CREATE TRIGGER full BEFORE INSERT ON daypass_session WHEN NEW.subject = 'too much'
    BEGIN SELECT RAISE(ROLLBACK, 'no room'); END`)
  const good = Array.from({ length: 20 }, () => makeSession(t0))
  const bad = makeSession(t0, { subject: 'too much' })
  const results = await Promise.allSettled(
    [...good.slice(0, 10), bad, ...good.slice(10)].map((session) => store.create(session)),
  )
  assert.deepEqual(
    results.flatMap((result, index) => (result.status === 'rejected' ? [index] : [])),
    [10],
  )
  for (const session of good) sameRow(await store.find(session.id), session)
  assert.equal(await store.find(bad.id), null)
})

test('two apps with different prefixes share a file and no session', async (t) => {
  const db = new DatabaseSync(':memory:')
  t.after(() => db.close())
  const one = createSqliteStore(db, { prefix: 'one' })
  const two = createSqliteStore(db, { prefix: 'two' })
  await Promise.all([one.open('https://one.example'), two.open('https://two.example')])
  const session = makeSession(t0)
  await one.create(session)
  assert.equal(await two.find(session.id), null)
  assert.deepEqual(await two.list(session.subject, t0, 10), [])
  await assert.rejects(two.open('https://one.example'), (error) => isDaypassError(error, 'ERR_STORE_ISSUER'))
  const names = db.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").all()
  assert.deepEqual(
    names.map(({ name }) => name),
    ['one_schema', 'one_session', 'two_schema', 'two_session'],
  )
  assert.throws(() => createSqliteStore(db, { prefix: 'x; DROP TABLE users' }), { code: 'ERR_OPTION_INVALID' })
})
