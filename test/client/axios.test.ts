// An axios instance of the app stays signed in, and is otherwise unchanged.

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import axios, { type AxiosError } from 'axios'
import { attachDaypass } from '../../src/client/axios.ts'
import { isSignedOut } from '../../src/client/index.ts'
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

  test(`${adapter}: a second 401 fails with axios’s own error, without a token in it`, async (t) => {
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
}

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

test('a call with its own Authorization, or basic auth, is unchanged', async (t) => {
  const { server, api } = await start(t)
  await assert.rejects(api.get('/', { headers: { authorization: 'Bearer mine' } }), /401/)
  assert.equal(server.seen.at(-1)!.headers.authorization, 'Bearer mine')
  await assert.rejects(api.get('/', { auth: { username: 'a', password: 'b' } }), /401/)
  assert.match(server.seen.at(-1)!.headers.authorization!, /^Basic /)
  assert.equal(server.refreshes(), 0)
})

test('a call that the app repeats with an error’s config is sent with the current token', async (t) => {
  const { server, api } = await start(t)
  const { api: answer } = server
  server.api = () => refused(500, 'server_error', 'ERR_INTERNAL')
  const error = await api.get('/').catch((error: AxiosError) => error)
  server.api = answer
  server.expireTokens()
  assert.equal((await api.request((error as AxiosError).config!)).status, 200)
  assert.equal(server.refreshes(), 1)
})

test('the instance’s headers arrive unchanged', async (t) => {
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

test('after detaching, the instance is unchanged', async (t) => {
  const { server, api, detach } = await start(t)
  detach()
  await assert.rejects(api.get('/'), /401/)
  assert.equal(server.seen.at(-1)!.headers.authorization, undefined)
})
