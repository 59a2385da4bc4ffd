// Sign-ins that lead on to a page: where they may lead, and from where they may come, through every adapter.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { createFetchAuth } from '../../src/adapters/fetch.ts'
import type { SignInOptions } from '../../src/adapters/node.ts'
import {
  type Answer,
  assertRefused,
  call,
  makeDaypass,
  ownPage,
  type Running,
  refreshCookie,
  type Sent,
} from '../http/server.ts'
import { adapters } from './apps.ts'

const listed = 'https://app.test'
const origins = [listed, 'capacitor://localhost']
const lineOf = (options: SignInOptions, method = 'POST', name = 'ada') =>
  `${method} /arrival?name=${name}&options=${encodeURIComponent(JSON.stringify(options))}`

/** Targets that lead to this server or to a listed origin, and the `Location` that they become. */
const allowed: [redirect: NonNullable<SignInOptions['redirect']>, location: string][] = [
  ['/', '/'],
  ['/home?tab=a%20b#c', '/home?tab=a%20b#c'],
  ['/search?q=//evil.test', '/search?q=//evil.test'],
  ['/search?q=https://evil.test', '/search?q=https://evil.test'],
  ['/@evil.test', '/@evil.test'],
  ['/evil.test', '/evil.test'],
  ['/a//b', '/a//b'],
  ['/häuser?ort=köln', '/h%C3%A4user?ort=k%C3%B6ln'],
  ['/\ud800', '/%EF%BF%BD'],
  ['/a b', '/a%20b'],
  ['/a/../b', '/b'],
  // Stays encoded, so nothing ends the header.
  ['/%0d%0aSet-Cookie:%20a=b', '/%0d%0aSet-Cookie:%20a=b'],
  ['/%2F%2Fevil.test', '/%2F%2Fevil.test'],
  ['/%5Cevil.test', '/%5Cevil.test'],
  ['/;//evil.test', '/;//evil.test'],
  ['https://app.test', 'https://app.test/'],
  ['https://app.test/home?a=b#c', 'https://app.test/home?a=b#c'],
  ['HTTPS://APP.TEST/', 'https://app.test/'],
  ['https://app.test:443/', 'https://app.test/'],
  ['https://app.test/@evil.test', 'https://app.test/@evil.test'],
  ['https://app.test\\@evil.test', 'https://app.test/@evil.test'],
  ['capacitor://localhost/home', 'capacitor://localhost/home'],
  [['//evil.test', '/home'], '/home'],
  [['/first', '/second'], '/first'],
  [[null, 5, ['/nested'], { toString: '/' }, 'https://evil.test', '/home'], '/home'],
]

/** An address at the own origin becomes a path: behind a proxy that ends TLS and is not named, its scheme would be http. */
const atOwnOrigin = (origin: string): typeof allowed => [
  [origin, '/'],
  [`${origin}/home?a=b#c`, '/home?a=b#c'],
  [`${origin}/a/../b`, '/b'],
  // As a path, these would lead to another host.
  [`${origin}//evil.test/x`, `${origin}//evil.test/x`],
  [`${origin}/.//evil.test`, `${origin}//evil.test`],
  [`${origin}/\\evil.test`, `${origin}//evil.test`],
]

