// daypass/express: Daypass in an Express app, 5 or 4.

// Types alone come from Express, so that `req.params` and `res.json` are there; nothing of it is loaded.
import type { NextFunction, Request, Response } from 'express'
import type { Daypass } from '../core/api.ts'
import type { Claims } from '../core/session.ts'
import type { AccessToken } from '../verify/index.ts'
import {
  createNodeAuth,
  createNodeGuard,
  type GuardOptions,
  type NodeAuth,
  type NodeOptions,
  type ServerTypes,
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

declare global {
  namespace Express {
    interface Request {
      /** The request's access token, where `requireAuth()` let it in. */
      auth?: AccessToken<any>
    }
  }
}

/** A request that was let in. (Without `Omit`, the `any` of an unguarded request's claims would let every name pass.) */
export type AuthenticatedRequest<C = Claims> = Omit<Request<any>, 'auth'> & { auth: AccessToken<C> }

type Middleware = (req: Request<any>, res: Response, next: NextFunction) => Promise<void>

/** A guard for routes: as a middleware, or around a handler whose `req.auth` is then typed and there. */
export interface RequireAuth<C = Claims> {
  (options?: GuardOptions): Middleware
  (
    handler: (req: AuthenticatedRequest<C>, res: Response, next: NextFunction) => unknown,
    options?: GuardOptions,
  ): Middleware
}

/** What {@link createExpressAuth} makes. */
export interface ExpressAuth<C = Claims, Credentials = unknown, User = unknown>
  extends Pick<NodeAuth<C>, 'signIn' | 'signOut'> {
  /** The routes: `app.use(web.routes)`. Their paths are the `basePath` option's, wherever they are mounted. */
  routes: Middleware
  /** Lets in whoever has a good access token, and answers 401 or 403 to everyone else. */
  requireAuth: RequireAuth<C>
  /** For types alone; nothing is there when it runs. */
  readonly '~types'?: ServerTypes<C, Credentials, User>
}

/**
 * Serves a Daypass in an Express app, before or after `express.json()`.
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
 * app.use(express.json(), web.routes)
 * app.post('/login', async (req, res) => {
 *   if (req.body.password !== 'secret') return res.status(401).end()
 *   await web.signIn(req, res, req.body.name, { role: 'admin' })
 * })
 * app.get('/me', web.requireAuth((req, res) => res.json({ subject: req.auth.subject, role: req.auth.claims.role })))
 * app.listen(3000)
 * ```
 */
export function createExpressAuth<C = Claims, Credentials = Record<string, unknown>, User = unknown>(
  auth: Daypass<C>,
  options: NodeOptions<C, Credentials, User> = {},
): ExpressAuth<C, Credentials, User> {
  const { handle, signIn, signOut } = createNodeAuth(auth, options)
  return {
    signIn,
    signOut,
    async routes(req, res, next) {
      if (!(await handle(req, res))) next()
    },
    requireAuth: createRequireAuth(auth, options),
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
  const authenticate = createNodeGuard(verifier, options)
  type Handler = (req: AuthenticatedRequest<C>, res: Response, next: NextFunction) => unknown
  return ((first: GuardOptions | Handler = {}, second: GuardOptions = {}) => {
    const [handler, needed] = typeof first === 'function' ? [first, second] : [undefined, first]
    return async (req: Request<any>, res: Response, next: NextFunction) => {
      const token = await authenticate(req, res, needed)
      if (token === null) return
      req.auth = token
      if (handler === undefined) return next()
      // Express 4 does not look at what a handler returns; its rejection goes where Express 5 would take it.
      try {
        await handler(req as AuthenticatedRequest<C>, res, next)
      } catch (error) {
        next(error)
      }
    }
  }) as RequireAuth<C>
}
