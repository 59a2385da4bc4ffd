// Fuzzes the parsers of headers: Cookie, Idempotency-Key, X-Forwarded-* and Retry-After.

import assert from 'node:assert/strict'
import { isIP } from 'node:net'
import { afterEach, test } from 'node:test'
import fc from 'fast-check'
import { readTokenResponse } from '../../src/client/token-response.ts'
import { createClientFinder } from '../../src/http/client-address.ts'
import { createCookie } from '../../src/http/cookies.ts'
import { readRefreshKeys } from '../../src/http/idempotency-key.ts'
import { isLoopback, readIp } from '../../src/http/ip-address.ts'
import type { HttpRequest } from '../../src/http/request.ts'
import { anyText, assertUnpolluted, changed, laterOutcome, outcome, runs } from './setup.ts'

afterEach(assertUnpolluted)

/** A request with these headers. */
const withHeaders = (headers: Record<string, string[]>, secure = true): HttpRequest => ({
  method: 'POST',
  path: '/auth/refresh',
  host: 'id.example',
  secure,
  local: false,
  headers: (name) => headers[name] ?? [],
  text: async () => '',
  aborted: false,
})

const token = fc.string({ unit: fc.constantFrom(...'ABCxyz019-_'), minLength: 1, maxLength: 90 })

test('a cookie that was set is read back from among any others; two are rejected', () => {
  const cookie = createCookie()
  const request = withHeaders({})
  const word = fc.string({ unit: fc.constantFrom(...'abcHost-_019. "'), maxLength: 12 })
  const others = fc.array(
    fc.tuple(
      word,
      anyText.map((text) => text.replaceAll(';', '')),
    ),
  )
  fc.assert(
    fc.property(token, others, fc.nat(8), fc.integer({ min: 1, max: 3 }), (value, pairs, at, copies) => {
      const own = cookie.set(request, value, 60)[0]!.split(';')[0]!
      const strangers = pairs
        .filter(([name]) => name.trim() !== '__Host-daypass')
        .map(([name, text]) => `${name}=${text}`)
      const line = strangers.toSpliced(at, 0, ...Array<string>(copies).fill(own)).join('; ')
      const sent = withHeaders({ cookie: [line] })
      if (copies === 1) assert.equal(cookie.read(sent), value)
      else assert.throws(() => cookie.read(sent), { code: 'ERR_REQUEST_INVALID' })
    }),
    runs(2000),
  )
})

test('any Cookie header: the result is a value under exactly that name, or none', () => {
  const cookie = createCookie({ oldName: 'refreshToken' })
  const near = changed('a=b; __Host-daypass=dpr_AAAA; refreshToken=x')
  fc.assert(
    fc.property(fc.array(fc.oneof(anyText, near), { maxLength: 3 }), fc.boolean(), (lines, secure) => {
      const request = withHeaders({ cookie: lines }, secure)
      for (const [value, name] of [
        [outcome(() => cookie.read(request)), '__Host-daypass'],
        [outcome(() => cookie.readOld(request)), 'refreshToken'],
      ] as const) {
        if (value === undefined) continue
        assert.ok(lines.some((line) => line.includes(`${name}`) && line.includes(value)))
        assert.doesNotMatch(value, /;/)
      }
    }),
    runs(3000),
  )
})

const keyLetters = Array.from({ length: 94 }, (_, index) => String.fromCharCode(0x21 + index)).filter(
  (letter) => !'"\\'.includes(letter),
)
const key = fc.string({ unit: fc.constantFrom(...keyLetters), minLength: 1, maxLength: 255 })

test('an Idempotency-Key is read back as it was sent, and so is the previous one', () => {
  fc.assert(
    fc.property(key, key, fc.constantFrom('', ' ', '\t '), (idempotencyKey, previousKey, space) => {
      fc.pre(idempotencyKey.length + previousKey.length < 560)
      const alone = readRefreshKeys(withHeaders({ 'idempotency-key': [`${space}"${idempotencyKey}"${space}`] }))
      assert.deepEqual(alone, { idempotencyKey })
      const both = `"${idempotencyKey}"${space};${space}x${space};${space}previous="${previousKey}"`
      assert.deepEqual(readRefreshKeys(withHeaders({ 'idempotency-key': [both] })), { idempotencyKey, previousKey })
    }),
    runs(2000),
  )
})

test('any Idempotency-Key header: printable keys from it, or an error, in bounded time', () => {
  const hard = fc
    .constantFrom('"k"; ', '; a', ';a="', '\t', '=', 'a', '*')
    .chain((piece) => fc.nat(700).map((count) => `"${'k'.repeat(22)}"${piece.repeat(count)}`))
  const near = changed(`"${'k'.repeat(22)}"; previous="${'p'.repeat(22)}"; x="y"`)
  fc.assert(
    fc.property(fc.array(fc.oneof(anyText, near, hard), { minLength: 1, maxLength: 2 }), (values) => {
      const keys = outcome(() => readRefreshKeys(withHeaders({ 'idempotency-key': values })))
      if (keys === undefined) return
      for (const each of Object.values(keys)) {
        assert.match(each, /^[\x21-\x7e]+$/)
        assert.ok(values.join(', ').includes(each))
      }
    }),
    runs(5000),
  )
})

