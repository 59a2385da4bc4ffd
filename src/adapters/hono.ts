// daypass/hono: Daypass in a Hono app, on every runtime of Hono's.

// Only types come from Hono. Nothing of it is loaded.
import type { Context, Handler, Input, MiddlewareHandler, Next } from 'hono'
import type { GetConnInfo } from 'hono/conninfo'
import type { StatusCode } from 'hono/utils/http-status'
import type { Daypass, FoundSession } from '../core/api.ts'
import type { Claims } from '../core/session.ts'
import { DaypassError } from '../errors.ts'
import { type GuardOptions, readGuardArguments, type TokenVerifier } from '../http/guard.ts'
import { createHttpAuth, createVerifierGuard, type Guard } from '../http/http-auth.ts'
import type { HttpOptions, ServerTypes, UserOfBoth } from '../http/options.ts'
import type { HttpRequest } from '../http/request.ts'
import type { HttpResponse } from '../http/response.ts'
import type { SignIn, SignInOptions, SignOutOptions } from '../http/sign-in-types.ts'
import type { OptionNames } from '../known-options.ts'
import { checkFunctions } from '../option.ts'
import type { AccessToken } from '../verify/index.ts'
import { readRequest } from './fetch-request.ts'

export type { FoundSession } from '../core/api.ts'
export type { GuardOptions, TokenVerifier } from '../http/guard.ts'
export type { HttpOptions, ServerTypes } from '../http/options.ts'
export type { RouteRequest } from '../http/request.ts'
export type { RouteResponse } from '../http/response.ts'
export type { BearerCall, CredentialsCall, Route, RouteCall } from '../http/route.ts'
export type { SignIn, SignInOptions, SignInRequest, SignOutOptions, Transport } from '../http/sign-in-types.ts'

/** Options of the adapter for Hono. */
export interface HonoOptions<
  C = Claims,
  Credentials = Record<string, unknown>,
  User = unknown,
  Finds extends boolean = false,
> extends HttpOptions<C, Credentials, User, Finds> {
  /**
   * Hono's own function that finds the caller's address: `getConnInfo` of `@hono/node-server/conninfo`, `hono/bun`,
   * `hono/deno`, `hono/cloudflare-workers` … Without it sessions have no address, and the cookie is `__Host-` in
   * development too.
   */
  getConnInfo?: GetConnInfo
}

const honoOptions: OptionNames<Omit<HonoOptions, keyof HttpOptions>> = { getConnInfo: true }

/** What a guard adds to the context: `c.get('auth')` and `c.var.auth`. */
export interface AuthEnv<C = Claims> {
  Variables: {
    /** The request's access token, verified. */
    auth: AccessToken<C>
  }
}

// biome-ignore lint/suspicious/noExplicitAny: Hono types a context by its app and path; any of them may be given
type AnyContext = Context<any, any, any>

/**
 * A guard for routes. As a middleware (`requireAuth` or `requireAuth(options)`) it sets `c.get('auth')` for the handlers
 * after it, with the type of your claims. It also goes around a handler.
 */
export interface RequireAuth<C = Claims> {
  (options?: GuardOptions<C>): MiddlewareHandler<AuthEnv<C>>
  <P extends string, I extends Input, R extends Response | Promise<Response>>(
    handler: (c: Context<AuthEnv<C>, P, I>, next: Next) => R,
    options?: GuardOptions<C>,
  ): Handler<AuthEnv<C>, P, I, Promise<Awaited<R>>>
  (c: Context<AuthEnv<C>>, next: Next): ReturnType<MiddlewareHandler>
}

/** The adapter that {@link createHonoAuth} makes. */
export interface HonoAuth<C = Claims, Credentials = unknown, User = unknown, Finds extends boolean = false> {
  /**
   * The routes: `app.use(web.routes)`. `app.use('/api/*', web.routes)` puts them below `/api`, and so does an app with a
   * base path or one that `app.route('/api', …)` has mounted.
   */
  routes: MiddlewareHandler
  /** Lets in requests with a good access token, and answers all others with 401 or 403. */
  requireAuth: RequireAuth<C>
  /**
   * Reads who is signed in by the cookie of a request, for a page that is rendered on a server. Nothing is rotated or
   * ended, and no cookie is set. Null for nobody.
   */
  findSession(c: AnyContext): Promise<FoundSession<C, User> | null>
  /** Begins a session for a login of your own. Returns the response. */
  signIn(c: AnyContext, signIn: SignIn<C, User, Finds>, options?: SignInOptions): Promise<Response>
  /** Ends the session that the request carries. Returns the response. It is a handler too. */
  signOut(c: AnyContext, options?: SignOutOptions | Next): Promise<Response>
  /** For types alone; nothing is there when it runs. */
  readonly '~types'?: ServerTypes<C, Credentials, User>
}

