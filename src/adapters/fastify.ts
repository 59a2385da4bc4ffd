// daypass/fastify: Daypass in a Fastify 5 app.

// Only types come from Fastify. Nothing of it is loaded.
import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import type { Daypass } from '../core/api.ts'
import type { Claims } from '../core/session.ts'
import type { AccessToken } from '../verify/index.ts'
import {
  createNodeAuth,
  createNodeGuard,
  type GuardOptions,
  type NodeOptions,
  type ServerTypes,
  type SignInOptions,
  type TokenVerifier,
} from './node.ts'

export type {
  GuardOptions,
  HttpOptions,
  NodeOptions,
  ServerTypes,
  SignIn,
  SignInOptions,
  SignInRequest,
  Transport,
} from './node.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** The request's access token, where `requireAuth()` let it in. */
    auth?: AccessToken<any>
  }
}

/** A request that was let in. (Without `Omit`, the `any` of an unguarded request's claims would let every name pass.) */
export type AuthenticatedRequest<C = Claims> = Omit<FastifyRequest<any>, 'auth'> & { auth: AccessToken<C> }

type Hook = (request: FastifyRequest<any>, reply: FastifyReply) => Promise<unknown>

/** A guard for routes: as a `preHandler`, or around a handler whose `request.auth` is then typed and there. */
export interface RequireAuth<C = Claims> {
  (options?: GuardOptions): Hook
  (handler: (request: AuthenticatedRequest<C>, reply: FastifyReply) => unknown, options?: GuardOptions): Hook
}

/** The adapter that {@link createFastifyAuth} makes. */
export interface FastifyAuth<C = Claims, Credentials = unknown, User = unknown> {
  /**
   * The routes: `app.register(web.routes)`. Their paths are the `basePath` option's, wherever they are registered. They
   * read their bodies themselves, so no content type parser of the app's concerns them.
   */
  routes: FastifyPluginAsync
  /** Lets in requests with a good access token, and answers all others with 401 or 403. */
  requireAuth: RequireAuth<C>
  /** Begins a session for a login of your own, and sends the response. */
  signIn(
    request: FastifyRequest<any>,
    reply: FastifyReply,
    subject: string,
    claims?: C,
    options?: SignInOptions<C>,
  ): Promise<void>
  /** Ends the session that the request carries, and sends the response. It is a handler too. */
  signOut(request: FastifyRequest<any>, reply: FastifyReply): Promise<void>
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
 *   await web.signIn(request, reply, request.body.name, { role: 'admin' })
 * })
 * app.get('/me', web.requireAuth((request) => ({ subject: request.auth.subject, role: request.auth.claims.role })))
 * app.listen({ port: 3000 })
 * ```
 */
export function createFastifyAuth<C = Claims, Credentials = Record<string, unknown>, User = unknown>(
  auth: Daypass<C>,
  options: NodeOptions<C, Credentials, User> = {},
): FastifyAuth<C, Credentials, User> {
  const { handle, signIn, signOut } = createNodeAuth(auth, options)
  const routes: FastifyPluginAsync = async (app) => {
    // Before Fastify parses a body, and also for paths that have no route of the app's.
    app.addHook('onRequest', async (request, reply) => {
      if (await handle(request, reply)) return reply
    })
  }
  // Without a context of its own, a plugin's hooks apply to the app that registers it (what `fastify-plugin` sets).
  Object.assign(routes, { [Symbol.for('skip-override')]: true, [Symbol.for('fastify.display-name')]: 'daypass' })
  return { routes, requireAuth: createRequireAuth(auth, options), signIn, signOut }
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
  const authenticate = createNodeGuard(verifier, options)
  type Handler = (request: AuthenticatedRequest<C>, reply: FastifyReply) => unknown
  return ((first: GuardOptions | Handler = {}, second: GuardOptions = {}) => {
    const [handler, needed] = typeof first === 'function' ? [first, second] : [undefined, first]
    return async (request: FastifyRequest<any>, reply: FastifyReply) => {
      const token = await authenticate(request, reply, needed)
      // The 401 or 403 is sent.
      if (token === null) return reply
      request.auth = token
      return handler?.(request as AuthenticatedRequest<C>, reply)
    }
  }) as RequireAuth<C>
}
