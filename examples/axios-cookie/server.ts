// The third tutorial done right, the server's half: Express, and the refresh token in a cookie that script cannot read.
// Run it: `npm run build && DAYPASS_SECRET=$(openssl rand -base64 48) npx node examples/axios-cookie/server.ts`, and open
// http://localhost:4001

import { join } from 'node:path'
import { createDaypass } from 'daypass'
import { createExpressAuth } from 'daypass/express'
import { createSqliteStore } from 'daypass/sqlite'
import express from 'express'

export function createApp(options: { secret: string; database: string; accessTokenLifetime?: number }) {
  const auth = createDaypass({
    secret: options.secret,
    issuer: 'http://localhost:4001',
    store: createSqliteStore(options.database),
    accessTokenLifetime: options.accessTokenLifetime ?? 900,
  })
  const web = createExpressAuth(auth, {
    authenticate: ({ name, password, rememberMe }) =>
      name === 'ada' && password === 'correct horse' ? { subject: 'ada', persistent: rememberMe === true } : null,
  })

  const app = express()
  app.use(web.routes)

  app.post('/api/notes', express.json(), web.requireAuth(), (req, res) => {
    res.status(201).json({ by: req.auth?.subject, note: req.body.note })
  })

  // The page, and the two libraries as they are published: the import map in index.html names them.
  const root = join(import.meta.dirname, '../..')
  app.use(express.static(join(import.meta.dirname, 'public')))
  app.use('/daypass', express.static(join(root, 'dist/client')))
  app.use('/axios', express.static(join(root, 'node_modules/axios/dist/esm')))
  return { app, auth }
}

if (import.meta.main) {
  const secret = process.env.DAYPASS_SECRET
  if (!secret) throw new Error('Set DAYPASS_SECRET: export DAYPASS_SECRET=$(openssl rand -base64 48)')
  createApp({ secret, database: './data/axios-cookie.db' }).app.listen(4001, () => console.log('http://localhost:4001'))
}
