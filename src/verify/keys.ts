// The keys that verify access tokens, each for one algorithm.

import { importJWK } from 'jose'
import { DaypassError } from '../errors.ts'
import { isObject, wrongOption } from '../option.ts'

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

/** The form of a key that jose needs. */
export type VerificationKey = Awaited<ReturnType<typeof importJWK>>

/** Finds the key for the `kid` and the exact algorithm of a header; undefined if there is none. */
export type FindKey = (header: { alg: string; kid: string | undefined }) => Promise<VerificationKey | undefined>

/** A source of keys. */
export interface KeySource {
  find: FindKey
  /** Identifies the current key set: another object for each set, and undefined if `find` must be called. */
  current(): unknown
}

/** One key, for one algorithm. */
export interface Key {
  kid: string | undefined
  alg: string
  load(): VerificationKey | Promise<VerificationKey>
}

/** The allowed algorithms of access tokens (RFC 8725 §3.1). */
export const algorithms: ReadonlySet<string> = new Set(['EdDSA', 'Ed25519', 'ES256', 'RS256', 'HS256'])

/** Keys that are known from the start. Throws `ERR_KEY_WEAK` for a weak or unusable one now, not at the first request. */
export function localKeys(jwks: readonly Jwk[]): KeySource {
  if (!Array.isArray(jwks) || jwks.length === 0) {
    throw wrongOption('jwks.keys', jwks, 'Give the list of the keys (RFC 7517).')
  }
  const keys = jwks.map((jwk: Jwk) => {
    if (!isObject(jwk)) throw wrongOption('jwks.keys', jwk, 'Give each key as a JWK (RFC 7517).')
    const alg = jwk.alg ?? algorithmOf(jwk)
    checkStrength(jwk, alg)
    let imported: Promise<VerificationKey> | undefined
    const load = () => {
      imported ??= importJWK(jwk as Parameters<typeof importJWK>[0], alg).catch((cause) => {
        throw new DaypassError('ERR_KEY_WEAK', 'A verification key cannot be used: it is damaged.', { cause })
      })
      return imported
    }
    return { kid: jwk.kid, alg, load }
  })
  return { find: async (header) => pickKey(keys, header), current: () => jwks }
}

/** The key for a header, if exactly one key matches: a token is not tried with one key after another. */
export function pickKey(keys: readonly Key[], { alg, kid }: Parameters<FindKey>[0]) {
  const [key, ...others] = keys.filter((key) => sameAlgorithm(key.alg, alg) && (kid === undefined || key.kid === kid))
  return others.length === 0 ? key?.load() : undefined
}

/** The algorithm of a key without `alg`. Throws `ERR_OPTION_INVALID` if there is more than one. */
export function algorithmOf(jwk: Jwk): string {
  if (jwk.kty === 'OKP' && jwk.crv === 'Ed25519') return 'EdDSA'
  if (jwk.kty === 'EC' && jwk.crv === 'P-256') return 'ES256'
  throw new DaypassError('ERR_OPTION_INVALID', 'A key needs an `alg` member: one key, one algorithm (RFC 8725 §3.1).')
}

function sameAlgorithm(ofKey: string, ofHeader: string): boolean {
  // EdDSA and Ed25519 are two names of one algorithm here (RFC 9864 §2.2).
  return ofKey === ofHeader || (isEd25519(ofKey) && isEd25519(ofHeader))
}

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
