// Which errors are there, what does each mean over HTTP, and what should its reader do?

/** One row of the table of errors: its HTTP status, the RFC's error code, and a text that says what to do. */
interface ErrorKind {
  status: number
  /** The `error` member of the HTTP answer: the RFCs' words (RFC 6749 §5.2, RFC 6750 §3.1, RFC 9470 §3). */
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
      'Other middleware has read the request body and kept nothing of it. Put Daypass before that middleware, or keep the bytes in `req.rawBody`. In Fastify, pass its own request and reply.',
  },
  ERR_INTERNAL: { status: 500, error: 'server_error', message: 'Something went wrong here; it was logged.' },

  ERR_REQUEST_INVALID: { status: 400, error: 'invalid_request', message: 'The request is malformed.' },
  ERR_IDEMPOTENCY_KEY_INVALID: {
    status: 400,
    error: 'invalid_request',
    message: 'Idempotency-Key must be one string of 22 to 255 printable characters with at least 128 random bits.',
  },
  ERR_NOT_FOUND: { status: 404, error: 'not_found', message: 'There is nothing at this address.' },
  ERR_METHOD_NOT_ALLOWED: { status: 405, error: 'invalid_request', message: 'This address takes another method.' },
  ERR_BODY_TOO_LARGE: { status: 413, error: 'invalid_request', message: 'The body is too large.' },
  ERR_MEDIA_TYPE: { status: 415, error: 'invalid_request', message: 'Send the body as application/json.' },
  ERR_ORIGIN_REFUSED: {
    status: 403,
    error: 'access_denied',
    message: 'This origin may not do this; the server lists the origins it allows in its `origins` option.',
  },
  ERR_RATE_LIMITED: { status: 429, error: 'rate_limited', message: 'Too many tries; wait as Retry-After says.' },

  ERR_CREDENTIALS_INVALID: { status: 401, error: 'invalid_grant', message: 'The credentials are not right.' },
  ERR_REFRESH_TOKEN_MISSING: { status: 401, error: 'invalid_grant', message: 'No refresh token came; sign in.' },
  ERR_REFRESH_TOKEN_INVALID: { status: 401, error: 'invalid_grant', message: 'Not a refresh token of this server.' },
  ERR_REFRESH_TOKEN_REUSED: {
    status: 401,
    error: 'invalid_grant',
    message: 'The refresh token was used before, so somebody holds a copy: the session was ended. Sign in again.',
  },
  ERR_REFRESH_SUPERSEDED: {
    status: 409,
    error: 'superseded',
    message: 'Another refresh of this session came first; read the newest token and ask again.',
  },
  ERR_SESSION_UNKNOWN: { status: 401, error: 'invalid_grant', message: 'There is no such session; sign in.' },
  ERR_SESSION_REVOKED: { status: 401, error: 'invalid_grant', message: 'The session was ended; sign in.' },
  ERR_SESSION_EXPIRED: { status: 401, error: 'invalid_grant', message: 'The session is over its time; sign in.' },
  ERR_SUBJECT_INACTIVE: { status: 401, error: 'invalid_grant', message: 'The account is no longer active.' },

  ERR_ACCESS_TOKEN_MISSING: { status: 401, error: '', message: 'This address needs an access token.' },
  ERR_ACCESS_TOKEN_INVALID: { status: 401, error: 'invalid_token', message: 'The access token is not valid here.' },
  ERR_ACCESS_TOKEN_EXPIRED: { status: 401, error: 'invalid_token', message: 'The access token expired; refresh.' },
  ERR_ACCESS_TOKEN_REVOKED: { status: 401, error: 'invalid_token', message: "The access token's session was ended." },
  ERR_SCOPE_INSUFFICIENT: {
    status: 403,
    error: 'insufficient_scope',
    message: 'The access token lacks a scope that this address needs.',
  },
  ERR_AUTHENTICATION_TOO_OLD: {
    status: 401,
    error: 'insufficient_user_authentication',
    message: 'This needs a more recent sign-in.',
  },
  ERR_JWKS_UNAVAILABLE: {
    status: 503,
    error: 'temporarily_unavailable',
    message: 'The keys that check access tokens could not be fetched; try again shortly.',
  },

  ERR_STORE_UNAVAILABLE: {
    status: 503,
    error: 'temporarily_unavailable',
    message: 'The session store does not answer; try again shortly.',
  },
  ERR_STORE_LOCKED: {
    status: 503,
    error: 'temporarily_unavailable',
    message: 'The database file is locked, by another process or by a transaction of the app’s own.',
  },
  ERR_STORE_READ_ONLY: {
    status: 503,
    error: 'temporarily_unavailable',
    message: 'The database file cannot be written; check its permissions and its folder’s.',
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
    message: 'isActive() failed, so nothing was changed; try again shortly.',
  },
  ERR_ADOPT_FAILED: {
    status: 503,
    error: 'temporarily_unavailable',
    message: 'The app’s own list of old tokens does not answer, so nothing was lost; try again shortly.',
  },
  ERR_OVERLOADED: { status: 503, error: 'temporarily_unavailable', message: 'Too busy; try again shortly.' },
  ERR_REQUEST_ABORTED: { status: 499, error: 'invalid_request', message: 'The caller went away; nothing was changed.' },
} as const satisfies Record<string, ErrorKind>

/** A stable code: compare with `error.code`. */
export type ErrorCode = keyof typeof errorKinds

/** What an error may carry beside its code. */
export interface DaypassErrorOptions {
  /** What went wrong underneath; for logs, never sent out. */
  cause?: unknown
  /** Seconds after which trying again makes sense. */
  retryAfter?: number
}

/**
 * The one error class. `message` may be shown to anyone: it holds no secret and no detail of the inside; the detail is
 * in `cause`.
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
  /** The HTTP status that says the same. */
  readonly status: number
  /** The RFC's error code, as it goes into an HTTP answer; empty where the RFC wants none (RFC 6750 §3.1). */
  readonly error: string
  /** Seconds after which trying again makes sense, where that is known. */
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

/** Narrows an unknown error to a {@link DaypassError}, with one code where one is named. */
export function isDaypassError(error: unknown, code?: ErrorCode): error is DaypassError {
  return error instanceof DaypassError && (code === undefined || error.code === code)
}
