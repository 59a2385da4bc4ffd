// The format of refresh tokens, and the checks that detect forgeries.
//
//   dpr_ + base64url( version 1 · keyId 1 · sessionId 16 · generation 4 · salt 8 · tag 16 · proof 16 )
//
// `tag`   = HMAC-SHA256(session.secret, version…salt): a stolen server key is not enough to forge a token.
// `proof` = HMAC-SHA256(server key,     version…tag):  a stolen database is not enough, and garbage costs no I/O.

import { Buffer } from 'node:buffer'
import { hash, timingSafeEqual } from 'node:crypto'
import type { Warn } from '../warn.ts'
import { type Hmac, hmacSha256 } from './hmac.ts'
import type { Session } from './session.ts'

const prefix = 'dpr_'
const version = 1
const saltAt = 22
const tagAt = 30
const proofAt = 46
const size = 62
const childLabel = Buffer.from('daypass child')
const textLength = prefix.length + Math.ceil((size * 4) / 3)

/** A token with a higher generation is rejected, so that the 32 bits never wrap. No session rotates that often. */
export const maxGeneration = 0xffff_fffe

/** A key that makes and checks proofs, with the byte that identifies it in tokens. */
export interface ProofKey {
  id: number
  hmac: Hmac
}

/** A parsed token with a valid proof. {@link isTagged} checks its tag against the session's row. */
export interface RefreshToken {
  sessionId: string
  generation: number
  salt: Uint8Array
  bytes: Buffer
}

/** Makes the token of `generation` with `salt`. */
export function mintRefreshToken(session: Session, generation: number, salt: Uint8Array, proofKey: ProofKey): string {
  const bytes = Buffer.allocUnsafe(size)
  bytes[0] = version
  bytes[1] = proofKey.id
  bytes.write(session.id, 2, 16, 'base64url')
  bytes.writeUInt32BE(generation, 18)
  bytes.set(salt, saltAt)
  hmacSha256(session.secret, bytes.subarray(0, tagAt)).copy(bytes, tagAt, 0, 16)
  proofKey.hmac(bytes.subarray(0, proofAt)).copy(bytes, proofAt, 0, 16)
  return prefix + bytes.toString('base64url')
}

/** Parses a token. Returns null for anything that was not made with this server's keys. Never throws. */
export function parseRefreshToken(text: unknown, proofKeys: readonly ProofKey[]): RefreshToken | null {
  const bytes = decode(text)
  if (bytes === null) return null
  // The key id is only a hint: two secrets may have the same one by chance.
  const proven = proofKeys.some(
    ({ id, hmac }) =>
      id === bytes[1] && timingSafeEqual(hmac(bytes.subarray(0, proofAt)).subarray(0, 16), bytes.subarray(proofAt)),
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
 * Parses a token of a request, as {@link parseRefreshToken} does, and warns if it was made with a secret that this server
 * does not have.
 */
export function readRefreshToken(
  text: string,
  { proofKeys, warn }: { proofKeys: readonly ProofKey[]; warn: Warn },
): RefreshToken | null {
  const token = parseRefreshToken(text, proofKeys)
  if (token === null && namesUnknownKey(text, proofKeys)) {
    warn(
      'DAYPASS_SECRET_UNKNOWN',
      'A refresh token was rejected because it was made with a secret that this server does not have. To roll out a new secret, deploy `secret: [old, new]` to every server first, and put the new one first only then.',
    )
  }
  return token
}

/** Whether a text has the form of a token but names an unknown key: another instance's newer secret, or a forgery. */
function namesUnknownKey(text: unknown, proofKeys: readonly ProofKey[]): boolean {
  const bytes = decode(text)
  return bytes !== null && !proofKeys.some(({ id }) => id === bytes[1])
}

/** Whether the token was made with this session's secret, in constant time. */
export function isTagged(token: RefreshToken, session: Session): boolean {
  const tag = hmacSha256(session.secret, token.bytes.subarray(0, tagAt)).subarray(0, 16)
  return timingSafeEqual(tag, token.bytes.subarray(tagAt, proofAt))
}

/**
 * The salt of the child of a refresh with a key. It is the same for the same parent and key, so that a repeated refresh
 * gets the same token. It is computed from the row alone.
 */
export function childSalt(session: Session, parentKey: Uint8Array, parentSalt: Uint8Array): Uint8Array {
  const generation = Buffer.allocUnsafe(4)
  generation.writeUInt32BE(session.generation)
  return hmacSha256(session.secret, childLabel, generation, parentSalt, parentKey).subarray(0, 8)
}

/** The stored form of an Idempotency-Key: 16 bytes of its SHA-256. */
export function hashIdempotencyKey(key: string): Uint8Array {
  return Buffer.from(hash('sha256', key, 'binary'), 'binary').subarray(0, 16)
}

/** Decodes a text that has the form of a token, else returns null. */
function decode(text: unknown): Buffer | null {
  if (typeof text !== 'string' || text.length !== textLength || !text.startsWith(prefix)) return null
  const encoded = text.slice(prefix.length)
  const bytes = Buffer.from(encoded, 'base64url')
  // Accept one encoding per token only: decoders ignore stray bits and characters.
  const isCanonical = bytes.toString('base64url') === encoded
  return isCanonical && bytes[0] === version ? bytes : null
}
