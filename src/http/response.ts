// An HTTP response of Daypass, and the response to an error (RFC 6750 §3, RFC 9470 §3).

import { DaypassError } from '../errors.ts'

/** A response as an adapter sends it. */
export interface HttpResponse {
  status: number
  /** Names are in lower case. Several values of one name are a list. */
  headers: Record<string, string | string[]>
  /** JSON; undefined for no body. */
  body: string | undefined
}

/** The return value of a route: JSON, or nothing. */
export interface RouteResponse {
  /** Default 200, and 204 where there is no body. */
  status?: number
  /** Response headers. `Cache-Control` and the CORS headers are always the router's. */
  headers?: Record<string, string | string[]>
  /** Anything that JSON can hold. */
  body?: unknown
}

/** Demands of a route on an access token beside being valid. */
export interface AccessNeeds {
  /** Scopes that must all be there, separated by spaces. */
  scope?: string
  /** The most seconds that may have passed since the person signed in (RFC 9470 `max_age`). */
  maxAge?: number
}

/** The `onError` option. Its return value is ignored. */
export type OnError = (error: unknown) => unknown

/** The default of `onError`. */
export const logError: OnError = (error) => console.error('daypass:', error)

/** Reports 5xx errors to `onError`. Errors that `onError` throws are ignored: the caller still gets a response. */
export function reportError(onError: OnError, thrown: unknown): void {
  if (thrown instanceof DaypassError && thrown.status < 500) return
  try {
    Promise.resolve(onError(thrown)).catch(() => {})
  } catch {}
}

/** The response to an error. An error that is no DaypassError reveals nothing of itself. */
export function errorResponse(thrown: unknown, needs?: AccessNeeds): RouteResponse {
  const { status, code, error, message, retryAfter } = publicError(thrown)
  const headers: Record<string, string> = {}
  if (retryAfter !== undefined) headers['retry-after'] = toSeconds(retryAfter)
  if (isAboutAccess(code)) headers['www-authenticate'] = challengeFor(code, error, message, needs)
  // An invalid option concerns the operator. The caller learns only that something failed.
  const text = status === 500 ? 'Something went wrong here; it was logged.' : message
  return { status, headers, body: error === '' ? { code, message: text } : { error, code, message: text } }
}

/** Details of a store's failure (a full disk, a lock) and errors of the app itself concern the operator alone. */
function publicError(thrown: unknown): DaypassError {
  if (!(thrown instanceof DaypassError)) return new DaypassError('ERR_INTERNAL')
  if (!thrown.code.startsWith('ERR_STORE_')) return thrown
  // Every 503 says when to try again.
  return new DaypassError('ERR_STORE_UNAVAILABLE', undefined, { retryAfter: thrown.retryAfter })
}

function isAboutAccess(code: string): boolean {
  return code.startsWith('ERR_ACCESS_TOKEN') || code.endsWith('_INSUFFICIENT') || code === 'ERR_AUTHENTICATION_TOO_OLD'
}

/** The challenge that tells a client what to do. It has no error code where no credentials came (RFC 6750 §3.1). */
function challengeFor(code: string, error: string, message: string, { scope, maxAge }: AccessNeeds = {}): string {
  const details = [
    error && `error="${error}"`,
    error && `error_description="${toDescription(message)}"`,
    code === 'ERR_SCOPE_INSUFFICIENT' && scope && `scope="${scope}"`,
    error === 'insufficient_user_authentication' && maxAge !== undefined && `max_age="${maxAge}"`,
  ].filter(Boolean)
  return details.length === 0 ? 'Bearer' : `Bearer ${details.join(', ')}`
}

/** A text as `error_description` can hold it (RFC 6750 §3). An app's own message may be in any language. */
const toDescription = (text: string) =>
  text
    .replaceAll(/["\\]/g, "'")
    .replaceAll(/\s+/g, ' ')
    .replaceAll(/[^\x20-\x7e]/gu, '?')

/** Whole seconds. An app's own error may say NaN or Infinity, which the header cannot hold. */
const toSeconds = (given: number) => String(Math.min(Math.max(1, Math.ceil(Number(given) || 0)), 2 ** 31))
