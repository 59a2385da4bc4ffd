// daypass/fastify: Daypass in a Fastify 5 app.

// Only types come from Fastify. Nothing of it is loaded.
import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import type { Daypass, FoundSession } from '../core/api.ts'
import type { Claims } from '../core/session.ts'
import { type GuardOptions, isRequest, readGuardArguments, type TokenVerifier } from '../http/guard.ts'
import type { ServerTypes, UserOfBoth } from '../http/options.ts'
import type { SignIn, SignInOptions, SignOutOptions } from '../http/sign-in-types.ts'
import type { AccessToken } from '../verify/index.ts'
import { read, readClient } from './fastify-exchange.ts'
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
 * Names your app's adapter, so that `request.auth` has the claims of your app in every handler after `requireAuth()`. Without
 * it, their values are unknown there. (A handler inside `requireAuth(handler)` needs none.)
 *
 * ```
 * declare module 'daypass/fastify' {
 *   interface Register {
 *     web: typeof web
 *   }
 * }
 * ```
 */
// biome-ignore lint/suspicious/noEmptyInterface: the app adds the member
export interface Register {}

/** The claims of the adapter that {@link Register} names. */
type RegisteredClaims = Register extends { web: { readonly '~types'?: infer Types } }
  ? NonNullable<Types> extends { claims: infer C }
    ? C
    : Claims
  : Claims

declare module 'fastify' {
  interface FastifyRequest {
    /** The request's access token, where `requireAuth()` let it in. {@link Register} types its claims. */
    auth?: AccessToken<RegisteredClaims>
  }
}

/** A request whose access token is verified. */
export type AuthenticatedRequest<C = Claims> = Omit<AnyRequest, 'auth'> & { auth: AccessToken<C> }

// biome-ignore lint/suspicious/noExplicitAny: Fastify types a request by its route; any route may be guarded
type AnyRequest = FastifyRequest<any>
type Hook = (request: AnyRequest, reply: FastifyReply) => Promise<unknown>

/**
 * A guard for routes: as a `preHandler` (`requireAuth` or `requireAuth(options)`), or around a handler whose `request.auth`
 * is then typed and there.
 */
export interface RequireAuth<C = Claims> {
  (options?: GuardOptions<C>): Hook
  (handler: (request: AuthenticatedRequest<C>, reply: FastifyReply) => unknown, options?: GuardOptions<C>): Hook
  (request: AnyRequest, reply: FastifyReply): Promise<unknown>
}

/** The adapter that {@link createFastifyAuth} makes. */
export interface FastifyAuth<C = Claims, Credentials = unknown, User = unknown, Finds extends boolean = false> {
  /**
   * The routes: `app.register(web.routes)`. With a `prefix`, of their own or of the plugin around them, they are below it.
   * They read their bodies themselves, so no content type parser of the app's concerns them.
   */
  routes: FastifyPluginAsync
  /** Lets in requests with a good access token, and answers all others with 401 or 403. */
  requireAuth: RequireAuth<C>
  /**
   * Reads who is signed in by the cookie of a request, for a page that is rendered on a server. Nothing is rotated or
   * ended, and no cookie is set. Null for nobody.
   */
  findSession(request: AnyRequest): Promise<FoundSession<C, User> | null>
  /** Begins a session for a login of your own, and sends the response. */
  signIn(
    request: AnyRequest,
    reply: FastifyReply,
    signIn: SignIn<C, User, Finds>,
    options?: SignInOptions,
  ): Promise<void>
  /** Ends the session that the request carries, and sends the response. It is a handler too. */
  signOut(request: AnyRequest, reply: FastifyReply, options?: SignOutOptions): Promise<void>
  /** For types alone; nothing is there when it runs. */
  readonly '~types'?: ServerTypes<C, Credentials, User>
}

