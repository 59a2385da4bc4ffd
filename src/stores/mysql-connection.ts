// Runs one MySQL statement: time limit, retry after a conflict, error codes.

import { DaypassError, type ErrorCode } from '../errors.ts'
import {
  type Answer,
  createSend,
  errnoOf,
  isReadOnly,
  type MysqlCallbackClient,
  type MysqlClient,
} from './mysql-driver.ts'
import { runStatement } from './run-statement.ts'
import { createErrorTranslator, fieldsOf } from './store-error.ts'

export type { MysqlCallbackClient, MysqlClient } from './mysql-driver.ts'

/**
 * Runs one statement.
 *
 * @param until When the caller stops waiting, in milliseconds since the epoch. Default: a whole time-out from now.
 * @throws DaypassError `ERR_STORE_…`; {@link refusalOf} returns the server's number.
 */
export type Query = (sql: string, until?: number) => Promise<Answer>

/** @param timeout Milliseconds. */
export function createQuery(client: MysqlClient | MysqlCallbackClient, timeout: number, clock: () => number): Query {
  const send = createSend(client)

  const isConflict = (error: unknown) => conflicts.has(errnoOf(error))
  return (sql, until = clock() + timeout) =>
    runStatement(() => send(sql), until, clock, isConflict).catch((error) => {
      throw asMysqlError(error)
    })
}

/**
 * Checks what a client or a server could be set up to do otherwise, before anything is written.
 *
 * @throws DaypassError `ERR_OPTION_INVALID`.
 */
export async function checkServer(query: Query): Promise<void> {
  const { rows } = await query("SELECT VERSION(), @@autocommit, @@sql_safe_updates, DATABASE(), X'00ff80'")
  // A client that drops the options of a statement returns objects.
  const [version, autocommit, safeUpdates, database, bytes] = Array.isArray(rows[0]) ? rows[0] : []
  if (!Buffer.isBuffer(bytes) || bytes.toString('hex') !== '00ff80') {
    throw wrongClient('changes results. Give the Pool of `mysql2` itself, or pass every option of a statement on.')
  }
  if (String(autocommit) !== '1') {
    throw wrongClient('has `autocommit` off, so nothing would be committed. Give the store a pool of its own.')
  }
  if (String(safeUpdates) !== '0') {
    throw wrongClient('has `sql_safe_updates` on, which rejects joins. Give the store a pool of its own.')
  }
  if (!database) throw wrongClient('has no database selected. Set `database`.')
  const [, major = 0, minor = 0] = (/^(\d+)\.(\d+)/.exec(String(version)) ?? []).map(Number)
  const isMariaDb = /mariadb/i.test(String(version))
  if (isMariaDb ? major < 10 || (major === 10 && minor < 6) : major < 8) {
    throw wrongClient(`leads to version ${version}. Daypass needs MySQL 8.0 or MariaDB 10.6, or newer.`)
  }
}

const wrongClient = (what: string) => new DaypassError('ERR_OPTION_INVALID', `The MySQL client ${what}`)

// https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html, https://mariadb.com/kb/en/mariadb-error-codes/
/**
 * ER_CHECKREAD (a row changed since it was read), ER_LOCK_WAIT_TIMEOUT, ER_LOCK_DEADLOCK: nothing was changed, and the
 * same statement may be sent again.
 */
const conflicts = new Set([1020, 1205, 1213])

/** ER_DISK_FULL, ER_RECORD_FILE_FULL. */
const full = new Set([1021, 1114])

/** The server's error number, or 0. */
export const refusalOf = (error: unknown): number => Number(/^\d+(?= )/.exec(String(fieldsOf(error).cause))?.[0] ?? 0)

/** Whether the server rejected a value or a row: data exceptions, constraints, and what a trigger of the app signals. */
export const isRowRefused = (error: unknown): boolean => /^\d+ (22|23|45)/.test(String(fieldsOf(error).cause))

/** ER_PARSE_ERROR. */
const parseError = 1064

/** Translates the errors of `mysql2`. */
export const asMysqlError = createErrorTranslator((error) => {
  const { message, code, sqlState } = fieldsOf(error)
  const errno = errnoOf(error)
  if (errno === 0) return { cause: message || code }
  // The server's message quotes a value that it rejects, and a statement that it cannot read.
  const isQuoting = /^(22|23)/.test(String(sqlState)) || errno === parseError
  return { code: codeOf(error), cause: `${errno} ${sqlState}: ${isQuoting ? code : message}` }
})

function codeOf(error: unknown): ErrorCode | undefined {
  if (isReadOnly(error)) return 'ERR_STORE_READ_ONLY'
  const errno = errnoOf(error)
  // Error 28 of the operating system: no space left on the device.
  const isFull = full.has(errno) || (errno === 1030 && /error 28\b/.test(String(fieldsOf(error).message)))
  return isFull ? 'ERR_STORE_FULL' : undefined
}
