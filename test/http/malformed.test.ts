// Malformed requests: each gets its documented 4xx, and the session lives on.

import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { createNodeAuth } from '../../src/adapters/node.ts'
import { startFetch, startNode } from '../adapters/apps.ts'
import {
  assertRefused,
  authenticate,
  call,
  listen,
  makeDaypass,
  newKey,
  ownPage,
  parseRaw,
  password,
  type Running,
  raw,
  refreshBody,
  refreshCookie,
  type Sent,
  signInBody,
  signInCookie,
} from './server.ts'

/** The tokens of a caller who is signed in twice, and a token of another server. */
interface Live {
  token: string
  access: string
  cookie: string
  foreign: string
}

type Row = [name: string, line: string, send: (live: Live) => Sent, status: number, code: string]

const refresh = 'POST /auth/refresh'
const json = (value: unknown) => () => ({ json: value })
const token = (make: (live: Live) => unknown) => (live: Live) => ({ json: { refreshToken: make(live) } })
const text = (body: string | Buffer, type = 'application/json') => {
  return () => ({ body, headers: { 'content-type': type } })
}
const key = (value: string | string[]) => (live: Live) => ({
  json: { refreshToken: live.token },
  headers: { 'idempotency-key': value },
})
const cookie = (make: (live: Live) => string | string[]) => (live: Live) => ({
  headers: { ...ownPage, cookie: make(live) },
})
const authorization = (make: (live: Live) => string | string[]) => (live: Live) => ({
  headers: { authorization: make(live) },
})
const login = (more: object) => () => ({ json: { name: 'ada', password, ...more } })
const nothing = () => ({})

/** Flips one bit of one character, so that the text stays base64url. */
function flip(token: string, at: number): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  const index = token.length + (at < 0 ? at : at - token.length)
  return token.slice(0, index) + alphabet[alphabet.indexOf(token[index]!) ^ 4] + token.slice(index + 1)
}

const [METHOD, TYPE, LARGE] = ['ERR_METHOD_NOT_ALLOWED', 'ERR_MEDIA_TYPE', 'ERR_BODY_TOO_LARGE']
const [REQUEST, KEY] = ['ERR_REQUEST_INVALID', 'ERR_IDEMPOTENCY_KEY_INVALID']
const [TOKEN, NONE] = ['ERR_REFRESH_TOKEN_INVALID', 'ERR_REFRESH_TOKEN_MISSING']
const [ACCESS, NO_ACCESS] = ['ERR_ACCESS_TOKEN_INVALID', 'ERR_ACCESS_TOKEN_MISSING']
const [APP, UNKNOWN] = ['APP_NOT_FOUND', 'ERR_NOT_FOUND']
const megabyte = Buffer.alloc(1_048_576, 0x20)

