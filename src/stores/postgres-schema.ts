// How are the tables of a module made in a PostgreSQL, once, and claimed for an issuer?

import type { Query } from './postgres-query.ts'
import { refusalOf } from './postgres-query.ts'
import { checkSchema, type SchemaModule, type SchemaRecord, schemaVersions } from './schema.ts'

/**
 * Opens a module's tables. One read tells where all is there: DDL asks for locks that somebody else's long transaction
 * would hold up, and for rights that an app's role may lack.
 *
 * @param statements What makes the tables. Each may run twice and by several instances at once, and none needs a session
 *   of its own, so that PgBouncer in transaction mode may be in between.
 * @param issuer Whose rows these are; null for a module that has no issuer.
 * @throws DaypassError `ERR_STORE_SCHEMA`, `ERR_STORE_ISSUER`; nothing was written.
 */
export async function openModule(
  query: Query,
  prefix: string,
  module: SchemaModule,
  statements: readonly string[],
  issuer: string | null,
): Promise<void> {
  let found = await readRecord(query, prefix, module)
  if (found === undefined) {
    await define(query, createSchemaTable(prefix))
    for (const statement of statements) await define(query, statement)
    const version = String(schemaVersions[module])
    // Written last, so that a half-made schema is made to its end. Of two issuers that come at once, one is first.
    await query(
      `INSERT INTO ${prefix}_schema (module, version, usable_from, issuer)
       VALUES ($1::text, $2::text::int4, $2::text::int4, $3::text) ON CONFLICT DO NOTHING`,
      [module, version, issuer],
    )
    found = (await readRecord(query, prefix, module))!
  }
  checkSchema(module, found, issuer)
}

const createSchemaTable = (prefix: string) => `
  CREATE TABLE IF NOT EXISTS ${prefix}_schema (
    module text PRIMARY KEY, version int4 NOT NULL, usable_from int4 NOT NULL, issuer text, checked_at timestamptz)`

async function readRecord(query: Query, prefix: string, module: string): Promise<SchemaRecord | undefined> {
  try {
    const [record] = await query(
      `SELECT json_build_object('version', version, 'usableFrom', usable_from, 'issuer', issuer)::text
       FROM ${prefix}_schema WHERE module = $1::text`,
      [module],
    )
    return record
  } catch (error) {
    if (refusalOf(error) === undefinedTable) return undefined
    throw error
  }
}

async function define(query: Query, statement: string): Promise<void> {
  for (let tries = 0; ; tries++) {
    try {
      await query(statement)
      return
    } catch (error) {
      // IF NOT EXISTS looks and then makes: of two instances at once, one may find the other's there after all.
      if (tries === 5 || !alreadyThere.has(refusalOf(error))) throw error
    }
  }
}

// https://www.postgresql.org/docs/current/errcodes-appendix.html
const undefinedTable = '42P01'
/** duplicate_table, duplicate_object, unique_violation (of the catalogue). */
const alreadyThere = new Set(['42P07', '42710', '23505'])
