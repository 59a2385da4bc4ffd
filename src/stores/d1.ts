// D1 store: sessions in Cloudflare D1, through a Worker's own binding.

import type { Store } from '../core/store.ts'
import { wrongKind } from '../option.ts'
import type { Row } from './row.ts'
import type { SqlStoreOptions } from './sql-options.ts'
import { createBatchStore } from './sqlite-batches.ts'

/** Options of {@link createD1Store}. */
export interface D1StoreOptions extends SqlStoreOptions {}

/** The used part of a prepared statement of D1. */
export interface D1Statement {
  bind(...values: unknown[]): D1Statement
}

/** The used part of a binding of D1. */
export interface D1Client {
  prepare(sql: string): D1Statement
  batch(statements: D1Statement[]): Promise<{ results: unknown[] }[]>
}

/**
 * A store in Cloudflare D1 (`daypass/d1`). The first call makes the tables. A refresh takes one round trip. docs/libsql.md
 * has the details.
 *
 * @param database The binding, as the Worker gets it: `env.DB`.
 * @returns The store. Its calls fail with `ERR_STORE_UNAVAILABLE`, `ERR_STORE_LOCKED`, `ERR_STORE_READ_ONLY`,
 *   `ERR_STORE_FULL` or `ERR_STORE_CORRUPT`.
 * @throws DaypassError `ERR_OPTION_INVALID`.
 * @example
 * ```ts
 * import { createDaypass } from 'daypass'
 * import { createD1Store, type D1Client } from 'daypass/d1'
 *
 * export const createAuth = (env: { DB: D1Client; DAYPASS_SECRET: string }) =>
 *   createDaypass({ secret: env.DAYPASS_SECRET, issuer: 'https://example.com', store: createD1Store(env.DB) })
 * ```
 */
export function createD1Store(database: D1Client, options: D1StoreOptions = {}): Store {
  // A binding may be a proxy, which has members of every name.
  if (typeof database !== 'object' || database === null || typeof database.batch !== 'function') {
    throw wrongKind('database', database, 'Give the binding of D1 that the Worker gets: env.DB.')
  }
  return createBatchStore(async (statements) => {
    const results = await database.batch(statements.map(({ sql, args }) => database.prepare(sql).bind(...args)))
    return results.map((result) => result.results as Row[])
  }, options)
}
