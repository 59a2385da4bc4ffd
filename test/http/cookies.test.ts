// The refresh token's cookie: its attributes over each kind of connection, and when it is cleared.

import assert from 'node:assert/strict'
import type { IncomingMessage } from 'node:http'
import { createServer as createTlsServer, request as tlsRequest } from 'node:https'
import type { AddressInfo } from 'node:net'
import { describe, type TestContext, test } from 'node:test'
import { createNodeAuth, type NodeOptions } from '../../src/adapters/node.ts'
import { createCookie } from '../../src/http/cookies.ts'
import type { HttpRequest } from '../../src/http/request.ts'
import { type Daypass, DaypassError, type DaypassOptions, type Store } from '../../src/index.ts'
import { createMemoryStore } from '../../src/stores/memory.ts'
import { type Start, startFetch, startNode } from '../adapters/apps.ts'
import {
  type Answer,
  authenticate,
  call,
  makeDaypass,
  newKey,
  ownPage,
  password,
  type Role,
  refreshBody,
  refreshCookie,
  type Sent,
  serve,
  signInBody,
  signInCookie,
} from './server.ts'

/** A Set-Cookie, taken apart. */
function readSetCookie({ setCookie }: Answer) {
  assert.ok(setCookie, 'no Set-Cookie')
  const [pair = '', ...attributes] = setCookie.split('; ')
  const at = pair.indexOf('=')
  return { name: pair.slice(0, at), value: pair.slice(at + 1), attributes, setCookie }
}

const everyPage = ['https://app.test', 'http://192.168.0.10:3000', 'http://127.0.0.1:5173', 'https://localhost:3000']

/** Serves an app to callers whose address is what X-Test-Peer says. */
async function startAs(t: TestContext, start: Start, auth: Daypass<Role>) {
  const app = await start(auth, { authenticate, origins: everyPage, onWarning: () => {} })
  t.after(() => app.close())
  app.server.prependListener('request', (req: IncomingMessage) => {
    Object.defineProperty(req.socket, 'remoteAddress', { value: req.headers['x-test-peer'] || undefined })
  })
  return app
}

const loginAt = (origin: string, headers: Sent['headers'] = {}) =>
  call(origin, 'POST /auth/login', { json: { name: 'ada', password }, headers: { ...ownPage, ...headers } })

