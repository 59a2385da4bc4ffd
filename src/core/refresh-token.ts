// The bytes of a refresh token, and the checks that tell it from a forgery.
//
//   dpr_ + base64url( version 1 · keyId 1 · sessionId 16 · generation 4 · salt 8 · tag 16 · proof 16 )
//
// `tag`   = HMAC-SHA256(session.secret, version…salt): a stolen server key forges nothing.
// `proof` = HMAC-SHA256(server key,     version…tag):  a stolen database forges nothing, and garbage costs no I/O.

import { Buffer } from 'node:buffer'
import { createHmac, hash, type KeyObject, timingSafeEqual } from 'node:crypto'
import { hmacSha256 } from './hmac.ts'
import type { Session } from './session.ts'
import type { Warn } from './warn.ts'

const prefix = 'dpr_'
const version = 1
const saltAt = 22
const tagAt = 30
const proofAt = 46
const size = 62
const childLabel = Buffer.from('daypass child')
const textLength = prefix.length + Math.ceil((size * 4) / 3)

/** Nobody rotates four thousand million times; a generation past this is refused, not wrapped. */
export const maxGeneration = 0xffff_fffe

/** The key that proves tokens, with the byte that names it in them. */
export interface ProofKey {
  id: number
  key: KeyObject
}

/** A parsed token whose proof is good. Its tag is checked against the session's row by {@link isTagged}. */
export interface RefreshToken {
  sessionId: string
  generation: number
  salt: Uint8Array
  bytes: Buffer
}

/** Makes the text of the token of `generation` with `salt`. */
export function mintRefreshToken(session: Session, generation: number, salt: Uint8Array, proofKey: ProofKey): string {
  const bytes = Buffer.allocUnsafe(size)
  bytes[0] = version
  bytes[1] = proofKey.id
  bytes.write(session.id, 2, 16, 'base64url')
  bytes.writeUInt32BE(generation, 18)
  bytes.set(salt, saltAt)
  hmacSha256(session.secret, bytes.subarray(0, tagAt)).copy(bytes, tagAt, 0, 16)
  mac(proofKey.key, bytes.subarray(0, proofAt)).copy(bytes, proofAt, 0, 16)
  return prefix + bytes.toString('base64url')
}

/** Reads a token; null for anything that this server's keys did not make. Never throws, whatever comes. */
export function parseRefreshToken(text: unknown, proofKeys: readonly ProofKey[]): RefreshToken | null {
  const bytes = decode(text)
  if (bytes === null) return null
  // The id is a hint: two secrets may share one by chance.
  const proven = proofKeys.some(
    ({ id, key }) =>
      id === bytes[1] && timingSafeEqual(mac(key, bytes.subarray(0, proofAt)).subarray(0, 16), bytes.subarray(proofAt)),
  )
  if (!proven) return null
  return {
    sessionId: bytes.toString('base64url', 2, 18),
    generation: bytes.readUInt32BE(18),
    salt: bytes.subarray(saltAt, tagAt),
    bytes,
  }
}

/**
 * Reads a token that came from a caller, as {@link parseRefreshToken} does, and warns where it names a secret that this
 * server does not have.
 */
export function readRefreshToken(
  text: string,
  { proofKeys, warn }: { proofKeys: readonly ProofKey[]; warn: Warn },
): RefreshToken | null {
  const token = parseRefreshToken(text, proofKeys)
  if (token === null && namesUnknownKey(text, proofKeys)) {
    warn(
      'DAYPASS_SECRET_UNKNOWN',
      'A refresh token came that was made with a secret which this server does not have, so it was refused. While a new secret is rolled out it must stand last first, `secret: [old, new]`, until every server has it.',
    )
  }
  return token
}

/** Whether a text has the form of a token and names a key that is none of ours: another instance's newer secret, or a lie. */
export function namesUnknownKey(text: unknown, proofKeys: readonly ProofKey[]): boolean {
  const bytes = decode(text)
  return bytes !== null && !proofKeys.some(({ id }) => id === bytes[1])
}

/** Whether the token was made with this session's secret, in constant time. */
export function isTagged(token: RefreshToken, session: Session): boolean {
  const tag = hmacSha256(session.secret, token.bytes.subarray(0, tagAt)).subarray(0, 16)
  return timingSafeEqual(tag, token.bytes.subarray(tagAt, proofAt))
}

/**
 * The salt of the child that a keyed refresh gets: the same for the same parent and key, so that a refresh asked again
 * is answered with the same token. It needs nothing but the row, whoever asks.
 */
export function childSalt(session: Session, parentKey: Uint8Array, parentSalt: Uint8Array): Uint8Array {
  const generation = Buffer.allocUnsafe(4)
  generation.writeUInt32BE(session.generation)
  return hmacSha256(session.secret, childLabel, generation, parentSalt, parentKey).subarray(0, 8)
}

/** What of an Idempotency-Key is kept: 16 bytes of its SHA-256. */
export function hashIdempotencyKey(key: string): Uint8Array {
  return Buffer.from(hash('sha256', key, 'binary'), 'binary').subarray(0, 16)
}

/** The bytes of a text in the form of a token. */
function decode(text: unknown): Buffer | null {
  if (typeof text !== 'string' || text.length !== textLength || !text.startsWith(prefix)) return null
  const encoded = text.slice(prefix.length)
  const bytes = Buffer.from(encoded, 'base64url')
  // One spelling a token: decoders pass over stray bits and characters, so the text must be what we would write.
  const isCanonical = bytes.length === size && bytes.toString('base64url') === encoded
  return isCanonical && bytes[0] === version ? bytes : null
}

function mac(key: KeyObject, data: Uint8Array): Buffer {
  return createHmac('sha256', key).update(data).digest()
}
