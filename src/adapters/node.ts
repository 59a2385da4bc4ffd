// daypass/node: Daypass on plain node:http.

import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Daypass, FoundSession } from '../core/api.ts'
import type { Claims } from '../core/session.ts'
import { type GuardOptions, isRequest, readGuardArguments, type TokenVerifier } from '../http/guard.ts'
import type { ServerTypes, UserOfBoth } from '../http/options.ts'
import type { SignIn, SignInOptions, SignOutOptions } from '../http/sign-in-types.ts'
import type { AccessToken } from '../verify/index.ts'
import {
  createNodeGuard,
  createNodeHttp,
  type NodeExchange,
  type NodeGuard,
  type NodeOptions,
  readKeptBody,
} from './node-http.ts'

export type { FoundSession } from '../core/api.ts'
export type { GuardOptions, TokenVerifier } from '../http/guard.ts'
export type { HttpOptions, ServerTypes } from '../http/options.ts'
export type { RouteRequest } from '../http/request.ts'
export type { RouteResponse } from '../http/response.ts'
export type { BearerCall, CredentialsCall, Route, RouteCall } from '../http/route.ts'
export type { SignIn, SignInOptions, SignInRequest, SignOutOptions, Transport } from '../http/sign-in-types.ts'
export type { NodeOptions } from './node-http.ts'

/** A request whose access token is verified. */
export type AuthenticatedRequest<C = Claims> = IncomingMessage & { auth: AccessToken<C> }

/**
 * A check of a request. It resolves to the access token, which `req.auth` is then too, or to null where the 401 or 403 is
 * sent. It is a middleware as well (connect, polka): `next` is called where the token is good.
 */
export type Check<C = Claims> = (
  req: IncomingMessage,
  res: ServerResponse,
  next?: () => unknown,
) => Promise<AccessToken<C> | null>

/** A guard for the app's own paths: as a check, or around a handler whose `req.auth` is then typed and there. */
export interface RequireAuth<C = Claims> {
  (options?: GuardOptions<C>): Check<C>
  (
    handler: (req: AuthenticatedRequest<C>, res: ServerResponse) => unknown,
    options?: GuardOptions<C>,
  ): (req: IncomingMessage, res: ServerResponse) => Promise<void>
  /** The check itself. */
  (req: IncomingMessage, res: ServerResponse, next?: () => unknown): Promise<AccessToken<C> | null>
}

/** The adapter that {@link createNodeAuth} makes. */
export interface NodeAuth<C = Claims, Credentials = unknown, User = unknown, Finds extends boolean = false> {
  /** Responds to a request for one of the routes. False for any other path: the app responds to it. */
  routes(req: IncomingMessage, res: ServerResponse): Promise<boolean>
  /** Lets in requests with a good access token, and answers all others with 401 or 403. */
  requireAuth: RequireAuth<C>
  /**
   * Reads who is signed in by the cookie of a request, for a page that is rendered on a server. Nothing is rotated or
   * ended, and no cookie is set. Null for nobody.
   */
  findSession(req: IncomingMessage): Promise<FoundSession<C, User> | null>
  /** Begins a session for a login of your own, and sends the response. */
  signIn(
    req: IncomingMessage,
    res: ServerResponse,
    signIn: SignIn<C, User, Finds>,
    options?: SignInOptions,
  ): Promise<void>
  /** Ends the session that the request carries, and sends the response. */
  signOut(req: IncomingMessage, res: ServerResponse, options?: SignOutOptions): Promise<void>
  /** For types alone; nothing is there when it runs. */
  readonly '~types'?: ServerTypes<C, Credentials, User>
}

/**
 * Serves a Daypass over node:http.
 *
 * @throws DaypassError `ERR_OPTION_INVALID`.
 * @example
 * ```ts
 * import { createServer } from 'node:http'
 * import { createDaypass } from 'daypass'
 * import { createNodeAuth } from 'daypass/node'
 * import { createSqliteStore } from 'daypass/sqlite'
 *
 * const store = createSqliteStore('./daypass.db')
 * const auth = createDaypass({ secret: process.env.DAYPASS_SECRET!, issuer: 'https://example.com', store })
 * const web = createNodeAuth(auth, {
 *   authenticate: ({ name, password }) => (name === 'ada' && password === 'secret' ? { subject: 'ada' } : null),
 * })
 * const hello = web.requireAuth((req, res) => res.end(`Hello ${req.auth.subject}`))
 * createServer(async (req, res) => {
 *   if (!(await web.routes(req, res))) await hello(req, res)
 * }).listen(3000)
 * ```
 */
export function createNodeAuth<
  C = Claims,
  Credentials = Record<string, unknown>,
  Found = unknown,
  User extends Found = Found,
  Finds extends boolean = false,
>(
  auth: Daypass<C, Finds, Found>,
  options: NodeOptions<C, Credentials, User, Finds> = {},
): NodeAuth<C, Credentials, UserOfBoth<Found, User>, Finds> {
  const web = createNodeHttp(auth, options)
  return {
    routes: (req, res) => web.routes(read(req, res)),
    requireAuth: guardWith(web.requireAuth),
    findSession: (req) => web.findSession({ req }),
    signIn: (req, res, signIn, given) => web.signIn(read(req, res), signIn, given),
    signOut: (req, res, given) => web.signOut(read(req, res), given),
  }
}

/**
 * The guard alone, for an API that only checks tokens.
 *
 * @example
 * ```ts
 * import { createServer } from 'node:http'
 * import { createRequireAuth } from 'daypass/node'
 * import { createVerifier } from 'daypass/verify'
 *
 * const requireAuth = createRequireAuth(createVerifier({ issuer: 'https://id.example.com' }))
 * createServer(requireAuth((req, res) => res.end('[]'), { scope: 'orders:read' })).listen(3000)
 * ```
 */
export function createRequireAuth<C>(
  verifier: TokenVerifier<C>,
  options: Pick<NodeOptions, 'onError'> = {},
): RequireAuth<C> {
  return guardWith(createNodeGuard(verifier, options))
}

type Handler<C> = (req: AuthenticatedRequest<C>, res: ServerResponse) => unknown

function guardWith<C>(guard: NodeGuard<C>): RequireAuth<C> {
  const createCheck =
    (needs: GuardOptions<C>): Check<C> =>
    async (req, res, next) => {
      const token = await guard(read(req, res), needs)
      if (token === null) return null
      Object.assign(req, { auth: token })
      next?.()
      return token
    }
  const checkAny = createCheck({})
  function requireAuth(first?: GuardOptions<C> | Handler<C> | IncomingMessage, second?: unknown, next?: () => unknown) {
    if (isRequest(first)) return checkAny(first as IncomingMessage, second as ServerResponse, next)
    const { handler, needs } = readGuardArguments(first as GuardOptions<C> | Handler<C>, second as GuardOptions<C>)
    const check = createCheck(needs)
    if (handler === undefined) return check
    return async (req: IncomingMessage, res: ServerResponse) => {
      if ((await check(req, res)) !== null) await handler(req as AuthenticatedRequest<C>, res)
    }
  }
  return requireAuth as RequireAuth<C>
}

const read = (req: IncomingMessage, res: ServerResponse): NodeExchange => ({ req, res, body: readKeptBody(req) })
