// Checks signatures: with node:crypto where the runtime has it, and otherwise with jose, which uses Web Crypto. Web Crypto
// works in other threads, and the way there and back costs many times an HMAC.

import { DaypassError } from '../errors.ts'
import { invalid } from './access-token.ts'
import type { Jwk } from './jwk.ts'
import type { Jws } from './jws.ts'
import { type NodeModules, node } from './node.ts'

/** Whether a signature is right, by one key with one algorithm. Throws or rejects if it cannot be one. */
export type CheckSignature = (jws: Jws) => boolean | Promise<boolean>

/** Throws `ERR_ACCESS_TOKEN_INVALID` unless the signature is right. */
export async function verifySignature(jws: Jws, check: CheckSignature): Promise<void> {
  let isRight: boolean
  try {
    isRight = await check(jws)
  } catch (cause) {
    throw new DaypassError('ERR_ACCESS_TOKEN_INVALID', undefined, { cause })
  }
  if (!isRight) throw invalid('its signature is wrong')
}

/** Imports a key that `checkStrength` has accepted. Rejects if it is damaged. */
export async function importKey({ kty, crv, x, y, n, e, k }: Jwk, alg: string): Promise<CheckSignature> {
  // Without the other members, which Web Crypto reads and node:crypto does not (`key_ops`, `ext`).
  const material = { kty, crv, x, y, n, e, k }
  return node === undefined ? importWithJose(material, alg) : importWithNode(node, material, alg)
}

async function importWithJose(jwk: Jwk, alg: string): Promise<CheckSignature> {
  // Where node:crypto does the work, jose is not loaded: functions that start often start faster.
  const { compactVerify, errors, importJWK } = await import('jose')
  const key = await importJWK(jwk as Parameters<typeof importJWK>[0], alg)
  return (jws) =>
    compactVerify(jws.text, key, { algorithms: [jws.alg] }).then(
      () => true,
      (error) => {
        if (error instanceof errors.JWSSignatureVerificationFailed) return false
        throw error
      },
    )
}

function importWithNode({ crypto, Buffer }: NodeModules, jwk: Jwk, alg: string): CheckSignature {
  if (alg === 'HS256') {
    const key = crypto.createSecretKey(jwk.k ?? '', 'base64url')
    return ({ signed, signature }) => {
      const expected = crypto.createHmac('sha256', key).update(signed, 'latin1').digest()
      return signature.length === expected.length && crypto.timingSafeEqual(signature, expected)
    }
  }
  const key = crypto.createPublicKey({ key: jwk, format: 'jwk' })
  // RFC 7518 §3.3. `checkStrength` has counted the bytes of `n`, and the first bits of them may be zero.
  if (alg === 'RS256' && !((key.asymmetricKeyDetails?.modulusLength ?? 0) >= 2048)) {
    throw new DaypassError('ERR_KEY_WEAK', 'An RS256 key needs at least 2048 bits (RFC 7518 §3.3).')
  }
  if (alg === 'ES256') {
    return ({ signed, signature }) =>
      signature.length === 64 &&
      crypto.verify('sha256', Buffer.from(signed, 'latin1'), key, Buffer.from(concatToDer(signature)))
  }
  const digest = alg === 'RS256' ? 'sha256' : null
  return ({ signed, signature }) => crypto.verify(digest, Buffer.from(signed, 'latin1'), key, signature)
}

/**
 * Converts r‖s of 32 bytes each (RFC 7518 §3.4) to SEQUENCE { INTEGER r, INTEGER s }. With the option `dsaEncoding`,
 * node:crypto would convert it too, and slowly.
 */
function concatToDer(signature: Uint8Array): number[] {
  const integers = [...toInteger(signature.subarray(0, 32)), ...toInteger(signature.subarray(32))]
  return [0x30, integers.length, ...integers]
}

/** A positive INTEGER: without zeros in front, but for one where the next bit would be read as a minus (X.690 §8.3). */
function toInteger(bytes: Uint8Array): number[] {
  // Where all bytes are zero, the index is -1: that takes the last one.
  const digits = [...bytes.subarray(bytes.findIndex((byte) => byte !== 0))]
  if ((digits[0] ?? 0) > 0x7f) digits.unshift(0)
  return [0x02, digits.length, ...digits]
}
