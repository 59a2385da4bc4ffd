// The schema record of every engine: which version made the tables, and which issuer they belong to.

import { DaypassError } from '../errors.ts'
import { show, wrongOption } from '../option.ts'

/** The key of the record in `${prefix}_schema`. */
export const schemaKey = 'session'

/** The version of the schema that this program makes and knows. */
export const schemaVersion = 1

/** The record that every engine keeps about the sessions' tables. */
export interface SchemaRecord {
  /** The version of the program that made or changed the tables last. */
  version: number
  /** The oldest version that may still use them. A change that only adds leaves it as it is. */
  usableFrom: number
  /** The issuer of the sessions, or null if the record names none. */
  issuer: string | null
}

/** Converts the record that an engine returned. An unreadable version becomes NaN, which {@link checkSchema} rejects. */
export function readRecord({ version, usableFrom, issuer }: Record<keyof SchemaRecord, unknown>): SchemaRecord {
  const toVersion = (value: unknown) => (typeof value === 'number' ? value : Number.NaN)
  return {
    version: toVersion(version),
    usableFrom: toVersion(usableFrom),
    issuer: typeof issuer === 'string' ? issuer : null,
  }
}

/**
 * Checks the record that was found, before anything is written.
 *
 * @param issuer The issuer that opens the store.
 * @throws DaypassError `ERR_STORE_SCHEMA`, `ERR_STORE_ISSUER`.
 */
export function checkSchema(found: SchemaRecord, issuer: string): void {
  checkVersion(found.usableFrom)
  if (found.issuer !== issuer) throw otherIssuer(found.issuer, issuer)
}

/** The error for tables of another issuer. Issuers are no secrets: access tokens contain them. `cause` has the tables'. */
export const otherIssuer = (found: string | null, issuer: string): DaypassError =>
  new DaypassError(
    'ERR_STORE_ISSUER',
    `The tables belong to the issuer ${show(found)}, and this one is ${show(issuer)}. Set the issuer back, or give the store a \`prefix\` or a database of its own.`,
    { cause: { issuer: found } },
  )

/**
 * Checks only the version. A newer program may have changed the tables while this one runs.
 *
 * @throws DaypassError `ERR_STORE_SCHEMA`.
 */
export function checkVersion(usableFrom: unknown): void {
  // Reject an unreadable record too.
  if (typeof usableFrom === 'number' && usableFrom <= schemaVersion) return
  throw new DaypassError('ERR_STORE_SCHEMA')
}

/** The names of the tables and indexes that statements make: `CREATE TABLE [IF NOT EXISTS] [main.]NAME`. */
export function namesIn(statements: string): string[] {
  return [...statements.matchAll(/CREATE (?:TABLE|INDEX) (?:IF NOT EXISTS )?(?:main\.)?(\w+)/g)].flatMap(
    ([, name]) => name ?? [],
  )
}

/** The error for a name under the prefix that is in use without a record that Daypass made it. */
export const nameTaken = (name: string): DaypassError =>
  new DaypassError(
    'ERR_OPTION_INVALID',
    `The database has a \`${name}\` that Daypass did not make. Choose another \`prefix\`; nothing was written.`,
  )

/**
 * Reads the `prefix` option of a store in SQL or MongoDB. It goes into statements as it is, so it is letters, digits and
 * underscores.
 *
 * @throws DaypassError `ERR_OPTION_INVALID`.
 */
export function readPrefix(prefix: unknown = 'daypass'): string {
  if (typeof prefix === 'string' && /^[a-z][a-z0-9_]{0,30}$/.test(prefix)) return prefix
  throw wrongOption(
    'prefix',
    prefix,
    "Begin with a lower-case letter, and use 1 to 31 lower-case letters, digits and underscores, such as 'daypass'.",
  )
}
