// HMAC-SHA256 as two hashes: the same results as node:crypto's createHmac.

import assert from 'node:assert/strict'
import { createHmac, randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { createHmacSha256, hmacSha256 } from '../../src/core/hmac.ts'

const byNode = (key: Uint8Array, data: Uint8Array) => createHmac('sha256', key).update(data).digest()

test('a key of any length, with data of any length', () => {
  for (const keySize of [1, 31, 32, 63, 64, 65, 200]) {
    const key = randomBytes(keySize)
    const hmac = createHmacSha256(key)
    // Longer, then shorter again: no byte of an earlier call is left.
    for (const size of [0, 1, 46, 447, 448, 449, 5000, 512, 513, 16_384, 3]) {
      const data = randomBytes(size)
      assert.deepEqual(hmac(data), byNode(key, data), `${keySize} and ${size} bytes`)
      const text = data.toString('base64url')
      assert.deepEqual(hmac(text), byNode(key, Buffer.from(text)), `${keySize} bytes and text of ${size}`)
    }
  }
})

test('two keys in turn do not change one another', () => {
  const [one, other, data] = [randomBytes(32), randomBytes(32), randomBytes(50)]
  const [hmacOne, hmacOther] = [createHmacSha256(one), createHmacSha256(other)]
  const first = hmacOne(data)
  hmacOther(randomBytes(400))
  assert.deepEqual(hmacOne(data), first)
  assert.deepEqual(first, byNode(one, data))
})

test('a key for one call, with data in parts', () => {
  for (const keySize of [0, 1, 16, 64]) {
    const [key, data] = [randomBytes(keySize), randomBytes(192)]
    assert.deepEqual(hmacSha256(key, data), byNode(key, data))
    assert.deepEqual(hmacSha256(key, data.subarray(0, 50), data.subarray(50, 51)), byNode(key, data.subarray(0, 51)))
    assert.deepEqual(hmacSha256(key), byNode(key, Buffer.alloc(0)))
  }
})

test('text is one byte for each character', () => {
  const key = randomBytes(32)
  const text = 'a\x80\xe9\xff'
  assert.deepEqual(createHmacSha256(key)(text), byNode(key, Buffer.from(text, 'latin1')))
})