const rows: Row[] = [
  // The method
  ['GET where POST is due', 'GET /auth/refresh', nothing, 405, METHOD],
  ['PUT', 'PUT /auth/refresh', token((live) => live.token), 405, METHOD],
  ['PROPFIND', 'PROPFIND /auth/refresh', nothing, 405, METHOD],
  ['OPTIONS that is no preflight', 'OPTIONS /auth/refresh', nothing, 405, METHOD],
  ['DELETE of the login', 'DELETE /auth/login', nothing, 405, METHOD],
  ['POST to the sessions', 'POST /auth/sessions', json({}), 405, METHOD],
  ['GET of one session', 'GET /auth/sessions/AAAAAAAAAAAAAAAAAAAAAA', nothing, 405, METHOD],
  ['POST to the keys', 'POST /.well-known/jwks.json', json({}), 405, METHOD],

  // The body's type
  ['a form', refresh, text('refreshToken=x', 'application/x-www-form-urlencoded'), 415, TYPE],
  ['JSON as text/plain, as a form of another site can send it', refresh, text('{}', 'text/plain'), 415, TYPE],
  ['multipart', refresh, text('--x--', 'multipart/form-data; boundary=x'), 415, TYPE],
  ['a type that begins as JSON’s does', refresh, text('{}', 'application/jsonp'), 415, TYPE],
  ['another kind of JSON', refresh, text('{}', 'application/json-patch+json'), 415, TYPE],
  ['a body of no type', refresh, () => ({ body: '{}' }), 415, TYPE],
  ['chunks of no type', refresh, () => ({ body: '{}', headers: { 'transfer-encoding': 'chunked' } }), 415, TYPE],
  ['a login that is a form', 'POST /auth/login', text('name=ada', 'application/x-www-form-urlencoded'), 415, TYPE],
  ['a logout that is a form', 'POST /auth/logout', text('a=b', 'application/x-www-form-urlencoded'), 415, TYPE],

  // The body
  ['JSON cut short', refresh, text('{"refreshToken":"dpr_'), 400, REQUEST],
  ['no JSON', refresh, text('<html>'), 400, REQUEST],
  ['a null byte in JSON', refresh, text('{"refreshToken":"\0"}'), 400, REQUEST],
  ['an array', refresh, json([]), 400, REQUEST],
  ['a number', refresh, json(5), 400, REQUEST],
  ['null', refresh, json(null), 400, REQUEST],
  ['a text', refresh, json('dpr_'), 400, REQUEST],
  ['arrays in arrays in arrays', refresh, text('['.repeat(5000) + ']'.repeat(5000)), 400, REQUEST],
  ['a megabyte', refresh, text(megabyte), 413, LARGE],
  [
    'a megabyte in chunks',
    refresh,
    () => ({ body: megabyte, headers: { 'content-type': 'application/json', 'transfer-encoding': 'chunked' } }),
    413,
    LARGE,
  ],
  ['a login of a megabyte', 'POST /auth/login', text(megabyte), 413, LARGE],
  ['one byte over the limit', refresh, text(`{}${' '.repeat(16_383)}`), 413, LARGE],

  // The refresh token in the body
  ['a number as token', refresh, token(() => 5), 400, REQUEST],
  ['null as token', refresh, token(() => null), 400, REQUEST],
  ['a database’s operator as token', refresh, token(() => ({ $ne: null })), 400, REQUEST],
  ['a list with the token', refresh, token((live) => [live.token]), 400, REQUEST],
  ['an empty token', refresh, token(() => ''), 401, TOKEN],
  ['a token cut short', refresh, token((live) => live.token.slice(0, -1)), 401, TOKEN],
  ['a token with a tail', refresh, token((live) => `${live.token}A`), 401, TOKEN],
  ['a token with spaces around', refresh, token((live) => ` ${live.token} `), 401, TOKEN],
  ['a token with a null byte', refresh, token((live) => `${live.token.slice(0, -1)}\0`), 401, TOKEN],
  ['a bit of the session’s id flipped', refresh, token((live) => flip(live.token, 10)), 401, TOKEN],
  ['a bit of the generation flipped', refresh, token((live) => flip(live.token, 30)), 401, TOKEN],
  ['a bit of the tag flipped', refresh, token((live) => flip(live.token, 50)), 401, TOKEN],
  ['a bit of the proof flipped', refresh, token((live) => flip(live.token, -5)), 401, TOKEN],
  ['another instance’s token', refresh, token((live) => live.foreign), 401, TOKEN],
  ['an access token as refresh token', refresh, token((live) => live.access), 401, TOKEN],
  ['a header smuggled in a token', refresh, token((live) => `${live.token}\r\nSet-Cookie: a=b`), 401, TOKEN],
  ['no token at all', refresh, json({}), 401, NONE],
  ['a token under __proto__', refresh, text('{"__proto__":{"refreshToken":"dpr_x"}}'), 400, REQUEST],
  ['a token under constructor', refresh, text('{"constructor":{"prototype":{"refreshToken":"x"}}}'), 400, REQUEST],
  ['a token by the RFC’s name', refresh, json({ refresh_token: 'dpr_x' }), 400, REQUEST],

  // The cookie
  ['an empty cookie', refresh, cookie(() => 'daypass='), 401, NONE],
  ['a cookie cut short', refresh, cookie((live) => live.cookie.slice(0, -1)), 401, TOKEN],
  ['a cookie with a flipped bit', refresh, cookie((live) => flip(live.cookie, -5)), 401, TOKEN],
  ['another instance’s cookie', refresh, cookie((live) => `daypass=${live.foreign}`), 401, TOKEN],
  ['an access token in the cookie', refresh, cookie((live) => `daypass=${live.access}`), 401, TOKEN],
  ['a cookie in quotes', refresh, cookie((live) => live.cookie.replace('=', '="').concat('"')), 401, TOKEN],
  ['two cookies of the name', refresh, cookie((live) => `${live.cookie}; daypass=${live.foreign}`), 400, REQUEST],
  ['the same cookie twice', refresh, cookie((live) => `${live.cookie}; ${live.cookie}`), 400, REQUEST],
  ['two Cookie headers', refresh, cookie((live) => [live.cookie, `daypass=${live.foreign}`]), 400, REQUEST],
  ['a logout with two cookies', 'POST /auth/logout', cookie((live) => `${live.cookie};${live.cookie}`), 400, REQUEST],
  ['a __Host- cookie over plain http', refresh, cookie((live) => `__Host-${live.cookie}`), 401, NONE],
  ['a cookie of another case', refresh, cookie((live) => live.cookie.replace('daypass', 'Daypass')), 401, NONE],
  [
    'a token in the cookie and one in the body',
    refresh,
    (live) => ({ json: { refreshToken: live.token }, headers: { ...ownPage, cookie: live.cookie } }),
    400,
    REQUEST,
  ],

  // The Idempotency-Key
  ['a short key', refresh, key('"short"'), 400, KEY],
  ['a short bare key', refresh, key('123456789012345678901'), 400, KEY],
  ['a key too long', refresh, key(`"${'k'.repeat(256)}"`), 400, KEY],
  ['a key far too long', refresh, key(`"${'k'.repeat(9000)}"`), 400, KEY],
  ['a key with a long tail', refresh, key(`"${newKey()}"; x="${'x'.repeat(600)}"`), 400, KEY],
  ['two keys', refresh, key([newKey(), newKey()]), 400, KEY],
  ['two keys in one header', refresh, key(`"${newKey()}", "${newKey()}"`), 400, KEY],
  ['an empty key', refresh, key('""'), 400, KEY],
  ['a quote that does not end', refresh, key(`"${newKey()}`), 400, KEY],
  ['a quote within', refresh, key(`"${newKey()}"${newKey()}"`), 400, KEY],
  ['a key with a space', refresh, key(`"${newKey()} ${newKey()}"`), 400, KEY],
  ['a key with a tab', refresh, key(`"${newKey()}\t${newKey()}"`), 400, KEY],
  ['a key that is not ASCII', refresh, key(`"${newKey()}\xe9"`), 400, KEY],
  ['a previous key too short', refresh, key(`"${newKey()}"; previous="k2"`), 400, KEY],
  ['a parameter that is none', refresh, key(`"${newKey()}"; =x`), 400, KEY],

  // The login
  ['transport: a number', 'POST /auth/login', login({ transport: 5 }), 400, REQUEST],
  ['transport: null', 'POST /auth/login', login({ transport: null }), 400, REQUEST],
  ['transport: a list', 'POST /auth/login', login({ transport: ['body'] }), 400, REQUEST],
  ['transport: another word', 'POST /auth/login', login({ transport: 'query' }), 400, REQUEST],
  ['transport: a header', 'POST /auth/login', login({ transport: 'body\r\nSet-Cookie: a=b' }), 400, REQUEST],
  [
    'credentials under __proto__',
    'POST /auth/login',
    text(`{"transport":"body","__proto__":{"name":"ada","password":"${password}"}}`),
    401,
    'ERR_CREDENTIALS_INVALID',
  ],
  [
    'operators as credentials',
    'POST /auth/login',
    json({ transport: 'body', name: { $ne: null }, password: { $ne: null } }),
    401,
    'ERR_CREDENTIALS_INVALID',
  ],

  // The access token
  [
    'two Authorization headers',
    'GET /me',
    authorization(({ access }) => [`Bearer ${access}`, 'Bearer x']),
    400,
    REQUEST,
  ],
  [
    'two Authorization headers to the sessions',
    'DELETE /auth/sessions',
    authorization(({ access }) => [`Bearer ${access}`, `Bearer ${access}`]),
    400,
    REQUEST,
  ],
  ['a refresh token as access token', 'GET /me', authorization((live) => `Bearer ${live.token}`), 401, ACCESS],
  ['an access token cut short', 'GET /me', authorization((live) => `Bearer ${live.access.slice(0, -1)}`), 401, ACCESS],
  [
    'a flipped bit in the signature',
    'GET /me',
    authorization((live) => `Bearer ${flip(live.access, -9)}`),
    401,
    ACCESS,
  ],
  ['a flipped bit in the payload', 'GET /me', authorization((live) => `Bearer ${flip(live.access, 200)}`), 401, ACCESS],
  ['an access token of 8 kB', 'GET /me', authorization(() => `Bearer ${'a.'.repeat(4000)}`), 401, ACCESS],
  ['two tokens in one header', 'GET /me', authorization(({ access }) => `Bearer ${access} ${access}`), 401, NO_ACCESS],
  ['a token without its scheme', 'GET /me', authorization((live) => live.access), 401, NO_ACCESS],

  // The origin
  [
    'two Origin headers',
    refresh,
    (live) => ({ json: { refreshToken: live.token }, headers: { origin: ['https://a.test', 'https://a.test'] } }),
    400,
    REQUEST,
  ],

  // The path
  ['a percent-encoded letter', 'POST /auth/%72efresh', token((live) => live.token), 404, APP],
  ['a percent-encoded slash', 'POST /auth%2frefresh', token((live) => live.token), 404, APP],
  ['a percent-encoded line', 'POST /auth/refresh%0d%0aSet-Cookie:a=b', token((live) => live.token), 404, APP],
  ['a percent-encoded null byte', 'POST /auth/refresh%00', token((live) => live.token), 404, APP],
  ['two slashes before', 'POST //auth/refresh', token((live) => live.token), 404, APP],
  ['two slashes within', 'POST /auth//refresh', token((live) => live.token), 404, APP],
  ['a slash after', 'POST /auth/refresh/', token((live) => live.token), 404, APP],
  ['capitals', 'POST /AUTH/REFRESH', token((live) => live.token), 404, APP],
  ['a path parameter', 'POST /auth/refresh;a=b', token((live) => live.token), 404, APP],
  ['__proto__ as a path', 'POST /auth/__proto__', token((live) => live.token), 404, APP],
  [
    'an address that only begins as the sessions’ does',
    'DELETE /auth/sessionsxAAAA',
    authorization(({ access }) => `Bearer ${access}`),
    404,
    APP,
  ],
  [
    'a session’s id that is SQL',
    "DELETE /auth/sessions/'OR'1'='1",
    authorization(({ access }) => `Bearer ${access}`),
    404,
    APP,
  ],
  [
    'a session’s id that is a path',
    'DELETE /auth/sessions/%2e%2e%2fx',
    authorization(({ access }) => `Bearer ${access}`),
    404,
    APP,
  ],
  [
    'a session’s id that is a prototype’s',
    'DELETE /auth/sessions/__proto__',
    authorization(({ access }) => `Bearer ${access}`),
    404,
    UNKNOWN,
  ],
  [
    'a session’s id too long',
    `DELETE /auth/sessions/${'A'.repeat(65)}`,
    authorization(({ access }) => `Bearer ${access}`),
    404,
    APP,
  ],
]

