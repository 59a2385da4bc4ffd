// The standalone server's accounts and rate limits in PostgreSQL.

import { createQuery, type PgPool, type PostgresJs } from '../stores/postgres-query.ts'
import { openModule } from '../stores/postgres-schema.ts'
import { readPrefix } from '../stores/schema.ts'
import type { Account, AccountStore } from './account-store.ts'

/** The tables are made by `open`, whatever else is in the database. Throws `ERR_STORE_…`. */
export function createPostgresAccounts(
  client: PgPool | PostgresJs,
  options: { prefix?: string; timeout?: number } = {},
): AccountStore {
  const prefix = readPrefix(options.prefix)
  const query = createQuery(client, options.timeout)
  const tables = [
    `CREATE TABLE IF NOT EXISTS ${prefix}_account (
       id text PRIMARY KEY, email text NOT NULL UNIQUE, password_hash text NOT NULL, created_at int8 NOT NULL)`,
    `CREATE TABLE IF NOT EXISTS ${prefix}_try (key text PRIMARY KEY, tries int4 NOT NULL, until int8 NOT NULL)`,
    `CREATE INDEX IF NOT EXISTS ${prefix}_try_until ON ${prefix}_try (until)`,
  ]

  async function findOne(column: 'id' | 'email', value: string): Promise<Account | null> {
    const [account] = await query(
      `SELECT json_build_object('id', id, 'email', email, 'passwordHash', password_hash, 'createdAt', created_at)::text
       FROM ${prefix}_account WHERE ${column} = $1::text`,
      [value],
    )
    return account ?? null
  }

  return {
    open: () => openModule(query, prefix, 'account', tables, null),
    async create({ id, email, passwordHash, createdAt }) {
      const added = await query(
        `INSERT INTO ${prefix}_account VALUES ($1::text, $2::text, $3::text, $4::text::int8)
         ON CONFLICT DO NOTHING RETURNING 'true'`,
        [id, email, passwordHash, String(createdAt)],
      )
      return added.length === 1
    },
    findByEmail: (email) => findOne('email', email),
    findById: (id) => findOne('id', id),
    async setPassword(id, passwordHash) {
      await query(`UPDATE ${prefix}_account SET password_hash = $2::text WHERE id = $1::text`, [id, passwordHash])
    },
    async countTry(key, now, window) {
      await query(
        `DELETE FROM ${prefix}_try WHERE key IN (
           SELECT key FROM ${prefix}_try WHERE until <= $1::text::int8 LIMIT 10 FOR UPDATE SKIP LOCKED)`,
        [String(now - window)],
      )
      const [counted] = await query(
        `INSERT INTO ${prefix}_try AS t VALUES ($1::text, 1, $3::text::int8) ON CONFLICT (key) DO UPDATE SET
           tries = CASE WHEN t.until <= $2::text::int8 THEN 1 ELSE t.tries + 1 END,
           until = CASE WHEN t.until <= $2::text::int8 THEN $3::text::int8 ELSE t.until END
         RETURNING json_build_object('tries', tries, 'until', until)::text`,
        [key, String(now), String(now + window)],
      )
      return counted
    },
    async forgetTries(key) {
      await query(`DELETE FROM ${prefix}_try WHERE key = $1::text`, [key])
    },
  }
}
