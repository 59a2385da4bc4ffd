// The stream of a person's own events: nobody else's, none missed, and no longer than the token is good.

import assert from 'node:assert/strict'
import { createServer, get, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, describe, type TestContext, test } from 'node:test'
import type { DaypassError, DaypassEvent } from 'daypass'
import { createFeed } from '../../server/src/feed.ts'
import { post, type ServerProcess, startServerProcess } from './process.ts'

let server: ServerProcess
before(async () => {
  server = await startServerProcess()
})
after(() => server.remove())

const bearer = (token: string) => ({ authorization: `Bearer ${token}` })
const begin = async () => (await post(`${server.url}/auth/try`, { transport: 'body' })).body
const phone = async (token: string) =>
  (await post(`${server.url}/auth/try/phone`, { label: 'Phone' }, bearer(token))).body

interface Reader {
  text(): string
  /** Waits until the text has this. */
  until(part: string | RegExp): Promise<void>
  ended: Promise<void>
}

async function read(t: TestContext, token: string, headers: Record<string, string> = {}): Promise<Reader> {
  const abort = new AbortController()
  t.after(() => abort.abort())
  const response = await fetch(`${server.url}/auth/events`, {
    headers: { ...bearer(token), ...headers },
    signal: abort.signal,
  })
  assert.equal(response.status, 200)
  assert.match(response.headers.get('content-type')!, /^text\/event-stream/)
  assert.equal(response.headers.get('cache-control'), 'no-store')
  let text = ''
  let isOver = false
  const ended = (async () => {
    for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) text += chunk
  })()
    .catch(() => {})
    .finally(() => {
      isOver = true
    })
  return {
    text: () => text,
    async until(part) {
      for (let tries = 0; tries < 400 && !isOver; tries++) {
        if (text.search(part) >= 0) return
        await new Promise((resolve) => setTimeout(resolve, 50))
      }
      assert.match(text, new RegExp(part))
    },
    ended,
  }
}

describe('GET /auth/events', () => {
  test('needs an access token', async () => {
    assert.equal((await fetch(`${server.url}/auth/events`)).status, 401)
  })

  test('has the events of its own person and of nobody else, without a token', async (t) => {
    const [ada, eve] = [await begin(), await begin()]
    const [ofAda, ofEve] = [await read(t, ada.accessToken), await read(t, eve.accessToken)]
    await Promise.all([ofAda.until('event: ready'), ofEve.until('event: ready')])
    const { session } = await phone(ada.accessToken)
    const { session: other } = await phone(eve.accessToken)
    await Promise.all([ofAda.until(session.id), ofEve.until(other.id)])
    assert.doesNotMatch(ofEve.text(), new RegExp(`${session.id}|${ada.session.subject}`))
    assert.doesNotMatch(ofAda.text() + ofEve.text(), /dpr_|eyJ/)
  })

  test('brings what was missed to a reader that connects again', async (t) => {
    const guest = await begin()
    const first = await read(t, guest.accessToken)
    await first.until('event: ready')
    const [, id = ''] = /^id: (.+)$/m.exec(first.text()) ?? []
    const { session } = await phone(guest.accessToken)
    const second = await read(t, guest.accessToken, { 'last-event-id': id })
    await second.until(session.id)
    // An id of another process, or none that it made, brings nothing.
    const third = await read(t, guest.accessToken, { 'last-event-id': 'other-0' })
    await third.until('event: ready')
    assert.doesNotMatch(third.text(), new RegExp(session.id))
  })

  test('ends with the session', async (t) => {
    const guest = await begin()
    const reader = await read(t, guest.accessToken)
    await reader.until('event: ready')
    await post(`${server.url}/auth/logout`, { refreshToken: guest.refreshToken })
    await reader.ended
    assert.match(reader.text(), /event: revoked/)
  })

  test('ends with the access token', async (t) => {
    const { accessToken } = await begin()
    const reader = await read(t, accessToken)
    await reader.ended
    assert.equal((await fetch(`${server.url}/auth/me`, { headers: bearer(accessToken) })).status, 401)
  })
})

