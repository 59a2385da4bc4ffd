// The public types of `createDaypass`: its methods, their parameters and their results.

import type { AccessToken, Jwk } from '../verify/index.ts'
import type { RequestOrigin } from './events.ts'
import type { SessionLifetimes } from './lifetimes.ts'
import type { Claims, Device, RevokedReason } from './session.ts'

/** A session as its owner may see it: the row without the material of its tokens. Instants are epoch milliseconds. */
export interface SessionInfo<C = Claims> {
  /** The session's id. It is no secret. */
  id: string
  /** The person or account. */
  subject: string
  /** The client that the session belongs to. */
  clientId: string
  /** Scopes separated by spaces; empty for none. */
  scope: string
  /** The app's own claims. */
  claims: C
  /** The device, as it signed in. Its `ip` is that of the last refresh. */
  device: Device
  /** When the session began. */
  createdAt: number
  /** When it was last refreshed; at first, the sign-in. */
  rotatedAt: number
  /** When the person proved who they are. */
  authTime: number
  /** The authentication methods (RFC 8176). */
  amr: string[]
  /** When the session ends unless it is refreshed before. */
  idleExpiresAt: number
  /** When the session ends at the latest. */
  expiresAt: number
  /** Whether the browser keeps the cookie when it is closed ("remember me"). */
  persistent: boolean
}

/** A session that was read by a refresh token. */
export interface FoundSession<C = Claims, User = unknown> extends SessionInfo<C> {
  /** The `user` that `findSubject` returned; undefined without one. */
  user?: User | undefined
  /**
   * Makes an access token of the session, for calls on the person's behalf while a page is rendered. It lives as long as any
   * other, so do not send it to the page: the page's own client gets its own.
   */
  createAccessToken(): Promise<string>
}

/** The result of a sign-in. */
export interface Tokens<C = Claims, User = unknown> {
  /** The access token: a JWT (RFC 9068). */
  accessToken: string
  /** The scheme of the Authorization header. */
  tokenType: 'Bearer'
  /** Seconds until the access token expires. */
  expiresIn: number
  /** The refresh token, for the caller alone. */
  refreshToken: string
  /** The session as it is now. */
  session: SessionInfo<C>
  /** The `user` that `findSubject` returned; undefined if it was not asked. */
  user?: User | undefined
}

/** The result of a refresh. */
export interface RefreshedTokens<C = Claims, User = unknown> extends Tokens<C, User> {
  /** `adopted`: an older scheme's token was traded. `replayed`, `retried`: the response to a repeated refresh. */
  outcome: 'rotated' | 'adopted' | 'replayed' | 'retried'
}

/** Options of `issue`. */
export interface IssueOptions<C = Claims> extends SessionLifetimes {
  /** The app's own claims: plain JSON, at most 4 kB; they go into every access token of the session. */
  claims?: C
  /** The client that the session belongs to: 1 to 255 characters. Default: the `clientId` option. */
  clientId?: string
  /** Scopes separated by spaces (RFC 6749 §3.3): at most 1,024 bytes. */
  scope?: string
  /** When the person proved who they are, epoch milliseconds by this machine's clock; not in the future. Default now. */
  authTime?: number
  /** The authentication methods (RFC 8176), such as `['pwd']`: at most 1,024 bytes of JSON. */
  amr?: string[]
  /** The device, shown to its owner in the list of sessions. */
  device?: Device
  /**
   * Refresh tokens that the same browser or device still holds. Once the new session is written, the sessions of these
   * tokens are ended (`revoked`, reason `replaced`), whatever their subject. Other texts are ignored.
   */
  replaces?: readonly string[]
  /** Called if a session of `replaces` could not be ended. The sign-in continues; that session ends by its timeouts. */
  onReplaceFailed?: (error: unknown) => void
}

/**
 * The second argument of `issue`: required if the claims' type has required members, unless `findSubject` provides them
 * (`Finds`).
 */
export type IssueArguments<C, Finds extends boolean = false> = true extends Finds
  ? [options?: IssueOptions<C>]
  : Partial<C> extends C
    ? [options?: IssueOptions<C>]
    : [options: IssueOptions<C> & { claims: C }]

/** Options of `refresh`. */
export interface RefreshOptions extends RequestOrigin {
  /** The Idempotency-Key. The client generates and stores it before it sends the refresh; every retry has the same key. */
  idempotencyKey?: string | undefined
  /** The key of the last refresh that the client completed (cookie transport). */
  previousKey?: string | undefined
  /** If it is there, the session must belong to this client (RFC 6749 §6). `undefined` is an error. */
  clientId?: string
  /** An AbortSignal. If it is aborted before the token is redeemed, the token is not redeemed. */
  signal?: { readonly aborted: boolean } | undefined
}

