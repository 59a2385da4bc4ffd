// Checks signatures: with node:crypto where the runtime has it, and otherwise with jose, which uses Web Crypto. Web Crypto
// works in other threads, and the way there and back costs 20 times as much as an HMAC.

import { compactVerify, errors, importJWK } from 'jose'
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
export async function importKey(jwk: Jwk, alg: string): Promise<CheckSignature> {
  return node === undefined ? importWithJose(jwk, alg) : importWithNode(node, jwk, alg)
}

async function importWithJose(jwk: Jwk, alg: string): Promise<CheckSignature> {
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
  const key = crypto.createPublicKey({ key: { ...jwk }, format: 'jwk' })
  // RFC 7518 §3.3. `checkStrength` has counted the bytes of `n`, and the first of them may be zero.
  if (alg === 'RS256' && !((key.asymmetricKeyDetails?.modulusLength ?? 0) >= 2048)) throw new TypeError('too short')
  const digest = alg === 'ES256' || alg === 'RS256' ? 'sha256' : null
  // ES256 signatures are r‖s (RFC 7518 §3.4).
  const input = alg === 'ES256' ? ({ key, dsaEncoding: 'ieee-p1363' } as const) : key
  return ({ signed, signature }) => crypto.verify(digest, Buffer.from(signed, 'latin1'), input, signature)
}