describe('nobody’s streams use up the server', () => {
  test('a person with ten gets no more, and other people do', async (t) => {
    const [ada, eve] = [await begin(), await begin()]
    const readers = await Promise.all(Array.from({ length: 10 }, () => read(t, eve.accessToken)))
    await Promise.all(readers.map((reader) => reader.until('event: ready')))
    const refused = await fetch(`${server.url}/auth/events`, { headers: bearer(eve.accessToken) })
    assert.equal(refused.status, 429)
    assert.ok(Number(refused.headers.get('retry-after')) > 0)
    await (await read(t, ada.accessToken)).until('event: ready')
  })

  test('a network with a hundred gets no more, and other networks do', async (t) => {
    const { get: open } = await startFeed(t)
    // Accounts cost nothing, so the limit of a person is none for a network.
    for (let n = 0; n < 100; n++) assert.equal((await open(`person-${n}`)).statusCode, 200)
    assert.equal((await open('person-100')).statusCode, 429)
    assert.equal((await open('person-100', '198.51.100.7')).statusCode, 200)
  })

  test('a reader that ended before its stream began is not counted', async (t) => {
    let meanwhile = async (_request: IncomingMessage, _response: ServerResponse) => {}
    const { get: open } = await startFeed(t, (...exchange) => meanwhile(...exchange))
    meanwhile = async ({ socket }, response) => {
      const closed = new Promise((resolve) => response.once('close', resolve))
      socket.destroy()
      await closed
    }
    for (let n = 0; n < 10; n++) await assert.rejects(open('ada'))
    meanwhile = async () => {}
    assert.equal((await open('ada')).statusCode, 200)
  })

  test('a HEAD holds none', async () => {
    const { accessToken } = await begin()
    const head = () => fetch(`${server.url}/auth/events`, { method: 'HEAD', headers: bearer(accessToken) })
    for (let n = 0; n < 11; n++) {
      const response = await head()
      assert.deepEqual([response.status, response.headers.get('allow')], [405, 'GET'])
    }
  })

  test('a reader that takes nothing is disconnected: its events do not stay in memory', async (t) => {
    const { feed, get: open, responses } = await startFeed(t)
    const [slow, quick] = [await open('ada'), await open('ada')]
    let received = ''
    quick.on('data', (chunk) => {
      received += chunk
    })
    const ended = new Promise<void>((resolve) => slow.once('close', resolve))
    slow.on('error', () => {})
    const event = { type: 'issued', subject: 'ada', device: { userAgent: 'x'.repeat(16_384) } }
    // 32 MB, more than the operating system keeps for a connection.
    for (let n = 0; n < 1000; n++) {
      // Two at once: the second one may come right after the disconnection.
      feed.publish(event as DaypassEvent)
      feed.publish(event as DaypassEvent)
      await new Promise((resolve) => setImmediate(resolve))
    }
    // What was sent until then, and then the end.
    slow.resume()
    await ended
    assert.equal(slow.complete, false)
    feed.publish({ ...event, subject: 'ada', type: 'revoked' } as DaypassEvent)
    for (let n = 0; n < 200 && !received.includes('event: revoked'); n++) {
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    assert.match(received.slice(-20_000), /event: revoked/)
    assert.equal(responses(), 2)
  })
})

/** A feed on a server of its own, whose requests name their person. `meanwhile` happens before the stream begins. */
async function startFeed(
  t: TestContext,
  meanwhile: (request: IncomingMessage, response: ServerResponse) => Promise<void> = async () => {},
) {
  const feed = createFeed({ verify: async () => ({}) as never })
  let responses = 0
  const server = createServer(async (request, raw) => {
    responses++
    await meanwhile(request, raw)
    const { subject = '', network = '' } = request.headers as Record<string, string>
    try {
      feed.send({ raw, hijack() {} } as never, { accessToken: 'a token', subject, network, after: undefined })
    } catch (error) {
      raw.writeHead((error as DaypassError).status).end()
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  t.after(() => {
    feed.close()
    server.closeAllConnections()
    server.close()
  })
  return {
    feed,
    responses: () => responses,
    get: (subject: string, network = '192.0.2.1') =>
      new Promise<IncomingMessage>((resolve, reject) => {
        get({ port, host: '127.0.0.1', agent: false, headers: { subject, network } }, resolve).on('error', reject)
      }),
  }
}

test('a server with an open stream stops at once', async (t) => {
  // A server of its own: fetch opens spare connections after an abort, and Node takes those for busy.
  const own = await startServerProcess()
  t.after(() => own.remove())
  const { accessToken } = (await post(`${own.url}/auth/try`, { transport: 'body' })).body
  const response = await fetch(`${own.url}/auth/events`, { headers: bearer(accessToken) })
  const ended = response.text()
  const started = performance.now()
  assert.equal(await own.stop(), 0)
  assert.match(await ended, /event: ready/)
  assert.ok(performance.now() - started < 9000, 'connections are cut after ten seconds, and none was')
})
