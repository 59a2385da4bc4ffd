// After a 401 a body is sent again byte for byte.

import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import axios from 'axios'
import { attachDaypass } from '../../src/client/axios.ts'
import { isBodyNotReplayable } from '../../src/client/index.ts'
import { bodies, bytes, stream } from './bodies.ts'
import { type DaypassServer, startWithClient } from './daypass-server.ts'
import type { Seen } from './scripted-server.ts'

/** The two requests that one call became. */
function sentTwice(server: DaypassServer): [Seen, Seen] {
  const all = server.requests('/api')
  assert.equal(all.length, 2)
  assert.notEqual(all[0]!.headers.authorization, all[1]!.headers.authorization)
  return all as [Seen, Seen]
}

/** Byte for byte; without the difference, which for large ones takes minutes to tell. */
const isSame = (actual: Uint8Array, expected: Uint8Array) =>
  assert.ok(Buffer.compare(actual, expected) === 0, `${actual.length} bytes, ${expected.length} expected`)

/** The properties that must be equal besides the bytes. */
const heads = ({ method, headers }: Seen) => [
  method,
  headers['content-type'],
  headers['content-length'],
  headers['x-mine'],
]

for (const [kind, make] of Object.entries(bodies)) {
  for (const way of ['init', 'Request', 'Request and init']) {
    test(`${kind} in a ${way}: sent again byte for byte`, async (t) => {
      const { server, client, api } = await startWithClient(t)
      server.expireTokens()
      const init = { method: 'POST', body: make(), headers: { 'x-mine': '1' } }
      const expected = Buffer.from(await new Response(make()).arrayBuffer())
      const response = await {
        init: () => client.fetch(api, init),
        Request: () => client.fetch(new Request(api, init)),
        'Request and init': () => client.fetch(new Request(api), init),
      }[way]!()
      assert.equal(response.status, 200)
      const [first, second] = sentTwice(server)
      if (!kind.startsWith('FormData')) {
        isSame(second.body, first.body)
        assert.deepEqual(heads(second), heads(first))
        return isSame(first.body, expected)
      }
      // A multipart body has a boundary of its own each time it is made.
      const [one, two] = [first, second].map(({ body, headers }) => {
        const boundary = /^multipart\/form-data; boundary=(.+)$/.exec(headers['content-type']!)![1]!
        const text = body.toString('latin1')
        assert.ok(text.includes(`--${boundary}--`))
        return text.replaceAll(boundary, 'boundary')
      })
      assert.ok(two === one)
      assert.equal(second.headers['x-mine'], '1')
      const parsed = await new Response(new Uint8Array(second.body), {
        headers: { 'content-type': second.headers['content-type']! },
      }).formData()
      assert.deepEqual([...parsed.keys()], [...(make() as FormData).keys()])
      for (const file of parsed.getAll('file').slice(0, 1)) {
        assert.equal((file as File).name, ((make() as FormData).get('file') as File).name)
        isSame(new Uint8Array(await (file as File).arrayBuffer()), bytes)
      }
    })
  }
}

const largeSize = 64 * 2 ** 20
for (const [kind, make] of Object.entries(bodies)) {
  test(`${kind}: no copy of the body is kept for the second attempt`, async (t) => {
    const { server, client, api } = await startWithClient(t)
    server.expireTokens()
    const clone = t.mock.method(Request.prototype, 'clone')
    const sent: (Request | ReadableStream | null)[] = []
    const { fetch } = globalThis
    t.mock.method(globalThis, 'fetch', (input: Request, init?: RequestInit) => {
      if (input instanceof Request) sent.push(input)
      return fetch(input, init)
    })
    assert.equal((await client.fetch(api, { method: 'POST', body: make() })).status, 200)
    assert.equal(clone.mock.callCount(), make() === '' ? 1 : 0)
    assert.equal(new Set(sent).size, 2)
  })
}

