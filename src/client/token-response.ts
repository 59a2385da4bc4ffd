// Reads the response to a request for tokens: the tokens, or why there are none.

import type { ClientErrorDetails } from './errors.ts'

/** A session as the server shows it to its owner. Instants are milliseconds since the epoch on the server's clock. */
export interface ClientSession<C = Record<string, unknown>> {
  id: string
  subject: string
  /** The app's own claims in the access token. Use them for display only; the server decides what is allowed. */
  claims: C
  scope?: string
  createdAt: number
  expiresAt: number
  idleExpiresAt: number
  /** Whether the browser keeps the cookie when it is closed. */
  persistent?: boolean
  [more: string]: unknown
}

/** The result of a sign-in or a refresh, without the refresh token. */
export interface Access {
  accessToken: string
  /** Seconds. */
  expiresIn: number
  session?: ClientSession
  user?: unknown
}

/** A response to a request for tokens, or the lack of one: `info.status` is 0. */
export interface TokenResponse {
  /** The part that may be shown and logged. It contains no token. */
  info: ClientErrorDetails & { status: number; reason: string }
  /** Whether the status was 2xx. */
  ok?: boolean
  /** Whether the session is over. Nothing else ends a session: a bare 401 may come from any proxy in between. */
  isOver?: boolean
  /** Whether the tokens are for the other transport. */
  isOther?: boolean
  /** The tokens, if the response has all of them. */
  access?: Access
  /** Body transport only. */
  refreshToken?: string
}

/** Reads a response. */
export async function readTokenResponse(response: Response, isBody: boolean): Promise<TokenResponse> {
  const { headers } = response
  // The status of a redirect that was not followed is 0 in a page.
  const status = response.status || 302
  // A truncated body, a proxy's HTML or an empty body is not JSON, so it says nothing about the session.
  const { refreshToken, ...access } = Object(await response.json().catch(() => {}))
  const { accessToken, ...body } = access
  const reason = body.code ?? body.error ?? `HTTP ${status}`
  const info = { status, reason, body, retryAfter: retryAfterOf(headers) }
  return {
    info,
    ok: response.ok,
    isOther: accessToken && isBody !== Boolean(refreshToken),
    isOver: status === 401 && body.error === 'invalid_grant',
    access: accessToken && body.expiresIn > 0 && (!isBody || refreshToken) && access,
    refreshToken: isBody ? refreshToken : undefined,
  }
}

/** The seconds of `Retry-After`. */
export function retryAfterOf(headers: Headers): number | undefined {
  // It may be a number of seconds, or a date on the server's clock.
  const after = `${headers.get('retry-after')}`
  return [parseFloat(after), (Date.parse(after) - Date.parse(`${headers.get('date')}`)) / 1000].find((s) => s >= 0)
}

/** Converts an error to a response. Only its code or name is used, because its message may quote the request. */
export function toFailure(error: unknown): TokenResponse {
  const { cause, code, name } = Object(error)
  // The code of a DOMException is a number.
  const reason = [cause?.code, code, name].find((word) => typeof word === 'string') ?? ''
  return { info: { status: 0, reason } }
}
