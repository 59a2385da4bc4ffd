// Tests of the SQLite store alone: files, disks, locks, transactions and query plans.

import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { type TestContext, test } from 'node:test'
import type { Store } from '../../src/core/store.ts'
import { isDaypassError } from '../../src/errors.ts'
import { createSqliteStore } from '../../src/stores/sqlite.ts'
import { openSqlite } from '../../src/stores/sqlite-database.ts'
import { findRow, issuer, makeSession, makeStep, sameRow } from '../../src/testing/store-harness.ts'
import { temporaryFolder } from './harness.ts'

const t0 = Date.now()
const refused = (code: Parameters<typeof isDaypassError>[1]) => (error: unknown) => {
  assert.ok(isDaypassError(error), String(error))
  assert.equal(error.code, code)
  assert.equal(error.status, 503)
  assert.doesNotMatch(error.message, /SQL|daypass_session|database is locked/, 'the engine’s own words stay inside')
  return true
}

/** A path in a temporary folder of the test. */
function temporaryFile(t: TestContext, name = 'daypass.db'): string {
  const folder = temporaryFolder()
  t.after(folder.remove)
  return join(folder.path, name)
}

/** Opens a store for the issuer of the tests. */
async function openStore(database: string | DatabaseSync): Promise<Store> {
  const store = createSqliteStore(database)
  await store.open(issuer)
  return store
}

/** Runs sqlite-process.ts to its end. */
async function inAnotherProcess(...args: string[]): Promise<void> {
  const [code] = await once(fork(join(import.meta.dirname, 'sqlite-process.ts'), args, { execArgv: [] }), 'exit')
  assert.equal(code, 0)
}

/** A DatabaseSync that records the statements given to `exec`. */
async function watched(path = ':memory:') {
  const executed: string[] = []
  const db = new DatabaseSync(path)
  const exec = db.exec.bind(db)
  db.exec = (sql) => {
    executed.push(sql)
    exec(sql)
  }
  const store = await openStore(db)
  executed.length = 0
  const count = (start: string) => executed.filter((sql) => sql.startsWith(start)).length
  return { db, store, executed, count }
}

test('rows survive closing and reopening', async (t) => {
  const path = temporaryFile(t)
  const first = await openStore(path)
  const session = makeSession(t0, { claims: { role: 'admin' }, device: { label: 'phone' } })
  await first.create(session)
  const advanced = await first.advance(makeStep(session, t0 + 1))
  const ended = makeSession(t0)
  await first.create(ended)
  await first.revoke(ended.id, t0, 'password')
  await first.close()
  const second = await openStore(path)
  sameRow(await second.find(session.id), advanced!.session)
  assert.equal((await findRow(second, ended.id)).revokedReason, 'password')
  await second.close()
})

test('missing parent folders are created', async (t) => {
  const path = temporaryFile(t, 'a/b/c/daypass.db')
  await (await openStore(path)).close()
  assert.ok(existsSync(path))
})

test('a resolved call is in the file: a copy taken at that moment, as after a crash, has it', async (t) => {
  const path = temporaryFile(t)
  const store = await openStore(path)
  const session = makeSession(t0)
  await store.create(session)
  const { session: row } = (await store.advance(makeStep(session, t0 + 1)))!
  const copy = temporaryFile(t)
  for (const part of ['', '-wal']) writeFileSync(copy + part, readFileSync(path + part))
  const found = await openStore(copy)
  sameRow(await found.find(session.id), row)
  await found.close()
  await store.close()
})

test('a file that Daypass opened itself has a WAL, and every commit waits for the disk (synchronous FULL)', async (t) => {
  const db = openSqlite(temporaryFile(t))
  const store = await openStore(db)
  assert.equal(db.prepare('PRAGMA journal_mode').get()!.journal_mode, 'wal')
  assert.equal(db.prepare('PRAGMA synchronous').get()!.synchronous, 2)
  await store.close()
  db.close()
})

test('only the owner can read files and folders that the store made; existing ones keep their modes', async (t) => {
  const modeOf = (path: string) => (statSync(path).mode & 0o777).toString(8)
  const umask = process.umask(0)
  t.after(() => process.umask(umask))
  const path = temporaryFile(t, 'a/b/daypass.db')
  const store = await openStore(path)
  await store.create(makeSession(t0))
  for (const suffix of ['', '-wal', '-shm']) assert.equal(modeOf(path + suffix), '600', suffix)
  assert.equal(modeOf(join(path, '..')), '700')
  assert.equal(modeOf(join(path, '../..')), '700')
  await store.close()

  const folder = join(temporaryFile(t), '..', 'of-the-app')
  mkdirSync(folder, { mode: 0o755 })
  writeFileSync(join(folder, 'app.db'), '', { mode: 0o644 })
  await (await openStore(join(folder, 'app.db'))).close()
  assert.equal(modeOf(folder), '755')
  assert.equal(modeOf(join(folder, 'app.db')), '644')
})

