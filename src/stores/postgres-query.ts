// How is one statement sent to PostgreSQL, through whichever driver, in bounded time?

import { DaypassError, type ErrorCode } from '../core/errors.ts'
import { withDeadline } from './deadline.ts'

/** A row as the driver gives it. */
export type Row = Record<string, any>

/** What is used of `pg`'s Pool (or Client). */
export interface PgPool {
  query(text: string, values?: any[]): Promise<{ rows: Row[]; rowCount: number | null }>
}

/** What is used of the `postgres` package's `sql`. */
export interface PostgresJs {
  unsafe(text: string, values?: any[]): PromiseLike<Row[] & { count: number }>
}

/** Runs one statement; the rows it gives, and how many it touched. */
export type Query = (text: string, values?: unknown[]) => Promise<{ rows: Row[]; count: number }>

/**
 * One statement at a time, within a deadline, told in Daypass's words; the tables are made before the first one.
 * The deadline is kept here and not by `SET statement_timeout`, which PgBouncer in transaction mode would hand to others.
 */
export function createQuery(client: PgPool | PostgresJs, migrations: readonly string[], timeout = 5000): Query {
  const send = async (text: string, values: unknown[] = []) => {
    if ('unsafe' in client) {
      const rows = await client.unsafe(text, values)
      return { rows: [...rows], count: rows.count }
    }
    const { rows, rowCount } = await client.query(text, values)
    return { rows, count: rowCount ?? 0 }
  }
  const guarded: Query = async (text, values) => {
    try {
      return await withDeadline(send(text, values), timeout)
    } catch (error) {
      throw asStoreError(error)
    }
  }
  let ready: Promise<void> | undefined
  /** Where all is there, one read tells: DDL asks for locks that a long transaction of somebody else's would hold up. */
  async function migrate(): Promise<void> {
    for (let version = await readVersion(); version < migrations.length; version++) {
      await define('CREATE TABLE IF NOT EXISTS daypass_schema (version int4 PRIMARY KEY)')
      await define(migrations[version]!)
      await guarded('INSERT INTO daypass_schema (version) VALUES ($1) ON CONFLICT DO NOTHING', [version + 1])
    }
  }
  async function readVersion(): Promise<number> {
    try {
      const { rows } = await guarded('SELECT max(version) AS version FROM daypass_schema')
      return Number(rows[0]!.version)
    } catch (error) {
      if (codeOf(error) === undefinedTable) return 0
      throw error
    }
  }
  async function define(statement: string): Promise<void> {
    for (let tries = 0; ; tries++) {
      try {
        await guarded(statement)
        return
      } catch (error) {
        // IF NOT EXISTS looks and then makes: of two instances at once, one may find the other's there after all.
        if (tries === 5 || !alreadyThere.has(codeOf(error))) throw error
      }
    }
  }
  return async (text, values) => {
    ready ??= migrate()
    try {
      await ready
    } catch (error) {
      // Away at the first call: the next one tries again.
      ready = undefined
      throw error
    }
    return guarded(text, values)
  }
}

const codeOf = (error: unknown) => ((error as DaypassError).cause as { code?: string } | undefined)?.code ?? ''

// https://www.postgresql.org/docs/current/errcodes-appendix.html
const undefinedTable = '42P01'
/** duplicate_table, duplicate_object, unique_violation (of the catalogue), serialization_failure. */
const alreadyThere = new Set(['42P07', '42710', '23505', '40001'])

const errorCodes: Record<string, ErrorCode> = {
  25006: 'ERR_STORE_READ_ONLY',
  53100: 'ERR_STORE_FULL',
}

function asStoreError(cause: unknown): DaypassError {
  if (cause instanceof DaypassError) return cause
  const { code = '' } = (cause ?? {}) as { code?: string }
  return new DaypassError(errorCodes[code] ?? 'ERR_STORE_UNAVAILABLE', undefined, { cause })
}
