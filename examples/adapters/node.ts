// node:http without a framework. Daypass reads the credentials. Run it: `npm run build && DAYPASS_SECRET=$(openssl rand -base64 48) npx node examples/adapters/node.ts`

import { createServer } from 'node:http'
import { createDaypass } from 'daypass'
import { createNodeAuth } from 'daypass/node'
import { createSqliteStore } from 'daypass/sqlite'

const auth = createDaypass<{ role: string }>({
  secret: process.env.DAYPASS_SECRET!,
  issuer: 'https://example.com',
  store: createSqliteStore('./data/daypass.db'),
})
const web = createNodeAuth(auth, {
  authenticate: ({ name, password }) =>
    name === 'ada' && password === 'secret' ? { subject: 'Ada', claims: { role: 'admin' } } : null,
})
const me = web.requireAuth((req, res) => {
  res.setHeader('content-type', 'application/json')
  res.end(JSON.stringify({ subject: req.auth.subject, role: req.auth.claims.role }))
})

createServer(async (req, res) => {
  if (await web.routes(req, res)) return
  if (req.url === '/me') await me(req, res)
  else res.writeHead(404).end()
}).listen(Number(process.env.PORT ?? 3000))
