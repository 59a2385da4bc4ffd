// DAYPASS_STORE=mongodb://…: finds the driver and sets it up.

import { DaypassError } from 'daypass'
import { createMongoStore } from 'daypass/mongodb'
import { RateLimiterMongo } from 'rate-limiter-flexible'
import { createMongoAccounts } from './accounts-mongodb.ts'
import { importPeer } from './peer.ts'
import type { Stores } from './stores.ts'

/** Opens sessions, accounts and limits in one database. Throws `ERR_OPTION_INVALID` if the driver is missing. */
export async function openMongo(url: string, prefix: string): Promise<Stores> {
  const mongodb = await importPeer<typeof import('mongodb')>('mongodb')
  if (mongodb === undefined) {
    throw new DaypassError('ERR_OPTION_INVALID', 'DAYPASS_STORE names MongoDB; install its driver: npm install mongodb')
  }
  const client = new mongodb.MongoClient(url, {
    appName: 'daypass',
    maxPoolSize: 20,
    connectTimeoutMS: 3000,
    serverSelectionTimeoutMS: 3000,
  })
  const db = client.db(nameIn(url) ?? 'daypass')
  const sessions = createMongoStore(db, { prefix })
  const accounts = createMongoAccounts(db)
  return {
    sessions,
    accounts: {
      ...accounts,
      async open() {
        await accounts.open()
        await new RateLimiterMongo({ ...limits(db), points: 1, duration: 1 }).createIndexes()
      },
    },
    createLimiter: (options) => new RateLimiterMongo({ ...limits(db), ...options }),
    async close() {
      await sessions.close()
      await client.close()
    },
  }
}

/** The library would create its indexes when it is constructed, and print an error if that fails. */
const limits = (db: unknown) => ({ storeClient: db, tableName: 'daypass_limit', disableIndexesCreation: true })

/** The database that a connection string names: `mongodb://a,b,c/NAME?replicaSet=r`. */
function nameIn(url: string): string | undefined {
  const name = /^mongodb(?:\+srv)?:\/\/[^/?]+\/([^?]+)/.exec(url)?.[1]
  return name && decodeURIComponent(name)
}
