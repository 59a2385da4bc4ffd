// docs/recipes-connections.md, as printed: a connection lives as long as its token, and connects again with the next one.

import assert from 'node:assert/strict'
import type { Server as HttpServer } from 'node:http'
import { type TestContext, test } from 'node:test'
import { serve as serveFetch } from '@hono/node-server'
import { createTRPCClient } from '@trpc/client'
import type { Server, Socket as ServerSocket } from 'socket.io'
import type { Socket } from 'socket.io-client'
import { createFetchAuth } from '../../src/adapters/fetch.ts'
import type { DaypassClient } from '../../src/client/index.ts'
import type { DaypassOptions } from '../../src/index.ts'
import { makeDaypass, password, type Role, running, serve } from '../http/server.ts'
import { createProject, readSnippet } from './project.ts'

const page = 'docs/recipes-connections.md'

/** A server and a client of these two snippets. The client is signed in. */
async function start(
  t: TestContext,
  { server: serverFile, client: clientFile, packages }: { server: string; client: string; packages: string[] },
  options: Partial<DaypassOptions<Role>> = {},
) {
  let closeServer: () => unknown = () => {}
  const after = (work: () => unknown) => {
    closeServer = work
  }
  const served = await serve({ after }, options)
  const { origin, time, events } = served
  Object.assign(globalThis, { timeOfTest: time })
  const { write } = createProject(t, packages)
  const key = `jwks: '${origin}/.well-known/jwks.json', clock: () => Date.now() + timeOfTest.offset`
  const load = (file: string) => {
    const code = readSnippet(page, file)
      .replace(
        "createVerifier({ issuer: 'https://api.example.com'",
        `createVerifier({ issuer: 'https://id.test', ${key}`,
      )
      .replaceAll('https://api.example.com', origin)
      .replaceAll('wss://api.example.com', origin.replace('http', 'ws'))
    return import(write(file, code))
  }
  const { client }: { client: DaypassClient } = await load('client.ts')
  const atServer = await load(serverFile)
  const atClient = await load(clientFile)
  const signIn = () => client.signIn({ name: 'ada', password })
  const refreshes = () => events.filter(({ type }) => type === 'rotated').length
  return { ...served, client, atServer, atClient, signIn, refreshes, closeServer }
}

