// The origin check and CORS: every site, method and origin against a short table of rules.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { createFetchAuth } from '../../src/adapters/fetch.ts'
import type { Warning } from '../../src/index.ts'
import {
  type Answer,
  assertRefused,
  bearer,
  call,
  makeDaypass,
  ownPage,
  password,
  refreshBody,
  refreshCookie,
  type Sent,
  serve,
  signInBody,
  signInCookie,
} from './server.ts'

const allowed = 'https://app.test'
const sites = ['same-origin', 'same-site', 'cross-site', 'none', undefined] as const
const origins = ['own', allowed, 'https://evil.test', 'null', undefined] as const

/** The rules, in order; what none of them lets in is refused. */
const rules: {
  why: string
  holds: (site: string | undefined, origin: string | undefined, cookie: boolean) => boolean
}[] = [
  { why: 'the browser says: a page of ours', holds: (site) => site === 'same-origin' },
  { why: 'a page on the list', holds: (_site, origin) => origin === allowed },
  { why: 'an old browser with a page of ours', holds: (site, origin) => site === undefined && origin === 'own' },
  {
    why: 'no browser: it says nothing, and nothing of a browser’s is used',
    holds: (site, origin, cookie) => site === undefined && origin === undefined && !cookie,
  },
]

/** The action of a browser or a program; `cookie` where the response sets or reads one. */
interface Route {
  line: string
  cookie: boolean
  send: (live: Live) => Sent
  /** The status where it is let in. */
  status: number
}

interface Live {
  cookie: string
  token: string
  access: string
  otherId: string
}

const routes: Record<string, Route> = {
  'login by cookie': {
    line: 'POST /auth/login',
    cookie: true,
    send: () => ({ json: { name: 'ada', password } }),
    status: 200,
  },
  'login by body': {
    line: 'POST /auth/login',
    cookie: false,
    send: () => ({ json: { name: 'ada', password, transport: 'body' } }),
    status: 200,
  },
  'refresh by cookie': {
    line: 'POST /auth/refresh',
    cookie: true,
    send: ({ cookie }) => ({ headers: { cookie } }),
    status: 200,
  },
  'refresh by body': {
    line: 'POST /auth/refresh',
    cookie: false,
    send: ({ token }) => ({ json: { refreshToken: token } }),
    status: 200,
  },
  'logout by cookie': {
    line: 'POST /auth/logout',
    cookie: true,
    send: ({ cookie }) => ({ headers: { cookie } }),
    status: 204,
  },
  'logout by body': {
    line: 'POST /auth/logout',
    cookie: false,
    send: ({ token }) => ({ json: { refreshToken: token } }),
    status: 204,
  },
  'logout by access token': {
    line: 'POST /auth/logout',
    cookie: false,
    send: ({ access }) => ({ headers: bearer(access) }),
    status: 204,
  },
  'ending all other sessions': {
    line: 'DELETE /auth/sessions',
    cookie: false,
    send: ({ access }) => ({ headers: bearer(access) }),
    status: 200,
  },
  'naming one session': {
    line: 'PATCH /auth/sessions/:id',
    cookie: false,
    send: ({ access }) => ({ headers: bearer(access), json: { label: 'phone' } }),
    status: 200,
  },
  'ending one session': {
    line: 'DELETE /auth/sessions/:id',
    cookie: false,
    send: ({ access }) => ({ headers: bearer(access) }),
    status: 204,
  },
}

type Served = Awaited<ReturnType<typeof serve>>

async function signInTwice(origin: string): Promise<Live> {
  const inCookie = await signInCookie(origin)
  const inBody = await signInBody(origin)
  return {
    // A page of this machine reads the one name, a page of another the other.
    cookie: `${inCookie.cookie}; __Host-${inCookie.cookie}`,
    token: inBody.json.refreshToken,
    access: inBody.json.accessToken,
    otherId: inCookie.json.session.id,
  }
}

