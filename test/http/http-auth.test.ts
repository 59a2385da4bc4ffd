// The routes without a socket: what each answers, to the last header, and what the operator is told.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createHttpAuth, createVerifierGuard } from '../../src/http/http-auth.ts'
import { DaypassError } from '../../src/index.ts'
import { type Asked, assertRejected, makeRequest, open } from './in-process.ts'
import { bearer, newKey, ownPage, password } from './server.ts'

const json = { name: 'ada', password }

describe('a sign-in', () => {
  test('by cookie: the refresh token is in the cookie alone', async () => {
    const { ask, auth, events } = open()
    const { status, headers, json: body, cookie } = await ask('POST /auth/login', { json, headers: ownPage })
    assert.equal(status, 200)
    assert.deepEqual(Object.keys(headers).sort(), ['cache-control', 'content-type', 'set-cookie'])
    assert.deepEqual([headers['cache-control'], headers['content-type']], ['no-store', 'application/json'])
    assert.match(
      String(headers['set-cookie']),
      /^__Host-daypass=dpr_[\w-]+; Path=\/; Max-Age=604800; HttpOnly; SameSite=Strict; Secure$/,
    )
    const { accessToken, ...rest } = body
    const { id, createdAt, ...session } = body.session
    assert.deepEqual(
      { ...rest, session },
      {
        tokenType: 'Bearer',
        expiresIn: 900,
        user: { name: 'ada' },
        session: {
          subject: 'ada',
          claims: { role: 'member' },
          device: { ip: '192.0.2.1', userAgent: 'Test/1' },
          rotatedAt: createdAt,
          authTime: createdAt,
          idleExpiresAt: createdAt + 604_800_000,
          expiresAt: createdAt + 2_592_000_000,
          persistent: true,
        },
      },
    )
    assert.equal((await auth.verify(accessToken)).sessionId, id)
    assert.ok(cookie?.startsWith('__Host-daypass=dpr_'))
    assert.deepEqual(events[0]?.request, { ip: '192.0.2.1', userAgent: 'Test/1' })
  })

  test('by body: no cookie', async () => {
    const { ask } = open()
    const { headers, json: body } = await ask('POST /auth/login', { json: { ...json, transport: 'body' } })
    assert.match(body.refreshToken, /^dpr_/)
    assert.equal(headers['set-cookie'], undefined)
  })

  test('the default transport is the option’s', async () => {
    assert.match((await open({ transport: 'body' }).ask('POST /auth/login', { json })).json.refreshToken, /^dpr_/)
    assertRejected(await open().ask('POST /auth/login', { json }), 403, 'ERR_ORIGIN_REFUSED', /no browser sent it/)
    const { ask } = open()
    const wrong = await ask('POST /auth/login', { json: { ...json, transport: 'header' } })
    assertRejected(wrong, 400, 'ERR_REQUEST_INVALID', /^`transport` is "cookie" or "body"\.$/)
  })

  test('with wrong credentials is 401; `authenticate` gets them without `transport`, and the request', async () => {
    const asked: unknown[] = []
    const { ask } = open({
      authenticate(credentials, { ip, userAgent, header }) {
        asked.push(credentials, ip, userAgent, header('x-tenant'), header('x-other'))
        return null
      },
    })
    const given = { json: { name: 'ada', transport: 'body' }, headers: { 'x-tenant': ['a', 'b'] } }
    assertRejected(await ask('POST /auth/login', given), 401, 'ERR_CREDENTIALS_INVALID')
    assert.deepEqual(asked, [{ name: 'ada' }, '192.0.2.1', 'Test/1', 'a', undefined])
  })

  test('of a session that ends with the browser has no Max-Age', async () => {
    const { ask } = open({ authenticate: () => ({ subject: 'ada', claims: { role: 'member' }, persistent: false }) })
    const { headers } = await ask('POST /auth/login', { json, headers: ownPage })
    assert.doesNotMatch(String(headers['set-cookie']), /Max-Age|Expires/)
  })

  test('ends the session that the browser held, in the cookie transport alone', async () => {
    const { ask, signIn, auth } = open()
    const { cookie } = await signIn('cookie')
    const headers = { ...ownPage, cookie: cookie! }
    await ask('POST /auth/login', { json: { ...json, transport: 'body' }, headers })
    assert.equal((await auth.sessions('ada')).length, 2)
    await ask('POST /auth/login', { json, headers })
    assert.equal((await auth.sessions('ada')).length, 2, 'the browser’s old one has ended')
  })

  test('of a caller who has left begins no session', async () => {
    const { ask, auth } = open()
    const left = await ask('POST /auth/login', { json, headers: ownPage, aborted: true })
    assert.equal(left.json.code, 'ERR_REQUEST_ABORTED')
    assert.deepEqual(await auth.sessions('ada'), [])
  })

  test('a scope is in the session', async () => {
    const { ask } = open({ authenticate: () => ({ subject: 'ada', claims: { role: 'a' }, scope: 'read write' }) })
    const { json: body } = await ask('POST /auth/login', { json: { transport: 'body' } })
    assert.equal(body.session.scope, 'read write')
    assert.equal('user' in body, false)
  })
})

