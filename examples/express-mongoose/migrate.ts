// The end of the migration, when `until` is past: removes the arrays. Then remove `adopt` and the field in user.ts too.
// Run it: `npx node examples/express-mongoose/migrate.ts`, with MONGODB_URL set. It may run twice, and while the app runs.

import mongoose, { type Connection } from 'mongoose'
import { createUsers } from './user.ts'

/** Removes the arrays. Returns how many users still had one. */
export async function removeArrays(connection: Connection): Promise<number> {
  const users = createUsers(connection)
  const { modifiedCount } = await users.collection.updateMany(
    { refreshTokens: { $exists: true } },
    { $unset: { refreshTokens: '' } },
  )
  return modifiedCount
}

if (import.meta.main) {
  await mongoose.connect(process.env.MONGODB_URL ?? '')
  console.log(`${await removeArrays(mongoose.connection)} users had an array of tokens`)
  await mongoose.disconnect()
}
