// The second tutorial done right: Express and Mongoose, with the refresh tokens that the app gave out before still good.
// Run it: `npm run build && npx node examples/express-mongoose/server.ts`, with MONGODB_URL, DAYPASS_SECRET and the app's own
// REFRESH_TOKEN_SECRET set.

import { createDaypass } from 'daypass'
import { adoptJwt, adoptMongoose } from 'daypass/adopt'
import { createExpressAuth } from 'daypass/express'
import { createMongoStore } from 'daypass/mongodb'
import express from 'express'
import mongoose, { type Connection } from 'mongoose'
import { createUsers, isPassword } from './user.ts'

export interface AppOptions {
  connection: Connection
  secret: string
  /** What the old app signed its refresh tokens with. */
  oldSecret: string
  /** The day of the switch plus the lifetime of an old token: then the last one has expired, and `adopt` can go. */
  until: Date
}

export function createApp({ connection, secret, oldSecret, until }: AppOptions) {
  const users = createUsers(connection)
  const auth = createDaypass<{ role: string }>({
    secret,
    issuer: 'http://localhost:4002',
    store: createMongoStore(connection),
    // The tutorials' "find the user": every refresh says what is true now, and a user who was disabled gets no new token.
    findSubject: async (id) => {
      const user = await users.findOne({ _id: id, active: true })
      return user && { claims: { role: user.role } }
    },
    // An old token must have the old signature and be in its user's array. It is traded once, and removed.
    adopt: adoptJwt({
      secret: oldSecret,
      subject: ({ id }) => id,
      stored: adoptMongoose(users, { claims: ({ role }) => ({ role }) }),
      until,
    }),
  })
  const web = createExpressAuth(auth, { basePath: '', paths: { refresh: 'refresh-token' }, transport: 'body' })

  const app = express()
  app.use(web.routes, express.json())

  app.post('/login', async (req, res) => {
    const user = await users.findOne({ email: String(req.body?.email), active: true })
    if (!user || !isPassword(req.body?.password, user.password)) {
      return void res.status(401).json({ error: 'invalid_credentials' })
    }
    // "Remember me" not ticked: the session ends after a day without a refresh, not after a week.
    const lifetimes = req.body.rememberMe === false ? { idleTimeout: 24 * 60 * 60 } : {}
    await web.signIn(req, res, { subject: user.id, claims: { role: user.role }, ...lifetimes })
  })

  app.get(
    '/me',
    web.requireAuth(async (req, res) => {
      const user = await users.findById(req.auth.subject)
      res.json({ email: user?.email, role: req.auth.claims.role })
    }),
  )
  return { app, auth, users }
}

if (import.meta.main) {
  const { MONGODB_URL, DAYPASS_SECRET: secret, REFRESH_TOKEN_SECRET: oldSecret } = process.env
  if (!MONGODB_URL || !secret || !oldSecret) {
    throw new Error('Set MONGODB_URL, REFRESH_TOKEN_SECRET, and DAYPASS_SECRET: $(openssl rand -base64 48)')
  }
  await mongoose.connect(MONGODB_URL)
  const until = new Date('2026-12-31')
  const { app } = createApp({ connection: mongoose.connection, secret, oldSecret, until })
  app.listen(4002, () => console.log('http://localhost:4002'))
}
