// The public types of `createDaypass`: what it gives, takes and asks of an app.

import type { AccessToken, Jwk } from '../verify/index.ts'
import type { RequestOrigin } from './events.ts'
import type { Claims, Device, RevokedReason } from './session.ts'

/** A session as its owner may see it: the row without what tokens are made of. Instants are epoch milliseconds. */
export interface SessionInfo<C = Claims> {
  id: string
  subject: string
  clientId: string
  scope: string
  claims: C
  device: Device
  createdAt: number
  rotatedAt: number
  authTime: number
  amr: string[]
  /** The end if nothing refreshes it before. */
  idleExpiresAt: number
  /** The end whatever happens. */
  expiresAt: number
}

/** What a sign-in or a refresh gives. */
export interface Tokens<C = Claims> {
  accessToken: string
  tokenType: 'Bearer'
  /** Seconds until the access token expires. */
  expiresIn: number
  refreshToken: string
  session: SessionInfo<C>
}

/** What a refresh gives. */
export interface RefreshedTokens<C = Claims> extends Tokens<C> {
  /** `adopted`: an older scheme's token was traded. `replayed` and `retried` answer a refresh that was asked before. */
  outcome: 'rotated' | 'adopted' | 'replayed' | 'retried'
}

/** What is known at a sign-in. */
export interface IssueOptions<C = Claims> {
  /** The app's own claims: plain JSON, at most 4 kB; they go into every access token of the session. */
  claims?: C
  clientId?: string
  /** Scopes separated by spaces (RFC 6749 §3.3). */
  scope?: string
  /** When the person proved who they are, epoch milliseconds. Default now. */
  authTime?: number
  /** How they did (RFC 8176), such as `['pwd']`. */
  amr?: string[]
  device?: Device
  /**
   * Refresh tokens that the same browser or device still holds. Once the new session is there, theirs are ended
   * (`revoked`, reason `replaced`), whoever they belong to. What is no token of this server is passed over.
   */
  replaces?: readonly string[]
  /** Called where a session of `replaces` could not be ended. The sign-in goes on; that session lives until it idles out. */
  onReplaceFailed?: (error: unknown) => void
}

/** The second argument of `issue`: optional unless the claims' type has members that must be there. */
export type IssueArguments<C> =
  Partial<C> extends C ? [options?: IssueOptions<C>] : [options: IssueOptions<C> & { claims: C }]

/** What comes with a refresh token. */
export interface RefreshOptions extends RequestOrigin {
  /** The client's own key of this refresh: made and kept before sending, the same on every retry. */
  idempotencyKey?: string | undefined
  /** The key of the last refresh that the client completed (cookie transport). */
  previousKey?: string | undefined
  /** Where given, the session must belong to this client (RFC 6749 §6). */
  clientId?: string | undefined
  /** An AbortSignal, or what looks like one: where aborted before the token is redeemed, nothing is. */
  signal?: { readonly aborted: boolean } | undefined
}

