// A real HTTP server for the client's tests; the test scripts its responses to /refresh.

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'
import { type ClientOptions, type ClientStorage, createClient } from '../../src/client/index.ts'

/** One request as it arrived. */
export interface Seen {
  method: string
  path: string
  headers: IncomingMessage['headers']
  body: Buffer
}

/** Answers one refresh: `commit` rotates as the real server does and returns the answer to send. */
export type Script = (seen: Seen, response: ServerResponse, commit: () => Reply) => unknown

interface Reply {
  status: number
  body: Record<string, unknown>
  cookie?: string
}

export type ScriptedServer = Awaited<ReturnType<typeof startServer>>

/**
 * `/auth/login`, `/auth/refresh` and `/auth/logout` for one person, with rotation, replay by Idempotency-Key and no reuse
 * window at all; everything else wants a good access token and echoes what it got.
 */
export async function startServer(t: TestContext, { expiresIn = 900 } = {}) {
  const seen: Seen[] = []
  const script: Script[] = []
  const good = new Set<string>()
  let session: { id: string; token: string; parent?: string; parentKey?: string } | undefined
  let count = 0

  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    try {
      for await (const chunk of request) chunks.push(chunk)
    } catch {
      return // the caller went away
    }
    const path = new URL(request.url!, 'http://x').pathname
    const one = { method: request.method!, path, headers: request.headers, body: Buffer.concat(chunks) }
    seen.push(one)
    const next = path === '/auth/refresh' ? script.shift() : undefined
    if (next) await next(one, response, () => refresh(one))
    else if (path === '/auth/refresh') reply(response, refresh(one))
    else if (path === '/auth/login') reply(response, login(one))
    else if (path === '/auth/logout') reply(response, logout(one))
    else reply(response, await self.api(one))
  })

  function tokens(transport: string): Reply {
    session!.token = `refresh-${++count}`
    const accessToken = `access-${count}`
    good.add(accessToken)
    const body = {
      accessToken,
      tokenType: 'Bearer',
      expiresIn: self.expiresIn,
      session: self.hidesSession ? undefined : { id: session!.id, subject: 'ada' },
    }
    return transport === 'body'
      ? { status: 200, body: { ...body, refreshToken: session!.token } }
      : { status: 200, body, cookie: session!.token }
  }

  function login({ body }: Seen): Reply {
    const { password, transport } = JSON.parse(String(body))
    if (password !== 'right') return refused(401, 'invalid_grant', 'ERR_CREDENTIALS_INVALID')
    session = { id: `session-${count}`, token: '' }
    const { body: granted, ...answer } = tokens(transport)
    return { ...answer, body: { ...granted, user: self.user } }
  }

  function presented({ headers, body }: Seen) {
    return JSON.parse(String(body)).refreshToken ?? /rt=([^;]*)/.exec(headers.cookie ?? '')?.[1]
  }

  function refresh(one: Seen): Reply {
    const token = presented(one)
    const transport = String(one.body) === '{}' ? 'cookie' : 'body'
    const [, key, previous] = /^"([^"]+)"(?:; previous="([^"]+)")?$/.exec(String(one.headers['idempotency-key']))!
    if (!session) return refused(401, 'invalid_grant', 'ERR_SESSION_REVOKED')
    if (token === session.token) {
      session.parent = token
      session.parentKey = key!
      return tokens(transport)
    }
    if (token === session.parent && [key, previous].includes(session.parentKey)) {
      const child = session.token
      const answer = tokens(transport) // a fresh access token …
      session.token = child // … and the same child
      return transport === 'body'
        ? { ...answer, body: { ...answer.body, refreshToken: child } }
        : { ...answer, cookie: child }
    }
    session = undefined
    return refused(401, 'invalid_grant', token ? 'ERR_REFRESH_TOKEN_REUSED' : 'ERR_REFRESH_TOKEN_MISSING')
  }

  function logout(_: Seen): Reply {
    session = undefined
    good.clear()
    return { status: 204, body: {}, cookie: '' }
  }

  const self = {
    seen,
    /** The next refreshes are answered by these, in turn; then as the real server would. */
    script,
    expiresIn,
    /** The user in the response to a sign-in. */
    user: undefined as unknown,
    /** Whether responses leave out the session. */
    hidesSession: false,
    url: '',
    /** Answers everything else. */
    api: ({ headers, body }: Seen): Reply | Promise<Reply> =>
      good.has(String(headers.authorization).replace('Bearer ', ''))
        ? { status: 200, body: { token: headers.authorization, body: body.toString('base64') } }
        : refused(401, 'invalid_token', 'ERR_ACCESS_TOKEN_EXPIRED'),
    /** Every access token out there is refused from now on. */
    expireTokens: () => good.clear(),
    hasSession: () => session !== undefined,
    endSession: () => {
      session = undefined
      good.clear()
    },
    requests: (path: string) => seen.filter((one) => one.path === path),
    refreshes: () => self.requests('/auth/refresh').length,
    /** Drops the connections that linger. */
    closeConnections: () => server.closeAllConnections(),
  }
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  self.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  t.after(() => {
    server.closeAllConnections()
    return new Promise((resolve) => server.close(resolve))
  })
  return self
}