test('several processes that start together on one new file make its tables once, and all work', async (t) => {
  const path = temporaryFile(t)
  await Promise.all(Array.from({ length: 6 }, () => inAnotherProcess('create', path, '20')))
  const db = new DatabaseSync(path)
  assert.equal(db.prepare('SELECT * FROM daypass_schema').all().length, 1)
  db.close()
  const store = await openStore(path)
  assert.equal((await store.list('shared', Date.now(), 1000)).length, 120)
  await store.close()
})

test('several connections in one process that open a new file together all work', async (t) => {
  for (let round = 0; round < 5; round++) {
    const path = temporaryFile(t)
    const stores = await Promise.all(Array.from({ length: 5 }, () => openStore(path)))
    const sessions = stores.map(() => makeSession(t0))
    await Promise.all(stores.map((store, index) => store.create(sessions[index]!)))
    for (const [index, store] of stores.entries())
      sameRow(await store.find(sessions.at(-1 - index)!.id), sessions.at(-1 - index)!)
    for (const store of stores) await store.close()
  }
})

test('reopening changes nothing in the schema', async (t) => {
  const path = temporaryFile(t)
  const schema = () => {
    const db = new DatabaseSync(path, { readOnly: true })
    const rows = db.prepare('SELECT sql FROM sqlite_schema ORDER BY name').all()
    const version = db.prepare('PRAGMA schema_version').get()
    db.close()
    return JSON.stringify([rows, version])
  }
  await (await openStore(path)).close()
  const before = schema()
  await (await openStore(path)).close()
  assert.equal(schema(), before)
})

test('a file that is not a database is ERR_STORE_CORRUPT and is not changed', async (t) => {
  const path = temporaryFile(t)
  const garbage = Buffer.alloc(9000, 'this is a shopping list, not a database. ')
  writeFileSync(path, garbage)
  await assert.rejects(openStore(path), refused('ERR_STORE_CORRUPT'))
  assert.deepEqual(readFileSync(path), garbage)
})

test('a file damaged in the middle is ERR_STORE_CORRUPT at the first call that reads the damage', async (t) => {
  const path = temporaryFile(t)
  const first = await openStore(path)
  await Promise.all(Array.from({ length: 500 }, () => first.create(makeSession(t0))))
  await first.close()
  const bytes = readFileSync(path)
  bytes.fill(0xee, 4096 * 2)
  writeFileSync(path, bytes)
  await assert.rejects(async () => {
    const store = await openStore(path)
    await store.list('subject-1', t0, 100)
    await store.create(makeSession(t0))
  }, refused('ERR_STORE_CORRUPT'))
})

test('an empty file is a new database', async (t) => {
  const path = temporaryFile(t)
  writeFileSync(path, '')
  const store = await openStore(path)
  await store.check()
  await store.close()
})

test('a truncated file, or a folder in place of the file, is an error and not a crash', async (t) => {
  const path = temporaryFile(t)
  await (await openStore(path)).close()
  truncateSync(path, 100)
  await assert.rejects(openStore(path), refused('ERR_STORE_CORRUPT'))
  const folder = temporaryFile(t, 'folder.db')
  mkdirSync(folder)
  assert.throws(
    () => createSqliteStore(folder),
    (error) => {
      assert.ok(isDaypassError(error, 'ERR_OPTION_INVALID'))
      assert.ok(error.message.includes(folder), 'names the path')
      return true
    },
  )
})

test('a read-only file is ERR_STORE_READ_ONLY, at the start or at the first write', async (t) => {
  const path = temporaryFile(t)
  const writer = await openStore(path)
  const session = makeSession(t0)
  await writer.create(session)
  // Root ignores the file's permissions, so use a read-only connection instead.
  const db = new DatabaseSync(path, { readOnly: true })
  const reader = await openStore(db)
  sameRow(await reader.find(session.id), session)
  await assert.rejects(reader.advance(makeStep(session, t0 + 1)), refused('ERR_STORE_READ_ONLY'))
  await assert.rejects(reader.create(makeSession(t0)), refused('ERR_STORE_READ_ONLY'))
  await assert.rejects(reader.check(), refused('ERR_STORE_READ_ONLY'))
  db.close()
  await writer.close()
  const fresh = temporaryFile(t)
  new DatabaseSync(fresh).close()
  writeFileSync(fresh, '')
  const empty = new DatabaseSync(fresh, { readOnly: true })
  await assert.rejects(openStore(empty), refused('ERR_STORE_READ_ONLY'))
  empty.close()
})

