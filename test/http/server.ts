// Shared by the HTTP tests: a real server on a free port, a Daypass, and requests that are sent as they are.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { createServer, type IncomingHttpHeaders, type RequestListener, request, type Server } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import type { TestContext } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { createNodeAuth, type NodeOptions } from '../../src/adapters/node.ts'
import { createDaypass, type DaypassEvent, type DaypassOptions } from '../../src/index.ts'
import { createMemoryStore } from '../../src/stores/memory.ts'

/** The claims of every Daypass in these tests. */
export interface Role {
  role: string
}

export const secret = 'a secret that the tests share, thirty-two bytes and more'
export const password = 'correct horse battery staple'

/** A server that runs. */
export interface Running {
  origin: string
  port: number
  server: Server
  /** Resolves when the server has noticed that everybody has hung up. */
  deserted(): Promise<void>
  close(): Promise<void>
}

/** Listens on a free port of 127.0.0.1. */
export async function listen(listener: RequestListener): Promise<Running> {
  const server = createServer(listener)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return running(server)
}

/** A server that listens already. */
export function running(server: Server): Running {
  const { port } = server.address() as AddressInfo
  return {
    origin: `http://127.0.0.1:${port}`,
    port,
    server,
    async deserted() {
      while ((await promisify(server.getConnections.bind(server))()) > 0) await delay(1)
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

/** A Daypass that keeps its events, its rows and its time where a test can reach them. */
export function makeDaypass(options: Partial<DaypassOptions<Role>> = {}) {
  const store = options.store ?? createMemoryStore()
  const events: DaypassEvent[] = []
  const time = { offset: 0 }
  const auth = createDaypass<Role>({
    secret,
    issuer: 'https://id.test',
    onEvent: (event) => events.push(event),
    clock: () => Date.now() + time.offset,
    ...options,
    store,
  })
  return { auth, store, events, time }
}

/** Accepts the password for any name. */
export const authenticate: NonNullable<NodeOptions<Role>['authenticate']> = (credentials) =>
  typeof credentials.name === 'string' && credentials.password === password
    ? { subject: credentials.name, claims: { role: 'member' }, user: { name: credentials.name } }
    : null

/** A Daypass on plain node:http, with a route `/me` behind its guard. */
export async function serve(
  test: TestContext | { after(fn: () => unknown): unknown },
  options: Partial<DaypassOptions<Role>> = {},
  http: NodeOptions<Role> = {},
) {
  const made = makeDaypass(options)
  const errors: unknown[] = []
  const web = createNodeAuth(made.auth, { authenticate, onError: (error) => errors.push(error), ...http })
  const server = await listen(async (req, res) => {
    if (await web.routes(req, res)) return
    if (req.url?.startsWith('/me')) {
      return web.requireAuth((req, res) => res.end(JSON.stringify({ subject: req.auth.subject })))(req, res)
    }
    res.writeHead(404, { 'content-type': 'application/json' }).end('{"code":"APP_NOT_FOUND"}')
  })
  test.after(() => server.close())
  return { ...made, web, errors, server, origin: server.origin, port: server.port }
}

/** A request of a test. */
export interface Sent {
  headers?: Record<string, string | string[]>
  /** Sent as JSON. */
  json?: unknown
  /** Sent as it is, with the headers alone that are given. */
  body?: string | Buffer
}

/** A response. */
export interface Answer {
  status: number
  headers: IncomingHttpHeaders
  text: string
  /** The parsed body; undefined for none. */
  json: any
  /** The session's `Set-Cookie`. All of them are in `headers`. */
  setCookie: string | undefined
  /** The cookie that a browser would send next, `name=value`. */
  cookie: string | undefined
}

/** Sends one request on a connection of its own: `call(origin, 'POST /auth/refresh', { json: {} })`. */
export function call(origin: string, line: string, { headers = {}, json, body }: Sent = {}): Promise<Answer> {
  const [method, path] = line.split(' ') as [string, string]
  const { hostname, port } = new URL(origin)
  const payload = json === undefined ? body : JSON.stringify(json)
  const all: Record<string, string | string[]> = { ...headers }
  if (json !== undefined) all['content-type'] ??= 'application/json'
  if (payload !== undefined && all['transfer-encoding'] === undefined) {
    all['content-length'] ??= String(Buffer.byteLength(payload))
  }
  return new Promise((resolve, reject) => {
    const req = request({ hostname, port, method, path, headers: all, agent: false }, (res) => {
      const chunks: Buffer[] = []
      res.on('data', (chunk) => chunks.push(chunk))
      res.once('error', reject)
      res.once('end', () =>
        resolve(toAnswer(res.statusCode!, res.headers, Buffer.concat(chunks).toString(), res.headers['set-cookie'])),
      )
    })
    req.once('error', reject)
    req.end(payload)
  })
}

function toAnswer(status: number, headers: IncomingHttpHeaders, text: string, setCookies: string[] = []): Answer {
  // The server application's cookie for known browsers comes beside the session's.
  const all = setCookies.filter((cookie) => !cookie.startsWith('daypass-device='))
  // The cookie of a sign-in from another site is cleared beside the cookie that replaces it.
  const ofSession = all.length < 2 ? all : all.filter((cookie) => !cookie.includes('; Max-Age=0;'))
  assert.ok(ofSession.length <= 1, `more than one Set-Cookie: ${ofSession}`)
  const setCookie = ofSession[0]
  const isJson = headers['content-type']?.startsWith('application/json') && text !== ''
  return {
    status,
    headers,
    text,
    json: isJson ? JSON.parse(text) : undefined,
    setCookie,
    cookie: setCookie?.split(';', 1)[0],
  }
}

/** Writes bytes as they are and reads until the other side closes or `quiet` milliseconds pass without a word. */
export function raw(port: number, text: string | Buffer, quiet = 10_000): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    let answer = ''
    socket.setTimeout(quiet, () => socket.destroy())
    socket.on('data', (chunk) => {
      answer += chunk.toString('latin1')
    })
    socket.on('error', () => {})
    socket.on('close', () => resolve(answer))
    socket.write(text)
  })
}

