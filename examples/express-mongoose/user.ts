// The app's users, as they were and as they stay. Daypass keeps its sessions beside them and never touches this model.

import { randomBytes, scryptSync, timingSafeEqual } from 'node:crypto'
import { type Connection, Schema } from 'mongoose'

const schema = new Schema({
  email: { type: String, required: true, unique: true },
  password: { type: String, required: true },
  role: { type: String, default: 'user' },
  active: { type: Boolean, default: true },
  // One text more with every sign-in, and none ever taken out. It goes: see migrate.ts.
  refreshTokens: [String],
})

export const createUsers = (connection: Connection) => connection.model('User', schema)

export function hashPassword(password: string, salt = randomBytes(16).toString('hex')): string {
  return `${salt}:${scryptSync(password, salt, 32).toString('hex')}`
}

export function isPassword(password: unknown, hashed: string): boolean {
  if (typeof password !== 'string') return false
  return timingSafeEqual(Buffer.from(hashPassword(password, hashed.split(':')[0])), Buffer.from(hashed))
}
