// The rules that hold for all routes, without a socket: paths, methods, bodies, responses, CORS and errors.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { DaypassError } from '../../src/index.ts'
import { type Asked, assertRejected, open } from './in-process.ts'
import { bearer, password } from './server.ts'

const json = { name: 'ada', password }

describe('the router', () => {
  test('the keys may be cached', async () => {
    const { ask, auth } = open()
    const { headers, json: body } = await ask('GET /.well-known/jwks.json')
    assert.deepEqual(body, auth.jwks())
    assert.equal(headers['cache-control'], 'public, max-age=300')
  })

  test('other paths are the app’s; another method is 405 with those that there are', async () => {
    const { find, ask } = open()
    for (const line of ['GET /', 'POST /auth', 'POST /auth/login/', 'GET /auth/sessions/a/b', 'POST /authlogin']) {
      assert.equal(await find(line), null, line)
    }
    for (const [line, allow] of [
      ['GET /auth/login', 'POST'],
      ['PUT /auth/sessions', 'GET, DELETE'],
      ['GET /auth/sessions/abc', 'PATCH, DELETE'],
      ['OPTIONS /auth/refresh', 'POST'],
    ] as const) {
      const response = await ask(line)
      assertRejected(response, 405, 'ERR_METHOD_NOT_ALLOWED')
      assert.equal(response.headers.allow, allow)
    }
    assert.equal((await ask('HEAD /.well-known/jwks.json')).status, 200, 'HEAD is answered as GET')
  })

  test('without `authenticate` there is no login', async () => {
    assert.equal(await open({ authenticate: undefined as never }).find('POST /auth/login', { json }), null)
  })

  test('a base path, and paths of one’s own', async () => {
    const { find, web } = open({ basePath: '/api/auth', paths: { refresh: 'token', logout: '/bye' } })
    for (const line of ['POST /api/auth/login', 'POST /api/auth/token', 'POST /bye', 'GET /.well-known/jwks.json']) {
      assert.ok(await find(line), line)
    }
    for (const line of ['POST /auth/login', 'POST /api/auth/refresh', 'POST /api/auth/logout']) {
      assert.equal(await find(line), null, line)
    }
    assert.deepEqual(web.addresses('/v1'), [
      '/v1/api/auth/token',
      '/v1/bye',
      '/v1/api/auth/sessions',
      '/v1/api/auth/sessions/:id',
      '/v1/.well-known/jwks.json',
      '/v1/api/auth/login',
    ])
    assert.ok(await find('POST /v1/api/auth/login', {}, '/v1'))
    assert.equal(await find('POST /api/auth/login', {}, '/v1'), null)
    assert.ok(await open({ basePath: '' }).find('POST /login'))
  })

  test('paths that are none are errors', () => {
    for (const basePath of ['auth', '/auth/', '//', '/a b', '/', 'x/auth', 'http://id.test/auth', ['/auth'], 7, null]) {
      assert.throws(() => open({ basePath: basePath as string }), {
        message: /^`basePath` is .* Give a path such as '\/auth', without a slash at its end, or '' for the root\.$/,
      })
    }
    for (const login of ['', '/', 'a b', 'a/', '/a/', 7]) {
      assert.throws(() => open({ paths: { login: login as string }, authenticate: undefined as never }), {
        message: /^`paths\.login` is .* Give 'login' for a path below `basePath`, or '\/login' from the root\.$/,
      })
    }
  })

  test('a path behind a prefix that nothing removes is a warning', async () => {
    const { find, warnings } = open({ basePath: '/session' })
    await find('GET /v9/session/refresh')
    await find('POST /v9/other')
    await find('POST /v9/session/sessions')
    assert.deepEqual(warnings, [])
    await find('POST /v9/session/refresh')
    assert.deepEqual(warnings, [
      {
        code: 'DAYPASS_PATH_UNKNOWN',
        message:
          "A request for '/v9/session/refresh' found no route: the routes are below '/session'. If that address is yours, set `basePath: '/v9/session'`.",
      },
    ])
    const routes = [{ method: 'POST', path: '/me', access: 'page', run: () => ({}) }] as never
    const own = open({ basePath: '/own-session', routes })
    await own.find('POST /v9/me')
    assert.deepEqual(own.warnings, [], 'a path of the app’s own')
    open({ basePath: '/other/own-session' })
    await own.find('POST /other/own-session/refresh')
    assert.deepEqual(own.warnings, [], 'another Daypass of the same process')
    const none = open({ basePath: '' })
    await none.find('POST /v9/refresh')
    assert.deepEqual(none.warnings, [])
  })

  test('the body is JSON of a size that is allowed', async () => {
    const { ask } = open({ bodyLimit: 40 })
    const types: [type: string | undefined, isJson: boolean][] = [
      ['application/json', true],
      ['Application/JSON; charset=UTF-8', true],
      ['application/json;charset="utf8"', true],
      ['application/json; profile=x; charset=utf-8', true],
      ['application/json; charset=latin1', false],
      ['application/json;charset=latin1', false],
      ['application/json; xcharset=latin1', true],
      ['application/json-patch+json', false],
      ['text/plain', false],
      [undefined, false],
    ]
    for (const [type, isJson] of types) {
      const headers = type === undefined ? { 'content-type': [] } : { 'content-type': type }
      const { json: body } = await ask('POST /auth/refresh', { text: '{"refreshToken":"dpr_x"}', headers })
      assert.equal(body.code, isJson ? 'ERR_REFRESH_TOKEN_INVALID' : 'ERR_MEDIA_TYPE', type)
    }
    const refresh = (asked: Asked) => ask('POST /auth/refresh', asked)
    assertRejected(await refresh({ json: {}, headers: { 'content-encoding': 'gzip' } }), 415, 'ERR_MEDIA_TYPE')
    assert.equal((await refresh({ json: {}, headers: { 'content-encoding': 'Identity' } })).status, 401)
    assertRejected(await refresh({ json: { a: 'x'.repeat(33) } }), 413, 'ERR_BODY_TOO_LARGE')
    const most = { a: 'x'.repeat(32) }
    assertRejected(await refresh({ json: most }), 400, 'ERR_REQUEST_INVALID')
    const chunked = { 'content-type': 'application/json', 'transfer-encoding': 'chunked' }
    assertRejected(await refresh({ headers: chunked, parsedBody: most }), 400, 'ERR_REQUEST_INVALID')
    assertRejected(await refresh({ headers: chunked, parsedBody: { a: 'x'.repeat(33) } }), 413, 'ERR_BODY_TOO_LARGE')
    for (const value of [[], null, 'text', 7]) {
      const message = /^The body must be a JSON object\.$/
      assertRejected(await refresh({ json: value }), 400, 'ERR_REQUEST_INVALID', message)
    }
    for (const text of ['{', '{"a":secret}']) {
      const headers = { 'content-type': 'application/json' }
      assertRejected(await refresh({ text, headers }), 400, 'ERR_REQUEST_INVALID', /^The body is not JSON\.$/)
    }
    assertRejected(
      await refresh({ json: {}, headers: { 'content-length': ['2', '2'] } }),
      400,
      'ERR_REQUEST_INVALID',
      /^The header content-length came twice\.$/,
    )
    // No length and no encoding: no body, but where a type is given it may be one of HTTP/2.
    assert.equal((await refresh({ text: '{"a":1}', headers: { 'content-length': [] } })).status, 401)
    const http2 = { text: '{"a":1}', headers: { 'content-length': [], 'content-type': 'application/json' } }
    assert.equal((await refresh(http2)).status, 400)
    assert.equal((await refresh({ text: '', headers: { 'content-type': 'text/plain' } })).status, 401)
    assert.equal((await refresh({ text: '', headers: { ...chunked, 'content-length': [] } })).status, 401)
  })

  test('an error that is no DaypassError reveals nothing, and the operator gets it', async () => {
    const broken = new Error('the password is hunter2')
    const { ask, errors } = open({
      authenticate() {
        throw broken
      },
    })
    const response = await ask('POST /auth/login', { json: { transport: 'body' } })
    assertRejected(response, 500, 'ERR_INTERNAL', /^Something went wrong here; it was logged\.$/)
    assert.deepEqual(errors, [broken])
  })

  test('a store that fails is 503 that says when to try again', async () => {
    const { ask, errors } = open({
      authenticate() {
        throw new DaypassError('ERR_STORE_FULL' as 'ERR_STORE_UNAVAILABLE', 'the disk', { retryAfter: 2.5 })
      },
    })
    const response = await ask('POST /auth/login', { json: { transport: 'body' } })
    assert.deepEqual([response.status, response.json.code], [503, 'ERR_STORE_UNAVAILABLE'])
    assert.equal(response.headers['retry-after'], '3')
    assert.equal(errors.length, 1)
  })

  test('`onError` may throw or reject', async () => {
    for (const onError of [
      () => {
        throw new Error('log')
      },
      async () => {
        throw new Error('log')
      },
    ]) {
      const { ask } = open({ onError, authenticate: () => ({}) as never })
      assert.equal((await ask('POST /auth/login', { json: { transport: 'body' } })).status, 500)
    }
    await new Promise((resolve) => setImmediate(resolve))
  })
})

