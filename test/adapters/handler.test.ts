// Options of the routes, the request that `authenticate` gets, and the text of errors.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createNodeAuth, type NodeOptions, type SignInRequest } from '../../src/adapters/node.ts'
import { DaypassError } from '../../src/index.ts'
import { createMemoryStore } from '../../src/stores/memory.ts'
import {
  assertRefused,
  authenticate,
  bearer,
  call,
  listen,
  makeDaypass,
  ownPage,
  parseRaw,
  password,
  type Role,
  raw,
  serve,
  signInBody,
  signInCookie,
} from '../http/server.ts'
import { adapters } from './apps.ts'

test('`basePath` and `paths` are paths, and the refusal of another names the option', () => {
  const { auth } = makeDaypass()
  const wrong: [options: NodeOptions<Role>, name: string][] = [
    [{ basePath: 'auth' }, 'basePath'],
    [{ basePath: '/' }, 'basePath'],
    [{ basePath: '/auth/' }, 'basePath'],
    [{ basePath: '/auth?x' }, 'basePath'],
    [{ basePath: 'https://id.test/auth' }, 'basePath'],
    [{ paths: { refresh: 'refresh-token/' } }, 'paths.refresh'],
    [{ paths: { refresh: 'https://id.test/refresh' } }, 'paths.refresh'],
    [{ paths: { login: true as unknown as string } }, 'paths.login'],
    [{ paths: { sessions: '/devices/' } }, 'paths.sessions'],
  ]
  for (const [options, name] of wrong) {
    const isRefused = (error: DaypassError) =>
      error.code === 'ERR_OPTION_INVALID' && error.message.includes(`\`${name}\``)
    assert.throws(() => createNodeAuth(auth, options), isRefused, JSON.stringify(options))
  }
})

for (const [name, start] of Object.entries(adapters)) {
  test(`${name}: \`authenticate\` is told the address, the browser and every header of the request`, async (t) => {
    const { auth } = makeDaypass()
    const told: SignInRequest[] = []
    const server = await start(auth, {
      authenticate: (credentials, request) => {
        told.push(request)
        return authenticate(credentials, request)
      },
    })
    t.after(() => server.close())
    await signInCookie(server.origin, 'ada', { 'user-agent': 'Test Browser 1.0', 'accept-language': 'de, en' })
    const [{ ip, userAgent, header }] = told as [SignInRequest]
    assert.deepEqual({ ip, userAgent }, { ip: '127.0.0.1', userAgent: 'Test Browser 1.0' })
    assert.equal(header('accept-language'), 'de, en')
    assert.equal(header('x-nobody-sent'), undefined)
  })

  test(`${name}: a scope that was given is in every list of sessions`, async (t) => {
    const server = await start(makeDaypass().auth, {
      authenticate: () => ({ subject: 'ada', claims: { role: 'member' }, scope: 'a b' }),
    })
    t.after(() => server.close())
    const { json } = await signInBody(server.origin)
    assert.equal(json.session.scope, 'a b')
    const list = await call(server.origin, 'GET /auth/sessions', { headers: bearer(json.accessToken) })
    assert.equal(list.json.sessions[0].scope, 'a b')
  })
}

test('a browser that says more than 255 characters of itself is signed in, and remembered by the first of them', async (t) => {
  const { origin } = await serve(t)
  const { json } = await signInCookie(origin, 'ada', { 'user-agent': 'x'.repeat(300) })
  assert.equal(json.session.device.userAgent, 'x'.repeat(255))
})

