// WebSockets and server-sent events stay signed in, over real sockets.

import assert from 'node:assert/strict'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { WebSocketServer, WebSocket as WsSocket } from 'ws'
import { type ClientOptions, createClient, isSignedOut } from '../../src/client/index.ts'
import { type EventStreamOptions, isStreamRefused, openSocket, streamEvents } from '../../src/client/streams.ts'
import { credentials, startServer } from './scripted-server.ts'

const seconds = 1000

/** Waits for what happens at the other end. */
async function until(what: string, holds: () => boolean) {
  for (const end = performance.now() + 15 * seconds; !holds(); await new Promise((resolve) => setTimeout(resolve, 5))) {
    assert.ok(performance.now() < end, `It never came to this: ${what}`)
  }
}

type Answer = (response: ServerResponse, request: IncomingMessage) => unknown

/** A client that is signed in, and an API on a port of its own, to which it may send its token. */
async function start(t: TestContext, options: Partial<ClientOptions> = {}) {
  const auth = await startServer(t)
  /** Each request to the stream, and whether its connection is still there. */
  const seen: { token?: string; lastEventId?: string; accept?: string; isOpen: boolean }[] = []
  /** Answers the requests in turn; the last one all that follow. */
  const script: Answer[] = []
  const server = createServer((request, response) => {
    const { authorization, accept, 'last-event-id': lastEventId } = request.headers
    const one = { token: authorization, accept, lastEventId: lastEventId as string, isOpen: true }
    response.on('close', () => {
      one.isOpen = false
    })
    seen.push(one)
    const answer = script.length > 1 ? script.shift()! : script[0]!
    answer(response, request)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`
  const url = `http://${host}/events`
  const client = createClient({ baseUrl: `${auth.url}/auth`, origins: [auth.url, url], ...options })
  await client.signIn(credentials)
  return { auth, seen, script, server, client, url, socketUrl: `ws://${host}/live` }
}

const stream =
  (text: string | Uint8Array[], isEnd = false): Answer =>
  async (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' })
    for (const part of [text].flat()) {
      response.write(part)
      if (Array.isArray(text)) await new Promise((resolve) => setImmediate(resolve))
    }
    if (isEnd) response.end()
  }
const status =
  (code: number, type = 'text/plain'): Answer =>
  (response) =>
    response.writeHead(code, { 'content-type': type }).end()

/** The first events of a stream, after which it is left. */
async function take(count: number, ...args: Parameters<typeof streamEvents>) {
  const events = []
  for await (const event of streamEvents(...args)) {
    events.push(event)
    if (events.length === count) break
  }
  return events
}

const quick: EventStreamOptions = { chance: () => 0 }

test('events are parsed as the standard says, at any split of the bytes', async (t) => {
  const text =
    '\ufeff: a comment\nretry: 10\n\ndata: one\n\nevent: named\nid: 7\ndata: two\r\ndata:  lines\r\n\r\n' +
    'data\n\ndata:no space\ndata\n\nid\ndata: { "é": "😀" }\nunknown: x\n\rid: a\0b\ndata: last\n\n'
  const expected = [
    { type: 'message', data: 'one', lastEventId: '' },
    { type: 'named', data: 'two\n lines', lastEventId: '7' },
    { type: 'message', data: '', lastEventId: '7' },
    { type: 'message', data: 'no space\n', lastEventId: '7' },
    { type: 'message', data: '{ "é": "😀" }', lastEventId: '' },
    { type: 'message', data: 'last', lastEventId: '' },
  ]
  const { script, client, url, seen } = await start(t)
  const bytes = new TextEncoder().encode(text)
  for (const size of [bytes.length, 1, 7]) {
    const parts = Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
      bytes.slice(i * size, (i + 1) * size),
    )
    script[0] = stream(parts)
    assert.deepEqual(await take(6, client, url, quick), expected)
  }
  assert.deepEqual([seen[0]!.token, seen[0]!.accept], ['Bearer access-1', 'text/event-stream'])
})

/** A client whose API answers with these chunks. (Over a socket it is chance which bytes come together.) */
async function startChunked(t: TestContext, chunks: Iterable<string>) {
  const state = { isCancelled: false }
  const source = chunks[Symbol.iterator]()
  const encoder = new TextEncoder()
  let pulls = 0
  const { client, url } = await start(t, {
    fetch: async (input, init) => {
      if (!String((input as Request).url ?? input).endsWith('/events')) return fetch(input, init)
      const body = new ReadableStream<Uint8Array>({
        async pull(controller) {
          // Timers, that of the test among them, get their turn.
          if (++pulls % 256 === 0) await new Promise((resolve) => setImmediate(resolve))
          const { done, value } = source.next()
          // Open until it is cancelled, as a stream of events is.
          if (done) await new Promise(() => {})
          else controller.enqueue(encoder.encode(value))
        },
        cancel() {
          state.isCancelled = true
        },
      })
      ;(input as Request).signal.addEventListener('abort', () => {
        state.isCancelled = true
      })
      return new Response(body, { headers: { 'content-type': 'text/event-stream' } })
    },
  })
  return { client, url, state }
}

test('a line of 4 MB that comes in 32 bytes at a time takes no more than a line at once', {
  timeout: 60_000,
}, async (t) => {
  const size = 4_000_000
  function* chunks() {
    yield 'data: '
    for (let i = 0; i < size; i += 32) yield 'x'.repeat(32)
    yield '\n\n'
  }
  const { client, url } = await startChunked(t, chunks())
  const [event] = await take(1, client, url, quick)
  assert.equal(event!.data.length, size)
})

test('a line end that two chunks share is one, and a CR at the end of a chunk ends its line at once', async (t) => {
  const { client, url } = await startChunked(t, [
    'data: a\r',
    '\ndata: b\r',
    '\n',
    '\r',
    '\ndata: c\r',
    '\r',
    '\n\ndata: d\n',
    '\n',
    'data: e\r\r',
  ])
  const events = await take(4, client, url, quick)
  assert.deepEqual(
    events.map(({ data }) => data),
    ['a\nb', 'c', 'd', 'e'],
  )
})

for (const [what, chunk] of [
  ['a line', 'x'.repeat(100_000)],
  ['an event of many lines', `data: ${'x'.repeat(100_000)}\n`],
] as const) {
  test(`${what} without an end is refused, and its connection is closed`, async (t) => {
    let count = 0
    function* chunks() {
      for (; count < 1000; count++) yield chunk
    }
    const { client, url, state } = await startChunked(t, chunks())
    await assert.rejects(take(1, client, url, quick), (error) => {
      assert.ok(isStreamRefused(error))
      assert.deepEqual([error.reason, error.response], ['endless', undefined])
      return true
    })
    assert.ok(count < 200, `${count} chunks were read`)
    assert.ok(state.isCancelled)
  })
}

test('a stream that ends or breaks goes on where it was; 204 is the end', async (t) => {
  const { script, client, url, seen } = await start(t)
  script.push(
    stream('retry: 10\nid: 1\ndata: a\n\n', true),
    status(503),
    (response) => response.destroy(),
    stream('id: 2\ndata: b\n\ndata: never finished', true),
    status(204),
  )
  const events = []
  for await (const { data } of streamEvents(client, url, quick)) events.push(data)
  assert.deepEqual(events, ['a', 'b'])
  assert.deepEqual(
    seen.map(({ lastEventId }) => lastEventId),
    [undefined, '1', '1', '1', '2'],
  )
})

test('a refused token is renewed, and the stream goes on with the new one', async (t) => {
  const { script, client, url, seen, auth } = await start(t)
  script.push(status(401), stream('data: in\n\n'))
  assert.deepEqual(await take(1, client, url), [{ type: 'message', data: 'in', lastEventId: '' }])
  assert.deepEqual(
    seen.map(({ token }) => token),
    ['Bearer access-1', 'Bearer access-2'],
  )
  assert.equal(auth.refreshes(), 1)
})

test('a renewed token: connected again with it, at once, or not where it is to be kept', async (t) => {
  const { script, client, url, seen } = await start(t)
  script.push(stream('id: 1\ndata: a\n\n'), stream('id: 2\ndata: b\n\n'))
  const events = streamEvents(client, url, { chance: () => 1e6 })
  assert.equal((await events.next()).value!.data, 'a')
  const next = events.next()
  await client.getAccessToken({ forceFresh: true })
  assert.equal((await next).value!.data, 'b')
  assert.deepEqual([seen[1]!.token, seen[1]!.lastEventId], ['Bearer access-2', '1'])
  await until('the first connection is closed', () => !seen[0]!.isOpen)
  await events.return()
  await until('leaving closes the second one', () => !seen[1]!.isOpen)

  let respond = (_: string) => {}
  script[0] = (response) => {
    respond = (text) => response.write(text)
    stream('data: c\n\n')(response, null as never)
  }
  const kept = streamEvents(client, url, { onRenewal: 'keep' })
  await kept.next()
  const later = kept.next()
  await client.getAccessToken({ forceFresh: true })
  respond('data: d\n\n')
  assert.equal((await later).value!.data, 'd')
  assert.equal(seen.length, 3)
  await kept.return()
})

test('signing out ends the stream and its connection; so does another sign-in', async (t) => {
  const { script, client, url, seen } = await start(t)
  script.push(stream('data: a\n\n'))
  for (const end of [() => client.signOut(), () => client.signIn(credentials)]) {
    if (!client.getSession().session) await client.signIn(credentials)
    const events = streamEvents(client, url, { onRenewal: 'keep' })
    await events.next()
    const next = events.next()
    const refused = assert.rejects(next, isSignedOut)
    await end()
    await refused
    await until('the connection is closed', () => !seen.at(-1)!.isOpen)
  }
})

test('a signal ends it, while it reads and while it waits', async (t) => {
  const { script, client, url, seen } = await start(t)
  script.push(stream('data: a\n\n'), status(503))
  for (const isReading of [true, false]) {
    const controller = new AbortController()
    const events = streamEvents(client, url, { signal: controller.signal, chance: () => 1e6 })
    if (isReading) await events.next()
    const next = assert.rejects(events.next(), { name: 'AbortError' })
    await until('it has asked', () => seen.length === (isReading ? 1 : 2))
    await new Promise((resolve) => setTimeout(resolve, 30))
    controller.abort()
    await next
  }
  await assert.rejects(take(1, client, url, { signal: AbortSignal.abort() }), { name: 'AbortError' })
})

test('a response that is not a stream is rejected, and part of the error', async (t) => {
  const { script, client, url } = await start(t)
  for (const [code, type] of [
    [403, 'text/event-stream'],
    [404, 'text/plain'],
    [200, 'text/html'],
  ] as const) {
    script[0] = status(code, type)
    await assert.rejects(take(1, client, url), (error) => {
      assert.ok(isStreamRefused(error))
      assert.deepEqual([error.status, (error.response as Response).status], [code, code])
      return true
    })
  }
})

/** A WebSocket server that notes what happens to its sockets. */
function listen(t: TestContext, server: Awaited<ReturnType<typeof start>>['server']) {
  const sockets: { protocol: string; messages: string[]; isOpen: boolean; peer: WsSocket }[] = []
  const state = { sockets, refuseNext: 0 }
  const live = new WebSocketServer({ noServer: true })
  server.on('upgrade', (request, socket, head) => {
    if (state.refuseNext-- > 0) return socket.end('HTTP/1.1 401 Unauthorized\r\nconnection: close\r\n\r\n')
    live.handleUpgrade(request, socket, head, (peer) => {
      const one = { protocol: peer.protocol, messages: [] as string[], isOpen: true, peer }
      sockets.push(one)
      peer.on('message', (data) => one.messages.push(String(data)))
      peer.on('close', () => {
        one.isOpen = false
      })
    })
  })
  t.after(() => {
    for (const { peer } of sockets) peer.terminate()
    live.close()
  })
  return state
}

test('a socket with the token in its subprotocol: a renewed token opens the next, then closes the last', async (t) => {
  const { client, server, socketUrl } = await start(t)
  const { sockets } = listen(t, server)
  const live = openSocket(client, { open: (token) => new WebSocket(socketUrl, token) })
  t.after(() => live.close())
  await until('it is open', () => sockets.length === 1)
  assert.equal(sockets[0]!.protocol, 'access-1')
  await client.getAccessToken({ forceFresh: true })
  await until('the next one is open and the first is closed', () => sockets.length === 2 && !sockets[0]!.isOpen)
  assert.deepEqual([sockets[1]!.protocol, sockets[1]!.isOpen], ['access-2', true])
  assert.equal(live.socket!.readyState, WebSocket.OPEN)
  live.close()
  await until('it is closed', () => !sockets[1]!.isOpen)
  assert.equal(live.socket, undefined)
})

test('a socket with authenticate keeps its connection, and gets each renewed token', async (t) => {
  const { client, server, socketUrl } = await start(t)
  const { sockets } = listen(t, server)
  const live = openSocket(client, {
    open: () => new WsSocket(socketUrl),
    authenticate: (socket, token) => socket.send(token),
  })
  t.after(() => live.close())
  await until('it is told', () => sockets[0]?.messages.length === 1)
  await client.getAccessToken({ forceFresh: true })
  await until('it is told again', () => sockets[0]!.messages.length === 2)
  assert.deepEqual(sockets[0]!.messages, ['access-1', 'access-2'])
  assert.equal(sockets.length, 1)
})

test('a connection that breaks is made again; a token refused by a code or by the handshake is renewed once', async (t) => {
  const { client, server, socketUrl, auth } = await start(t)
  const state = listen(t, server)
  const { sockets } = state
  const options = { open: (token: string) => new WebSocket(socketUrl, token), chance: () => 0 }
  let live = openSocket(client, options)
  t.after(() => live.close())
  await until('it is open', () => sockets.length === 1)
  sockets[0]!.peer.terminate()
  await until('it is open again', () => sockets.length === 2)
  assert.deepEqual([sockets[1]!.protocol, auth.refreshes()], ['access-1', 0])
  live.close()

  live = openSocket(client, options)
  await until('it is open', () => sockets.length === 3)
  sockets[2]!.peer.close(4401)
  await until('it is open with another token', () => sockets.length === 4)
  assert.equal(sockets[3]!.protocol, 'access-2')
  // A server that refuses whatever comes is not met with a refresh each time.
  sockets[3]!.peer.close(4401)
  await until('it is open again', () => sockets.length === 5)
  assert.deepEqual([sockets[4]!.protocol, auth.refreshes()], ['access-2', 1])
  live.close()

  state.refuseNext = 2
  live = openSocket(client, options)
  await until('it is open after two refusals', () => sockets.length === 6)
  assert.deepEqual([sockets[5]!.protocol, auth.refreshes()], ['access-3', 2])
})

test('signing out closes the socket, signing in opens one, a visitor has none, and a closed one stays closed', async (t) => {
  const { client, server, socketUrl } = await start(t)
  const { sockets } = listen(t, server)
  await client.signOut()
  const controller = new AbortController()
  const live = openSocket(client, {
    open: (token) => new WebSocket(socketUrl, token),
    signal: controller.signal,
  })
  await new Promise((resolve) => setTimeout(resolve, 100))
  assert.deepEqual([sockets.length, live.socket], [0, undefined])
  await client.signIn(credentials)
  await until('it is open', () => sockets.length === 1)
  await client.signOut()
  await until('it is closed', () => !sockets[0]!.isOpen)
  assert.equal(live.socket, undefined)
  await client.signIn(credentials)
  await until('it is open again', () => sockets.length === 2)
  // Another session: another socket, which the first one does not use.
  await client.signIn(credentials)
  await until('there is another one', () => sockets.length === 3 && !sockets[1]!.isOpen)
  controller.abort()
  await until('it is closed for good', () => !sockets[2]!.isOpen)
  await client.getAccessToken({ forceFresh: true })
  await new Promise((resolve) => setTimeout(resolve, 100))
  assert.equal(sockets.length, 3)
})