/** Waits until it is so, for half a minute at most. */
async function until(isSo: () => unknown): Promise<void> {
  for (let n = 0; !isSo(); n++) {
    assert.ok(n < 3000, `not so in time: ${isSo}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

async function startSocketIo(t: TestContext, options?: Partial<DaypassOptions<Role>>) {
  const packages = ['socket.io', 'socket.io-client']
  const started = await start(t, { server: 'socket-server.ts', client: 'socket-client.ts', packages }, options)
  const io: Server = started.atServer.io
  const socket: Socket = started.atClient.socket
  const tokens: string[] = []
  let rejections = 0
  io.on('connection', (each: ServerSocket) => {
    tokens.push(each.handshake.auth.token)
    each.on('whoami', (answer: (subject: string) => void) => answer(each.data.auth.subject))
  })
  socket.on('connect_error', () => rejections++)
  io.attach(started.server.server)
  t.after(async () => {
    // The recipe's socket ends with the session.
    await started.client.signOut().catch(() => {})
    await io.close()
    await started.closeServer()
  })
  return {
    ...started,
    io,
    socket,
    tokens,
    rejections: () => rejections,
    ask: () => socket.timeout(20_000).emitWithAck('whoami'),
  }
}

test('socket.io: it is connected while somebody is signed in', async (t) => {
  const { client, socket, io, tokens, ask, signIn } = await startSocketIo(t)
  await client.getAccessToken().catch(() => {})
  assert.equal(socket.active, false)
  await signIn()
  assert.equal(await ask(), 'ada')
  await client.signOut()
  await until(() => !socket.connected && io.of('/').sockets.size === 0)
  await signIn()
  assert.equal(await ask(), 'ada')
  assert.equal(new Set(tokens).size, 2)
})

test('socket.io: the next person gets a connection of their own, also without a sign-out in between', async (t) => {
  const { client, io, ask, signIn } = await startSocketIo(t)
  await signIn()
  assert.equal(await ask(), 'ada')
  await client.signIn({ name: 'bob', password })
  await until(() => [...io.of('/').sockets.values()].some(({ data }) => data.auth.subject === 'bob'))
  assert.equal(await ask(), 'bob')
  assert.equal(io.of('/').sockets.size, 1)
})

test('socket.io: a connection ends with its token, and the next one has the next token', async (t) => {
  const { io, tokens, ask, signIn, refreshes } = await startSocketIo(t, { accessTokenLifetime: 2, idleTimeout: 60 })
  await signIn()
  assert.equal(await ask(), 'ada')
  await until(() => tokens.length > 1)
  assert.equal(await ask(), 'ada')
  assert.notEqual(tokens[1], tokens[0])
  assert.ok(refreshes() > 0)
  assert.equal(io.of('/').sockets.size, 1)
})

test('socket.io: after a rejected token it connects with a fresh one', async (t) => {
  const { time, socket, tokens, rejections, ask, signIn, refreshes } = await startSocketIo(t)
  await signIn()
  assert.equal(await ask(), 'ada')
  time.offset = 3_600_000
  socket.io.engine.close()
  await until(() => tokens.length > 1)
  assert.equal(await ask(), 'ada')
  assert.deepEqual([rejections(), refreshes()], [1, 1])
})

test('socket.io: after the end of the session it stops', async (t) => {
  const { auth, time, client, socket, tokens, rejections, ask, signIn } = await startSocketIo(t)
  await signIn()
  assert.equal(await ask(), 'ada')
  await auth.revokeSubject('ada')
  time.offset = 3_600_000
  socket.io.engine.close()
  await until(() => client.getSession().status === 'signed-out' && !socket.active)
  assert.ok(rejections() <= 2)
  assert.equal(tokens.length, 1)
  await signIn()
  assert.equal(await ask(), 'ada')
})

test('socket.io: a server that rejects every token is asked twice', async (t) => {
  const { io, origin, client, socket, rejections, signIn, refreshes } = await startSocketIo(t)
  io.use((_, next) => next(new Error('never')))
  await signIn()
  await until(() => rejections() === 2)
  // A round trip later there is no third one.
  await client.fetch(`${origin}/me`)
  assert.deepEqual([rejections(), refreshes(), socket.active], [2, 1, false])
})

test('tRPC: a subscription goes on with the next token, and ends with the session', async (t) => {
  const { auth, events, time } = makeDaypass()
  const web = createFetchAuth(auth, { authenticate: ({ name }) => ({ subject: String(name), claims: { role: '' } }) })
  const { write } = createProject(t, ['@trpc/client', '@trpc/server', 'eventsource'])
  // The server of docs/frameworks.md with this page's router. A connection lasts 300 ms here, an event comes every 20 ms.
  Object.assign(globalThis, { webOfTest: web })
  write('auth.ts', 'export const web = globalThis.webOfTest')
  write('router.ts', readSnippet(page, 'trpc-router.ts').replace('900_000', '300').replace('1000', '20'))
  const respondWith = readSnippet('docs/frameworks.md', 'trpc.ts').replace('export const router', 'const unused')
  const path = write('trpc.ts', `import { router } from './router.ts'\n${respondWith}`)
  const { respond } = await import(path)
  const statuses: number[] = []
  const fetch = async (request: Request) => {
    const response: Response = await respond(request)
    if (request.url.includes('/trpc')) statuses.push(response.status)
    return response
  }
  const started = await new Promise<HttpServer>((resolve) => {
    const server = serveFetch({ fetch, port: 0, hostname: '127.0.0.1' }, () => resolve(server as HttpServer))
  })
  const server = running(started)
  t.after(() => server.close())

  const here = (file: string) =>
    import(write(file, readSnippet(page, file).replaceAll('https://api.example.com', server.origin)))
  const { client }: { client: DaypassClient } = await here('client.ts')
  const { links } = await here('trpc-links.ts')
  await client.signIn({ name: 'ada' })
  const api: any = createTRPCClient({ links })
  const numbers: number[] = []
  let error: unknown
  const subscription = api.count.subscribe(undefined, {
    onData: ({ data }: any) => numbers.push(data.subject === 'ada' ? data.n : Number.NaN),
    onError: (reason: unknown) => {
      error = reason
    },
  })
  t.after(() => subscription.unsubscribe())

  await until(() => numbers.length > 2)
  time.offset = 3_600_000
  await until(() => statuses.includes(401))
  const before = numbers.length
  await until(() => numbers.length > before + 2)
  assert.deepEqual(
    numbers,
    numbers.map((_, index) => index + 1),
  )
  assert.equal(events.filter(({ type }) => type === 'rotated').length, 1)

  await auth.revokeSubject('ada')
  await until(() => error)
  assert.equal(client.getSession().status, 'signed-out')
})
