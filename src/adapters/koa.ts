// daypass/koa: Daypass in a Koa 3 app.

// Only types come from Koa. Nothing of it is loaded.
import type { Next, ParameterizedContext } from 'koa'
import type { Daypass, FoundSession } from '../core/api.ts'
import type { Claims } from '../core/session.ts'
import { DaypassError } from '../errors.ts'
import type { Connection } from '../http/client-address.ts'
import { type GuardOptions, isRequest, readGuardArguments, type TokenVerifier } from '../http/guard.ts'
import { readIp } from '../http/ip-address.ts'
import type { ServerTypes, UserOfBoth } from '../http/options.ts'
import type { HttpResponse } from '../http/response.ts'
import type { SignIn, SignInOptions, SignOutOptions } from '../http/sign-in-types.ts'
import type { AccessToken } from '../verify/index.ts'
import {
  createNodeGuard,
  createNodeHttp,
  type NodeExchange,
  type NodeGuard,
  type NodeMessage,
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

// biome-ignore lint/suspicious/noExplicitAny: Koa types a context by its app; any of them may be given
type AnyContext = ParameterizedContext<any, any, any>
type KoaMiddleware = (ctx: AnyContext, next: Next) => Promise<void>

/** What a guard adds to `ctx.state`. */
export interface AuthState<C = Claims> {
  /** The request's access token, verified. */
  auth: AccessToken<C>
}

/** A context whose access token is verified. */
export type AuthenticatedContext<C = Claims> = ParameterizedContext<AuthState<C>>

/**
 * A guard for routes: as a middleware (`requireAuth` or `requireAuth(options)`), or around a handler whose `ctx.state.auth`
 * is then typed and there.
 */
export interface RequireAuth<C = Claims> {
  (options?: GuardOptions<C>): KoaMiddleware
  (handler: (ctx: AuthenticatedContext<C>, next: Next) => unknown, options?: GuardOptions<C>): KoaMiddleware
  (ctx: AnyContext, next: Next): Promise<void>
}

/** The adapter that {@link createKoaAuth} makes. */
export interface KoaAuth<C = Claims, Credentials = unknown, User = unknown, Finds extends boolean = false> {
  /** The routes: `app.use(web.routes)`. `mount('/api', web.routes)` of `koa-mount` puts them below `/api`. */
  routes: KoaMiddleware
  /** Lets in requests with a good access token, and answers all others with 401 or 403. */
  requireAuth: RequireAuth<C>
  /**
   * Reads who is signed in by the cookie of a request, for a page that is rendered on a server. Nothing is rotated or
   * ended, and no cookie is set. Null for nobody.
   */
  findSession(ctx: AnyContext): Promise<FoundSession<C, User> | null>
  /** Begins a session for a login of your own, and sets the response. */
  signIn(ctx: AnyContext, signIn: SignIn<C, User, Finds>, options?: SignInOptions): Promise<void>
  /** Ends the session that the request carries, and sets the response. It is a handler too. */
  signOut(ctx: AnyContext, options?: SignOutOptions | Next): Promise<void>
  /** For types alone; nothing is there when it runs. */
  readonly '~types'?: ServerTypes<C, Credentials, User>
}

/**
 * Serves a Daypass in a Koa app, before or after a body parser.
 *
 * @throws DaypassError `ERR_OPTION_INVALID`.
 * @example
 * ```ts
 * import { createDaypass } from 'daypass'
 * import { createKoaAuth } from 'daypass/koa'
 * import { createSqliteStore } from 'daypass/sqlite'
 * import Koa from 'koa'
 *
 * const store = createSqliteStore('./daypass.db')
 * const auth = createDaypass({ secret: process.env.DAYPASS_SECRET!, issuer: 'https://example.com', store })
 * const web = createKoaAuth(auth, {
 *   authenticate: ({ name, password }) => (name === 'ada' && password === 'secret' ? { subject: 'ada' } : null),
 * })
 *
 * const app = new Koa()
 * app.use(web.routes)
 * app.use(
 *   web.requireAuth((ctx) => {
 *     ctx.body = { subject: ctx.state.auth.subject }
 *   }),
 * )
 * app.listen(3000)
 * ```
 */
export function createKoaAuth<
  C = Claims,
  Credentials = Record<string, unknown>,
  Found = unknown,
  User extends Found = Found,
  Finds extends boolean = false,
>(
  auth: Daypass<C, Finds, Found>,
  options: NodeOptions<C, Credentials, User, Finds> = {},
): KoaAuth<C, Credentials, UserOfBoth<Found, User>, Finds> {
  const web = createNodeHttp(auth, options)
  return {
    async routes(ctx, next) {
      if (!(await web.routes(read(ctx)))) await next()
    },
    requireAuth: guardWith(web.requireAuth),
    findSession: (ctx) => web.findSession({ req: ctx.req, client: () => readClient(ctx) }),
    signIn: (ctx, signIn, given) => web.signIn(read(ctx), signIn, given),
    // As a handler, it gets `next`.
    signOut: (ctx, given) => web.signOut(read(ctx), typeof given === 'function' ? undefined : given),
  }
}

/**
 * The guard alone, for an API that only checks tokens.
 *
 * @example
 * ```ts
 * import { createRequireAuth } from 'daypass/koa'
 * import { createVerifier } from 'daypass/verify'
 * import Koa from 'koa'
 *
 * const requireAuth = createRequireAuth(createVerifier({ issuer: 'https://id.example.com' }))
 * new Koa().use(requireAuth({ scope: 'orders:read' })).listen(3000)
 * ```
 */
export function createRequireAuth<C>(
  verifier: TokenVerifier<C>,
  options: Pick<NodeOptions, 'onError'> = {},
): RequireAuth<C> {
  return guardWith(createNodeGuard(verifier, options))
}

function guardWith<C>(guard: NodeGuard<C>): RequireAuth<C> {
  type KoaHandler = (ctx: AuthenticatedContext<C>, next: Next) => unknown
  const createMiddleware =
    (handler: KoaHandler | undefined, needs: GuardOptions<C>): KoaMiddleware =>
    async (ctx, next) => {
      const token = await guard(read(ctx), needs)
      if (token === null) return
      ctx.state.auth = token
      await (handler === undefined ? next() : handler(ctx as unknown as AuthenticatedContext<C>, next))
    }
  const middleware = createMiddleware(undefined, {})
  function requireAuth(first?: GuardOptions<C> | KoaHandler | AnyContext, second?: unknown) {
    if (isRequest(first)) {
      if (typeof second !== 'function') {
        throw new DaypassError('ERR_OPTION_INVALID', 'In Koa, requireAuth is a middleware: `app.use(web.requireAuth)`.')
      }
      return middleware(first as AnyContext, second as Next)
    }
    const { handler, needs } = readGuardArguments(first as GuardOptions<C> | KoaHandler, second as GuardOptions<C>)
    return createMiddleware(handler, needs)
  }
  return requireAuth as RequireAuth<C>
}

function read(ctx: AnyContext): NodeExchange {
  const req: NodeMessage = ctx.req
  // `koa-mount` changes `req.url`. The name is that of Express and connect.
  req.originalUrl ??= ctx.originalUrl
  return {
    req,
    res: ctx.res,
    body: readKeptBody(req, ctx.request.body),
    client: () => readClient(ctx),
    write: (response) => write(ctx, response),
  }
}

/** The client as Koa found it, by its `proxy`. Undefined where Koa trusts no proxy. */
function readClient(ctx: AnyContext): Connection | undefined {
  return ctx.app.proxy ? { ip: readIp(ctx.ip), secure: ctx.secure, host: ctx.host } : undefined
}

/** Koa sends the response itself, after the middleware before this one. */
function write(ctx: AnyContext, { status, headers, body }: HttpResponse): void {
  ctx.remove('content-type')
  ctx.body = body ?? null
  // After the body, which sets a status too.
  ctx.status = status
  for (const [name, value] of Object.entries(headers)) {
    // Keep the cookies and the Vary that the app has set.
    if (name === 'set-cookie' || name === 'vary') ctx.append(name, value)
    else ctx.set(name, value)
  }
}