/** Reads one HTTP answer from what {@link raw} gave. */
export function parseRaw(text: string): Answer {
  const [head = '', ...rest] = text.split('\r\n\r\n')
  const [status = '', ...lines] = head.split('\r\n')
  const pairs = lines.map((line) => line.split(/: (.*)/s).slice(0, 2) as [string, string])
  const headers = Object.fromEntries(pairs.map(([name, value]) => [name.toLowerCase(), value]))
  const setCookies = pairs.filter(([name]) => name.toLowerCase() === 'set-cookie').map(([, value]) => value)
  const length = Number(headers['content-length'] ?? 0)
  return toAnswer(Number(status.split(' ')[1]), headers, rest.join('\r\n\r\n').slice(0, length), setCookies)
}

/** An Idempotency-Key as a client makes it. */
export const newKey = () => randomBytes(16).toString('base64url')

/** A page of the server's own origin. */
export const ownPage = { 'sec-fetch-site': 'same-origin' }

/** Signs in with the body transport. */
export async function signInBody(origin: string, name = 'ada', path = '/auth/login'): Promise<Answer> {
  const answer = await call(origin, `POST ${path}`, { json: { name, password, transport: 'body' } })
  assert.equal(answer.status, 200, answer.text)
  return answer
}

/** Signs in with the cookie transport, as a page of this origin. */
export async function signInCookie(origin: string, name = 'ada', headers: Sent['headers'] = {}): Promise<Answer> {
  const answer = await call(origin, 'POST /auth/login', {
    json: { name, password },
    headers: { ...ownPage, ...headers },
  })
  assert.equal(answer.status, 200, answer.text)
  return answer
}

/** Refreshes with a token in the body. */
export const refreshBody = (origin: string, refreshToken: unknown, key?: string, path = '/auth/refresh') =>
  call(origin, `POST ${path}`, { json: { refreshToken }, headers: key ? { 'idempotency-key': `"${key}"` } : {} })

/** Refreshes with the cookie, as a page of this origin. */
export const refreshCookie = (origin: string, cookie: string, key?: string, path = '/auth/refresh') =>
  call(origin, `POST ${path}`, { headers: { ...ownPage, cookie, ...(key && { 'idempotency-key': `"${key}"` }) } })

export const bearer = (accessToken: string) => ({ authorization: `Bearer ${accessToken}` })

/** Checks a refusal: its status and codes, and that it says no more than it should. */
export function assertRefused(answer: Answer, status: number, code: string, error?: string): void {
  assert.equal(answer.status, status, answer.text)
  assert.equal(answer.json?.code, code)
  if (error !== undefined) assert.equal(answer.json.error, error)
  assert.equal(answer.headers['cache-control'], 'no-store')
  assert.equal(answer.setCookie, undefined)
  assert.equal(typeof answer.json.message, 'string')
  assert.doesNotMatch(answer.text, /\bat .*:\d+:\d+|node:|\.ts\b|node_modules/, 'a stack is in the body')
  assert.deepEqual(
    Object.keys(answer.json).filter((name) => !['error', 'code', 'message'].includes(name)),
    [],
  )
}
