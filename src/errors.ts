// The error class, and the table of error codes with HTTP status, RFC error code and message.

/** One row of the table: HTTP status, RFC error code, and a message that says what to do. */
interface ErrorKind {
  status: number
  /** The `error` member of the HTTP response: an RFC's error code (RFC 6749 §5.2, RFC 6750 §3.1, RFC 9470 §3). */
  error: string
  message: string
}

/** Every code of the server side. docs/errors.md lists the same codes; a test keeps the two equal. */
export const errorKinds = {
  ERR_OPTION_INVALID: { status: 500, error: 'server_error', message: 'An option is missing or wrong.' },
  ERR_KEY_WEAK: { status: 500, error: 'server_error', message: 'A key is empty or weaker than its algorithm needs.' },
  ERR_CLAIMS_INVALID: { status: 500, error: 'server_error', message: 'The claims cannot go into an access token.' },
  ERR_BODY_CONSUMED: {
    status: 500,
    error: 'server_error',
    message:
      'Other middleware has read the request body and did not keep it. Put Daypass before that middleware, or keep the bytes in `req.rawBody`. In Fastify, pass its own request and reply.',
  },
  ERR_RESPONSE_SENT: {
    status: 500,
    error: 'server_error',
    message:
      'The response was sent before Daypass could send its own. Await `requireAuth`, `signIn` and `signOut`, and send nothing beside `signIn` and `signOut`: they send the response.',
  },
  ERR_INTERNAL: { status: 500, error: 'server_error', message: 'Something went wrong here; it was logged.' },

  ERR_REQUEST_INVALID: { status: 400, error: 'invalid_request', message: 'The request is malformed.' },
  ERR_IDEMPOTENCY_KEY_INVALID: {
    status: 400,
    error: 'invalid_request',
    message: 'Idempotency-Key must be one string of 22 to 255 printable characters with at least 128 random bits.',
  },
  ERR_NOT_FOUND: { status: 404, error: 'not_found', message: 'There is nothing at this address.' },
  ERR_METHOD_NOT_ALLOWED: {
    status: 405,
    error: 'invalid_request',
    message: 'This address does not allow this method; see the Allow header.',
  },
  ERR_BODY_TOO_LARGE: { status: 413, error: 'invalid_request', message: 'The body is too large.' },
  ERR_MEDIA_TYPE: { status: 415, error: 'invalid_request', message: 'Send the body as application/json.' },
  ERR_ORIGIN_REFUSED: {
    status: 403,
    error: 'access_denied',
    message: 'This origin is not allowed; the `origins` option of the server lists the allowed origins.',
  },
  ERR_REDIRECT_REFUSED: {
    status: 400,
    error: 'invalid_request',
    message:
      'A sign-in leads to a path of this server, such as /home, or to an address at its own or a listed origin. To use another page instead of an error, pass a list: `redirect: [next, "/"]`.',
  },
  ERR_RATE_LIMITED: {
    status: 429,
    error: 'rate_limited',
    message: 'Too many attempts; wait for the seconds in Retry-After.',
  },

  ERR_CREDENTIALS_INVALID: { status: 401, error: 'invalid_grant', message: 'The credentials are wrong.' },
  ERR_REFRESH_TOKEN_MISSING: {
    status: 401,
    error: 'invalid_grant',
    message: 'The request has no refresh token; sign in.',
  },
  ERR_REFRESH_TOKEN_INVALID: {
    status: 401,
    error: 'invalid_grant',
    message: 'This is not a refresh token of this server; sign in.',
  },
  ERR_REFRESH_TOKEN_REUSED: {
    status: 401,
    error: 'invalid_grant',
    message: 'The refresh token was used before, so it was copied. The session was ended; sign in again.',
  },
  ERR_REFRESH_SUPERSEDED: {
    status: 409,
    error: 'superseded',
    message: 'Another refresh of this session came first; read the newest token and refresh again.',
  },
  ERR_SESSION_UNKNOWN: { status: 401, error: 'invalid_grant', message: 'The session does not exist; sign in.' },
  ERR_SESSION_REVOKED: { status: 401, error: 'invalid_grant', message: 'The session was ended; sign in.' },
  ERR_SESSION_EXPIRED: { status: 401, error: 'invalid_grant', message: 'The session has expired; sign in.' },
  ERR_SUBJECT_INACTIVE: { status: 401, error: 'invalid_grant', message: 'The account is no longer active.' },

  ERR_ACCESS_TOKEN_MISSING: {
    status: 401,
    error: '',
    message:
      'This address requires an access token: send `Authorization: Bearer …`, as `client.fetch` does. A page that is loaded with the cookie needs `findSession`.',
  },
  ERR_ACCESS_TOKEN_INVALID: { status: 401, error: 'invalid_token', message: 'The access token is not valid here.' },
  ERR_ACCESS_TOKEN_EXPIRED: { status: 401, error: 'invalid_token', message: 'The access token expired; refresh.' },
  ERR_ACCESS_TOKEN_REVOKED: { status: 401, error: 'invalid_token', message: "The access token's session was ended." },
  ERR_SCOPE_INSUFFICIENT: {
    status: 403,
    error: 'insufficient_scope',
    message: 'The access token lacks a scope that this address requires.',
  },
  ERR_CLAIMS_INSUFFICIENT: {
    status: 403,
    error: 'insufficient_scope',
    message: 'The access token does not permit this.',
  },
  ERR_AUTHENTICATION_TOO_OLD: {
    status: 401,
    error: 'insufficient_user_authentication',
    message: 'This address requires a more recent sign-in.',
  },
  ERR_JWKS_UNAVAILABLE: {
    status: 503,
    error: 'temporarily_unavailable',
    message: 'The keys that verify access tokens could not be fetched; try again shortly.',
  },

  ERR_STORE_UNAVAILABLE: {
    status: 503,
    error: 'temporarily_unavailable',
    message: 'The session store does not respond; try again shortly.',
  },
  ERR_STORE_LOCKED: {
    status: 503,
    error: 'temporarily_unavailable',
    message: 'The database file is locked by another process or by a transaction of the app.',
  },
  ERR_STORE_READ_ONLY: {
    status: 503,
    error: 'temporarily_unavailable',
    message: 'The database file cannot be written; check the permissions of the file and its folder.',
  },
  ERR_STORE_FULL: { status: 503, error: 'temporarily_unavailable', message: 'The disk of the database is full.' },
  ERR_STORE_CORRUPT: {
    status: 503,
    error: 'temporarily_unavailable',
    message: 'The database file is damaged or not a database; restore it from a backup.',
  },
  ERR_STORE_SCHEMA: {
    status: 503,
    error: 'temporarily_unavailable',
    message: 'The database was written by a newer version of Daypass; run that version or newer.',
  },
  ERR_STORE_ISSUER: {
    status: 503,
    error: 'temporarily_unavailable',
    message: 'These tables belong to another issuer. Give the store a `prefix` of its own, or a database of its own.',
  },
  ERR_SIGNER_UNAVAILABLE: {
    status: 503,
    error: 'temporarily_unavailable',
    message: 'The external signer failed; try again shortly.',
  },
  ERR_SUBJECT_CHECK_FAILED: {
    status: 503,
    error: 'temporarily_unavailable',
    message: 'findSubject() failed. Nothing was changed; try again shortly.',
  },
  ERR_ADOPT_FAILED: {
    status: 503,
    error: 'temporarily_unavailable',
    message: 'The app’s lookup of old tokens failed. Nothing was changed; try again shortly.',
  },
  ERR_OVERLOADED: { status: 503, error: 'temporarily_unavailable', message: 'The server is busy; try again shortly.' },
  ERR_REQUEST_ABORTED: {
    status: 499,
    error: 'invalid_request',
    message: 'The caller closed the connection; nothing was changed.',
  },
} as const satisfies Record<string, ErrorKind>

