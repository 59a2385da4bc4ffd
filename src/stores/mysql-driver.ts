// Sends and cancels one statement with `mysql2`.

import { randomBytes } from 'node:crypto'
import { wrongKind } from '../option.ts'
import type { SentStatement } from './run-statement.ts'
import { fieldsOf } from './store-error.ts'

/** One statement for `mysql2`: rows come as lists, and each value as the bytes that the server sent. */
export interface MysqlStatement {
  sql: string
  rowsAsArray: true
  nestTables: false
  namedPlaceholders: false
  typeCast(field: { buffer(): unknown }): unknown
}

/** The used part of a Pool or Connection of `mysql2/promise`. */
export interface MysqlClient {
  query(statement: MysqlStatement): Promise<[unknown, unknown]>
}

/** The used part of a Pool or Connection of `mysql2`, which takes callbacks. */
export interface MysqlCallbackClient {
  promise(): MysqlClient
}

/** The bytes of one value, or null. */
export type Value = Buffer | null

/** The answer of the server: rows of a SELECT, or how many rows another statement changed. */
export interface Answer {
  rows: Value[][]
  affected: number
}

/**
 * Sends one statement. It has no parameters, and its answer is bytes: types, casts and formats that the owner of the
 * client has set up change neither.
 */
export type Send = (sql: string) => SentStatement<Answer>

/**
 * How statements go through this client.
 *
 * @throws DaypassError `ERR_OPTION_INVALID` for anything else. The error does not show it, because a URL has a password.
 */
export function createSend(given: MysqlClient | MysqlCallbackClient): Send {
  if (typeof given !== 'object' || given === null || !('promise' in given || 'query' in given)) {
    throw wrongKind('client', given, 'Give a Pool of `mysql2`: mysql.createPool(url).')
  }
  const client = 'promise' in given ? given.promise() : given
  if (isPool(client)) return (sql) => sendPool(client, sql)
  // A wrapped pool chooses the connection itself.
  return isConnection(client) ? createConnectionSend(client) : (sql) => ({ answer: ask(client, sql), cancel() {} })
}

async function ask(client: MysqlClient, sql: string): Promise<Answer> {
  const [result] = await client.query({
    sql,
    rowsAsArray: true,
    nestTables: false,
    namedPlaceholders: false,
    // A function, because a function in the client's own options takes precedence over `false`.
    typeCast: (field) => field.buffer(),
  })
  if (Array.isArray(result)) return { rows: result, affected: 0 }
  const affected = typeof result === 'object' && result !== null ? Reflect.get(result, 'affectedRows') : 0
  return { rows: [], affected: Number(affected) }
}

/** A connection that a pool lends. */
interface PoolConnection extends MysqlClient {
  release(): void
  destroy(): void
}

interface Pool extends MysqlClient {
  getConnection(): Promise<PoolConnection>
}

const isPool = (client: MysqlClient): client is Pool => 'getConnection' in client

const isConnection = (client: MysqlClient): boolean => 'beginTransaction' in client

/** As `pool.query` does it, but on a known connection, so that its statement can be ended. */
function sendPool(pool: Pool, sql: string): SentStatement<Answer> {
  // The server's list of statements shows the beginning of each.
  const tag = `/* daypass ${randomBytes(8).toString('hex')} */ `
  let lent: PoolConnection | undefined
  let isCancelled = false

  async function run(): Promise<Answer> {
    const connection = await pool.getConnection()
    if (isCancelled) {
      connection.release()
      return { rows: [], affected: 0 }
    }
    lent = connection
    let isBroken = false
    try {
      return await ask(connection, tag + sql)
    } catch (error) {
      // A server that became a replica keeps its connections. The next one may lead to the new primary.
      isBroken = errnoOf(error) === 0 || isReadOnly(error)
      throw error
    } finally {
      lent = undefined
      if (isBroken) connection.destroy()
      else if (!isCancelled) connection.release()
    }
  }

  return {
    answer: run(),
    cancel() {
      isCancelled = true
      if (lent === undefined) return
      lent.destroy()
      endStatement(pool, tag).catch(() => {})
    },
  }
}

/** Ends a statement whose connection is closed. The server does not notice that while the statement waits for a lock. */
async function endStatement(pool: Pool, tag: string): Promise<void> {
  // Looked up, because behind a proxy the connection's own number may be that of another one.
  const { rows } = await ask(pool, 'SHOW PROCESSLIST')
  for (const [id, , , , , , , info] of rows) {
    if (info?.toString('latin1').startsWith(tag)) await ask(pool, `KILL QUERY ${Number(id)}`)
  }
}

/** A single connection takes one statement at a time. */
function createConnectionSend(client: MysqlClient): Send {
  let last: Promise<unknown> = Promise.resolve()
  return (sql) => {
    let isCancelled = false
    const answer = last.then(() => (isCancelled ? { rows: [], affected: 0 } : ask(client, sql)))
    last = answer.catch(() => {})
    return {
      answer,
      cancel() {
        isCancelled = true
      },
    }
  }
}

/** The number of an error from the server; 0 for any other error. */
export function errnoOf(error: unknown): number {
  const { errno, sqlState } = fieldsOf(error)
  // Errors of the network have a negative number of the operating system, and no state.
  return typeof errno === 'number' && typeof sqlState === 'string' ? errno : 0
}

// https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html
/** ER_OPTION_PREVENTS_STATEMENT (read_only), ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION, ER_READ_ONLY_MODE. */
export const isReadOnly = (error: unknown): boolean => [1290, 1792, 1836].includes(errnoOf(error))
