// The schema record and the prefix.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isDaypassError } from '../../src/errors.ts'
import { checkSchema, readPrefix } from '../../src/stores/schema-record.ts'

const issuer = 'https://issuer.example'

test('a newer version is accepted if it allows this one; otherwise, or if unreadable, it is rejected', () => {
  checkSchema({ version: 1, usableFrom: 1, issuer }, issuer)
  checkSchema({ version: 99, usableFrom: 1, issuer }, issuer)
  for (const usableFrom of [2, 99, Number.NaN, Number.POSITIVE_INFINITY, undefined as unknown as number]) {
    assert.throws(
      () => checkSchema({ version: 99, usableFrom, issuer }, issuer),
      (error) => isDaypassError(error, 'ERR_STORE_SCHEMA'),
    )
  }
})

test('the version is checked before the issuer, because an older program cannot read a newer record’s fields', () => {
  assert.throws(
    () => checkSchema({ version: 2, usableFrom: 2, issuer: 'other' }, issuer),
    (error) => isDaypassError(error, 'ERR_STORE_SCHEMA'),
  )
  assert.throws(
    () => checkSchema({ version: 1, usableFrom: 1, issuer: 'other' }, issuer),
    (error) => isDaypassError(error, 'ERR_STORE_ISSUER'),
  )
})

test('a prefix that is not a plain name is ERR_OPTION_INVALID', () => {
  assert.equal(readPrefix(), 'daypass')
  assert.equal(readPrefix('a'), 'a')
  assert.equal(readPrefix(`a${'1'.repeat(30)}`), `a${'1'.repeat(30)}`)
  for (const prefix of [
    '',
    'A',
    '1a',
    '_a',
    'a-b',
    'a.b',
    'a b',
    'a"b',
    "a'; --",
    'ä',
    'a\n',
    `a${'1'.repeat(31)}`,
    7,
    null,
  ]) {
    assert.throws(
      () => readPrefix(prefix),
      (error) => isDaypassError(error, 'ERR_OPTION_INVALID') && error.message.includes('prefix'),
      String(prefix),
    )
  }
})
