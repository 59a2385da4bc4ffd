// The library in an app, on node:http, Express or Fastify: `npx node bench/app-server.ts '{"algorithm":"HS256","store":"memory:"}'`.
//
// Beside the routes of the library it has `/open` and `/guarded`, the same route without and with a guard. `/auth/fixed`
// reads a body and answers the bytes of a refresh without the work of one.

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import express from 'express'
import fastify from 'fastify'
import { createExpressAuth } from '../src/adapters/express.ts'
import { createFastifyAuth } from '../src/adapters/fastify.ts'
import { createNodeAuth, type Route } from '../src/adapters/node.ts'
import { createDaypass } from '../src/index.ts'
import { fixedRoute } from './fixed-route.ts'
import { openStore } from './open-store.ts'
import { readSettings, sayListening } from './settings.ts'

const settings = readSettings()
const events: Record<string, number> = {}
const auth = createDaypass({
  secret: 'a secret of a benchmark that guards nothing 0123456789',
  issuer: 'http://localhost:12345',
  algorithm: settings.algorithm,
  store: await openStore(settings),
  onEvent({ type }) {
    events[type] = (events[type] ?? 0) + 1
  },
})
const routes: Route[] = [
  fixedRoute,
  {
    method: 'POST',
    path: '/admin/sessions',
    access: 'credentials',
    run: ({ credentials, signIn }) => signIn({ subject: String(credentials.subject) }),
  },
]
const options = { routes, transport: 'body' } as const
const hello = { hello: 'ada' }
const text = JSON.stringify(hello)

function onNode(): void {
  const web = createNodeAuth(auth, options)
  const respond = (_req: IncomingMessage, res: ServerResponse) => {
    res.writeHead(200, { 'content-type': 'application/json', 'content-length': text.length }).end(text)
  }
  const guarded = web.requireAuth(respond)
  const server = createServer(async (req, res) => {
    if (req.url === '/open') respond(req, res)
    else if (req.url === '/guarded') await guarded(req, res)
    else if (!(await web.routes(req, res))) res.writeHead(404).end()
  })
  server.listen(0, '127.0.0.1', () => sayListening((server.address() as AddressInfo).port))
}

function onExpress(): void {
  const web = createExpressAuth(auth, options)
  const app = express()
  app.get('/open', (_req, res) => void res.json(hello))
  app.get('/guarded', web.requireAuth, (_req, res) => void res.json(hello))
  app.use(web.routes)
  const server = app.listen(0, '127.0.0.1', () => sayListening((server.address() as AddressInfo).port))
}

async function onFastify(): Promise<void> {
  const web = createFastifyAuth(auth, options)
  const app = fastify()
  app.get('/open', async () => hello)
  app.get('/guarded', { preHandler: web.requireAuth }, async () => hello)
  app.register(web.routes)
  await app.listen({ port: 0, host: '127.0.0.1' })
  sayListening((app.server.address() as AddressInfo).port)
}

await { node: onNode, express: onExpress, fastify: onFastify }[settings.framework ?? 'node']()
