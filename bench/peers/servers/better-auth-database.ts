// The database of a better-auth: its adapter in memory, or a SQLite file of node:sqlite that loses nothing, as Daypass's.

import { DatabaseSync } from 'node:sqlite'
import type { BetterAuthOptions } from 'better-auth'
import { memoryAdapter } from 'better-auth/adapters/memory'
import { getAuthTables } from 'better-auth/db'
import { getMigrations } from 'better-auth/db/migration'

/** Adds the database to the options, and makes its tables. `path` is `memory:` or a file. */
export async function withDatabase<T extends BetterAuthOptions>(path: string, options: T) {
  if (path === 'memory:') {
    const models = Object.values(getAuthTables(options)).map(({ modelName }) => [modelName, []])
    return { ...options, database: memoryAdapter(Object.fromEntries(models)) }
  }
  const database = new DatabaseSync(path)
  database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL')
  const all = { ...options, database }
  const { runMigrations } = await getMigrations(all)
  await runMigrations()
  return all
}
