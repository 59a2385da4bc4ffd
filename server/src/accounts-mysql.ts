// The server's accounts in MySQL or MariaDB.

import { type Account, type AccountStore, checkSchema, nameTaken, schemaVersion } from './account-store.ts'

/** Runs one statement within its deadline. Throws `ERR_STORE_…`. */
export type Query = (text: string, values?: (string | number)[]) => Promise<{ rows: Row[]; matched: number }>

// biome-ignore lint/suspicious/noExplicitAny: each statement has columns of its own, which the driver does not type.
type Row = Record<string, any>

// Each may run twice and by several instances at once.
const options = 'ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin'
const schemaTable = `CREATE TABLE IF NOT EXISTS daypass_account_schema (
  id INT PRIMARY KEY, version INT NOT NULL, usable_from INT NOT NULL) ${options}`
const tables = [
  `CREATE TABLE IF NOT EXISTS daypass_account (
     id VARCHAR(255) PRIMARY KEY, email VARCHAR(512) NOT NULL UNIQUE, password_hash TEXT NOT NULL,
     created_at BIGINT NOT NULL) ${options}`,
  `CREATE TABLE IF NOT EXISTS daypass_limit (
     \`key\` VARCHAR(255) PRIMARY KEY, points INT NOT NULL DEFAULT 0, expire BIGINT) ${options}`,
]

const usable = `s.usable_from <= ${schemaVersion}`

/** Accounts beside the sessions of the same database. */
export function createMysqlAccounts(query: Query): AccountStore {
  /** Runs a write that matches nothing where the tables' version does not let it. Returns whether it matched. */
  async function write(text: string, values: (string | number)[]): Promise<boolean> {
    const { matched } = await query(text, values)
    if (matched === 0) checkSchema((await readRecord(query))?.usable_from)
    return matched > 0
  }

  async function findOne(column: 'id' | 'email', value: string): Promise<Account | null> {
    const { rows } = await query(
      `SELECT s.usable_from, a.* FROM daypass_account_schema s LEFT JOIN daypass_account a ON a.${column} = ?`,
      [value],
    )
    const [row] = rows
    checkSchema(row?.usable_from)
    if (row === undefined || row.id === null) return null
    return { id: row.id, email: row.email, passwordHash: row.password_hash, createdAt: Number(row.created_at) }
  }

  return {
    async open() {
      // Read first: a user may lack the right to make tables, and DDL waits for other transactions.
      let record = await readRecord(query)
      if (record === undefined) {
        const { rows } = await query(
          `SELECT TABLE_NAME AS name FROM information_schema.TABLES
           WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME IN ('daypass_account', 'daypass_limit')`,
        )
        // Read again: another instance may have written its record, and then made the tables.
        if (rows[0] !== undefined && (await readRecord(query)) === undefined) throw nameTaken(rows[0].name)
        await query(schemaTable)
        // Before the tables: a table without a record is an app's. Version 0 until the last one is made.
        await query(`INSERT IGNORE INTO daypass_account_schema VALUES (1, 0, ${schemaVersion})`)
        record = await readRecord(query)
      }
      checkSchema(record?.usable_from)
      if (record !== undefined && record.version > 0) return
      for (const table of tables) await query(table)
      await query(`UPDATE daypass_account_schema SET version = ${schemaVersion} WHERE version = 0`)
    },
    async create({ id, email, passwordHash, createdAt }) {
      try {
        return await write(
          `INSERT INTO daypass_account SELECT ?, ?, ?, ? FROM daypass_account_schema s WHERE ${usable}`,
          [id, email, passwordHash, createdAt],
        )
      } catch (error) {
        if (codeOf(error) === 'ER_DUP_ENTRY') return false
        throw error
      }
    },
    findByEmail: (email) => findOne('email', email),
    findById: (id) => findOne('id', id),
    setPassword: (id, from, to) =>
      write(
        `UPDATE daypass_account a JOIN daypass_account_schema s ON ${usable} SET a.password_hash = ?
         WHERE a.id = ? AND a.password_hash = ?`,
        [to, id, from],
      ),
  }
}

async function readRecord(query: Query): Promise<Row | undefined> {
  try {
    return (await query('SELECT version, usable_from FROM daypass_account_schema')).rows[0]
  } catch (error) {
    if (codeOf(error) === 'ER_NO_SUCH_TABLE') return undefined
    throw codeOf(error) === 'ER_BAD_FIELD_ERROR' ? nameTaken('daypass_account_schema') : error
  }
}

/** The driver's name of the server's error, which `asStoreError` keeps in the cause. */
const codeOf = (error: unknown): unknown => (error as { cause?: { code?: unknown } }).cause?.code
