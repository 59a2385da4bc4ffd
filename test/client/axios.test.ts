// Does an app's own axios instance stay signed in, and stay as it was?

import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { type TestContext, test } from 'node:test'
import axios, { type AxiosError } from 'axios'
import { attachDaypass } from '../../src/client/axios.ts'
import { isBodyNotReplayable, isSignedOut } from '../../src/client/index.ts'
import { createGate, refused, startSignedIn } from './scripted-server.ts'

async function start(t: TestContext, config: object = {}) {
  const all = await startSignedIn(t)
  const api = axios.create({ baseURL: `${all.server.url}/api`, proxy: false, ...config })
  const detach = attachDaypass(api, all.client)
  return { ...all, api, detach }
}

for (const adapter of ['http', 'fetch']) {
  test(`${adapter}: ten parallel 401s on two instances and client.fetch: one refresh, all go through`, async (t) => {
    const { server, client, api } = await start(t, { adapter })
    const second = axios.create({ baseURL: server.url, adapter, proxy: false })
    attachDaypass(second, client)
    server.expireTokens()
    const calls = [1, 2, 3, 4, 5].flatMap((n) => [api.get(`/${n}`), second.get('/api')])
    const statuses = (await Promise.all([...calls, client.fetch(`${server.url}/api`)])).map(({ status }) => status)
    assert.deepEqual(statuses, Array(11).fill(200))
    assert.equal(server.refreshes(), 1)
  })

  test(`${adapter}: data is sent again as it was sent, and the answer is parsed once`, async (t) => {
    const { server, api } = await start(t, { adapter })
    const form = new FormData()
    form.set('file', new File(['abc'], 'a.txt'))
    for (const data of [{ a: { b: [1] } }, 'text', new URLSearchParams({ a: '1' }), form, Buffer.from([0, 255])]) {
      server.expireTokens()
      server.seen.length = 0
      const response = await api.post('/x', data, { params: { q: 1 } })
      const [first, second] = server.requests('/api/x')
      const text = ({ body }: { body: Buffer }) => String(body).replaceAll(/boundary[\w-]+|-{3,}[\w-]+/g, '-')
      assert.ok(first!.body.length > 0)
      assert.equal(text(second!), text(first!))
      const type = (seen: typeof first) => seen!.headers['content-type']!.split(';')[0]
      assert.equal(type(second), type(first))
      assert.equal(typeof response.data, 'object')
    }
  })

  test(`${adapter}: the app's interceptors and transforms see each call once`, async (t) => {
    const { server, api } = await start(t, { adapter })
    const seen: string[] = []
    api.interceptors.request.use((config) => {
      seen.push('request')
      return config
    })
    api.interceptors.response.use((response) => {
      seen.push('response')
      return { ...response, data: response.data.token }
    })
    server.expireTokens()
    assert.match((await api.get('/')).data, /^Bearer access-/)
    assert.deepEqual(seen, ['request', 'response'])
  })

  test(`${adapter}: a second 401 fails as axios fails, with no token in the error`, async (t) => {
    const { server, api } = await start(t, { adapter })
    server.api = () => refused(401, 'invalid_token', 'ERR_ACCESS_TOKEN_INVALID')
    await assert.rejects(api.get('/'), (error: AxiosError<any>) => {
      assert.ok(axios.isAxiosError(error))
      assert.equal(error.response!.status, 401)
      assert.equal(error.response!.data.error, 'invalid_token')
      assert.doesNotMatch(JSON.stringify([error, error.config!.headers, error.response!.config.headers]), /access-\d/)
      return true
    })
    assert.equal(server.refreshes(), 1)
    assert.equal(server.requests('/api/').length, 2)
    const lenient = await api.get('/', { validateStatus: () => true })
    assert.equal(lenient.status, 401)
  })

  test(`${adapter}: the token goes to configured origins only, and no foreign 401 refreshes`, async (t) => {
    const { server, api } = await start(t, { adapter })
    const port = new URL(server.url).port
    await assert.rejects(api.get(`http://localhost:${port}/api`), /401/)
    assert.equal(server.seen.at(-1)!.headers.authorization, undefined)
    const foreign = createServer(({ headers }, response) => response.writeHead(401).end(headers.authorization))
    await new Promise<void>((resolve) => foreign.listen(0, '127.0.0.1', resolve))
    t.after(() => foreign.close())
    const { port: other } = foreign.address() as AddressInfo
    const refuse = (error: AxiosError) => {
      assert.equal(error.response!.data, '')
      return true
    }
    await assert.rejects(api.get(`http://127.0.0.1:${other}/`), refuse)
    await assert.rejects(api.get('/', { baseURL: `http://127.0.0.1:${other}/` }), refuse)
    assert.equal(server.refreshes(), 0)
  })

  test(`${adapter}: a cancelled call fails at once as axios cancels, while the refresh goes on`, async (t) => {
    const { server, api } = await start(t, { adapter })
    const gate = createGate()
    const asked = createGate()
    server.script.push(async (_, response, commit) => {
      asked.open()
      await gate.opened
      response.end(JSON.stringify(commit().body))
    })
    server.expireTokens()
    const controller = new AbortController()
    const source = axios.CancelToken.source()
    const cancelled = [
      assert.rejects(api.get('/', { signal: controller.signal }), axios.isCancel),
      assert.rejects(api.get('/', { cancelToken: source.token }), axios.isCancel),
    ]
    const other = api.get('/')
    await asked.opened
    await new Promise((resolve) => setTimeout(resolve, 20))
    const begin = performance.now()
    controller.abort()
    source.cancel()
    await Promise.all(cancelled)
    assert.ok(performance.now() - begin < 20)
    gate.open()
    assert.equal((await other).status, 200)
  })
}