const large: Record<string, () => BodyInit> = {
  Blob: () => new Blob([new Uint8Array(largeSize)]),
  text: () => Buffer.alloc(largeSize, 'x').toString(),
}
/** In a function of its own, whose frame is gone with the last chunk before anything is measured. */
async function readLength(body: ReadableStream<Uint8Array>): Promise<number> {
  let length = 0
  for await (const chunk of body) length += chunk.length
  return length
}
for (const [kind, make] of Object.entries(large)) {
  test(`a ${kind} of 64 MB that was sent and refused: it is not held a second time until it is sent again`, async (t) => {
    const { server, client, api } = await startWithClient(t)
    setFlagsFromString('--expose-gc')
    const collect = runInNewContext('gc') as () => void
    const held = () => {
      const { external, heapUsed } = process.memoryUsage()
      return external + heapUsed
    }
    const body = make()
    const sent: number[] = []
    let isFreed = false
    const { fetch } = globalThis
    // The network is left out: what it holds is not ours.
    t.mock.method(globalThis, 'fetch', async (input: Request, init?: RequestInit) => {
      if (!(input instanceof Request)) return fetch(input, init)
      sent.push(await readLength(input.body!))
      if (sent.length > 1) return new Response(null)
      for (let tries = 0; tries < 200 && !isFreed; tries++) {
        collect()
        isFreed = held() - before < largeSize / 2
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
      return new Response(null, { status: 401 })
    })
    collect()
    const before = held()
    assert.equal((await client.fetch(api, { method: 'POST', body })).status, 200)
    assert.ok(isFreed)
    assert.ok(sent[0]! >= largeSize)
    assert.deepEqual([sent.length, sent[1], server.refreshes()], [2, sent[0], 1])
  })
}

test('a FormData and URLSearchParams that the caller changes after the call are sent as they were', async (t) => {
  const { server, client, api } = await startWithClient(t)
  for (const make of [() => new FormData(), () => new URLSearchParams()]) {
    server.expireTokens()
    server.seen.length = 0
    const body = make()
    body.append('a', 'before')
    const call = client.fetch(api, { method: 'POST', body })
    body.append('a', 'after')
    await call
    for (const { body } of sentTwice(server)) {
      assert.match(String(body), /before/)
      assert.doesNotMatch(String(body), /after/)
    }
  }
})

test('every method is sent again as it was, HEAD and DELETE with and without a body among them', async (t) => {
  const { server, client, api } = await startWithClient(t)
  for (const method of ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'QUERY']) {
    server.expireTokens()
    server.seen.length = 0
    await client.fetch(api, { method })
    const [first, second] = sentTwice(server)
    assert.deepEqual([first.method, second.method], [method, method])
  }
  server.expireTokens()
  server.seen.length = 0
  await client.fetch(api, { method: 'DELETE', body: 'why' })
  assert.deepEqual(
    sentTwice(server).map(({ body }) => String(body)),
    ['why', 'why'],
  )
})

test('a body that the caller changes after the call is sent as it was', async (t) => {
  const { server, client, api } = await startWithClient(t)
  server.expireTokens()
  const body = new Uint8Array([1, 2, 3])
  const call = client.fetch(api, { method: 'POST', body })
  body.fill(9)
  await call
  assert.deepEqual(
    sentTwice(server).map((seen) => [...seen.body]),
    [
      [1, 2, 3],
      [1, 2, 3],
    ],
  )
})

test('a Request whose body was read already is refused as fetch refuses it, and nothing is sent', async (t) => {
  const { server, client, api } = await startWithClient(t)
  const request = new Request(api, { method: 'POST', body: 'x' })
  await request.text()
  await assert.rejects(client.fetch(request), TypeError)
  assert.equal(server.seen.length, 0)
})

