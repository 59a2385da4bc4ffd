// The standalone server's accounts and rate limits in MongoDB.

import { createMongoCalls, isDuplicateKey, type MongoDb, type MongooseConnection } from '../stores/mongodb-calls.ts'
import type { Account, AccountStore } from './account-store.ts'

/** Makes the indexes at the first call, as the sessions' are. Throws `ERR_STORE_…`. */
export function createMongoAccounts(db: MongoDb | MongooseConnection): AccountStore {
  const accounts = createMongoCalls(db, 'daypass_account', [{ name: 'daypass_email', key: { email: 1 }, unique: true }])
  const tries = createMongoCalls(db, 'daypass_try', [
    { name: 'daypass_until', key: { until_date: 1 }, expireAfterSeconds: 3600 },
  ])

  const findOne = async (filter: object): Promise<Account | null> => {
    const row = await accounts.run((rows, io) => rows.findOne(filter, io))
    return row && { id: row._id, email: row.email, passwordHash: row.password_hash, createdAt: row.created_at }
  }

  return {
    async open() {},
    async create({ id, email, passwordHash, createdAt }) {
      const row = { _id: id, email, password_hash: passwordHash, created_at: createdAt }
      try {
        await accounts.run((rows, io) => rows.insertOne(row, io))
        return true
      } catch (error) {
        if (isDuplicateKey(error)) return false
        throw error
      }
    },
    findByEmail: (email) => findOne({ email }),
    findById: (id) => findOne({ _id: id }),
    async setPassword(id, passwordHash) {
      const update = { $set: { password_hash: passwordHash } }
      await accounts.run((rows, io) => rows.updateOne({ _id: id }, update, io))
    },
    async countTry(key, now, window) {
      const until = now + window
      const inWindow = { $gt: ['$until', now] }
      const changes = {
        tries: { $cond: [inWindow, { $add: ['$tries', 1] }, 1] },
        until: { $cond: [inWindow, '$until', until] },
        // Late at the most by a window: a row that goes too late counts nothing.
        until_date: new Date(until),
      }
      for (let attempt = 0; ; attempt++) {
        const counted = await tries.run((rows, io) =>
          rows.findOneAndUpdate({ _id: key }, [{ $set: changes }], { ...io, returnDocument: 'after' }),
        )
        if (counted !== null) return { tries: counted.tries, until: counted.until }
        try {
          await tries.run((rows, io) => rows.insertOne({ _id: key, tries: 1, until, until_date: new Date(until) }, io))
          return { tries: 1, until }
        } catch (error) {
          // Two first tries at once: one of them made the row, and the other counts in it.
          if (attempt === 5 || !isDuplicateKey(error)) throw error
        }
      }
    },
    async forgetTries(key) {
      await tries.run((rows, io) => rows.deleteOne({ _id: key }, io))
    },
  }
}