test('a file locked by another process is ERR_STORE_LOCKED in bounded time, and works when it is unlocked', async (t) => {
  const path = temporaryFile(t)
  const store = await openStore(path)
  const session = makeSession(t0)
  await store.create(session)
  const locker = fork(join(import.meta.dirname, 'sqlite-process.ts'), ['lock', path], { execArgv: [] })
  await once(locker, 'message')
  const began = performance.now()
  const results = await Promise.allSettled([
    store.advance(makeStep(session, t0 + 1)),
    store.revoke(session.id, t0, 'admin'),
    store.check(),
  ])
  assert.ok(performance.now() - began < 3000, 'in bounded time')
  for (const result of results) {
    assert.equal(result.status, 'rejected')
    refused('ERR_STORE_LOCKED')(result.reason)
  }
  sameRow(await store.find(session.id), session, 'reads work, and nothing was changed')
  locker.send('let go')
  await once(locker, 'exit')
  assert.ok(await store.advance(makeStep(session, t0 + 1)))
  await store.close()
})

test('a call waits for a short lock', async (t) => {
  const path = temporaryFile(t)
  const store = await openStore(path)
  const session = makeSession(t0)
  await store.create(session)
  const locker = fork(join(import.meta.dirname, 'sqlite-process.ts'), ['lock', path], { execArgv: [] })
  await once(locker, 'message')
  locker.send('let go')
  assert.ok(await store.advance(makeStep(session, t0 + 1)))
  await once(locker, 'exit')
  await store.close()
})

test('the app’s own database keeps its tables and stays open', async (t) => {
  const path = temporaryFile(t)
  const db = new DatabaseSync(path)
  db.exec("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO users (name) VALUES ('Zoë')")
  const store = await openStore(db)
  const session = makeSession(t0)
  await store.create(session)
  await store.close()
  assert.deepEqual({ ...db.prepare('SELECT name FROM users').get() }, { name: 'Zoë' })
  const tables = db.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").all()
  assert.deepEqual(
    tables.map(({ name }) => name),
    ['daypass_schema', 'daypass_session', 'users'],
  )
  assert.equal((db.prepare('SELECT count(*) AS n FROM daypass_session').get() as { n: number }).n, 1)
  db.close()
})

test('100 concurrent advances share one transaction', async (t) => {
  const { db, store, executed, count } = await watched(temporaryFile(t))
  const sessions = Array.from({ length: 100 }, () => makeSession(t0))
  await Promise.all(sessions.map((session) => store.create(session)))
  assert.equal(count('COMMIT'), 1, 'creating too')
  executed.length = 0
  const answers = await Promise.all(sessions.map((session) => store.advance(makeStep(session, t0 + 1))))
  assert.ok(answers.every((answer) => answer !== null))
  assert.deepEqual(executed, ['BEGIN IMMEDIATE', 'COMMIT'])
  db.close()
})

test('calls that arrive during a batch, turn after turn, still share transactions', async () => {
  const { db, store, count } = await watched()
  const sessions = Array.from({ length: 32 }, () => makeSession(t0))
  await Promise.all(sessions.map((session) => store.create(session)))
  // 32 chains of 20 refreshes each, as 32 busy clients would.
  const chain = async (session: (typeof sessions)[number]) => {
    let row = session
    for (let i = 0; i < 20; i++) row = (await store.advance(makeStep(row, t0 + i)))!.session
    return row.generation
  }
  const generations = await Promise.all(sessions.map(chain))
  assert.ok(generations.every((generation) => generation === 20))
  assert.ok(count('COMMIT') <= 60, `640 advances took ${count('COMMIT')} transactions`)
  db.close()
})

test('a call that fails fails alone: the rest of its transaction is committed', async () => {
  const { db, store, executed } = await watched()
  const [a, b, c] = [makeSession(t0), makeSession(t0), makeSession(t0)]
  await store.create(a)
  executed.length = 0
  const results = await Promise.allSettled([store.create(b), store.create(a), store.create(c)])
  assert.deepEqual(
    results.map((result) => result.status),
    ['fulfilled', 'rejected', 'fulfilled'],
  )
  assert.deepEqual(executed, ['BEGIN IMMEDIATE', 'COMMIT'])
  for (const { id } of [a, b, c]) assert.ok(await store.find(id))
  db.close()
})