/** Targets that lead elsewhere, or that some reader takes for an address elsewhere. */
const refused: unknown[] = [
  ...['//evil.test', '///evil.test', '/\\evil.test', '\\/evil.test', '\\\\evil.test', '//evil.test/..', '//app.test'],
  ...['\t//evil.test', '/\t/evil.test', '/\n/evil.test', '/\r/evil.test', '\u0000/', '/\u0000', '/\u007f', '/\u0085'],
  ...['/a\r\nSet-Cookie: a=b', ' //evil.test', ' /home', '\u00a0//evil.test', '\ufeff/home'],
  ...[
    '/.//evil.test',
    '/..//evil.test',
    '/a/..//evil.test',
    '/%2e%2e//evil.test',
    '/./\\evil.test',
    '/a/..\\\\evil.test',
  ],
  ...[
    'https:evil.test',
    'https:/evil.test',
    'https:\\\\evil.test',
    'http:app.test',
    'https:app.test',
    'https:/app.test',
  ],
  ...[
    'https://evil.test',
    'https://evil.test/https://app.test',
    'https://app.test.evil.test',
    'https://evil.test?https://app.test',
  ],
  ...[
    'https://app.test@evil.test',
    'https://ada@app.test',
    'https://ada:x@app.test',
    'https://:@evil.test',
    'https://evil.test#@app.test',
  ],
  ...[
    'https://app.test%2eevil.test',
    'https://app.test%00.evil.test',
    'https://xn--',
    'https://app.test:8443',
    'http://app.test',
  ],
  ...[
    'https://app。test.evil.test',
    'https://[::1',
    'https://',
    'https:///',
    'capacitor://evil',
    'capacitor:localhost',
  ],
  ...[
    'javascript:alert(1)',
    'java\nscript:alert(1)',
    'data:text/html,x',
    'blob:https://app.test/x',
    'file:///etc/passwd',
  ],
  ...['home', '', '.', '..', '?next', '#home', './home', '../home', 'evil.test', '@evil.test', '%2F%2Fevil.test'],
  ...[null, 5, true, {}, [], [[]], ['//evil.test'], [null, undefined]],
]

