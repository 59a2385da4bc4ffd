// Where does the token go, what is sent again, and what does an abort do?

import assert from 'node:assert/strict'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { createClient, isBodyNotReplayable, isOffline } from '../../src/client/index.ts'
import { createGate, credentials, refused, startServer, startSignedIn } from './scripted-server.ts'

/** A server of another origin that answers 401 to everything and remembers what came. */
async function startForeign(t: TestContext) {
  const seen: IncomingHttpHeaders[] = []
  const server = createServer((request, response) => {
    seen.push(request.headers)
    response.writeHead(401).end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.closeAllConnections()
    return new Promise((resolve) => server.close(resolve))
  })
  return { seen, port: (server.address() as AddressInfo).port }
}

test('token sent abroad: not to another port, host, scheme or by a user name in the URL; a foreign 401 refreshes nothing', async (t) => {
  const { server, client } = await startSignedIn(t)
  const foreign = await startForeign(t)
  const port = new URL(server.url).port
  for (const url of [`http://127.0.0.1:${foreign.port}/api`, `http://localhost:${foreign.port}/api`]) {
    assert.equal((await client.fetch(url)).status, 401)
  }
  assert.equal((await client.fetch(`http://localhost:${port}/api`)).status, 401)
  assert.equal(server.seen.at(-1)!.headers.authorization, undefined)
  for (const url of [
    `https://127.0.0.1:${port}/api`,
    `http://127.0.0.1:${port}@127.0.0.1:${foreign.port}/`,
    `blob:${server.url}/x`,
    '/api',
    'data:,x',
  ]) {
    assert.equal(await client.authorize(url), undefined, url)
    await client.fetch(url).catch(() => {})
  }
  for (const headers of foreign.seen) assert.equal(headers.authorization, undefined)
  assert.equal(server.refreshes(), 0)
})

test('configured origins get the token, and are compared as origins', async (t) => {
  const { server: other } = await startSignedIn(t)
  const server = await startServer(t)
  const client = createClient({ baseUrl: `${server.url}/auth`, origins: [`${other.url}/some/path/`] })
  await client.signIn(credentials)
  await client.fetch(`${other.url}/api`)
  assert.match(other.requests('/api')[0]!.headers.authorization!, /^Bearer /)
  await client.fetch(`${server.url}/api`)
  assert.equal(server.requests('/api')[0]!.headers.authorization, undefined)
})

test('a redirect to another origin: the token stays behind, a 401 from there refreshes nothing', async (t) => {
  const server = await startServer(t)
  const foreign = await startForeign(t)
  const redirect = createServer((_, response) =>
    response.writeHead(307, { location: `http://127.0.0.1:${foreign.port}/` }).end(),
  )
  await new Promise<void>((resolve) => redirect.listen(0, '127.0.0.1', resolve))
  t.after(() => redirect.close())
  const url = `http://127.0.0.1:${(redirect.address() as AddressInfo).port}`
  const redirected = createClient({ baseUrl: `${server.url}/auth`, origins: [url] })
  await redirected.signIn(credentials)
  assert.equal((await redirected.fetch(url)).status, 401)
  assert.equal(foreign.seen.length, 1)
  assert.equal(foreign.seen[0]!.authorization, undefined)
  assert.equal(server.refreshes(), 0)
})

test('a request with its own Authorization is left alone', async (t) => {
  const { server, client, api } = await startSignedIn(t)
  assert.equal((await client.fetch(api, { headers: { authorization: 'Basic eDp5' } })).status, 401)
  assert.equal(server.seen.length, 1)
  assert.equal(server.seen[0]!.headers.authorization, 'Basic eDp5')
})

const bytes = new Uint8Array(100_000).map((_, index) => index % 251)
const form = () => {
  const data = new FormData()
  data.set('name', 'Ada')
  data.set('file', new File([bytes], 'photo.png', { type: 'image/png' }))
  return data
}
const bodies: Record<string, () => BodyInit> = {
  string: () => 'héllo',
  JSON: () => JSON.stringify({ a: 1 }),
  URLSearchParams: () => new URLSearchParams({ a: '1', b: '&' }),
  'FormData with a file': form,
  Blob: () => new Blob([bytes]),
  ArrayBuffer: () => bytes.buffer,
  Uint8Array: () => bytes,
}
for (const [kind, body] of Object.entries(bodies)) {
  for (const asRequest of [false, true]) {
    test(`upload resent empty: a ${kind}${asRequest ? ' in a Request' : ''} is sent again byte for byte`, async (t) => {
      const { server, client, api } = await startSignedIn(t)
      server.expireTokens()
      const init = { method: 'POST', body: body(), headers: { 'x-mine': '1' } }
      const response = await (asRequest ? client.fetch(new Request(api, init)) : client.fetch(api, init))
      assert.equal(response.status, 200)
      const [first, second] = server.requests('/api')
      assert.ok(first!.body.length > 0)
      assert.deepEqual(second!.body, first!.body)
      assert.equal(second!.headers['content-type'], first!.headers['content-type'])
      assert.equal(second!.headers['x-mine'], '1')
      assert.equal(second!.method, 'POST')
    })
  }
}

