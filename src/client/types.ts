// The public types of the client.

import type { CallOptions, Pass } from './fetch-with-token.ts'
import type { ClientStorage } from './storage.ts'
import type { ClientSession } from './token-response.ts'

/** Options of {@link createClient}. */
export interface ClientOptions {
  /** The address of the Daypass routes: `https://api.example.com/auth`, or `/auth` in a page. */
  baseUrl: string
  /**
   * `cookie`: the refresh token is in an HttpOnly cookie that script cannot read. `body`: it is in JSON and in `storage`.
   * Default: `cookie` in a page, `body` elsewhere.
   */
  transport?: 'cookie' | 'body'
  /**
   * The sign-in's path. It is resolved as a link is: `login` is below `baseUrl`, `/api/login` is from the root of its origin,
   * and a whole URL is itself. Default `login`.
   */
  loginPath?: string
  /** The path of the refresh, resolved like `loginPath`. Default `refresh`. */
  refreshPath?: string
  /** The path of the sign-out, resolved like `loginPath`. Default `logout`. */
  logoutPath?: string
  /** The exact origins that may get the access token: scheme, host and port. Default: that of `baseUrl`. */
  origins?: readonly string[]
  /**
   * The storage of the client's memory. Default: localStorage in the cookie transport in a page (it then holds no secret),
   * else this process's memory. In the body transport pass one to survive a restart; it holds the refresh token.
   */
  storage?: ClientStorage
  /**
   * Whether the other tabs of this origin use the same storage. They then refresh one at a time, share the result, and sign
   * out together. Default: true with the default storage of a page, else false.
   */
  tabs?: boolean
  /** The maximum duration of a sign-in, or of one attempt to refresh, in milliseconds. Default 10,000. */
  refreshTimeout?: number
  /**
   * Called after each request for tokens, for a log: the path, the status (0 = no response) and the reason. They contain no
   * token and no key.
   */
  debug?: (path: string, status: number, reason: string) => void
  /** The underlying fetch. Default: the global one at the time of each call. */
  fetch?: typeof fetch
  /**
   * Milliseconds on a clock that is never set. Default: `performance.now()`, plus the time that the machine slept, measured
   * with the wall clock.
   */
  clock?: () => number
  /** Waits for this number of milliseconds. Default `setTimeout`. */
  sleep?: (milliseconds: number) => Promise<unknown>
  /** Random bytes. Default `crypto.getRandomValues`. */
  random?: (size: number) => Uint8Array
}

/**
 * - `unknown`: there was no response of the server yet.
 * - `signed-in`: there is a session and, by the clock, a valid access token.
 * - `refreshing`: a request for a new access token is under way.
 * - `offline`: there is no valid access token, or a server rejected it, and the refresh failed. The session is kept, and
 *   calls go on with a token that is valid by the clock.
 * - `signed-out`: there is no session; `reason` says why.
 */
export type SessionStatus = 'unknown' | 'signed-in' | 'refreshing' | 'offline' | 'signed-out'

/** The state of a client. It stays the same object until something changes. */
export interface SessionSnapshot<C = Record<string, unknown>, User = unknown> {
  status: SessionStatus
  /** The session, while there is one. */
  session?: ClientSession<C> | undefined
  /**
   * The `user` that the server's `findSubject` returned at the last refresh. If no refresh brought one: the `user` of the
   * sign-in, until the page is loaded again. It is in memory only.
   */
  user?: User | undefined
  /** When the access token expires, by the client's `clock` (`performance.now()` on a machine that never slept). */
  expiresAt?: number
  /** The lifetime of the access token when it came, in seconds. */
  expiresIn?: number
  /** Why it is `offline` or `signed-out`: `sign-out`, `no-session`, a server's code, `HTTP 502`, `ECONNREFUSED` … */
  reason?: string | undefined
}

/** The server's response to a sign-in, without the tokens. */
export interface SignedIn<C = Record<string, unknown>, User = unknown> {
  session?: ClientSession<C>
  /** The `user` of the server's `authenticate`, `signIn` or `findSubject`. */
  user?: User
  [more: string]: unknown
}