describe('a refresh', () => {
  test('by cookie sets the cookie; the access token is another one', async () => {
    const { ask, signIn, events } = open()
    const first = await signIn('cookie')
    const key = newKey()
    const sent = { headers: { ...ownPage, cookie: first.cookie!, 'idempotency-key': `"${key}"` }, ip: '192.0.2.7' }
    const next = await ask('POST /auth/refresh', { ...sent, userAgent: 'Test/2' })
    assert.equal(next.status, 200)
    assert.notEqual(next.cookie, first.cookie)
    assert.notEqual(next.json.accessToken, first.json.accessToken)
    assert.equal(next.json.session.id, first.json.session.id)
    assert.equal(next.json.session.device.ip, '192.0.2.7')
    assert.equal((await ask('POST /auth/refresh', sent)).cookie, next.cookie, 'the same refresh sent again')
    const last = `"${newKey()}"; previous="${key}"`
    const late = await ask('POST /auth/refresh', { headers: { ...sent.headers, 'idempotency-key': last } })
    assert.equal(late.status, 200, 'a late response put the older cookie back')
    assert.deepEqual(
      events.map(({ type }) => type),
      ['issued', 'rotated', 'replayed', 'replayed'],
    )
    assert.deepEqual(events[1]?.request, { ip: '192.0.2.7', userAgent: 'Test/2' })
  })

  test('by body returns the token in the body', async () => {
    const { ask, signIn } = open()
    const { refreshToken } = (await signIn()).json
    const next = await ask('POST /auth/refresh', { json: { refreshToken } })
    assert.match(next.json.refreshToken, /^dpr_/)
    assert.notEqual(next.json.refreshToken, refreshToken)
    assert.equal(next.headers['set-cookie'], undefined)
  })

  test('without a token is 401; a body that is not understood, or a token twice, is 400', async () => {
    const { ask, signIn } = open()
    for (const none of [{ headers: ownPage }, { json: {} }, {}]) {
      assertRejected(await ask('POST /auth/refresh', none), 401, 'ERR_REFRESH_TOKEN_MISSING')
    }
    for (const [given, message] of [
      [{ refresh_token: 'dpr_x' }, /^The body has no `refreshToken`\.$/],
      [{ refreshToken: 7 }, /^`refreshToken` must be a string\.$/],
      [{ refreshToken: null }, /^`refreshToken` must be a string\.$/],
    ] as const) {
      assertRejected(await ask('POST /auth/refresh', { json: given }), 400, 'ERR_REQUEST_INVALID', message)
    }
    assertRejected(
      await ask('POST /auth/refresh', { json: { refreshToken: 'dpr_x' } }),
      401,
      'ERR_REFRESH_TOKEN_INVALID',
    )
    const { cookie } = await signIn('cookie')
    const both = { json: { refreshToken: 'dpr_x' }, headers: { ...ownPage, cookie: cookie! } }
    assertRejected(await ask('POST /auth/refresh', both), 400, 'ERR_REQUEST_INVALID', /in the cookie and in the body/)
    const twice = { headers: { ...ownPage, cookie: `${cookie}; ${cookie}` } }
    assertRejected(await ask('POST /auth/refresh', twice), 400, 'ERR_REQUEST_INVALID', /came twice/)
    // Other members beside a cookie are no token that was not understood.
    const beside = { json: { other: 1 }, headers: { ...ownPage, cookie: cookie! } }
    assert.equal((await ask('POST /auth/refresh', beside)).status, 200)
  })

  test('with a wrong Idempotency-Key is 400, and the token stays valid', async () => {
    const { ask, signIn } = open()
    const { refreshToken } = (await signIn()).json
    for (const key of ['short', `"${'a'.repeat(21)}"`, ['a'.repeat(22), 'b'.repeat(22)], '']) {
      const sent = { json: { refreshToken }, headers: { 'idempotency-key': key } }
      assertRejected(await ask('POST /auth/refresh', sent), 400, 'ERR_IDEMPOTENCY_KEY_INVALID')
    }
    assert.equal((await ask('POST /auth/refresh', { json: { refreshToken } })).status, 200)
  })

  test('by a cookie of a page that is not known to be ours is 403', async () => {
    const { ask, signIn } = open()
    const cookie = (await signIn('cookie')).cookie!
    for (const headers of [{ cookie }, { cookie, 'sec-fetch-site': 'cross-site', origin: 'https://evil.test' }]) {
      assertRejected(
        await ask('POST /auth/refresh', { headers: headers as Asked['headers'] }),
        403,
        'ERR_ORIGIN_REFUSED',
      )
    }
  })

  test('of a caller who has left redeems nothing', async () => {
    const { ask, signIn } = open()
    const { refreshToken } = (await signIn()).json
    const left = await ask('POST /auth/refresh', { json: { refreshToken }, aborted: true })
    assert.equal(left.json.code, 'ERR_REQUEST_ABORTED')
    assert.equal((await ask('POST /auth/refresh', { json: { refreshToken } })).status, 200)
  })

  test('is possible where other code has read the body, if the cookie says which session is meant', async () => {
    const { ask, signIn } = open()
    const cookie = (await signIn('cookie')).cookie!
    const read = () => Promise.reject(new DaypassError('ERR_BODY_CONSUMED'))
    const headers = { ...ownPage, 'content-type': 'application/json', 'content-length': '2' }
    const sent: Asked = { headers, read }
    assertRejected(await ask('POST /auth/refresh', sent), 500, 'ERR_BODY_CONSUMED')
    assert.equal((await ask('POST /auth/refresh', { ...sent, headers: { ...headers, cookie } })).status, 200)
    const broken: Asked = { headers: { ...headers, cookie }, read: () => Promise.reject(new Error('broken')) }
    assertRejected(await ask('POST /auth/refresh', broken), 500, 'ERR_INTERNAL')
  })
})

