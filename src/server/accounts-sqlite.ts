// The standalone server's accounts and rate limits in SQLite.

import type { DatabaseSync } from 'node:sqlite'
import { createSqlite, type Sqlite } from '../stores/sqlite-database.ts'
import type { Account, AccountStore } from './account-store.ts'

const schema = (prefix: string) => `
  CREATE TABLE main.${prefix}_account (
    id TEXT PRIMARY KEY, email TEXT NOT NULL UNIQUE, password_hash TEXT NOT NULL, created_at INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE main.${prefix}_try (key TEXT PRIMARY KEY, tries INTEGER NOT NULL, until INTEGER NOT NULL)
    STRICT, WITHOUT ROWID;
  CREATE INDEX main.${prefix}_try_until ON ${prefix}_try (until);`

/** Accounts in a SQLite database; the limits survive a restart because they are rows. Calls throw `ERR_STORE_…`. */
export function createSqliteAccounts(db: DatabaseSync, prefix?: string): AccountStore {
  const sqlite = createSqlite(db, 'account', prefix, schema)
  const { read, write } = sqlite
  let prepared: ReturnType<typeof prepareAll> | undefined
  /** At the first call, not before: until then there may be no tables. */
  const statements = () => {
    prepared ??= prepareAll(sqlite)
    return prepared
  }
  return {
    open: () => sqlite.open(null),
    create: ({ id, email, passwordHash, createdAt }) =>
      write(() => statements().insert.run(id, email, passwordHash, createdAt).changes === 1),
    findByEmail: (email) => read(() => toAccount(statements().byEmail.get(email))),
    findById: (id) => read(() => toAccount(statements().byId.get(id))),
    setPassword: (id, passwordHash) => write(() => void statements().update.run(passwordHash, id)),
    countTry: (key, now, window) =>
      write(() => {
        // A few old rows go whenever a new one may come, so that the table stays as small as the window.
        statements().forgetOld.run(now - window)
        return { ...statements().count.get({ key, now, window }) } as { tries: number; until: number }
      }),
    forgetTries: (key) => write(() => void statements().forget.run(key)),
  }
}

function prepareAll({ prepare, table }: Sqlite) {
  const accounts = table('account')
  const tries = table('try')
  return {
    insert: prepare(`INSERT INTO ${accounts} VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`),
    byEmail: prepare(`SELECT * FROM ${accounts} WHERE email = ?`),
    byId: prepare(`SELECT * FROM ${accounts} WHERE id = ?`),
    update: prepare(`UPDATE ${accounts} SET password_hash = ? WHERE id = ?`),
    count: prepare(
      `INSERT INTO ${tries} VALUES (:key, 1, :now + :window) ON CONFLICT DO UPDATE SET
         tries = iif(until <= :now, 1, tries + 1), until = iif(until <= :now, :now + :window, until)
       RETURNING tries, until`,
    ),
    forget: prepare(`DELETE FROM ${tries} WHERE key = ?`),
    forgetOld: prepare(`DELETE FROM ${tries} WHERE key IN (SELECT key FROM ${tries} WHERE until <= ? LIMIT 10)`),
  }
}

function toAccount(row: Record<string, unknown> | undefined): Account | null {
  if (row === undefined) return null
  const { id, email, password_hash: passwordHash, created_at: createdAt } = row
  return { id, email, passwordHash, createdAt } as Account
}
