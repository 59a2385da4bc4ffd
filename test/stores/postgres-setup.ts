// The set-up that the tests of the PostgreSQL store share.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import postgres from 'postgres'
import {
  createPostgresStore,
  type PgPool,
  type PostgresJs,
  type PostgresStoreOptions,
} from '../../src/stores/postgres.ts'
import { type Store, type StoreHarness, storeContract } from '../../src/testing/index.ts'
import { issuer } from '../../src/testing/store-harness.ts'
import { pgbouncer, startPgBouncer } from '../engines/pgbouncer.ts'
import { once, type PostgresEngine, startPostgres } from '../engines/postgres.ts'

export interface Connected {
  client: PgPool | PostgresJs
  end(): Promise<void>
}

/** Makes a client as an app does. */
export type Driver = (url: string) => Connected | Promise<Connected>

export function newPool(url: string, options: pg.PoolConfig = {}) {
  const pool = new pg.Pool({ connectionString: url, max: 5, ...options })
  pool.on('error', () => {})
  return pool
}

export function throughPool(url: string, options: pg.PoolConfig = {}): Connected {
  const pool = newPool(url, options)
  return { client: pool, end: () => pool.end() }
}

export function throughPostgresJs(url: string, options: postgres.Options<any> = {}): Connected {
  const sql = postgres(url, { max: 5, onnotice: () => {}, ...options })
  return { client: sql, end: () => sql.end({ timeout: 1 }) }
}

/** Both drivers. */
export const drivers: Record<string, Driver> = {
  pg: (url) => throughPool(url),
  'postgres.js': (url) => throughPostgresJs(url),
}

/**
 * A PostgreSQL for one test file, with a PgBouncer in front of it if one is installed.
 *
 * @param prepare Runs before the tests. Another `before` of the file would not wait for the engine.
 */
export function usePostgres(prepare = async (_engine: PostgresEngine) => {}) {
  let engine: PostgresEngine | undefined
  let bouncer: Awaited<ReturnType<typeof startPgBouncer>> | undefined
  before(
    async () => {
      engine = await startPostgres()
      if ('version' in pgbouncer) bouncer = await startPgBouncer(engine.url)
      await prepare(engine)
    },
    { timeout: 120_000 },
  )
  after(async () => {
    await bouncer?.remove()
    await engine?.remove()
  })
  const through = (url: string) => {
    assert.ok(bouncer, 'PgBouncer runs')
    return bouncer.through(url)
  }
  return {
    get engine(): PostgresEngine {
      assert.ok(engine, 'PostgreSQL runs')
      return engine
    },
    /** The URL of a database through PgBouncer. */
    through,
    /** Both drivers through PgBouncer, which may run a statement on another connection than the one that prepared it. */
    behindPgBouncer: {
      pg: (url) => throughPool(through(url)),
      'postgres.js': (url) => throughPostgresJs(through(url), { prepare: false }),
    } satisfies Record<string, Driver>,
    /** The reason for skipping the tests with PgBouncer, or false. */
    noPgBouncer: 'missing' in pgbouncer ? pgbouncer.missing : false,
  }
}

/** A pool that sends no cancel request, as if the network lost it. */
export const withoutCancel = (pool: pg.Pool): PgPool => ({ query: (statement) => pool.query(statement) })

let prefixes = 0
export const freshPrefix = () => `t${prefixes++}`

/** Runs the contract on one database. Each store has its own prefix. */
export function prefixHarness(url: string, driver: Driver, options: PostgresStoreOptions = {}): StoreHarness {
  const opened = new Map<Store, { prefix: string; end(): Promise<void> }>()
  return {
    async open() {
      const { client, end } = await driver(url)
      const prefix = freshPrefix()
      const store = createPostgresStore(client, { ...options, prefix })
      opened.set(store, { prefix, end })
      return store
    },
    async rawRows(store) {
      return rawValues(url, `SELECT * FROM ${opened.get(store)!.prefix}_session`)
    },
    async cleanup() {
      for (const [store, { prefix, end }] of opened) {
        opened.delete(store)
        await end()
        await once(url, `DROP TABLE IF EXISTS ${prefix}_session, ${prefix}_schema`)
      }
    },
  }
}

/** Ignores the process's parsers. Returns bytes as bytes, and all other values as text. */
async function rawValues(url: string, text: string): Promise<(Buffer | string)[]> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  const types = { getTypeParser: () => (value: string) => value } as unknown as pg.CustomTypesConfig
  const { rows } = await client.query<(string | null)[]>({ text, rowMode: 'array', types })
  await client.end()
  return rows.flat().map((value) => (value?.startsWith('\\x') ? Buffer.from(value.slice(2), 'hex') : String(value)))
}

/** Runs statements in another transaction, which holds their locks until `release`. */
export async function holdLock(url: string, ...statements: string[]) {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query('BEGIN')
  for (const statement of statements) await client.query(statement)
  let isHeld = true
  return {
    async release() {
      if (!isHeld) return
      isHeld = false
      await client.query('COMMIT')
      await client.end()
    },
  }
}

/** Counts the statements of the database that wait for a lock. */
export async function countWaiting(url: string): Promise<number> {
  const [row] = await once(
    url,
    `SELECT count(*)::int AS n FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
  )
  return row!.n
}

/** Counts the running statements of the database, without this one. */
export async function countActive(url: string): Promise<number> {
  const [row] = await once(
    url,
    `SELECT count(*)::int AS n FROM pg_stat_activity
     WHERE datname = current_database() AND state = 'active' AND pid <> pg_backend_pid()`,
  )
  return row!.n
}

export async function until(isSo: () => Promise<boolean> | boolean, milliseconds = 20_000): Promise<void> {
  for (const end = Date.now() + milliseconds; Date.now() < end; await delay(20)) if (await isSo()) return
  throw new Error(`not so after ${milliseconds} ms: ${isSo}`)
}

/** Ids of all types that Daypass's columns or statements could have. Tests give them wrong parsers. */
export const spoiled = [16, 17, 20, 21, 23, 25, 114, 701, 1043, 1700, 1184, 2950, 3802]

/** Runs the whole contract through a driver. */
export function contract(option: string, url: () => string, driver: Driver): void {
  describe(option, () => runContract(url, driver))
}

export function runContract(url: () => string, driver: Driver): void {
  for (const rule of storeContract) {
    test(rule.name, (t) => rule.run({ ...prefixHarness(url(), driver), note: (line) => t.diagnostic(line) }))
  }
}

/** A database that does not wait for the disk, for tests with thousands of calls. */
export async function fastDatabase(engine: PostgresEngine): Promise<string> {
  const url = await engine.database()
  await once(url, `ALTER DATABASE ${new URL(url).pathname.slice(1)} SET synchronous_commit = off`)
  return url
}

/** Asserts that `open` through the driver fails with the name of the option, and leaves the database empty. */
export async function isRefused(url: string, driver: Driver, option: string): Promise<void> {
  const { client, end } = await driver(url)
  await assert.rejects(createPostgresStore(client).open(issuer), (error: any) => {
    assert.equal(error.code, 'ERR_OPTION_INVALID')
    assert.ok(error.message.includes(option), error.message)
    return true
  })
  assert.deepEqual(await once(url, "SELECT 1 FROM pg_tables WHERE tablename LIKE 'daypass%'"), [])
  await end()
}
