// The refresh token's cookie: its name and attributes, by what a request shows of the browser's side.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type CookieOptions, createCookie } from '../../src/http/cookies.ts'
import type { Warn } from '../../src/warn.ts'
import { type Asked, makeRequest } from './in-process.ts'

const noWarning: Warn = (_code, message) => assert.fail(message)
const make = (options: CookieOptions = {}, basePath?: string, warn = noWarning) => createCookie(options, basePath, warn)
const request = (asked: Asked = {}, method = 'POST') => makeRequest(`${method} /auth/login`, asked)
const here = { host: 'localhost:3000', secure: false, local: true }

test('the attributes are the same for everybody, but for SameSite and Domain', () => {
  const lineOf = (options: CookieOptions, maxAge?: number) =>
    make(options).set(request({ host: 'app.example.com' }), 'TOKEN', maxAge)
  assert.deepEqual(lineOf({}, 60), ['__Host-daypass=TOKEN; Path=/; Max-Age=60; HttpOnly; SameSite=Strict; Secure'])
  assert.deepEqual(lineOf({}), ['__Host-daypass=TOKEN; Path=/; HttpOnly; SameSite=Strict; Secure'])
  assert.deepEqual(lineOf({ sameSite: 'lax', name: 'a-b_9' }), [
    '__Host-a-b_9=TOKEN; Path=/; HttpOnly; SameSite=Lax; Secure',
  ])
  assert.deepEqual(lineOf({ sameSite: 'none', domain: 'example.com' }, 0), [
    '__Secure-daypass=TOKEN; Path=/; Max-Age=0; HttpOnly; SameSite=None; Secure; Domain=example.com',
  ])
})

test('two apps of one host differ by their base path', () => {
  for (const [basePath, name] of [
    ['/auth', 'daypass'],
    ['', 'daypass_root'],
    ['/shop/auth', 'daypass-shop-auth'],
    ['/a.b~c_d-e', 'daypass-a_2eb_7ec_5fd_2de'],
  ] as const) {
    assert.match(make({}, basePath).set(request(), 'T')[0]!, new RegExp(`^__Host-${name}=T;`))
  }
  assert.match(make({ name: 'own' }, '/shop').set(request(), 'T')[0]!, /^__Host-own=T;/)
})