/** What `createDaypass` makes. Every method may throw `ERR_STORE_…` (503) where the store is away. */
export interface Daypass<C = Claims> {
  /**
   * Begins a session for a subject whose identity the app has proved: a text of 1 to 255 characters. NUL,
   * U+FFFE, U+FFFF and half a surrogate pair are refused in it, as in `clientId`, `scope` and `amr`: not every engine can
   * keep them.
   *
   * @throws DaypassError `ERR_CLAIMS_INVALID`, `ERR_OPTION_INVALID`.
   */
  issue(subject: string, ...options: IssueArguments<C>): Promise<Tokens<C>>
  /**
   * Trades a refresh token for new tokens, exactly once.
   *
   * @throws DaypassError with `error: "invalid_grant"` where the session is over (`ERR_REFRESH_TOKEN_INVALID`,
   *   `ERR_REFRESH_TOKEN_REUSED`, `ERR_SESSION_REVOKED`, `ERR_SESSION_EXPIRED`, `ERR_SESSION_UNKNOWN`,
   *   `ERR_SUBJECT_INACTIVE`); `ERR_REFRESH_SUPERSEDED` where a race was lost; `ERR_IDEMPOTENCY_KEY_INVALID`.
   * @see RFC 6749 §6, RFC 9700 §4.14.2, docs/protocol.md
   */
  refresh(refreshToken: string, options?: RefreshOptions): Promise<RefreshedTokens<C>>
  /**
   * Checks an access token; no I/O but one look at the revoked sessions a second. What others ended is known within a
   * second. While the store is slow or away, what is known counts for 10 seconds; then `whenStoreIsAway` says what happens.
   * It never waits longer than 2 seconds for the store.
   *
   * @throws DaypassError `ERR_ACCESS_TOKEN_INVALID`, `ERR_ACCESS_TOKEN_EXPIRED`, `ERR_ACCESS_TOKEN_REVOKED`,
   *   `ERR_STORE_UNAVAILABLE`.
   */
  verify(accessToken: string): Promise<AccessToken<C>>
  /** Ends one session, where `subject` is given only if it is theirs. True where this call ended it. */
  revoke(sessionId: string, options?: RevokeOptions & { subject?: string }): Promise<boolean>
  /** Ends the session of a refresh token, also of an old one of it. True where this call ended it (RFC 7009 §2.1). */
  revokeToken(refreshToken: string, options?: RevokeOptions): Promise<boolean>
  /** Ends all sessions of a subject, but one where named. How many this call ended. */
  revokeSubject(subject: string, options?: RevokeOptions & { except?: string }): Promise<number>
  /** The subject's live sessions, newest sign-in first; the 1,000 newest where there are more. */
  sessions(subject: string): Promise<SessionInfo<C>[]>
  /** The public keys, to be served at `/.well-known/jwks.json` (RFC 7517 §5). */
  jwks(): { keys: Jwk[] }
  /** Deletes rows long over, in small steps. It happens by itself now and then; how many went. */
  prune(): Promise<number>
  /** Throws where the store cannot answer. */
  check(): Promise<void>
  /** Ends background work and closes the store. */
  close(): Promise<void>
  readonly issuer: string
  readonly audience: string
  /** For types alone, such as those of `createClient<typeof auth>()`; nothing is there when it runs. */
  readonly '~types'?: { claims: C }
}

/** How a session is ended. */
export interface RevokeOptions {
  /** `revokeToken`: only if the token is of the session with this id. */
  sessionId?: string | undefined
  /** Kept in the row and told in the event. Default "sign-out". */
  reason?: RevokedReason
  request?: RequestOrigin
}

/** Whose an old token is: the session that it is traded for begins with this. */
export interface Adopted<C = Claims> extends Omit<IssueOptions<C>, 'authTime'> {
  subject: string
  /**
   * When the person proved who they are, epoch milliseconds. Default 0: it is not known, so what asks for a recent
   * sign-in asks for one.
   */
  authTime?: number
  /** When the old token would have ended, epoch milliseconds: it is remembered so long. Needed without `forget`. */
  expiresAt?: number
}

/** What is known when an old token is looked at. */
export interface AdoptContext extends RequestOrigin {
  /** Milliseconds since the epoch. */
  now: number
}

/**
 * Knows the tokens of an older scheme: the `adopt` option of `createDaypass`. What a method throws is told as 503
 * `ERR_ADOPT_FAILED`, and the token stays good.
 *
 * Each token is traded once, whatever is lost on the way: the session is written under a name made from the token, so a
 * second trade finds the first. Only then is the old token forgotten.
 */
export interface Adopter<C = Claims> {
  /**
   * One name for all spellings of a token, or null for what is none of this scheme's. Asked first, so that garbage costs
   * no I/O; it does none. Default: the token is its own name.
   */
  identify?(token: string): string | null | Promise<string | null>
  /** Whose token is this, now? Null for nobody's. It changes nothing: the answer may be lost yet. */
  find(token: string, context: AdoptContext): Adopted<C> | null | Promise<Adopted<C> | null>
  /**
   * Takes the token out of the app's own store. Called when the session is written, and again where that was not heard
   * of; so it must not matter how often. Where a scheme stores nothing, leave it out: then Daypass remembers the token
   * until its `expiresAt`.
   */
  forget?(token: string): void | Promise<void>
}
