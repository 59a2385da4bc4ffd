// daypass/fetch: Daypass where a request is a Request and a response is a Response.

import type { Daypass, FoundSession } from '../core/api.ts'
import type { Claims } from '../core/session.ts'
import { type GuardOptions, isRequest, readGuardArguments, type TokenVerifier } from '../http/guard.ts'
import { createHttpAuth, createVerifierGuard, type Guard } from '../http/http-auth.ts'
import type { HttpOptions, ServerTypes, UserOfBoth } from '../http/options.ts'
import type { HttpResponse } from '../http/response.ts'
import type {
  SignInOptions as HttpSignInOptions,
  SignOutOptions as HttpSignOutOptions,
  SignIn,
} from '../http/sign-in-types.ts'
import type { AccessToken } from '../verify/index.ts'
import { readRequest } from './fetch-request.ts'

export type { FoundSession } from '../core/api.ts'
export type { GuardOptions, TokenVerifier } from '../http/guard.ts'
export type { HttpOptions, ServerTypes } from '../http/options.ts'
export type { RouteRequest } from '../http/request.ts'
export type { RouteResponse } from '../http/response.ts'
export type { BearerCall, CredentialsCall, Route, RouteCall } from '../http/route.ts'
export type { SignIn, SignInRequest, Transport } from '../http/sign-in-types.ts'

/** Facts about the caller that a Request does not have. */
export interface CallerOptions {
  /** The caller's address, as the runtime knows it. */
  ip?: string | undefined
}

/** How a response to a sign-in is made. */
export interface SignInOptions extends HttpSignInOptions, CallerOptions {}

/** How a response to a sign-out is made. */
export interface SignOutOptions extends HttpSignOutOptions, CallerOptions {}

/** A request whose access token is verified. */
export type AuthenticatedRequest<C = Claims> = Request & { auth: AccessToken<C> }

/** A guard for the app's own paths: as a check, or around a handler whose `request.auth` is then typed and there. */
export interface RequireAuth<C = Claims> {
  /** Returns a check. It resolves to the access token, or to the 401 or 403 to return. */
  (options?: GuardOptions<C>): (request: Request) => Promise<AccessToken<C> | Response>
  /** Further arguments that the framework passes, such as a context, are passed on. */
  <Rest extends unknown[]>(
    handler: (request: AuthenticatedRequest<C>, ...rest: Rest) => Response | Promise<Response>,
    options?: GuardOptions<C>,
  ): (request: Request, ...rest: Rest) => Promise<Response>
  /** The check itself. */
  (request: Request): Promise<AccessToken<C> | Response>
}

/** The adapter that {@link createFetchAuth} makes. */
export interface FetchAuth<C = Claims, Credentials = unknown, User = unknown, Finds extends boolean = false> {
  /** Responds to a request for one of the routes. Null for any other path: the app responds to it. */
  routes(request: Request, caller?: CallerOptions): Promise<Response | null>
  /** Lets in requests with a good access token, and answers all others with 401 or 403. */
  requireAuth: RequireAuth<C>
  /**
   * Reads who is signed in by the cookie of a request, for a page that is rendered on a server. Nothing is rotated or
   * ended, and no cookie is set. Null for nobody.
   */
  findSession(request: Request, caller?: CallerOptions): Promise<FoundSession<C, User> | null>
  /** Begins a session for a login of your own. Returns the response. */
  signIn(request: Request, signIn: SignIn<C, User, Finds>, options?: SignInOptions): Promise<Response>
  /** Ends the session that the request carries. Returns the response. */
  signOut(request: Request, options?: SignOutOptions): Promise<Response>
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
 * const me = web.requireAuth((request) => Response.json({ subject: request.auth.subject }))
 * export default {
 *   async fetch(request: Request): Promise<Response> {
 *     return (await web.routes(request)) ?? me(request)
 *   },
 * }
 * ```
 */
export function createFetchAuth<
  C = Claims,
  Credentials = Record<string, unknown>,
  Found = unknown,
  User extends Found = Found,
  Finds extends boolean = false,
>(
  auth: Daypass<C, Finds, Found>,
  options: HttpOptions<C, Credentials, User, Finds> = {},
): FetchAuth<C, Credentials, UserOfBoth<Found, User>, Finds> {
  const web = createHttpAuth(auth, options)
  return {
    async routes(request, { ip } = {}) {
      const response = await web.routes(readRequest(request, ip))
      return response && toResponse(response)
    },
    requireAuth: guardWith(web.requireAuth),
    findSession: (request, { ip } = {}) => web.findSession(readRequest(request, ip)),
    async signIn(request, signIn, { ip, ...given } = {}) {
      return toResponse(await web.signIn(readRequest(request, ip), signIn, given))
    },
    async signOut(request, { ip, ...given } = {}) {
      return toResponse(await web.signOut(readRequest(request, ip), given))
    },
  }
}

/**
 * The guard alone, for an API that only checks tokens.
 *
 * @example
 * ```ts
 * import { createRequireAuth } from 'daypass/fetch'
 * import { createVerifier } from 'daypass/verify'
 *
 * const requireAuth = createRequireAuth(createVerifier({ issuer: 'https://id.example.com' }))
 * export default { fetch: requireAuth(() => Response.json([]), { scope: 'orders:read' }) }
 * ```
 */
export function createRequireAuth<C>(
  verifier: TokenVerifier<C>,
  options: Pick<HttpOptions, 'onError'> = {},
): RequireAuth<C> {
  return guardWith(createVerifierGuard(verifier, options))
}

type Handler<C, Rest extends unknown[]> = (
  request: AuthenticatedRequest<C>,
  ...rest: Rest
) => Response | Promise<Response>

function guardWith<C>(guard: Guard<C>): RequireAuth<C> {
  async function check(request: Request, needs: GuardOptions<C>): Promise<AccessToken<C> | Response> {
    const { token, rejection } = await guard(readRequest(request), needs)
    return rejection === undefined ? token : toResponse(rejection)
  }
  function requireAuth<Rest extends unknown[]>(
    first?: GuardOptions<C> | Handler<C, Rest> | Request,
    second?: GuardOptions<C>,
  ) {
    if (isRequest(first)) return check(first as Request, {})
    const { handler, needs } = readGuardArguments(first as GuardOptions<C> | Handler<C, Rest>, second)
    if (handler === undefined) return (request: Request) => check(request, needs)
    return async (request: Request, ...rest: Rest) => {
      const found = await check(request, needs)
      return found instanceof Response ? found : handler(Object.assign(request, { auth: found }), ...rest)
    }
  }
  return requireAuth as RequireAuth<C>
}

function toResponse({ status, headers, body }: HttpResponse): Response {
  const entries = Object.entries(headers).flatMap(([name, value]) =>
    [value].flat().map((one): [string, string] => [name, one]),
  )
  return new Response(body ?? null, { status, headers: entries })
}
