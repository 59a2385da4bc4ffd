// Attacks on the HTTP routes: caches, endpoints that are not built yet, other schemes, unusual cookies and preflights.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { adapters } from '../adapters/apps.ts'
import { bearer, call, makeDaypass, ownPage, password, serve, signInBody, signInCookie } from '../http/server.ts'
import { post, type ServerProcess, startServerProcess } from '../server/process.ts'

describe('a CDN that caches every response it may', () => {
  for (const [name, start] of Object.entries(adapters)) {
    test(`${name}: every response with a token or a cookie has no-store and no other directive`, async (t) => {
      const { auth } = makeDaypass()
      const authenticate = () => ({ subject: 'ada', claims: { role: 'member' } })
      const server = await start(auth, { authenticate })
      t.after(() => server.close())
      const send = (line: string, sent = {}) => call(server.origin, line, sent)
      const headers = ownPage
      const first = await send('POST /auth/login', { headers, json: { password } })
      const { cookie } = first
      const withCookies = [
        first,
        await send('POST /own-login', { headers, json: { name: 'ada', given: { transport: 'cookie' } } }),
        await send('POST /arrival?options={"redirect":"/"}', { headers }),
        await send('POST /auth/refresh', { headers: { ...headers, cookie: cookie! } }),
        await send('POST /departure?options={"redirect":"/"}', { headers }),
        await send('POST /auth/logout', { headers: { ...headers, cookie: cookie! } }),
      ]
      for (const response of withCookies) {
        assert.ok(response.setCookie, response.text)
        assert.equal(response.headers['cache-control'], 'no-store')
      }
      const { json } = await send('POST /auth/login', { json: { password, transport: 'body' } })
      const others = [
        await send('POST /auth/refresh', { json: { refreshToken: json.refreshToken } }),
        await send('POST /auth/refresh', { json: { refreshToken: 'dpr_' } }),
        await send('GET /auth/refresh'),
        await send('GET /auth/sessions', { headers: bearer(json.accessToken) }),
        await send('GET /auth/sessions'),
        await send('GET /me', { headers: bearer('x') }),
        await send('GET /me'),
      ]
      for (const { headers } of others) assert.equal(headers['cache-control'], 'no-store')
      const keys = await send('GET /.well-known/jwks.json', { headers: { cookie: cookie! } })
      assert.equal(keys.setCookie, undefined)
      assert.match(keys.headers['cache-control']!, /^public, max-age=\d+$/)
      for (const key of keys.json.keys)
        assert.deepEqual(
          Object.keys(key).filter((member) => /^(d|p|q|dp|dq|qi|k)$/.test(member)),
          [],
        )
    })
  }
})

describe('endpoints that are not built yet respond 404, in the library and in the server application', () => {
  let standalone: ServerProcess
  before(async () => {
    standalone = await startServerProcess({ DAYPASS_STORE: 'memory:' })
  })
  after(() => standalone.remove())
  const missing = [
    ['POST /oauth/token', 'the token endpoint'],
    ['POST /oauth/revoke', 'revocation'],
    ['POST /oauth/introspect', 'introspection'],
    ['GET /.well-known/oauth-authorization-server', 'metadata'],
    ['GET /.well-known/openid-configuration', 'OpenID Connect, which is not planned'],
    ['GET /auth/revocations', 'the feed of revocations'],
  ] as const
  for (const [line, comesWith] of missing) {
    test(`${line}: 404 (it comes with ${comesWith})`, async (t) => {
      const { origin } = await serve(t)
      const { json } = await signInBody(origin)
      const body = `grant_type=refresh_token&refresh_token=${json.refreshToken}&token=${json.refreshToken}`
      const headers = { 'content-type': 'application/x-www-form-urlencoded', ...bearer(json.accessToken) }
      for (const server of [origin, standalone.url]) {
        const response = await call(server, line, line.startsWith('POST') ? { body, headers } : { headers })
        assert.equal(response.status, 404, response.text)
        assert.equal(response.setCookie, undefined)
      }
      assert.equal((await call(origin, 'POST /auth/refresh', { json })).status, 200, 'and the session lives')
    })
  }

  test('DPoP: the scheme is rejected, a proof changes nothing, and no response advertises it', async (t) => {
    const { origin } = await serve(t)
    const { json } = await signInBody(origin)
    const dpop = 'eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2In0.e30.AA'
    const scheme = await call(origin, 'GET /me', { headers: { authorization: `DPoP ${json.accessToken}`, dpop } })
    assert.equal(scheme.status, 401)
    assert.equal(scheme.headers['www-authenticate'], 'Bearer')
    const refreshed = await call(origin, 'POST /auth/refresh', { json, headers: { dpop } })
    assert.equal(refreshed.json.tokenType, 'Bearer')
    const payload = JSON.parse(Buffer.from(refreshed.json.accessToken.split('.')[1], 'base64url').toString())
    assert.equal(payload.cnf, undefined)
    assert.equal(refreshed.headers['dpop-nonce'], undefined)
  })
})

