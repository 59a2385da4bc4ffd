// The client behind proxies: the headers that count, and the warnings.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Connection, createClientFinder } from '../../src/http/client-address.ts'
import type { Warn } from '../../src/warn.ts'

type Headers = Record<string, string>

const direct: Connection = { ip: '192.0.2.1', secure: false, host: 'app.test' }

function find(
  headers: Headers,
  { trusted, warn, ...connection }: Partial<Connection> & { trusted?: string[]; warn?: Warn } = {},
  framework?: () => Connection | undefined,
) {
  const warnNever: Warn = (_code, message) => assert.fail(message)
  const findClient = createClientFinder(trusted, warn ?? warnNever)
  return findClient({ ...direct, ...connection }, (name) => headers[name], framework)
}

test('without a proxy the connection says who the client is', () => {
  assert.deepEqual(find({}), { ...direct, local: false })
  assert.deepEqual(find({}, { trusted: [] }), { ...direct, local: false })
})

test('headers of a trusted proxy count: the nearest address that is no trusted proxy', () => {
  const trusted = ['192.0.2.1', '10.0.0.0/8', '2001:db8::/32']
  const chains: [chain: string, ip: string | undefined][] = [
    ['203.0.113.9', '203.0.113.9'],
    ['198.51.100.1, 203.0.113.9', '203.0.113.9'],
    ['203.0.113.9, 10.1.2.3', '203.0.113.9'],
    ['203.0.113.9, 2001:db8::7 ,10.255.255.255', '203.0.113.9'],
    ['203.0.113.9, 11.0.0.1', '11.0.0.1'],
    ['203.0.113.9, 2001:db9::1', '2001:db9::1'],
    ['10.0.0.1', '192.0.2.1'],
    ['', '192.0.2.1'],
  ]
  for (const [chain, ip] of chains) {
    assert.equal(find({ 'x-forwarded-for': chain }, { trusted }).ip, ip, chain)
  }
  const headers = { 'x-forwarded-proto': 'http, HTTPS', 'x-forwarded-host': 'other.test, id.test' }
  assert.deepEqual(find(headers, { trusted }), { ip: '192.0.2.1', secure: true, host: 'id.test', local: false })
  assert.equal(find({ 'x-forwarded-proto': 'https, http' }, { trusted, secure: true }).secure, false)
  for (const secure of [true, false]) assert.equal(find({}, { trusted, secure }).secure, secure)
  assert.equal(find({ 'x-forwarded-host': '' }, { trusted }).host, 'app.test')
})

test('an address is trusted by its number, and a text that is none never', () => {
  for (const [ip, trusted, isTrusted] of [
    ['10.0.0.1', ['10.0.0.1'], true],
    ['10.0.0.2', ['10.0.0.1'], false],
    ['10.0.0.2', ['10.0.0.1/32'], false],
    ['10.0.0.2', ['0.0.0.0/0'], true],
    ['2001:db8::1', ['0.0.0.0/0'], false],
    ['2001:db8::1', ['2001:db8:0::1'], true],
    ['2001:db8::2', ['2001:db8::1/128'], false],
    ['2001:db8::2', ['::/0'], true],
    [undefined, ['::/0', '0.0.0.0/0'], false],
  ] as const) {
    const given = { trusted: [...trusted], ip, warn: () => {} }
    const { host } = find({ 'x-forwarded-host': 'id.test' }, given)
    assert.equal(host, isTrusted ? 'id.test' : 'app.test', `${ip} by ${trusted}`)
  }
})

test('`trustedProxies` takes addresses and networks alone', () => {
  for (const trusted of [
    ['localhost'],
    [''],
    ['10.0.0.0/33'],
    ['::/129'],
    ['10.0.0.0/'],
    ['10.0.0.0/8/8'],
    ['x/10.0.0.0/8'],
    ['10.0.0.0/1234'],
    [7],
    [undefined],
    '10.0.0.1',
    true,
  ]) {
    assert.throws(() => createClientFinder(trusted as never), {
      code: 'ERR_OPTION_INVALID',
      message:
        /^`trustedProxies` is .*(Give|Give a list:) the addresses and networks of your proxies, such as \['10\.0\.0\.0\/8'\]\.$/,
    })
  }
  for (const trusted of [['10.0.0.0/32'], ['::/128']]) createClientFinder(trusted)
})

test('the setting of the framework counts where `trustedProxies` is not given', () => {
  const known = { ip: '127.0.0.1', secure: true, host: 'id.test' }
  const headers = { 'x-forwarded-for': '127.0.0.1' }
  assert.deepEqual(
    find(headers, {}, () => known),
    { ...known, local: true },
  )
  const warn: Warn = () => {}
  assert.equal(find(headers, { trusted: [], warn }, () => known).host, 'app.test')
  assert.equal(find(headers, { warn }, () => undefined).host, 'app.test')
})