describe('a sign-out', () => {
  test('ends the session and clears the cookie', async () => {
    const { ask, signIn, auth, events } = open()
    const cookie = (await signIn('cookie')).cookie!
    const { status, headers, json: body } = await ask('POST /auth/logout', { headers: { ...ownPage, cookie } })
    assert.deepEqual([status, body], [204, undefined])
    assert.deepEqual(headers, {
      'cache-control': 'no-store',
      'set-cookie': ['__Host-daypass=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict; Secure'],
    })
    assert.deepEqual(await auth.sessions('ada'), [])
    const [, revoked] = events
    assert.equal(revoked?.type === 'revoked' && revoked.reason, 'sign-out')
    assert.deepEqual(revoked?.request, { ip: '192.0.2.1', userAgent: 'Test/1' })
  })

  test('by a cookie ends that session, whoever’s access token is there; a cookie that is worthless is cleared', async () => {
    const { ask, signIn, auth } = open()
    const cookie = (await signIn('cookie')).cookie!
    const { accessToken, session } = (await signIn()).json
    await ask('POST /auth/logout', { headers: { ...ownPage, cookie, ...bearer(accessToken) } })
    assert.deepEqual(
      (await auth.sessions('ada')).map(({ id }) => id),
      [session.id],
    )
    const worthless = await ask('POST /auth/logout', { headers: { ...ownPage, cookie: '__Host-daypass=x' } })
    assert.match(String(worthless.headers['set-cookie']), /Max-Age=0/)
  })

  test('by body, by an access token, or of nobody', async () => {
    const { ask, signIn, auth } = open()
    const { refreshToken, accessToken } = (await signIn()).json
    const byBody = await ask('POST /auth/logout', { json: { refreshToken } })
    assert.deepEqual([byBody.status, byBody.headers['set-cookie']], [204, undefined])
    assertRejected(await ask('POST /auth/logout', { headers: bearer(accessToken) }), 401, 'ERR_ACCESS_TOKEN_REVOKED')
    const other = (await signIn()).json
    assert.equal((await ask('POST /auth/logout', { headers: bearer(other.accessToken) })).status, 204)
    assert.deepEqual(await auth.sessions('ada'), [])
    assert.equal((await ask('POST /auth/logout', { headers: ownPage })).status, 204)
  })

  test('that names a session ends that one alone, and leaves the cookie of a newer one', async () => {
    const { ask, signIn, auth } = open()
    const { cookie, json: body } = await signIn('cookie')
    const headers = { ...ownPage, cookie: cookie! }
    const { accessToken } = (await signIn()).json
    for (const sent of [
      { headers, json: { session: 'another' } },
      { headers: bearer(accessToken), json: { session: 'another' } },
    ]) {
      const { status, headers } = await ask('POST /auth/logout', sent)
      assert.deepEqual([status, headers['set-cookie']], [204, undefined])
    }
    assert.equal((await auth.sessions('ada')).length, 2)
    const ended = await ask('POST /auth/logout', { headers, json: { session: body.session.id } })
    assert.match(String(ended.headers['set-cookie']), /Max-Age=0/)
    assert.equal((await auth.sessions('ada')).length, 1)
    const { sessionId } = await auth.verify(accessToken)
    await ask('POST /auth/logout', { headers: bearer(accessToken), json: { session: sessionId } })
    assert.equal((await auth.sessions('ada')).length, 0)
    assertRejected(
      await ask('POST /auth/logout', { json: { session: 7 } }),
      400,
      'ERR_REQUEST_INVALID',
      /^`session` must be a string\.$/,
    )
  })
})

