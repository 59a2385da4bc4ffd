// The standalone server's accounts and rate limits in MongoDB.

import {
  createMongo,
  isDuplicateKey,
  type MongoDb,
  type MongoOptions,
  type MongooseConnection,
} from '../stores/mongodb-calls.ts'
import type { Account, AccountStore } from './account-store.ts'

const indexes = {
  account: [{ name: 'daypass_email', key: { email: 1 }, unique: true }],
  try: [{ name: 'daypass_until', key: { until_date: 1 }, expireAfterSeconds: 3600 }],
}

/** Accounts beside the sessions of `createMongoStore(db, options)`. Throws `ERR_STORE_…`. */
export function createMongoAccounts(db: MongoDb | MongooseConnection, options: MongoOptions = {}): AccountStore {
  const { open, within } = createMongo(db, 'account', options, indexes)

  const findOne = (filter: object) =>
    within(async ({ run }): Promise<Account | null> => {
      const row = await run('account', (rows, io) => rows.findOne(filter, io))
      return row && { id: row._id, email: row.email, passwordHash: row.password_hash, createdAt: row.created_at }
    })

  return {
    open: () => open(null),
    create: ({ id, email, passwordHash, createdAt }) =>
      within(async ({ run }) => {
        const row = { _id: id, email, password_hash: passwordHash, created_at: createdAt }
        try {
          await run('account', (rows, io) => rows.insertOne(row, io))
          return true
        } catch (error) {
          if (isDuplicateKey(error)) return false
          throw error
        }
      }),
    findByEmail: (email) => findOne({ email }),
    findById: (id) => findOne({ _id: id }),
    setPassword: (id, passwordHash) =>
      within(async ({ run }) => {
        const update = { $set: { password_hash: passwordHash } }
        await run('account', (rows, io) => rows.updateOne({ _id: id }, update, io))
      }),
    countTry: (key, now, window) =>
      within(async ({ run }) => {
        const until = now + window
        const inWindow = { $gt: ['$until', now] }
        const changes = {
          tries: { $cond: [inWindow, { $add: ['$tries', 1] }, 1] },
          until: { $cond: [inWindow, '$until', until] },
          // Late at the most by a window: a row that goes too late counts nothing.
          until_date: new Date(until),
        }
        for (let attempt = 0; ; attempt++) {
          const counted = await run('try', (rows, io) =>
            rows.findOneAndUpdate({ _id: key }, [{ $set: changes }], { ...io, returnDocument: 'after' }),
          )
          if (counted !== null) return { tries: counted.tries, until: counted.until }
          try {
            const first = { _id: key, tries: 1, until, until_date: new Date(until) }
            await run('try', (rows, io) => rows.insertOne(first, io))
            return { tries: 1, until }
          } catch (error) {
            // Two first tries at once: one of them made the row, and the other counts in it.
            if (attempt === 5 || !isDuplicateKey(error)) throw error
          }
        }
      }),
    forgetTries: (key) =>
      within(async ({ run }) => {
        await run('try', (rows, io) => rows.deleteOne({ _id: key }, io))
      }),
  }
}