/** A page that loads after a click on another site. */
const fromAway = { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' }

for (const [name, start] of Object.entries(adapters)) {
  describe(name, () => {
    const { auth, events } = makeDaypass()
    const errors: unknown[] = []
    let server: Running
    let origin: string
    const signIn = (redirect: unknown, headers: Sent['headers'] = ownPage) =>
      call(origin, lineOf({ redirect } as SignInOptions), { headers })
    before(async () => {
      server = await start(auth, { origins, onError: (error) => errors.push(error) })
      origin = server.origin
    })
    after(async () => {
      await server.close()
      assert.deepEqual(errors, [])
    })

    test('a sign-in with a redirect: 303, the cookie, and no token but in it', async () => {
      const answer = await signIn('/home')
      assert.equal(answer.status, 303)
      assert.equal(answer.headers.location, '/home')
      assert.equal(answer.headers['cache-control'], 'no-store')
      assert.equal(answer.headers['content-type'], undefined)
      assert.equal(answer.text, '')
      const { 'set-cookie': [cookie] = [], ...others } = answer.headers
      assert.match(cookie!, /=dpr_/)
      assert.doesNotMatch(JSON.stringify(others), /dpr_|eyJ/)
      assert.equal((await refreshCookie(origin, answer.cookie!)).json.session.subject, 'ada')
    })

    test('a redirect leads to a path of this server or to a listed origin', async () => {
      for (const [redirect, location] of [...allowed, ...atOwnOrigin(origin)]) {
        const answer = await signIn(redirect)
        assert.deepEqual([answer.status, answer.headers.location], [303, location], JSON.stringify(redirect))
        assert.equal(answer.headers['set-cookie']?.length, 1)
      }
    })

    test('a redirect that leads anywhere else is rejected, and no session begins', async () => {
      events.length = 0
      for (const redirect of refused) {
        const answer = await signIn(redirect)
        assertRefused(answer, 400, 'ERR_REDIRECT_REFUSED', 'invalid_request')
        assert.equal(answer.headers.location, undefined, JSON.stringify(redirect))
        assert.equal(answer.headers['set-cookie'], undefined)
      }
      assert.deepEqual(events, [])
    })

    test('a GET that loads a page is let in from another site; no other request of another site is', async () => {
      const options = { redirect: '/home' }
      const send = (headers: Sent['headers'], method = 'GET', given: SignInOptions = options) =>
        call(origin, lineOf(given, method), headers ? { headers } : {})
      const lets: [Sent['headers'], string?, SignInOptions?][] = [
        [fromAway],
        [{ ...fromAway, 'sec-fetch-site': 'same-site' }],
        [{ ...fromAway, 'sec-fetch-site': 'none' }],
        [{ ...fromAway, 'sec-fetch-site': 'same-origin' }],
        [{}], // a browser without these headers sends no Origin with a link
        [ownPage, 'POST'],
        [
          {
            origin: listed,
            'sec-fetch-site': 'cross-site',
            'sec-fetch-mode': 'navigate',
            'sec-fetch-dest': 'document',
          },
          'POST',
        ],
      ]
      for (const [headers, method] of lets) {
        const answer = await send(headers, method)
        assert.equal(answer.status, 303, `${method} ${JSON.stringify(headers)}: ${answer.text}`)
      }
      events.length = 0
      const away = 'https://idp.test'
      const rejects: [Sent['headers'], string?, SignInOptions?][] = [
        [{ ...fromAway, 'sec-fetch-dest': 'iframe' }],
        [{ ...fromAway, 'sec-fetch-dest': 'empty' }],
        [{ ...fromAway, 'sec-fetch-mode': 'no-cors', 'sec-fetch-dest': 'image' }],
        [{ ...fromAway, 'sec-fetch-mode': 'cors' }],
        [{ 'sec-fetch-site': 'cross-site' }],
        [{ origin: away }],
        [{ ...fromAway, origin: away }, 'POST'],
        [{ ...fromAway, origin: 'null' }, 'POST'],
        [{ origin: away }, 'POST'],
        [{ origin: 'null' }, 'POST'],
        [{ ...fromAway }, 'PUT'],
        [fromAway, 'GET', {}],
      ]
      for (const [headers, method, given] of rejects) {
        assertRefused(await send(headers, method, given), 403, 'ERR_ORIGIN_REFUSED', 'access_denied')
      }
      assert.deepEqual(events, [])
    })

    test('a form that another site posts is let in only where the app says so', async () => {
      const send = (headers: Sent['headers'], method = 'POST') =>
        call(origin, lineOf({ redirect: '/home', crossSitePost: true }, method), { headers: headers ?? {} })
      const form = { 'content-type': 'application/x-www-form-urlencoded' }
      for (const from of ['https://idp.test', 'null']) {
        assert.equal((await send({ ...fromAway, ...form, origin: from })).status, 303)
        assert.equal((await send({ ...form, origin: from })).status, 303, 'a browser without Sec-Fetch headers')
      }
      for (const headers of [
        { ...fromAway, 'sec-fetch-dest': 'iframe' },
        { ...fromAway, 'sec-fetch-mode': 'cors', 'sec-fetch-dest': 'empty' },
        { ...fromAway, 'sec-fetch-mode': 'no-cors', 'sec-fetch-dest': 'empty' },
      ]) {
        assertRefused(await send({ ...headers, origin: 'https://idp.test' }), 403, 'ERR_ORIGIN_REFUSED')
      }
      assertRefused(await send({ ...fromAway, origin: 'https://idp.test' }, 'PUT'), 403, 'ERR_ORIGIN_REFUSED')
    })

    test('a sign-out with a redirect: 303, the cookie is cleared, the session is over; another site gets neither', async () => {
      const { cookie } = await signIn('/')
      const form = { 'content-type': 'application/x-www-form-urlencoded', cookie: cookie! }
      const leave = (redirect: unknown, headers: Sent['headers'] = ownPage) =>
        call(origin, lineOf({ redirect } as SignInOptions).replace('arrival', 'departure'), {
          headers: { ...form, ...headers },
          body: 'a=b',
        })
      assertRefused(await leave('/bye', { ...fromAway, origin: 'https://evil.test' }), 403, 'ERR_ORIGIN_REFUSED')
      assertRefused(await leave('/bye', {}), 403, 'ERR_ORIGIN_REFUSED')
      assertRefused(await leave('//evil.test'), 400, 'ERR_REDIRECT_REFUSED')
      const next = await refreshCookie(origin, cookie!)
      assert.equal(next.status, 200, 'nothing has changed')
      const answer = await leave(['//evil.test', '/bye'], { ...ownPage, cookie: next.cookie! })
      assert.deepEqual([answer.status, answer.headers.location, answer.text], [303, '/bye', ''])
      assert.match(answer.setCookie!, /=; Path=\/; Max-Age=0;/)
      assert.equal(answer.headers['cache-control'], 'no-store')
      assertRefused(await refreshCookie(origin, next.cookie!), 401, 'ERR_SESSION_REVOKED')
      assert.equal((await leave('/bye', { ...ownPage, cookie: '' })).status, 303, 'nobody is signed in')
    })

    test('a sign-in with a redirect ends the session that the browser held, also another person’s', async () => {
      const endings = () =>
        events.flatMap((event) => (event.type === 'revoked' ? [`${event.subject} ${event.reason}`] : []))
      const arrive = (person: string, method: string, cookie?: string): Promise<Answer> =>
        call(origin, lineOf({ redirect: '/' }, method, person), { headers: { ...ownPage, ...(cookie && { cookie }) } })
      events.length = 0
      const first = await arrive('first', 'POST')
      const second = await arrive('second', 'POST', first.cookie)
      const third = await arrive('second', 'GET', second.cookie)
      assert.deepEqual(endings(), ['first replaced', 'second replaced'])
      assertRefused(await refreshCookie(origin, first.cookie!), 401, 'ERR_SESSION_REVOKED')
      assert.equal((await refreshCookie(origin, third.cookie!)).json.session.subject, 'second')
    })
  })
}

test('`redirect` goes with the cookie: the default transport does not count, and `body` is an error', async () => {
  const { auth, events } = makeDaypass()
  const errors: unknown[] = []
  const web = createFetchAuth(auth, { transport: 'body', onError: (error) => errors.push(error) })
  const request = () => new Request('https://app.test/login', { method: 'POST', headers: ownPage })
  const person = { subject: 'ada', claims: { role: 'member' } }
  const answer = await web.signIn(request(), person, { redirect: '/' })
  assert.equal(answer.status, 303)
  assert.match(answer.headers.get('set-cookie')!, /^__Host-daypass=dpr_/)
  events.length = 0
  assert.equal((await web.signIn(request(), person, { redirect: '/', transport: 'body' })).status, 500)
  assert.match(String(errors), /A sign-in with `redirect` sets the cookie/)
  assert.deepEqual(events, [])
})

describe('`crossSitePost`', () => {
  const { auth, events } = makeDaypass()
  const person = { subject: 'mallory', claims: { role: 'member' } }
  for (const [given, says] of [
    ...['false', 'true', '', 0, 1, null, [], {}].map(
      (value) => [{ redirect: '/', crossSitePost: value }, /`crossSitePost` is .*true or false/] as const,
    ),
    [{ crossSitePost: true }, /`crossSitePost` is true\. It goes with `redirect`/] as const,
  ]) {
    test(`${JSON.stringify(given)}: an error, and no form of another site signs in`, async () => {
      const errors: unknown[] = []
      const web = createFetchAuth(auth, { onError: (error) => errors.push(error) })
      const headers = { ...fromAway, origin: 'https://evil.test' }
      const answer = await web.signIn(
        new Request('https://app.test/acs', { method: 'POST', headers }),
        person,
        given as never,
      )
      assert.deepEqual([answer.status, answer.headers.get('set-cookie')], [500, null])
      assert.match(String(errors), says)
      assert.deepEqual(events, [])
    })
  }

  test('false, with `redirect` or without, is the default', async () => {
    const web = createFetchAuth(auth)
    for (const given of [{ crossSitePost: false }, { redirect: '/', crossSitePost: false }]) {
      const request = new Request('https://app.test/login', { method: 'POST', headers: ownPage })
      assert.ok((await web.signIn(request, person, given)).headers.get('set-cookie'))
    }
  })
})

test('a HEAD begins no session, whatever page it comes from', async () => {
  const { auth, events } = makeDaypass()
  const web = createFetchAuth(auth)
  for (const headers of [{}, fromAway, ownPage, { ...fromAway, 'sec-fetch-site': 'none' }]) {
    for (const options of [{ redirect: '/' }, {}]) {
      const request = new Request('https://app.test/link?token=x', {
        method: 'HEAD',
        headers: headers as Record<string, string>,
      })
      const answer = await web.signIn(request, { subject: 'ada', claims: { role: 'member' } }, options)
      assert.ok([400, 403].includes(answer.status), `${answer.status}`)
      assert.equal(answer.headers.get('set-cookie'), null)
    }
  }
  assert.deepEqual(events, [])
})
