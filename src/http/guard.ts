// Checks the access token of a request (RFC 6750).

import type { Claims } from '../core/session.ts'
import { DaypassError } from '../errors.ts'
import { checkOptions, type OptionNames } from '../known-options.ts'
import { checkFunctions, requireOptions, wrongOption } from '../option.ts'
import type { AccessToken } from '../verify/index.ts'
import { type HttpRequest, header } from './request.ts'
import type { AccessNeeds } from './response.ts'

/** A Daypass, or a verifier of `daypass/verify`. */
export interface TokenVerifier<C> {
  verify(accessToken: string): Promise<AccessToken<C>>
  /** The clock that it verifies by, in milliseconds since the epoch. */
  readonly clock?: () => number
}

/** Demands on an access token beside being valid. */
export interface GuardOptions<C = Claims> extends AccessNeeds {
  /**
   * Lets in only the tokens for which it returns `true`: `({ claims }) => claims.role === 'admin'`. The others get 403
   * `ERR_CLAIMS_INSUFFICIENT`; a list or a text is not `true`. If it throws, nobody is let in: a DaypassError becomes the
   * response, and any other error is a 500 that `onError` receives.
   */
  allow?(token: AccessToken<C>): boolean | Promise<boolean>
  /** Milliseconds since the epoch. Default: the clock that tokens are verified by. */
  clock?: () => number
}

/**
 * Checks the token of `Authorization: Bearer …`. The query is never read (RFC 9700 §4.3.2).
 *
 * @throws DaypassError `ERR_ACCESS_TOKEN_…`, `ERR_SCOPE_INSUFFICIENT`, `ERR_CLAIMS_INSUFFICIENT`,
 *   `ERR_AUTHENTICATION_TOO_OLD`, and `ERR_REQUEST_INVALID` for two headers.
 */
export async function checkAccess<C>(
  verifier: TokenVerifier<C>,
  request: HttpRequest,
  { scope, maxAge, allow, clock = verifier.clock ?? Date.now }: GuardOptions<C> = {},
): Promise<AccessToken<C>> {
  const accessToken = header(request, 'authorization')?.match(/^Bearer +(\S+)$/i)?.[1]
  if (accessToken === undefined) throw new DaypassError('ERR_ACCESS_TOKEN_MISSING')
  const token = await verifier.verify(accessToken)
  if (scope !== undefined && !scope.split(' ').every((needed) => token.scopes.includes(needed))) {
    throw new DaypassError('ERR_SCOPE_INSUFFICIENT')
  }
  // Before the age: a person who may not do this at all should not be asked to sign in again.
  if (allow !== undefined && (await allow(token)) !== true) throw new DaypassError('ERR_CLAIMS_INSUFFICIENT')
  if (maxAge !== undefined && !(clock() - (token.authTime ?? 0) <= maxAge * 1000)) {
    throw new DaypassError('ERR_AUTHENTICATION_TOO_OLD')
  }
  return token
}

/** Whether a first argument of `requireAuth` is a request: frameworks call a middleware with it. */
export const isRequest = (value: unknown): boolean => typeof value === 'object' && value !== null && 'headers' in value

/**
 * The handler and the options that `requireAuth` was called with; both are optional.
 *
 * @throws DaypassError `ERR_OPTION_INVALID`: a misspelt option would leave a route open.
 */
export function readGuardArguments<Handler extends CallableFunction, C>(
  first: Handler | GuardOptions<C> = {},
  second?: GuardOptions<C>,
): { handler: Handler | undefined; needs: GuardOptions<C> } {
  if (typeof first === 'function') {
    checkGuardOptions(second ?? {})
    return { handler: first, needs: second ?? {} }
  }
  checkGuardOptions(first)
  if (second !== undefined) {
    throw new DaypassError(
      'ERR_OPTION_INVALID',
      '`requireAuth` takes the handler first: requireAuth(handler, options).',
    )
  }
  return { handler: undefined, needs: first }
}

const ofClaims = "Give a predicate: `allow: ({ claims }) => claims.role === 'admin'`."
const advice = { role: ofClaims, roles: ofClaims, claims: ofClaims, permissions: ofClaims }

const guardOptions: OptionNames<GuardOptions> = { scope: true, maxAge: true, allow: true, clock: true }

function checkGuardOptions(given: GuardOptions<never>): void {
  requireOptions(given, "requireAuth({ scope: 'reports:read' })")
  checkOptions(given, guardOptions, '', advice)
  checkNeeds(given)
}

const scopes = /^[\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*$/

/** Checks the demands of a guard or a route. Throws `ERR_OPTION_INVALID`. */
export function checkNeeds(given: GuardOptions<never>): void {
  const { scope, maxAge } = given
  // The challenge of a rejection names them, in the characters of RFC 6750 §3.
  if (scope !== undefined && !(typeof scope === 'string' && scopes.test(scope))) {
    throw wrongOption('scope', scope, "Give scopes separated by spaces, such as 'reports:read reports:write'.")
  }
  if (maxAge !== undefined && !(typeof maxAge === 'number' && maxAge >= 0)) {
    throw wrongOption('maxAge', maxAge, 'Give a number of seconds, such as 300.')
  }
  checkFunctions(given, 'allow', 'clock')
}

/** Checks that a verifier is one. Throws `ERR_OPTION_INVALID`. */
export function checkVerifier(name: string, given: TokenVerifier<unknown>, instead: string): void {
  if (typeof given?.verify !== 'function') throw wrongOption(name, given, instead)
}
