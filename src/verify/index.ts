// How does an API check access tokens without asking anybody? (Web standards only: no `node:` import.)

import { DaypassError } from '../errors.ts'
import { type AccessToken, invalid, readAccessToken } from './access-token.ts'
import { createTokenCache } from './cache.ts'
import { parseStrictObject } from './json.ts'
import { readHeader, readSigned } from './jws.ts'
import { type Jwk, type Keys, localKeys } from './keys.ts'
import { remoteKeys } from './remote-keys.ts'

export { DaypassError, type ErrorCode, isDaypassError } from '../errors.ts'
export type { AccessToken } from './access-token.ts'
export type { Jwk } from './keys.ts'

/** Options of {@link createVerifier}. */
export interface VerifierOptions {
  /** The `issuer` of the server that signs, to the letter. */
  issuer: string
  /** The `audience` that tokens must be for. Default: the issuer. */
  audience?: string
  /**
   * The server's keys: an address to fetch them from, or the key set itself. Default: `/.well-known/jwks.json` at the
   * issuer. An HS256 key (`kty: "oct"`) can only be given here, never fetched.
   */
  jwks?: string | URL | { keys: readonly Jwk[] }
  /** Seconds by which clocks may differ, 0 to 300. Default 0. */
  clockTolerance?: number
  /** How many verified tokens are remembered; 0 for none. Default 10,000 (about 10 MB). */
  cacheSize?: number
  /** Seconds after which fetched keys are fetched again. Default 600. */
  jwksMaxAge?: number
  /** Seconds between two fetches for unknown key ids, at least. Default 30. */
  jwksCooldown?: number
  /**
   * Seconds for which keys older than `jwksMaxAge` stay in use while none can be fetched. A key that was withdrawn in this
   * time is accepted as long. Default 3,600; 0 refuses at once.
   */
  jwksStaleFor?: number
  /**
   * Says whether a session was ended; asked at every verification, remembered or not. What it throws or rejects with is
   * what `verify` rejects with.
   */
  isRevoked?: (sessionId: string, token: AccessToken) => boolean | Promise<boolean>
  /** Milliseconds since the epoch. Default `Date.now`. */
  clock?: () => number
  /** Default the global `fetch`. */
  fetch?: typeof fetch
}

/** What {@link createVerifier} makes. */
export interface Verifier<C = Record<string, unknown>> {
  /**
   * Verifies an access token.
   *
   * @param token The JWT alone, without `Bearer`.
   * @returns What it says; frozen and shared.
   * @throws DaypassError `ERR_ACCESS_TOKEN_INVALID`, `ERR_ACCESS_TOKEN_EXPIRED`, `ERR_ACCESS_TOKEN_REVOKED` or
   *   `ERR_JWKS_UNAVAILABLE`.
   */
  verify(token: string): Promise<AccessToken<C>>
}

/**
 * Makes a verifier of RFC 9068 access tokens. A token seen before costs a Map look-up and no signature check; its
 * expiry and revocation are checked every time.
 *
 * @example
 * ```ts
 * import { createVerifier } from 'daypass/verify'
 *
 * const verifier = createVerifier<{ role: string }>({ issuer: 'https://id.example.com', audience: 'https://api.example.com' })
 * const { subject, claims } = await verifier.verify('eyJ…')
 * console.log(subject, claims.role)
 * ```
 * @see RFC 9068 §4, RFC 8725
 */