for (const [adapter, start] of Object.entries({ 'node:http': startNode, fetch: startFetch })) {
  describe(`malformed input over ${adapter}`, () => {
    const { auth, events } = makeDaypass()
    const errors: unknown[] = []
    let server: Running
    let foreign: string
    before(async () => {
      server = await start(auth, { authenticate, cookie: { name: 'daypass' }, onError: (error) => errors.push(error) })
      const other = makeDaypass({ secret: 'another secret that nobody here knows, long enough' })
      foreign = (await other.auth.issue('ada', { claims: { role: 'member' } })).refreshToken
    })
    after(() => server.close())

    for (const [name, line, send, status, code] of rows) {
      test(`${name}: ${status} ${code}`, async () => {
        const inBody = await signInBody(server.origin)
        const inCookie = await signInCookie(server.origin)
        events.length = 0
        const live = {
          token: inBody.json.refreshToken,
          access: inBody.json.accessToken,
          cookie: inCookie.cookie!,
          foreign,
        }

        const answer = await call(server.origin, line, send(live))

        if (code === APP) assert.deepEqual([answer.status, answer.json.code], [404, APP])
        else assertRefused(answer, status, code)
        if (code === METHOD) assert.match(answer.headers.allow!, /^(POST|PATCH, DELETE|GET|GET, DELETE)$/)
        for (const secret of [live.token, live.access, live.cookie, foreign, password]) {
          assert.equal(answer.text.includes(secret), false, 'the answer repeats what was sent')
        }
        assert.deepEqual(errors, [], 'onError was called, and it is not our fault')
        assert.deepEqual(events, [], 'something happened to a session')
        assert.equal(Object.hasOwn(Object.prototype, 'refreshToken'), false)
        assert.equal((await refreshBody(server.origin, live.token)).status, 200)
        assert.equal((await refreshCookie(server.origin, live.cookie)).status, 200)
      })
    }

    test('HEAD where POST is due: 405, Allow, and no body', async () => {
      const answer = await call(server.origin, 'HEAD /auth/refresh')
      assert.equal(answer.status, 405)
      assert.equal(answer.headers.allow, 'POST')
      assert.equal(answer.headers['cache-control'], 'no-store')
      assert.equal(answer.text, '')
    })

    test('what is unusual but right is let in', async () => {
      const types = ['application/json; charset=utf-8', 'APPLICATION/JSON', 'application/json ; a=b']
      for (const type of types) {
        const { json } = await signInBody(server.origin)
        const body = JSON.stringify({ refreshToken: json.refreshToken, other: [] })
        const answer = await call(server.origin, refresh, { body, headers: { 'content-type': type } })
        assert.equal(answer.status, 200, type)
      }
      for (const key of [newKey(), `"${newKey()}"`, ` "${newKey()}" ; previous="${newKey()}"`, `"${newKey()}";v=""`]) {
        const { json } = await signInBody(server.origin)
        const headers = { 'idempotency-key': key }
        const answer = await call(server.origin, refresh, { json: { refreshToken: json.refreshToken }, headers })
        assert.equal(answer.status, 200, key)
      }
      const { json } = await signInBody(server.origin)
      const body = `{"refreshToken":"${json.refreshToken}"}`.padEnd(16_384)
      assert.equal((await call(server.origin, refresh, text(body)())).status, 200, 'a body that is exactly the limit')
      const { cookie } = await signInCookie(server.origin)
      const headers = { ...ownPage, cookie: cookie!, 'content-length': '0', 'content-type': 'text/plain' }
      assert.equal((await call(server.origin, refresh, { headers })).status, 200, 'no body at all')
    })
  })
}