test('a text is an address exactly if Node says so, with a port or without', () => {
  const address = fc.oneof(fc.ipV4(), fc.ipV6(), fc.constantFrom('::', '::1', '1::', '255.255.255.255', '::1.2.3.4'))
  const near = fc.oneof(anyText, changed('192.0.2.255'), changed('2001:db8::192.0.2.1'), changed('fe80::1%eth0'))
  fc.assert(
    fc.property(fc.oneof(address, near), (text) => {
      const found = readIp(text)
      if (isIP(text) !== 0 && !text.includes('%')) {
        assert.equal(found, text.replace(/^::ffff:(?=[\d.]+$)/i, ''))
        assert.equal(readIp(isIP(text) === 6 ? `[${text}]:5123` : `${text}:5123`), found)
      }
      if (found !== undefined) assert.notEqual(isIP(found), 0, text)
    }),
    runs(5000),
  )
})

test('X-Forwarded headers: ignored from a stranger; from a proxy only a valid address counts', () => {
  const findClient = createClientFinder(['10.0.0.0/8', '2001:db8::/32'], () => {})
  const address = fc.oneof(
    fc.ipV4(),
    fc.ipV6(),
    fc.constantFrom('10.1.2.3', '2001:db8::1', '::ffff:10.0.0.1', '[2001:db8::2]:80', '192.0.2.1:5'),
  )
  const chain = fc.array(fc.oneof(address, anyText), { maxLength: 5 }).map((list) => list.join(','))
  const headers = fc.record(
    {
      'x-forwarded-for': chain,
      'x-forwarded-proto': fc.oneof(fc.constantFrom('https', 'http', 'https,http', 'HTTPS '), anyText),
      'x-forwarded-host': anyText,
    },
    { requiredKeys: [] },
  )
  const isProxy = (ip: string) => ip.startsWith('10.') || ip.toLowerCase().startsWith('2001:db8')
  fc.assert(
    fc.property(
      headers,
      fc.option(fc.oneof(fc.ipV4(), fc.constantFrom('10.9.9.9', '2001:db8::9')), { nil: undefined }),
      fc.boolean(),
      (given, ip, secure) => {
        const hop = { ip, secure, host: 'id.example' }
        const found = outcome(() => findClient(hop, (name) => given[name as keyof typeof given]))!
        if (ip === undefined || !isProxy(ip))
          return assert.deepEqual(found, { ...hop, local: isLoopback(ip) && Object.keys(given).length === 0 })
        assert.notEqual(isIP(found.ip!), 0, String(found.ip))
        assert.equal(typeof found.secure, 'boolean')
        if (given['x-forwarded-for'] === undefined) assert.equal(found.ip, ip)
        // The caller's entries come before the proxies': the last entry that is not a trusted proxy is the caller.
        const last = (given['x-forwarded-for'] ?? '').split(',').at(-1)!.trim()
        if (isIP(last) === 4 && !isProxy(last)) assert.equal(found.ip, last)
        if (given['x-forwarded-proto'] === undefined) assert.equal(found.secure, secure)
        else {
          assert.equal(found.secure, given['x-forwarded-proto'].split(',').at(-1)!.trim().toLowerCase() === 'https')
        }
      },
    ),
    runs(3000),
  )
})

test('any response to a client: no error, and Retry-After gives a time from now or none', async () => {
  const retryAfter = fc.oneof(
    fc.constantFrom('0', '1', '1e9', '0x10', '-5', '5 minutes', 'Wed, 21 Oct 2105 07:28:00 GMT', 'Infinity'),
    fc.integer().map(String),
    anyText,
  )
  const body = fc.oneof(anyText, fc.json(), changed('{"accessToken":"a","expiresIn":900,"refreshToken":"r"}'))
  await fc.assert(
    fc.asyncProperty(
      body,
      retryAfter,
      retryAfter,
      fc.integer({ min: 200, max: 599 }),
      async (text, after, date, status) => {
        const headers = new Headers()
        for (const [name, value] of [
          ['retry-after', after],
          ['date', date],
        ] as const) {
          try {
            headers.set(name, value)
          } catch {} // Not even a header.
        }
        const isBare = status === 204 || status === 205 || status === 304
        const answer = (await laterOutcome(() =>
          readTokenResponse(new Response(isBare ? null : text, { status, headers }), true),
        ))!
        const { retryAfter } = answer.info
        assert.ok(retryAfter === undefined || retryAfter >= 0, `${retryAfter} after ${after}`)
        if (/^\d{1,2}$/.test(after)) assert.equal(retryAfter, Number(after))
        assert.equal(answer.info.status, status)
      },
    ),
    runs(2000),
  )
})
