// A real Daypass server for the client's tests, whose responses a test can change.

import { randomBytes } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createFetchAuth } from '../../src/adapters/fetch.ts'
import { type ClientOptions, createClient } from '../../src/client/index.ts'
import { createDaypass, type DaypassEvent, type DaypassOptions } from '../../src/index.ts'
import { createMemoryStore } from '../../src/stores/memory.ts'
import { createFakeTime, createStorage, type Seen } from './scripted-server.ts'

/** Answers one refresh instead of the server. `commit` lets the server do its work, and gives the answer to send or to lose. */
export type Fault = (response: ServerResponse, commit: () => Promise<Response>, seen: Seen) => unknown

export type DaypassServer = Awaited<ReturnType<typeof startDaypass>>

/** The server's clock is right, whatever a test makes its client believe. */
const { now } = Date

/**
 * Daypass under `/auth`, as strict as can be (no reuse interval: only exactly-once keeps anybody signed in), for `ada` or
 * the `name` given (password `right`). `/api/…` wants an access token and echoes the body; `files` are public.
 */
export async function startDaypass(
  t: { after(work: () => unknown): unknown },
  {
    files = {},
    reuseInterval = 0,
    origins = [],
    findSubject,
    user,
  }: {
    files?: Record<string, string>
    reuseInterval?: number
    origins?: string[]
    findSubject?: DaypassOptions['findSubject']
    /** The user of a sign-in. */
    user?: unknown
  } = {},
) {
  const seen: Seen[] = []
  const events: DaypassEvent[] = []
  let ahead = 0
  let isAway = false
  const auth = createDaypass({
    secret: randomBytes(32),
    issuer: 'https://daypass.test',
    store: createMemoryStore(),
    reuseInterval,
    clock: () => now() + ahead,
    onEvent: (event) => events.push(event),
    ...(findSubject && { findSubject }),
  })
  const web = createFetchAuth(auth, {
    origins,
    authenticate: ({ password, name = 'ada' }) => (password === 'right' ? { subject: String(name), user } : null),
    // The console is the client's alone in these tests.
    onWarning: () => {},
  })

  const server = createServer(async (incoming, response) => {
    if (isAway) return incoming.socket.destroy()
    const chunks: Buffer[] = []
    try {
      for await (const chunk of incoming) chunks.push(chunk)
    } catch {
      return // the caller went away
    }
    const { pathname: path } = new URL(incoming.url!, self.url)
    const one = { method: incoming.method!, path, headers: incoming.headers, body: Buffer.concat(chunks) }
    seen.push(one)
    const commit = async () => (await web.routes(toRequest(incoming, one)))!
    const fault = path === '/auth/refresh' ? self.faults.shift() : undefined
    if (fault) await fault(response, commit, one)
    else if (path.startsWith('/auth/')) await send(response, await commit())
    else if (path.startsWith('/api')) await send(response, await self.api(toRequest(incoming, one), one))
    else if (path in files) response.writeHead(200, { 'content-type': typeOf(path) }).end(files[path])
    else response.writeHead(404).end()
  })

  const self = {
    url: '',
    seen,
    events,
    web,
    /** Holds the response to the next refresh back until `answer` is called. */
    holdRefresh() {
      let asked = () => {}
      let answer = () => {}
      const isAsked = new Promise<void>((resolve) => {
        asked = resolve
      })
      const isOpen = new Promise<void>((resolve) => {
        answer = resolve
      })
      self.faults.push(async (response, commit) => {
        const done = await commit()
        asked()
        await isOpen
        await send(response, done)
      })
      return { asked: isAsked, answer }
    },
    /** The next refreshes are answered by these, in turn; then by the server. */
    faults: [] as Fault[],
    /** Cuts every connection, also new ones, until it is called with false. */
    setAway(value: boolean) {
      isAway = value
      if (isAway) server.closeAllConnections()
    },
    /** Answers `/api`. */
    async api(request: Request, { body }: Seen): Promise<Response> {
      return web.requireAuth(({ auth }) => Response.json({ subject: auth.subject, body: String(body) }))(request)
    },
    /** Every access token out there has ended, by the server's clock: an hour goes by. */
    expireTokens: () => {
      ahead += 3_600_000
    },
    revokeSessions: () => auth.revokeSubject('ada'),
    requests: (path: string) => seen.filter((one) => one.path === path),
    /** How often `/auth/refresh` was asked. */
    /** A page that got no answer looks by a GET whether the address can be reached at all. */
    refreshes: () => self.requests('/auth/refresh').filter(({ method }) => method === 'POST').length,
    /** How often a token was really traded for the next. */
    rotations: () => events.filter(({ type }) => type === 'rotated').length,
    happened: (...types: DaypassEvent['type'][]) => events.some(({ type }) => types.includes(type)),
  }
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  self.url = `http://localhost:${(server.address() as AddressInfo).port}`
  t.after(() => {
    server.closeAllConnections()
    return new Promise((resolve) => server.close(resolve))
  })
  return self
}

function toRequest({ url, headers }: IncomingMessage, { method, body }: Seen): Request {
  const hasBody = !['GET', 'HEAD'].includes(method)
  return new Request(new URL(url!, `http://${headers.host}`), {
    method,
    headers: headers as Record<string, string>,
    ...(hasBody && { body: new Uint8Array(body) }),
  })
}

/** Sends an answer as it is. */
export async function send(response: ServerResponse, answer: Response): Promise<void> {
  response.writeHead(answer.status, Object.fromEntries(answer.headers))
  response.end(Buffer.from(await answer.arrayBuffer()))
}

const typeOf = (path: string) => (path.endsWith('.js') ? 'text/javascript' : 'text/html; charset=utf-8')

/** A server, and a client of it that is signed in, in the body transport, on a clock that the test moves. */
export async function startWithClient(
  t: { after(work: () => unknown): unknown },
  options: Partial<ClientOptions> = {},
) {
  const server = await startDaypass(t)
  const time = createFakeTime()
  const storage = createStorage()
  const { clock, sleep } = time
  const client = createClient({ baseUrl: `${server.url}/auth`, storage, clock, sleep, ...options })
  await client.signIn({ password: 'right' })
  server.seen.length = 0
  return { server, time, storage, client, api: `${server.url}/api` }
}
