// daypass/fetch: Daypass where requests are Request and answers are Response.

import type { Daypass } from '../core/api.ts'
import type { Claims } from '../core/session.ts'
import { fromFetch, toFetch } from '../http/fetch.ts'
import { checkAccess, type GuardOptions, refuseAccess, type TokenVerifier } from '../http/guard.ts'
import { createHandler, type HttpOptions, type ServerTypes, type SignIn, type Transport } from '../http/handler.ts'
import type { AccessToken } from '../verify/index.ts'

/** What {@link createFetchAuth} makes. */
export interface FetchAuth<C = Claims, Credentials = unknown, User = unknown> {
  /** Answers a request to one of Daypass's addresses; null for any other. `ip` is the caller's, where it is known. */
  handle(request: Request, ip?: string): Promise<Response | null>
  /** The request's access token, checked; or the 401 or 403 to send. */
  authenticate(request: Request, options?: GuardOptions): Promise<AccessToken<C> | Response>
  /** Begins a session for a login of your own: the Response to send. */
  signIn(request: Request, signIn: SignIn<C>, options?: { transport?: Transport; ip?: string }): Promise<Response>
  /** For types alone; nothing is there when it runs. */
  readonly '~types'?: ServerTypes<C, Credentials, User>
}

/**
 * Serves a Daypass in fetch's terms.
 *
 * @throws DaypassError `ERR_OPTION_INVALID`.
 * @example
 * ```ts
 * import { createDaypass } from 'daypass'
 * import { createFetchAuth } from 'daypass/fetch'
 * import { createMemoryStore } from 'daypass/memory'
 *
 * const auth = createDaypass({ secret: process.env.DAYPASS_SECRET!, issuer: 'https://example.com', store: createMemoryStore() })
 * const web = createFetchAuth(auth)
 * export default {
 *   async fetch(request: Request): Promise<Response> {
 *     return (await web.handle(request)) ?? new Response('Not found', { status: 404 })
 *   },
 * }
 * ```
 */
export function createFetchAuth<C = Claims, Credentials = Record<string, unknown>, User = unknown>(
  auth: Daypass<C>,
  options: HttpOptions<C, Credentials, User> = {},
): FetchAuth<C, Credentials, User> {
  const handler = createHandler(auth, options)
  const verifier: TokenVerifier<C> = auth
  return {
    async handle(request, ip) {
      const answer = await handler.handle(fromFetch(request, ip))
      return answer === null ? null : toFetch(answer)
    },
    async authenticate(request, needed) {
      try {
        return await checkAccess(verifier, fromFetch(request), needed)
      } catch (error) {
        handler.fail(error)
        return toFetch(refuseAccess(error, needed))
      }
    },
    async signIn(request, signIn, { transport, ip } = {}) {
      try {
        return toFetch(await handler.signIn(fromFetch(request, ip), signIn, transport))
      } catch (error) {
        return toFetch(handler.fail(error))
      }
    },
  }
}
