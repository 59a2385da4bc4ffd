// Ends a session over HTTP.

import type { Daypass, RevokeOptions } from '../core/api.ts'
import { DaypassError } from '../errors.ts'
import { checkAccess } from './guard.ts'
import type { RouteResponse } from './response.ts'
import type { RefreshTokenCall } from './route.ts'
import type { TokenTransport } from './token-transport.ts'

/** Makes what the route of a sign-out runs. */
export function createHttpSignOut<C>(
  auth: Daypass<C, true>,
  tokens: TokenTransport,
): (call: Pick<RefreshTokenCall, 'request' | 'token' | 'transport' | 'session'>) => Promise<RouteResponse> {
  return async ({ request, token, transport, session }) => {
    // A `session` that is not understood must not count as none: that would end whichever session is there.
    if (session !== undefined && typeof session !== 'string') {
      throw new DaypassError('ERR_REQUEST_INVALID', '`session` must be a string.')
    }
    const { ip, userAgent } = request
    const revoke: RevokeOptions = { request: { ip, userAgent }, ...(session !== undefined && { sessionId: session }) }
    // All tokens of the browser: the response clears their cookies, and nobody could end their sessions any more. The older
    // app's cookie may hold one that was never traded, and would sign in again.
    const held = transport === 'cookie' ? tokens.readAll(request) : [token].filter((text) => text !== undefined)
    let isEnded = false
    for (const text of held) isEnded = (await auth.revokeToken(text, revoke)) || isEnded
    if (held.length === 0 && request.headers('authorization').length > 0) {
      const { sessionId } = await checkAccess(auth, request)
      if (session === undefined || session === sessionId) await auth.revoke(sessionId, revoke)
    }
    // A sign-out that is sent again later names its session. The cookie may belong to a newer sign-in by then.
    if (session !== undefined && !isEnded) return {}
    // No other response clears the cookie. A refresh that lost a race must not clear the winner's.
    return transport === 'cookie' ? tokens.clear(request) : {}
  }
}
