// May this request in? The access token of a request, checked (RFC 6750).

import { DaypassError } from '../errors.ts'
import type { AccessToken } from '../verify/index.ts'
import { errorAnswer, type HttpAnswer, type HttpRequest, header } from './message.ts'

/** Whatever verifies access tokens: a Daypass, or a verifier of `daypass/verify`. */
export interface TokenVerifier<C> {
  verify(accessToken: string): Promise<AccessToken<C>>
}

/** What a route asks of an access token beside being good. */
export interface GuardOptions {
  /** Scopes that must all be there, separated by spaces. */
  scope?: string
  /** How many seconds ago the person may have signed in at the most (RFC 9470 `max_age`). */
  maxAge?: number
  /** Milliseconds since the epoch. Default `Date.now`. */
  clock?: () => number
}

/**
 * Reads `Authorization: Bearer …`; never the query (RFC 9700 §4.3.2).
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

/** Says an error of {@link checkAccess}, with the challenge that tells a client what to do (RFC 6750 §3, RFC 9470 §3). */
export function refuseAccess(thrown: unknown, { scope, maxAge }: GuardOptions = {}): HttpAnswer {
  const answer = errorAnswer(thrown)
  if (answer.status !== 401 && answer.status !== 403) return { ...answer, headers: noStore(answer) }
  const { error, message } = answer.body as { error?: string; message: string }
  // No error code where no credentials came (RFC 6750 §3.1).
  const details = [
    error && `error="${error}"`,
    error && `error_description="${message.replaceAll(/["\\]/g, "'")}"`,
    error === 'insufficient_scope' && scope && `scope="${scope}"`,
    error === 'insufficient_user_authentication' && maxAge !== undefined && `max_age="${maxAge}"`,
  ].filter(Boolean)
  const challenge = details.length === 0 ? 'Bearer' : `Bearer ${details.join(', ')}`
  return { ...answer, headers: { ...noStore(answer), 'www-authenticate': challenge } }
}

const noStore = (answer: HttpAnswer) => ({ ...answer.headers, 'cache-control': 'no-store' })
