// Fuzzes the place that a sign-in may lead to: whatever is asked for, the browser stays here or at a listed origin.

import assert from 'node:assert/strict'
import { afterEach, test } from 'node:test'
import fc from 'fast-check'
import { createOrigins } from '../../src/http/origins.ts'
import { findLocation } from '../../src/http/redirect.ts'
import type { HttpRequest } from '../../src/http/request.ts'
import { anyText, assertUnpolluted, changed, outcome, runs } from './setup.ts'

afterEach(assertUnpolluted)

const origins = createOrigins(['https://app.test', 'capacitor://localhost'])
const own = 'https://id.test'
const request = { secure: true, host: 'id.test', headers: () => [] } as unknown as HttpRequest
const pages = [`${own}/callback?code=1`, `${own}//evil.test/x/`, `${own}/a/b/../`]

const pieces = [
  '/',
  '\\',
  '//',
  '.',
  '..',
  '%2e',
  '%2f',
  '%5c',
  '@',
  ':',
  '?',
  '#',
  ';',
  '\t',
  '\n',
  ' ',
  '\0',
  '\u3002',
]
const hosts = ['evil.test', 'app.test', 'id.test', 'localhost', '127.0.0.1', '[::1]', 'ada:x']
const schemes = ['https:', 'http:', 'HTTPS:', 'javascript:', 'data:', 'blob:', 'capacitor:', 'file:']
const built = fc
  .array(fc.constantFrom(...pieces, ...hosts, ...schemes), { maxLength: 8 })
  .map((parts) => parts.join(''))
const near = fc.oneof(
  ...['/home?next=/a#b', 'https://app.test/home', 'capacitor://localhost/home', '//evil.test/home'].map(changed),
)

test('any redirect: the Location is printable, and leads to this server or to a listed origin', () => {
  fc.assert(
    fc.property(fc.oneof(built, near, anyText), (target) => {
      const location = outcome(() => findLocation(origins, request, target))
      if (location === undefined) return
      assert.match(location, /^[\x21-\x7e]+$/)
      for (const page of pages) {
        const { protocol, host, username, password } = new URL(location, page)
        assert.ok([own, 'https://app.test', 'capacitor://localhost'].includes(`${protocol}//${host}`), location)
        assert.equal(username + password, '')
      }
      // Read once more, by this server or a proxy, it leads to the same place.
      assert.equal(findLocation(origins, request, location), location)
    }),
    runs(30_000),
  )
})

test('any list: the first entry that is allowed counts, and the last one is a way out', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(built, fc.anything()), { maxLength: 5 }), (targets) => {
      const location = findLocation(origins, request, [...targets, '/home'])
      const allowed = targets.map((target) => outcome(() => findLocation(origins, request, [[target]].flat())))
      assert.equal(location, allowed.find((each) => each !== undefined) ?? '/home')
    }),
    runs(3000),
  )
})
