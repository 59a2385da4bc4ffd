// Sends and cancels one statement with each PostgreSQL driver.

import { Buffer } from 'node:buffer'
import { connect } from 'node:net'
import { wrongKind } from '../option.ts'
import type { SentStatement } from './run-statement.ts'
import { fieldsOf } from './store-error.ts'

/** One statement for `pg`: rows come as lists, and each value as the text that the server sent. */
export interface PgStatement {
  text: string
  values: (string | null)[]
  rowMode: 'array'
  types: { getTypeParser(): (value: string) => unknown }
}

/** The used part of `pg`'s Pool or Client. */
export interface PgPool {
  query(statement: PgStatement): Promise<{ rows: unknown[] }>
}

/** The used part of the `postgres` package's `sql`. */
export interface PostgresJs {
  unsafe(text: string, values: (string | null)[], options: { prepare: boolean; onexecute(): boolean }): PostgresJsQuery
}

interface PostgresJsQuery {
  raw(): PromiseLike<unknown[]> & { cancel(): unknown; canceller?: unknown }
}

/** A value of a result; undefined where the client returns no lists. */
export type Text = string | null | undefined

/**
 * Sends one statement. Parameters are texts, and the answer is one column of text: types, parsers and transforms that
 * the owner of the client has set up change neither.
 */
export type Send = (text: string, values: (string | null)[]) => SentStatement<Text[]>

/**
 * How statements go through this client.
 *
 * @throws DaypassError `ERR_OPTION_INVALID` for anything else. The error does not show it, because a URL has a password.
 */
export function createSend(client: PgPool | PostgresJs): Send {
  const isClient = client !== null && (typeof client === 'object' || typeof client === 'function')
  if (!isClient || !('unsafe' in client || 'query' in client)) {
    throw wrongKind('client', client, 'Give a Pool of `pg`: new pg.Pool({ connectionString }). Or postgres(address).')
  }
  if ('unsafe' in client) return (text, values) => sendPostgresJs(client, text, values)
  if (isPool(client)) {
    keepProcess(client)
    return (text, values) => sendPool(client, text, values)
  }
  // A wrapped pool chooses the connection itself.
  return 'escapeIdentifier' in client
    ? createClientSend(client)
    : (text, values) => ({ answer: client.query(toStatement(text, values)).then(firstColumn), cancel() {} })
}

const toStatement = (text: string, values: (string | null)[]): PgStatement => ({
  text,
  values,
  rowMode: 'array',
  types: { getTypeParser: () => (value) => value },
})

const firstColumn = ({ rows }: { rows: unknown[] }): Text[] => rows.map(firstOf)

const firstOf = (row: unknown): Text => {
  // With `transform.row` of `postgres`, a list may have become another object with the same members.
  const value: unknown = typeof row === 'object' && row !== null ? Reflect.get(row, 0) : undefined
  return value === null || value === undefined ? value : String(value)
}

const postgresJsOptions = {
  // Where the owner lets the driver prepare; else it asks for the types first, a round trip more.
  prepare: true,
  // Send nothing on this connection until the statement is done. Statements queued behind it would wait and be
  // cancelled with it, and a PgBouncer older than 1.21 loses a result.
  onexecute: () => false,
}

function sendPostgresJs(client: PostgresJs, text: string, values: (string | null)[]): SentStatement<Text[]> {
  const query = client.unsafe(text, values, postgresJsOptions).raw()
  return {
    // After a connection that broke between rows, the driver begins its next list with holes.
    answer: Promise.resolve(query).then((rows) => rows.filter((row) => row).map(firstOf)),
    cancel() {
      // `query.cancel()` calls this too, but drops its promise: a refused connection would end the process.
      if (typeof query.canceller !== 'function') return void query.cancel()
      Promise.resolve(query.canceller(query)).catch(() => {})
      query.canceller = null
    },
  }
}

/** A connection that a pool lends. */
interface PoolClient extends PgPool {
  on(event: 'error', listener: () => void): unknown
  removeListener(event: 'error', listener: () => void): unknown
  release(destroy?: boolean): void
  host?: string
  port?: number
  processID?: number | null
  secretKey?: number | null
}

interface Pool extends PgPool {
  connect(): Promise<PoolClient>
  on(event: 'error', listener: () => void): unknown
}

const isPool = (client: PgPool): client is Pool => 'totalCount' in client && 'connect' in client

const keptPools = new WeakSet<PgPool>()

/** The pool replaces an idle connection that breaks. Without a listener for its error, Node would end the process. */
function keepProcess(pool: Pool): void {
  if (keptPools.has(pool)) return
  keptPools.add(pool)
  pool.on('error', () => {})
}

/** As `pool.query` does it, but for a connection that is known, so that its statement can be cancelled. */
function sendPool(pool: Pool, text: string, values: (string | null)[]): SentStatement<Text[]> {
  let client: PoolClient | undefined
  let isCancelled = false
  const ignore = () => {}

  function release(lent: PoolClient, destroy: boolean): void {
    client = undefined
    lent.removeListener('error', ignore)
    lent.release(destroy)
  }

  async function run(): Promise<Text[]> {
    const lent = await pool.connect()
    if (isCancelled) {
      lent.release()
      return []
    }
    client = lent
    // The statement itself fails where the connection breaks.
    lent.on('error', ignore)
    let isBroken = false
    try {
      return firstColumn(await lent.query(toStatement(text, values)))
    } catch (error) {
      // An error from the server leaves the connection as good as it was.
      isBroken = sqlState(error) === ''
      throw error
    } finally {
      if (!isCancelled) release(lent, isBroken)
    }
  }

  return {
    answer: run(),
    cancel() {
      isCancelled = true
      const lent = client
      // The connection is closed: a cancel that comes too late must not reach the next statement on it.
      if (lent !== undefined) requestCancel(lent).then(() => release(lent, true))
    },
  }
}

/** Sends a cancel request on a new connection, with the key of the connection that hangs. */
function requestCancel({ host, port, processID, secretKey }: PoolClient): Promise<void> {
  if (!host || !port || typeof processID !== 'number' || typeof secretKey !== 'number') return Promise.resolve()
  const request = Buffer.alloc(16)
  // https://www.postgresql.org/docs/current/protocol-message-formats.html: CancelRequest
  for (const [index, value] of [16, 80_877_102, processID, secretKey].entries()) request.writeInt32BE(value, 4 * index)
  return new Promise((resolve) => {
    const socket = host.startsWith('/') ? connect(`${host}/.s.PGSQL.${port}`) : connect(port, host)
    // The server closes the connection once it has passed the request on.
    socket.on('error', () => {}).on('close', () => resolve())
    socket.setTimeout(1000, () => socket.destroy())
    socket.resume().write(request)
  })
}

/** A single connection takes one statement at a time. */
function createClientSend(client: PgPool): Send {
  let last: Promise<unknown> = Promise.resolve()
  return (text, values) => {
    let isCancelled = false
    const answer = last.then(async () =>
      isCancelled ? [] : firstColumn(await client.query(toStatement(text, values))),
    )
    last = answer.catch(() => {})
    return {
      answer,
      cancel() {
        isCancelled = true
      },
    }
  }
}

/** The SQLSTATE of an error from the server; empty for any other error. */
export function sqlState(error: unknown): string {
  const { code } = fieldsOf(error)
  return typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) ? code : ''
}
