// The server's accounts in MongoDB.

import type { Collection, Db } from 'mongodb'
import { type Account, type AccountStore, checkSchema, schemaVersion } from './account-store.ts'
import { patience, withinPatience } from './deadline.ts'

interface Row {
  _id: string
  email: string
  password_hash: string
  created_at: number
}

/** Accounts beside the sessions of the same database. Calls throw `ERR_STORE_…`. */
export function createMongoAccounts(db: Db): AccountStore {
  const accounts: Collection<Row> = db.collection('daypass_account', {
    // What was answered survives a failover, and nobody is refused because a secondary is behind.
    writeConcern: { w: 'majority', wtimeoutMS: patience },
    readPreference: 'primary',
  })
  const io = { maxTimeMS: patience }

  async function findOne(filter: Partial<Row>): Promise<Account | null> {
    const row = await withinPatience(() => accounts.findOne(filter, io))
    return row && { id: row._id, email: row.email, passwordHash: row.password_hash, createdAt: row.created_at }
  }

  return {
    open: () =>
      withinPatience(async () => {
        // A client whose first connection failed stays closed until it is told to connect.
        await db.client.connect()
        const schemas = db.collection<{ _id: string; usable_from: number }>('daypass_account_schema')
        checkSchema((await schemas.findOne({ _id: 'account' }, io))?.usable_from ?? schemaVersion)
        await accounts.createIndex({ email: 1 }, { name: 'daypass_email', unique: true })
        const first = { $setOnInsert: { usable_from: schemaVersion } }
        await schemas.updateOne({ _id: 'account' }, first, { upsert: true })
      }),
    create: ({ id, email, passwordHash, createdAt }) =>
      withinPatience(async () => {
        try {
          await accounts.insertOne({ _id: id, email, password_hash: passwordHash, created_at: createdAt })
          return true
        } catch (error) {
          // E11000: duplicate key.
          if ((error as { code?: unknown }).code === 11000) return false
          throw error
        }
      }),
    findByEmail: (email) => findOne({ email }),
    findById: (id) => findOne({ _id: id }),
    setPassword: (id, from, to) =>
      withinPatience(async () => {
        const update = { $set: { password_hash: to } }
        return (await accounts.updateOne({ _id: id, password_hash: from }, update)).matchedCount === 1
      }),
  }
}
