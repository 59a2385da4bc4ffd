// libSQL store: sessions in Turso, on a libSQL server or in a file, through the app's own `@libsql/client`.

import type { Store } from '../core/store.ts'
import { wrongKind } from '../option.ts'
import type { Row } from './row.ts'
import type { SqlStoreOptions } from './sql-options.ts'
import { type BatchStatement, createBatchStore } from './sqlite-batches.ts'

/** Options of {@link createLibsqlStore}. */
export interface LibsqlStoreOptions extends SqlStoreOptions {}

/** The used part of a client of `@libsql/client`. */
export interface LibsqlClient {
  batch(statements: LibsqlStatement[], mode: 'read' | 'write'): Promise<{ rows: Row[] }[]>
}

/** A statement with the values of `?1`, `?2` and so on. */
export type LibsqlStatement = BatchStatement

/**
 * A store in Turso or any other libSQL database (`daypass/libsql`). The first call makes the tables. A refresh takes one
 * round trip. docs/libsql.md has the details.
 *
 * @param client What `createClient` of `@libsql/client` returns, or of `@libsql/client/web`; the app closes it.
 * @returns The store. Its calls fail with `ERR_STORE_UNAVAILABLE`, `ERR_STORE_LOCKED`, `ERR_STORE_READ_ONLY`,
 *   `ERR_STORE_FULL` or `ERR_STORE_CORRUPT`.
 * @throws DaypassError `ERR_OPTION_INVALID`.
 * @example
 * ```ts
 * import { createClient } from '@libsql/client'
 * import { createDaypass } from 'daypass'
 * import { createLibsqlStore } from 'daypass/libsql'
 *
 * const client = createClient({ url: process.env.TURSO_DATABASE_URL!, authToken: process.env.TURSO_AUTH_TOKEN! })
 * const store = createLibsqlStore(client)
 * const auth = createDaypass({ secret: process.env.DAYPASS_SECRET!, issuer: 'https://example.com', store })
 * ```
 */
export function createLibsqlStore(client: LibsqlClient, options: LibsqlStoreOptions = {}): Store {
  if (typeof client !== 'object' || client === null || !('batch' in client)) {
    throw wrongKind('client', client, 'Give a client of `@libsql/client`: createClient({ url }).')
  }
  return createBatchStore(async (statements, mode) => {
    const results = await client.batch(statements, mode)
    return results.map(({ rows }) => rows)
  }, options)
}
