// express-session with connect-redis, as their READMEs set them up: the argument is the URL of the Redis. `rolling` renews
// the cookie of a person who stays, as the store's `touch` renews the session.

import { RedisStore } from 'connect-redis'
import express from 'express'
import session from 'express-session'
import { createClient } from 'redis'
import { cookiesOf, secret, serve } from './serve.ts'

const client = createClient({ url: process.argv[2]! })
await client.connect()

const app = express()
app.set('trust proxy', 1)
app.use(
  session({
    store: new RedisStore({ client, prefix: 'myapp:' }),
    resave: false,
    saveUninitialized: false,
    secret,
    rolling: true,
    cookie: { secure: true, sameSite: 'lax', maxAge: 14 * 24 * 3600 * 1000 },
  }),
)
app.get('/login', (req, res) => {
  Object.assign(req.session, { subject: req.query.subject, role: 'admin' })
  res.json({})
})
app.get('/me', (req, res) => {
  const { subject, role } = req.session as unknown as { subject?: string; role?: string }
  if (subject === undefined) return res.sendStatus(401)
  res.json({ subject, role })
})

const port = await new Promise<number>((resolve) => {
  const login = app.listen(0, '127.0.0.1', () => resolve((login.address() as { port: number }).port))
})
serve(app, async (subject) => {
  const url = `http://127.0.0.1:${port}/login?subject=${subject}`
  const response = await fetch(url, { headers: { 'x-forwarded-proto': 'https' } })
  return cookiesOf(response.headers.getSetCookie())
})
