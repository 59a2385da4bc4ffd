// Opens, reads and writes a SQLite database, and translates its errors.

import { closeSync, mkdirSync, openSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { setTimeout as delay } from 'node:timers/promises'
import { DaypassError, type ErrorCode } from '../errors.ts'
import { wrongKind, wrongOption } from '../option.ts'
import { createGroupCommit, type Settled } from './group-commit.ts'
import {
  checkSchema,
  checkVersion,
  namesIn,
  nameTaken,
  readPrefix,
  readRecord,
  schemaKey,
  schemaVersion,
} from './schema-record.ts'
import { createTables } from './sqlite-sql.ts'
import { createErrorTranslator, fieldsOf } from './store-error.ts'

/** How long a call waits for another process's lock, or for a transaction of the app's own, in milliseconds. */
const patience = 1000

/** The files that Daypass opened itself. The app sets up all others. */
const opened = new WeakSet<DatabaseSync>()

/**
 * Opens a file. Makes missing files and folders, which only their owner can read.
 *
 * @throws DaypassError `ERR_OPTION_INVALID`, `ERR_STORE_…`.
 */
export function openSqlite(path: string): DatabaseSync {
  // SQLite also accepts `file:` addresses, which hide what file they name. Any other address would become a folder.
  const [scheme] = /^[a-z][a-z\d+.-]+:/i.exec(path) ?? []
  // Without the rest, which may hold a password.
  if (scheme !== undefined) throw wrongOption('database', `${scheme}…`, instead)
  if (path === '') throw wrongOption('database', path, instead)
  if (/^~(?:[^/\\]*[/\\]|$)/.test(path)) {
    throw wrongOption('database', path, "Only a shell replaces `~`. Write join(homedir(), 'daypass.db').")
  }
  if (path !== ':memory:' && isFolder(path)) {
    throw wrongOption('database', path, `That is a folder. ${instead}`)
  }
  const { DatabaseSync } = loadSqlite()
  return guard(() => {
    if (path !== ':memory:') createPrivately(path)
    // The event loop stands still while SQLite itself waits for a lock, so it waits for an instant and `whenFree` longer.
    const db = new DatabaseSync(path, { timeout: 20 })
    opened.add(db)
    return db
  }, path)
}

const instead = "Give the path of a file, such as './data/daypass.db', or a DatabaseSync of node:sqlite."

/** Checks that a database is one of node:sqlite. Other libraries have a `prepare`, too. */
export function checkDatabase(database: unknown): void {
  const isDatabase = typeof database === 'object' && database !== null && 'isTransaction' in database
  if (!isDatabase) throw wrongKind('database', database, instead)
}

const isFolder = (path: string) =>
  /[/\\]$/.test(path) || statSync(path, { throwIfNoEntry: false })?.isDirectory() === true

/**
 * Node's own SQLite. It is loaded here and not imported, because Node 20 has none: the error of an import would not say
 * what to do.
 */
function loadSqlite(): typeof import('node:sqlite') {
  const sqlite = process.getBuiltinModule?.('node:sqlite')
  if (sqlite !== undefined) return sqlite
  throw new DaypassError(
    'ERR_OPTION_INVALID',
    `daypass/sqlite needs node:sqlite, which Node 22.18 and newer have. This is Node ${process.versions.node}: update it, or use another store.`,
  )
}

function createPrivately(path: string): void {
  mkdirSync(dirname(resolve(path)), { recursive: true, mode: 0o700 })
  try {
    // SQLite gives the files beside it (WAL, SHM, journal) the permissions that this one has.
    closeSync(openSync(path, 'wx', 0o600))
  } catch (error) {
    if (fieldsOf(error).code !== 'EEXIST') throw error
  }
}

/** The store's tables in a SQLite database. */
export interface Sqlite {
  /**
   * Makes the tables that do not exist yet, and claims them for an issuer.
   *
   * @throws DaypassError `ERR_STORE_SCHEMA`, `ERR_STORE_ISSUER`, and `ERR_OPTION_INVALID` where a table under the prefix
   *   is not ours; nothing was written then.
   */
  open(issuer: string): Promise<void>
  /** A table's full name, so that no temporary table or attached database of the app's stands before it. */
  table(name: string): string
  /** Prepares a statement. Its rows and parameters are the same, whatever the app's database is set to. */
  prepare(sql: string): StatementSync
  /** Prepares a statement whose rows are arrays of values. */
  prepareArrays(sql: string): StatementSync
  /** Runs a body that reads. */
  read<T>(body: () => T): Promise<T>
  /** Runs a body in a transaction that it shares with others that came at the same time. */
  write<T>(body: () => T): Promise<T>
  /** Writes what needs a page of its own, and takes it back. */
  check(): Promise<void>
  /** Resolves when no call is running. */
  drain(): Promise<void>
}

/** @throws DaypassError `ERR_OPTION_INVALID`. */
export function createSqlite(db: DatabaseSync, prefix: string | undefined): Sqlite {
  const name = readPrefix(prefix)
  const schema = createTables(name, 'main.').join(';')
  const record = `main.${name}_schema`

  function prepareAs(areArrays: boolean, sql: string): StatementSync {
    const statement = db.prepare(sql)
    statement.setReadBigInts(false)
    statement.setReturnArrays(areArrays)
    statement.setAllowBareNamedParameters(true)
    return statement
  }
  const prepare = (sql: string) => prepareAs(false, sql)

  /**
   * Whether the tables are there, and may be used by this program and for this issuer. They are made in one transaction
   * with their record, so a table without a record is not ours.
   */
  function isReady(issuer: string): boolean {
    const find = prepare('SELECT name AS name FROM main.sqlite_schema WHERE name = ? COLLATE NOCASE')
    if (find.get(`${name}_schema`) !== undefined) {
      const columns = prepare(
        `SELECT 1 FROM pragma_table_info(?, 'main') WHERE name IN ('module', 'version', 'usable_from', 'issuer')`,
      ).all(`${name}_schema`)
      if (columns.length !== 4) throw nameTaken(`${name}_schema`)
      const found = prepare(
        `SELECT version AS version, usable_from AS "usableFrom", issuer AS issuer FROM ${record} WHERE module = ?`,
      ).get(schemaKey)
      if (found !== undefined) {
        const { version, usableFrom, issuer: owner } = found
        checkSchema(readRecord({ version, usableFrom, issuer: owner }), issuer)
        return true
      }
    }
    const taken = namesIn(schema).find((each) => find.get(each) !== undefined)
    if (taken !== undefined) throw nameTaken(taken)
    return false
  }

  function make(issuer: string): void {
    db.exec(schema)
    const version = schemaVersion
    prepare(`INSERT INTO ${record} VALUES (?, ?, ?, ?)`).run(schemaKey, version, version, issuer)
  }

  let usableFrom: StatementSync | undefined
  /** A newer program may have changed the tables while this one runs. */
  function checkUsable(): void {
    usableFrom ??= prepare(`SELECT usable_from AS "usableFrom" FROM ${record} WHERE module = ?`)
    checkVersion(usableFrom.get(schemaKey)?.usableFrom)
  }

  /** One transaction for all calls. An error of one call fails only that call. */
  function commitTogether<T>(calls: (() => T)[]): Promise<Settled<T>[]> {
    return whenFree(db, () =>
      transaction(db, () => {
        checkUsable()
        return calls.map((call): Settled<T> => {
          try {
            return { value: call() }
          } catch (error) {
            // Most errors undo their own statement alone. Those that undo all of it leave no transaction.
            if (!db.isTransaction) throw error
            return { error: asSqliteError(error) }
          }
        })
      }),
    )
  }

  /** A transaction for each, where the one for all was undone: one call may have been the reason. */
  async function commitEach<T>(calls: (() => T)[]): Promise<Settled<T>[]> {
    const results: Settled<T>[] = []
    let locked: DaypassError | undefined
    for (const call of calls) {
      try {
        if (locked !== undefined) throw locked
        results.push(...(await commitTogether([call])))
      } catch (error) {
        // Do not wait for the same lock again for each call.
        if (error instanceof DaypassError && error.code === 'ERR_STORE_LOCKED') locked = error
        results.push({ error })
      }
    }
    return results
  }

  const writes = createGroupCommit<() => unknown, unknown>((calls) =>
    commitTogether(calls).catch((error: DaypassError) => {
      if (calls.length === 1 || error.code === 'ERR_STORE_LOCKED') throw error
      return commitEach(calls)
    }),
  )
  const write = <T>(body: () => T) => writes.run(body) as Promise<T>

  return {
    open: (issuer) =>
      whenFree(db, () => {
        // Check before anything is written, and again in the transaction, because several processes may start together.
        const isMade = isReady(issuer)
        makeDurable(db)
        if (isMade) return
        transaction(db, () => {
          if (!isReady(issuer)) make(issuer)
        })
      }),
    table: (suffix) => `main.${name}_${suffix}`,
    prepare,
    prepareArrays: (sql) => prepareAs(true, sql),
    read: (body) =>
      whenFree(db, () => {
        const result = body()
        // After it: where the tables are still ours to use now, they were when they were read.
        checkUsable()
        return result
      }),
    write,
    check: () =>
      write(() => {
        prepare(`INSERT INTO ${record} VALUES ('check', 0, 0, printf('%10000s', ''))`).run()
        prepare(`DELETE FROM ${record} WHERE module = 'check'`).run()
      }),
    drain: writes.drain,
  }
}

/** An answered call must survive a power cut: a journal that can undo, and commits that wait for the disk. */
function makeDurable(db: DatabaseSync): void {
  if (opened.has(db)) db.exec('PRAGMA journal_mode = WAL')
  const mode = String(Object.values(db.prepare('PRAGMA main.journal_mode').get() as object)[0])
  if (mode === 'off') {
    throw new DaypassError(
      'ERR_OPTION_INVALID',
      'The DatabaseSync has `journal_mode = OFF`, so nothing could be undone; use another journal mode.',
    )
  }
  // EXTRA also writes the folder, which the deletion of a rollback journal needs. A WAL is not deleted.
  db.exec(`PRAGMA main.synchronous = ${mode === 'wal' ? 'FULL' : 'EXTRA'}`)
}

/**
 * Runs a body when the database can take it. The locks of other processes are waited for, and a transaction of the app's
 * own on the same connection: its rollback would undo the body's writes. The event loop continues meanwhile.
 */
async function whenFree<T>(db: DatabaseSync, body: () => T): Promise<T> {
  for (const until = performance.now() + patience; ; await delay(5)) {
    const isLate = performance.now() > until
    try {
      if (!db.isTransaction) return body()
      const cause = 'a transaction of the app’s own is open on this DatabaseSync; give Daypass a path instead'
      throw new DaypassError('ERR_STORE_LOCKED', undefined, { cause })
    } catch (error) {
      const failure = asSqliteError(error)
      if (isLate || failure.code !== 'ERR_STORE_LOCKED') throw failure
    }
  }
}

/** Runs a body in one write transaction. The lock is taken first, so that a body never fails half-way for want of it. */
function transaction<T>(db: DatabaseSync, body: () => T): T {
  db.exec('BEGIN IMMEDIATE')
  try {
    const result = body()
    db.exec('COMMIT')
    return result
  } catch (error) {
    if (db.isTransaction) db.exec('ROLLBACK')
    throw error
  }
}

// SQLite's primary result codes (https://sqlite.org/rescode.html).
const errorCodes: Record<number, ErrorCode> = {
  5: 'ERR_STORE_LOCKED',
  6: 'ERR_STORE_LOCKED',
  8: 'ERR_STORE_READ_ONLY',
  11: 'ERR_STORE_CORRUPT',
  13: 'ERR_STORE_FULL',
  26: 'ERR_STORE_CORRUPT',
}
/** Of the file system. */
const fileCodes: Record<string, ErrorCode> = {
  EACCES: 'ERR_STORE_READ_ONLY',
  EROFS: 'ERR_STORE_READ_ONLY',
  ENOSPC: 'ERR_STORE_FULL',
}
// Of the extended codes of SQLITE_IOERR: the file beside the WAL could not be made longer.
const shmSize = 4874

const asSqliteError = createErrorTranslator((error) => {
  const { errcode, code } = fieldsOf(error)
  const primary = typeof errcode === 'number' ? errorCodes[errcode & 0xff] : undefined
  const ofFile = typeof code === 'string' ? fileCodes[code] : undefined
  return { code: errcode === shmSize ? 'ERR_STORE_FULL' : (primary ?? ofFile), cause: error }
})

/** Opens a file. An error without its own message names the path. */
function guard<T>(call: () => T, path: string): T {
  try {
    return call()
  } catch (cause) {
    const error = asSqliteError(cause)
    if (error.code !== 'ERR_STORE_UNAVAILABLE') throw error
    throw new DaypassError(error.code, `The database file cannot be opened: ${path}`, { cause })
  }
}
