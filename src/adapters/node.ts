// daypass/node: Daypass on plain node:http.

import type { Daypass } from '../core/api.ts'
import type { Claims } from '../core/session.ts'
import { createWarner } from '../core/warn.ts'
import { checkAccess, type GuardOptions, refuseAccess, type TokenVerifier } from '../http/guard.ts'
import { createHandler, type HttpOptions, type ServerTypes, type SignIn, type Transport } from '../http/handler.ts'
import { tellOperator } from '../http/message.ts'
import { fromNode, type NodeRequestLike, type NodeResponseLike, toNode } from '../http/node.ts'
import { createUnproxy, type Unproxy } from '../http/proxies.ts'
import type { AccessToken } from '../verify/index.ts'

export type { GuardOptions, TokenVerifier } from '../http/guard.ts'
export type { HttpOptions, ServerTypes, SignIn, SignInRequest, Transport } from '../http/handler.ts'
export type { NodeRequestLike, NodeResponseLike } from '../http/node.ts'

/** Options of the Node door. */
export interface NodeOptions<C = Claims, Credentials = Record<string, unknown>, User = unknown>
  extends HttpOptions<C, Credentials, User> {
  /**
   * Addresses and networks of the proxies in front, such as `10.0.0.0/8`: only theirs X-Forwarded-* is believed.
   * Default: Express's `trust proxy`, Fastify's `trustProxy`, or none.
   */
  trustedProxies?: readonly string[]
}

/** What {@link createNodeAuth} makes. */
export interface NodeAuth<C = Claims, Credentials = unknown, User = unknown> {
  /** Answers a request to one of Daypass's addresses. False for any other address: it is yours to answer. */
  handle(req: NodeRequestLike, res: NodeResponseLike): Promise<boolean>
  /** The request's access token, checked. Null where it is not good enough: the 401 or 403 is then sent already. */
  authenticate(req: NodeRequestLike, res: NodeResponseLike, options?: GuardOptions): Promise<AccessToken<C> | null>
  /** Begins a session for a login of your own, and answers it. */
  signIn(
    req: NodeRequestLike,
    res: NodeResponseLike,
    subject: string,
    claims?: C,
    options?: SignInOptions<C>,
  ): Promise<void>
  /** Ends the session that the request carries, and answers it. */
  signOut(req: NodeRequestLike, res: NodeResponseLike): Promise<void>
  /** For types alone; nothing is there when it runs. */
  readonly '~types'?: ServerTypes<C, Credentials, User>
}

/** What a sign-in may say beside subject and claims. */
export interface SignInOptions<C = Claims> extends Omit<SignIn<C>, 'subject' | 'claims'> {
  /** Default: the `transport` option. */
  transport?: Transport
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
 * createServer(async (req, res) => {
 *   if (await web.handle(req, res)) return
 *   const token = await web.authenticate(req, res)
 *   if (token) res.end(`Hello ${token.subject}`)
 * }).listen(3000)
 * ```
 */
export function createNodeAuth<C = Claims, Credentials = Record<string, unknown>, User = unknown>(
  auth: Daypass<C>,
  options: NodeOptions<C, Credentials, User> = {},
): NodeAuth<C, Credentials, User> {
  const unproxy = createUnproxy(options.trustedProxies, createWarner(options.onWarning))
  const handler = createHandler(auth, options)
  const guard = createNodeGuard(auth, options)
  return {
    async handle(req, res) {
      const answer = await handler.handle(fromNode(req, res, unproxy))
      if (answer !== null) toNode(res, answer)
      return answer !== null
    },
    authenticate: guard,
    async signIn(req, res, subject, claims, { transport, ...given } = {}) {
      const signIn: SignIn<C> = claims === undefined ? { ...given, subject } : { ...given, subject, claims }
      try {
        toNode(res, await handler.signIn(fromNode(req, res, unproxy), signIn, transport))
      } catch (error) {
        toNode(res, handler.fail(error))
      }
    },
    async signOut(req, res) {
      try {
        toNode(res, await handler.signOut(fromNode(req, res, unproxy)))
      } catch (error) {
        toNode(res, handler.fail(error))
      }
    },
  }
}

/** The guard alone, for an API that only checks tokens: give it a verifier of `daypass/verify`. */
export function createNodeGuard<C>(verifier: TokenVerifier<C>, options: Pick<NodeOptions, 'onError'> = {}) {
  // Who asks does not matter here.
  const unproxy: Unproxy = (hop) => ({ ...hop, local: false })
  const onError = options.onError ?? ((error: unknown) => console.error('daypass:', error))
  return async function authenticate(
    req: NodeRequestLike,
    res: NodeResponseLike,
    needed?: GuardOptions,
  ): Promise<AccessToken<C> | null> {
    try {
      return await checkAccess(verifier, fromNode(req, res, unproxy), needed)
    } catch (error) {
      tellOperator(onError, error)
      toNode(res, refuseAccess(error, needed))
      return null
    }
  }
}
