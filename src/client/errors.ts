// Which errors does the client throw, and what should its caller do?

/** Every code of the client side, and what it says. docs/errors.md lists the same codes; a test keeps the two equal. */
export const clientErrors = {
  ERR_SIGNED_OUT: 'Nobody is signed in, or no longer; sign in.',
  ERR_OFFLINE: 'The server could not be asked just now; the session is kept, so try again later.',
  ERR_BODY_NOT_REPLAYABLE: 'The access token was refused and the body was a one-shot stream; make the call again.',
  ERR_SIGN_IN_FAILED: 'The server refused the sign-in.',
  ERR_STREAM_REFUSED: 'The server refused the stream of events.',
} as const

/** A stable code: compare with `error.code`. */
export type ClientErrorCode = keyof typeof clientErrors

/** What an error may carry beside its code. */
export interface ClientErrorDetails {
  /** In one word: the server's own code (`ERR_SESSION_REVOKED`), `HTTP 502`, or the network's (`ECONNRESET`). */
  reason?: string
  /** The HTTP status of the answer, 0 where none came. */
  status?: number
  /** Seconds after which trying again makes sense. */
  retryAfter?: number
  /** `ERR_SIGN_IN_FAILED`: the server's answer, parsed; an empty object where it was not JSON. */
  body?: Record<string, unknown>
  /**
   * `ERR_BODY_NOT_REPLAYABLE`: the 401 that cannot be mended, unread (`daypass/axios`: axios's own response).
   * `ERR_STREAM_REFUSED`: what came instead of a stream, unread.
   */
  response?: unknown
}

/**
 * The one error class of the client. Its message is the code and the reason: the texts above would be a tenth of what a
 * browser has to load. It holds no token and no key, so it may be logged whole.
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

/** By its code, so also where two copies of this module are loaded. */
export const is =
  (code: ClientErrorCode) =>
  (error: unknown): error is DaypassClientError =>
    (error as DaypassClientError | undefined)?.code === code

/**
 * Whether the call failed because nobody is signed in (any more). `reason` says how it ended: `sign-out` where the
 * person did it, here or in another tab; the server's code where the server did.
 */
export const isSignedOut = is('ERR_SIGNED_OUT')

/** Whether the call failed because the server could not be asked for a new token; the session lives on. */
export const isOffline = is('ERR_OFFLINE')

/** Whether the call was refused and its body could not be sent again; the next try goes out with a fresh token. */
export const isBodyNotReplayable = is('ERR_BODY_NOT_REPLAYABLE')

/** Whether the server refused the credentials (or the sign-in was otherwise not to be had: see `status`). */
export const isSignInFailed = is('ERR_SIGN_IN_FAILED')
