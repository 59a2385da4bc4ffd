// Which engine does DAYPASS_STORE name?

import type { Store } from '../core/store.ts'
import { DaypassError } from '../errors.ts'
import { createMemoryStore } from '../stores/memory.ts'
import { createSqliteStore } from '../stores/sqlite.ts'
import { openSqlite } from '../stores/sqlite-database.ts'
import { type AccountStore, openAccountsFirst } from './account-store.ts'
import { createSqliteAccounts } from './accounts-sqlite.ts'

/** Sessions and accounts in one engine. */
export interface Stores {
  sessions: Store
  accounts: AccountStore
  close(): Promise<void>
}

/** Opens what the URL names. Throws `ERR_OPTION_INVALID` or `ERR_STORE_…`. */
export async function openStores(url: string): Promise<Stores> {
  const stores = await openEngine(url)
  return { ...stores, accounts: openAccountsFirst(stores.accounts) }
}

async function openEngine(url: string): Promise<Stores> {
  const scheme = url.slice(0, url.indexOf(':') + 1)
  if (scheme === 'memory:') {
    const db = openSqlite(':memory:')
    const sessions = createMemoryStore()
    return { sessions, accounts: createSqliteAccounts(db), close: async () => db.close() }
  }
  if (scheme === 'sqlite:') {
    const db = openSqlite(url.slice(scheme.length).replace(/^\/\/(?=\/)/, ''))
    const sessions = createSqliteStore(db)
    return { sessions, accounts: createSqliteAccounts(db), close: async () => db.close() }
  }
  if (scheme === 'postgres:' || scheme === 'postgresql:') {
    const { openPostgres } = await import('./open-postgres.ts')
    return openPostgres(url)
  }
  if (/^rediss?(\+cluster)?:$/.test(scheme)) {
    const { openRedis } = await import('./open-redis.ts')
    return openRedis(url)
  }
  if (/^mongodb(\+srv)?:$/.test(scheme)) {
    const { openMongo } = await import('./open-mongodb.ts')
    return openMongo(url)
  }
  throw new DaypassError('ERR_OPTION_INVALID', `DAYPASS_STORE must be ${storeForms}.`)
}

/** What DAYPASS_STORE takes. */
export const storeForms = 'sqlite:PATH, postgres://…, redis://…, redis+cluster://…, mongodb://… or memory:'
