// The first tutorial done right: Express, both tokens in JSON, 15 minutes and 7 days.
// Run it: `npm run build && DAYPASS_SECRET=$(openssl rand -base64 48) npx node examples/express-body/server.ts`

import { createDaypass } from 'daypass'
import { createExpressAuth } from 'daypass/express'
import { createSqliteStore } from 'daypass/sqlite'
import express from 'express'

/** Your users stay where they are now. Daypass never touches them. */
const users = [{ id: '1', name: 'ada', password: 'correct horse', role: 'admin', active: true }]

export function createApp(options: { secret: string; database: string }) {
  const auth = createDaypass<{ role: string }>({
    secret: options.secret,
    issuer: 'http://localhost:4000',
    store: createSqliteStore(options.database),
    accessTokenLifetime: 15 * 60,
    idleTimeout: 7 * 24 * 60 * 60,
    // The tutorials' "find the user": every refresh says what is true now, and a user who was disabled gets no new token.
    findSubject: (subject) => {
      const user = users.find(({ id, active }) => id === subject && active)
      return user && { claims: { role: user.role } }
    },
  })
  const web = createExpressAuth(auth, { basePath: '', paths: { refresh: 'refresh-token' }, transport: 'body' })

  const app = express()
  app.use(web.routes, express.json())

  // The login that you have already. Only signIn() is new.
  app.post('/login', async (req, res) => {
    const user = users.find(({ name, password }) => name === req.body?.name && password === req.body?.password)
    if (!user) return void res.status(401).json({ error: 'invalid_credentials' })
    // "Remember me" not ticked: the session ends after a day without a refresh, not after a week.
    const lifetimes = req.body.rememberMe === false ? { idleTimeout: 24 * 60 * 60 } : {}
    await web.signIn(req, res, { subject: user.id, claims: { role: user.role }, ...lifetimes })
  })

  app.get(
    '/protected',
    web.requireAuth((req, res) => {
      res.json({ hello: req.auth.subject, role: req.auth.claims.role })
    }),
  )
  return { app, auth, users }
}

if (import.meta.main) {
  const secret = process.env.DAYPASS_SECRET
  if (!secret) throw new Error('Set DAYPASS_SECRET: export DAYPASS_SECRET=$(openssl rand -base64 48)')
  createApp({ secret, database: './data/express-body.db' }).app.listen(4000, () => console.log('http://localhost:4000'))
}