describe('one credential for each request', () => {
  test('the server application: a token in the query, the form or another header is ignored; two tokens are rejected', async (t) => {
    const server = await startServerProcess({ DAYPASS_STORE: 'memory:' })
    t.after(() => server.remove())
    const { body } = await post(`${server.url}/auth/register`, { email: 'a@example.com', password, transport: 'body' })
    const me = async (line: string, headers: Record<string, string | string[]> = {}) =>
      (await call(server.url, line, { headers })).status
    assert.equal(await me('GET /auth/me', bearer(body.accessToken)), 200)
    assert.equal(await me(`GET /auth/me?access_token=${body.accessToken}`), 401)
    assert.equal(await me('GET /auth/me', { 'x-access-token': body.accessToken }), 401)
    assert.equal(await me('GET /auth/me', { cookie: `access_token=${body.accessToken}` }), 401)
    const two = [`Bearer ${body.accessToken}`, `Bearer ${body.accessToken}`]
    assert.equal(await me('GET /auth/me', { authorization: two }), 400)
    const query = await call(server.url, `POST /auth/refresh?refreshToken=${body.refreshToken}`, { json: {} })
    assert.equal(query.json.code, 'ERR_REFRESH_TOKEN_MISSING')
  })
})

test('a cookie whose name differs from ours by blanks is ignored: a sibling host could have set it', async (t) => {
  const { origin } = await serve(t, {}, { trustedProxies: ['127.0.0.1'] })
  const headers = { ...ownPage, 'x-forwarded-proto': 'https', 'x-forwarded-host': 'id.example' }
  const thief = (await signInCookie(origin, 'mallory', headers)).cookie!
  assert.match(thief, /^__Host-daypass=/)
  const refresh = (cookie: string) => call(origin, 'POST /auth/refresh', { headers: { ...headers, cookie } })
  for (const blank of ['\xa0', '\x85', '\xc2\xa0', '\xe2\x80\x80', '\xef\xbb\xbf', '\xad']) {
    for (const cookie of [`${blank}${thief}`, `a=b; ${blank}${thief}`, thief.replace('=', `${blank}=`)]) {
      assert.equal((await refresh(cookie)).json.code, 'ERR_REFRESH_TOKEN_MISSING', JSON.stringify(cookie))
    }
    // Beside the owner's own cookie it is another cookie, not a second one of the same name.
    const { cookie: own } = await signInCookie(origin, 'ada', headers)
    const response = await refresh(`${blank}${thief}; ${own}`)
    assert.equal(response.json.session?.subject, 'ada', response.text)
  }
  for (const other of [thief.replace('-', '- '), thief.replace('=', ' ='), thief.slice(1)]) {
    assert.equal((await refresh(other)).json.code, 'ERR_REFRESH_TOKEN_MISSING', other)
  }
  // Without `oldName` no other cookie is read, also none that is named "undefined".
  assert.equal((await refresh(thief.replace('__Host-daypass', 'undefined'))).json.code, 'ERR_REFRESH_TOKEN_MISSING')
  assert.equal((await refresh(`a=b; \t${thief}`)).status, 200, 'blanks and tabs are nothing')
})

describe('preflights and CORS', () => {
  const app = 'https://app.example.com'
  const asked = { origin: app, 'access-control-request-method': 'POST' }

  test('only OPTIONS with Access-Control-Request-Method is a preflight', async (t) => {
    const { origin } = await serve(t, {}, { origins: [app] })
    const { json } = await signInBody(origin)
    assert.equal((await call(origin, 'OPTIONS /auth/sessions', { headers: asked })).status, 204)
    assert.equal((await call(origin, 'OPTIONS /auth/sessions', { headers: { origin: app } })).status, 405)
    const read = await call(origin, 'GET /auth/sessions', { headers: { ...asked, ...bearer(json.accessToken) } })
    assert.equal(read.status, 200)
    assert.equal(read.headers['access-control-allow-origin'], app)
    assert.equal(read.headers['access-control-allow-methods'], undefined)
    assert.equal((await call(origin, 'GET /auth/sessions', { headers: asked })).status, 401)
    assert.equal((await call(origin, 'POST /auth/refresh', { headers: asked, json: {} })).status, 401)
  })

  test('an Origin that is null, empty, doubled or a list is rejected', async (t) => {
    const { origin } = await serve(t, {}, { origins: [app] })
    const { cookie } = await signInCookie(origin, 'ada', { origin: app })
    for (const sent of ['null', '', `${app}, ${app}`, `${app} https://evil.example`, `${app}.`, 'undefined']) {
      const response = await call(origin, 'POST /auth/refresh', { headers: { cookie: cookie!, origin: sent } })
      assert.equal(response.status, sent.includes(', ') ? 400 : 403, sent)
      assert.equal(response.headers['access-control-allow-origin'], undefined)
    }
    const response = await call(origin, 'POST /auth/refresh', { headers: { cookie: cookie!, origin: app } })
    assert.equal(response.status, 200, 'and the session lives')
  })
})
