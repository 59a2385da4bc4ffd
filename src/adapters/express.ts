// daypass/express: Daypass in an Express app, 5 or 4.

// Only types come from Express, so that `req.params` and `res.json` are typed. Nothing of it is loaded.
import type { NextFunction, Request, Response } from 'express'
import type { Daypass, FoundSession } from '../core/api.ts'
import type { Claims } from '../core/session.ts'
import { DaypassError } from '../errors.ts'
import { type GuardOptions, isRequest, readGuardArguments, type TokenVerifier } from '../http/guard.ts'
import type { ServerTypes, UserOfBoth } from '../http/options.ts'
import type { SignIn, SignInOptions, SignOutOptions } from '../http/sign-in-types.ts'
import type { AccessToken } from '../verify/index.ts'
import { read, readClient } from './express-exchange.ts'
import { createNodeGuard, createNodeHttp, type NodeGuard, type NodeOptions } from './node-http.ts'

export type { FoundSession } from '../core/api.ts'
export type { GuardOptions, TokenVerifier } from '../http/guard.ts'
export type { HttpOptions, ServerTypes } from '../http/options.ts'
export type { RouteRequest } from '../http/request.ts'
export type { RouteResponse } from '../http/response.ts'
export type { BearerCall, CredentialsCall, Route, RouteCall } from '../http/route.ts'
export type { SignIn, SignInOptions, SignInRequest, SignOutOptions, Transport } from '../http/sign-in-types.ts'
export type { NodeOptions } from './node-http.ts'

/**
 * Names your app's adapter, so that `req.auth` has the claims of your app in every handler after `requireAuth()`. Without
 * it, their values are unknown there. (A handler inside `requireAuth(handler)` needs none.)
 *
 * ```
 * declare module 'daypass/express' {
 *   interface Register {
 *     web: typeof web
 *   }
 * }
 * ```
 *
 * With `reqAuth: false` as a member, `req.auth` is left to another library that types it, such as
 * `express-oauth2-jwt-bearer`. Then `requireAuth(handler)` still gives its handler a typed `req.auth`.
 */
// biome-ignore lint/suspicious/noEmptyInterface: the app adds the member
export interface Register {}

/** The claims of the adapter that {@link Register} names. */
type RegisteredClaims = Register extends { web: { readonly '~types'?: infer Types } }
  ? NonNullable<Types> extends { claims: infer C }
    ? C
    : Claims
  : Claims

/** `req.auth`, unless {@link Register} leaves it to another library. */
type RequestAuth = Register extends { reqAuth: false }
  ? // biome-ignore lint/complexity/noBannedTypes: it adds no member
    {}
  : {
      /** The request's access token, where `requireAuth()` let it in. {@link Register} types its claims. */
      auth?: AccessToken<RegisteredClaims>
    }

declare global {
  namespace Express {
    // A base, and no member: a member of the same name in another library's declaration then says the type.
    interface Request extends RequestAuth {}
  }
}

/** A request whose access token is verified. */
export type AuthenticatedRequest<C = Claims> = Omit<AnyRequest, 'auth'> & { auth: AccessToken<C> }

// biome-ignore lint/suspicious/noExplicitAny: Express types the parameters of a path by its text; any path may be guarded
type AnyRequest = Request<any>
type Middleware = (req: AnyRequest, res: Response, next: NextFunction) => Promise<void>

/**
 * A guard for routes: as a middleware (`requireAuth` or `requireAuth(options)`), or around a handler whose `req.auth` is then
 * typed and there.
 */
export interface RequireAuth<C = Claims> {
  (options?: GuardOptions<C>): Middleware
  (
    handler: (req: AuthenticatedRequest<C>, res: Response, next: NextFunction) => unknown,
    options?: GuardOptions<C>,
  ): Middleware
  (req: AnyRequest, res: Response, next: NextFunction): Promise<void>
}

/** The adapter that {@link createExpressAuth} makes. */
export interface ExpressAuth<C = Claims, Credentials = unknown, User = unknown, Finds extends boolean = false> {
  /** The routes: `app.use(web.routes)`. `app.use('/api', web.routes)` puts them below `/api`. */
  routes: Middleware
  /** Lets in requests with a good access token, and answers all others with 401 or 403. */
  requireAuth: RequireAuth<C>
  /**
   * Reads who is signed in by the cookie of a request, for a page that is rendered on a server. Nothing is rotated or
   * ended, and no cookie is set. Null for nobody.
   */
  findSession(req: AnyRequest): Promise<FoundSession<C, User> | null>
  /** Begins a session for a login of your own, and sends the response. */
  signIn(req: AnyRequest, res: Response, signIn: SignIn<C, User, Finds>, options?: SignInOptions): Promise<void>
  /** Ends the session that the request carries, and sends the response. It is a handler too. */
  signOut(req: AnyRequest, res: Response, options?: SignOutOptions | NextFunction): Promise<void>
  /** For types alone; nothing is there when it runs. */
  readonly '~types'?: ServerTypes<C, Credentials, User>
}

