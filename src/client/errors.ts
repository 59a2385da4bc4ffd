// The errors of the client: the class, the codes and the guards.

/** Every code of the client side, and its meaning. docs/errors.md lists the same codes; a test keeps the two equal. */
export const clientErrors = {
  ERR_OPTION_INVALID: 'An option of the client is missing or wrong; the reason names it.',
  ERR_SIGNED_OUT: 'No person is signed in (any more); sign in.',
  ERR_OFFLINE: 'The server could not be reached; the session is kept, so try again later.',
  ERR_BODY_NOT_REPLAYABLE: 'The access token was rejected and the body was a one-shot stream; make the call again.',
  ERR_ACCESS_INSUFFICIENT: 'The access token is valid, but the address requires more; see the reason.',
  ERR_SIGN_IN_FAILED: 'The server rejected the sign-in.',
  ERR_STREAM_REFUSED: 'The server rejected the stream of events.',
} as const

/** A stable code: compare with `error.code`. */
export type ClientErrorCode = keyof typeof clientErrors

/** The members of an error besides its code. */
export interface ClientErrorDetails {
  /**
   * The reason in one word: the server's code (`ERR_SESSION_REVOKED`), `HTTP 502`, or the network's (`ECONNRESET`).
   * `ERR_ACCESS_INSUFFICIENT`: `insufficient_user_authentication` or `insufficient_scope`.
   */
  reason?: string
  /** The HTTP status of the response; 0 if there was none. */
  status?: number
  /** Seconds after which the caller may try again. */
  retryAfter?: number
  /** `ERR_SIGN_IN_FAILED`: the parsed body of the server's response; an empty object if it was not JSON. */
  body?: Record<string, unknown>
  /**
   * `ERR_BODY_NOT_REPLAYABLE`: the 401 response, unread (`daypass/axios`: axios's own response).
   * `ERR_ACCESS_INSUFFICIENT`: the 401 or 403 response, likewise; its `WWW-Authenticate` has `max_age` or `scope`.
   * `ERR_STREAM_REFUSED`: the response that is not a stream, unread.
   */
  response?: unknown
}

/**
 * The error class of the client. Its message is the code and the reason, and docs/errors.md has the text of each code: the
 * texts would be a tenth of the bytes that a browser loads. It contains no token and no key, so it may be logged.
 *
 * @example
 * ```ts
 * import { createClient, isOffline, isSignedOut } from 'daypass/client'
 *
 * const client = createClient({ baseUrl: 'https://api.example.com/auth' })
 * try {
 *   await client.fetch('https://api.example.com/me')
 * } catch (error) {
 *   if (isSignedOut(error)) console.log('please sign in')
 *   else if (isOffline(error)) console.log(`again in ${error.retryAfter ?? 5} s`)
 *   else throw error
 * }
 * ```
 */
export class DaypassClientError extends Error {
  override readonly name = 'DaypassClientError'
  declare readonly code: ClientErrorCode
  declare readonly reason?: string
  declare readonly status?: number
  declare readonly retryAfter?: number
  declare readonly body?: Record<string, unknown>
  declare readonly response?: unknown

  constructor(code: ClientErrorCode, details: ClientErrorDetails) {
    super(details.reason ? `${code}: ${details.reason}` : code)
    Object.assign(this, details, { code })
  }
}

/** Compares codes and not classes, so that it works with two copies of this module. */
export const is =
  (code: ClientErrorCode) =>
  (error: unknown): error is DaypassClientError =>
    (error as DaypassClientError | undefined)?.code === code

/**
 * Whether the call failed because no person is signed in (any more). `reason` says how the session ended: `sign-out` if the
 * person signed out, here or in another tab, or else the server's code.
 */
export const isSignedOut = is('ERR_SIGNED_OUT')

/** Whether the call failed because the server could not be reached for a new token. The session is kept. */
export const isOffline = is('ERR_OFFLINE')

/** Whether the call was rejected and its body could not be sent again. The next attempt is sent with a fresh token. */
export const isBodyNotReplayable = is('ERR_BODY_NOT_REPLAYABLE')

/**
 * Whether the address requires more than a valid access token, so that no refresh helps. `reason` says what:
 * `insufficient_user_authentication` (RFC 9470): the person must prove again who they are, in this session.
 * `insufficient_scope` (RFC 6750): this session may not do it.
 */
export const isAccessInsufficient = is('ERR_ACCESS_INSUFFICIENT')

/** Whether the server rejected the credentials, or the sign-in failed otherwise: see `status`. */
export const isSignInFailed = is('ERR_SIGN_IN_FAILED')
