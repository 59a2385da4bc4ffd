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
  const operations: unknown = jwk.key_ops === undefined ? ['verify'] : jwk.key_ops
  if ((jwk.use ?? 'sig') !== 'sig' || !(Array.isArray(operations) && operations.includes('verify'))) {
    throw new DaypassError('ERR_OPTION_INVALID', 'A verification key is not for signatures, by its `use` or `key_ops`.')
  }
  const { x, y, n, k } = jwk
  const strong =
    (isEd25519(alg) && jwk.kty === 'OKP' && jwk.crv === 'Ed25519' && sizeOf(x) === 32) ||
    (alg === 'ES256' && jwk.kty === 'EC' && jwk.crv === 'P-256' && sizeOf(x) === 32 && sizeOf(y) === 32) ||
    (alg === 'RS256' && jwk.kty === 'RSA' && isModulus(n) && isExponent(jwk.e)) ||
    (alg === 'HS256' && jwk.kty === 'oct' && sizeOf(k) >= 32)
  if (!strong || !algorithms.has(alg)) {
    throw new DaypassError(
      'ERR_KEY_WEAK',
      `A verification key does not fit ${algorithms.has(alg) ? alg : 'any allowed algorithm'}: it is empty, too short or of another kind.`,
    )
  }
}

/** The bytes of a base64url text; 0 for any other value. A decoder may ignore other characters, and so read an empty key. */
const sizeOf = (text: unknown) =>
  typeof text === 'string' && /^[A-Za-z0-9_-]+$/.test(text) && text.length % 4 !== 1
    ? Math.floor((text.length * 3) / 4)
    : 0

/** A number has no zero bytes in front (RFC 7518 §2): a short one would pass for a long one. */
const isNumber = (text: unknown, least: number, most: number) =>
  sizeOf(text) >= least && sizeOf(text) <= most && !/^A[A-P]/.test(String(text))

/** 2,048 to 16,384 bits, as OpenSSL has it: a longer modulus takes seconds. */
const isModulus = (n: unknown) => isNumber(n, 256, 2048)

/**
 * Odd, above 2^16 (FIPS 186-5 §5.4) and at most 64 bits. With an exponent of 1 anybody can make a signature, small ones
 * have known attacks, and a long one makes every check slow.
 */
const isExponent = (e: unknown) =>
  isNumber(e, 3, 8) && (atob(String(e).replaceAll('-', '+').replaceAll('_', '/')).charCodeAt(sizeOf(e) - 1) & 1) === 1
