// Hono on its server for Node; docs/frameworks.md prints it. Run it: `npm run build && DAYPASS_SECRET=$(openssl rand -base64 48) npx node examples/adapters/hono.ts`

import { serve } from '@hono/node-server'
import { getConnInfo } from '@hono/node-server/conninfo'
import { createDaypass } from 'daypass'
import { createHonoAuth } from 'daypass/hono'
import { createSqliteStore } from 'daypass/sqlite'
import { Hono } from 'hono'

const auth = createDaypass<{ role: string }>({
  secret: process.env.DAYPASS_SECRET!,
  issuer: 'https://example.com',
  store: createSqliteStore('./data/daypass.db'),
})
const web = createHonoAuth(auth, { getConnInfo, cookie: { sameSite: 'lax' } })

export const app = new Hono()
app.use(web.routes)
app.post('/auth/login', async (c) => {
  const { name, password } = await c.req.json().catch(() => ({}))
  if (name !== 'ada' || password !== 'secret') return c.json({ error: 'invalid_grant' }, 401)
  return web.signIn(c, { subject: 'Ada', claims: { role: 'admin' } })
})
app.get('/me', web.requireAuth, (c) => c.json({ subject: c.get('auth').subject, role: c.var.auth.claims.role }))
app.delete('/users/:id', web.requireAuth({ allow: ({ claims }) => claims.role === 'admin' }), (c) => c.body(null, 204))
app.get('/', async (c) => {
  const session = await web.findSession(c)
  return c.html(session ? `<h1>Hello ${session.subject}</h1>` : '<a href="/login">Sign in</a>')
})

serve({ fetch: app.fetch, port: Number(process.env.PORT ?? 3000) })
