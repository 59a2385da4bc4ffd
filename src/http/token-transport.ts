// How tokens travel: the refresh token in a cookie or in JSON, the rest in JSON.

import type { SessionInfo, Tokens } from '../core/api.ts'
import { DaypassError, isDaypassError } from '../errors.ts'
import { isObject, wrongOption } from '../option.ts'
import type { Cookie } from './cookies.ts'
import type { HttpRequest } from './request.ts'
import type { RouteResponse } from './response.ts'
import type { CarriedToken } from './route.ts'
import type { Transport } from './sign-in-types.ts'

const transports: readonly unknown[] = ['cookie', 'body'] satisfies Transport[]
const isTransport = (named: unknown): named is Transport => transports.includes(named)

/** Throws `ERR_OPTION_INVALID` for a transport that is none. */
export function checkTransport(named: unknown): void {
  if (named !== undefined && !isTransport(named)) throw wrongOption('transport', named, "Give 'cookie' or 'body'.")
}

/**
 * The transport that a request to a login of the app's own asks for; undefined if it names none. The app has read the
 * body, so it is looked at only where a parser has kept it. The header is always there: the client sends
 * `Accept: application/json;transport=body`, which needs no permission of CORS.
 */
export function findTransport(request: HttpRequest): Transport | undefined {
  const { parsedBody } = request
  const [, accepted] = /;\s*transport=(\w+)/.exec(request.headers('accept').join()) ?? []
  return [isObject(parsedBody) && parsedBody.transport, accepted].find(isTransport)
}

/** The refresh tokens in a request's cookies. */
export interface CookieTokens {
  token: string | undefined
  /** The token in the older app's cookie. */
  old: string | undefined
}

/** Reads refresh tokens from requests and writes tokens to responses. */
export interface TokenTransport {
  /** The tokens in the cookies. Throws `ERR_REQUEST_INVALID` where a cookie came twice. */
  readCookies(request: HttpRequest): CookieTokens
  /** All tokens that a browser's cookies hold. A cookie that came twice counts as none. */
  readAll(request: HttpRequest): string[]
  /** The refresh token of a request. Throws `ERR_REQUEST_INVALID` where one came in each transport. */
  read(request: HttpRequest, cookies: CookieTokens): Promise<CarriedToken>
  /** The transport that a sign-in names, or the default. Throws `ERR_REQUEST_INVALID`. */
  choose(named: unknown): Transport
  /** The response with tokens. */
  respond<C>(request: HttpRequest, tokens: Tokens<C>, transport: Transport): RouteResponse
  /** The response that clears the cookie. */
  clear(request: HttpRequest): RouteResponse
}

/** @param readBody Reads a body as a JSON object. */
export function createTokenTransport(
  cookie: Cookie,
  defaultTransport: Transport,
  readBody: (request: HttpRequest) => Promise<Record<string, unknown>>,
): TokenTransport {
  /** The body, which is optional where a cookie says which session is meant: other code may have read it. */
  function readBodyBeside(request: HttpRequest, fromCookie: string | undefined): Promise<Record<string, unknown>> {
    const body = readBody(request)
    if (fromCookie === undefined) return body
    return body.catch((error) => {
      if (isDaypassError(error, 'ERR_BODY_CONSUMED')) return {}
      throw error
    })
  }

  return {
    readCookies: (request) => ({ token: cookie.read(request), old: cookie.readOld(request) }),
    readAll: cookie.readAll,
    async read(request, { token, old }) {
      const body = await readBodyBeside(request, token ?? old)
      const { refreshToken, session } = body
      if (refreshToken === undefined) {
        // Reject it instead of reporting a missing token, which would end the caller's session.
        if ((token ?? old) === undefined && session === undefined && Object.keys(body).length > 0) {
          throw new DaypassError('ERR_REQUEST_INVALID', 'The body has no `refreshToken`.')
        }
        return { ...(token && { token }), ...(old && { old }), transport: 'cookie', session }
      }
      if (typeof refreshToken !== 'string') {
        throw new DaypassError('ERR_REQUEST_INVALID', '`refreshToken` must be a string.')
      }
      if (token !== undefined) {
        throw new DaypassError('ERR_REQUEST_INVALID', 'A refresh token came in the cookie and in the body: send one.')
      }
      return { token: refreshToken, transport: 'body', session }
    },
    choose(named) {
      if (named === undefined) return defaultTransport
      if (isTransport(named)) return named
      throw new DaypassError('ERR_REQUEST_INVALID', '`transport` is "cookie" or "body".')
    },
    respond(request, { accessToken, tokenType, expiresIn, refreshToken, session, user }, transport) {
      const described = { ...describeSession(session), claims: session.claims }
      const body = { accessToken, tokenType, expiresIn, session: described, user }
      if (transport === 'body') return { body: { ...body, refreshToken } }
      const { persistent, idleExpiresAt, rotatedAt } = session
      const maxAge = persistent ? Math.max(1, Math.floor((idleExpiresAt - rotatedAt) / 1000)) : undefined
      return { headers: { 'set-cookie': cookie.set(request, refreshToken, maxAge) }, body }
    },
    clear: (request) => ({ headers: { 'set-cookie': cookie.clear(request) } }),
  }
}

/** The fields of a session that its person may see. */
export function describeSession<C>(session: SessionInfo<C>) {
  const { id, subject, scope, device, createdAt, rotatedAt, authTime, idleExpiresAt, expiresAt, persistent } = session
  const times = { createdAt, rotatedAt, authTime, idleExpiresAt, expiresAt }
  return { id, subject, ...(scope && { scope }), device, ...times, persistent }
}
