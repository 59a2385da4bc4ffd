// Every declared route keeps the router's rules: origins, methods, `no-store` and the shape of errors.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createNodeAuth, type NodeOptions, type Route, type RouteResponse } from '../../src/adapters/node.ts'
import { createCookie } from '../../src/http/cookies.ts'
import { createDaypassRoutes } from '../../src/http/daypass-routes.ts'
import { createTokenTransport } from '../../src/http/token-transport.ts'
import { DaypassError } from '../../src/index.ts'
import { adapters } from '../adapters/apps.ts'
import { assertRefused, authenticate, bearer, call, makeDaypass, ownPage, type Role, raw, serve } from './server.ts'

const page = 'https://app.test'
const foreign = { 'sec-fetch-site': 'cross-site', origin: 'https://evil.test' }

/** Routes of an app, one of each kind. */
const appRoutes: Route<Role>[] = [
  { method: 'GET', path: '/hello', access: 'page', run: () => ({ body: { hello: 'world' } }) },
  {
    method: 'POST',
    path: '/hello',
    access: 'page',
    async run({ readBody }) {
      const { status = 200, fail, ...body } = await readBody()
      if (fail === 'known') throw new DaypassError('ERR_NOT_FOUND', 'No such greeting.')
      if (fail === 'unknown') throw new Error('a secret of the app')
      return { status: Number(status), headers: { 'Cache-Control': 'public', 'X-App': 'mine' }, body }
    },
  },
  { method: 'PUT', path: '/greetings/:id', access: 'bearer', run: ({ auth, params }) => ({ body: { auth, params } }) },
  {
    method: 'PATCH',
    path: '/greetings/:id/parts/:part',
    access: 'bearer',
    scope: 'greet',
    maxAge: 60,
    run: ({ params }) => ({ body: params }),
  },
  {
    method: 'POST',
    path: '/register',
    access: 'credentials',
    async run({ credentials, signIn }) {
      const response = await signIn({ subject: String(credentials.name), claims: { role: 'new' } })
      const cookies = [response.headers?.['set-cookie'] ?? [], 'daypass-device=1; Path=/'].flat()
      return { ...response, headers: { ...response.headers, 'set-cookie': cookies } }
    },
  },
  {
    method: 'DELETE',
    path: '/admin/v1.0/all',
    access: 'custom',
    async check(request) {
      if (request.headers('x-key')[0] !== 'k') throw new DaypassError('ERR_CREDENTIALS_INVALID')
    },
    run: () => ({}),
  },
]

const options: NodeOptions<Role> = { authenticate, origins: [page], routes: appRoutes }

/** Every route that is declared: Daypass's own and the app's. */
function allRoutes() {
  const { auth } = makeDaypass()
  const tokens = createTokenTransport(createCookie(), 'cookie', async () => ({}))
  return [...createDaypassRoutes(auth, tokens, options), ...appRoutes]
}
const routes = allRoutes()
const pathOf = ({ path }: { path: string }) => path.replaceAll(/:\w+/g, 'AAAA')
const methodsOf = (path: string) => routes.filter((route) => route.path === path).map(({ method }) => method)

test('the table has every route of docs/http.md', () => {
  const own = routes.slice(0, -appRoutes.length).map(({ method, path }) => `${method} ${path}`)
  assert.deepEqual(own.sort(), [
    'DELETE /auth/sessions',
    'DELETE /auth/sessions/:id',
    'GET /.well-known/jwks.json',
    'GET /auth/sessions',
    'PATCH /auth/sessions/:id',
    'POST /auth/login',
    'POST /auth/logout',
    'POST /auth/refresh',
  ])
})