/** The scheme by which a browser called this machine, as a request shows it. */
const shown: [scheme: 'http' | 'https' | 'hidden', asked: Record<string, string>, method?: string][] = [
  ['http', { 'sec-fetch-site': 'same-origin', origin: 'http://localhost:3000' }],
  ['http', { 'sec-fetch-site': 'same-site', origin: 'http://127.0.0.1:5173' }],
  ['http', { 'sec-fetch-site': 'same-site', origin: 'http://[::1]' }],
  ['http', { 'sec-fetch-site': 'same-origin', referer: 'http://localhost:3000/page' }],
  ['http', { 'sec-fetch-site': 'same-origin' }],
  ['http', { 'sec-fetch-site': 'none' }],
  ['http', { origin: 'http://localhost:3000' }],
  ['http', { referer: 'http://localhost:3000/page' }],
  ['https', { 'sec-fetch-site': 'same-origin', origin: 'https://localhost:3000' }],
  ['https', { 'sec-fetch-site': 'same-origin', origin: 'http://localhostess' }],
  ['https', { 'sec-fetch-site': 'same-origin', origin: 'x-http://localhost' }],
  ['https', { 'sec-fetch-site': 'same-origin', referer: 'https://localhost:3000/page' }],
  ['https', { 'sec-fetch-site': 'same-origin', 'sec-fetch-mode': 'navigate', origin: 'https://localhost:3000' }],
  ['https', { 'sec-fetch-site': 'cross-site', origin: 'http://localhost:3000' }],
  ['https', { 'sec-fetch-site': 'cross-site', origin: 'capacitor://localhost' }],
  ['https', { 'sec-fetch-site': 'cross-site' }],
  ['https', { origin: 'http://localhost' }],
  ['https', { origin: 'http://localhost:5173' }],
  ['https', {}],
  ['https', { origin: 'https://localhost:3000' }, 'GET'],
  ['hidden', { origin: 'null' }],
  ['hidden', { 'sec-fetch-site': 'same-origin', origin: 'null' }],
  ['hidden', {}, 'GET'],
  ['hidden', { 'sec-fetch-site': 'same-origin', 'sec-fetch-mode': 'navigate' }],
  ['hidden', { 'sec-fetch-site': 'none', 'sec-fetch-mode': 'navigate' }, 'GET'],
  ['hidden', { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate', origin: 'https://evil.test' }],
  ['http', { 'sec-fetch-site': 'same-origin', 'sec-fetch-mode': 'navigate', origin: 'http://localhost:3000' }],
]

const names = {
  http: { set: 'daypass-3000', read: ['__Host-daypass.3000', 'daypass-3000'] },
  https: { set: '__Host-daypass', read: ['__Host-daypass.3000', '__Host-daypass'] },
  hidden: { set: '__Host-daypass.3000', read: ['__Host-daypass.3000', '__Host-daypass', 'daypass-3000'] },
}
const all = ['__Host-daypass.3000', '__Host-daypass', 'daypass-3000', 'daypass', 'other']

test('on this machine the cookie’s name follows the scheme that the request shows', () => {
  const cookie = make()
  for (const [scheme, headers, method = 'POST'] of shown) {
    const about = `${method} ${JSON.stringify(headers)}`
    const { set, read } = names[scheme]
    const sent = (cookies: string[]) =>
      request({ ...here, headers: { ...headers, ...(cookies.length > 0 && { cookie: cookies.join('; ') }) } }, method)
    const [line, ...others] = cookie.set(sent([]), 'T', 60)
    const secure = set.startsWith('__') ? '; Secure' : ''
    assert.equal(line, `${set}=T; Path=/; Max-Age=60; HttpOnly; SameSite=Strict${secure}`, about)
    assert.deepEqual(others, [])
    const held = sent(all.map((name) => `${name}=of ${name}`))
    assert.deepEqual(
      cookie.readAll(held),
      read.map((name) => `of ${name}`),
      about,
    )
    assert.equal(cookie.read(held), `of ${read[0]}`, about)
    assert.equal(cookie.read(sent([`${read.at(-1)}=last`])), 'last', about)
    assert.equal(cookie.read(sent(['other=1'])), undefined)
    const named = (lines: string[]) => lines.map((text) => text.split('=')[0])
    // The name that is read first would hide the new cookie.
    assert.deepEqual(named(cookie.set(held, 'T')), [...new Set([set, read[0]])], about)
    assert.deepEqual(named(cookie.clear(held)), [...new Set([set, ...read])], about)
    for (const text of cookie.clear(held)) assert.match(text, /^[\w.-]+=; Path=\/; Max-Age=0;/)
    assert.deepEqual(named(cookie.clear(sent([]))), [set], 'what did not come is not cleared')
  }
})

test('elsewhere it is `__Host-`, whatever the request shows', () => {
  const headers = { 'sec-fetch-site': 'same-origin', origin: 'http://localhost:3000' }
  for (const asked of [
    { ...here, secure: true },
    { ...here, local: false },
    { ...here, host: 'app.test' },
    { ...here, host: 'localhost.evil.test' },
    { ...here, host: 'evil-localhost' },
    { ...here, host: 'localhost:x' },
  ]) {
    assert.match(make().set(request({ ...asked, headers }), 'T')[0]!, /^__Host-daypass=T/)
  }
  for (const [host, name] of [
    ['LOCALHOST', 'daypass-80'],
    ['127.0.0.1', 'daypass-80'],
    ['[::1]:8080', 'daypass-8080'],
  ] as const) {
    const page = { ...headers, origin: `http://${host.toLowerCase()}` }
    assert.match(make().set(request({ ...here, host, headers: page }), 'T')[0]!, new RegExp(`^${name}=T`))
    const old = { origin: `http://${host.toLowerCase()}` }
    assert.match(make().set(request({ ...here, host, headers: old }), 'T')[0]!, new RegExp(`^${name}=T`))
  }
  assert.match(make({ name: 'own' }).set(request({ ...here, headers }), 'T')[0]!, /^own=T/)
})

test('a cookie that came twice is no cookie; blanks and tabs before a name are removed, and nothing else', () => {
  const cookie = make({ oldName: 'old' })
  const read = (line: string | string[]) => cookie.read(request({ headers: { cookie: line } }))
  assert.equal(read(' \t__Host-daypass=a'), 'a')
  assert.equal(read('x=1;__Host-daypass=a=b'), 'a=b')
  assert.equal(read(['x=1', '__Host-daypass=a']), 'a')
  for (const other of ['\u00a0__Host-daypass=a', 'x__Host-daypass=a', '__Host-daypass2=a', '__Host-daypass']) {
    assert.equal(read(other), undefined, other)
  }
  for (const twice of ['__Host-daypass=a; __Host-daypass=a', ['__Host-daypass=a', '__Host-daypass=b']]) {
    assert.throws(() => read(twice), { code: 'ERR_REQUEST_INVALID', message: 'The cookie __Host-daypass came twice.' })
    assert.deepEqual(cookie.readAll(request({ headers: { cookie: twice } })), [])
  }
  const both = request({ headers: { cookie: 'old=o; __Host-daypass=a' } })
  assert.deepEqual([cookie.readOld(both), cookie.readAll(both)], ['o', ['a', 'o']])
  assert.equal(cookie.readOld(request({ headers: { cookie: 'old=a; old=b' } })), undefined)
  assert.equal(make().readOld(both), undefined)
  assert.equal(make().readOld(request({ headers: { cookie: 'undefined=x' } })), undefined)
})

test('a host that is not under the cookie’s domain is a warning', () => {
  const warnings: unknown[][] = []
  const cookie = make({ domain: 'example.com' }, '/auth', (...warning) => void warnings.push(warning))
  for (const host of ['example.com', 'EXAMPLE.com:8443', 'app.example.com', 'a.b.example.com:']) {
    cookie.set(request({ host }), 'T')
    cookie.clear(request({ host }))
  }
  assert.deepEqual(warnings, [])
  cookie.set(request({ host: 'Badexample.com:3000' }), 'T')
  assert.deepEqual(warnings, [
    [
      'DAYPASS_COOKIE_DOMAIN',
      'The cookie is for example.com (`cookie.domain`), but the request is for the host "badexample.com", which is not under it. Browsers drop such a cookie. If a proxy changes the Host, name it in `trustedProxies`.',
      'badexample.com',
    ],
  ])
  cookie.set(request({ host: '[2001:db8::1]:8443' }), 'T')
  assert.equal(warnings.pop()?.[2], '[2001:db8::1]')
  const page = { 'sec-fetch-site': 'same-origin', origin: 'http://localhost:3000' }
  assert.doesNotMatch(cookie.set(request({ ...here, headers: page }), 'T')[0]!, /Domain/)
  assert.equal(warnings.length, 1, 'the cookie of this machine has no domain')
})

test('a domain is a name with a dot, as the URL parser writes it', () => {
  for (const domain of ['example.com', 'a-b.example.co.uk', 'xn--bcher-kva.example', '1.example', 'example.x1'])
    make({ domain })
  for (const domain of [
    'com',
    '.example.com',
    'example.com.',
    'Example.com',
    'a..b',
    '10.0.0.1',
    '1.2.0x7',
    '1.2',
    'a_b.com',
    7,
  ]) {
    assert.throws(() => make({ domain: domain as string }), /`cookie\.domain` must be a domain such as example\.com/)
  }
})