describe('the list of sessions', () => {
  test('shows a person’s own sessions and says which one asks', async () => {
    const { ask, signIn } = open()
    const [one, other] = [(await signIn()).json, (await signIn()).json]
    await signIn('body', 'eve')
    const { status, json: body } = await ask('GET /auth/sessions', { headers: bearer(one.accessToken) })
    assert.equal(status, 200)
    assert.deepEqual(
      body.sessions.map(({ id, current }: any) => [id, current]).sort(),
      [
        [one.session.id, true],
        [other.session.id, false],
      ].sort(),
    )
    assert.equal('claims' in body.sessions[0], false)
    assertRejected(await ask('GET /auth/sessions'), 401, 'ERR_ACCESS_TOKEN_MISSING')
  })

  test('a name for a device is a string or null', async () => {
    const { ask, signIn, events } = open()
    const { accessToken, session } = (await signIn()).json
    const headers = bearer(accessToken)
    const line = `PATCH /auth/sessions/${session.id}`
    const { status, json: body } = await ask(line, { headers, json: { label: 'phone' } })
    assert.deepEqual([status, body.id, body.device.label, body.current], [200, session.id, 'phone', true])
    const cleared = await ask(line, { headers, json: { label: null } })
    assert.equal('label' in cleared.json.device, false)
    for (const label of [7, undefined, ['phone']]) {
      const wrong = await ask(line, { headers, json: { label } })
      assertRejected(wrong, 400, 'ERR_REQUEST_INVALID', /^`label` must be a string, or null\.$/)
    }
    const other = (await signIn()).json.session.id
    assert.equal((await ask(`PATCH /auth/sessions/${other}`, { headers, json: { label: 'x' } })).json.current, false)
    assert.deepEqual(events.at(-1)?.request, { ip: '192.0.2.1', userAgent: 'Test/1' })
  })

  test('of others nothing is changed or ended', async () => {
    const { ask, signIn, auth } = open()
    const { accessToken } = (await signIn()).json
    const { id } = (await signIn('body', 'eve')).json.session
    const headers = bearer(accessToken)
    for (const [line, given] of [
      [`PATCH /auth/sessions/${id}`, { json: { label: 'x' } }],
      [`DELETE /auth/sessions/${id}`, {}],
      ['DELETE /auth/sessions/unknown', {}],
    ] as const) {
      assertRejected(await ask(line, { headers, ...given }), 404, 'ERR_NOT_FOUND', /^You have no such session\.$/)
    }
    assert.equal((await auth.sessions('eve')).length, 1)
  })

  test('one is ended by its id, the others all at once', async () => {
    const { ask, signIn, auth, events } = open()
    const { accessToken, session } = (await signIn()).json
    const headers = bearer(accessToken)
    const { id } = (await signIn()).json.session
    assert.equal((await ask(`DELETE /auth/sessions/${id}`, { headers })).status, 204)
    assert.deepEqual(events.at(-1)?.request, { ip: '192.0.2.1', userAgent: 'Test/1' })
    await signIn()
    await signIn()
    const others = await ask('DELETE /auth/sessions', { headers })
    assert.deepEqual([others.status, others.json], [200, { ended: 2 }])
    assert.deepEqual(events.at(-1)?.request, { ip: '192.0.2.1', userAgent: 'Test/1' })
    assert.deepEqual(
      (await auth.sessions('ada')).map(({ id }) => id),
      [session.id],
    )
  })
})

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
      const told = await ask('GET /me')
      assert.deepEqual([told.status, told.json, told.headers], [status, undefined, { 'cache-control': 'no-store' }])
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

