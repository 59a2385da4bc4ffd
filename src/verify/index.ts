// `daypass/verify`: verifies access tokens without a call to the server. Web standards only: no `node:` import.

import { DaypassError } from '../errors.ts'
import { checkOptions, type OptionNames } from '../known-options.ts'
import { type AccessToken, invalid, readAccessToken } from './access-token.ts'
import { parseStrictObject } from './json.ts'
import { readHeader, readSigned } from './jws.ts'
import { type Jwk, type KeySource, localKeys } from './keys.ts'
import { remoteKeys } from './remote-keys.ts'
import { createTokenCache } from './token-cache.ts'

export { DaypassError, type ErrorCode, isDaypassError } from '../errors.ts'
export type { AccessToken } from './access-token.ts'
export type { Jwk } from './keys.ts'

/** Options of {@link createVerifier}. */
export interface VerifierOptions {
  /** The exact `issuer` of the server that signs the tokens. */
  issuer: string
  /** The `audience` that tokens must be for. Default: the issuer. */
  audience?: string
  /**
   * The server's keys: an address to fetch them from, or the key set itself. Default: `/.well-known/jwks.json` at the
   * issuer. An HS256 key (`kty: "oct"`) must be passed here; it is never fetched.
   */
  jwks?: string | URL | { keys: readonly Jwk[] }
  /** Seconds by which clocks may differ, 0 to 300. Default 0. */
  clockTolerance?: number
  /** The maximum number of cached tokens; 0 for none. Default 10,000 (about 10 MB). */
  cacheSize?: number
  /** Seconds after which fetched keys are fetched again. Default 600. */
  jwksMaxAge?: number
  /** The minimum of seconds between two fetches for unknown key ids. Default 30. */
  jwksCooldown?: number
  /**
   * Seconds for which keys older than `jwksMaxAge` stay in use while fetching fails. A key that was withdrawn meanwhile is
   * accepted that long. Default 3,600; with 0 tokens are rejected at once.
   */
  jwksStaleFor?: number
  /**
   * Returns whether a session was ended. Called at every verification, also of cached tokens. If it throws or rejects,
   * `verify` rejects with the same error.
   */
  isRevoked?: (sessionId: string, token: AccessToken) => boolean | Promise<boolean>
  /** Milliseconds since the epoch. Default `Date.now`. */
  clock?: () => number
  /** Default the global `fetch`. */
  fetch?: typeof fetch
}

const verifierOptions: OptionNames<VerifierOptions> = {
  issuer: true,
  audience: true,
  jwks: true,
  clockTolerance: true,
  cacheSize: true,
  jwksMaxAge: true,
  jwksCooldown: true,
  jwksStaleFor: true,
  isRevoked: true,
  clock: true,
  fetch: true,
}

/** The result of {@link createVerifier}. */
export interface Verifier<C = Record<string, unknown>> {
  /**
   * Verifies an access token.
   *
   * @param token The JWT without `Bearer`.
   * @returns The content of the token; frozen and shared.
   * @throws DaypassError `ERR_ACCESS_TOKEN_INVALID`, `ERR_ACCESS_TOKEN_EXPIRED`, `ERR_ACCESS_TOKEN_REVOKED` or
   *   `ERR_JWKS_UNAVAILABLE`.
   */
  verify(token: string): Promise<AccessToken<C>>
}

/**
 * Makes a verifier of RFC 9068 access tokens. A cached token costs a Map look-up and no signature check. Its expiry and
 * revocation are checked every time.
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
  checkOptions(options, verifierOptions)
  const { issuer, audience = issuer, clock = Date.now, isRevoked, cacheSize = 10_000 } = options
  const clockTolerance = (options.clockTolerance ?? 0) * 1000
  if (typeof issuer !== 'string' || issuer === '') throw option('`issuer` must be a non-empty string.')
  if (typeof audience !== 'string' || audience === '') throw option('`audience` must be a non-empty string.')
  if (!(clockTolerance >= 0 && clockTolerance <= 300_000)) throw option('`clockTolerance` must be 0 to 300 seconds.')
  if (!(Number.isInteger(cacheSize) && cacheSize >= 0)) throw option('`cacheSize` must be a whole number, 0 or more.')

  const cache = createTokenCache<CachedToken<C>>(cacheSize)
  const keys = findKeys()

  function findKeys(): KeySource {
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

  /** Checks for revocation. `result` is a promise of the token: returning the same promise each time costs nothing. */
  function checkRevoked(token: AccessToken<C>, result: Promise<AccessToken<C>>): Promise<AccessToken<C>> {
    const revoked = isRevoked?.(token.sessionId, token as AccessToken) ?? false
    if (revoked === false) return result
    if (revoked === true) throw new DaypassError('ERR_ACCESS_TOKEN_REVOKED')
    return revoked.then((isRevoked) => {
      if (isRevoked) throw new DaypassError('ERR_ACCESS_TOKEN_REVOKED')
      // The token may have expired in the meantime.
      if (clock() >= token.expiresAt + clockTolerance) throw new DaypassError('ERR_ACCESS_TOKEN_EXPIRED')
      return token
    })
  }

  async function verifyUnseen(text: unknown): Promise<AccessToken<C>> {
    if (typeof text !== 'string') throw invalid('not a string')
    const { typ, ...header } = readHeader(text)
    if (!isAccessTokenType(typ)) throw invalid('its type is not at+jwt')
    const keySet = keys.current()
    const key = await keys.find(header)
    if (key === undefined) throw invalid('no key for its alg and kid')
    const claims = parseStrictObject(await readSigned(text, key, header.alg))
    if (claims === undefined) throw invalid('its payload is not one plain JSON object')
    const now = clock()
    const token = readAccessToken(claims, { issuer, audience, now, clockTolerance }) as AccessToken<C>
    const result = Promise.resolve(token)
    // Store the key set from before the search: if the set changed meanwhile, it is not known which one had the key.
    if (keySet !== undefined) cache.set(text, { token, result, until: token.expiresAt + clockTolerance, keySet })
    return checkRevoked(token, result)
  }

  return {
    // Not `async`: a cached token returns the same promise each time, and making another would double the cost.
    verify(text) {
      const cached = typeof text === 'string' ? cache.get(text) : undefined
      if (cached === undefined) return verifyUnseen(text)
      try {
        // If the key set has changed, verify the token again: its key may have been withdrawn.
        if (clock() < cached.until && cached.keySet === keys.current()) return checkRevoked(cached.token, cached.result)
      } catch (error) {
        return Promise.reject(error)
      }
      return verifyUnseen(text)
    },
  }
}

/** A verified token, and the conditions under which it is still verified. */
interface CachedToken<C> {
  token: AccessToken<C>
  result: Promise<AccessToken<C>>
  /** Milliseconds since the epoch. */
  until: number
  keySet: unknown
}

/** RFC 9068 §4. Media types are case-insensitive, and "application/" may be omitted (RFC 7515 §4.1.9). */
const isAccessTokenType = (typ: unknown) =>
  typeof typ === 'string' && typ.toLowerCase().replace(/^application\//, '') === 'at+jwt'

function toUrl(address: string | URL, base?: string): URL {
  try {
    return new URL(address, base)
  } catch {
    throw option(
      '`jwks` must be the address of a key set, or the key set. It may be omitted if `issuer` is an address.',
    )
  }
}

function seconds(name: string, value: number | undefined, fallback: number): number {
  const given = value ?? fallback
  if (Number.isFinite(given) && given >= 0) return given
  throw option(`\`${name}\` must be a number of seconds, 0 or more.`)
}

const option = (message: string) => new DaypassError('ERR_OPTION_INVALID', message)
