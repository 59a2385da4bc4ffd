// DAYPASS_STORE=postgres://…: finds the driver that is installed and sets it up.

import { DaypassError } from 'daypass'
import { createPostgresStore, type PgPool, type PostgresJs } from 'daypass/postgres'
import { RateLimiterPostgres } from 'rate-limiter-flexible'
import { createPostgresAccounts, type Query } from './accounts-postgres.ts'
import { patience, withinPatience } from './deadline.ts'
import { importPeer } from './peer.ts'
import type { OnDriverError, Stores } from './stores.ts'

/** Opens sessions, accounts and limits in one PostgreSQL. Throws `ERR_OPTION_INVALID` if no driver is installed. */
export async function openPostgres(url: string, prefix: string, onDriverError: OnDriverError): Promise<Stores> {
  const { client, query, close } = (await openPg(url, onDriverError)) ?? (await openPostgresJs(url)) ?? missing()
  // As `pg` has it, for either driver. Without the names that the library gives its statements: a named statement lives
  // in a database session, which PgBouncer's transaction mode does not keep.
  const storeClient = {
    async query({ text, values }: { text: string; values?: unknown[] }) {
      const rows = await query(text, values)
      return { rows, rowCount: rows.length }
    },
  }
  return {
    sessions: createPostgresStore(client, { prefix }),
    accounts: createPostgresAccounts(query),
    createLimiter: (options) =>
      new RateLimiterPostgres({
        ...options,
        storeClient,
        storeType: 'pool',
        tableName: 'daypass_limit',
        // The accounts create the table.
        tableCreated: true,
      }),
    close,
  }
}

interface Opened {
  client: PgPool | PostgresJs
  query: Query
  close(): Promise<void>
}

async function openPg(url: string, onDriverError: OnDriverError): Promise<Opened | undefined> {
  const pg = (await importPeer<typeof import('pg')>('pg'))?.default
  if (pg === undefined) return undefined
  const options = { max: 10, connectionTimeoutMillis: 3000, query_timeout: patience, keepAlive: true }
  const pool = new pg.Pool({ connectionString: url, ...options })
  // A connection that breaks while it is idle is replaced. Without a listener it would end the process.
  pool.on('error', onDriverError)
  return {
    client: pool,
    query: (text, values = []) => withinPatience(async () => (await pool.query({ text, values })).rows),
    close: () => pool.end(),
  }
}

async function openPostgresJs(url: string): Promise<Opened | undefined> {
  const postgres = (await importPeer<{ default: typeof import('postgres') }>('postgres'))?.default
  if (postgres === undefined) return undefined
  // Named statements live in a server session, which PgBouncer's transaction mode does not keep. The driver's own query for
  // types fails uncaught while the engine is starting up.
  const options = { max: 10, connect_timeout: 3, prepare: false, fetch_types: false, onnotice: () => {} }
  const sql = postgres(url, options)
  return {
    client: sql,
    query: (text, values = []) => {
      const statement = sql.unsafe(text, values as (string | number)[])
      // A late statement is cancelled. It would keep its connection, which the sessions use too.
      return withinPatience(
        async () => [...(await statement)],
        () => cancel(statement),
      )
    },
    close: () => sql.end({ timeout: 5 }),
  }
}

/** `statement.cancel()` drops the promise of its request, so a refused connection would end the process. */
function cancel(statement: object): void {
  const query = statement as { canceller?: ((query: unknown) => Promise<void>) | null }
  query.canceller?.(query).catch(() => {})
  query.canceller = null
}

function missing(): never {
  throw new DaypassError('ERR_OPTION_INVALID', 'DAYPASS_STORE names PostgreSQL; install its driver: npm install pg')
}
