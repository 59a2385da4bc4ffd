// Warnings for the operator: how often they are emitted, and listeners that fail.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createWarner, type Warning } from '../../src/warn.ts'

test('a warning is emitted at once, and then at most once a minute', () => {
  const given: Warning[] = []
  let now = 0
  const warn = createWarner(
    (warning) => given.push(warning),
    () => now,
  )
  for (now of [0, 1, 59_999]) warn('DAYPASS_PROXY_UNTRUSTED', `at ${now}`)
  assert.deepEqual(given, [{ code: 'DAYPASS_PROXY_UNTRUSTED', message: 'at 0' }])
  now = 60_000
  warn('DAYPASS_PROXY_UNTRUSTED', 'again')
  assert.equal(given.length, 2)
})

test('one cause suppresses no other, and any number of causes give 16 warnings a minute', () => {
  const given: string[] = []
  let now = 0
  const warn = createWarner(
    ({ message }) => given.push(message),
    () => now,
  )
  for (const cause of ['stranger', 'proxy', 'stranger', 'proxy']) warn('DAYPASS_PROXY_UNTRUSTED', cause, cause)
  assert.deepEqual(given, ['stranger', 'proxy'])
  for (let cause = 0; cause < 1000; cause++) warn('DAYPASS_PROXY_UNTRUSTED', 'many', `${cause}`)
  assert.equal(given.length, 16)
  warn('DAYPASS_CLOCK_SKEW', 'skew')
  assert.deepEqual(given.slice(16), ['skew'], 'a warning without causes is never suppressed by others')
  now = 60_000
  warn('DAYPASS_PROXY_UNTRUSTED', 'later', 'proxy')
  assert.equal(given.at(-1), 'later')
})

test('made-up causes of one code suppress no other code’s warnings', () => {
  const given: string[] = []
  const warn = createWarner(
    ({ code }) => given.push(code),
    () => 0,
  )
  for (let cause = 0; cause < 100; cause++) warn('DAYPASS_PATH_UNKNOWN', 'many', `/${cause}`)
  given.length = 0
  warn('DAYPASS_ORIGIN_UNLISTED', 'one', 'https://app.example')
  warn('DAYPASS_ORIGIN_UNLISTED', 'another', 'https://www.example')
  assert.deepEqual(given, ['DAYPASS_ORIGIN_UNLISTED', 'DAYPASS_ORIGIN_UNLISTED'])
})

test('a clock that was set back by an hour suppresses no warning', () => {
  const given: Warning[] = []
  let now = 3_600_000
  const warn = createWarner(
    (warning) => given.push(warning),
    () => now,
  )
  warn('DAYPASS_PROXY_UNTRUSTED', 'before')
  now = 0
  warn('DAYPASS_PROXY_UNTRUSTED', 'after')
  assert.equal(given.length, 2)
})

test('without a listener the warning goes to the console, with the code', (t) => {
  const { mock } = t.mock.method(console, 'warn', () => {})
  createWarner()('DAYPASS_PROXY_UNTRUSTED', 'List it.')
  assert.deepEqual(
    mock.calls.map((call) => call.arguments),
    [['daypass: List it. (DAYPASS_PROXY_UNTRUSTED)']],
  )
})

test('a listener that throws or rejects does not fail the caller', async () => {
  createWarner(() => {
    throw new Error('sync')
  })('DAYPASS_PROXY_UNTRUSTED', 'x')
  createWarner(async () => {
    throw new Error('async')
  })('DAYPASS_PROXY_UNTRUSTED', 'x')
  // An unhandled rejection would fail this file.
  await new Promise((resolve) => setImmediate(resolve))
})