test('a body that the caller changes after the call is sent as it was', async (t) => {
  const { server, client, api } = await startSignedIn(t)
  server.expireTokens()
  const body = new Uint8Array([1, 2, 3])
  const call = client.fetch(api, { method: 'POST', body })
  body.fill(9)
  await call
  assert.deepEqual(
    server.requests('/api').map((seen) => [...seen.body]),
    [
      [1, 2, 3],
      [1, 2, 3],
    ],
  )
})

const stream = () => new Blob(['stream']).stream()

test('a one-shot stream goes out once, after a refresh if the token is about to end', async (t) => {
  const { server, client, api, time } = await startSignedIn(t)
  time.now += 895_000
  const response = await client.fetch(api, { method: 'POST', body: stream(), duplex: 'half' } as RequestInit)
  assert.equal(response.status, 200)
  assert.deepEqual([server.refreshes(), String(server.seen.at(-1)!.body)], [1, 'stream'])
})

test('a one-shot stream that is refused: a typed error with the 401, nothing sent twice, the next call goes through', async (t) => {
  const { server, client, api } = await startSignedIn(t)
  server.expireTokens()
  const send = () => client.fetch(api, { method: 'POST', body: stream(), duplex: 'half' } as RequestInit)
  await assert.rejects(send(), (error) => isBodyNotReplayable(error) && (error.response as Response).status === 401)
  assert.equal(server.requests('/api').length, 1)
  assert.equal((await send()).status, 200)
})

test('an abort frees its own caller within 20 ms while the refresh hangs; the others get their token', async (t) => {
  const { server, client, api } = await startSignedIn(t)
  const gate = createGate()
  const asked = createGate()
  server.script.push(async (_, response, commit) => {
    asked.open()
    await gate.opened
    response.end(JSON.stringify(commit().body))
  })
  server.expireTokens()
  const controller = new AbortController()
  const reason = new Error('enough')
  const aborted = Promise.all(
    [
      client.fetch(api, { signal: controller.signal }),
      client.fetch(new Request(api, { signal: controller.signal })),
    ].map((call) => assert.rejects(call, (error) => error === reason || (error as Error).name === 'AbortError')),
  )
  const token = assert.rejects(client.getAccessToken({ signal: controller.signal, forceFresh: true }), reason)
  const others = Promise.all([1, 2, 3].map(() => client.fetch(api)))
  await asked.opened
  await new Promise((resolve) => setTimeout(resolve, 20))
  const start = performance.now()
  controller.abort(reason)
  await Promise.all([aborted, token])
  assert.ok(performance.now() - start < 20)
  gate.open()
  assert.deepEqual(
    (await others).map(({ status }) => status),
    [200, 200, 200],
  )
  assert.equal(server.refreshes(), 1)
})

test('a call that is aborted before it begins sends nothing', async (t) => {
  const { server, client, api } = await startSignedIn(t)
  await assert.rejects(client.fetch(api, { signal: AbortSignal.abort() }), { name: 'AbortError' })
  assert.equal(server.seen.length, 0)
})

test('a call answered 401 that cannot be renewed now fails as offline: it is no sign-out', async (t) => {
  const { server, client, api } = await startSignedIn(t)
  server.expireTokens()
  for (let i = 0; i < 4; i++) server.script.push((_, response) => response.destroy())
  await assert.rejects(client.fetch(api), isOffline)
})

test('a call in the name of one person is never sent again in the name of the next', async (t) => {
  const { server, client, api } = await startSignedIn(t)
  const { api: answer } = server
  const held = createGate()
  const gate = createGate()
  server.api = async (seen) => {
    if (seen.headers['x-slow']) {
      held.open()
      await gate.opened
      return refused(401, 'invalid_token', 'ERR_ACCESS_TOKEN_REVOKED')
    }
    return answer(seen)
  }
  const call = client.fetch(api, { headers: { 'x-slow': '1' } })
  await held.opened
  await client.signIn(credentials)
  gate.open()
  assert.equal((await call).status, 401)
  assert.equal(server.requests('/api').length, 1)
})

test('a hundred calls wait for one refresh without a warning', async (t) => {
  const warnings: Error[] = []
  const listen = (warning: Error) => warnings.push(warning)
  process.on('warning', listen)
  t.after(() => process.off('warning', listen))
  const { server, client, time } = await startSignedIn(t)
  time.now += 900_000
  await Promise.all(Array.from({ length: 100 }, () => client.getAccessToken({ signal: t.signal })))
  assert.equal(server.refreshes(), 1)
  assert.deepEqual(warnings, [])
})

test('app shapes: plain fetch callers such as openapi-fetch pass a Request, ky a Request and its options', async (t) => {
  const { server, client, api } = await startSignedIn(t)
  server.expireTokens()
  const request = new Request(api, { method: 'PUT', body: 'x' })
  assert.equal((await client.fetch(request, { headers: { 'x-more': '1' } })).status, 200)
  assert.equal(server.seen.at(-1)!.headers['x-more'], '1')
  assert.equal((await client.fetch(new URL(api))).status, 200)
})