describe('malformed input that only a raw socket sends', () => {
  const { auth } = makeDaypass()
  const errors: unknown[] = []
  const requests: string[] = []
  let server: Running
  let bytesRead = () => 0
  before(async () => {
    const web = createNodeAuth(auth, { authenticate, onError: (error) => errors.push(error) })
    server = await listen(async (req, res) => {
      requests.push(`${req.method} ${req.url}`)
      bytesRead = () => req.socket.bytesRead
      if (await web.routes(req, res)) return
      res.writeHead(404, { 'content-type': 'application/json' }).end('{"code":"APP_NOT_FOUND"}')
    })
  })
  after(() => server.close())

  /** The text of a refresh, with whatever headers and body. */
  const refreshText = (body: string, ...headers: string[]) =>
    ['POST /auth/refresh HTTP/1.1', 'Host: x', 'Content-Type: application/json', ...headers, '', body].join('\r\n')
  const length = (body: string) => `Content-Length: ${Buffer.byteLength(body)}`
  const stillAlive = async (token: string) => {
    assert.equal((await refreshBody(server.origin, token)).status, 200)
    assert.deepEqual(errors, [])
  }

  const garbled: [name: string, make: (body: string) => string][] = [
    [
      'control characters in the Idempotency-Key',
      (body) => refreshText(body, length(body), 'Idempotency-Key: "a\x01b"'),
    ],
    ['a null byte in a header', (body) => refreshText(body, length(body), 'X-A: a\0b')],
    ['a length and chunks together', (body) => refreshText(body, length(body), 'Transfer-Encoding: chunked')],
    ['two lengths', (body) => refreshText(body, length(body), 'Content-Length: 1')],
    ['a length that is none', (body) => refreshText(body, 'Content-Length: -5')],
    ['a chunk that is none', () => refreshText('zz\r\n', 'Transfer-Encoding: chunked')],
    ['a bare line feed', (body) => refreshText(body, length(body)).replaceAll('\r\n', '\n\n')],
    ['a method nobody knows', (body) => refreshText(body, length(body)).replace('POST', 'STEAL')],
    ['a header of 100 kB', (body) => refreshText(body, length(body), `X-A: ${'a'.repeat(100_000)}`)],
    ['TLS to a plain port', () => '\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03'],
  ]
  for (const [name, make] of garbled) {
    test(`${name}: refused before any of our code, with no word, and the session lives`, async () => {
      const { json } = await signInBody(server.origin)
      requests.length = 0
      const answer = await raw(server.port, make(JSON.stringify({ refreshToken: json.refreshToken })))
      assert.match(answer, /^HTTP\/1\.1 4\d\d [\w ]+\r\nConnection: close\r\n\r\n$/)
      await stillAlive(json.refreshToken)
    })
  }

  test('an address in the request line: its path counts, and its host in place of the Host (RFC 9112 §3.2.2)', async () => {
    const { json } = await signInBody(server.origin)
    const body = JSON.stringify({ refreshToken: json.refreshToken })
    const sent = refreshText(body, length(body), 'Connection: close').replace('/auth', 'http://evil.test/auth')
    const answer = parseRaw(await raw(server.port, sent))
    assert.equal(answer.status, 200)
    await stillAlive(answer.json.refreshToken)
  })

  test('two Sec-Fetch-Site or two Origin headers: 400', async () => {
    for (const header of ['Sec-Fetch-Site: same-origin', 'Origin: https://a.test']) {
      const { json } = await signInBody(server.origin)
      const body = JSON.stringify({ refreshToken: json.refreshToken })
      const answer = parseRaw(
        await raw(server.port, refreshText(body, length(body), header, header, 'Connection: close')),
      )
      assertRefused(answer, 400, 'ERR_REQUEST_INVALID', 'invalid_request')
      await stillAlive(json.refreshToken)
    }
  })

  test('garbage behind a good request: the request is answered, the garbage ends the connection', async () => {
    const { json } = await signInBody(server.origin)
    const body = JSON.stringify({ refreshToken: json.refreshToken })
    const text = await raw(server.port, `${refreshText(body, length(body))}\0GARBAGE\r\n\r\n`)
    assert.match(text, /HTTP\/1\.1 400 Bad Request\r\nConnection: close\r\n\r\n$/)
    const before = parseRaw(text)
    // Node may refuse before it has answered; then the token is still good, or it is asked again.
    await stillAlive(before.status === 200 ? before.json.refreshToken : json.refreshToken)
  })

  test('a gigabyte announced: 413 before any of it is read', async () => {
    const { json } = await signInBody(server.origin)
    const answer = parseRaw(await raw(server.port, refreshText('{"', 'Content-Length: 1073741824')))
    assertRefused(answer, 413, 'ERR_BODY_TOO_LARGE', 'invalid_request')
    assert.equal(answer.headers.connection, 'close')
    await stillAlive(json.refreshToken)
  })

  test('chunks without end: 413, the connection is closed, and almost none of it was read', {
    timeout: 10_000,
  }, async () => {
    const { json } = await signInBody(server.origin)
    const chunk = `10000\r\n${' '.repeat(65_536)}\r\n`
    const text = await new Promise<string>((resolve) => {
      const socket = connect(server.port, '127.0.0.1')
      let received = ''
      const write = () => {
        while (socket.writable && socket.write(chunk));
      }
      socket.on('data', (data) => {
        received += data.toString('latin1')
      })
      socket.on('drain', write)
      socket.on('error', () => {})
      socket.on('close', () => resolve(received))
      socket.write(refreshText('', 'Transfer-Encoding: chunked'))
      write()
    })
    assertRefused(parseRaw(text), 413, 'ERR_BODY_TOO_LARGE', 'invalid_request')
    assert.ok(bytesRead() < 4_000_000, `${bytesRead()} bytes were read`)
    await stillAlive(json.refreshToken)
  })

  test('a thousand refusals keep no memory', async () => {
    const refuse = () => call(server.origin, refresh, text(Buffer.alloc(65_536, 0x20))())
    setFlagsFromString('--expose-gc')
    const collect = runInNewContext('gc') as () => void
    const used = async () => {
      // Connections that are still closing use memory for a while.
      await server.deserted()
      // Buffers are freed after the collection. The second time waits for those of the first.
      for (let time = 0; time < 2; time++) {
        collect()
        await new Promise((resolve) => setTimeout(resolve, 100))
      }
      const { arrayBuffers, heapUsed } = process.memoryUsage()
      return arrayBuffers + heapUsed
    }
    const many = async (rounds: number) => {
      for (let round = 0; round < rounds; round++) await Promise.all(Array.from({ length: 20 }, refuse))
    }
    await many(5)
    const before = await used()
    await many(50)
    const more = (await used()) - before
    assert.ok(more < 20_000_000, `${more} of 65,536,000 bytes are still there`)
  })
})