test('the type alone says whether a body is JSON, also of a body that a parser has read', async () => {
  const { ask } = open()
  const refresh = (asked: Asked) => ask('POST /auth/refresh', asked)
  const json = { refreshToken: 'dpr_x' }
  for (const type of [' application/json ', 'application/json ; x=1', 'application/json;  charset = utf-8']) {
    const { json: body } = await refresh({ json, headers: { 'content-type': type } })
    assert.equal(body.code, 'ERR_REFRESH_TOKEN_INVALID', type)
  }
  for (const type of ['application/json; charset=utf-81', 'application/json; charset=xutf-8']) {
    assertRejected(await refresh({ json, headers: { 'content-type': type } }), 415, 'ERR_MEDIA_TYPE')
  }
  assert.equal((await refresh({ headers: { 'transfer-encoding': 'chunked' } })).status, 415)
  const http2 = { 'content-type': 'application/json', 'content-length': [] }
  assert.equal((await refresh({ parsedBody: json, headers: http2 })).json.code, 'ERR_REFRESH_TOKEN_INVALID')
  const claimed = { 'content-type': 'application/json', 'content-length': '2' }
  const long = { refreshToken: 'x'.repeat(20_000) }
  assert.equal((await refresh({ parsedBody: long, headers: claimed })).json.code, 'ERR_REFRESH_TOKEN_INVALID')
})

