// Koa; docs/frameworks.md prints it. Run it: `npm run build && DAYPASS_SECRET=$(openssl rand -base64 48) npx node examples/adapters/koa.ts`

import Router from '@koa/router'
import { createDaypass } from 'daypass'
import { createKoaAuth } from 'daypass/koa'
import { createSqliteStore } from 'daypass/sqlite'
import Koa from 'koa'

const auth = createDaypass<{ role: string }>({
  secret: process.env.DAYPASS_SECRET!,
  issuer: 'https://example.com',
  store: createSqliteStore('./data/daypass.db'),
})
const web = createKoaAuth(auth, {
  cookie: { sameSite: 'lax' },
  authenticate: ({ name, password }) =>
    name === 'ada' && password === 'secret' ? { subject: 'Ada', claims: { role: 'admin' } } : null,
})

const router = new Router()
router.get(
  '/me',
  web.requireAuth((ctx) => {
    ctx.body = { subject: ctx.state.auth.subject, role: ctx.state.auth.claims.role }
  }),
)
router.delete('/users/:id', web.requireAuth({ allow: ({ claims }) => claims.role === 'admin' }), (ctx) => {
  ctx.status = 204
})
router.get('/', async (ctx) => {
  const session = await web.findSession(ctx)
  ctx.body = session ? `<h1>Hello ${session.subject}</h1>` : '<a href="/login">Sign in</a>'
})

export const app = new Koa()
app.use(web.routes).use(router.routes())

app.listen(Number(process.env.PORT ?? 3000))