for (const route of routes) {
  const line = `${route.method} ${pathOf(route)}`

  describe(`${route.method} ${route.path}`, () => {
    if (route.method !== 'GET') {
      test('a page of another site is refused before anything runs', async (t) => {
        const { origin, auth, events } = await serve(t, {}, options)
        const { accessToken } = await auth.issue('ada', { claims: { role: 'member' }, scope: 'greet' })
        const headers = { ...foreign, ...bearer(accessToken), 'x-key': 'k' }
        for (const json of [undefined, { name: 'ada', password: 'x', transport: 'body' }]) {
          const answer = await call(origin, line, { headers, ...(json && { json }) })
          assertRefused(answer, 403, 'ERR_ORIGIN_REFUSED', 'access_denied')
        }
        assert.deepEqual(
          events.map((event) => event.type),
          ['issued'],
        )
      })
    }

    test('every response is no-store, but for the key set’s', async (t) => {
      const { origin } = await serve(t, {}, options)
      for (const headers of [{}, ownPage, foreign, bearer('x')] as Record<string, string>[]) {
        const answer = await call(origin, line, { headers })
        const isKeySet = route.path === '/.well-known/jwks.json'
        assert.equal(answer.headers['cache-control'], isKeySet ? 'public, max-age=300' : 'no-store')
      }
    })

    test('another method is 405 with Allow, for a listed page too', async (t) => {
      const { origin } = await serve(t, {}, options)
      const other = ['PATCH', 'PUT', 'DELETE', 'TRACE', 'GET'].find(
        (method) => !methodsOf(route.path).includes(method as never),
      )
      const answer = await call(origin, `${other} ${pathOf(route)}`, { headers: { origin: page } })
      assertRefused(answer, 405, 'ERR_METHOD_NOT_ALLOWED', 'invalid_request')
      assert.equal(answer.headers.allow, methodsOf(route.path).join(', '))
      assert.equal(answer.headers['access-control-allow-origin'], page)
    })

    test('the preflight of a listed page says the methods of the path', async (t) => {
      const { origin } = await serve(t, {}, options)
      const headers = { origin: page, 'access-control-request-method': route.method }
      const answer = await call(origin, `OPTIONS ${pathOf(route)}`, { headers })
      assert.equal(answer.status, 204)
      assert.equal(answer.headers['access-control-allow-methods'], methodsOf(route.path).join(', '))
      assert.equal(answer.headers['cache-control'], 'no-store')
    })

    if (route.access === 'bearer') {
      test('without an access token: 401 with a challenge', async (t) => {
        const { origin } = await serve(t, {}, options)
        const missing = await call(origin, line)
        assertRefused(missing, 401, 'ERR_ACCESS_TOKEN_MISSING')
        assert.equal(missing.headers['www-authenticate'], 'Bearer')
        const bad = await call(origin, line, { headers: bearer('x') })
        assertRefused(bad, 401, 'ERR_ACCESS_TOKEN_INVALID', 'invalid_token')
        assert.match(bad.headers['www-authenticate']!, /^Bearer error="invalid_token"/)
      })
    }

    // The app's routes that fail are in the tests below. The key set needs nothing that could fail.
    if (appRoutes.includes(route as Route<Role>) || route.path === '/.well-known/jwks.json') return
    test('a failure of the server is a 500 in the shape of errors, reported once', async (t) => {
      const away = () => Promise.reject(new Error('a detail of the database'))
      const { origin, errors, auth } = await serve(t, {}, { ...options, authenticate: away })
      const tokens = await auth.issue('ada', { claims: { role: 'member' } })
      const methods = ['refresh', 'revokeToken', 'sessions', 'revokeSubject', 'revoke', 'update'] as const
      for (const name of methods) auth[name] = away
      const { refreshToken } = tokens
      const answer = await call(origin, line, {
        headers: bearer(tokens.accessToken),
        ...(route.method === 'POST' && { json: { refreshToken, transport: 'body' } }),
        ...(route.method === 'PATCH' && { json: { label: 'phone' } }),
      })
      assertRefused(answer, 500, 'ERR_INTERNAL', 'server_error')
      assert.equal(errors.length, 1)
    })
  })
}

