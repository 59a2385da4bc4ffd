// JSON Web Keys (RFC 7517), and which of them may verify access tokens.

import { DaypassError } from '../errors.ts'

/** A JSON Web Key (RFC 7517): a public key, or a secret one with `kty: "oct"`. */
export interface Jwk {
  kty?: string
  kid?: string
  alg?: string
  use?: string
  crv?: string
  x?: string
  y?: string
  n?: string
  e?: string
  k?: string
  [member: string]: unknown
}

/** The allowed algorithms of access tokens (RFC 8725 §3.1). */
export const algorithms: ReadonlySet<string> = new Set(['EdDSA', 'Ed25519', 'ES256', 'RS256', 'HS256'])

/** The algorithm of a key without `alg`. Throws `ERR_OPTION_INVALID` if there is more than one. */
export function algorithmOf(jwk: Jwk): string {
  if (jwk.kty === 'OKP' && jwk.crv === 'Ed25519') return 'EdDSA'
  if (jwk.kty === 'EC' && jwk.crv === 'P-256') return 'ES256'
  throw new DaypassError('ERR_OPTION_INVALID', 'A key needs an `alg` member: one key, one algorithm (RFC 8725 §3.1).')
}

/** Whether two names are of one algorithm: EdDSA and Ed25519 are here (RFC 9864 §2.2). */
export const isSameAlgorithm = (one: string, other: string) => one === other || (isEd25519(one) && isEd25519(other))

const isEd25519 = (alg: string) => alg === 'EdDSA' || alg === 'Ed25519'

/** Throws `ERR_KEY_WEAK` or `ERR_OPTION_INVALID` for a key that must not verify tokens with this algorithm. */
export function checkStrength(jwk: Jwk, alg: string): void {
  if (jwk.d !== undefined) {
    throw new DaypassError('ERR_OPTION_INVALID', 'A private key was passed where only its public half is needed.')
  }
  // Reject keys that are not for signatures (RFC 7517 §4.2 and §4.3).
  if ((jwk.use ?? 'sig') !== 'sig' || (Array.isArray(jwk.key_ops) && !jwk.key_ops.includes('verify'))) {
    throw new DaypassError('ERR_OPTION_INVALID', 'A verification key is not for signatures, by its `use` or `key_ops`.')
  }
  // A decoder may ignore characters outside base64url, and so read an empty key.
  const bytes = (text: unknown) =>
    typeof text === 'string' && /^[A-Za-z0-9_-]+$/.test(text) ? Math.floor((text.length * 3) / 4) : 0
  const strong =
    (isEd25519(alg) && jwk.kty === 'OKP' && jwk.crv === 'Ed25519' && bytes(jwk.x) === 32) ||
    (alg === 'ES256' && jwk.kty === 'EC' && jwk.crv === 'P-256' && bytes(jwk.x) === 32 && bytes(jwk.y) === 32) ||
    // With an exponent of 1 everything verifies, and exponents below 2^16 have known attacks (FIPS 186-5 §5.4).
    (alg === 'RS256' && jwk.kty === 'RSA' && bytes(jwk.n) >= 256 && bytes(jwk.e) >= 3) ||
    (alg === 'HS256' && jwk.kty === 'oct' && bytes(jwk.k) >= 32)
  if (!strong || !algorithms.has(alg)) {
    throw new DaypassError(
      'ERR_KEY_WEAK',
      `A verification key does not fit ${algorithms.has(alg) ? alg : 'any allowed algorithm'}: it is empty, too short or of another kind.`,
    )
  }
}
