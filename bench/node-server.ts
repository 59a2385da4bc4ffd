// The library on plain node:http, as an app uses it: `node bench/node-server.ts EdDSA [path of a SQLite file]`.

import { createServer } from 'node:http'
import { createNodeAuth } from '../src/adapters/node.ts'
import { createDaypass } from '../src/index.ts'
import { createMemoryStore } from '../src/stores/memory.ts'
import { createSqliteStore } from '../src/stores/sqlite.ts'

const [algorithm, path] = process.argv.slice(2)
const events: Record<string, number> = {}
const auth = createDaypass({
  secret: 'a secret of a benchmark that guards nothing 0123456789',
  issuer: 'http://localhost:12345',
  algorithm: algorithm === 'HS256' ? 'HS256' : 'EdDSA',
  store: path === undefined ? createMemoryStore() : createSqliteStore(path),
  onEvent({ type }) {
    events[type] = (events[type] ?? 0) + 1
  },
})
const web = createNodeAuth(auth)

const server = createServer(async (req, res) => {
  if (await web.routes(req, res)) return
  let body = ''
  for await (const chunk of req.setEncoding('utf8')) body += chunk
  await web.signIn(req, res, { subject: JSON.parse(body).subject }, { transport: 'body' })
})
server.listen(0, '127.0.0.1', () => {
  const { port } = server.address() as { port: number }
  console.log(JSON.stringify({ message: 'listening', url: `http://localhost:${port}` }))
})
