// The server's accounts in PostgreSQL.

import { type Account, type AccountStore, checkSchema, nameTaken, schemaVersion } from './account-store.ts'

/** Runs one statement within its deadline. Throws the driver's error. */
export type Query = (text: string, values?: unknown[]) => Promise<Row[]>

// biome-ignore lint/suspicious/noExplicitAny: each statement has columns of its own, which no driver types.
type Row = Record<string, any>

// Each may run twice and by several instances at once, and none needs a database session of its own, so that PgBouncer
// in transaction mode may be in between.
const schemaTable = `CREATE TABLE IF NOT EXISTS daypass_account_schema (
  id int4 PRIMARY KEY, version int4 NOT NULL, usable_from int4 NOT NULL)`
const tables = [
  `CREATE TABLE IF NOT EXISTS daypass_account (
     id text PRIMARY KEY, email text NOT NULL UNIQUE, password_hash text NOT NULL, created_at int8 NOT NULL)`,
  // Not logged: a count of tries may be lost in a crash, and a rejected sign-in waits for no disk.
  `CREATE UNLOGGED TABLE IF NOT EXISTS daypass_limit (
     key varchar(255) PRIMARY KEY, points int4 NOT NULL DEFAULT 0, expire int8)`,
]

/** Accounts beside the sessions of the same database. */
export function createPostgresAccounts(query: Query): AccountStore {
  /** Runs a statement that the tables' version lets through, and returns its row. Named `done`, after WITH. */
  async function run(statement: string, values: unknown[]): Promise<Row | undefined> {
    const [found] = await query(
      `WITH usable AS (SELECT usable_from FROM daypass_account_schema WHERE usable_from <= ${schemaVersion}),
         done AS (${statement})
       SELECT daypass_account_schema.usable_from, row_to_json(done) AS row
       FROM daypass_account_schema LEFT JOIN done ON true`,
      values,
    )
    checkSchema(found?.usable_from)
    return found?.row ?? undefined
  }

  async function findOne(column: 'id' | 'email', value: string): Promise<Account | null> {
    const row = await run(`SELECT * FROM daypass_account WHERE ${column} = $1`, [value])
    if (row === undefined) return null
    return { id: row.id, email: row.email, passwordHash: row.password_hash, createdAt: row.created_at }
  }

  return {
    async open() {
      // Read first: an app's role may lack the right to make tables, and DDL waits for other transactions.
      let record = await readRecord(query)
      if (record === undefined) {
        const [taken] = await query(
          "SELECT name FROM unnest('{daypass_account,daypass_limit}'::text[]) AS name WHERE to_regclass(name) IS NOT NULL",
        )
        // Read again: another instance may have written its record, and then made the tables.
        if (taken !== undefined && (await readRecord(query)) === undefined) throw nameTaken(taken.name)
        await define(query, schemaTable)
        // Before the tables: a table without a record is an app's. Version 0 until the last one is made.
        await query(`INSERT INTO daypass_account_schema VALUES (1, 0, ${schemaVersion}) ON CONFLICT DO NOTHING`)
        record = await readRecord(query)
      }
      checkSchema(record?.usable_from)
      if (record !== undefined && record.version > 0) return
      for (const table of tables) await define(query, table)
      await query(`UPDATE daypass_account_schema SET version = ${schemaVersion} WHERE version = 0`)
    },
    async create({ id, email, passwordHash, createdAt }) {
      const added = await run(
        `INSERT INTO daypass_account SELECT $1::text, $2::text, $3::text, $4::int8 FROM usable
         ON CONFLICT DO NOTHING RETURNING id`,
        [id, email, passwordHash, createdAt],
      )
      return added !== undefined
    },
    findByEmail: (email) => findOne('email', email),
    findById: (id) => findOne('id', id),
    async setPassword(id, from, to) {
      const changed = await run(
        `UPDATE daypass_account SET password_hash = $3 FROM usable WHERE id = $1 AND password_hash = $2 RETURNING id`,
        [id, from, to],
      )
      return changed !== undefined
    },
  }
}

async function readRecord(query: Query): Promise<Row | undefined> {
  try {
    const [record] = await query('SELECT version, usable_from FROM daypass_account_schema')
    return record
  } catch (error) {
    if (stateOf(error) === undefinedTable) return undefined
    throw stateOf(error) === undefinedColumn ? nameTaken('daypass_account_schema') : error
  }
}

async function define(query: Query, statement: string): Promise<void> {
  for (let tries = 0; ; tries++) {
    try {
      await query(statement)
      return
    } catch (error) {
      // IF NOT EXISTS checks and then creates. If two instances do so at once, one may fail.
      if (tries === 5 || !alreadyThere.has(stateOf(error))) throw error
    }
  }
}

/** SQLSTATE, which {@link asStoreError} keeps in the cause. */
const stateOf = (error: unknown): unknown => (error as { cause?: { code?: unknown } }).cause?.code

// https://www.postgresql.org/docs/current/errcodes-appendix.html
const undefinedTable = '42P01'
const undefinedColumn = '42703'
/** duplicate_table, duplicate_object, unique_violation (of the catalogue). */
const alreadyThere = new Set<unknown>(['42P07', '42710', '23505'])