describe('the matrix site × route × origin', () => {
  let served: Served
  before(async () => {
    served = await serve({ after() {} }, {}, { origins: [allowed], cookie: { name: 'daypass' } })
  })
  after(() => served.server.close())

  for (const [name, route] of Object.entries(routes)) {
    for (const site of sites) {
      const verdicts = origins.map((origin) => rules.some((rule) => rule.holds(site, origin, route.cookie)))
      const letIn = origins.filter((_, index) => verdicts[index]).map((origin) => origin ?? 'no origin')
      test(`${name}, Sec-Fetch-Site ${site ?? 'absent'}: lets in ${letIn.join(', ') || 'nobody'}`, async () => {
        for (const [index, origin] of origins.entries()) {
          const live = await signInTwice(served.origin)
          served.events.length = 0
          const sent = route.send(live)
          const headers = {
            ...sent.headers,
            ...(site && { 'sec-fetch-site': site }),
            ...(origin && { origin: origin === 'own' ? served.origin : origin }),
          }
          const answer = await call(served.origin, route.line.replace(':id', live.otherId), { ...sent, headers })
          if (verdicts[index]) {
            assert.equal(answer.status, route.status, `origin ${origin}: ${answer.text}`)
            assert.notEqual(served.events.length, 0)
          } else {
            assertRefused(answer, 403, 'ERR_ORIGIN_REFUSED', 'access_denied')
            assert.deepEqual(served.events, [], `origin ${origin}: something happened`)
            assert.equal((await refreshCookie(served.origin, live.cookie)).status, 200)
            assert.equal((await refreshBody(served.origin, live.token)).status, 200)
          }
        }
        assert.deepEqual(served.errors, [])
      })
    }
  }

  test('reading is not refused: it needs an access token, and another site’s page cannot read the answer', async () => {
    const { access } = await signInTwice(served.origin)
    for (const site of sites) {
      for (const origin of origins) {
        const headers = {
          ...bearer(access),
          ...(site && { 'sec-fetch-site': site }),
          ...(origin && { origin: origin === 'own' ? served.origin : origin }),
        }
        const answer = await call(served.origin, 'GET /auth/sessions', { headers })
        assert.equal(answer.status, 200)
        assert.equal(answer.headers['access-control-allow-origin'], origin === allowed ? allowed : undefined)
        assert.equal((await call(served.origin, 'GET /.well-known/jwks.json', { headers })).status, 200)
      }
    }
  })

  test('pages that are not http are let in where they are listed, to the letter', async (t) => {
    const pages = [
      'https://localhost',
      'http://tauri.localhost',
      'https://tauri.localhost',
      'capacitor://localhost',
      'ionic://localhost',
      'tauri://localhost',
      'app://bundle',
      'app://bundle:8080',
      'chrome-extension://abcdefghijklmnopabcdefghijklmnop',
      'moz-extension://8b0f6d8c-7c0a-4b6e-9d7d-2f1f6d4c9e11',
      'safari-web-extension://8B0F6D8C-7C0A-4B6E-9D7D-2F1F6D4C9E11',
    ]
    const served = await serve(t, {}, { origins: pages, cookie: { sameSite: 'none' } })
    const other = await serve(t)
    const login = (origin: string, page: string, site: string, transport: string) =>
      call(origin, 'POST /auth/login', {
        json: { name: 'ada', password, transport },
        headers: { origin: page, 'sec-fetch-site': site },
      })
    for (const page of pages) {
      for (const site of ['cross-site', 'none']) {
        for (const transport of ['body', 'cookie']) {
          const answer = await login(served.origin, page, site, transport)
          assert.equal(answer.status, 200, page)
          assert.equal(answer.headers['access-control-allow-origin'], page)
          assertRefused(await login(other.origin, page, site, transport), 403, 'ERR_ORIGIN_REFUSED')
          for (const near of [`${page}x`, `${page}/`, page.replace('://', '://x.'), page.replace(':', 'x:')]) {
            assertRefused(await login(served.origin, near, site, transport), 403, 'ERR_ORIGIN_REFUSED')
          }
        }
      }
      const headers = { origin: page, 'access-control-request-method': 'POST' }
      assert.equal((await call(served.origin, 'OPTIONS /auth/refresh', { headers })).status, 204)
    }
  })

  test('the own origin is scheme, host and port: none of its neighbours is taken for it', async () => {
    const { port } = served
    const neighbours = [
      `https://127.0.0.1:${port}`,
      'http://127.0.0.1',
      `http://127.0.0.1:${port + 1}`,
      `http://localhost:${port}`,
      `http://127.0.0.1:${port}.evil.test`,
      `http://127.0.0.1:${port}/`,
      `http://evil.test/http://127.0.0.1:${port}`,
      `http://ada@127.0.0.1:${port}`,
    ]
    const { cookie } = await signInTwice(served.origin)
    for (const origin of neighbours) {
      const answer = await call(served.origin, 'POST /auth/refresh', { headers: { cookie, origin } })
      assertRefused(answer, 403, 'ERR_ORIGIN_REFUSED')
    }
  })

  test('a form of a page that hides itself from an old browser’s check: the rejection and the warning say what to change', async (t) => {
    const warnings: Warning[] = []
    const { origin } = await serve(t, {}, { onWarning: (warning) => void warnings.push(warning) })
    const answer = await call(origin, 'POST /auth/logout', { headers: { origin: 'null' } })
    assertRefused(answer, 403, 'ERR_ORIGIN_REFUSED', 'access_denied')
    for (const { message } of [answer.json, ...warnings]) assert.match(message, /`Referrer-Policy: same-origin`/)
    assert.equal(warnings.length, 1)
    // A browser that says more: a sandboxed frame, which no policy helps.
    const framed = await call(origin, 'POST /auth/logout', {
      headers: { origin: 'null', 'sec-fetch-site': 'cross-site' },
    })
    assertRefused(framed, 403, 'ERR_ORIGIN_REFUSED', 'access_denied')
    assert.doesNotMatch(framed.json.message, /Referrer-Policy/)
  })

  test('an allowed origin is exact: none of its neighbours is let in', async () => {
    const neighbours = [
      'http://app.test',
      'https://app.test:8443',
      'https://app.test/',
      'https://app.test.evil.test',
      'https://evilapp.test',
      'https://sub.app.test',
      'HTTPS://APP.TEST',
      '*',
    ]
    const { cookie } = await signInTwice(served.origin)
    for (const origin of neighbours) {
      for (const site of ['cross-site', 'same-site', undefined]) {
        const headers = { cookie, origin, ...(site && { 'sec-fetch-site': site }) }
        const answer = await call(served.origin, 'POST /auth/refresh', { headers })
        assertRefused(answer, 403, 'ERR_ORIGIN_REFUSED')
        assert.equal(answer.headers['access-control-allow-origin'], undefined)
      }
    }
    const headers = { cookie, origin: 'https://app.test, https://evil.test' }
    const two = await call(served.origin, 'POST /auth/refresh', { headers })
    assertRefused(two, 400, 'ERR_REQUEST_INVALID')
    assert.equal(two.headers['access-control-allow-origin'], undefined)
  })
})

