// A login, a sign-out, a page and a guard of the app's own, without a socket, and the options.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createHttpAuth, createVerifierGuard } from '../../src/http/http-auth.ts'
import { type Asked, assertRejected, makeRequest, open } from './in-process.ts'
import { bearer, ownPage } from './server.ts'

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

  test('a session that could not be replaced is an error for `onError`, and the sign-in succeeds', async () => {
    const made = open()
    const cookie = (await made.signIn('cookie')).cookie!
    const away = new Error('away')
    made.store.revoke = () => Promise.reject(away)
    const { status } = await made.signInAs({ headers: { ...ownPage, cookie } }, person)
    assert.equal(status, 200)
    assert.deepEqual(made.errors, [away])
  })
})

test('a user of the sign-in is returned, and without one that of `findSubject`', async () => {
  const findSubject = () => ({ claims: { role: 'member' }, user: { name: 'Found' } })
  const { signInAs } = open({}, { findSubject })
  const given = { transport: 'body' }
  assert.deepEqual((await signInAs({}, { subject: 'ada' }, given)).json.user, { name: 'Found' })
  assert.deepEqual((await signInAs({}, { subject: 'ada', user: { name: 'Own' } }, given)).json.user, { name: 'Own' })
  assert.deepEqual((await signInAs({}, { subject: 'ada', user: null }, given)).json.user, null)
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
    ...['Strict', ['lax'], 'toString', null, true].map((sameSite): [object, RegExp] => [
      { cookie: { sameSite } },
      /`cookie\.sameSite` is "strict", "lax" or "none"/,
    ]),
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
