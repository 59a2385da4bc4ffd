// The libraries of docs/recipes.md stay signed in on the client's fetch, with retries of their own.

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import ky from 'ky'
import { ofetch } from 'ofetch'
import createApi from 'openapi-fetch'
import { type DaypassClient, isOffline, isSignedOut } from '../../src/client/index.ts'
import { type Fault, startWithClient } from './daypass-server.ts'

interface paths {
  '/api': {
    get: { responses: { 200: { content: { 'application/json': { subject: string } } } } }
    post: {
      requestBody: { content: { 'application/json': { a: string } } }
      responses: { 200: { content: { 'application/json': { subject: string; body: string } } } }
    }
  }
}

interface Outcome {
  status?: number
  data?: any
  error?: unknown
}

/** How each library is set up, as docs/recipes.md says, and how a call of it ended. */
const libraries: Record<string, (client: DaypassClient, url: string) => (body?: { a: string }) => Promise<Outcome>> = {
  ky(client, url) {
    const api = ky.create({ prefix: url, fetch: client.fetch, retry: { delay: () => 10 } })
    return (json) =>
      (json ? api.post('api', { json }) : api.get('api')).then(
        async (response) => ({ status: response.status, data: await response.json() }),
        (error) => ({ status: error.response?.status, error }),
      )
  },
  ofetch(client, url) {
    const api = ofetch.create(
      { baseURL: url, retryStatusCodes: [408, 409, 425, 429, 502, 503, 504] },
      { fetch: client.fetch },
    )
    return (body) =>
      api.raw('/api', body ? { method: 'POST', body } : {}).then(
        ({ status, _data }) => ({ status, data: _data }),
        (error) => ({ status: error.status, error: error.cause }),
      )
  },
  'openapi-fetch'(client, url) {
    const api = createApi<paths>({ baseUrl: url, fetch: client.fetch })
    return (body) =>
      (body ? api.POST('/api', { body }) : api.GET('/api')).then(
        ({ response, data }) => ({ status: response.status, data }),
        (error) => ({ error }),
      )
  },
}

for (const [name, open] of Object.entries(libraries)) {
  const start = async (t: TestContext) => {
    const all = await startWithClient(t)
    return { ...all, call: open(all.client, all.server.url) }
  }

  test(`${name}: the token goes along`, async (t) => {
    const { server, call } = await start(t)
    const { status, data } = await call()
    assert.deepEqual([status, data.subject], [200, 'ada'])
    assert.match(server.requests('/api')[0]!.headers.authorization!, /^Bearer ey/)
  })

  test(`${name}: ten 401s at once are renewed by one refresh, and sent again whole`, async (t) => {
    const { server, call } = await start(t)
    server.expireTokens()
    const outcomes = await Promise.all(Array.from({ length: 10 }, (_, i) => call(i % 2 ? { a: 'ü' } : undefined)))
    for (const [i, { status, data }] of outcomes.entries()) {
      assert.deepEqual([status, data.body], [200, i % 2 ? '{"a":"ü"}' : ''])
    }
    assert.deepEqual([server.refreshes(), server.requests('/api').length], [1, 20])
  })

  test(`${name}: a second 401 is handed over`, async (t) => {
    const { server, call } = await start(t)
    server.api = async () => Response.json({ error: 'invalid_token' }, { status: 401 })
    assert.equal((await call()).status, 401)
    assert.deepEqual([server.refreshes(), server.requests('/api').length], [1, 2])
  })

  test(`${name}: its own retries of a 503 cost no more refreshes`, async (t) => {
    const { server, call } = await start(t)
    const { api } = server
    let troubles = 0
    server.api = async (request, seen) => {
      const response = await api(request, seen)
      if (response.status !== 200 || troubles++ > 0) return response
      return new Response('', { status: 503 })
    }
    server.expireTokens()
    const { status } = await call()
    assert.equal(status, name === 'openapi-fetch' ? 503 : 200)
    assert.deepEqual([server.refreshes(), server.rotations()], [1, 1])
  })

  test(`${name}: with the server in trouble it asks for no more tokens than the client does, and says why it failed`, async (t) => {
    const { server, call } = await start(t)
    server.expireTokens()
    const trouble: Fault = (response) => response.writeHead(500).end()
    server.faults.push(...Array<Fault>(20).fill(trouble))
    const { error } = await call()
    assert.ok(isOffline(error), String(error))
    assert.equal(server.refreshes(), 4)
    server.faults.length = 0
    assert.equal((await call()).status, 200)
  })

  test(`${name}: signed out in the middle of a call, it says so`, async (t) => {
    const { server, client, call } = await start(t)
    server.expireTokens()
    const held = server.holdRefresh()
    const outcome = call()
    await held.asked
    const signedOut = client.signOut()
    const { error } = await outcome
    assert.ok(isSignedOut(error), String(error))
    held.answer()
    await signedOut
    assert.equal((await call()).status, 401)
    assert.equal(server.refreshes(), 1)
  })
}
