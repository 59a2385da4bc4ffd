// Express, with a login of the app's own. Run it: `npm run build && DAYPASS_SECRET=$(openssl rand -base64 48) npx node examples/adapters/express.ts`

import { createDaypass } from 'daypass'
import { createExpressAuth } from 'daypass/express'
import { createSqliteStore } from 'daypass/sqlite'
import express from 'express'

const auth = createDaypass<{ role: string }>({
  secret: process.env.DAYPASS_SECRET!,
  issuer: 'https://example.com',
  store: createSqliteStore('./data/daypass.db'),
})
const web = createExpressAuth(auth)

const app = express()
app.use(web.routes, express.json())
app.post('/auth/login', async (req, res) => {
  const { name, password } = req.body
  if (name !== 'ada' || password !== 'secret') return void res.status(401).json({ error: 'invalid_grant' })
  await web.signIn(req, res, { subject: 'Ada', claims: { role: 'admin' } })
})
app.get(
  '/me',
  web.requireAuth((req, res) => res.json({ subject: req.auth.subject, role: req.auth.claims.role })),
)
app.listen(Number(process.env.PORT ?? 3000))