/**
 * Serves a Daypass in an Express app. It also works after `express.json()`, but there Express logs a body that is no JSON,
 * which may hold a token.
 *
 * @throws DaypassError `ERR_OPTION_INVALID`.
 * @example
 * ```ts
 * import express from 'express'
 * import { createDaypass } from 'daypass'
 * import { createExpressAuth } from 'daypass/express'
 * import { createSqliteStore } from 'daypass/sqlite'
 *
 * const store = createSqliteStore('./daypass.db')
 * const auth = createDaypass({ secret: process.env.DAYPASS_SECRET!, issuer: 'https://example.com', store })
 * const web = createExpressAuth(auth)
 *
 * const app = express()
 * app.use(web.routes, express.json())
 * app.post('/auth/login', async (req, res) => {
 *   if (req.body.password !== 'secret') return res.status(401).end()
 *   await web.signIn(req, res, { subject: req.body.name, claims: { role: 'admin' } })
 * })
 * app.get('/me', web.requireAuth((req, res) => res.json({ subject: req.auth.subject, role: req.auth.claims.role })))
 * app.listen(3000)
 * ```
 */
export function createExpressAuth<
  C = Claims,
  Credentials = Record<string, unknown>,
  Found = unknown,
  User extends Found = Found,
  Finds extends boolean = false,
>(
  auth: Daypass<C, Finds, Found>,
  options: NodeOptions<C, Credentials, User, Finds> = {},
): ExpressAuth<C, Credentials, UserOfBoth<Found, User>, Finds> {
  const web = createNodeHttp(auth, options)
  return {
    async routes(req, res, next) {
      if (!(await web.routes(read(req, res)))) next()
    },
    requireAuth: guardWith(web.requireAuth),
    findSession: (req) => web.findSession({ req, client: () => readClient(req) }),
    signIn: (req, res, signIn, given) => web.signIn(read(req, res), signIn, given),
    // As a handler, it gets `next`.
    signOut: (req, res, given) => web.signOut(read(req, res), typeof given === 'function' ? undefined : given),
  }
}

/**
 * The guard alone, for an API that only checks tokens.
 *
 * @example
 * ```ts
 * import express from 'express'
 * import { createRequireAuth } from 'daypass/express'
 * import { createVerifier } from 'daypass/verify'
 *
 * const requireAuth = createRequireAuth(createVerifier({ issuer: 'https://id.example.com' }))
 * express().get('/orders', requireAuth({ scope: 'orders:read' }), (req, res) => res.json([]))
 * ```
 */
export function createRequireAuth<C>(
  verifier: TokenVerifier<C>,
  options: Pick<NodeOptions, 'onError'> = {},
): RequireAuth<C> {
  return guardWith(createNodeGuard(verifier, options))
}

function guardWith<C>(guard: NodeGuard<C>): RequireAuth<C> {
  type Handler = (req: AuthenticatedRequest<C>, res: Response, next: NextFunction) => unknown
  const createMiddleware =
    (handler: Handler | undefined, needs: GuardOptions<C>): Middleware =>
    async (req, res, next) => {
      const token = await guard(read(req, res), needs)
      if (token === null) return
      const authenticated = Object.assign(req, { auth: token })
      if (handler === undefined) return next()
      // Express 4 ignores what a handler returns, so its rejection is passed on here.
      try {
        await handler(authenticated, res, next)
      } catch (error) {
        next(error)
      }
    }
  const middleware = createMiddleware(undefined, {})
  function requireAuth(first?: GuardOptions<C> | Handler | AnyRequest, second?: unknown, next?: NextFunction) {
    if (isRequest(first)) {
      if (typeof next !== 'function') {
        throw new DaypassError(
          'ERR_OPTION_INVALID',
          'In Express, requireAuth is a middleware: `app.get(path, web.requireAuth, handler)`.',
        )
      }
      return middleware(first as AnyRequest, second as Response, next)
    }
    const { handler, needs } = readGuardArguments(first as GuardOptions<C> | Handler, second as GuardOptions<C>)
    return createMiddleware(handler, needs)
  }
  return requireAuth as RequireAuth<C>
}
