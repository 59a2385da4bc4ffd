// A response that is not read holds no connection.

import assert from 'node:assert/strict'
import { Agent, createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import axios, { type AxiosInstance } from 'axios'
import { attachDaypass } from '../../src/client/axios.ts'
import { createClient, isBodyNotReplayable, isOffline, isSignedOut } from '../../src/client/index.ts'
import { isStreamRefused, streamEvents } from '../../src/client/streams.ts'
import { stream } from './bodies.ts'
import { type Fault, startWithClient } from './daypass-server.ts'

const long = 'x'.repeat(1_000_000)

/** The kinds of rejection: short, packed, long, one that is never finished, one that never ends. */
const refusals: Record<string, (response: ServerResponse) => unknown> = {
  short: (response) => response.writeHead(401).end('no'),
  packed: (response) => response.writeHead(401, { 'content-encoding': 'gzip' }).end(gzipSync('no')),
  long: (response) => response.writeHead(401).end(long),
  'never finished': (response) => response.writeHead(401).write('no'),
  endless: (response) => {
    response.writeHead(401)
    const more = () => {
      while (!response.destroyed && response.write(long));
    }
    response.on('drain', more)
    more()
  },
}

/** An API beside the server: it refuses the first call in the given way, and lets in the next. */
async function start(t: TestContext, refuse: (response: ServerResponse) => unknown) {
  const all = await startWithClient(t)
  const open = new Set<ServerResponse>()
  let count = 0
  const api = createServer((request, response) => {
    open.add(response)
    response.on('close', () => open.delete(response))
    request.resume()
    if (count++ === 0) refuse(response)
    else response.end('yes')
  })
  await new Promise<void>((resolve) => api.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    api.closeAllConnections()
    return new Promise((resolve) => api.close(resolve))
  })
  const url = `http://127.0.0.1:${(api.address() as AddressInfo).port}/`
  const { clock, sleep } = all.time
  const client = createClient({
    baseUrl: `${all.server.url}/auth`,
    origins: [url],
    storage: all.storage,
    clock,
    sleep,
  })
  await client.getAccessToken({ forceFresh: true })
  /** Every answer of the API is finished or given up: none holds a connection. */
  const isFree = async () => {
    for (const end = performance.now() + 10_000; open.size > 0; await new Promise((done) => setTimeout(done, 10))) {
      assert.ok(performance.now() < end, 'a connection is still held')
    }
  }
  return { ...all, client, url, isFree }
}

const attach = (
  api: AxiosInstance,
  ...rest: Parameters<typeof attachDaypass> extends [any, ...infer R] ? R : never
) => {
  attachDaypass(api, ...rest)
  return api
}
const fails: Fault = (response) => response.writeHead(503).end()

for (const [kind, refuse] of Object.entries(refusals)) {
  test(`fetch, a rejection that is ${kind}: discarded when the call is sent again`, { timeout: 30_000 }, async (t) => {
    const { client, url, isFree } = await start(t, refuse)
    assert.equal(await (await client.fetch(url)).text(), 'yes')
    await isFree()
  })

  test(`fetch, a rejection that is ${kind}: discarded when the refresh fails`, { timeout: 30_000 }, async (t) => {
    const { server, client, url, isFree } = await start(t, refuse)
    server.faults.push(fails, fails, fails, fails)
    await assert.rejects(client.fetch(url), isOffline)
    await isFree()
  })

  for (const adapter of ['http', 'fetch']) {
    test(`axios over ${adapter} with one socket, streamed, a rejection that is ${kind}: sent again, and discarded`, {
      timeout: 30_000,
    }, async (t) => {
      const { client, url, isFree } = await start(t, refuse)
      const agent = new Agent({ maxSockets: 1, keepAlive: true })
      t.after(() => agent.destroy())
      const api = attach(axios.create({ adapter, proxy: false, httpAgent: agent, responseType: 'stream' }), client)
      const { data } = await api.get(url)
      let text = ''
      for await (const chunk of data) text += Buffer.from(chunk)
      assert.equal(text, 'yes')
      await isFree()
    })

    test(`axios over ${adapter}, streamed, a rejection that is ${kind}: discarded when the refresh fails`, {
      timeout: 30_000,
    }, async (t) => {
      const { server, client, url, isFree } = await start(t, refuse)
      const api = attach(axios.create({ adapter, proxy: false, responseType: 'stream' }), client)
      server.faults.push(fails, fails, fails, fails)
      await assert.rejects(api.get(url), isOffline)
      await isFree()
    })
  }
}

test('discarded when the person signs out meanwhile', async (t) => {
  const { server, client, url, isFree } = await start(t, refusals['never finished']!)
  const held = server.holdRefresh()
  const call = assert.rejects(client.fetch(url), isSignedOut)
  await held.asked
  const out = client.signOut()
  await call
  held.answer()
  await out
  await isFree()
})

for (const kind of ['short', 'packed', 'long']) {
  const expected = kind === 'long' ? long : 'no'

  test(`a rejection that is ${kind} and ends the session is returned to the caller, complete`, async (t) => {
    const { server, client, url } = await start(t, refusals[kind]!)
    await server.revokeSessions()
    const response = await client.fetch(url)
    assert.equal(response.status, 401)
    assert.ok((await response.text()) === expected)
  })

  test(`a rejection that is ${kind} is part of ERR_BODY_NOT_REPLAYABLE, complete`, async (t) => {
    const { client, url } = await start(t, refusals[kind]!)
    const call = client.fetch(url, { method: 'POST', body: stream(), duplex: 'half' } as RequestInit)
    const error = await call.catch((error) => error)
    assert.ok(isBodyNotReplayable(error))
    assert.ok((await (error.response as Response).text()) === expected)
  })
}

test('a response that is not a stream of events can be read; before another attempt it is discarded', async (t) => {
  const { client, url, isFree } = await start(t, (response) => response.writeHead(503).write('no'))
  const events = streamEvents(client, url, { chance: () => 0 })
  await assert.rejects(events.next(), (error) => isStreamRefused(error) && error.status === 200)
  await isFree()
  const { client: other, url: there } = await start(t, (response) => response.writeHead(403).end(long))
  const error = await streamEvents(other, there)
    .next()
    .catch((error) => error)
  assert.ok(isStreamRefused(error))
  assert.ok((await (error.response as Response).text()) === long)
})