/** The result of `createDaypass`. Every method may throw `ERR_STORE_…` (503) if the store is unavailable. */
export interface Daypass<C = Claims, Finds extends boolean = false, User = unknown> {
  /**
   * Begins a session. The app has verified the subject's identity before. A subject is a string of 1 to 255 characters.
   * NUL, U+FFFE, U+FFFF and unpaired surrogates are rejected in it, as in `clientId`, `scope` and `amr`: not every engine
   * can store them.
   *
   * Without claims, `findSubject` is asked for them.
   *
   * @throws DaypassError `ERR_CLAIMS_INVALID`, `ERR_OPTION_INVALID`; `ERR_SUBJECT_INACTIVE` if `findSubject` finds nobody.
   */
  issue(subject: string, ...options: IssueArguments<C, Finds>): Promise<Tokens<C, User>>
  /**
   * Trades a refresh token for new tokens, exactly once.
   *
   * @throws DaypassError with `error: "invalid_grant"` if the session is over (`ERR_REFRESH_TOKEN_INVALID`,
   *   `ERR_REFRESH_TOKEN_REUSED`, `ERR_SESSION_REVOKED`, `ERR_SESSION_EXPIRED`, `ERR_SESSION_UNKNOWN`,
   *   `ERR_SUBJECT_INACTIVE`); `ERR_REFRESH_SUPERSEDED` if another refresh came first; `ERR_IDEMPOTENCY_KEY_INVALID`.
   * @see RFC 6749 §6, RFC 9700 §4.14.2, docs/protocol.md
   */
  refresh(refreshToken: string, options?: RefreshOptions): Promise<RefreshedTokens<C, User>>
  /**
   * Reads who is signed in, by a refresh token, without redeeming it: for a page that is rendered on a server. One read of
   * the store; nothing is rotated, ended or revived. Returns null unless the token is the newest one of a live session, or
   * only lost a race; the page's own client then finds out with a refresh. With `findSubject`, the claims and the `user`
   * are those of now, and null also means that the subject is unknown.
   *
   * @throws DaypassError `ERR_SUBJECT_CHECK_FAILED` if `findSubject` throws.
   * @example
   * ```ts
   * import { createDaypass } from 'daypass'
   * import { createSqliteStore } from 'daypass/sqlite'
   *
   * const store = createSqliteStore('./daypass.db')
   * const auth = createDaypass({ secret: process.env.DAYPASS_SECRET!, issuer: 'https://example.com', store })
   * const { refreshToken } = await auth.issue('user-1')
   * const session = await auth.findSession(refreshToken)
   * console.log(session?.subject ?? 'nobody')
   * ```
   */
  findSession(refreshToken: string): Promise<FoundSession<C, User> | null>
  /**
   * Verifies an access token. Does no I/O except reading the list of revoked sessions at most once a second, so a sign-out
   * on another server is known within a second. While the store is unavailable, the last list is used for 10 seconds; then
   * `whenStoreIsAway` decides. Never waits longer than 2 seconds for the store.
   *
   * @throws DaypassError `ERR_ACCESS_TOKEN_INVALID`, `ERR_ACCESS_TOKEN_EXPIRED`, `ERR_ACCESS_TOKEN_REVOKED`,
   *   `ERR_STORE_UNAVAILABLE`.
   */
  verify(accessToken: string): Promise<AccessToken<C>>
  /**
   * Changes a live session: its claims, its `authTime` and `amr` after the person proved who they are once more (step-up,
   * RFC 9470), or the name of its device. Issued access tokens keep what they say. The next refresh returns one with the
   * change. For a right that must be gone at once, `revokeSubject` ends the sessions, or a guard's `allow` asks your database.
   * A refresh at the same moment and the change both count.
   *
   * @returns The session as it is now, or null if there is no live one.
   * @throws DaypassError `ERR_CLAIMS_INVALID`, `ERR_OPTION_INVALID`.
   * @example
   * ```ts
   * import { createDaypass } from 'daypass'
   * import { createMemoryStore } from 'daypass/memory'
   *
   * const auth = createDaypass({ secret: process.env.DAYPASS_SECRET!, issuer: 'https://example.com', store: createMemoryStore() })
   * const { accessToken } = await auth.issue('user-1', { amr: ['pwd'] })
   * const { sessionId } = await auth.verify(accessToken)
   * await auth.update(sessionId, { authTime: Date.now(), amr: ['pwd', 'otp'] })
   * ```
   */
  update(sessionId: string, changes: SessionChanges<C>, options?: UpdateOptions): Promise<SessionInfo<C> | null>
  /**
   * Ends one session; with `subject`, only if it belongs to that subject. Returns true if this call ended it.
   *
   * @throws DaypassError `ERR_OPTION_INVALID` if `subject` is there and `undefined`: it would be anybody's session.
   */
  revoke(sessionId: string, options?: RevokeOptions & { subject?: string }): Promise<boolean>
  /** Ends the session of a refresh token, also of an older one. Returns true if this call ended it (RFC 7009 §2.1). */
  revokeToken(refreshToken: string, options?: RevokeOptions): Promise<boolean>
  /**
   * Ends all sessions of a subject except `except`. Returns how many this call ended.
   *
   * @throws DaypassError `ERR_OPTION_INVALID` if `except` is there and `undefined`.
   */
  revokeSubject(subject: string, options?: RevokeOptions & { except?: string }): Promise<number>
  /** The subject's live sessions, newest sign-in first; the 1,000 newest where there are more. */
  sessions(subject: string): Promise<SessionInfo<C>[]>
  /** The public keys, to be served at `/.well-known/jwks.json` (RFC 7517 §5). */
  jwks(): { keys: Jwk[] }
  /** Deletes rows of sessions long over, in small steps. It happens by itself now and then. Returns how many it deleted. */
  prune(): Promise<number>
  /** Throws if the store does not respond. */
  check(): Promise<void>
  /** Ends background work and closes the store. */
  close(): Promise<void>
  /** The `issuer` option. */
  readonly issuer: string
  /** The audience of the access tokens. */
  readonly audience: string
  /** The `clock` option, or `Date.now`: access tokens are verified by it. Milliseconds since the epoch. */
  readonly clock: () => number
  /** For types alone, such as those of `createClient<typeof auth>()`; nothing is there when it runs. */
  readonly '~types'?: { claims: C; user: User }
}

