// Checks the access token of a request (RFC 6750).

import { DaypassError } from '../errors.ts'
import type { AccessToken } from '../verify/index.ts'
import { type HttpRequest, header } from './request.ts'
import type { AccessNeeds } from './response.ts'

/** A Daypass, or a verifier of `daypass/verify`. */
export interface TokenVerifier<C> {
  verify(accessToken: string): Promise<AccessToken<C>>
}

/** Demands on an access token beside being valid. */
export interface GuardOptions extends AccessNeeds {
  /** Milliseconds since the epoch. Default `Date.now`. */
  clock?: () => number
}

/**
 * Checks the token of `Authorization: Bearer …`. The query is never read (RFC 9700 §4.3.2).
 *
 * @throws DaypassError `ERR_ACCESS_TOKEN_…`, `ERR_SCOPE_INSUFFICIENT`, `ERR_AUTHENTICATION_TOO_OLD`, and
 *   `ERR_REQUEST_INVALID` for two headers.
 */
export async function checkAccess<C>(
  verifier: TokenVerifier<C>,
  request: HttpRequest,
  { scope, maxAge, clock = Date.now }: GuardOptions = {},
): Promise<AccessToken<C>> {
  const accessToken = header(request, 'authorization')?.match(/^Bearer +(\S+)$/i)?.[1]
  if (accessToken === undefined) throw new DaypassError('ERR_ACCESS_TOKEN_MISSING')
  const token = await verifier.verify(accessToken)
  if (scope !== undefined && !scope.split(' ').every((needed) => token.scopes.includes(needed))) {
    throw new DaypassError('ERR_SCOPE_INSUFFICIENT')
  }
  if (maxAge !== undefined && !(clock() - (token.authTime ?? 0) <= maxAge * 1000)) {
    throw new DaypassError('ERR_AUTHENTICATION_TOO_OLD')
  }
  return token
}