test('a commit that fails fails every call of its batch, and changes nothing', async () => {
  const { db, store } = await watched()
  const sessions = [makeSession(t0), makeSession(t0)]
  const exec = db.exec
  db.exec = (sql) => {
    if (sql === 'COMMIT') throw Object.assign(new Error('disk I/O error'), { errcode: 10 })
    exec.call(db, sql)
  }
  const results = await Promise.allSettled(sessions.map((session) => store.create(session)))
  for (const result of results) {
    assert.equal(result.status, 'rejected')
    refused('ERR_STORE_UNAVAILABLE')(result.reason)
  }
  db.exec = exec
  for (const { id } of sessions) assert.equal(await store.find(id), null)
  await store.create(sessions[0]!)
  db.close()
})

test('a refresh without a race is one transaction with one writing statement', async () => {
  const { db, store, executed } = await watched()
  const session = makeSession(t0)
  await store.create(session)
  executed.length = 0
  const before = (db.prepare('SELECT total_changes() AS n').get() as { n: number }).n
  await store.advance(makeStep(session, t0 + 1))
  const after = (db.prepare('SELECT total_changes() AS n').get() as { n: number }).n
  assert.equal(after - before, 1)
  assert.deepEqual(executed, ['BEGIN IMMEDIATE', 'COMMIT'])
  db.close()
})

test('find, advance, list, revoke, revokedSince and prune each use an index, by EXPLAIN QUERY PLAN', async () => {
  // Explain every statement that the store prepares, on the same database.
  const db = new DatabaseSync(':memory:')
  const statements: string[] = []
  const prepare = db.prepare.bind(db)
  db.prepare = (sql) => {
    if (/daypass_session\b/.test(sql) && !sql.includes('sqlite_schema')) statements.push(sql)
    return prepare(sql)
  }
  const store: Store = await openStore(db)
  await Promise.all(Array.from({ length: 200 }, (_, i) => store.create(makeSession(t0, { subject: `s${i % 20}` }))))
  db.exec('ANALYZE')
  const plans = statements
    .filter((sql) => !sql.startsWith('INSERT'))
    .map((sql) => {
      const plan = prepare(`EXPLAIN QUERY PLAN ${sql}`).all() as { detail: string }[]
      return { sql: sql.replaceAll(/\s+/g, ' '), plan: plan.map(({ detail }) => detail) }
    })
  assert.ok(plans.length >= 8, 'all statements were seen')
  for (const { sql, plan } of plans) {
    assert.ok(
      plan.some((detail) => detail.startsWith('SEARCH')),
      `${sql}: ${plan.join('; ')}`,
    )
    assert.ok(!plan.some((detail) => /^SCAN/.test(detail)), `${sql} scans: ${plan.join('; ')}`)
  }
  const used = (fragment: string) => plans.find(({ sql }) => sql.includes(fragment))!.plan.join('; ')
  assert.match(used('WHERE subject = :subject AND revoked_at IS NULL AND idle'), /daypass_session_subject/)
  assert.match(used('WHERE revoked_at >= :since'), /daypass_session_revoked/)
  assert.match(used('DELETE'), /daypass_session_idle.*daypass_session_revoked/)
  db.close()
})

test('drain waits for all batches, even if one batch keeps the event loop busy', async (t) => {
  const path = temporaryFile(t)
  const store = await openStore(path)
  const sessions = Array.from({ length: 2500 }, () => makeSession(t0))
  // More calls than one batch holds, and an immediate close.
  const created = Promise.all(sessions.map((session) => store.create(session)))
  await store.close()
  await created
  const again = await openStore(path)
  assert.equal((await again.list('subject-1', t0, 3000)).length, 2500)
  await again.close()
})

test('a row takes about as many bytes after 50 refreshes as before', async (t) => {
  const path = temporaryFile(t)
  const store = await openStore(path)
  let rows = Array.from({ length: 300 }, () =>
    makeSession(t0, { parentSalt: Buffer.alloc(8), parentKey: Buffer.alloc(16) }),
  )
  await Promise.all(rows.map((row) => store.create(row)))
  const size = () => {
    const db = new DatabaseSync(path)
    db.exec('PRAGMA wal_checkpoint(TRUNCATE)')
    db.close()
    return statSync(path).size
  }
  const before = size()
  for (let i = 0; i < 50; i++) {
    const advanced = await Promise.all(
      rows.map((row) => store.advance(makeStep(row, t0 + i, { key: Buffer.alloc(16, i) }))),
    )
    rows = advanced.map((each) => each!.session)
  }
  assert.ok(size() <= before * 1.3, `${before} bytes before, ${size()} after`)
  await store.close()
})
