// The server's accounts in SQLite.

import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { setTimeout as delay } from 'node:timers/promises'
import { DaypassError } from 'daypass'
import { type Account, type AccountStore, checkSchema, nameTaken, schemaVersion } from './account-store.ts'
import { asStoreError } from './deadline.ts'

/** Milliseconds that a call waits for the lock of another process. */
const lockPatience = 1000

const names = ['daypass_account_schema', 'daypass_account']
const schema = `
  CREATE TABLE daypass_account_schema (usable_from INTEGER NOT NULL) STRICT;
  INSERT INTO daypass_account_schema VALUES (${schemaVersion});
  CREATE TABLE daypass_account (
    id TEXT PRIMARY KEY, email TEXT NOT NULL UNIQUE, password_hash TEXT NOT NULL, created_at INTEGER NOT NULL
  ) STRICT;`

/** Accounts in the database file of the sessions, on a connection of their own. Throws `ERR_STORE_…`. */
export function createSqliteAccounts(path: string): AccountStore & { close(): void } {
  const db = connect(path)
  const prepared = new Map<string, StatementSync>()
  const statement = (sql: string): StatementSync => {
    const found = prepared.get(sql) ?? db.prepare(sql)
    prepared.set(sql, found)
    return found
  }

  /** Whether the tables are there. They are made with their record at once: a table without one is an app's. */
  function isMade(): boolean {
    const columns = db.prepare("SELECT name FROM pragma_table_info('daypass_account_schema')").all()
    if (columns.some(({ name }) => name === 'usable_from')) {
      checkUsable()
      return true
    }
    const find = db.prepare('SELECT 1 FROM sqlite_schema WHERE name = ? COLLATE NOCASE')
    const taken = names.find((name) => find.get(name) !== undefined)
    if (taken !== undefined) throw nameTaken(taken)
    return false
  }

  function checkUsable(): void {
    checkSchema(statement('SELECT usable_from FROM daypass_account_schema').get()?.usable_from)
  }

  function transaction<T>(body: () => T): T {
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

  const read = <T>(body: () => T) =>
    whenFree(() => {
      const result = body()
      // After it: tables that are usable now were usable when they were read.
      checkUsable()
      return result
    })
  const write = <T>(body: () => T) =>
    whenFree(() =>
      transaction(() => {
        checkUsable()
        return body()
      }),
    )

  return {
    open: () =>
      whenFree(() => {
        // Read before anything is written, and again in the transaction: several processes may start at once.
        const wasMade = isMade()
        // A confirmed call survives a power cut. A file in WAL mode stays so.
        db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL')
        if (wasMade) return
        transaction(() => {
          if (!isMade()) db.exec(schema)
        })
      }),
    create: ({ id, email, passwordHash, createdAt }) =>
      write(() => {
        const insert = statement('INSERT INTO daypass_account VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING')
        return insert.run(id, email, passwordHash, createdAt).changes === 1
      }),
    findByEmail: (email) =>
      read(() => toAccount(statement('SELECT * FROM daypass_account WHERE email = ?').get(email))),
    findById: (id) => read(() => toAccount(statement('SELECT * FROM daypass_account WHERE id = ?').get(id))),
    setPassword: (id, from, to) =>
      write(() => {
        const update = statement('UPDATE daypass_account SET password_hash = ? WHERE id = ? AND password_hash = ?')
        return update.run(to, id, from).changes === 1
      }),
    close: () => db.close(),
  }
}

/** SQLite itself never waits for a lock: that would block the event loop. */
function connect(path: string): DatabaseSync {
  try {
    return new DatabaseSync(path, { timeout: 0 })
  } catch (cause) {
    throw new DaypassError('ERR_STORE_UNAVAILABLE', `The database file cannot be opened: ${path}`, { cause })
  }
}

/** Runs a body, and repeats it while another process holds the lock. */
async function whenFree<T>(body: () => T): Promise<T> {
  for (const until = performance.now() + lockPatience; ; await delay(5)) {
    try {
      return body()
    } catch (cause) {
      // SQLITE_BUSY and SQLITE_LOCKED, with any extended code (https://sqlite.org/rescode.html).
      const code = ((cause as { errcode?: number }).errcode ?? 0) & 0xff
      if (code !== 5 && code !== 6) throw asStoreError(cause)
      if (performance.now() > until) throw new DaypassError('ERR_STORE_LOCKED', undefined, { cause })
    }
  }
}

function toAccount(row: Record<string, unknown> | undefined): Account | null {
  if (row === undefined) return null
  const { id, email, password_hash: passwordHash, created_at: createdAt } = row
  return { id, email, passwordHash, createdAt } as Account
}
