// DAYPASS_STORE=mongodb://…: is its driver there, and how is it set up?

import { DaypassError } from '../errors.ts'
import { createMongoStore } from '../stores/mongodb.ts'
import { createMongoAccounts } from './accounts-mongodb.ts'
import { importPeer } from './peer.ts'
import type { Stores } from './stores.ts'

/** Opens sessions and accounts in one database. Throws `ERR_OPTION_INVALID` where the driver is missing or the URL wrong. */
export async function openMongo(url: string): Promise<Stores> {
  const mongodb = await importPeer('mongodb')
  if (mongodb === undefined) {
    throw new DaypassError('ERR_OPTION_INVALID', 'DAYPASS_STORE names MongoDB; install its driver: npm install mongodb')
  }
  let client: any
  try {
    client = new mongodb.MongoClient(url, {
      appName: 'daypass',
      maxPoolSize: 20,
      connectTimeoutMS: 3000,
      serverSelectionTimeoutMS: 3000,
    })
  } catch {
    // Without the driver's words: they may quote the URL, and there is a password in it.
    throw new DaypassError('ERR_OPTION_INVALID', 'DAYPASS_STORE is no MongoDB connection string.')
  }
  const db = client.db(nameIn(url) ?? 'daypass')
  const sessions = createMongoStore(db)
  return {
    sessions,
    accounts: createMongoAccounts(db),
    async close() {
      await sessions.close()
      await client.close()
    },
  }
}

/** The database that a connection string names: `mongodb://a,b,c/NAME?replicaSet=r`. */
function nameIn(url: string): string | undefined {
  const name = /^mongodb(?:\+srv)?:\/\/[^/?]+\/([^?]+)/.exec(url)?.[1]
  return name && decodeURIComponent(name)
}
