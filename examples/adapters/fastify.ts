// Fastify, with a login of the app's own. Run it: `npm run build && DAYPASS_SECRET=$(openssl rand -base64 48) npx node examples/adapters/fastify.ts`

import { createDaypass } from 'daypass'
import { createFastifyAuth } from 'daypass/fastify'
import { createSqliteStore } from 'daypass/sqlite'
import { fastify } from 'fastify'

const auth = createDaypass<{ role: string }>({
  secret: process.env.DAYPASS_SECRET!,
  issuer: 'https://example.com',
  store: createSqliteStore('./data/daypass.db'),
})
const web = createFastifyAuth(auth)

const app = fastify()
app.register(web.routes)
app.post<{ Body: Record<string, unknown> }>('/auth/login', async (request, reply) => {
  const { name, password } = request.body
  if (name !== 'ada' || password !== 'secret') return reply.code(401).send({ error: 'invalid_grant' })
  await web.signIn(request, reply, { subject: 'Ada', claims: { role: 'admin' } })
})
app.get(
  '/me',
  web.requireAuth((request) => ({ subject: request.auth.subject, role: request.auth.claims.role })),
)
await app.listen({ port: Number(process.env.PORT ?? 3000) })