/** A stable code: compare with `error.code`. */
export type ErrorCode = keyof typeof errorKinds

/** Options of the constructor of {@link DaypassError}. */
export interface DaypassErrorOptions {
  /** The underlying error, for logs. It is never part of a response. */
  cause?: unknown
  /** Seconds after which the caller may try again. */
  retryAfter?: number | undefined
}

/**
 * The error class of the server side. `message` may be shown to anyone: it contains no secret and no internal detail.
 * Details are in `cause`.
 *
 * @example
 * ```ts
 * import { createDaypass, DaypassError } from 'daypass'
 * import { createMemoryStore } from 'daypass/memory'
 *
 * const auth = createDaypass({ secret: process.env.DAYPASS_SECRET!, issuer: 'https://example.com', store: createMemoryStore() })
 * try {
 *   await auth.refresh('dpr_…')
 * } catch (error) {
 *   if (error instanceof DaypassError && error.code === 'ERR_REFRESH_TOKEN_REUSED') console.warn('stolen?')
 * }
 * ```
 */
export class DaypassError extends Error {
  override readonly name = 'DaypassError'
  readonly code: ErrorCode
  /** The HTTP status of the response. */
  readonly status: number
  /** The RFC's error code in the response; empty if the RFC requires none (RFC 6750 §3.1). */
  readonly error: string
  /** Seconds after which the caller may try again, if that is known. */
  readonly retryAfter: number | undefined

  constructor(code: ErrorCode, message?: string, options: DaypassErrorOptions = {}) {
    const kind = errorKinds[code]
    super(message ?? kind.message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.status = kind.status
    this.error = kind.error
    this.retryAfter = options.retryAfter ?? (kind.status === 503 ? 1 : undefined)
  }
}

/** Narrows an unknown error to a {@link DaypassError}, with this code if one is given. */
export function isDaypassError(error: unknown, code?: ErrorCode): error is DaypassError {
  return error instanceof DaypassError && (code === undefined || error.code === code)
}
