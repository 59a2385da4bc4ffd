// Makes the tables of the store in MySQL and claims them for an issuer.

import { Buffer } from 'node:buffer'
import { type Query, refusalOf } from './mysql-connection.ts'
import { checkSchema, nameTaken, type SchemaRecord, schemaKey, schemaVersion } from './schema-record.ts'

/**
 * Opens the tables. One read checks whether they exist, because DDL waits for the locks of long transactions, and needs
 * rights that an app's user may lack.
 *
 * The record is written before the table of the sessions, so a table without a record is not Daypass's. Its version is 0
 * until that table is made, so that an incomplete schema is completed.
 *
 * @param statement It makes the table of the sessions. Several instances may run it at once and more than once.
 * @param issuer The issuer that opens the store.
 * @throws DaypassError `ERR_STORE_SCHEMA`, `ERR_STORE_ISSUER`, and `ERR_OPTION_INVALID` where a table under the prefix is
 *   not ours; nothing was written.
 */
export async function openTables(query: Query, prefix: string, statement: string, issuer: string): Promise<void> {
  let found = await readRecord(query, prefix)
  if (found === undefined) {
    const isTaken = await exists(query, `${prefix}_session`)
    // Read again, because another instance may have written its record, and then made the table.
    if (isTaken && (await readRecord(query, prefix)) === undefined) throw nameTaken(`${prefix}_session`)
    await query(createSchemaTable(prefix))
    // If two issuers open the tables concurrently, one of them is first.
    await query(
      `INSERT INTO ${prefix}_schema (module, version, usable_from, issuer)
       VALUES ('${schemaKey}', 0, ${schemaVersion}, _utf8mb4 X'${Buffer.from(issuer).toString('hex')}')
       ON DUPLICATE KEY UPDATE module = module`,
    )
    found = await readRecord(query, prefix)
  }
  if (found === undefined) throw nameTaken(`${prefix}_schema`)
  checkSchema(found, issuer)
  if (found.version > 0) return
  await query(statement)
  await query(`UPDATE ${prefix}_schema SET version = ${schemaVersion} WHERE module = '${schemaKey}' AND version = 0`)
}

const createSchemaTable = (prefix: string) => `
  CREATE TABLE IF NOT EXISTS ${prefix}_schema (
    module VARCHAR(64) NOT NULL PRIMARY KEY, version INT NOT NULL, usable_from INT NOT NULL, issuer LONGTEXT,
    checked_at BIGINT
  ) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin`

async function readRecord(query: Query, prefix: string): Promise<SchemaRecord | undefined> {
  try {
    const { rows } = await query(
      `SELECT version, usable_from, CAST(issuer AS BINARY) FROM ${prefix}_schema WHERE module = '${schemaKey}'`,
    )
    if (rows[0] === undefined) return undefined
    const [version, usableFrom, issuer] = rows[0]
    return { version: Number(version), usableFrom: Number(usableFrom), issuer: issuer?.toString() ?? null }
  } catch (error) {
    const refusal = refusalOf(error)
    if (refusal === noSuchTable) return undefined
    throw refusal === noSuchColumn ? nameTaken(`${prefix}_schema`) : error
  }
}

/** Whether the database has a table or a view of this name. */
async function exists(query: Query, name: string): Promise<boolean> {
  const { rows } = await query(
    `SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = '${name}'`,
  )
  return rows.length > 0
}

// https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html: ER_NO_SUCH_TABLE, ER_BAD_FIELD_ERROR
const noSuchTable = 1146
const noSuchColumn = 1054