/** The changes of {@link Daypass.update}. Members that are absent stay as they are. */
export interface SessionChanges<C = Claims> {
  /** The app's own claims, all of them: they replace those before. With `findSubject`, its claims count at a refresh. */
  claims?: C | undefined
  /** When the person proved who they are, epoch milliseconds by this machine's clock; not in the future. */
  authTime?: number | undefined
  /** The authentication methods (RFC 8176), such as `['pwd', 'otp']`. */
  amr?: string[] | undefined
  /** The name of the device; null removes it. */
  label?: string | null | undefined
}

/** Options of {@link Daypass.update}. */
export interface UpdateOptions {
  /** Change the session only if it belongs to this subject. `undefined` is an error: it would be anybody's. */
  subject?: string
  /** The request, for the event. */
  request?: RequestOrigin | undefined
}

/** How a session is ended. */
export interface RevokeOptions {
  /** `revokeToken`: only if the token is of the session with this id. `undefined` is an error. */
  sessionId?: string
  /** Stored in the row and part of the event. Default "sign-out". */
  reason?: RevokedReason
  /** The request that ends the session, for the event. */
  request?: RequestOrigin
}

/** The owner of an old token, and the options of the session that the token is traded for. */
export interface Adopted<C = Claims> extends Omit<IssueOptions<C>, 'authTime'> {
  subject: string
  /**
   * When the person proved who they are, epoch milliseconds. Default 0: it is not known, so a check for a recent sign-in
   * fails.
   */
  authTime?: number
  /** When the old token expires, epoch milliseconds. The trade is recorded until then. Required without `forget`. */
  expiresAt?: number
}

/** The context of {@link Adopter.find}. */
export interface AdoptContext extends RequestOrigin {
  /** Milliseconds since the epoch. */
  now: number
}

/**
 * Recognizes the tokens of an older scheme: the `adopt` option of `createDaypass`. An error that a method throws becomes
 * 503 `ERR_ADOPT_FAILED`, and the token stays valid.
 *
 * Each token is traded exactly once, even if a response is lost: the id of the session is derived from the token, so a
 * second trade finds the session of the first. Only then is the old token removed.
 */
export interface Adopter<C = Claims> {
  /**
   * Returns one name for all encodings of a token, or null if the text is not a token of this scheme. Called first and
   * must do no I/O, so that garbage costs none. Default: the token is its own name.
   */
  identify?(token: string): string | null | Promise<string | null>
  /** Returns the token's owner, or null. Must not change state: the response may still be lost. */
  find(token: string, context: AdoptContext): Adopted<C> | null | Promise<Adopted<C> | null>
  /**
   * Removes the token from the app's own store. Called after the session is written, and again on every retry, so it must
   * be idempotent. Omit it if the scheme stores nothing: Daypass then records the trade until the token's `expiresAt`.
   */
  forget?(token: string): void | Promise<void>
}
