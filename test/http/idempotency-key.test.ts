// The header `Idempotency-Key`: what is read as a key, and what is an error.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readRefreshKeys } from '../../src/http/idempotency-key.ts'
import { makeRequest } from './in-process.ts'

const read = (value?: string | string[]) =>
  readRefreshKeys(makeRequest('POST /', { headers: value === undefined ? {} : { 'idempotency-key': value } }))

test('a quoted string or a bare word, with parameters', () => {
  assert.deepEqual(read(), {})
  for (const [text, idempotencyKey, previousKey] of [
    ['"k1"', 'k1'],
    ['k1', 'k1'],
    [' "k1"\t', 'k1'],
    ['a.B_9~+/=-', 'a.B_9~+/=-'],
    ['"!#$%&\'()*+,-./:;<=>?@[]^_`{|}~"', "!#$%&'()*+,-./:;<=>?@[]^_`{|}~"],
    ['"k1"; previous="k0"', 'k1', 'k0'],
    ['"k1";previous="k0"', 'k1', 'k0'],
    ['k1 ; x ; previous="k0" ; *y.z="1"', 'k1', 'k0'],
    ['"k1"; other="k0"', 'k1'],
    ['"k1"; previous', 'k1'],
    ['"k1"; previous=""', 'k1'],
    ['"k1"; x="a;b"', 'k1'],
    [`"${'k'.repeat(598)}"`, 'k'.repeat(598)],
  ] as [string, string, string?][]) {
    assert.deepEqual(read(text), { idempotencyKey, ...(previousKey !== undefined && { previousKey }) }, text)
  }
})

test('anything else, and a header that came twice, is an error', () => {
  for (const text of [
    '',
    ' ',
    '""',
    '"k1',
    'k1"',
    '"a"b"',
    '"a\\b"',
    '"a b"',
    '"ä"',
    'a b',
    'ä',
    '"k1" x',
    '"k1"; 9=1',
    '"k1"; previous=k0',
    '"k1"; previous="k0',
    '"k1"; X="1"',
    '"k1", "k2"',
    `"${'k'.repeat(599)}"`,
  ]) {
    assert.throws(() => read(text), { code: 'ERR_IDEMPOTENCY_KEY_INVALID' }, text)
  }
  assert.throws(() => read(['"k1"', '"k2"']), { code: 'ERR_IDEMPOTENCY_KEY_INVALID' })
  assert.throws(() => read(['k1', 'k1']), { code: 'ERR_IDEMPOTENCY_KEY_INVALID' })
})