describe('sign-in and sign-out CSRF', () => {
  /** How a page of another site makes a browser post, new and old ones. */
  const attacks: Record<string, Record<string, string>> = {
    'a form of another site': { 'sec-fetch-site': 'cross-site', origin: 'https://evil.test' },
    'a form of another host of this site': { 'sec-fetch-site': 'same-site', origin: 'https://blog.127.0.0.1' },
    'a form in a sandboxed frame': { 'sec-fetch-site': 'cross-site', origin: 'null' },
    'a page that hides its referrer': { 'sec-fetch-site': 'cross-site' },
    'an old browser': { origin: 'https://evil.test' },
    'an old browser and a sandboxed frame': { origin: 'null' },
  }
  const form = 'application/x-www-form-urlencoded'
  const bodies: Record<string, Sent> = {
    'as a form can, urlencoded': { body: `name=mallory&password=${password}`, headers: { 'content-type': form } },
    'as a form can, text/plain': {
      body: `{"name":"mallory","password":"${password}"}`,
      headers: { 'content-type': 'text/plain' },
    },
    'as JSON': { json: { name: 'mallory', password } },
    'without a body': {},
  }

  for (const [name, attack] of Object.entries(attacks)) {
    test(`${name} signs nobody in as somebody else: 403, and the cookie is untouched`, async (t) => {
      const { origin, events, errors } = await serve(t)
      const victim = await signInCookie(origin)
      for (const { headers, ...body } of Object.values(bodies)) {
        for (const cookie of [undefined, victim.cookie!]) {
          const all = { ...headers, ...attack, ...(cookie && { cookie }) }
          assertRefused(await call(origin, 'POST /auth/login', { ...body, headers: all }), 403, 'ERR_ORIGIN_REFUSED')
        }
      }
      assert.equal((await refreshCookie(origin, victim.cookie!)).status, 200)
      assert.equal(events.filter((event) => event.subject === 'mallory').length, 0)
      assert.deepEqual(errors, [])
    })

    test(`${name} signs nobody out: 403, and the cookie is untouched`, async (t) => {
      const { origin, errors } = await serve(t)
      const victim = await signInCookie(origin)
      for (const { headers, ...body } of Object.values(bodies)) {
        // Without the cookie too: that is what SameSite leaves, and an answer could still take the cookie away.
        for (const cookie of [undefined, victim.cookie!]) {
          const all = { ...headers, ...attack, ...(cookie && { cookie }) }
          assertRefused(await call(origin, 'POST /auth/logout', { ...body, headers: all }), 403, 'ERR_ORIGIN_REFUSED')
        }
      }
      assert.equal((await refreshCookie(origin, victim.cookie!)).status, 200)
      assert.deepEqual(errors, [])
    })
  }

  test('the cookie before ours is a cookie as well: who says nothing of itself is refused with it', async (t) => {
    const { origin } = await serve(t, {}, { cookie: { oldName: 'jwt' } })
    for (const line of ['POST /auth/refresh', 'POST /auth/logout']) {
      assertRefused(await call(origin, line, { headers: { cookie: 'jwt=old' } }), 403, 'ERR_ORIGIN_REFUSED')
    }
  })
})