test('a client is on this machine if its address says so, and no proxy passed it on', () => {
  const here = { ip: '127.0.0.1' }
  assert.equal(find({}, here).local, true)
  assert.equal(find({}, { ip: '::1' }).local, true)
  assert.equal(find({ 'x-forwarded-for': '127.0.0.1' }, here).local, false, 'a header of anybody')
  assert.equal(find({ via: '1.1 proxy' }, here).local, false)
  const trusted = ['127.0.0.1', '192.0.2.1']
  assert.equal(find({ via: '1.1 proxy' }, { ...here, trusted }).local, false, 'the proxy does not say who it is for')
  assert.equal(find({ via: '1.1 proxy', 'x-forwarded-for': '::1' }, { ...here, trusted }).local, true)
  assert.equal(find({ 'x-forwarded-for': '203.0.113.9' }, { ...here, trusted }).local, false)
})

/** The warning for a request; undefined if there is none. */
function warningOf(headers: Headers, connection: Partial<Connection> = {}) {
  const given: [code: string, message: string, cause: string | undefined][] = []
  find(headers, { ...connection, warn: (...warning) => void given.push(warning as never) })
  assert.ok(given.length <= 1)
  return given[0]
}

test('a forwarding header that says something else than the connection is a warning', () => {
  const differing: [name: string, value: string, repeated: string][] = [
    ['x-forwarded-for', '203.0.113.9', '203.0.113.9, 192.0.2.1'],
    ['x-forwarded-proto', 'HTTPS', 'https, http'],
    ['x-forwarded-host', 'id.test', 'id.test, app.test'],
    ['x-real-ip', '203.0.113.9', '192.0.2.1'],
  ]
  for (const [name, value, repeated] of differing) {
    assert.deepEqual(warningOf({ [name]: value }), [
      'DAYPASS_PROXY_UNTRUSTED',
      `A request from 192.0.2.1 has the header ${name}, which is not believed. If this is your proxy, and only then, name it: \`trustedProxies: ['192.0.2.1']\`. If 192.0.2.1 is not your proxy's address, somebody made the header up: nothing is to be done.`,
      '192.0.2.1',
    ])
    assert.equal(warningOf({ [name]: repeated }), undefined, `${name} that repeats the connection`)
  }
  assert.equal(warningOf({ 'x-forwarded-proto': 'https' }, { secure: true }), undefined)
  assert.match(warningOf({ 'x-forwarded-proto': 'http' }, { secure: true })![1], /has the header x-forwarded-proto/)
  assert.match(warningOf({ forwarded: 'for=192.0.2.1' })![1], /has the header forwarded/)
})

test('over a Unix socket the advice is another one', () => {
  for (const name of ['x-forwarded-for', 'x-real-ip']) {
    for (const value of ['203.0.113.9', '']) {
      assert.deepEqual(warningOf({ [name]: value }, { ip: undefined }), [
        'DAYPASS_PROXY_UNTRUSTED',
        `A request from a Unix socket has the header ${name}, which is not believed. \`trustedProxies\` takes addresses: let your proxy connect over TCP.`,
        'a Unix socket',
      ])
    }
  }
})

test('a page of this server whose origin is not the Host is a warning: a proxy changes the Host', () => {
  const page = (origin: string | undefined, site = 'same-origin') =>
    warningOf({ 'sec-fetch-site': site, ...(origin !== undefined && { origin }) })
  const warning = page('https://www.test')
  assert.equal(warning?.[0], 'DAYPASS_PROXY_UNTRUSTED')
  assert.match(
    warning[1],
    /^A request from 192\.0\.2\.1 is of a page of this server by its header sec-fetch-site, .* a proxy changes the Host\. .*`trustedProxies: \['192\.0\.2\.1'\]`/,
  )
  for (const origin of ['http://www.test', 'https://www.test:8443', 'http://localhostess', 'https://127.0.0.10']) {
    assert.ok(page(origin), origin)
  }
  for (const origin of [
    undefined,
    'null',
    'https://app.test',
    'http://app.test',
    'http://localhost',
    'http://localhost:5173',
    'http://127.0.0.1:5173',
    'http://[::1]:5173',
    'capacitor://localhost',
    'x-https://www.test',
  ]) {
    assert.equal(page(origin), undefined, origin)
  }
  assert.equal(page('https://www.test', 'same-site'), undefined)
})
