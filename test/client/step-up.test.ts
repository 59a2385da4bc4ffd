// Step-up: an address requires more than a valid token. The client does not refresh in vain, and the person proves once
// more who they are, in the same session.

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import axios from 'axios'
import express from 'express'
import { createExpressAuth } from '../../src/adapters/express.ts'
import { attachDaypass } from '../../src/client/axios.ts'
import {
  type ClientOptions,
  createClient,
  type DaypassClient,
  type DaypassClientError,
  isAccessInsufficient,
} from '../../src/client/index.ts'
import { streamEvents } from '../../src/client/streams.ts'
import { authenticate, listen, makeDaypass, password } from '../http/server.ts'
import { createGate, createStorage } from './scripted-server.ts'
import { withWebLocks } from './web-locks.ts'

/** An API of which some addresses require a recent sign-in or a scope, and a client that is signed in. */
async function start(t: TestContext, options: Partial<ClientOptions> = {}) {
  const made = makeDaypass({ accessTokenLifetime: 600 })
  const { auth } = made
  const web = createExpressAuth(auth, { authenticate })
  const calls: string[] = []
  const app = express()
  app.use((req, _res, next) => {
    calls.push(`${req.method} ${req.path}`)
    next()
  })
  app.use(express.json(), web.routes)
  app.post(
    '/api/confirm',
    web.requireAuth(async (req, res) => {
      if (req.body.password !== password) return res.status(403).end()
      await auth.update(req.auth.sessionId, { authTime: made.time.offset + Date.now(), amr: ['pwd', 'otp'] })
      res.status(204).end()
    }),
  )
  app.all('/api/transfer', web.requireAuth({ maxAge: 300 }), (req, res) => void res.json({ by: req.auth?.subject }))
  app.all('/api/reports', web.requireAuth({ scope: 'reports:read' }), (_req, res) => void res.json([]))
  app.get('/api/news', web.requireAuth({ maxAge: 300 }), (_req, res) => {
    res.writeHead(200, { 'content-type': 'text/event-stream' }).end('data: hello\n\n')
  })
  const server = await listen(app)
  t.after(() => server.close())
  const client = createClient({ baseUrl: `${server.origin}/auth`, transport: 'body', ...options })
  await client.signIn({ name: 'ada', password })
  calls.length = 0
  const api = axios.create({ baseURL: `${server.origin}/api`, proxy: false })
  attachDaypass(api, client)
  const post = (path: string, body: object = {}) =>
    client.fetch(`${server.origin}/api/${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
  return { ...made, server, client, api, post, calls }
}

const minutes = (count: number) => count * 60_000

async function failure(call: Promise<unknown>): Promise<DaypassClientError> {
  const error = await call.then(
    () => assert.fail('it succeeded'),
    (error: unknown) => error,
  )
  assert.ok(isAccessInsufficient(error), String(error))
  return error
}

test('the person proves again who they are, and the next token is let in: one session, one refresh', async (t) => {
  const { client, post, time, calls, auth, events } = await start(t)
  const { session } = client.getSession()
  assert.equal((await post('transfer')).status, 200)
  time.offset += minutes(6)
  calls.length = 0
  const error = await failure(post('transfer'))
  assert.deepEqual([error.reason, error.status], ['insufficient_user_authentication', 401])
  const response = error.response as Response
  assert.match(response.headers.get('www-authenticate')!, /max_age="300"$/)
  assert.equal((await response.json()).code, 'ERR_AUTHENTICATION_TOO_OLD')
  assert.deepEqual(calls, ['POST /api/transfer'], 'no refresh in vain, and no second call')
  assert.equal(client.getSession().status, 'signed-in')

  assert.equal((await post('confirm', { password: 'wrong' })).status, 403)
  assert.equal((await post('confirm', { password })).status, 204)
  // The token that is out says what it said.
  await failure(post('transfer'))
  const fresh = await client.getAccessToken({ forceFresh: true })
  assert.equal((await post('transfer')).status, 200)
  assert.deepEqual((await auth.verify(fresh)).amr, ['pwd', 'otp'])
  assert.equal(client.getSession().session?.id, session?.id)
  assert.deepEqual(
    events.map(({ type }) => type),
    ['issued', 'updated', 'rotated'],
  )
  // Nor does it last for ever.
  time.offset += minutes(6)
  await failure(post('transfer'))
})

/** fetch whose next response to a refresh is late: `answered` when the server has sent it, and used after `arrive`. */
function createLateFetch() {
  const answered = createGate()
  const arrived = createGate()
  let isNext = true
  const send: typeof fetch = async (input, init) => {
    const isLate = isNext && String(input).endsWith('/auth/refresh')
    if (isLate) isNext = false
    const response = await fetch(input, init)
    if (isLate) {
      answered.open()
      await arrived.opened
    }
    return response
  }
  return { send, answered: answered.opened, arrive: arrived.open }
}

const forced = (client: DaypassClient) => client.getAccessToken({ forceFresh: true })

for (const kind of ['forced', 'of a call', 'of a call whose token was rejected']) {
  test(`a refresh ${kind} that the server answered before the step-up does not count as fresh; two forced calls share one`, async (t) => {
    const { send, answered, arrive } = createLateFetch()
    let now = 0
    const { client, server, auth, calls, time } = await start(t, { fetch: send, clock: () => now })
    const { id } = client.getSession().session!
    if (kind === 'of a call') now += 599_000
    if (kind === 'of a call whose token was rejected') time.offset += minutes(11)
    const earlier = kind === 'forced' ? forced(client) : client.fetch(`${server.origin}/api/transfer`).catch(() => {})
    await answered
    await auth.update(id, { amr: ['pwd', 'otp'] })
    const both = [forced(client), forced(client)]
    arrive()
    for (const token of await Promise.all(both)) assert.deepEqual((await auth.verify(token)).amr, ['pwd', 'otp'])
    assert.equal(await client.getAccessToken(), await both[0])
    await earlier
    assert.equal(calls.filter((call) => call === 'POST /auth/refresh').length, 2)
  })
}

for (const locks of [true, false]) {
  test(
    `another tab's refresh that the server answered before the step-up does not count as fresh, ${locks ? 'with' : 'without'} Web Locks`,
    locks ? withWebLocks : {},
    async (t) => {
      if (!locks && globalThis.navigator) {
        Object.defineProperty(navigator, 'locks', { value: undefined, configurable: true })
        t.after(() => Reflect.deleteProperty(navigator, 'locks'))
      }
      const { send, answered, arrive } = createLateFetch()
      const storage = createStorage()
      const { client, server, auth, calls } = await start(t, { storage, tabs: true })
      const other = createClient({
        ...{ baseUrl: `${server.origin}/auth`, transport: 'body', storage, tabs: true, fetch: send },
      })
      const earlier = forced(other)
      await answered
      await auth.update(client.getSession().session!.id, { amr: ['pwd', 'otp'] })
      const fresh = forced(client)
      if (!locks) await fresh
      arrive()
      assert.deepEqual((await auth.verify(await fresh)).amr, ['pwd', 'otp'])
      await earlier
      // What the other tab got late replaces nothing, here and there.
      for (const end = performance.now() + 10_000; (await other.getAccessToken()) !== (await fresh); ) {
        assert.ok(performance.now() < end, 'the other tab uses the newer token')
        await new Promise(setImmediate)
      }
      assert.equal(await client.getAccessToken(), await fresh)
      assert.equal(calls.filter((call) => call === 'POST /auth/refresh').length, 2)
    },
  )
}

