// HMAC-SHA256 as two one-shot hashes (RFC 2104 §2).
//
// node:crypto's createHmac makes an object for every call, and a KeyObject where the key is another each time. Both cost
// more than the hashes, and must be garbage-collected.

import { Buffer } from 'node:buffer'
import { hash } from 'node:crypto'

const blockSize = 64
const digestSize = 32
const maxDataSize = 192
// Shared by all calls: each call is synchronous and overwrites every byte that it uses.
const sharedInner = Buffer.alloc(blockSize + maxDataSize)
const sharedOuter = Buffer.alloc(blockSize + digestSize)

/** HMAC-SHA256 with a key of at most 64 bytes over parts of at most 192 bytes in all. */
export function hmacSha256(key: Uint8Array, ...parts: readonly Uint8Array[]): Buffer {
  setKey(sharedInner, sharedOuter, key)
  let end = blockSize
  for (const part of parts) {
    sharedInner.set(part, end)
    end += part.length
  }
  return finish(sharedInner.subarray(0, end), sharedOuter)
}

/** Makes HMAC-SHA256s with one key, over bytes, or over text of one-byte characters. */
export type Hmac = (data: Uint8Array | string) => Buffer

/** Prepares a key of any length. */
export function createHmacSha256(key: Uint8Array): Hmac {
  let inner = Buffer.alloc(blockSize + 512)
  const outer = Buffer.alloc(blockSize + digestSize)
  setKey(inner, outer, key.length > blockSize ? Buffer.from(hash('sha256', key, 'binary'), 'binary') : key)
  return (data) => {
    const end = blockSize + data.length
    if (end > inner.length) inner = Buffer.concat([inner], 2 * end)
    if (typeof data === 'string') inner.write(data, blockSize, 'binary')
    else inner.set(data, blockSize)
    return finish(inner.subarray(0, end), outer)
  }
}

function setKey(inner: Buffer, outer: Buffer, key: Uint8Array): void {
  inner.fill(0x36, 0, blockSize)
  outer.fill(0x5c, 0, blockSize)
  let index = 0
  for (const byte of key) {
    inner[index] = byte ^ 0x36
    outer[index] = byte ^ 0x5c
    index++
  }
}

function finish(inner: Buffer, outer: Buffer): Buffer {
  // The "binary" encoding (one character a byte) is the fastest output of `hash`.
  outer.write(hash('sha256', inner, 'binary'), blockSize, 'binary')
  return Buffer.from(hash('sha256', outer, 'binary'), 'binary')
}