describe('the cookie', () => {
  test('is __Host-, HttpOnly, Secure, SameSite=Strict, Path=/, without Domain, as old as the session may idle', async (t) => {
    const { origin } = await serve(t, { idleTimeout: 3600 })
    const { name, value, attributes } = readSetCookie(await loginAt(origin, { host: 'app.test' }))
    assert.equal(name, '__Host-daypass')
    assert.match(value, /^dpr_[\w-]{83}$/)
    assert.deepEqual(attributes, ['Path=/', 'Max-Age=3600', 'HttpOnly', 'SameSite=Strict', 'Secure'])
  })

  test('is set alike by every refresh, and is far below 4096 bytes', async (t) => {
    const { origin } = await serve(t, {}, { cookie: { name: 'n'.repeat(64) } })
    const headers = { ...ownPage, host: 'app.test' }
    let answer = await loginAt(origin, headers)
    for (let turn = 0; turn < 3; turn++) {
      answer = await call(origin, 'POST /auth/refresh', { headers: { ...headers, cookie: answer.cookie! } })
      const { attributes, setCookie } = readSetCookie(answer)
      assert.deepEqual(attributes, ['Path=/', 'Max-Age=604800', 'HttpOnly', 'SameSite=Strict', 'Secure'])
      assert.ok(Buffer.byteLength(setCookie) <= 512)
      assert.equal(answer.headers['cache-control'], 'no-store', 'a cache that kept it would give it to others')
    }
  })

  test('never outlives the session’s absolute end', async (t) => {
    const { origin, time } = await serve(t, { idleTimeout: 3600, absoluteTimeout: 5400 })
    const first = await loginAt(origin)
    time.offset += 3_000_000
    const second = await refreshCookie(origin, first.cookie!)
    const maxAge = Number(/Max-Age=(\d+)/.exec(second.setCookie!)![1])
    assert.ok(maxAge <= 2400 && maxAge >= 2390, `${maxAge}`)
  })

  test('has the name and SameSite that the app chose, and nothing else to choose', async (t) => {
    for (const [sameSite, text] of [
      ['lax', 'SameSite=Lax'],
      ['none', 'SameSite=None'],
      ['strict', 'SameSite=Strict'],
    ] as const) {
      const { origin } = await serve(t, {}, { cookie: { name: 'my-app', sameSite } })
      const { name, attributes } = readSetCookie(await loginAt(origin, { host: 'app.test' }))
      assert.equal(name, '__Host-my-app')
      assert.ok(attributes.includes(text))
      assert.ok(attributes.includes('Secure'))
    }
    const { auth } = makeDaypass()
    for (const cookie of [
      { name: 'a b' },
      { name: '' },
      { name: 'a;b' },
      { name: 'a=b' },
      { name: '__Host-daypass' },
      { name: '__Secure-daypass' },
      { sameSite: 'Strict' as 'strict' },
    ]) {
      assert.throws(() => createNodeAuth(auth, { cookie }), { code: 'ERR_OPTION_INVALID' })
    }
  })

  test('over plain http on this machine, and nowhere else, has no prefix and no Secure', async (t) => {
    const { origin } = await serve(t)
    const here = ['localhost', 'localhost:3000', 'LOCALHOST:3000', '127.0.0.1', '127.0.0.1:8080', '[::1]', '[::1]:3000']
    for (const host of here) {
      const { name, attributes } = readSetCookie(await loginAt(origin, { host }))
      assert.equal(name, `daypass-${/:(\d+)$/.exec(host)?.[1] ?? 80}`, host)
      assert.deepEqual(attributes, ['Path=/', 'Max-Age=604800', 'HttpOnly', 'SameSite=Strict'], host)
    }
    const elsewhere = [
      'app.test',
      'localhost.evil.test',
      '127.0.0.1.evil.test',
      'xlocalhost',
      'app.localhost:3000',
      '0.0.0.0:3000',
      '127.0.0.2:3000',
      '192.168.0.10:3000',
      '[::2]:3000',
      '[::ffff:127.0.0.1]',
      'localhost:3000:80',
      'evil.test:127.0.0.1',
    ]
    for (const host of elsewhere) {
      const { name, attributes } = readSetCookie(await loginAt(origin, { host }))
      assert.equal(name, '__Host-daypass', host)
      assert.ok(attributes.includes('Secure'), host)
    }
  })

  /** Each line alone takes the plain cookie away: what is said of the caller, the Host and the page. */
  const notAllHere: Record<string, { peer?: string; headers?: Record<string, string>; host?: string }> = {
    'a caller of this network': { peer: '192.168.0.7' },
    'a caller of this network, over IPv6': { peer: 'fd00::7' },
    'a caller that has no address': { peer: '' },
    'the Host of this network': { host: '192.168.0.10:3000' },
    'a page over TLS': { headers: { origin: 'https://localhost:3000' } },
    'a page of the internet': { headers: { origin: 'https://app.test' } },
    'a page of this network over plain http': { headers: { origin: 'http://192.168.0.10:3000' } },
    'a page whose host only begins so': { headers: { origin: 'http://localhost.evil.test' } },
    'X-Forwarded-For': { headers: { 'x-forwarded-for': '127.0.0.1' } },
    'X-Forwarded-Proto': { headers: { 'x-forwarded-proto': 'http' } },
    'X-Forwarded-Host': { headers: { 'x-forwarded-host': 'localhost' } },
    'X-Forwarded-Port': { headers: { 'x-forwarded-port': '443' } },
    'X-Forwarded-Server': { headers: { 'x-forwarded-server': 'apache' } },
    'X-Real-IP': { headers: { 'x-real-ip': '203.0.113.9' } },
    Forwarded: { headers: { forwarded: 'for=203.0.113.9' } },
    Via: { headers: { via: '1.1 proxy' } },
  }
  for (const [adapter, start] of Object.entries({ 'node:http': startNode, fetch: startFetch })) {
    test(`loses its prefix over ${adapter} only where the caller, the Host and the page are on this machine`, async (t) => {
      const { auth } = makeDaypass()
      const { origin } = await startAs(t, start, auth)
      const login = ({ peer = '::1', headers = {}, host = 'localhost:3000' }: (typeof notAllHere)[string]) =>
        loginAt(origin, { host, 'x-test-peer': peer, ...headers })
      for (const page of [undefined, 'http://localhost:3000', 'http://127.0.0.1:5173']) {
        const headers: Record<string, string> = page === undefined ? {} : { origin: page }
        for (const peer of ['::1', '127.0.0.1', '::ffff:127.0.0.1', '127.3.2.1']) {
          const { setCookie } = await login({ peer, headers })
          assert.match(setCookie!, /^daypass-3000=dpr_.*; SameSite=Strict$/, `${peer} ${JSON.stringify(headers)}`)
        }
      }
      for (const [name, sent] of Object.entries(notAllHere)) {
        assert.match((await login(sent)).setCookie!, /^__Host-daypass=dpr_.*; Secure$/, name)
      }
    })
  }

  /** The headers of browsers for pages that call `localhost:3000`. A proxy on this machine sends that Host for any site. */
  const pages: [isHere: boolean, headers: Record<string, string>][] = [
    [true, { origin: 'http://localhost:3000' }],
    [true, { origin: 'http://localhost:3000', 'sec-fetch-site': 'same-origin' }],
    [true, { origin: 'http://localhost:5173', 'sec-fetch-site': 'same-origin' }],
    [true, { origin: 'http://localhost:5173', 'sec-fetch-site': 'same-site' }],
    [true, { 'sec-fetch-site': 'same-origin' }],
    [false, { origin: 'http://localhost:5173' }],
    [false, { origin: 'http://127.0.0.1:3000' }],
    [false, { origin: 'https://localhost:3000' }],
    [false, { origin: 'http://localhost:3000', 'sec-fetch-site': 'cross-site' }],
    [false, { origin: 'http://localhost', 'sec-fetch-site': 'cross-site' }],
    [false, { origin: 'http://localhost:5173', 'sec-fetch-site': 'cross-site' }],
    [false, { origin: 'http://localhost:5173', 'sec-fetch-site': 'none' }],
    ...['capacitor://localhost', 'ionic://localhost', 'tauri://localhost'].flatMap((origin) =>
      ['cross-site', 'same-site', 'same-origin', undefined].map((site): (typeof pages)[number] => [
        false,
        { origin, ...(site && { 'sec-fetch-site': site }) },
      ]),
    ),
    [false, { referer: 'https://app.test/login', 'sec-fetch-site': 'same-origin' }],
    [true, { referer: 'http://localhost:5173/login', 'sec-fetch-site': 'same-origin' }],
  ]
  for (const [adapter, start] of Object.entries({ 'node:http': startNode, fetch: startFetch })) {
    test(`is plain over ${adapter} only where the browser called this machine over plain http, whatever origins are listed`, async (t) => {
      const { auth } = makeDaypass()
      const origins = pages.flatMap(([, { origin }]) => origin ?? [])
      const app = await start(auth, { authenticate, origins, onWarning: () => {} })
      t.after(() => app.close())
      for (const [isHere, headers] of pages) {
        const sent = { host: 'localhost:3000', ...headers }
        const answer = await call(app.origin, 'POST /auth/login', { json: { name: 'ada', password }, headers: sent })
        const { name, attributes } = readSetCookie(answer)
        const expected = isHere ? ['daypass-3000', false] : ['__Host-daypass', true]
        assert.deepEqual([name, attributes.includes('Secure')], expected, JSON.stringify(headers))
      }
    })
  }

  test('a program that is no browser never gets the plain one', async (t) => {
    const { origin } = await serve(t)
    const login = await call(origin, 'POST /auth/login', { json: { name: 'ada', password, transport: 'body' } })
    assert.equal(login.setCookie, undefined)
    const request = { headers: () => [], host: 'localhost:3000', secure: false, local: true } as unknown as HttpRequest
    assert.match(createCookie().set(request, 'token', 60)[0]!, /^__Host-daypass=token.*; Secure$/)
  })

  test('on another host the name without prefix is not read: no page in plain text can plant one', async (t) => {
    const { origin } = await serve(t)
    const { cookie } = await loginAt(origin)
    const headers = { ...ownPage, cookie: cookie!, host: 'app.test' }
    const answer = await call(origin, 'POST /auth/refresh', { headers })
    assert.equal(answer.json.code, 'ERR_REFRESH_TOKEN_MISSING')
  })

  test('over TLS is __Host- and Secure on localhost too', async (t) => {
    const { auth } = makeDaypass()
    const web = createNodeAuth(auth, { authenticate })
    // A pre-shared key instead of a certificate: TLS all the same, and no private key in the repository.
    const psk = Buffer.alloc(16, 7)
    const tls = { ciphers: 'PSK', maxVersion: 'TLSv1.2' } as const
    const server = createTlsServer(
      { ...tls, pskCallback: () => psk },
      async (req, res) => void (await web.routes(req, res)),
    )
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    t.after(() => server.close().closeAllConnections())
    const post = (path: string, headers: Record<string, string>, body = '') =>
      new Promise<string>((resolve, reject) => {
        const options = {
          ...tls,
          pskCallback: () => ({ psk, identity: 'test' }),
          checkServerIdentity: () => undefined,
          hostname: '127.0.0.1',
          port: (server.address() as AddressInfo).port,
          path,
          method: 'POST',
          agent: false as const,
          headers: {
            ...ownPage,
            'content-type': 'application/json',
            'content-length': Buffer.byteLength(body),
            ...headers,
          },
        }
        const req = tlsRequest(options, (res) => {
          res.resume().once('end', () => resolve(`${res.statusCode} ${res.headers['set-cookie']}`))
        })
        req.once('error', reject)
        req.end(body)
      })
    const login = await post('/auth/login', {}, JSON.stringify({ name: 'ada', password }))
    assert.match(login, /^200 __Host-daypass=dpr_[^;]+; Path=\/; Max-Age=604800; HttpOnly; SameSite=Strict; Secure$/)
    const cookie = login.slice(4).split(';', 1)[0]!
    assert.match(await post('/auth/refresh', { cookie }), /^200 __Host-daypass=dpr_/)
  })
})