test('a scope that the session lacks: a typed error, and no refresh', async (t) => {
  const { post, api, calls } = await start(t)
  const error = await failure(post('reports'))
  assert.deepEqual([error.reason, error.status], ['insufficient_scope', 403])
  assert.match((error.response as Response).headers.get('www-authenticate')!, /scope="reports:read"/)
  const other = await failure(api.post('/reports'))
  assert.deepEqual([other.reason, other.status], ['insufficient_scope', 403])
  assert.deepEqual(calls, ['POST /api/reports', 'POST /api/reports'])
})

test('a token that has expired is renewed, and then the answer counts', async (t) => {
  const { post, time, calls, client } = await start(t)
  time.offset += minutes(11)
  const error = await failure(post('transfer'))
  assert.equal(error.reason, 'insufficient_user_authentication')
  assert.deepEqual(calls, ['POST /api/transfer', 'POST /auth/refresh', 'POST /api/transfer'])
  assert.equal(client.getSession().status, 'signed-in')
})

for (const adapter of ['http', 'fetch']) {
  test(`axios, ${adapter}: the same error, with axios’s own response in it`, async (t) => {
    const { api, time, calls, client } = await start(t)
    time.offset += minutes(6)
    for (const validateStatus of [undefined, () => true]) {
      const error = await failure(api.post('/transfer', {}, { adapter, ...(validateStatus && { validateStatus }) }))
      assert.deepEqual([error.reason, error.status], ['insufficient_user_authentication', 401])
      const { status, data, config } = error.response as { status: number; data: { code: string }; config: object }
      assert.deepEqual([status, data.code], [401, 'ERR_AUTHENTICATION_TOO_OLD'])
      assert.doesNotMatch(JSON.stringify([error.message, config]), /eyJ/, 'no token is in it')
    }
    assert.deepEqual(calls, ['POST /api/transfer', 'POST /api/transfer'])
    await api.post('/confirm', { password }, { adapter })
    await client.getAccessToken({ forceFresh: true })
    assert.deepEqual((await api.post('/transfer', {}, { adapter })).data, { by: 'ada' })
  })
}

