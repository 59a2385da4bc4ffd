// What did the server answer, and what does that mean for the session?

import type { ClientErrorDetails } from './errors.ts'

/** A session as the server shows it to its owner. Instants are milliseconds since the epoch, by the server's clock. */
export interface ClientSession<C = Record<string, unknown>> {
  id: string
  subject: string
  /** The app's own claims, as they are in the access token: for what to show, not for what to allow. */
  claims: C
  scope?: string
  createdAt: number
  expiresAt: number
  idleExpiresAt: number
  [more: string]: unknown
}

/** What a sign-in or a refresh brought, without the refresh token. */
export interface Access {
  accessToken: string
  /** Seconds. */
  expiresIn: number
  session?: ClientSession
}

/** An answer, or the want of one: `status` 0. */
export interface Answer {
  /** What may be told of it to anyone: no token is in it. */
  told: ClientErrorDetails
  /** Whether it was a 2xx. */
  ok?: boolean
  /** Whether the session is over. This alone ends it: a bare 401 may come from any proxy on the way. */
  isOver?: boolean
  /** Whether the tokens are those of the other transport. */
  isOther?: boolean
  /** Where tokens came, all of them. */
  access?: Access
  /** Body transport only. */
  refreshToken?: string
}

/** Reads an answer. */
export async function read(response: Response, isBody: boolean): Promise<Answer> {
  const { headers } = response
  // A page is not told the status of a redirect that was not followed.
  const status = response.status || 302
  // Half a body, a proxy's HTML, nothing at all: no JSON, so no verdict.
  const { refreshToken, ...access } = Object(await response.json().catch(() => {}))
  const { accessToken, ...body } = access
  const reason = body.code ?? body.error ?? `HTTP ${status}`
  const told = { status, reason, body, retryAfter: retryAfterOf(headers) }
  return {
    told,
    ok: response.ok,
    isOther: accessToken && isBody !== Boolean(refreshToken),
    isOver: status === 401 && body.error === 'invalid_grant',
    access: accessToken && body.expiresIn > 0 && (!isBody || refreshToken) && access,
    refreshToken: isBody ? refreshToken : undefined,
  }
}

/** The seconds that the server asks to be left alone for. */
export function retryAfterOf(headers: Headers): number | undefined {
  // In seconds, or a date: that by the server's own clock.
  const after = headers.get('retry-after')!
  return [parseFloat(after), (Date.parse(after) - Date.parse(headers.get('date')!)) / 1000].find((s) => s >= 0)
}

/** A failure as an answer. Of the error only its code or name is kept: its message may quote what was sent. */
export function failed(error: any): Answer {
  // A DOMException's code is a number.
  const reason = [error?.cause?.code, error?.code, error?.name].find((word) => typeof word === 'string')
  return { told: { status: 0, reason } }
}