describe('a route of the app’s own', () => {
  const own = (route: object) => ({ routes: [route] }) as never

  test('is asked by whom it says, and its headers are the router’s where the two differ', async () => {
    const run = async () => ({ headers: { 'X-One': 'a', 'Cache-Control': 'public', 'X-Two': ['b', 'c'] }, body: [1] })
    const { ask } = open(own({ method: 'GET', path: '/me', access: 'page', run }))
    const { status, headers, json: body } = await ask('GET /me')
    assert.deepEqual([status, body], [200, [1]])
    assert.deepEqual(headers, {
      'x-one': 'a',
      'x-two': ['b', 'c'],
      'cache-control': 'no-store',
      'content-type': 'application/json',
    })
  })

  test('without a body, or with a status that has none, sends none', async () => {
    for (const [response, status] of [
      [{}, 204],
      [{ status: 201 }, 201],
      [{ status: 204, body: 1 }, 204],
      [{ status: 205, body: 1 }, 205],
      [{ status: 304, body: 1 }, 304],
    ] as const) {
      const { ask } = open(own({ method: 'GET', path: '/me', access: 'page', run: () => response }))
      const parsed = await ask('GET /me')
      assert.deepEqual(
        [parsed.status, parsed.json, parsed.headers],
        [status, undefined, { 'cache-control': 'no-store' }],
      )
    }
  })

  test('a response that HTTP cannot hold is an error', async () => {
    for (const [response, message] of [
      [{ status: 199 }, /: `status` is 199\. A route returns a status from 200 to 599\.$/],
      [{ status: 600 }, /`status` is 600/],
      [{ status: 200.5 }, /`status` is 200\.5/],
      [{ headers: { 'x y': 'a' } }, /has a header that HTTP cannot hold: 'x y'\. Encode its value/],
      [{ headers: { x: 'a\nb' } }, /header that HTTP cannot hold: 'x'/],
      [{ headers: { x: ['a', '\u0100'] } }, /header that HTTP cannot hold: 'x'/],
    ] as const) {
      const { ask, errors } = open(own({ method: 'GET', path: '/me', access: 'page', run: () => response }))
      assertRejected(await ask('GET /me'), 500, 'ERR_OPTION_INVALID', /^Something went wrong here/)
      assert.match(String(errors[0]), message)
    }
    for (const response of [{ status: 599 }, { status: 200 }, { headers: { "x!#$%&'*+.^`|~-": '\t\x20~\x80\xff' } }]) {
      const { ask } = open(own({ method: 'GET', path: '/me', access: 'page', run: () => response }))
      assert.ok((await ask('GET /me')).status !== 500)
    }
  })

  test('checks run before it, and the parts of the path are there', async () => {
    const calls: unknown[] = []
    const { ask } = open({
      routes: [
        {
          method: 'POST',
          path: '/custom/:id/x',
          access: 'custom',
          check: ({ path }) => void calls.push(path),
          run: async ({ params, readBody }) => void calls.push(params, await readBody()) as never,
        },
        { method: 'POST', path: '/page', access: 'page', run: () => ({}) },
        {
          method: 'POST',
          path: '/needs',
          access: 'bearer',
          scope: 'admin',
          run: ({ auth }) => ({ body: auth.subject }),
        },
      ],
    })
    await ask('POST /custom/a_1/x', { json: { b: 2 } })
    assert.deepEqual(calls, ['/custom/a_1/x', { id: 'a_1' }, { b: 2 }])
    const evil = { 'sec-fetch-site': 'cross-site', origin: 'https://evil.test' }
    for (const line of ['POST /custom/a/x', 'POST /page', 'POST /needs']) {
      assertRejected(await ask(line, { headers: evil }), 403, 'ERR_ORIGIN_REFUSED')
    }
  })

  test('that needs a scope says which one', async () => {
    const run = () => ({ body: 1 })
    const { ask, auth } = open({ routes: [{ method: 'GET', path: '/needs', access: 'bearer', scope: 'a b', run }] })
    const tokenOf = async (scope: string) => (await auth.issue('ada', { scope, claims: { role: 'x' } })).accessToken
    const refused = await ask('GET /needs', { headers: bearer(await tokenOf('a')) })
    assertRejected(refused, 403, 'ERR_SCOPE_INSUFFICIENT')
    assert.match(
      String(refused.headers['www-authenticate']),
      /^Bearer error="insufficient_scope", error_description="[^"]+", scope="a b"$/,
    )
    assert.equal((await ask('GET /needs', { headers: bearer(await tokenOf('b c a')) })).status, 200)
    assert.equal((await ask('GET /needs')).headers['www-authenticate'], 'Bearer')
  })
})