/**
 * Serves a Daypass in a Fastify app.
 *
 * @throws DaypassError `ERR_OPTION_INVALID`.
 * @example
 * ```ts
 * import fastify from 'fastify'
 * import { createDaypass } from 'daypass'
 * import { createFastifyAuth } from 'daypass/fastify'
 * import { createSqliteStore } from 'daypass/sqlite'
 *
 * const store = createSqliteStore('./daypass.db')
 * const auth = createDaypass({ secret: process.env.DAYPASS_SECRET!, issuer: 'https://example.com', store })
 * const web = createFastifyAuth(auth)
 *
 * const app = fastify()
 * app.register(web.routes)
 * app.post<{ Body: { name: string; password: string } }>('/login', async (request, reply) => {
 *   if (request.body.password !== 'secret') return reply.code(401).send()
 *   await web.signIn(request, reply, { subject: request.body.name, claims: { role: 'admin' } })
 * })
 * app.get('/me', web.requireAuth((request) => ({ subject: request.auth.subject, role: request.auth.claims.role })))
 * app.listen({ port: 3000 })
 * ```
 */
export function createFastifyAuth<
  C = Claims,
  Credentials = Record<string, unknown>,
  Found = unknown,
  User extends Found = Found,
  Finds extends boolean = false,
>(
  auth: Daypass<C, Finds, Found>,
  options: NodeOptions<C, Credentials, User, Finds> = {},
): FastifyAuth<C, Credentials, UserOfBoth<Found, User>, Finds> {
  const web = createNodeHttp(auth, options)
  const routes: FastifyPluginAsync = async (app, { prefix = '' }: { prefix?: string }) => {
    const mount = `${app.prefix}/${prefix}`.replaceAll(/\/+/g, '/').replace(/\/$/, '')
    // Before Fastify parses a body, and also for paths that have no route of the app's.
    app.addHook('onRequest', async (request, reply) => {
      if (await web.routes(read(request, reply), mount)) return reply
    })
    if (app.prefix === '') return
    // Fastify runs no hook of a plugin with a prefix for paths that have no route.
    for (const address of web.addresses(mount)) {
      app.all(address.slice(app.prefix.length), async (_request, reply) => reply.callNotFound())
    }
  }
  // Without a context of its own, a plugin's hooks apply to the app that registers it (what `fastify-plugin` sets).
  Object.assign(routes, { [Symbol.for('skip-override')]: true, [Symbol.for('fastify.display-name')]: 'daypass' })
  return {
    routes,
    requireAuth: guardWith(web.requireAuth),
    findSession: (request) => web.findSession({ req: request.raw, client: () => readClient(request) }),
    signIn: (request, reply, signIn, given) => web.signIn(read(request, reply), signIn, given),
    signOut: (request, reply, given) => web.signOut(read(request, reply), given),
  }
}

/**
 * The guard alone, for an API that only checks tokens.
 *
 * @example
 * ```ts
 * import fastify from 'fastify'
 * import { createRequireAuth } from 'daypass/fastify'
 * import { createVerifier } from 'daypass/verify'
 *
 * const requireAuth = createRequireAuth(createVerifier({ issuer: 'https://id.example.com' }))
 * fastify().get('/orders', { preHandler: requireAuth({ scope: 'orders:read' }) }, async () => [])
 * ```
 */
export function createRequireAuth<C>(
  verifier: TokenVerifier<C>,
  options: Pick<NodeOptions, 'onError'> = {},
): RequireAuth<C> {
  return guardWith(createNodeGuard(verifier, options))
}

function guardWith<C>(guard: NodeGuard<C>): RequireAuth<C> {
  type Handler = (request: AuthenticatedRequest<C>, reply: FastifyReply) => unknown
  const createHook =
    (handler: Handler | undefined, needs: GuardOptions<C>): Hook =>
    async (request, reply) => {
      const token = await guard(read(request, reply), needs)
      // The 401 or 403 is sent.
      if (token === null) return reply
      const authenticated = Object.assign(request, { auth: token })
      return handler?.(authenticated, reply)
    }
  const hook = createHook(undefined, {})
  function requireAuth(first?: GuardOptions<C> | Handler | AnyRequest, second?: unknown) {
    if (isRequest(first)) return hook(first as AnyRequest, second as FastifyReply)
    const { handler, needs } = readGuardArguments(first as GuardOptions<C> | Handler, second as GuardOptions<C>)
    return createHook(handler, needs)
  }
  return requireAuth as RequireAuth<C>
}