async function* chunks() {
  yield Buffer.from('stre')
  yield Buffer.from('am')
}
const oneShots: Record<string, () => any> = {
  ReadableStream: stream,
  'async iterable': chunks,
  'Node stream': () => Readable.from(chunks()),
}
for (const [kind, make] of Object.entries(oneShots)) {
  test(`${kind}: goes out once, after a refresh where the token is about to end`, async (t) => {
    const { server, client, api, time } = await startWithClient(t)
    time.now += 895_000
    const response = await client.fetch(api, { method: 'POST', body: make(), duplex: 'half' } as RequestInit)
    assert.equal(response.status, 200)
    assert.deepEqual([server.refreshes(), server.requests('/api').map(({ body }) => String(body))], [1, ['stream']])
  })

  test(`${kind} that is refused: a typed error with the 401, nothing sent twice, and the next call goes through`, async (t) => {
    const { server, client, api } = await startWithClient(t)
    server.expireTokens()
    const send = () => client.fetch(api, { method: 'POST', body: make(), duplex: 'half' } as RequestInit)
    await assert.rejects(send(), (error) => isBodyNotReplayable(error) && (error.response as Response).status === 401)
    assert.equal(server.requests('/api').length, 1)
    assert.equal((await send()).status, 200)
    assert.equal(server.refreshes(), 1)
  })
}

test('a ReadableStream in a Request: sent again whole', async (t) => {
  const { server, client, api } = await startWithClient(t)
  server.expireTokens()
  const request = new Request(api, { method: 'POST', body: new Blob([bytes]).stream(), duplex: 'half' } as RequestInit)
  assert.equal((await client.fetch(request)).status, 200)
  for (const { body } of sentTwice(server)) isSame(body, bytes)
})

for (const adapter of ['http', 'fetch']) {
  const axiosBodies: Record<string, () => unknown> = {
    ...bodies,
    object: () => ({ a: { b: [1, 'ü'] } }),
    number: () => 1,
    Buffer: () => Buffer.from(bytes),
  }
  for (const [kind, make] of Object.entries(axiosBodies)) {
    test(`axios over ${adapter}, ${kind}: sent again as it was sent`, async (t) => {
      const { server, client, api: url } = await startWithClient(t)
      const api = axios.create({ proxy: false })
      attachDaypass(api, client)
      server.expireTokens()
      const headers = kind === 'number' ? { 'content-type': 'application/json' } : {}
      await api.post(url, make(), { adapter, headers: { 'x-mine': '1', ...headers } })
      const [first, second] = sentTwice(server)
      if (!kind.startsWith('FormData')) {
        isSame(second.body, first.body)
        assert.deepEqual(heads(second), heads(first))
        // axios itself sends the whole buffer behind a view.
        if (/^(string|URL|Blob|File|Array|Uint8)/.test(kind)) {
          isSame(first.body, Buffer.from(await new Response(make() as BodyInit).arrayBuffer()))
        }
        return
      }
      // A boundary is made for each request. (Over fetch, in Node, axios names the wrong type, also without Daypass.)
      const [one, two] = [first, second].map(({ body, headers }) => {
        const text = body.toString('latin1')
        const boundary = /^--(.+?)(--)?(\r\n|$)/.exec(text)![1]!
        if (adapter === 'http') assert.equal(headers['content-type'], `multipart/form-data; boundary=${boundary}`)
        return text.replaceAll(boundary, 'boundary')
      })
      assert.ok(two === one)
      if (kind === 'FormData with files') assert.ok(one!.includes(Buffer.from(bytes).toString('latin1')))
    })
  }

  test(`axios over ${adapter}, a stream that is refused: the typed error, nothing sent twice`, async (t) => {
    const { server, client, api: url } = await startWithClient(t)
    const api = axios.create({ proxy: false, adapter })
    attachDaypass(api, client)
    const make = adapter === 'http' ? () => Readable.from(chunks()) : stream
    server.expireTokens()
    await assert.rejects(api.post(url, make()), (error) => isBodyNotReplayable(error))
    assert.equal(server.requests('/api').length, 1)
    assert.equal((await api.post(url, make())).status, 200)
    assert.equal(String(server.requests('/api')[1]!.body), 'stream')
  })
}