test('the event of an ended session has the request that ended it', async (t) => {
  const { origin, events } = await serve(t)
  const request = { ip: '127.0.0.1', userAgent: 'Phone 2' }
  const phone = { 'user-agent': request.userAgent }
  const revoked = () => events.filter((event) => event.type === 'revoked').map((event) => event.request)

  const [one, two, three, four] = [
    await signInBody(origin),
    await signInBody(origin),
    await signInBody(origin),
    await signInBody(origin),
  ]
  const headers = { ...phone, ...bearer(one.json.accessToken) }
  await call(origin, `DELETE /auth/sessions/${two.json.session.id}`, { headers })
  assert.deepEqual(revoked(), [request], 'one session')
  await call(origin, 'POST /auth/logout', { headers: phone, json: { refreshToken: three.json.refreshToken } })
  assert.deepEqual(revoked(), [request, request], 'a logout')
  await call(origin, 'DELETE /auth/sessions', { headers })
  assert.deepEqual(revoked(), [request, request, request], `all others: ${four.json.session.id}`)
  await call(origin, 'POST /auth/logout', { headers })
  assert.deepEqual(revoked(), [request, request, request, request], 'a logout by access token')
})

test('a browser with the cookie before ours signs out, whatever access token it still sends', async (t) => {
  const { origin } = await serve(t, {}, { cookie: { oldName: 'jwt' } })
  const headers = { ...ownPage, ...bearer('over its time'), cookie: 'jwt=of-the-older-scheme' }
  const answer = await call(origin, 'POST /auth/logout', { headers })
  assert.equal(answer.status, 204)
  assert.match(answer.setCookie!, /^daypass-\d+=; .*Max-Age=0/)
})

describe('what a refusal says', () => {
  test('`authenticate` may refuse in words of its own; a wrong option’s words are for the operator', async (t) => {
    const words = 'This account is locked: write to help@app.test.'
    const thrown = [new DaypassError('ERR_CREDENTIALS_INVALID', words), new DaypassError('ERR_OPTION_INVALID', words)]
    const { origin, errors } = await serve(t, {}, { authenticate: () => Promise.reject(thrown.shift()) })
    const ask = () => call(origin, 'POST /auth/login', { json: { transport: 'body' } })
    const refused = await ask()
    assertRefused(refused, 401, 'ERR_CREDENTIALS_INVALID', 'invalid_grant')
    assert.equal(refused.json.message, words)
    assert.equal(refused.headers['retry-after'], undefined, 'trying again would not help')
    const failed = await ask()
    assertRefused(failed, 500, 'ERR_OPTION_INVALID', 'server_error')
    assert.equal(failed.text.includes(words), false)
    assert.deepEqual(
      errors.map((error) => (error as Error).message),
      [words],
    )
  })

  test('a store that knows when it will be back is believed, and says no more than that', async (t) => {
    const store = createMemoryStore()
    const { origin } = await serve(t, {
      store: {
        ...store,
        create: () => Promise.reject(new DaypassError('ERR_STORE_LOCKED', 'vacuum of /var/db', { retryAfter: 7 })),
      },
    })
    const answer = await call(origin, 'POST /auth/login', { json: { name: 'ada', password, transport: 'body' } })
    assertRefused(answer, 503, 'ERR_STORE_UNAVAILABLE', 'temporarily_unavailable')
    assert.equal(answer.headers['retry-after'], '7')
    assert.equal(answer.text.includes('vacuum'), false)
  })

  test('a refusal keeps the connection: the next request on it is answered', async (t) => {
    const { port } = await serve(t)
    const refresh = 'POST /auth/refresh HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n'
    const text = await raw(port, `${refresh}\r\n${refresh}Connection: close\r\n\r\n`)
    assert.equal(text.match(/HTTP\/1\.1 401 /g)?.length, 2)
    assert.equal(parseRaw(text).headers.connection, 'keep-alive')
  })

  test('without `onError` the operator reads on the console why an answer is 500', async (t) => {
    const { auth } = makeDaypass()
    const boom = new Error('boom')
    const web = createNodeAuth(auth, { authenticate: () => Promise.reject(boom) })
    const server = await listen(async (req, res) => void (await web.routes(req, res)))
    t.after(() => server.close())
    const said = t.mock.method(console, 'error', () => {})
    const answer = await call(server.origin, 'POST /auth/login', { json: { transport: 'body' } })
    assertRefused(answer, 500, 'ERR_INTERNAL', 'server_error')
    assert.deepEqual(
      said.mock.calls.map((call) => call.arguments),
      [['daypass:', boom]],
    )
  })
})
