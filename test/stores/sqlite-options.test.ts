// The whole contract on a DatabaseSync, with each option that apps can set.

import assert from 'node:assert/strict'
import { join } from 'node:path'
import { DatabaseSync, type DatabaseSyncOptions } from 'node:sqlite'
import { describe, test } from 'node:test'
import { isDaypassError } from '../../src/errors.ts'
import { createSqliteStore } from '../../src/stores/sqlite.ts'
import { type StoreHarness, storeContract } from '../../src/testing/index.ts'
import { issuer } from '../../src/testing/store-harness.ts'
import { temporaryFolder } from './harness.ts'

interface Setup {
  options?: DatabaseSyncOptions
  /** Prepares the database as an app might, before Daypass gets it. */
  sql?: string
  /** Whether the database is a file. */
  file?: true
}

const everyOption: DatabaseSyncOptions = {
  readBigInts: true,
  returnArrays: true,
  allowBareNamedParameters: false,
  allowUnknownNamedParameters: true,
  enableForeignKeyConstraints: false,
  enableDoubleQuotedStringLiterals: true,
}

const setups: Record<string, Setup> = {
  readBigInts: { options: { readBigInts: true } },
  returnArrays: { options: { returnArrays: true } },
  'allowBareNamedParameters: false': { options: { allowBareNamedParameters: false } },
  allowUnknownNamedParameters: { options: { allowUnknownNamedParameters: true } },
  'enableForeignKeyConstraints: false': { options: { enableForeignKeyConstraints: false } },
  enableDoubleQuotedStringLiterals: { options: { enableDoubleQuotedStringLiterals: true } },
  'timeout: 0': { options: { timeout: 0 } },
  'every option together': { options: everyOption },
  'a rollback journal (the default), every option': { options: everyOption, file: true },
  'journal_mode = TRUNCATE': { sql: 'PRAGMA journal_mode = TRUNCATE', file: true },
  'journal_mode = PERSIST': { sql: 'PRAGMA journal_mode = PERSIST', file: true },
  'journal_mode = MEMORY': { sql: 'PRAGMA journal_mode = MEMORY', file: true },
  'journal_mode = WAL, every option': { options: everyOption, sql: 'PRAGMA journal_mode = WAL', file: true },
  'locking_mode = EXCLUSIVE': { sql: 'PRAGMA locking_mode = EXCLUSIVE', file: true },
  'encoding = UTF-16': { sql: "PRAGMA encoding = 'UTF-16'" },
  'page_size = 512, auto_vacuum, secure_delete': {
    sql: 'PRAGMA page_size = 512; PRAGMA auto_vacuum = FULL; PRAGMA secure_delete = ON',
  },
  full_column_names: { sql: 'PRAGMA full_column_names = ON; PRAGMA short_column_names = OFF' },
  'reverse_unordered_selects, recursive_triggers': {
    sql: 'PRAGMA reverse_unordered_selects = ON; PRAGMA recursive_triggers = ON',
  },
  'attached and temporary tables of the same names': {
    sql: `ATTACH ':memory:' AS other;
      CREATE TABLE other.daypass_session (x); CREATE TABLE other.daypass_schema (x);
      CREATE TEMP TABLE daypass_session (y); CREATE TEMP TABLE daypass_schema (y);`,
  },
}

function harness({ options = {}, sql = '', file }: Setup): StoreHarness {
  const closed: (() => void)[] = []
  let opened: DatabaseSync | undefined
  return {
    async open() {
      const folder = temporaryFolder()
      const db = new DatabaseSync(file ? join(folder.path, 'app.db') : ':memory:', options)
      db.exec(sql)
      closed.push(() => db.close(), folder.remove)
      opened ??= db
      return createSqliteStore(db)
    },
    async rawRows() {
      const statement = opened!.prepare('SELECT * FROM main.daypass_session')
      statement.setReturnArrays(true)
      const values = (statement.all() as unknown as unknown[][]).flat()
      return values.map((value) => (value instanceof Uint8Array ? value : String(value)))
    },
    async cleanup() {
      for (const close of closed.splice(0)) close()
      opened = undefined
    },
  }
}

for (const [name, setup] of Object.entries(setups)) {
  describe(`the whole contract, with ${name}`, () => {
    for (const rule of storeContract) {
      test(rule.name, (t) => rule.run({ ...harness(setup), note: (line) => t.diagnostic(line) }))
    }
  })
}

test('journal_mode = OFF is rejected by name, because a failed call could not be rolled back', async () => {
  // A newer Node allows it only with another option.
  const db = new DatabaseSync(':memory:', { defensive: false } as DatabaseSyncOptions)
  db.exec('PRAGMA journal_mode = OFF')
  await assert.rejects(
    createSqliteStore(db).open(issuer),
    (error) => isDaypassError(error, 'ERR_OPTION_INVALID') && error.message.includes('journal_mode'),
  )
  assert.deepEqual(db.prepare('SELECT name FROM sqlite_schema').all(), [])
  db.close()
})

test('the journal mode of a file that the app opened is kept; commits wait for the disk in each mode', async (t) => {
  const folder = temporaryFolder()
  t.after(folder.remove)
  for (const [mode, synchronous] of [
    ['delete', 3],
    ['truncate', 3],
    ['persist', 3],
    ['wal', 2],
  ] as const) {
    const db = new DatabaseSync(join(folder.path, mode))
    db.exec(`PRAGMA journal_mode = ${mode}; PRAGMA synchronous = OFF`)
    await createSqliteStore(db).open(issuer)
    assert.equal(db.prepare('PRAGMA journal_mode').get()!.journal_mode, mode)
    assert.equal(db.prepare('PRAGMA synchronous').get()!.synchronous, synchronous)
    db.close()
  }
})

test('a read-only database is ERR_STORE_READ_ONLY at the first write', async () => {
  const db = new DatabaseSync(':memory:')
  db.exec('PRAGMA query_only = ON')
  await assert.rejects(createSqliteStore(db).open(issuer), (error) => isDaypassError(error, 'ERR_STORE_READ_ONLY'))
  db.close()
})

test('a file URL and an empty path are rejected', () => {
  for (const path of ['', 'file:x.db', 'file::memory:?cache=shared', 'FILE:x.db?mode=ro']) {
    assert.throws(
      () => createSqliteStore(path),
      (error) => isDaypassError(error, 'ERR_OPTION_INVALID'),
    )
  }
})
