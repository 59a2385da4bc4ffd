// The standalone server's accounts and rate limits in SQLite.

import type { DatabaseSync } from 'node:sqlite'
import { guard } from '../stores/sqlite-database.ts'
import type { Account, AccountStore } from './account-store.ts'

/** Accounts in a SQLite database; the limits survive a restart because they are rows. Calls throw `ERR_STORE_…`. */
export function createSqliteAccounts(db: DatabaseSync): AccountStore {
  db.exec(`
    CREATE TABLE IF NOT EXISTS daypass_account (
      id TEXT PRIMARY KEY, email TEXT NOT NULL UNIQUE, password_hash TEXT NOT NULL, created_at INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE IF NOT EXISTS daypass_try (key TEXT PRIMARY KEY, tries INTEGER NOT NULL, until INTEGER NOT NULL)
      STRICT, WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS daypass_try_until ON daypass_try (until);`)
  const insert = db.prepare('INSERT INTO daypass_account VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING')
  const byEmail = db.prepare('SELECT * FROM daypass_account WHERE email = ?')
  const byId = db.prepare('SELECT * FROM daypass_account WHERE id = ?')
  const update = db.prepare('UPDATE daypass_account SET password_hash = ? WHERE id = ?')
  const count = db.prepare(
    `INSERT INTO daypass_try VALUES (:key, 1, :now + :window) ON CONFLICT DO UPDATE SET
       tries = iif(until <= :now, 1, tries + 1), until = iif(until <= :now, :now + :window, until)
     RETURNING tries, until`,
  )
  const forget = db.prepare('DELETE FROM daypass_try WHERE key = ?')
  const forgetOld = db.prepare(
    'DELETE FROM daypass_try WHERE key IN (SELECT key FROM daypass_try WHERE until <= ? LIMIT 10)',
  )
  return {
    async open() {},
    create: async ({ id, email, passwordHash, createdAt }) =>
      guard(() => insert.run(id, email, passwordHash, createdAt).changes === 1),
    findByEmail: async (email) => guard(() => toAccount(byEmail.get(email))),
    findById: async (id) => guard(() => toAccount(byId.get(id))),
    setPassword: async (id, passwordHash) => void guard(() => update.run(passwordHash, id)),
    countTry: async (key, now, window) =>
      guard(() => {
        // A few old rows go whenever a new one may come, so that the table stays as small as the window.
        forgetOld.run(now - window)
        return count.get({ key, now, window }) as unknown as { tries: number; until: number }
      }),
    forgetTries: async (key) => void guard(() => forget.run(key)),
  }
}

function toAccount(row: Record<string, unknown> | undefined): Account | null {
  if (row === undefined) return null
  const { id, email, password_hash: passwordHash, created_at: createdAt } = row
  return { id, email, passwordHash, createdAt } as Account
}
