// Opens the engine that DAYPASS_STORE names.

import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { DaypassError, isDaypassError, type Store } from 'daypass'
import { createMemoryStore } from 'daypass/memory'
import { createSqliteStore } from 'daypass/sqlite'
import { type RateLimiterAbstract, RateLimiterMemory } from 'rate-limiter-flexible'
import { type AccountStore, openAccountsFirst } from './account-store.ts'
import { createSqliteAccounts } from './accounts-sqlite.ts'
import { engineOf, sqlitePath, storeForms } from './engines.ts'

/** Sessions, accounts and limits in one engine. */
export interface Stores {
  sessions: Store
  accounts: AccountStore
  createLimiter: CreateLimiter
  close(): Promise<void>
}

/** Makes one kind of limit: `points` in `duration` seconds for each key. */
export type CreateLimiter = (options: { keyPrefix: string; points: number; duration: number }) => RateLimiterAbstract

/** Called with a driver's connection errors, which no call throws. */
export type OnDriverError = (error: unknown) => void

/** Opens the engine that the URL names. `prefix` begins the names of the sessions' tables. Throws `ERR_OPTION_INVALID` or `ERR_STORE_…`. */
export async function openStores(
  url: string,
  onDriverError: OnDriverError = () => {},
  prefix = 'daypass',
): Promise<Stores> {
  try {
    const stores = await openEngine(url, onDriverError, prefix)
    return { ...stores, accounts: openAccountsFirst(stores.accounts) }
  } catch (error) {
    if (isDaypassError(error)) throw error
    // Without the driver's message: it may quote the URL, which contains a password.
    throw new DaypassError('ERR_OPTION_INVALID', `DAYPASS_STORE is not a URL that its driver takes; ${storeForms}.`)
  }
}

async function openEngine(url: string, onDriverError: OnDriverError, prefix: string): Promise<Stores> {
  switch (engineOf(url)) {
    case 'memory':
      return openSqlite(createMemoryStore(), ':memory:')
    case 'sqlite': {
      const path = sqlitePath(url)
      return openSqlite(createSqliteStore(path, { prefix }), path)
    }
    case 'postgres': {
      checkAddress(url)
      const { openPostgres } = await import('./open-postgres.ts')
      return openPostgres(url, prefix, onDriverError)
    }
    case 'mysql': {
      checkAddress(url)
      const { openMysql } = await import('./open-mysql.ts')
      return openMysql(url, prefix)
    }
    case 'redis': {
      const { openRedis } = await import('./open-redis.ts')
      return openRedis(url, prefix, onDriverError)
    }
    case 'mongodb': {
      const { openMongo } = await import('./open-mongodb.ts')
      return openMongo(url, prefix)
    }
  }
}

/** The limits are in memory, so a rejected request writes nothing. A file keeps them while the server restarts. */
function openSqlite(sessions: Store, path: string): Stores {
  const accounts = createSqliteAccounts(path)
  const limits = path === ':memory:' ? undefined : `${path}-limits`
  const limiters: Record<string, RateLimiterMemory> = {}
  const kept = limits === undefined ? {} : takeKept(limits)
  return {
    sessions,
    accounts,
    createLimiter(options) {
      const limiter = new RateLimiterMemory(options)
      limiters[options.keyPrefix] = limiter
      const dump = kept[options.keyPrefix]
      if (dump !== undefined) limiter.restore(dump)
      return limiter
    },
    async close() {
      if (limits !== undefined) keep(limits, limiters)
      await sessions.close()
      accounts.close()
    },
  }
}

/** Stores the counters for the next process. If that fails, they start again at zero. */
function keep(path: string, limiters: Record<string, RateLimiterMemory>): void {
  const dumps = Object.entries(limiters).map(([kind, limiter]) => [kind, limiter.dump()])
  try {
    writeFileSync(path, JSON.stringify(Object.fromEntries(dumps)), { mode: 0o600 })
  } catch {}
}

/** Reads the counters of the last process, once. */
function takeKept(path: string): Record<string, ReturnType<RateLimiterMemory['dump']>> {
  try {
    const kept = JSON.parse(readFileSync(path, 'utf8'))
    rmSync(path)
    return kept
  } catch {
    // The first start, or a crash.
    return {}
  }
}

/** Drivers read the URL at their first connection, and their errors quote it. Throws if it is invalid. */
function checkAddress(url: string): void {
  // A URL with several hosts is not standard, but one driver accepts it.
  const { username, password } = new URL(url.replace(/(?<=[@/][^/@?#]*),[^/@?#]*/, ''))
  decodeURIComponent(username + password)
}