export function reply(response: ServerResponse, { status, body, cookie }: Reply, headers: Record<string, string> = {}) {
  if (cookie !== undefined) response.setHeader('set-cookie', `rt=${cookie}; HttpOnly`)
  response.writeHead(status, { 'content-type': 'application/json', ...headers })
  response.end(status === 204 ? '' : JSON.stringify(body))
}

export function refused(status: number, error: string, code: string): Reply {
  return { status, body: { error, code, message: '…' } }
}

/** A gate that a test opens when it likes. */
export function createGate() {
  let open = () => {}
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  return { opened, open }
}

/** A storage that several clients may share, with what is in it to look at. */
export function createStorage(): ClientStorage & { values: Map<string, string>; memory(): Record<string, unknown> } {
  const values = new Map<string, string>()
  return {
    values,
    get: async (name) => values.get(name),
    set: async (name, value) => values.set(name, value),
    memory: () => JSON.parse([...values.values()][0] ?? '{}'),
  }
}

/** fetch with a browser's cookie jar, as far as these tests need one. */
export function createJar() {
  const jar = new Map<string, string>()
  const fetchWithJar: typeof fetch = async (input, init) => {
    const url = new URL((input as Request).url ?? input)
    const headers = new Headers(init?.headers)
    if (init?.credentials === 'include' && jar.get(url.host)) headers.set('cookie', `rt=${jar.get(url.host)}`)
    const response = await fetch(input, init?.credentials ? { ...init, headers } : init)
    const cookie = /rt=([^;]*)/.exec(response.headers.get('set-cookie') ?? '')
    if (cookie) jar.set(url.host, cookie[1]!)
    return response
  }
  return { jar, fetch: fetchWithJar }
}

/** A clock that moves when the test moves it, and when code sleeps. */
export function createFakeTime() {
  const time = {
    now: 1000,
    sleeps: [] as number[],
    clock: () => time.now,
    sleep: async (milliseconds: number) => {
      time.sleeps.push(milliseconds)
      time.now += milliseconds
      await new Promise((resolve) => setImmediate(resolve))
    },
  }
  return time
}

export const credentials = { email: 'ada@example.com', password: 'right' }

/** A server, and a client of it that is signed in, in the body transport, on a fake clock. */
export async function startSignedIn(t: TestContext, options: Partial<ClientOptions> = {}) {
  const server = await startServer(t)
  const time = createFakeTime()
  const storage = createStorage()
  const { clock, sleep } = time
  const client = createClient({ baseUrl: `${server.url}/auth`, transport: 'body', storage, clock, sleep, ...options })
  await client.signIn(credentials)
  server.seen.length = 0
  return { server, time, storage, client, api: `${server.url}/api` }
}
