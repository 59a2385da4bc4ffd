// The standalone server's accounts and rate limits in PostgreSQL.

import { createQuery, type PgPool, type PostgresJs } from '../stores/postgres-query.ts'
import type { Account, AccountStore } from './account-store.ts'

const migrations = [
  `CREATE TABLE IF NOT EXISTS daypass_account (
     id text PRIMARY KEY, email text NOT NULL UNIQUE, password_hash text NOT NULL, created_at int8 NOT NULL)`,
  'CREATE TABLE IF NOT EXISTS daypass_try (key text PRIMARY KEY, tries int4 NOT NULL, until int8 NOT NULL)',
  'CREATE INDEX IF NOT EXISTS daypass_try_until ON daypass_try (until)',
]

/** Makes the tables at the first call, as the sessions' are. Throws `ERR_STORE_…`. */
export function createPostgresAccounts(client: PgPool | PostgresJs): AccountStore {
  const query = createQuery(client, migrations)
  const findOne = async (condition: string, value: string): Promise<Account | null> => {
    const { rows } = await query(`SELECT * FROM daypass_account WHERE ${condition}`, [value])
    if (rows[0] === undefined) return null
    const { id, email, password_hash: passwordHash, created_at: createdAt } = rows[0]
    return { id, email, passwordHash, createdAt: Number(createdAt) }
  }
  return {
    async open() {},
    async create({ id, email, passwordHash, createdAt }) {
      const values = [id, email, passwordHash, createdAt]
      const { count } = await query(
        'INSERT INTO daypass_account VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING',
        values,
      )
      return count === 1
    },
    findByEmail: (email) => findOne('email = $1', email),
    findById: (id) => findOne('id = $1', id),
    async setPassword(id, passwordHash) {
      await query('UPDATE daypass_account SET password_hash = $2 WHERE id = $1', [id, passwordHash])
    },
    async countTry(key, now, window) {
      await query(
        `DELETE FROM daypass_try WHERE key IN (
           SELECT key FROM daypass_try WHERE until <= $1 LIMIT 10 FOR UPDATE SKIP LOCKED)`,
        [now - window],
      )
      const { rows } = await query(
        `INSERT INTO daypass_try AS t VALUES ($1, 1, $2::int8 + $3::int8) ON CONFLICT (key) DO UPDATE SET
           tries = CASE WHEN t.until <= $2::int8 THEN 1 ELSE t.tries + 1 END,
           until = CASE WHEN t.until <= $2::int8 THEN $2::int8 + $3::int8 ELSE t.until END
         RETURNING tries, until`,
        [key, now, window],
      )
      return { tries: rows[0]!.tries, until: Number(rows[0]!.until) }
    },
    async forgetTries(key) {
      await query('DELETE FROM daypass_try WHERE key = $1', [key])
    },
  }
}