describe('CORS', () => {
  const preflight = (origin: string, from: string, path = '/auth/refresh') =>
    call(origin, `OPTIONS ${path}`, {
      headers: {
        origin: from,
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'content-type,idempotency-key',
      },
    })
  const corsHeaders = (answer: Answer) =>
    Object.keys(answer.headers).filter((name) => name.startsWith('access-control'))

  test('a preflight of an allowed page: 204 with what it may do', async (t) => {
    const { origin } = await serve(t, {}, { origins: ['https://other.test', allowed] })
    for (const [path, methods] of [
      ['/auth/refresh', 'POST'],
      ['/auth/login', 'POST'],
      ['/auth/logout', 'POST'],
      ['/auth/sessions', 'GET, DELETE'],
      ['/auth/sessions/AAAA', 'PATCH, DELETE'],
    ] as const) {
      const answer = await preflight(origin, allowed, path)
      assert.equal(answer.status, 204)
      assert.equal(answer.headers['access-control-allow-origin'], allowed)
      assert.equal(answer.headers['access-control-allow-credentials'], 'true')
      assert.equal(answer.headers['access-control-allow-methods'], methods)
      assert.equal(answer.headers['access-control-allow-headers'], 'Authorization, Content-Type, Idempotency-Key')
      assert.equal(answer.headers['access-control-max-age'], '600')
      assert.equal(answer.headers.vary, 'Origin')
    }
  })

  test('a preflight of any other page: 405, no CORS header, but Vary', async (t) => {
    const { origin } = await serve(t, {}, { origins: [allowed] })
    for (const from of ['https://evil.test', 'null', 'https://app.test.evil.test', '*']) {
      const answer = await preflight(origin, from)
      assertRefused(answer, 405, 'ERR_METHOD_NOT_ALLOWED')
      assert.deepEqual(corsHeaders(answer), [])
      assert.equal(answer.headers.vary, 'Origin')
    }
  })

  test('an allowed page may read every answer, refusals and their headers included', async (t) => {
    const { origin } = await serve(t, {}, { origins: [allowed] })
    const from = { origin: allowed, 'sec-fetch-site': 'cross-site' }
    const login = await call(origin, 'POST /auth/login', { json: { name: 'ada', password }, headers: from })
    const answers = [
      login,
      await call(origin, 'POST /auth/refresh', { headers: { ...from, cookie: login.cookie! } }),
      await call(origin, 'POST /auth/refresh', { headers: from }),
      await call(origin, 'POST /auth/refresh', { body: 'x', headers: from }),
      await call(origin, 'PUT /auth/refresh', { headers: from }),
      await call(origin, 'GET /auth/sessions', { headers: from }),
      await call(origin, 'POST /auth/logout', { headers: { ...from, cookie: login.cookie! } }),
    ]
    assert.deepEqual(
      answers.map((answer) => answer.status),
      [200, 200, 401, 415, 405, 401, 204],
    )
    for (const answer of answers) {
      assert.equal(answer.headers['access-control-allow-origin'], allowed)
      assert.equal(answer.headers['access-control-allow-credentials'], 'true')
      assert.equal(answer.headers['access-control-expose-headers'], 'Retry-After, WWW-Authenticate')
      assert.equal(answer.headers.vary, 'Origin')
      assert.equal(answer.headers['cache-control'], 'no-store')
    }
  })

  test('other requests cause no warning, whatever the origin says', async (t) => {
    const { origin } = await serve(t, {}, { origins: [allowed] })
    for (const from of ['https://evil.test', 'null', 'https://evil.test\thttps://app.test', undefined]) {
      const answer = await call(origin, 'GET /auth/sessions', from === undefined ? {} : { headers: { origin: from } })
      assert.deepEqual(corsHeaders(answer), [])
      assert.equal(answer.headers.vary, 'Origin', 'a cache must not give one page what another got')
      assert.equal(answer.text.includes('evil'), false)
    }
  })

  test('without `origins` there is no CORS at all', async (t) => {
    const { origin } = await serve(t)
    const answer = await preflight(origin, allowed)
    assertRefused(answer, 405, 'ERR_METHOD_NOT_ALLOWED')
    assert.deepEqual(corsHeaders(answer), [])
    assert.equal(answer.headers.vary, undefined)
    assertRefused(
      await call(origin, 'POST /auth/login', { json: { name: 'ada', password }, headers: { origin: allowed } }),
      403,
      'ERR_ORIGIN_REFUSED',
    )
  })

  test('a preflight of somebody else’s address stays the app’s', async (t) => {
    const { origin } = await serve(t, {}, { origins: [allowed] })
    assert.equal((await preflight(origin, allowed, '/elsewhere')).json.code, 'APP_NOT_FOUND')
  })

  test('`origins` takes exact origins alone: no pattern, no path, no null', () => {
    const { auth } = makeDaypass()
    const wrong = [
      '*',
      'null',
      'app.test',
      'https://app.test/',
      'https://app.test/x',
      'https://*.test',
      'HTTPS://app.test',
    ]
    const foreign = [
      'file://',
      'capacitor://',
      'capacitor:localhost',
      'app://bundle/',
      'app://ada@bundle',
      'APP://bundle',
    ]
    const spelled = [
      'app://bundle?x',
      'app://bundle#x',
      'chrome-extension://*',
      'data:x',
      'about:blank',
      'blob:https://a.test',
    ]
    const others = ['https://app.test:443', '', 'https://ada@app.test', 'file:///x']
    for (const origin of [...wrong, ...foreign, ...spelled, ...others]) {
      assert.throws(() => createFetchAuth(auth, { origins: [origin] }), { code: 'ERR_OPTION_INVALID' }, origin)
    }
  })

  test('the page of the server itself needs no CORS', async (t) => {
    const { origin } = await serve(t, {}, { origins: [allowed] })
    const answer = await call(origin, 'POST /auth/login', {
      json: { name: 'ada', password },
      headers: { ...ownPage, origin },
    })
    assert.equal(answer.status, 200)
    assert.deepEqual(corsHeaders(answer), [])
  })
})
