// DAYPASS_STORE=postgres://…: which driver is there, and how is it set up?

import { DaypassError } from '../errors.ts'
import { createPostgresStore, type PgPool, type PostgresJs } from '../stores/postgres.ts'
import { createPostgresAccounts } from './accounts-postgres.ts'
import { importPeer } from './peer.ts'
import type { Stores } from './stores.ts'

/** Opens sessions and accounts in one PostgreSQL. Throws `ERR_OPTION_INVALID` where no driver is installed. */
export async function openPostgres(url: string): Promise<Stores> {
  const { client, close } = (await openPg(url)) ?? (await openPostgresJs(url)) ?? missing()
  return { sessions: createPostgresStore(client), accounts: createPostgresAccounts(client), close }
}

interface Opened {
  client: PgPool | PostgresJs
  close(): Promise<void>
}

async function openPg(url: string): Promise<Opened | undefined> {
  const pg = (await importPeer('pg'))?.default
  if (pg === undefined) return undefined
  const pool = new pg.Pool({ connectionString: url, max: 10, connectionTimeoutMillis: 3000, keepAlive: true })
  // A connection that breaks while nobody uses it is replaced; unheard, it would end the process.
  pool.on('error', () => {})
  return { client: pool, close: () => pool.end() }
}

async function openPostgresJs(url: string): Promise<Opened | undefined> {
  const postgres = (await importPeer('postgres'))?.default
  if (postgres === undefined) return undefined
  // Named statements live in a server session, which PgBouncer's transaction mode does not keep; its own look at the
  // types fails uncaught where the engine is starting up.
  const options = { max: 10, connect_timeout: 3, prepare: false, fetch_types: false, onnotice: () => {} }
  const sql = postgres(url, options)
  return { client: sql, close: () => sql.end({ timeout: 5 }) }
}

function missing(): never {
  throw new DaypassError('ERR_OPTION_INVALID', 'DAYPASS_STORE names PostgreSQL; install its driver: npm install pg')
}