/**
 * Serves a Daypass in a Hono app.
 *
 * @throws DaypassError `ERR_OPTION_INVALID`.
 * @example
 * ```ts
 * import { serve } from '@hono/node-server'
 * import { getConnInfo } from '@hono/node-server/conninfo'
 * import { createDaypass } from 'daypass'
 * import { createHonoAuth } from 'daypass/hono'
 * import { createSqliteStore } from 'daypass/sqlite'
 * import { Hono } from 'hono'
 *
 * const store = createSqliteStore('./daypass.db')
 * const auth = createDaypass({ secret: process.env.DAYPASS_SECRET!, issuer: 'https://example.com', store })
 * const web = createHonoAuth(auth, { getConnInfo })
 *
 * const app = new Hono()
 * app.use(web.routes)
 * app.post('/auth/login', async (c) => {
 *   const { name, password } = await c.req.json()
 *   if (password !== 'secret') return c.body(null, 401)
 *   return web.signIn(c, { subject: name, claims: { role: 'admin' } })
 * })
 * app.get('/me', web.requireAuth, (c) => c.json({ subject: c.get('auth').subject, role: c.get('auth').claims.role }))
 * serve(app)
 * ```
 */
export function createHonoAuth<
  C = Claims,
  Credentials = Record<string, unknown>,
  Found = unknown,
  User extends Found = Found,
  Finds extends boolean = false,
>(
  auth: Daypass<C, Finds, Found>,
  options: HonoOptions<C, Credentials, User, Finds> = {},
): HonoAuth<C, Credentials, UserOfBoth<Found, User>, Finds> {
  const web = createHttpAuth(auth, options, honoOptions)
  checkFunctions(options, 'getConnInfo')
  const read = (c: AnyContext) => readContext(c, findAddress(c, options.getConnInfo))
  return {
    async routes(c, next) {
      const response = await web.routes(read(c), readMount(c))
      return response === null ? next() : respond(c, response)
    },
    requireAuth: guardWith(web.requireAuth),
    findSession: (c) => web.findSession(read(c)),
    async signIn(c, signIn, given) {
      // The app's login has read the body, which may name the transport.
      const parsedBody: unknown = c.req.raw.bodyUsed ? await c.req.json().catch(() => undefined) : undefined
      return respond(c, await web.signIn(Object.assign(read(c), { parsedBody }), signIn, given))
    },
    async signOut(c, given) {
      // As a handler, it gets `next`.
      return respond(c, await web.signOut(read(c), typeof given === 'function' ? undefined : given))
    },
  }
}

/**
 * The guard alone, for an API that only checks tokens.
 *
 * @example
 * ```ts
 * import { createRequireAuth } from 'daypass/hono'
 * import { createVerifier } from 'daypass/verify'
 * import { Hono } from 'hono'
 *
 * const requireAuth = createRequireAuth(createVerifier({ issuer: 'https://id.example.com' }))
 * export default new Hono().get('/orders', requireAuth({ scope: 'orders:read' }), (c) => c.json([]))
 * ```
 */
export function createRequireAuth<C>(
  verifier: TokenVerifier<C>,
  options: Pick<HttpOptions, 'onError'> = {},
): RequireAuth<C> {
  return guardWith(createVerifierGuard(verifier, options))
}

type GuardedHandler = (c: AnyContext, next: Next) => Response | Promise<Response>

function guardWith<C>(guard: Guard<C>): RequireAuth<C> {
  const createMiddleware =
    (handler: GuardedHandler | undefined, needs: GuardOptions<C>) => async (c: AnyContext, next: Next) => {
      const { token, rejection } = await guard(readContext(c), needs)
      if (rejection !== undefined) return respond(c, rejection)
      c.set('auth', token)
      return handler === undefined ? next() : handler(c, next)
    }
  const middleware = createMiddleware(undefined, {})
  function requireAuth(first?: GuardOptions<C> | GuardedHandler | AnyContext, second?: GuardOptions<C> | Next) {
    // Hono calls a middleware with the context and `next`.
    if (typeof second === 'function') return middleware(first as AnyContext, second)
    const { handler, needs } = readGuardArguments(first as GuardOptions<C> | GuardedHandler, second)
    return createMiddleware(handler, needs)
  }
  return requireAuth as RequireAuth<C>
}

function findAddress(c: AnyContext, getConnInfo?: GetConnInfo): string | undefined {
  try {
    return getConnInfo?.(c).remote.address
  } catch {
    // `app.request()` of an app's tests has no connection.
  }
}

function readContext(c: AnyContext, address?: string): HttpRequest {
  const request = readRequest(c.req.raw, address)
  return c.req.raw.bodyUsed ? Object.assign(request, { text: (limit: number) => readKeptText(c, limit) }) : request
}

/** The text of a body that the app has read. Hono keeps it where it was read through `c.req`. */
async function readKeptText(c: AnyContext, limit: number): Promise<string> {
  const text = await c.req.text().catch(() => {
    throw new DaypassError('ERR_BODY_CONSUMED')
  })
  if (new TextEncoder().encode(text).length > limit) throw new DaypassError('ERR_BODY_TOO_LARGE')
  return text
}

/** The path that the routes are mounted at: `/api` for `app.use('/api/*', web.routes)`. A pattern is no mount. */
function readMount(c: AnyContext): string {
  const mount = c.req.routePath.replace(/\/?\*?$/, '')
  return /[:*{]/.test(mount) ? '' : mount
}

/** Sets the headers on the context: what middleware has set there would replace those of a Response. */
function respond(c: AnyContext, { status, headers, body }: HttpResponse): Response {
  for (const [name, value] of Object.entries(headers)) {
    // Keep the cookies and the Vary that the app has set.
    const append = name === 'set-cookie' || name === 'vary'
    for (const one of [value].flat()) c.header(name, one, { append })
  }
  return c.newResponse(body ?? null, status as StatusCode)
}