describe('the cookie of a sign-in from another site', () => {
  const arrive = (origin: string, headers: Sent['headers'], method = 'GET') =>
    call(origin, `${method} /arrival?options={"redirect":"/","crossSitePost":true}`, { headers: headers ?? {} })
  const page = { 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' }
  const local = { host: 'localhost:3000' }
  /** What a proxy on this machine that changes the Host may pass on from an https page, too. */
  const unclear: [Sent['headers'], string?][] = [
    [{ ...page, 'sec-fetch-site': 'cross-site' }],
    [{ ...page, 'sec-fetch-site': 'cross-site', referer: 'https://idp.test/' }],
    [{ ...page, 'sec-fetch-site': 'cross-site', referer: 'http://127.0.0.1:4000/' }],
    [{ ...page, 'sec-fetch-site': 'none' }],
    [{ ...page, 'sec-fetch-site': 'same-origin' }],
    [{}],
    [{ ...page, 'sec-fetch-site': 'cross-site', origin: 'https://idp.test' }, 'POST'],
    [{ ...page, 'sec-fetch-site': 'cross-site', origin: 'null' }, 'POST'],
  ]

  /** Forms of the own page with `Referrer-Policy: no-referrer`, as Chromium and Safari send them, and without an Origin. */
  const hiddenForms: Record<string, string>[] = [
    { ...page, 'sec-fetch-site': 'same-origin', origin: 'null' },
    { ...page, 'sec-fetch-site': 'same-origin' },
    { 'sec-fetch-site': 'same-origin', 'sec-fetch-mode': 'no-cors', 'sec-fetch-dest': 'empty', origin: 'null' },
  ]

  test('over plain http on this machine is a Secure one of its own, until the next refresh trades it', async (t) => {
    const { auth } = makeDaypass()
    const app = await startNode(auth, {})
    t.after(() => app.close())
    for (const [headers, method] of unclear) {
      const arrival = readSetCookie(await arrive(app.origin, { ...local, ...headers }, method))
      assert.equal(arrival.name, '__Host-daypass.3000', JSON.stringify(headers))
      assert.deepEqual(arrival.attributes, ['Path=/', 'Max-Age=604800', 'HttpOnly', 'SameSite=Strict', 'Secure'])
      const cookie = `${arrival.name}=${arrival.value}`
      // Before the refresh, a rendered page reads it, by whatever way the browser came.
      for (const read of [...unclear.map(([headers]) => headers), { ...ownPage, referer: 'http://localhost:3000/' }]) {
        const rendered = await call(app.origin, 'GET /page', { headers: { ...local, ...read, cookie } })
        assert.equal(rendered.json.subject, 'ada')
      }
      const refreshed = await call(app.origin, 'POST /auth/refresh', {
        headers: { ...local, ...ownPage, origin: 'http://localhost:3000', cookie },
      })
      const [usual, cleared] = refreshed.headers['set-cookie']!
      assert.match(usual!, /^daypass-3000=dpr_[^;]+; Path=\/; Max-Age=604800; HttpOnly; SameSite=Strict$/)
      assert.equal(cleared, '__Host-daypass.3000=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict; Secure')
    }
  })

  test('counts before an older one, ends its session, and is cleared with it', async (t) => {
    const { auth } = makeDaypass()
    const app = await startNode(auth, { authenticate })
    t.after(() => app.close())
    const home = { ...local, ...ownPage, origin: 'http://localhost:3000' }
    const old = await call(app.origin, 'POST /auth/login', { json: { name: 'bob', password }, headers: home })
    assert.match(old.cookie!, /^daypass-3000=/)
    // SameSite=Lax: the browser sends the old cookie with the callback.
    const headers = { ...local, ...page, 'sec-fetch-site': 'cross-site', cookie: old.cookie! }
    const arrival = await arrive(app.origin, headers)
    assert.deepEqual(await auth.sessions('bob'), [])
    const both = `${old.cookie}; ${arrival.cookie}`
    const rendered = await call(app.origin, 'GET /page', { headers: { ...local, ...ownPage, cookie: both } })
    assert.equal(rendered.json.subject, 'ada')
    const logout = await call(app.origin, 'POST /auth/logout', { headers: { ...home, cookie: both } })
    assert.deepEqual(logout.headers['set-cookie']!.map((line) => line.split(' ')[0]).sort(), [
      '__Host-daypass.3000=;',
      'daypass-3000=;',
    ])
    assert.deepEqual(await auth.sessions('ada'), [])
  })

  test('behind a proxy that changes the Host to this machine, it is traded for the __Host- one', async (t) => {
    const { auth } = makeDaypass()
    const app = await startNode(auth, { origins: ['https://app.test'], onWarning: () => {} })
    t.after(() => app.close())
    for (const [headers, method] of unclear) {
      const { cookie } = await arrive(app.origin, { ...local, ...headers }, method)
      const refreshed = await call(app.origin, 'POST /auth/refresh', {
        headers: { ...local, ...ownPage, origin: 'https://app.test', cookie: cookie! },
      })
      assert.equal(refreshed.status, 200)
      assert.match(refreshed.setCookie!, /^__Host-daypass=dpr_.*; Secure$/)
    }
  })

  test('and of a form whose page hides itself is the same one, and the next call of the page’s client finds it', async (t) => {
    const { auth } = makeDaypass()
    for (const start of [startNode, startFetch]) {
      const app = await start(auth, {})
      t.after(() => app.close())
      for (const hidden of hiddenForms) {
        const arrival = await arrive(app.origin, { ...local, ...hidden }, 'POST')
        assert.match(arrival.setCookie!, /^__Host-daypass\.3000=dpr_.*; Secure$/, JSON.stringify(hidden))
        const refreshed = await call(app.origin, 'POST /auth/refresh', {
          headers: { ...local, ...ownPage, origin: 'http://localhost:3000', cookie: arrival.cookie! },
        })
        assert.equal(refreshed.status, 200)
        assert.match(refreshed.setCookie!, /^daypass-3000=dpr_/)
        // On another host it is the usual one, and on this machine never one without Secure.
        const away = await arrive(app.origin, { host: 'app.test', ...hidden }, 'POST')
        assert.equal(readSetCookie(away).name, '__Host-daypass')
      }
    }
  })

  test('a sign-out by any form or link of the own page ends every session that the browser holds, and clears its cookies', async (t) => {
    const home = { ...local, ...ownPage, origin: 'http://localhost:3000' }
    const byLink = { ...local, ...page, 'sec-fetch-site': 'same-origin' }
    const roads: [line: string, headers: Record<string, string>][] = [
      ...hiddenForms.map((hidden): (typeof roads)[number] => [
        'POST /departure?options={"redirect":"/"}',
        { ...local, ...hidden },
      ]),
      ['POST /departure?options={"redirect":"/"}', home],
      ['GET /departure?options={"redirect":"/"}', byLink],
      ['POST /own-logout', home],
      ['POST /auth/logout', home],
    ]
    for (const [line, headers] of roads) {
      const { auth } = makeDaypass()
      const app = await startNode(auth, { authenticate })
      t.after(() => app.close())
      const usual = await call(app.origin, 'POST /auth/login', { json: { name: 'ada', password }, headers: home })
      // A strict cookie does not come with a callback, so its session is not replaced.
      const arrival = await arrive(app.origin, { ...local, ...page, 'sec-fetch-site': 'cross-site' })
      for (const cookies of [[usual], [arrival], [usual, arrival]]) {
        const cookie = cookies.map(({ cookie }) => cookie).join('; ')
        const answer = await call(app.origin, line, { headers: { ...headers, cookie } })
        assert.ok(answer.status < 400, answer.text)
        const cleared = answer.headers['set-cookie']!.filter((text) => /=; .*Max-Age=0/.test(text)).map(
          (text) => text.split('=')[0],
        )
        for (const { cookie } of cookies) assert.ok(cleared.includes(cookie!.split('=')[0]!), `${line} ${cleared}`)
      }
      assert.deepEqual(await auth.sessions('ada'), [], line)
    }
  })

  test('on any other host is the usual one', async (t) => {
    const { auth } = makeDaypass()
    const app = await startNode(auth, {})
    t.after(() => app.close())
    for (const [headers, method] of unclear) {
      const { name } = readSetCookie(await arrive(app.origin, { host: 'app.test', ...headers }, method))
      assert.equal(name, '__Host-daypass')
    }
  })
})

describe('a cookie for the hosts of a domain', () => {
  const cookie = { domain: 'example.test' }

  test('is __Secure- with Domain, is read back, and is cleared with the same Domain', async (t) => {
    const warnings: string[] = []
    const { origin } = await serve(t, {}, { cookie, onWarning: ({ code }) => warnings.push(code) })
    for (const host of ['api.example.test', 'example.test', 'API.Example.TEST:8443', 'a.b.example.test']) {
      const login = await loginAt(origin, { host })
      const { name, attributes } = readSetCookie(login)
      assert.equal(name, '__Secure-daypass')
      const expected = ['HttpOnly', 'SameSite=Strict', 'Secure', 'Domain=example.test']
      assert.deepEqual(attributes, ['Path=/', 'Max-Age=604800', ...expected])
      const headers = { ...ownPage, host, cookie: login.cookie! }
      assert.equal((await call(origin, 'POST /auth/refresh', { headers })).status, 200)
      const logout = await call(origin, 'POST /auth/logout', { headers })
      assert.equal(logout.setCookie, `__Secure-daypass=; Path=/; Max-Age=0; ${expected.join('; ')}`)
    }
    assert.deepEqual(warnings, [])
  })

  test('on this machine, in development, has no Domain', async (t) => {
    const warnings: string[] = []
    const { origin } = await serve(t, {}, { cookie, onWarning: ({ code }) => warnings.push(code) })
    const { setCookie } = readSetCookie(await loginAt(origin, { host: 'localhost:3000' }))
    assert.match(setCookie, /^daypass-3000=dpr_[^;]+; Path=\/; Max-Age=604800; HttpOnly; SameSite=Strict$/)
    assert.deepEqual(warnings, [])
  })

  test('for a host that is not under the domain: a warning that names both', async (t) => {
    for (const host of ['example.org', 'notexample.test', 'example.test.evil.test', '192.168.0.10:3000']) {
      const warnings: { code: string; message: string }[] = []
      const { origin } = await serve(t, {}, { cookie, onWarning: (warning) => warnings.push(warning) })
      assert.match((await loginAt(origin, { host })).setCookie!, /; Domain=example\.test$/)
      assert.deepEqual(
        warnings.map(({ code }) => code),
        ['DAYPASS_COOKIE_DOMAIN'],
        host,
      )
      assert.match(warnings[0]!.message, /example\.test/)
      assert.ok(warnings[0]!.message.includes(`"${host.split(':')[0]}"`))
    }
  })

  test('`domain` takes a domain alone', () => {
    const { auth } = makeDaypass()
    const wrong = ['', '.example.test', 'example.test.', 'Example.test', 'localhost', 'com', 'https://example.test']
    const others = [
      'example.test:443',
      'example.test/',
      '127.0.0.1',
      '0x7f.1',
      '[::1]',
      'a..b',
      'bücher.test',
      'a b.test',
    ]
    for (const domain of [...wrong, ...others, 'example.test; Path=/x', '*.example.test', 5 as never, null as never]) {
      assert.throws(() => createNodeAuth(auth, { cookie: { domain } }), { code: 'ERR_OPTION_INVALID' }, String(domain))
    }
  })
})

describe('two apps in one browser', () => {
  /** One browser's cookies of one host: of every port and, with `Path=/`, of every path. */
  function openBrowser(headers: Record<string, string> = {}) {
    const jar = new Map<string, string>()
    return async (origin: string, path: string, json?: object) => {
      const cookie = [...jar].map((pair) => pair.join('=')).join('; ')
      const sent = { ...ownPage, ...headers, ...(cookie && { cookie }) }
      const answer = await call(origin, `POST ${path}`, { headers: sent, ...(json && { json }) })
      if (answer.setCookie) {
        const { name, value } = readSetCookie(answer)
        if (value === '') jar.delete(name)
        else jar.set(name, value)
      }
      return answer
    }
  }
  const person = { name: 'ada', password }

  test('on two ports of this machine: neither signs the other out', async (t) => {
    const [one, two] = [await serve(t), await serve(t, { secret: 'the secret of another app, long enough for it' })]
    const post = openBrowser()
    for (const { origin } of [one, two]) assert.equal((await post(origin, '/auth/login', person)).status, 200)
    for (const { origin } of [one, two, one, two]) assert.equal((await post(origin, '/auth/refresh')).status, 200)
    assert.equal((await post(one.origin, '/auth/logout')).status, 204)
    assert.equal((await post(one.origin, '/auth/refresh')).status, 401)
    assert.equal((await post(two.origin, '/auth/refresh')).status, 200)
  })

  test('on one origin, under two base paths: neither signs the other out', async (t) => {
    const [one, two] = [
      await serve(t, {}, { basePath: '/shop/auth' }),
      await serve(t, { secret: 'the secret of another app, long enough for it' }, { basePath: '/blog/auth' }),
    ]
    const post = openBrowser({ host: 'app.test' })
    const first = await post(one.origin, '/shop/auth/login', person)
    assert.equal(readSetCookie(first).name, '__Host-daypass-shop-auth')
    assert.equal((await post(two.origin, '/blog/auth/login', person)).status, 200)
    for (let turn = 0; turn < 2; turn++) {
      assert.equal((await post(one.origin, '/shop/auth/refresh')).status, 200)
      assert.equal((await post(two.origin, '/blog/auth/refresh')).status, 200)
    }
  })

  test('no two base paths and ports have one cookie name', () => {
    const paths = ['/auth', '', '/', '/Auth', '/80', '/80/80', '/root', '/_root', '/-root', '/shop', '/shop_2dauth']
    for (const sign of '/-._~') paths.push(`/shop${sign}auth`, `/shop-${sign}auth`, `/shop${sign}-auth`)
    const names = new Map<string, string>()
    for (const path of new Set(paths.filter((path) => !/\/(\/|$)/.test(path)))) {
      for (const host of ['app.test', 'localhost', 'localhost:3000']) {
        const request = {
          host,
          secure: host === 'app.test',
          local: true,
          headers: (name: string) => (name === 'origin' ? [`http://${host}`] : []),
        } as unknown as HttpRequest
        const name = createCookie({}, path).set(request, 'token', 60)[0]!.split('=', 1)[0]!
        assert.match(name, /^[\w-]+$/)
        assert.equal(names.get(name), undefined, `${path} at ${host} is called ${name} too`)
        names.set(name, `${path} at ${host}`)
      }
    }
  })

  test('a name that is given is taken as it is, under development too', async (t) => {
    const { origin } = await serve(t, {}, { cookie: { name: 'shop' }, basePath: '/shop/auth' })
    const login = await openBrowser()(origin, '/shop/auth/login', person)
    assert.equal(readSetCookie(login).name, 'shop')
  })
})

describe('behind a proxy that ends TLS', () => {
  const trusted = { trustedProxies: ['127.0.0.0/8', '10.0.0.0/8', '2001:db8:1::/48'] }
  const stranger = { trustedProxies: ['10.0.0.0/8'] }
  const forwarded = {
    'x-forwarded-proto': 'https',
    'x-forwarded-host': 'app.test',
    'x-forwarded-for': '203.0.113.9',
  }

  test('a configured proxy is believed: the cookie is Secure, the page of the public address is ours, the address is the caller’s', async (t) => {
    const { origin } = await serve(t, {}, trusted)
    const headers = { ...forwarded, origin: 'https://app.test' }
    const login = await call(origin, 'POST /auth/login', { json: { name: 'ada', password }, headers })
    assert.equal(login.status, 200, login.text)
    assert.match(login.setCookie!, /^__Host-daypass=.*; Secure$/)
    assert.equal(login.json.session.device.ip, '203.0.113.9')
    const refresh = await call(origin, 'POST /auth/refresh', { headers: { ...headers, cookie: login.cookie! } })
    assert.equal(refresh.status, 200)
    const foreign = { ...forwarded, origin: origin, cookie: refresh.cookie! }
    assert.equal((await call(origin, 'POST /auth/refresh', { headers: foreign })).status, 403)
    const plain = { ...headers, origin: 'http://app.test', cookie: refresh.cookie! }
    assert.equal((await call(origin, 'POST /auth/refresh', { headers: plain })).status, 403)
    const logout = await call(origin, 'POST /auth/logout', { headers: { ...headers, cookie: refresh.cookie! } })
    assert.equal(logout.setCookie, '__Host-daypass=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict; Secure')
  })

  for (const [who, options] of Object.entries({ 'nobody is configured': {}, 'a stranger says it': stranger })) {
    test(`where ${who}, no X-Forwarded header is believed`, async (t) => {
      const { origin } = await serve(t, {}, options)
      const login = await loginAt(origin, forwarded)
      assert.match(login.setCookie!, /^__Host-daypass=.*; Secure$/, 'a header made the cookie a plain one')
      assert.equal(login.json.session.device.ip, '127.0.0.1')
      const headers = { ...forwarded, origin: 'https://app.test', cookie: login.cookie! }
      assert.equal((await call(origin, 'POST /auth/refresh', { headers })).status, 403)
      // The other way round: nobody talks a public host out of its prefix.
      const local = { 'x-forwarded-host': 'localhost', 'x-forwarded-proto': 'http', host: 'app.test' }
      assert.match((await loginAt(origin, local)).setCookie!, /^__Host-daypass=.*; Secure$/)
    })
  }

  const chains: [name: string, chain: string | string[], ip: string][] = [
    ['one hop', '203.0.113.9', '203.0.113.9'],
    ['what the caller wrote before it', '6.6.6.6, 203.0.113.9', '203.0.113.9'],
    ['what the caller wrote, two proxies', '6.6.6.6, 203.0.113.9, 10.0.0.2', '203.0.113.9'],
    ['a caller that calls itself a proxy', '6.6.6.6, 10.0.0.9, 203.0.113.9, 10.0.0.2', '203.0.113.9'],
    ['two headers', ['6.6.6.6', '203.0.113.9'], '203.0.113.9'],
    ['no spaces', '6.6.6.6,203.0.113.9,10.0.0.2', '203.0.113.9'],
    ['a proxy that writes the port', '6.6.6.6, 203.0.113.9:5123', '203.0.113.9'],
    ['IPv6', '6.6.6.6, 2001:db8:2::1, 2001:db8:1::5', '2001:db8:2::1'],
    ['IPv6 with a port', '6.6.6.6, [2001:db8:2::1]:5123', '2001:db8:2::1'],
    ['IPv6 in brackets', '6.6.6.6, [2001:db8:2::1]', '2001:db8:2::1'],
    ['letters after a port', '6.6.6.6, 203.0.113.9:5123x', '127.0.0.1'],
    ['letters before an address with a port', '6.6.6.6, x203.0.113.9:5123', '127.0.0.1'],
    ['letters after brackets', '6.6.6.6, [2001:db8:2::1]x', '127.0.0.1'],
    ['letters before IPv4 the IPv6 way', '6.6.6.6, x::ffff:203.0.113.9', '127.0.0.1'],
    ['IPv4 the IPv6 way', '6.6.6.6, ::ffff:203.0.113.9, ::ffff:10.0.0.2', '203.0.113.9'],
    ['an IPv6 address with those letters within', '6.6.6.6, 2001:db8::ffff:1', '2001:db8::ffff:1'],
    ['an IPv6 address that begins so', '6.6.6.6, ::ffff:1:2', '::ffff:1:2'],
    ['a proxy that does not know', '6.6.6.6, unknown', '127.0.0.1'],
    ['rubbish nearest to us', '6.6.6.6, <script>', '127.0.0.1'],
    ['an empty entry nearest to us', '6.6.6.6, ', '127.0.0.1'],
    ['proxies alone', '10.0.0.3, 10.0.0.2', '127.0.0.1'],
    ['nothing', '', '127.0.0.1'],
  ]
  for (const [name, chain, ip] of chains) {
    test(`X-Forwarded-For, ${name}: ${JSON.stringify(chain)} is ${ip}`, async (t) => {
      const { origin } = await serve(t, {}, trusted)
      const login = await loginAt(origin, { 'x-forwarded-for': chain })
      assert.equal(login.json.session.device.ip, ip)
    })
  }

  test('of several X-Forwarded-Proto and -Host the nearest proxy’s counts, not the caller’s', async (t) => {
    const { origin } = await serve(t, {}, trusted)
    for (const [proto, host, expected] of [
      ['https, http', 'app.test, localhost', 'daypass-80'],
      ['http, https', 'app.test, localhost', '__Host-daypass'],
      ['http, http', 'localhost, app.test', '__Host-daypass'],
      ['HTTPS', 'localhost', '__Host-daypass'],
      ['wss', 'localhost:3000', 'daypass-3000'],
    ] as const) {
      const forwarded = { 'x-forwarded-proto': proto, 'x-forwarded-host': host, 'x-forwarded-for': '127.0.0.1' }
      const login = await loginAt(origin, forwarded)
      assert.equal(readSetCookie(login).name, expected, `${proto} ${host}`)
    }
  })

  test('`trustedProxies` takes addresses and networks alone', () => {
    const { auth } = makeDaypass()
    for (const entry of [
      '*',
      'all',
      'proxy.test',
      '10.0.0.0/33',
      '10.0.0.0/x',
      '10.0.0',
      '2001:db8::/129',
      '',
      '10.0.0.0/-1',
      '10.0.0.0/0x8',
      '10.0.0.0/8/8',
      '/10.0.0.0/8',
      '10.0.0.0/ 8',
      '10.0.0.0/',
    ]) {
      assert.throws(() => createNodeAuth(auth, { trustedProxies: [entry] }), { code: 'ERR_OPTION_INVALID' }, entry)
    }
  })
})

describe('only sign-out takes the cookie away', () => {
  type Failure = {
    status: number
    code: string
    daypass?: Partial<DaypassOptions<Role>>
    http?: NodeOptions<Role>
    /** Gets a cookie that is good; gives the answer to look at. */
    run: (served: Served, cookie: string, id: string) => Promise<Answer>
  }
  type Served = Awaited<ReturnType<typeof serve>>
  const post = (served: Served, cookie: string, headers: Sent['headers'] = {}, more: Sent = {}) =>
    call(served.origin, 'POST /auth/refresh', { ...more, headers: { ...ownPage, cookie, ...headers } })
  const away = (): Store => {
    const store = createMemoryStore()
    const fail = async () => {
      throw new DaypassError('ERR_STORE_UNAVAILABLE')
    }
    return { ...store, advance: fail }
  }

  const failures: Record<string, Failure> = {
    'no cookie came': { status: 401, code: 'ERR_REFRESH_TOKEN_MISSING', run: (served) => post(served, 'a=b') },
    'a broken token': {
      status: 401,
      code: 'ERR_REFRESH_TOKEN_INVALID',
      run: (served, cookie) => post(served, cookie.slice(0, -1)),
    },
    'a token used before': {
      status: 401,
      code: 'ERR_REFRESH_TOKEN_REUSED',
      daypass: { reuseInterval: 0 },
      run: async (served, cookie) => {
        await refreshCookie(served.origin, cookie, newKey())
        return refreshCookie(served.origin, cookie, newKey())
      },
    },
    'a session that was ended': {
      status: 401,
      code: 'ERR_SESSION_REVOKED',
      run: async (served, cookie, id) => {
        await served.auth.revoke(id)
        return post(served, cookie)
      },
    },
    'a session over its time': {
      status: 401,
      code: 'ERR_SESSION_EXPIRED',
      run: (served, cookie) => {
        served.time.offset += 8 * 86_400_000
        return post(served, cookie)
      },
    },
    'a session whose row is gone': {
      status: 401,
      code: 'ERR_SESSION_UNKNOWN',
      run: async (served, cookie) => {
        await served.store.prune(Number.MAX_SAFE_INTEGER, 1000)
        return post(served, cookie)
      },
    },
    'an account that is disabled': {
      status: 401,
      code: 'ERR_SUBJECT_INACTIVE',
      daypass: { findSubject: () => null },
      run: (served, cookie) => post(served, cookie),
    },
    'a race lost': {
      status: 409,
      code: 'ERR_REFRESH_SUPERSEDED',
      run: async (served, cookie) => {
        await refreshCookie(served.origin, cookie, newKey())
        return refreshCookie(served.origin, cookie, newKey())
      },
    },
    'the store away': {
      status: 503,
      code: 'ERR_STORE_UNAVAILABLE',
      daypass: { store: away() },
      run: (served, cookie) => post(served, cookie),
    },
    'the app’s user table away': {
      status: 503,
      code: 'ERR_SUBJECT_CHECK_FAILED',
      daypass: {
        findSubject: () => {
          throw new Error('away')
        },
      },
      run: (served, cookie) => post(served, cookie),
    },
    'a bad Idempotency-Key': {
      status: 400,
      code: 'ERR_IDEMPOTENCY_KEY_INVALID',
      run: (served, cookie) => post(served, cookie, { 'idempotency-key': 'short' }),
    },
    'two cookies': {
      status: 400,
      code: 'ERR_REQUEST_INVALID',
      run: (served, cookie) => post(served, `${cookie}; ${cookie}`),
    },
    'two tokens': {
      status: 400,
      code: 'ERR_REQUEST_INVALID',
      run: (served, cookie) => post(served, cookie, {}, { json: { refreshToken: 'x' } }),
    },
    'a page of another site': {
      status: 403,
      code: 'ERR_ORIGIN_REFUSED',
      run: (served, cookie) => post(served, cookie, { 'sec-fetch-site': 'cross-site' }),
    },
    'another method': {
      status: 405,
      code: 'ERR_METHOD_NOT_ALLOWED',
      run: (served, cookie) => call(served.origin, 'GET /auth/refresh', { headers: { cookie } }),
    },
    'a body too large': {
      status: 413,
      code: 'ERR_BODY_TOO_LARGE',
      run: (served, cookie) => post(served, cookie, {}, { json: { a: 'a'.repeat(20_000) } }),
    },
    'a form': {
      status: 415,
      code: 'ERR_MEDIA_TYPE',
      run: (served, cookie) => post(served, cookie, { 'content-type': 'text/plain' }, { body: 'x' }),
    },
    'wrong credentials beside a session': {
      status: 401,
      code: 'ERR_CREDENTIALS_INVALID',
      run: (served, cookie) =>
        call(served.origin, 'POST /auth/login', { json: { name: 'ada' }, headers: { ...ownPage, cookie } }),
    },
    'a logout that fails': {
      status: 503,
      code: 'ERR_STORE_UNAVAILABLE',
      run: (served, cookie) => {
        served.store.revoke = async () => {
          throw new DaypassError('ERR_STORE_UNAVAILABLE')
        }
        return call(served.origin, 'POST /auth/logout', { headers: { ...ownPage, cookie } })
      },
    },
    'a logout that a page of another site wants': {
      status: 403,
      code: 'ERR_ORIGIN_REFUSED',
      run: (served, cookie) =>
        call(served.origin, 'POST /auth/logout', { headers: { 'sec-fetch-site': 'cross-site', cookie } }),
    },
  }

  for (const [name, { status, code, daypass = {}, http = {}, run }] of Object.entries(failures)) {
    test(`${name}: ${status} ${code}, and no Set-Cookie`, async (t: TestContext) => {
      const served = await serve(t, daypass, http)
      const { cookie, json } = await signInCookie(served.origin)
      const answer = await run(served, cookie!, json.session.id)
      assert.deepEqual([answer.status, answer.json.code], [status, code])
      assert.equal(answer.headers['set-cookie'], undefined)
      assert.equal(answer.headers['cache-control'], 'no-store')
    })
  }

  test('ending a session from the list of devices sets no cookie; a body transport never does', async (t) => {
    const { origin } = await serve(t)
    const { json } = await signInBody(origin)
    const next = await refreshBody(origin, json.refreshToken)
    const headers = { authorization: `Bearer ${next.json.accessToken}` }
    const answers = [
      next,
      await call(origin, 'DELETE /auth/sessions', { headers }),
      await call(origin, `DELETE /auth/sessions/${json.session.id}`, { headers }),
      await call(origin, 'POST /auth/logout', { json: { refreshToken: next.json.refreshToken } }),
    ]
    for (const answer of answers) {
      assert.ok(answer.status < 300, answer.text)
      assert.equal(answer.headers['set-cookie'], undefined)
    }
  })

  test('a sign-out that names a session ends that session and no other', async (t) => {
    const { origin, auth } = await serve(t)
    const { cookie, json } = await signInCookie(origin)
    const signOut = (session: string) =>
      call(origin, 'POST /auth/logout', { json: { session }, headers: { ...ownPage, cookie: cookie! } })
    const other = await signOut((await signInCookie(origin)).json.session.id)
    assert.deepEqual([other.status, other.setCookie, (await auth.sessions('ada')).length], [204, undefined, 2])
    const own = await signOut(json.session.id)
    assert.deepEqual([own.status, (await auth.sessions('ada')).length], [204, 1])
    assert.match(own.setCookie!, /Max-Age=0/)
    // A session that has already ended is no failure, and there is nothing to clear.
    assert.equal((await signOut(json.session.id)).status, 204)
  })

  test('a sign-out whose session is not a text ends nothing', async (t) => {
    const { origin, auth } = await serve(t)
    const { cookie, json } = await signInCookie(origin)
    const { json: byBody } = await signInBody(origin)
    const senders: [Record<string, string>, object][] = [
      [{ ...ownPage, cookie: cookie! }, {}],
      [{}, { refreshToken: byBody.refreshToken }],
      [{ authorization: `Bearer ${json.accessToken}` }, {}],
    ]
    for (const [headers, body] of senders) {
      for (const session of [5, 0, null, true, false, {}, [], [json.session.id]]) {
        const answer = await call(origin, 'POST /auth/logout', { json: { ...body, session }, headers })
        assert.deepEqual([answer.status, answer.json.code], [400, 'ERR_REQUEST_INVALID'], JSON.stringify(session))
        assert.equal(answer.setCookie, undefined)
      }
    }
    assert.equal((await auth.sessions('ada')).length, 2)
  })

  test('a sign-out that names a session ends no other, whatever says whose it is', async (t) => {
    const { origin, auth } = await serve(t)
    const { json: other } = await signInBody(origin)
    const { json } = await signInBody(origin)
    const { accessToken, refreshToken } = json
    const signOut = async (session: string, body: object, headers: Record<string, string> = {}) => {
      const answer = await call(origin, 'POST /auth/logout', { json: { ...body, session }, headers })
      return [answer.status, (await auth.sessions('ada')).length]
    }
    for (const session of [other.session.id, 'AAAAAAAAAAAAAAAAAAAAAA', '']) {
      assert.deepEqual(await signOut(session, { refreshToken }), [204, 2])
      assert.deepEqual(await signOut(session, {}, { authorization: `Bearer ${accessToken}` }), [204, 2])
    }
    assert.deepEqual(await signOut(json.session.id, { refreshToken }), [204, 1])
    const { accessToken: otherToken } = other
    assert.deepEqual(await signOut(other.session.id, {}, { authorization: `Bearer ${otherToken}` }), [204, 0])
  })

  test('sign-out takes it away with the attributes it was set with, also where the session is over already', async (t) => {
    const { origin, auth } = await serve(t)
    const { cookie, json } = await signInCookie(origin)
    await auth.revoke(json.session.id)
    for (const sent of [cookie!, cookie!.replace(/=.*/, '=rubbish'), 'a=b']) {
      const answer = await call(origin, 'POST /auth/logout', { headers: { ...ownPage, cookie: sent } })
      assert.equal(answer.status, 204)
      assert.match(answer.setCookie!, /^daypass-\d+=; Path=\/; Max-Age=0; HttpOnly; SameSite=Strict$/)
    }
  })
})