for (const [name, start] of Object.entries(adapters)) {
  test(`${name}: serves the app’s routes beside Daypass’s`, async (t) => {
    const { auth } = makeDaypass()
    const errors: unknown[] = []
    const server = await start(auth, { ...options, onError: (error) => errors.push(error) })
    t.after(() => server.close())
    const { origin } = server

    assert.deepEqual((await call(origin, 'GET /hello')).json, { hello: 'world' })
    assert.equal((await call(origin, 'HEAD /hello')).status, 200)
    const greeting = await call(origin, 'POST /hello', { json: { status: 201, to: 'you' } })
    assert.deepEqual([greeting.status, greeting.json], [201, { to: 'you' }])
    assert.equal(greeting.headers['x-app'], 'mine')
    assert.equal(greeting.headers['cache-control'], 'no-store', 'a route cannot let caches keep its response')
    assertRefused(await call(origin, 'POST /hello', { json: { fail: 'known' } }), 404, 'ERR_NOT_FOUND', 'not_found')
    assert.deepEqual(errors, [])
    assertRefused(await call(origin, 'POST /hello', { json: { fail: 'unknown' } }), 500, 'ERR_INTERNAL', 'server_error')
    assert.equal(errors.length, 1)

    const registered = await call(origin, 'POST /register', { json: { name: 'eve', transport: 'body' } })
    assert.equal(registered.json.session.subject, 'eve')
    const headers = bearer(registered.json.accessToken)
    const put = await call(origin, 'PUT /greetings/a-1_', { headers })
    assert.deepEqual(put.json.params, { id: 'a-1_' })
    assert.equal(put.json.auth.subject, 'eve')
    const poor = await call(origin, 'PATCH /greetings/1/parts/2', { headers })
    assertRefused(poor, 403, 'ERR_SCOPE_INSUFFICIENT', 'insufficient_scope')
    assert.match(poor.headers['www-authenticate']!, /scope="greet"$/)
    const rich = await auth.issue('eve', { claims: { role: 'new' }, scope: 'greet' })
    const patched = await call(origin, 'PATCH /greetings/1/parts/2', { headers: bearer(rich.accessToken) })
    assert.deepEqual(patched.json, { id: '1', part: '2' })
    const long = await auth.issue('eve', { claims: { role: 'new' }, scope: 'greet', authTime: Date.now() - 61_000 })
    const stale = await call(origin, 'PATCH /greetings/1/parts/2', { headers: bearer(long.accessToken) })
    assertRefused(stale, 401, 'ERR_AUTHENTICATION_TOO_OLD', 'insufficient_user_authentication')

    assertRefused(await call(origin, 'DELETE /admin/v1.0/all'), 401, 'ERR_CREDENTIALS_INVALID', 'invalid_grant')
    const done = await call(origin, 'DELETE /admin/v1.0/all', { headers: { 'x-key': 'k' } })
    assert.deepEqual([done.status, done.text], [204, ''])

    for (const path of [
      '/greetings',
      '/greetings/',
      '/greetings/a.b',
      `/greetings/${'a'.repeat(65)}`,
      '/greetings/:id',
      '/admin/v1x0/all',
      '/x/greetings/1',
      '/greetings/1/parts',
    ]) {
      assert.equal((await call(origin, `PUT ${path}`, { headers })).json.code, 'APP_NOT_FOUND', path)
    }
  })

  test(`${name}: a sign-in of the app’s route by a page sets both cookies`, async (t) => {
    const server = await start(makeDaypass().auth, options)
    t.after(() => server.close())
    const body = JSON.stringify({ name: 'eve' })
    const head = `POST /register HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: ${body.length}`
    const byPage = await raw(server.port, `${head}\r\nSec-Fetch-Site: same-origin\r\n\r\n${body}`)
    assert.match(byPage, /^HTTP\/1\.1 200 /)
    assert.match(byPage, /\r\nset-cookie: (__Host-daypass|daypass-\d*)=dpr_[^\r]*\r\n/i)
    assert.match(byPage, /\r\nset-cookie: daypass-device=1; Path=\/\r\n/i)
    const byProgram = await raw(server.port, `${head}\r\n\r\n${body}`)
    assert.match(byProgram, /^HTTP\/1\.1 403 /)
    assert.doesNotMatch(byProgram, /set-cookie/i)
  })
}

for (const [name, start] of Object.entries(adapters)) {
  test(`${name}: what cannot be sent is a 500 and an error for onError, and the server goes on`, async (t) => {
    const bad: RouteResponse[] = [
      { headers: { 'x-name': 'Łukasz' } },
      { headers: { 'x-name': 'a\r\nset-cookie: b=c' } },
      { headers: { 'x-name': ['fine', 'a\0'] } },
      { headers: { 'x name': 'a' } },
      { headers: { '': 'a' } },
      { headers: { location: '/\u2028' }, status: 303 },
      { status: 99 },
      { status: 101 },
      { status: 1000 },
      { status: 200.5 },
      { status: '200' as never },
    ]
    const routes = bad.map(
      (response, index): Route<Role> => ({ method: 'GET', path: `/bad/${index}`, access: 'page', run: () => response }),
    )
    routes.push({ method: 'GET', path: '/bare', access: 'page', run: () => ({ status: 204, body: { lost: true } }) })
    for (const retryAfter of [Number.NaN, Number.POSITIVE_INFINITY, -5, 1e30, 'soon' as never]) {
      const run = () => {
        throw new DaypassError('ERR_RATE_LIMITED', undefined, { retryAfter })
      }
      routes.push({ method: 'GET', path: `/later/${routes.length}`, access: 'page', run })
    }
    const errors: unknown[] = []
    const { auth } = makeDaypass()
    const app = await start(auth, { routes, onError: (error) => errors.push(error) })
    t.after(() => app.close())
    for (const { path } of routes) {
      const answer = await call(app.origin, `GET ${path}`)
      if (path.startsWith('/bad')) assertRefused(answer, 500, 'ERR_OPTION_INVALID', 'server_error')
      else if (path.startsWith('/later')) assert.match(answer.headers['retry-after']!, /^[1-9]\d{0,9}$/)
      else assert.deepEqual([answer.status, answer.text], [204, ''])
    }
    assert.equal(errors.length, bad.length)
  })
}