describe('a login of the app’s own', () => {
  const person = { subject: 'ada', claims: { role: 'member' }, user: { name: 'Ada' } }

  test('signs in by the transport that the request, the option or the call says', async () => {
    const { signInAs } = open()
    assert.match((await signInAs({ headers: ownPage }, person)).cookie ?? '', /^__Host-daypass=dpr_/)
    for (const [asked, options] of [
      [{}, { transport: 'body' }],
      [{ headers: { accept: 'application/json; transport=body' } }],
      [{ headers: { accept: ['text/html', 'application/json;transport=body'] } }],
      [{ parsedBody: { transport: 'body' } }],
      [{ parsedBody: { transport: 'body' }, headers: { accept: 'application/json;transport=cookie' } }],
      [{ parsedBody: { transport: 7 }, headers: { accept: 'application/json;transport=body' } }],
    ] as [Asked, object?][]) {
      const { json: body, status } = await signInAs(asked, person, options)
      assert.equal(status, 200)
      assert.match(body.refreshToken, /^dpr_/)
      assert.deepEqual(body.user, { name: 'Ada' })
    }
    assert.equal((await signInAs({}, person)).status, 200, 'a program, which has no cookie yet')
    const evil = { origin: 'https://evil.test', 'sec-fetch-site': 'cross-site' }
    assertRejected(await signInAs({ headers: evil }, person), 403, 'ERR_ORIGIN_REFUSED')
    assert.equal((await signInAs({ headers: evil }, person, { transport: 'body' })).status, 200)
    assert.equal((await open({ transport: 'body' }).signInAs({}, person)).status, 200)
  })

  test('with a redirect sets the cookie and sends no token', async () => {
    const { signInAs, auth } = open({ origins: ['https://app.test'] })
    for (const [redirect, location] of [
      ['/home?a=b#c', '/home?a=b#c'],
      ['/a//b', '/a//b'],
      [['//evil.test', null, 'https://app.test/x'], 'https://app.test/x'],
      ['https://id.test/home', '/home'],
      ['https://id.test//evil.test', 'https://id.test//evil.test'],
    ] as const) {
      const { status, headers, json: body } = await signInAs({ headers: ownPage }, person, { redirect })
      assert.deepEqual([status, headers.location, body], [303, location, undefined])
      assert.match(String(headers['set-cookie']), /^__Host-daypass=dpr_/)
    }
    assert.equal((await auth.sessions('ada')).length, 5)
    for (const redirect of [
      '//evil.test',
      '/\\evil.test',
      '/.//evil.test',
      'home',
      'https:/id.test',
      '/a\tb',
      ' https://app.test',
      [],
      7,
    ]) {
      assertRejected(await signInAs({ headers: ownPage }, person, { redirect }), 400, 'ERR_REDIRECT_REFUSED')
    }
    for (const redirect of ['https://evil.test', 'https://ada@app.test', 'https://:x@app.test', 'http://id.test/']) {
      assertRejected(await signInAs({ headers: ownPage }, person, { redirect }), 400, 'ERR_REDIRECT_REFUSED')
    }
    assert.equal((await auth.sessions('ada')).length, 5, 'no session began')
  })

  test('with a redirect ends the session that the browser held', async () => {
    const { signInAs, signIn, auth } = open()
    const cookie = (await signIn('cookie')).cookie!
    await signInAs({ headers: { ...ownPage, cookie } }, person, { redirect: '/' })
    assert.equal((await auth.sessions('ada')).length, 1)
  })

  test('from another site: a GET that loads a page, and a form only where the app says so', async () => {
    const { web } = open()
    const away = { 'sec-fetch-site': 'cross-site', origin: 'https://evil.test' }
    const page = { ...away, 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' }
    const frame = { ...page, 'sec-fetch-dest': 'iframe' }
    const script = { ...away, 'sec-fetch-mode': 'cors', 'sec-fetch-dest': 'document' }
    const statusOf = async (method: string, headers: Asked['headers'], crossSitePost?: boolean) => {
      const options = { redirect: '/', ...(crossSitePost !== undefined && { crossSitePost }) }
      return (await web.signIn(makeRequest(`${method} /own`, { headers: headers ?? {} }), person, options)).status
    }
    assert.equal(await statusOf('GET', page), 303)
    for (const headers of [frame, script, away]) assert.equal(await statusOf('GET', headers), 403)
    assert.equal(await statusOf('POST', page), 403)
    assert.equal(await statusOf('POST', page, false), 403)
    assert.equal(await statusOf('POST', page, true), 303)
    assert.equal(await statusOf('POST', frame, true), 403)
    assert.equal(await statusOf('PUT', page, true), 403)
    // A browser that sends no such headers is told apart by its method.
    assert.equal(await statusOf('POST', { origin: 'https://evil.test' }, true), 303)
    assert.equal(await statusOf('GET', { origin: 'https://evil.test' }, true), 403)
  })

  test('options and persons that are none are errors of the app, and no session begins', async () => {
    const { signInAs, errors, auth } = open()
    for (const [given, options, message] of [
      [person, { crossSitePost: 'yes', redirect: '/' }, /`crossSitePost` is 'yes'\. Give true or false\./],
      [person, { crossSitePost: true }, /`crossSitePost` is true\. It goes with `redirect`: give both\./],
      [person, { transport: 'header' }, /`transport` is 'header'\. Give 'cookie' or 'body'\./],
      [
        person,
        { transport: 'body', redirect: '/' },
        /A sign-in with `redirect` sets the cookie: leave `transport` out/,
      ],
      [person, { redirects: '/' }, /`redirects` is not an option/],
      [null, {}, /`signIn` is null\. Give the person: web\.signIn/],
      ['ada', {}, /`signIn` is 'ada'/],
      [{ claims: {} }, {}, /`subject` is missing\. Give the person: \{ subject: String\(user\.id\) \}/],
      [{ ...person, role: 'x' }, {}, /`role` is not an option/],
      [{ ...person, user: 7n }, {}, /BigInt/],
    ] as const) {
      const response = await signInAs({ headers: ownPage }, given, options)
      assert.equal(response.status, 500)
      assert.match(String(errors.at(-1)), message)
    }
    const head = await open().web.signIn(makeRequest('HEAD /own', { headers: ownPage }), person)
    assert.match(String(head.body), /A HEAD request begins no session\./)
    assert.deepEqual(await auth.sessions('ada'), [])
  })

  test('a device, and sessions that the app replaces, are the app’s to say', async () => {
    const { signInAs, signIn, auth } = open()
    const { refreshToken } = (await signIn()).json
    const given = { ...person, device: { label: 'tv', ip: '203.0.113.9' }, replaces: [refreshToken] }
    const { json: body } = await signInAs({}, given, { transport: 'body' })
    assert.deepEqual(body.session.device, { ip: '203.0.113.9', userAgent: 'Test/1', label: 'tv' })
    assert.equal((await auth.sessions('ada')).length, 1)
  })

  test('a session that could not be replaced is told to the operator, and the sign-in succeeds', async () => {
    const made = open()
    const cookie = (await made.signIn('cookie')).cookie!
    const away = new Error('away')
    made.store.revoke = () => Promise.reject(away)
    const { status } = await made.signInAs({ headers: { ...ownPage, cookie } }, person)
    assert.equal(status, 200)
    assert.deepEqual(made.errors, [away])
  })
})

describe('a sign-out of the app’s own', () => {
  test('is the route’s, or with a redirect a form’s', async () => {
    const { signOutAs, signIn, auth, errors } = open()
    const headers = { ...ownPage, cookie: (await signIn('cookie')).cookie! }
    assertRejected(await signOutAs({ headers }, { redirect: '//evil.test' }), 400, 'ERR_REDIRECT_REFUSED')
    assertRejected(
      await signOutAs({ headers: { cookie: headers.cookie } }, { redirect: '/' }),
      403,
      'ERR_ORIGIN_REFUSED',
    )
    assert.equal((await signOutAs({ headers }, { redirects: '/' })).status, 500)
    assert.match(String(errors.at(-1)), /`redirects` is not an option/)
    assert.equal((await auth.sessions('ada')).length, 1)
    const form = { 'content-type': 'application/x-www-form-urlencoded', 'content-length': '3' }
    const byForm = await signOutAs({ headers: { ...headers, ...form }, text: 'a=b' }, { redirect: '/bye' })
    assert.deepEqual([byForm.status, byForm.headers.location], [303, '/bye'])
    assert.match(String(byForm.headers['set-cookie']), /Max-Age=0/)
    assert.deepEqual(await auth.sessions('ada'), [])
    const twice = { headers: { ...ownPage, cookie: '__Host-daypass=x; __Host-daypass=y' } }
    assertRejected(await signOutAs(twice, { redirect: '/bye' }), 400, 'ERR_REQUEST_INVALID', /came twice/)
    const again = { headers: { ...ownPage, cookie: (await signIn('cookie')).cookie! } }
    assert.equal((await signOutAs(again)).status, 204)
    assert.deepEqual(await auth.sessions('ada'), [])
    const { refreshToken } = (await signIn()).json
    assert.equal((await signOutAs({ json: { refreshToken } }, {})).status, 204)
    assert.deepEqual(await auth.sessions('ada'), [])
  })
})

describe('a page that is rendered', () => {
  test('finds the session of the cookie, and nobody for two cookies', async () => {
    const { web, signIn } = open()
    const cookie = (await signIn('cookie')).cookie!
    const find = (headers: Asked['headers']) => web.findSession(makeRequest('GET /', { headers: headers ?? {} }))
    assert.equal((await find({ cookie }))?.subject, 'ada')
    for (const headers of [
      {},
      { cookie: `${cookie}; ${cookie}` },
      { cookie: '__Host-daypass=x' },
    ] as Asked['headers'][]) {
      assert.equal(await find(headers), null)
    }
    const broken = { ...makeRequest('GET /'), headers: () => assert.fail('broken') }
    await assert.rejects(web.findSession(broken), /broken/)
  })
})

describe('a guard', () => {
  test('answers a request without a token at once, and any other by its token', async () => {
    const { guard, web, signIn } = open()
    const refused = web.requireAuth(makeRequest('GET /me'))
    assert.ok('rejection' in refused && refused.rejection?.status === 401, 'not a promise')
    const { accessToken } = (await signIn()).json
    assert.equal(((await guard({ headers: bearer(accessToken) })) as { subject: string }).subject, 'ada')
    for (const authorization of ['Basic YTpi', 'Bearer', `Bearer ${accessToken} x`, accessToken]) {
      const response = (await guard({ headers: { authorization } })) as never
      assertRejected(response, 401, 'ERR_ACCESS_TOKEN_MISSING')
    }
    const invalid = (await guard({ headers: bearer('x.y.z') })) as Awaited<ReturnType<ReturnType<typeof open>['ask']>>
    assertRejected(invalid, 401, 'ERR_ACCESS_TOKEN_INVALID')
    assert.match(String(invalid.headers['www-authenticate']), /^Bearer error="invalid_token", error_description="/)
  })

  test('by a verifier alone takes a verifier and `onError`', async () => {
    const { auth } = open()
    const guard = createVerifierGuard(auth)
    const { accessToken } = await auth.issue('ada', { claims: { role: 'x' } })
    const { token } = await guard(makeRequest('GET /me', { headers: bearer(accessToken) }))
    assert.equal(token?.subject, 'ada')
    assert.throws(() => createVerifierGuard({} as never), {
      message: /^`verifier` is .* Write createRequireAuth\(createVerifier\(\{ issuer \}\)\)\.$/,
    })
    assert.throws(() => createVerifierGuard(auth, { basePath: '/' } as object), { code: 'ERR_OPTION_INVALID' })
    const errors: unknown[] = []
    const failing = { verify: () => Promise.reject(new Error('away')) }
    const watched = createVerifierGuard(failing, { onError: (error) => errors.push(error) })
    const { rejection } = await watched(makeRequest('GET /me', { headers: bearer('x') }))
    assert.deepEqual([rejection?.status, errors.length], [500, 1])
  })

  test('without `onError`, the console gets the reason', async (t) => {
    const { mock } = t.mock.method(console, 'error', () => {})
    const cause = new Error('away')
    await createVerifierGuard({ verify: () => Promise.reject(cause) })(makeRequest('GET /', { headers: bearer('x') }))
    assert.deepEqual(mock.calls[0]?.arguments, ['daypass:', cause])
  })
})

test('options of another kind are errors, and the error says what to give', () => {
  const { auth } = open()
  const wrong: [options: object, message: RegExp][] = [
    [{ bodyLimit: 0 }, /^`bodyLimit` is 0\. Give a number of bytes\.$/],
    [{ bodyLimit: -1 }, /`bodyLimit`/],
    [{ bodyLimit: '100' }, /`bodyLimit` is '100'/],
    [{ bodyLimit: Number.NaN }, /`bodyLimit` is NaN/],
    [{ unknown: 1 }, /^`unknown` is not an option/],
    [{ transport: 'header' }, /`transport` is 'header'\. Give 'cookie' or 'body'\./],
    [{ routes: {} }, /`routes` is .* Give a list: see `Route` for its members\./],
    [{ authenticate: 'yes' }, /`authenticate`/],
    [{ onError: 7 }, /`onError`/],
    [{ onWarning: {} }, /`onWarning`/],
    [{ paths: { token: 'x' } }, /`paths\.token` is not an option/],
    [{ trustProxy: true }, /It is called `trustedProxies`, and takes addresses\./],
    [{ trustedProxies: [] }, /Pass the caller’s address with each request/],
    [{ baseUrl: '/' }, /It is called `basePath`\./],
    [{ prefix: '/' }, /It is called `basePath`\./],
    ...['onEvent', 'findSubject', 'secret', 'store', 'issuer'].map((name): [object, RegExp] => [
      { [name]: 1 },
      /`createDaypass` takes it\./,
    ]),
    [{ origins: 'https://app.test' }, /`origins` is .* Give a list: exact origins/],
    [{ origins: ['https://app.test/'] }, /`origins` is 'https:\/\/app\.test\/'\. Give exact origins, without a path/],
    [{ origins: ['*'] }, /`origins` is '\*'/],
    [{ origins: ['https://*.app.test'] }, /`origins`/],
    [{ origins: ['file://'] }, /`origins`/],
    [{ origins: [7] }, /`origins`/],
    [{ cookie: { maxAge: 1 } }, /`cookie\.maxAge`.* The cookie lives as long as the session/],
    [{ cookie: { expires: 1 } }, /`cookie\.expires`.* The cookie lives as long as the session/],
    [{ cookie: { secure: true } }, /`cookie\.secure`.* always `Secure`/],
    [{ cookie: { httpOnly: true } }, /`cookie\.httpOnly`.* always `HttpOnly`/],
    [{ cookie: { path: '/' } }, /`cookie\.path`.* The path is always/],
    [{ cookie: { name: '__Host-a' } }, /`cookie\.name` must be letters/],
    [{ cookie: { name: 'a b' } }, /`cookie\.name` must be letters/],
    [{ cookie: { sameSite: 'Strict' } }, /`cookie\.sameSite` is "strict", "lax" or "none"/],
    [{ cookie: { domain: '.example.com' } }, /`cookie\.domain` must be a domain/],
    [{ cookie: { domain: 'localhost' } }, /`cookie\.domain` must be a domain/],
    [{ cookie: { domain: '127.0.0.1' } }, /`cookie\.domain` must be a domain/],
  ]
  for (const [options, message] of wrong) {
    assert.throws(
      () => createHttpAuth(auth, options as never),
      { code: 'ERR_OPTION_INVALID', message },
      String(message),
    )
  }
  assert.throws(() => createHttpAuth(null as never), { message: /^`auth` is null\. Give the result of createDaypass/ })
  createHttpAuth(auth, {
    bodyLimit: 1,
    origins: ['capacitor://localhost', 'https://app.test:8443'],
    cookie: { name: 'a_-9' },
  })
})

describe('an older app’s cookie', () => {
  const old = 'an-old-token-of-ada'
  function openWithOld() {
    const forgotten: string[] = []
    const asked: string[] = []
    const adopt = {
      find(text: string) {
        asked.push(text)
        return text === old ? { subject: 'ada', claims: { role: 'member' } } : null
      },
      forget: (text: string) => void forgotten.push(text),
    }
    return { ...open({ cookie: { oldName: 'old' } }, { adopt }), forgotten, asked }
  }

  test('is traded by a refresh, and only where there is none of ours', async () => {
    const { ask, forgotten } = openWithOld()
    const traded = await ask('POST /auth/refresh', { headers: { ...ownPage, cookie: `old=${old}` } })
    assert.equal(traded.status, 200)
    assert.deepEqual(forgotten, [old])
    const both = await ask('POST /auth/refresh', { headers: { ...ownPage, cookie: `old=other; ${traded.cookie}` } })
    assert.equal(both.json.session.id, traded.json.session.id)
    const page = { cookie: `old=${old}` }
    assertRejected(await ask('POST /auth/refresh', { headers: page }), 403, 'ERR_ORIGIN_REFUSED')
  })

  test('is looked up by no sign-in that brings none', async () => {
    const { signIn, asked } = openWithOld()
    await signIn('cookie')
    await signIn('body')
    assert.deepEqual(asked, [])
  })

  test('is worthless after a sign-out, also by a form', async () => {
    for (const options of [undefined, { redirect: '/bye' }]) {
      const { signOutAs, signIn, auth, forgotten } = openWithOld()
      const cookie = `${(await signIn('cookie')).cookie}; old=${old}`
      await signOutAs({ headers: { ...ownPage, cookie } }, options)
      assert.deepEqual([await auth.sessions('ada'), forgotten], [[], [old]])
      const alone = openWithOld()
      await alone.signOutAs({ headers: { ...ownPage, cookie: `old=${old}` } }, options)
      assert.deepEqual(alone.forgotten, [old])
    }
  })
})

test('a sign-out of one transport leaves the other’s session', async () => {
  const { ask, signIn, auth } = open()
  const cookie = (await signIn('cookie')).cookie!
  const { refreshToken, session } = (await signIn()).json
  const wrong = await ask('POST /auth/logout', { json: { refreshToken }, headers: { ...ownPage, cookie } })
  assertRejected(wrong, 400, 'ERR_REQUEST_INVALID')
  await ask('POST /auth/logout', { headers: { ...ownPage, cookie } })
  assert.deepEqual(
    (await auth.sessions('ada')).map(({ id }) => id),
    [session.id],
  )
  const byBody = await ask('POST /auth/logout', { json: { refreshToken }, headers: ownPage })
  assert.equal(byBody.headers['set-cookie'], undefined)
  assert.deepEqual(await auth.sessions('ada'), [])
})

test('a page that is rendered without a cookie asks nobody', async () => {
  const { web, auth } = open()
  let asked = 0
  auth.findSession = async () => {
    asked++
    return null
  }
  assert.equal(await createHttpAuth(auth).findSession(makeRequest('GET /')), null)
  assert.equal(await web.findSession(makeRequest('GET /')), null)
  assert.equal(asked, 0)
})

test('a GET needs no page, and a wrong option of a guard is an error at once', async () => {
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

test('a user of the sign-in is returned, and without one that of `findSubject`', async () => {
  const findSubject = () => ({ claims: { role: 'member' }, user: { name: 'Found' } })
  const { signInAs } = open({}, { findSubject })
  const given = { transport: 'body' }
  assert.deepEqual((await signInAs({}, { subject: 'ada' }, given)).json.user, { name: 'Found' })
  assert.deepEqual((await signInAs({}, { subject: 'ada', user: { name: 'Own' } }, given)).json.user, { name: 'Own' })
  assert.deepEqual((await signInAs({}, { subject: 'ada', user: null }, given)).json.user, null)
})

test('JSON is told by its type alone: a parser’s value without one is no body', async () => {
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
