// The server's accounts in MongoDB.

import type { Collection, Db } from 'mongodb'
import { type Account, type AccountStore, checkSchema, nameTaken, schemaVersion } from './account-store.ts'
import { patience, withinPatience } from './deadline.ts'

interface Row {
  _id: string
  email: string
  password_hash: string
  created_at: number
}

/** Accounts beside the sessions of the same database. Calls throw `ERR_STORE_…`. */
export function createMongoAccounts(db: Db): AccountStore {
  // A confirmed call survives a failover, and no sign-in fails because a secondary is behind.
  const options = { writeConcern: { w: 'majority', wtimeoutMS: patience }, readPreference: 'primary' } as const
  const accounts: Collection<Row> = db.collection('daypass_account', options)
  const io = { maxTimeMS: patience }

  const schemas: Collection<{ _id: string; usable_from: number }> = db.collection('daypass_account_schema', options)
  const readRecord = () => schemas.findOne({ _id: 'account' }, io)

  /** Before a write, and after a read: tables that are usable now were usable when they were read. */
  const checkUsable = async () => checkSchema((await readRecord())?.usable_from)

  const write = <T>(body: () => Promise<T>) => withinPatience(() => checkUsable().then(body))

  async function findOne(filter: Partial<Row>): Promise<Account | null> {
    const row = await withinPatience(async () => {
      const found = await accounts.findOne(filter, io)
      await checkUsable()
      return found
    })
    return row && { id: row._id, email: row.email, passwordHash: row.password_hash, createdAt: row.created_at }
  }

  /** Throws if an app has its own documents there. The record is written before any document, so it is missing then. */
  async function checkFree(): Promise<void> {
    for (const [name, filter] of [
      ['daypass_account_schema', { usable_from: { $exists: false } }],
      ['daypass_account', {}],
      ['daypass_limit', {}],
    ] as const) {
      const found = await db.collection(name).findOne(filter, { ...io, projection: { _id: 1 } })
      // Read again: another instance may have written the record, and then the document.
      if (found !== null && (await readRecord()) === null) throw nameTaken(name)
    }
  }

  return {
    open: () =>
      withinPatience(async () => {
        // A client whose first connection failed stays closed until connect() is called.
        await db.client.connect()
        if ((await readRecord()) === null) {
          await checkFree()
          const first = { $setOnInsert: { usable_from: schemaVersion } }
          await schemas.updateOne({ _id: 'account' }, first, { upsert: true })
        }
        await checkUsable()
        await accounts.createIndex({ email: 1 }, { name: 'daypass_email', unique: true })
      }),
    create: ({ id, email, passwordHash, createdAt }) =>
      write(async () => {
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
      write(async () => {
        const update = { $set: { password_hash: to } }
        return (await accounts.updateOne({ _id: id, password_hash: from }, update)).matchedCount === 1
      }),
  }
}