export function createVerifier<C = Record<string, unknown>>(options: VerifierOptions): Verifier<C> {
  const { issuer, audience = issuer, clock = Date.now, isRevoked, cacheSize = 10_000 } = options
  const clockTolerance = (options.clockTolerance ?? 0) * 1000
  if (typeof issuer !== 'string' || issuer === '') throw option('`issuer` must be the issuer’s exact text.')
  if (typeof audience !== 'string' || audience === '') throw option('`audience` must be a text.')
  if (!(clockTolerance >= 0 && clockTolerance <= 300_000)) throw option('`clockTolerance` must be 0 to 300 seconds.')
  if (!(Number.isInteger(cacheSize) && cacheSize >= 0)) throw option('`cacheSize` must be a whole number, 0 or more.')

  const cache = createTokenCache<Remembered<C>>(cacheSize)
  const keys = findKeys()

  function findKeys(): Keys {
    const { jwks } = options
    if (typeof jwks === 'object' && 'keys' in jwks) return localKeys(jwks.keys)
    return remoteKeys(jwks === undefined ? toUrl('/.well-known/jwks.json', issuer) : toUrl(jwks), {
      maxAge: seconds('jwksMaxAge', options.jwksMaxAge, 600),
      cooldown: seconds('jwksCooldown', options.jwksCooldown, 30),
      staleFor: seconds('jwksStaleFor', options.jwksStaleFor, 3600),
      clock,
      fetch: options.fetch,
    })
  }

  /** `answer` is the promise of the token: handing on the same one costs nothing. */
  function checked(token: AccessToken<C>, answer: Promise<AccessToken<C>>): Promise<AccessToken<C>> {
    const revoked = isRevoked?.(token.sessionId, token as AccessToken) ?? false
    if (revoked === false) return answer
    if (revoked === true) throw new DaypassError('ERR_ACCESS_TOKEN_REVOKED')
    return revoked.then((isRevoked) => {
      if (isRevoked) throw new DaypassError('ERR_ACCESS_TOKEN_REVOKED')
      // It may have ended while the answer was waited for.
      if (clock() >= token.expiresAt + clockTolerance) throw new DaypassError('ERR_ACCESS_TOKEN_EXPIRED')
      return token
    })
  }

  async function verifyUnseen(text: unknown): Promise<AccessToken<C>> {
    if (typeof text !== 'string') throw invalid('not a text')
    const { typ, ...header } = readHeader(text)
    if (!isAccessTokenType(typ)) throw invalid('its type is not at+jwt')
    const keySet = keys.current()
    const key = await keys.find(header)
    if (key === undefined) throw invalid('no key for its alg and kid')
    const claims = parseStrictObject(await readSigned(text, key, header.alg))
    if (claims === undefined) throw invalid('its payload is not one plain JSON object')
    const now = clock()
    const token = readAccessToken(claims, { issuer, audience, now, clockTolerance }) as AccessToken<C>
    const answer = Promise.resolve(token)
    // With the keys as they were before it was looked for: where others came meanwhile, nobody knows which of them it was.
    if (keySet !== undefined) cache.set(text, { token, answer, until: token.expiresAt + clockTolerance, keySet })
    return checked(token, answer)
  }

  return {
    // Not `async`: whoever brings a token seen before gets the same promise, and making another would double the cost.
    verify(text) {
      const seen = typeof text === 'string' ? cache.get(text) : undefined
      if (seen === undefined) return verifyUnseen(text)
      try {
        // What rests on keys that may be gone is checked again with those that are there now.
        if (clock() < seen.until && seen.keySet === keys.current()) return checked(seen.token, seen.answer)
      } catch (error) {
        return Promise.reject(error)
      }
      return verifyUnseen(text)
    },
  }
}

/** A token that was verified, and what that rests on. */
interface Remembered<C> {
  token: AccessToken<C>
  answer: Promise<AccessToken<C>>
  /** Milliseconds since the epoch. */
  until: number
  keySet: unknown
}

/** RFC 9068 §4; media types are compared without case, and "application/" may be left out (RFC 7515 §4.1.9). */
const isAccessTokenType = (typ: unknown) =>
  typeof typ === 'string' && typ.toLowerCase().replace(/^application\//, '') === 'at+jwt'

function toUrl(address: string | URL, base?: string): URL {
  try {
    return new URL(address, base)
  } catch {
    throw option(
      '`jwks` must be the address of a key set, or the key set; it may be left out where `issuer` is an address.',
    )
  }
}

function seconds(name: string, value: number | undefined, fallback: number): number {
  const given = value ?? fallback
  if (Number.isFinite(given) && given >= 0) return given
  throw option(`\`${name}\` must be a number of seconds, 0 or more.`)
}

const option = (message: string) => new DaypassError('ERR_OPTION_INVALID', message)