test('a redirect to another origin, be it a subdomain: the token stays behind', async (t) => {
  const { server, client } = await start(t)
  const seen: unknown[] = []
  const foreign = createServer(({ headers }, response) => {
    seen.push(headers.authorization)
    response.writeHead(401).end()
  })
  await new Promise<void>((resolve) => foreign.listen(0, '127.0.0.1', resolve))
  t.after(() => foreign.close())
  const { port } = foreign.address() as AddressInfo
  const redirect = createServer((_, response) =>
    response.writeHead(307, { location: `http://127.0.0.1:${port}/` }).end(),
  )
  await new Promise<void>((resolve) => redirect.listen(0, '127.0.0.1', resolve))
  t.after(() => redirect.close())
  const origin = `http://127.0.0.1:${(redirect.address() as AddressInfo).port}`
  const api = axios.create({ baseURL: origin, proxy: false })
  const authorize = (_: string) => client.authorize(server.url)
  attachDaypass(api, { authorize })
  await assert.rejects(api.get('/'), /401/)
  assert.deepEqual(seen, [undefined])
  assert.equal(server.refreshes(), 0)
})

test('a stream that is refused: the typed error, nothing sent twice', async (t) => {
  const { server, api } = await start(t)
  server.expireTokens()
  await assert.rejects(api.post('/', Readable.from(['abc'])), (error) => {
    assert.ok(isBodyNotReplayable(error))
    assert.equal((error.response as { status: number }).status, 401)
    return true
  })
  assert.equal(server.requests('/api/').length, 1)
  assert.equal((await api.post('/', Readable.from(['abc']))).status, 200)
})

test('signed out: calls go without a token and fail with their 401; waiting ones fail with the typed error', async (t) => {
  const { server, client, api } = await start(t)
  const asked = createGate()
  server.script.push(() => asked.open())
  server.expireTokens()
  const waiting = assert.rejects(api.get('/'), isSignedOut)
  await asked.opened
  await client.signOut()
  await waiting
  await assert.rejects(api.get('/'), (error: AxiosError) => error.response!.status === 401)
  assert.equal(server.seen.at(-1)!.headers.authorization, undefined)
})

test('an Authorization of the app’s own, or basic auth, is left alone', async (t) => {
  const { server, api } = await start(t)
  await assert.rejects(api.get('/', { headers: { authorization: 'Bearer mine' } }), /401/)
  assert.equal(server.seen.at(-1)!.headers.authorization, 'Bearer mine')
  await assert.rejects(api.get('/', { auth: { username: 'a', password: 'b' } }), /401/)
  assert.match(server.seen.at(-1)!.headers.authorization!, /^Basic /)
  assert.equal(server.refreshes(), 0)
})

test('a call that the app makes again with an error’s config goes out with the current token', async (t) => {
  const { server, api } = await start(t)
  const { api: answer } = server
  server.api = () => refused(500, 'server_error', 'ERR_INTERNAL')
  const error = await api.get('/').catch((error: AxiosError) => error)
  server.api = answer
  server.expireTokens()
  assert.equal((await api.request((error as AxiosError).config!)).status, 200)
  assert.equal(server.refreshes(), 1)
})

test('the instance’s headers arrive as the app left them', async (t) => {
  const { server, api } = await start(t, { headers: { 'X-App': '1' } })
  api.interceptors.request.use((config) => {
    config.headers.delete('X-App')
    config.headers.set('X-Trace', '2')
    return config
  })
  await api.get('/')
  const { headers } = server.seen.at(-1)!
  assert.deepEqual([headers['x-app'], headers['x-trace']], [undefined, '2'])
})

test('detached: the instance is as it was', async (t) => {
  const { server, api, detach } = await start(t)
  detach()
  await assert.rejects(api.get('/'), /401/)
  assert.equal(server.seen.at(-1)!.headers.authorization, undefined)
})