test('a stream of events ends with the same error, and does not connect again and again', async (t) => {
  const { client, server, time, calls } = await start(t)
  const read = async () => {
    for await (const { data } of streamEvents(client, `${server.origin}/api/news`)) return data
    return undefined
  }
  assert.equal(await read(), 'hello')
  time.offset += minutes(6)
  calls.length = 0
  const error = await failure(read())
  assert.equal(error.reason, 'insufficient_user_authentication')
  assert.equal((error.response as Response).status, 401)
  assert.deepEqual(calls, ['GET /api/news'])
})

test('only a 401 or 403 of an address that has got the token counts', async (t) => {
  const { client, server } = await start(t)
  const challenge = 'Bearer error="insufficient_scope"'
  const other = await listen((_req, res) => res.writeHead(403, { 'www-authenticate': challenge }).end())
  t.after(() => other.close())
  assert.equal((await client.fetch(other.origin)).status, 403)
  const answers: [status: number, header: string][] = [
    [200, challenge],
    [404, challenge],
    [403, 'Bearer'],
    [403, 'Basic realm="insufficient_scope"'],
    [403, 'Bearer error_description="error insufficient_scope"'],
  ]
  const app = await listen((req, res) => {
    const [status, header] = answers[Number(req.url!.slice(1))]!
    res.writeHead(status, { 'www-authenticate': header }).end()
  })
  t.after(() => app.close())
  const origins = [server.origin, app.origin]
  const trusting = createClient({ baseUrl: `${server.origin}/auth`, transport: 'body', origins })
  await trusting.signIn({ name: 'ada', password })
  for (const [index, [status]] of answers.entries()) {
    assert.equal((await trusting.fetch(`${app.origin}/${index}`)).status, status)
  }
  // With an Authorization of its own, a call is the caller's business.
  const headers = { authorization: `Bearer ${await client.getAccessToken()}` }
  assert.equal((await client.fetch(`${server.origin}/api/reports`, { headers })).status, 403)
})
