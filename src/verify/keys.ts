// The keys that verify access tokens, each for one algorithm.

import { DaypassError } from '../errors.ts'
import { isObject, wrongOption } from '../option.ts'
import { algorithmOf, checkStrength, isSameAlgorithm, type Jwk } from './jwk.ts'
import { type CheckSignature, importKey } from './signature.ts'

/** Finds the key for the `kid` and the exact algorithm of a header; undefined if there is none. */
export type FindKey = (header: { alg: string; kid: string | undefined }) => Promise<CheckSignature | undefined>

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
  load(): CheckSignature | Promise<CheckSignature>
}

/** Keys that are known from the start. Throws `ERR_KEY_WEAK` for a weak one now. A damaged one rejects each token. */
export function localKeys(jwks: readonly Jwk[]): KeySource {
  if (!Array.isArray(jwks) || jwks.length === 0) {
    throw wrongOption('jwks.keys', jwks, 'Give the list of the keys (RFC 7517).')
  }
  const keys = jwks.map((jwk: Jwk) => {
    if (!isObject(jwk)) throw wrongOption('jwks.keys', jwk, 'Give each key as a JWK (RFC 7517).')
    const alg = jwk.alg ?? algorithmOf(jwk)
    checkStrength(jwk, alg)
    let imported: Promise<CheckSignature> | undefined
    const load = () => {
      imported ??= importKey(jwk, alg).catch((cause) => {
        // Try again: the code that imports it may not have loaded.
        imported = undefined
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
  const [key, ...others] = keys.filter((key) => isSameAlgorithm(key.alg, alg) && (kid === undefined || key.kid === kid))
  return others.length === 0 ? key?.load() : undefined
}