/** The result of {@link createClient}, with the types of the claims, the credentials and the user. */
export interface DaypassClient<C = Record<string, unknown>, Credentials = object, User = unknown> {
  /**
   * fetch with the session: the same signature and the same responses, and the access token is added for the configured
   * origins. A rejected token is renewed once, by one refresh for all calls that need it, and the call is sent again. The
   * response to the second attempt is returned, also a 401. While nobody is signed in, calls are sent without a token. A
   * request with an `Authorization` header of its own, or to another origin, is sent unchanged.
   *
   * @throws DaypassClientError ERR_OFFLINE: there is no valid token, and the refresh failed. ERR_SIGNED_OUT: the session
   *   ended while the call waited (after a 401, if the server ended the session, that response is returned instead).
   *   ERR_BODY_NOT_REPLAYABLE: the token was rejected and the body was a stream. ERR_ACCESS_INSUFFICIENT: the token is valid
   *   and the address requires more, such as a recent sign-in; `response` is the 401 or 403. Also the errors of fetch, and
   *   the signal's reason at once.
   */
  fetch: typeof fetch
  /**
   * Signs in: sends the credentials as JSON. `path` names another route with the same response, such as `register`. It is
   * resolved like `loginPath`.
   * A previous session is replaced, and calls that wait in it fail.
   *
   * @returns The server's response, without the tokens.
   * @throws DaypassClientError ERR_SIGN_IN_FAILED with `status`, `reason`, `retryAfter` and `body`: the server rejected the
   *   sign-in, or sent no tokens. ERR_OFFLINE: the server could not be reached, or the storage failed. ERR_SIGNED_OUT:
   *   `signOut()` was called meanwhile, here or in another tab.
   */
  signIn(credentials: Credentials): Promise<SignedIn<C, User>>
  signIn(credentials: object, options: { path?: string }): Promise<SignedIn<C, User>>
  /**
   * Signs out, here and in the other tabs at once. Calls that wait for a token fail with ERR_SIGNED_OUT, and no late response
   * restores the session. The request is sent before anything is awaited, so the page may be left right after the call.
   * Sign-ins that were called before, in any tab, fail with ERR_SIGNED_OUT.
   *
   * @throws DaypassClientError ERR_OFFLINE: the server has not confirmed it yet, and the session still exists there. The
   *   sign-out is sent again at the next call, event of the page or start (after a failure not for half a minute), or by
   *   calling again.
   */
  signOut(): Promise<void>
  /**
   * Returns the access token for WebSockets and other clients than fetch. If it has expired or is about to, it is refreshed
   * first. `forceFresh` refreshes in any case, also when signed out: so it finds a sign-in made by other means. Its request is
   * sent after the call, so the token says what is true since, such as a step-up. Several such calls at once share one.
   *
   * @throws DaypassClientError ERR_SIGNED_OUT, ERR_OFFLINE; the signal's reason at once.
   */
  getAccessToken(options?: CallOptions & { forceFresh?: boolean }): Promise<string>
  /**
   * Returns the right to make one call to `url`, to build on another client than fetch, as `daypass/axios` does. Undefined if
   * the call is to be sent without a token: to another origin, or while nobody is signed in.
   *
   * @throws DaypassClientError As `getAccessToken`, except that it does not throw if nobody is signed in.
   */
  authorize(url: string, options?: CallOptions): Promise<Pass | undefined>
  /** Returns the current state without a request. It is the same object until it changes. */
  getSession(): SessionSnapshot<C, User>
  /**
   * Calls `listener` after every change. While there is a listener, the session is kept up to date: a request is sent if the
   * state is unknown, the access token is renewed shortly before it expires, and failed attempts are repeated, less and less
   * often, but at once when the page becomes visible or the network is back. A hidden page sends nothing. A client without
   * listeners has no timer and no page listener, and refreshes when a call needs it. In Node no timer keeps the process alive.
   * A page that comes back from the back/forward cache is `unknown` until the server responds again.
   *
   * @returns A function that removes the listener.
   */
  subscribe(listener: () => void): () => void
}

type TypesOf<Server, Name extends string, Default> = Server extends { readonly '~types'?: infer Types }
  ? NonNullable<Types> extends { [name in Name]: infer T }
    ? T
    : Default
  : Default

/** The type of the claims, from the type of `createDaypass`'s or an adapter's result. */
export type ClaimsOf<Server> = TypesOf<Server, 'claims', Record<string, unknown>>

/** The type of the credentials that the adapter's `authenticate` takes. */
export type CredentialsOf<Server> = TypesOf<Server, 'credentials', object>

/** The type of the `user`: that of `findSubject`, or else that of the adapter's `authenticate`. */
export type UserOf<Server> = TypesOf<Server, 'user', unknown>
