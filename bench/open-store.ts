// Opens the store that the settings of a server name, with the drivers and options of the tests.

import type { Store } from '../src/core/store.ts'
import { createMemoryStore } from '../src/stores/memory.ts'
import { createSqliteStore } from '../src/stores/sqlite.ts'
import type { ServerSettings } from './settings.ts'

/** The drivers are loaded for their own engine alone: the other servers are as small as an app would be. */
export async function openStore({ store, database = '' }: Pick<ServerSettings, 'store' | 'database'>): Promise<Store> {
  switch (/^(\w{2,}):/.exec(store)?.[1]) {
    case undefined:
      return createSqliteStore(store)
    case 'memory':
      return createMemoryStore()
    case 'postgres':
    case 'postgresql':
      return (await import('../test/engines/postgres.ts')).openPostgresStore(store)
    case 'redis':
    case 'rediss':
      return (await import('../test/engines/redis.ts')).openRedisStore(store, 'ioredis')
    case 'mongodb':
    case 'mongodb+srv':
      return (await import('../test/engines/mongodb.ts')).openMongoStore(store, database)
    default:
      throw new Error(`There is no store for ${store}`)
  }
}
