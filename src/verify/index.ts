// `daypass/verify`: verifies access tokens without a call to the server. Web standards only: no `node:` import.

import { DaypassError } from '../errors.ts'
import { checkOptions, type OptionNames } from '../known-options.ts'
import { checkFunctions, requireOptions, wrongOption } from '../option.ts'
import { createWarner, type OnWarning } from '../warn.ts'
import { type AccessToken, invalid, readAccessToken } from './access-token.ts'
import { parseStrictObject } from './json.ts'
import type { Jwk } from './jwk.ts'
import { parseJws } from './jws.ts'
import { type KeySource, localKeys } from './keys.ts'
import { remoteKeys } from './remote-keys.ts'
import { verifySignature } from './signature.ts'
import { createTokenCache } from './token-cache.ts'

export { DaypassError, type ErrorCode, isDaypassError } from '../errors.ts'
export type { AccessToken } from './access-token.ts'
export type { Jwk } from './jwk.ts'

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
  /**
   * Receives a warning where a token with a good signature is from another issuer or for another audience, at most once a
   * minute. Default `console.warn`.
   */
  onWarning?: OnWarning
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
  onWarning: true,
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
  /** The `clock` option, or `Date.now`: how old a sign-in is, is measured by it. Milliseconds since the epoch. */
  readonly clock: () => number
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
  requireOptions(options, "createVerifier({ issuer: 'https://id.example.com' })")
  checkOptions(options, verifierOptions)
  const { issuer, audience = issuer, clock = Date.now, isRevoked, cacheSize = 10_000 } = options
  if (typeof issuer !== 'string' || issuer === '') {
    throw wrongOption(
      'issuer',
      issuer,
      "Give the issuer of the tokens, as the server has it: 'https://id.example.com'.",
    )
  }
  if (typeof audience !== 'string' || audience === '') {
    throw wrongOption('audience', audience, 'Give one audience, as the server has it, or leave it out.')
  }
  const { clockTolerance: tolerance = 0 } = options
  if (!(typeof tolerance === 'number' && tolerance >= 0 && tolerance <= 300)) {
    throw wrongOption('clockTolerance', tolerance, 'Give seconds, 0 to 300.')
  }
  const clockTolerance = tolerance * 1000
  if (!(Number.isInteger(cacheSize) && cacheSize >= 0)) {
    throw wrongOption('cacheSize', cacheSize, 'Give a whole number, 0 or more.')
  }
  checkFunctions(options, 'isRevoked', 'onWarning', 'clock', 'fetch')

  const warn = createWarner(options.onWarning, clock)
  const onForeign = (difference: string) =>
    warn('DAYPASS_TOKEN_FOREIGN', `A token with a good signature is rejected: ${difference}.`)
  const cache = createTokenCache<CachedToken<C>>(cacheSize)
  const keys = findKeys()

  function findKeys(): KeySource {
    const { jwks } = options
    if (typeof jwks === 'object' && jwks !== null && 'keys' in jwks) return localKeys(jwks.keys)
    return remoteKeys(findAddress(jwks, issuer), {
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
    const jws = parseJws(text)
    if (!isAccessTokenType(jws.typ)) throw invalid('its type is not at+jwt')
    const keySet = keys.current()
    const key = await keys.find(jws)
    if (key === undefined) throw invalid('no key for its alg and kid')
    await verifySignature(jws, key)
    const claims = parseStrictObject(jws.payload)
    if (claims === undefined) throw invalid('its payload is not one plain JSON object')
    const now = clock()
    const token = readAccessToken(claims, { issuer, audience, now, clockTolerance, onForeign }) as AccessToken<C>
    const result = Promise.resolve(token)
    // Store the key set from before the search: if the set changed meanwhile, it is not known which one had the key.
    if (keySet !== undefined) cache.set(text, { token, result, until: token.expiresAt + clockTolerance, keySet })
    return checkRevoked(token, result)
  }

  return {
    clock,
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

/** The address of the keys. Throws `ERR_OPTION_INVALID`. */
function findAddress(jwks: string | URL | undefined, issuer: string): URL {
  const path = '/.well-known/jwks.json'
  const url = jwks === undefined ? parseUrl(path, issuer) : parseUrl(jwks)
  if (url !== undefined) return url
  const instead = `Set \`jwks\` to the address of the keys, such as 'https://id.example.com${path}', or to the key set.`
  if (jwks !== undefined) throw wrongOption('jwks', jwks, instead)
  throw wrongOption('issuer', issuer, `That is no address, so it does not say where the keys are. ${instead}`)
}

function parseUrl(address: string | URL, base?: string): URL | undefined {
  try {
    const url = new URL(address, base)
    return url.protocol === 'https:' || url.protocol === 'http:' ? url : undefined
  } catch {
    return undefined
  }
}

function seconds(name: string, value: number | undefined, fallback: number): number {
  const given = value ?? fallback
  if (Number.isFinite(given) && given >= 0) return given
  throw wrongOption(name, value, 'Give a number of seconds, 0 or more.')
}