test('what JSON cannot hold is a 500, and the server lives', async (t) => {
  const run = () => ({ body: { id: 1n } })
  const { origin, errors } = await serve(t, {}, { routes: [{ method: 'GET', path: '/big', access: 'page', run }] })
  assertRefused(await call(origin, 'GET /big'), 500, 'ERR_INTERNAL', 'server_error')
  assert.equal(errors.length, 1)
})

test('a member that a route’s access does not have is refused at the start: a demand that is not made leaves it open', () => {
  const { auth } = makeDaypass()
  const good = { method: 'GET', path: '/a', run: () => ({}) }
  const allow = () => false
  const wrong: [route: object, says: RegExp][] = [
    [
      { access: 'bearer', scopes: 'admin' },
      /`routes\[1\]\.scopes` is not an option\. It is spelled `routes\[1\]\.scope`/,
    ],
    [{ access: 'bearer', allows: allow }, /`routes\[1\]\.allow`/],
    [{ access: 'bearer', max_age: 60 }, /`routes\[1\]\.maxAge`/],
    [{ access: 'bearer', check: allow }, /`routes\[1\]\.check`/],
    ...['page', 'credentials', 'custom'].flatMap((access) =>
      [{ scope: 'admin' }, { allow }, { maxAge: 60 }].map((demand): [object, RegExp] => [
        { access, ...(access === 'custom' && { check: allow }), ...demand },
        /is not an option\. It needs an access token: `access: 'bearer'`/,
      ]),
    ),
    [{ access: 'page', check: allow }, /`routes\[1\]\.check` is not an option/],
    [{ access: 'credentials', transport: 'cookie' }, /`routes\[1\]\.transport` is not an option/],
  ]
  for (const [members, message] of wrong) {
    const routes = [
      { ...good, path: '/good', access: 'page' },
      { ...good, ...members },
    ] as Route<Role>[]
    assert.throws(
      () => createNodeAuth(auth, { routes }),
      { code: 'ERR_OPTION_INVALID', message },
      JSON.stringify(members),
    )
  }
  const undemanding = { ...good, access: 'page', scope: undefined } as never
  createNodeAuth(auth, { routes: [undemanding] })
})

test('a route that is misspelled, or declared twice, is refused at the start', () => {
  const { auth } = makeDaypass()
  const good = { method: 'GET', path: '/a', access: 'page', run: () => ({}) }
  const wrong: object[] = [
    { ...good, method: 'get' },
    { ...good, path: 'a' },
    { ...good, path: '/' },
    { ...good, path: '/a/' },
    { ...good, path: '/a b' },
    { ...good, path: '/:' },
    { ...good, access: 'none' },
    { ...good, access: 'cookie' },
    { ...good, access: undefined },
    { ...good, access: 'custom' },
    { ...good, run: undefined },
  ]
  for (const route of wrong) {
    const routes = [route] as Route<Role>[]
    assert.throws(
      () => createNodeAuth(auth, { routes }),
      { code: 'ERR_OPTION_INVALID', message: /`routes\[0\]` is not a route/ },
      JSON.stringify(route),
    )
  }
  const twice = (path: string, other: string) =>
    createNodeAuth(auth, {
      routes: [
        { ...good, path },
        { ...good, path: other },
      ] as Route<Role>[],
    })
  assert.throws(() => twice('/a', '/a'), { code: 'ERR_OPTION_INVALID', message: /GET \/a\./ })
  assert.throws(() => twice('/a/:id', '/a/:name'), { code: 'ERR_OPTION_INVALID', message: /GET \/a\/:name\./ })
  assert.throws(() => twice('/a', '/auth/sessions'), { code: 'ERR_OPTION_INVALID', message: /GET \/auth\/sessions\./ })
  twice('/a/:id', '/a/b')
})
