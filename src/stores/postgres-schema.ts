// Makes the tables of the store in PostgreSQL and claims them for an issuer.

import type { Query } from './postgres-connection.ts'
import { refusalOf } from './postgres-connection.ts'
import { checkSchema, namesIn, nameTaken, type SchemaRecord, schemaKey, schemaVersion } from './schema-record.ts'

/**
 * Opens the tables. One read checks whether they exist, because DDL waits for the locks of long transactions, and needs
 * rights that an app's role may lack.
 *
 * The record is written before the tables, so a table without a record is not Daypass's. Its version is 0 until the last
 * table is made, so that an incomplete schema is completed.
 *
 * @param statements They make the tables and indexes. Several instances may run them at once and more than once. They
 *   need no session state, because PgBouncer in transaction mode may be in between.
 * @param issuer The issuer that opens the store.
 * @throws DaypassError `ERR_STORE_SCHEMA`, `ERR_STORE_ISSUER`, and `ERR_OPTION_INVALID` where a table under the prefix is
 *   not ours; nothing was written.
 */
export async function openTables(
  query: Query,
  prefix: string,
  statements: readonly string[],
  issuer: string,
): Promise<void> {
  const version = String(schemaVersion)
  let found = await readRecord(query, prefix)
  if (found === undefined) {
    const taken = await findTaken(query, namesIn(statements.join(';')))
    // Read again, because another instance may have written its record, and then made the tables.
    if (taken !== undefined && (await readRecord(query, prefix)) === undefined) throw nameTaken(taken)
    await define(query, createSchemaTable(prefix))
    // If two issuers open the tables concurrently, one of them is first.
    await query(
      `INSERT INTO ${prefix}_schema (module, version, usable_from, issuer)
       VALUES ($1::text, 0, $2::text::int4, $3::text) ON CONFLICT DO NOTHING`,
      [schemaKey, version, issuer],
    )
    found = await readRecord(query, prefix)
  }
  if (found === undefined) throw nameTaken(`${prefix}_schema`)
  checkSchema(found, issuer)
  if (found.version > 0) return
  for (const statement of statements) await define(query, statement)
  await query(`UPDATE ${prefix}_schema SET version = $2::text::int4 WHERE module = $1::text AND version = 0`, [
    schemaKey,
    version,
  ])
}

const createSchemaTable = (prefix: string) => `
  CREATE TABLE IF NOT EXISTS ${prefix}_schema (
    module text PRIMARY KEY, version int4 NOT NULL, usable_from int4 NOT NULL, issuer text, checked_at timestamptz)`

async function readRecord(query: Query, prefix: string): Promise<SchemaRecord | undefined> {
  try {
    const [record] = await query<SchemaRecord>(
      `SELECT json_build_object('version', version, 'usableFrom', usable_from, 'issuer', issuer)::text
       FROM ${prefix}_schema WHERE module = $1::text`,
      [schemaKey],
    )
    return record
  } catch (error) {
    const refusal = refusalOf(error)
    if (refusal === undefinedTable) return undefined
    throw refusal === undefinedColumn ? nameTaken(`${prefix}_schema`) : error
  }
}

/** The first of these names that a table, an index or a view on the search path uses. */
async function findTaken(query: Query, names: readonly string[]): Promise<string | undefined> {
  const [taken] = await query<string>(
    `SELECT to_json(name)::text FROM json_array_elements_text($1::text::json) AS name
     WHERE to_regclass(name) IS NOT NULL LIMIT 1`,
    [JSON.stringify(names)],
  )
  return taken
}

async function define(query: Query, statement: string): Promise<void> {
  for (let tries = 0; ; tries++) {
    try {
      await query(statement)
      return
    } catch (error) {
      // IF NOT EXISTS is not atomic: of two concurrent instances, one may fail because the other has made it.
      if (tries === 5 || !alreadyThere.has(refusalOf(error))) throw error
    }
  }
}

// https://www.postgresql.org/docs/current/errcodes-appendix.html
const undefinedTable = '42P01'
const undefinedColumn = '42703'
/** duplicate_table, duplicate_object, unique_violation (of the catalogue). */
const alreadyThere = new Set(['42P07', '42710', '23505'])
