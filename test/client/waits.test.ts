// No response of a server makes the client retry in a loop.

import assert from 'node:assert/strict'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { WebSocketServer } from 'ws'
import { backOff } from '../../src/client/back-off.ts'
import { createClient } from '../../src/client/index.ts'
import { createReconnect } from '../../src/client/reconnect.ts'
import { openSocket, streamEvents } from '../../src/client/streams.ts'
import { startWithClient } from './daypass-server.ts'
import { credentials, refused, reply, startServer } from './scripted-server.ts'

test('a wait has a floor, grows, ends growing, and is only ever lengthened by Retry-After', () => {
  for (const chance of [0, 0.5, 1]) {
    const own = [1, 2, 3, 4, 5, 6, 2000].map((failures) => backOff(failures, 100, 3000, chance))
    assert.deepEqual(
      own,
      [100, 300, 900, 2700, 3000, 3000, 3000].map((wait) => wait * (0.5 + chance / 2)),
    )
    for (const seconds of [0, -5, 0.001, 0.049]) assert.equal(backOff(1, 100, 3000, chance, seconds), own[0])
    assert.equal(backOff(1, 100, 3000, chance, 7), 7000)
    assert.equal(backOff(1, 100, 3000, chance, Infinity), 300_000)
  }
})

test('a stream’s waits have a floor that the server cannot take away', () => {
  const reconnect = createReconnect(() => 0)
  assert.deepEqual(
    [1, 2, 3, 4, 5, 6].map(() => reconnect.next({ shortest: 0, retryAfter: 0 })),
    [50, 150, 450, 1350, 4050, 12_150],
  )
  reconnect.reset()
  assert.equal(reconnect.next(), 500)
  // A connection that was made and did not last is a failure like others.
  reconnect.connected()
  assert.equal(reconnect.next(), 1500)
})

for (const [status, retryAfter] of [
  [503, '0'],
  [429, '0'],
  [503, '0.0001'],
  [401, '0'],
] as const) {
  test(`${status} with Retry-After ${retryAfter} to every refresh, and a subscriber: a few requests, not hundreds`, async (t) => {
    const server = await startServer(t)
    server.script.push(
      ...Array<(typeof server.script)[0]>(10_000).fill((_, response) =>
        reply(response, refused(status, 'x', 'ERR_X'), { 'retry-after': retryAfter }),
      ),
    )
    let ahead = 0
    const client = createClient({ baseUrl: `${server.url}/auth`, clock: () => performance.now() + ahead })
    await client.signIn(credentials)
    ahead = 900_000
    t.after(client.subscribe(() => {}))
    await assert.rejects(client.getAccessToken(), { code: 'ERR_OFFLINE' })
    await delay(2000)
    // At best a wait is 150 ms, then 450, 1350 …: more would be a loop.
    assert.ok(server.refreshes() < 12, `${server.refreshes()} requests`)
    assert.ok(server.refreshes() >= 4)
  })
}

test('tokens that live for a millisecond are not renewed in a loop', async (t) => {
  const server = await startServer(t, { expiresIn: 0.001 })
  const client = createClient({ baseUrl: `${server.url}/auth` })
  await client.signIn(credentials)
  t.after(client.subscribe(() => {}))
  await delay(1000)
  assert.ok(server.refreshes() <= 11, `${server.refreshes()} requests`)
})

/** A stream's server that does the same each time, and how often it was asked. */
async function startStream(t: TestContext, answer: (response: ServerResponse) => unknown) {
  const all = await startWithClient(t)
  const counted = { count: 0 }
  const server = createServer((_, response) => {
    counted.count++
    answer(response)
  })
  const sockets = new WebSocketServer({ server })
  sockets.on('connection', (socket) => {
    counted.count++
    socket.close(1011)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    sockets.close()
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  return { ...all, counted, url: `http://127.0.0.1:${port}/`, socketUrl: `ws://127.0.0.1:${port}/` }
}

const head = { 'content-type': 'text/event-stream' }
const streams: Record<string, (response: ServerResponse) => unknown> = {
  'says retry: 0 and ends without an event': (response) => response.writeHead(200, head).end('retry: 0\n\n'),
  'says retry: 0, sends an event and breaks': (response) =>
    response.writeHead(200, head).write('retry: 0\ndata: x\n\n', () => response.destroy()),
  'ends at once': (response) => response.writeHead(200, head).end(),
  'says 503 with Retry-After 0': (response) => response.writeHead(503, { 'retry-after': '0' }).end(),
}
for (const [what, answer] of Object.entries(streams)) {
  test(`a stream that ${what}, for ever: fewer and fewer requests`, async (t) => {
    const { client, counted, url } = await startStream(t, answer)
    const controller = new AbortController()
    const reading = (async () => {
      for await (const _ of streamEvents(client, url, { signal: controller.signal, chance: () => 0 }));
    })()
    await delay(3000)
    controller.abort()
    await assert.rejects(reading, { name: 'AbortError' })
    // The waits are 50 ms, 150, 450, 1350 at the least.
    assert.ok(counted.count >= 2 && counted.count <= 5, `${counted.count} requests`)
  })
}

test('a stream whose every connection is ended in order after an event: never more often than the floor', async (t) => {
  const { client, counted, url } = await startStream(t, (response) =>
    response.writeHead(200, head).end('retry: 0\ndata: x\n\n'),
  )
  const controller = new AbortController()
  const reading = (async () => {
    for await (const _ of streamEvents(client, url, { signal: controller.signal, chance: () => 0 }));
  })()
  await delay(1000)
  controller.abort()
  await assert.rejects(reading)
  assert.ok(counted.count >= 2 && counted.count <= 21, `${counted.count} requests`)
})

test('a stream waits as long as Retry-After asks', async (t) => {
  const { client, counted, url } = await startStream(t, (response) =>
    response.writeHead(503, { 'retry-after': '60' }).end(),
  )
  const controller = new AbortController()
  const reading = streamEvents(client, url, { signal: controller.signal, chance: () => 0 }).next()
  await delay(2000)
  controller.abort()
  await assert.rejects(reading)
  assert.equal(counted.count, 1)
})

for (const kind of ['events', 'socket'] as const) {
  test(`a stream (${kind}) whose tokens cannot be had any more does not spin, and what the client says cuts no wait short`, async (t) => {
    const { client, server, counted, url, socketUrl } = await startStream(t, (response) => response.destroy())
    server.faults.push(...Array(10_000).fill((response: ServerResponse) => response.writeHead(503).end()))
    const controller = new AbortController()
    const { signal } = controller
    const ended =
      kind === 'events'
        ? streamEvents(client, url, { signal, chance: () => 0 }).next()
        : openSocket(client, { signal, chance: () => 0, open: (token) => new WebSocket(socketUrl, token) })
    // Refreshes fail all the while, and the token is still good: the status changes again and again.
    for (const end = performance.now() + 2000; performance.now() < end; await delay(20)) {
      await client.getAccessToken({ forceFresh: true }).catch(() => {})
    }
    controller.abort()
    if (kind === 'events') await assert.rejects(ended as Promise<unknown>)
    assert.ok(counted.count >= 1 && counted.count <= 4, `${counted.count} requests`)
  })
}