test('a GET needs no page, and the challenge of a check of the app’s own names no demands', async () => {
  const evil = { 'sec-fetch-site': 'cross-site', origin: 'https://evil.test' }
  const routes = [{ method: 'GET', path: '/page', access: 'page', run: () => ({ body: 1 }) }] as never
  assert.equal((await open({ routes }).ask('GET /page', { headers: evil })).status, 200)
  // The demands of a route that needs no token are in no challenge.
  const custom = {
    method: 'GET',
    path: '/custom',
    access: 'custom',
    check() {
      throw new DaypassError('ERR_ACCESS_TOKEN_MISSING')
    },
    run: () => ({}),
  }
  assert.equal((await open({ routes: [custom] as never }).ask('GET /custom')).headers['www-authenticate'], 'Bearer')
})

describe('CORS', () => {
  const listed = 'https://app.test'

  test('a listed page gets its headers, others only `Vary`, and without a list nobody any', async () => {
    const { ask } = open({ origins: [listed] })
    const { headers } = await ask('GET /.well-known/jwks.json', { headers: { origin: listed } })
    assert.equal(headers['access-control-allow-origin'], listed)
    assert.equal(headers['access-control-allow-credentials'], 'true')
    assert.equal(headers['access-control-expose-headers'], 'Retry-After, WWW-Authenticate')
    assert.equal(headers.vary, 'Origin')
    for (const given of [{}, { origin: 'https://evil.test' }, { origin: [listed, listed] }] as Asked['headers'][]) {
      assert.ok(given)
      const { headers } = await ask('GET /.well-known/jwks.json', { headers: given })
      assert.deepEqual([headers.vary, headers['access-control-allow-origin']], ['Origin', undefined])
    }
    const alone = await open().ask('GET /.well-known/jwks.json', { headers: { origin: listed } })
    assert.equal(alone.headers.vary, undefined)
  })

  test('a preflight names the methods and headers', async () => {
    const { ask } = open({ origins: [listed] })
    const preflight = { origin: listed, 'access-control-request-method': 'DELETE' }
    const { status, headers } = await ask('OPTIONS /auth/sessions', { headers: preflight })
    assert.deepEqual(
      [status, headers],
      [
        204,
        {
          vary: 'Origin',
          'access-control-allow-origin': listed,
          'access-control-allow-credentials': 'true',
          'access-control-expose-headers': 'Retry-After, WWW-Authenticate',
          'access-control-allow-methods': 'GET, DELETE',
          'access-control-allow-headers': 'Authorization, Content-Type, Idempotency-Key',
          'access-control-max-age': '600',
          'cache-control': 'no-store',
        },
      ],
    )
    for (const other of [{ ...preflight, origin: 'https://evil.test' }, { origin: listed }]) {
      assert.equal((await ask('OPTIONS /auth/sessions', { headers: other })).status, 405)
    }
  })
})
