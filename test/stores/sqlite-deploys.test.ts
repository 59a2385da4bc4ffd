// SQLite shared by two versions of Daypass.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { type TestContext, test } from 'node:test'
import { isDaypassError } from '../../src/errors.ts'
import { createSqliteStore } from '../../src/stores/sqlite.ts'
import { issuer, makeSession, makeStep, sameRow } from '../../src/testing/store-harness.ts'
import { temporaryFolder } from './harness.ts'

const t0 = Date.now()
const isRefused = (error: unknown) => isDaypassError(error, 'ERR_STORE_SCHEMA')

function temporaryFile(t: TestContext): string {
  const folder = temporaryFolder()
  t.after(folder.remove)
  return `${folder.path}/app.db`
}

/** Changes the file as a newer version does, in one transaction. */
function migrate(path: string, usableFrom: number, sql: string): void {
  const db = new DatabaseSync(path)
  db.exec(`BEGIN IMMEDIATE; ${sql};
    UPDATE daypass_schema SET version = 2, usable_from = ${usableFrom} WHERE module = 'session'; COMMIT`)
  db.close()
}

const added = "ALTER TABLE daypass_session ADD COLUMN colour TEXT NOT NULL DEFAULT 'blue'"
const renamed = 'ALTER TABLE daypass_session RENAME COLUMN generation TO step'

test('a rolling deploy forward and back: a newer version only adds, and the older one works beside it', async (t) => {
  const path = temporaryFile(t)
  const running = createSqliteStore(path)
  await running.open(issuer)
  const session = makeSession(t0)
  await running.create(session)
  migrate(path, 1, added)
  // One store was running before the change, and one starts after it, as in a rollback.
  const starting = createSqliteStore(path)
  await starting.open(issuer)
  let row = session
  for (const store of [running, starting, running]) {
    sameRow(await store.find(row.id), row)
    row = (await store.advance(makeStep(row, t0 + 1)))!.session
    const born = makeSession(t0)
    await store.create(born)
    sameRow(await store.find(born.id), born)
    await store.check()
  }
  assert.equal((await running.list(session.subject, t0, 10)).length, 4)
  const db = new DatabaseSync(path)
  const kept = db.prepare("SELECT version, usable_from FROM daypass_schema WHERE module = 'session'").get()
  assert.deepEqual({ ...kept }, { version: 2, usable_from: 1 }, 'the older one takes nothing back')
  assert.equal(db.prepare("SELECT count(*) AS n FROM daypass_session WHERE colour = 'blue'").get()!.n, 4)
  db.close()
  await running.close()
  await starting.close()
})

test('an older program that starts on a newer file is rejected before anything is written', async (t) => {
  const path = temporaryFile(t)
  const first = createSqliteStore(path)
  await first.open(issuer)
  await first.close()
  migrate(path, 2, renamed)
  // A newer version may have switched the WAL off. The older one must not switch it on again.
  const db = new DatabaseSync(path)
  db.exec('PRAGMA journal_mode = DELETE')
  db.close()
  const before = readFileSync(path)
  const older = createSqliteStore(path)
  await assert.rejects(older.open(issuer), isRefused)
  await assert.rejects(older.open('https://other.example'), isRefused)
  await older.close()
  assert.deepEqual(readFileSync(path), before)
})

test('a running older program reads and writes nothing after a newer one has changed the tables', async (t) => {
  const path = temporaryFile(t)
  const older = createSqliteStore(path)
  await older.open(issuer)
  const session = makeSession(t0)
  await older.create(session)
  await older.advance(makeStep(session, t0 + 1))
  // A change that does not break the older one's statements.
  migrate(path, 2, 'UPDATE daypass_session SET generation = generation * 1000')
  const newer = new DatabaseSync(path)
  const rows = () => JSON.stringify(newer.prepare('SELECT * FROM daypass_session').all())
  const before = rows()
  const calls = {
    find: () => older.find(session.id),
    list: () => older.list(session.subject, t0, 10),
    revokedSince: () => older.revokedSince(0),
    create: () => older.create(makeSession(t0)),
    advance: () => older.advance(makeStep({ ...session, generation: 5000 }, t0 + 1)),
    update: () => older.update(session.id, t0, { label: 'x' }),
    revoke: () => older.revoke(session.id, t0, 'admin'),
    revokeSubject: () => older.revokeSubject(session.subject, t0, 'admin'),
    prune: () => older.prune(t0 + 1e12, 10),
    check: () => older.check(),
    open: () => older.open(issuer),
  }
  for (const [name, call] of Object.entries(calls)) await assert.rejects(call(), isRefused, name)
  assert.equal(rows(), before)
  newer.close()
  await older.close()
})
