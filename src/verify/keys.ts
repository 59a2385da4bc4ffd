// Which keys may check an access token, and which algorithm does each of them do?

import { importJWK } from 'jose'
import { DaypassError } from '../errors.ts'

/** A JSON Web Key (RFC 7517). Public here, but for `kty: "oct"`. */
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

/** What jose verifies with. */
export type VerificationKey = Awaited<ReturnType<typeof importJWK>>

/** Finds the key that a header names, for exactly the algorithm it is for; undefined where there is none. */
export type FindKey = (header: { alg: string; kid: string | undefined }) => Promise<VerificationKey | undefined>

/** Where keys come from. */
export interface Keys {
  find: FindKey
  /** Which set of keys is in use: another object as soon as others are, undefined where `find` must be asked. */
  current(): unknown
}

/** One key, for one algorithm. */
export interface Key {
  kid: string | undefined
  alg: string
  load(): VerificationKey | Promise<VerificationKey>
}

/** The algorithms that access tokens may have. Nothing else is ever tried (RFC 8725 §3.1). */
export const algorithms: ReadonlySet<string> = new Set(['EdDSA', 'Ed25519', 'ES256', 'RS256', 'HS256'])

/** Keys that are known from the start; weak or unusable ones throw `ERR_KEY_WEAK` now, not at the first request. */
export function localKeys(jwks: readonly Jwk[]): Keys {
  if (jwks.length === 0) throw new DaypassError('ERR_OPTION_INVALID', 'The key set is empty.')
  const keys = jwks.map((jwk) => {
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

/** The one key that a header names, where there is no choice: a token is not tried against one key after another. */
export function pickKey(keys: readonly Key[], { alg, kid }: Parameters<FindKey>[0]) {
  const found = keys.filter((key) => sameAlgorithm(key.alg, alg) && (kid === undefined || key.kid === kid))
  return found.length === 1 ? found[0]!.load() : undefined
}

/** The algorithm of a key that names none. Throws `ERR_OPTION_INVALID` where there is a choice. */
export function algorithmOf(jwk: Jwk): string {
  if (jwk.kty === 'OKP' && jwk.crv === 'Ed25519') return 'EdDSA'
  if (jwk.kty === 'EC' && jwk.crv === 'P-256') return 'ES256'
  throw new DaypassError('ERR_OPTION_INVALID', 'A key needs an `alg` member: one key, one algorithm (RFC 8725 §3.1).')
}

function sameAlgorithm(ofKey: string, ofHeader: string): boolean {
  // Two names of one algorithm (RFC 9864 §2.2).
  return ofKey === ofHeader || (isEd25519(ofKey) && isEd25519(ofHeader))
}

const isEd25519 = (alg: string) => alg === 'EdDSA' || alg === 'Ed25519'

/** Throws `ERR_KEY_WEAK` or `ERR_OPTION_INVALID` for a key that must not check a token by this algorithm. */
export function checkStrength(jwk: Jwk, alg: string): void {
  if (jwk.d !== undefined) {
    throw new DaypassError('ERR_OPTION_INVALID', 'A private key was given where only its public half is needed.')
  }
  // A key for encryption checks no signature (RFC 7517 §4.2 and §4.3); jose sees to it where keys are fetched.
  if ((jwk.use ?? 'sig') !== 'sig' || (Array.isArray(jwk.key_ops) && !jwk.key_ops.includes('verify'))) {
    throw new DaypassError('ERR_OPTION_INVALID', 'A verification key is not for signatures, by its `use` or `key_ops`.')
  }
  // Anything but base64url might be passed over by a decoder, down to an empty key.
  const bytes = (text: unknown) =>
    typeof text === 'string' && /^[A-Za-z0-9_-]+$/.test(text) ? Math.floor((text.length * 3) / 4) : 0
  const strong =
    (isEd25519(alg) && jwk.kty === 'OKP' && jwk.crv === 'Ed25519' && bytes(jwk.x) === 32) ||
    (alg === 'ES256' && jwk.kty === 'EC' && jwk.crv === 'P-256' && bytes(jwk.x) === 32 && bytes(jwk.y) === 32) ||
    // An exponent of 1 signs nothing; those below 2^16 have had their own attacks (FIPS 186-5 §5.4).
    (alg === 'RS256' && jwk.kty === 'RSA' && bytes(jwk.n) >= 256 && bytes(jwk.e) >= 3) ||
    (alg === 'HS256' && jwk.kty === 'oct' && bytes(jwk.k) >= 32)
  if (!strong || !algorithms.has(alg)) {
    throw new DaypassError(
      'ERR_KEY_WEAK',
      `A verification key does not fit ${algorithms.has(alg) ? alg : 'any allowed algorithm'}: it is empty, too short or of another kind.`,
    )
  }
}
