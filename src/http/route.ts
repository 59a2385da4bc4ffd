// A route as a declaration: its method, its path, who may ask, and what it runs. The rules for it are the router's.

import type { Claims } from '../core/session.ts'
import type { AccessToken } from '../verify/index.ts'
import type { GuardOptions } from './guard.ts'
import type { HttpRequest, RouteRequest } from './request.ts'
import type { AccessNeeds, RouteResponse } from './response.ts'
import type { SignIn, Transport } from './sign-in-types.ts'

/** The call of a route, as `run` gets it. */
export interface RouteCall {
  request: RouteRequest
  /** The parts of the path that stand for a `:name`. */
  params: Record<string, string>
  /**
   * Reads the body.
   *
   * @returns The JSON object; an empty one where there is no body.
   * @throws DaypassError `ERR_MEDIA_TYPE`, `ERR_BODY_TOO_LARGE`, `ERR_REQUEST_INVALID`, `ERR_BODY_CONSUMED`.
   */
  readBody(): Promise<Record<string, unknown>>
}

/** The call of a route that reads credentials. */
export interface CredentialsCall<C = Claims, Finds extends boolean = false> extends RouteCall {
  /** The members of the JSON body, without `transport`. */
  credentials: Record<string, unknown>
  /** Begins a session, and returns the response with its tokens in the transport that the caller asked for. */
  signIn(signIn: SignIn<C, unknown, Finds>): Promise<RouteResponse>
}

/** The call of a route that needs an access token. */
export interface BearerCall<C = Claims> extends RouteCall {
  /** The access token of the request, verified. */
  auth: AccessToken<C>
}

/** The call of a route that takes a refresh token. */
export interface RefreshTokenCall extends RouteCall, CarriedToken {
  request: HttpRequest
}

/** The refresh token that a request carries. */
export interface CarriedToken {
  token?: string
  /** The token in the older app's cookie (`cookie.oldName`). */
  old?: string
  transport: Transport
  /** The body's `session` as it came: a sign-out that was sent again names the session that it is for. */
  session?: unknown
}

interface Declaration<Access extends string, Call> {
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** The whole path. A part `:name` stands for 1 to 64 letters, digits, `-` and `_`. */
  path: string
  access: Access
  /** Makes the response. An error that it throws becomes one: a DaypassError with its status, anything else a 500. */
  run(call: Call): RouteResponse | Promise<RouteResponse>
}

/**
 * A route of the app's own, served beside Daypass's (the `routes` option). The router keeps the rules for it:
 *
 * - Every method but GET needs a page of this origin, a page that is listed in `origins`, or a program without an Origin.
 * - Every response is `Cache-Control: no-store`, and has the CORS headers of a listed page.
 * - Another method of the path is 405 with `Allow`. HEAD is answered as GET.
 * - Errors are `{"error", "code", "message"}`, and 5xx errors go to `onError`.
 *
 * `access` says who may ask:
 *
 * - `page`: anyone, within the rule of origins.
 * - `bearer`: a caller with a good access token, with the `scope`, the `maxAge` (seconds) and the `allow` that the route
 *   names, as `requireAuth` takes them.
 * - `credentials`: a caller who signs in. The body's `transport` is read by the router. The cookie transport needs a
 *   page that is known to be allowed.
 * - `custom`: a caller whom `check` does not reject by throwing, such as a back end with an API key.
 *
 * @example
 * ```ts
 * import { createDaypass } from 'daypass'
 * import { createMemoryStore } from 'daypass/memory'
 * import { createNodeAuth, type Route } from 'daypass/node'
 *
 * const routes: Route[] = [
 *   { method: 'GET', path: '/auth/me', access: 'bearer', run: ({ auth }) => ({ body: { subject: auth.subject } }) },
 *   {
 *     method: 'POST',
 *     path: '/auth/register',
 *     access: 'credentials',
 *     run: ({ credentials, signIn }) => signIn({ subject: String(credentials.name) }),
 *   },
 * ]
 * const auth = createDaypass({ secret: process.env.DAYPASS_SECRET!, issuer: 'https://example.com', store: createMemoryStore() })
 * const web = createNodeAuth(auth, { routes })
 * ```
 */
export type Route<C = Claims, Finds extends boolean = false> =
  | Declaration<'page', RouteCall>
  | (Declaration<'bearer', BearerCall<C>> & AccessNeeds & Pick<GuardOptions<C>, 'allow'>)
  | Declaration<'credentials', CredentialsCall<C, Finds>>
  | (Declaration<'custom', RouteCall> & {
      /** Throws a DaypassError where the caller may not ask. */
      check(request: RouteRequest): unknown
    })

/** A route of Daypass's own. It may also take the refresh token, and let caches keep its response. */
export type DaypassRoute<C = Claims> = (Route<C, true> | Declaration<'cookie', RefreshTokenCall>) & {
  /** The `Cache-Control` of its response, where that is no error. Default "no-store". */
  cacheControl?: string
}
