// The server's accounts in PostgreSQL.

import { type Account, type AccountStore, checkSchema, schemaVersion } from './account-store.ts'

/** Runs one statement within its deadline. Throws what the driver throws. */
export type Query = (text: string, values?: unknown[]) => Promise<Record<string, any>[]>

// Each may run twice and by several instances at once, and none needs a database session of its own, so that PgBouncer
// in transaction mode may be in between.
const tables = [
  'CREATE TABLE IF NOT EXISTS daypass_account_schema (id int4 PRIMARY KEY, usable_from int4 NOT NULL)',
  `CREATE TABLE IF NOT EXISTS daypass_account (
     id text PRIMARY KEY, email text NOT NULL UNIQUE, password_hash text NOT NULL, created_at int8 NOT NULL)`,
  // Not logged: a count of tries may be lost in a crash, and a refused sign-in waits for no disk.
  `CREATE UNLOGGED TABLE IF NOT EXISTS daypass_limit (
     key varchar(255) PRIMARY KEY, points int4 NOT NULL DEFAULT 0, expire int8)`,
]

/** Accounts beside the sessions of the same database. */
export function createPostgresAccounts(query: Query): AccountStore {
  async function findOne(column: 'id' | 'email', value: string): Promise<Account | null> {
    const [row] = await query(`SELECT * FROM daypass_account WHERE ${column} = $1`, [value])
    if (row === undefined) return null
    return { id: row.id, email: row.email, passwordHash: row.password_hash, createdAt: Number(row.created_at) }
  }

  return {
    async open() {
      // Read first: an app's role may lack the right to make tables, and DDL waits for other transactions.
      let usableFrom = await readVersion(query)
      if (usableFrom === undefined) {
        for (const table of tables) await define(query, table)
        // Written last, so that tables that were made half-way are made to their end.
        await query(`INSERT INTO daypass_account_schema VALUES (1, ${schemaVersion}) ON CONFLICT DO NOTHING`)
        usableFrom = (await readVersion(query))!
      }
      checkSchema(usableFrom)
    },
    async create({ id, email, passwordHash, createdAt }) {
      const added = await query(
        'INSERT INTO daypass_account VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING RETURNING id',
        [id, email, passwordHash, createdAt],
      )
      return added.length === 1
    },
    findByEmail: (email) => findOne('email', email),
    findById: (id) => findOne('id', id),
    async setPassword(id, from, to) {
      const changed = await query(
        'UPDATE daypass_account SET password_hash = $3 WHERE id = $1 AND password_hash = $2 RETURNING id',
        [id, from, to],
      )
      return changed.length === 1
    },
  }
}

async function readVersion(query: Query): Promise<number | undefined> {
  try {
    const [row] = await query('SELECT usable_from FROM daypass_account_schema')
    return row?.usable_from
  } catch (error) {
    if (stateOf(error) === undefinedTable) return undefined
    throw error
  }
}

async function define(query: Query, statement: string): Promise<void> {
  for (let tries = 0; ; tries++) {
    try {
      await query(statement)
      return
    } catch (error) {
      // IF NOT EXISTS looks and then makes: of two instances at once, one may find that the other was faster.
      if (tries === 5 || !alreadyThere.has(stateOf(error))) throw error
    }
  }
}

/** SQLSTATE, which {@link asStoreError} keeps in the cause. */
const stateOf = (error: unknown): unknown => (error as { cause?: { code?: unknown } }).cause?.code

// https://www.postgresql.org/docs/current/errcodes-appendix.html
const undefinedTable = '42P01'
/** duplicate_table, duplicate_object, unique_violation (of the catalogue). */
const alreadyThere = new Set<unknown>(['42P07', '42710', '23505'])
