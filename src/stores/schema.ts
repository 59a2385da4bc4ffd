// The schema record of every engine: which version made the tables, and which issuer they belong to.

import { DaypassError } from '../errors.ts'

/** The two modules that keep tables. Each has a version of its own, so they share a database in either order. */
export type SchemaModule = 'session' | 'account'

/** What every engine keeps about a module's tables, in `${prefix}_schema`. */
export interface SchemaRecord {
  /** The version of the program that made or changed the tables last. */
  version: number
  /** The oldest version that may still use them. A change that only adds leaves it as it is. */
  usableFrom: number
  /** Whose rows these are; null for a module that has no issuer. */
  issuer: string | null
}

/** The version that this program knows and makes, for each module. */
export const schemaVersions: Readonly<Record<SchemaModule, number>> = { session: 1, account: 1 }

/** The record as an engine returns it. What cannot be read is no version, which {@link checkSchema} refuses. */
export function readRecord({ version, usableFrom, issuer }: Record<keyof SchemaRecord, unknown>): SchemaRecord {
  const toVersion = (value: unknown) => (typeof value === 'number' ? value : Number.NaN)
  return {
    version: toVersion(version),
    usableFrom: toVersion(usableFrom),
    issuer: typeof issuer === 'string' ? issuer : null,
  }
}

/**
 * Called with what was found, before anything is written.
 *
 * @param issuer Whose rows the caller wants; null for a module that has no issuer.
 * @throws DaypassError `ERR_STORE_SCHEMA`, `ERR_STORE_ISSUER`.
 */
export function checkSchema(module: SchemaModule, found: SchemaRecord, issuer: string | null): void {
  checkVersion(module, found.usableFrom)
  if (found.issuer !== issuer) throw new DaypassError('ERR_STORE_ISSUER')
}

/**
 * The version's half of {@link checkSchema}, for a program that runs while a newer one changes the tables.
 *
 * @throws DaypassError `ERR_STORE_SCHEMA`.
 */
export function checkVersion(module: SchemaModule, usableFrom: unknown): void {
  // A record that cannot be read is refused too.
  if (typeof usableFrom === 'number' && usableFrom <= schemaVersions[module]) return
  throw new DaypassError('ERR_STORE_SCHEMA')
}

/** The names of the tables and indexes that statements make: `CREATE TABLE [IF NOT EXISTS] [main.]NAME`. */
export function namesIn(statements: string): string[] {
  return [...statements.matchAll(/CREATE (?:TABLE|INDEX) (?:IF NOT EXISTS )?(?:main\.)?(\w+)/g)].flatMap(
    ([, name]) => name ?? [],
  )
}

/** What is said where a name under the prefix is in use, and no record says that Daypass made it. */
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
  throw new DaypassError(
    'ERR_OPTION_INVALID',
    '`prefix` must begin with a lower-case letter, and hold 1 to 31 lower-case letters, digits and underscores.',
  )
}
