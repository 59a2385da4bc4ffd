// What does an app give to a client, and what does it get?

import type { ClientSession } from './answer.ts'
import type { CallOptions, Pass } from './fetch-with-token.ts'
import type { ClientStorage } from './storage.ts'

/** Options of {@link createClient}. */
export interface ClientOptions {
  /** Where the Daypass routes are: `https://api.example.com/auth`, or `/auth` in a page. */
  baseUrl: string
  /**
   * `cookie`: the refresh token is in an HttpOnly cookie and never seen by script. `body`: it is in JSON and in `storage`.
   * Default: `cookie` in a page, `body` elsewhere.
   */
  transport?: 'cookie' | 'body'
  /** Path after `baseUrl`, or a whole URL. Default `/login`. */
  loginPath?: string
  /** Path after `baseUrl`, or a whole URL. Default `/refresh`. */
  refreshPath?: string
  /** Path after `baseUrl`, or a whole URL. Default `/logout`. */
  logoutPath?: string
  /** The origins that the access token may go to, to the letter: scheme, host and port. Default: that of `baseUrl`. */
  origins?: readonly string[]
  /**
   * Where to remember things. Default: localStorage in the cookie transport in a page (no secret is among them), else the
   * memory. In the body transport give one to outlive a restart; the refresh token goes there.
   */
  storage?: ClientStorage
  /**
   * Whether the other tabs of this origin use the same storage: they then refresh one at a time, share what they get, and
   * sign out together. Default: true with the default storage of a page, else false.
   */
  tabs?: boolean
  /** Milliseconds that one try to refresh, or a sign-in, may take. Default 10,000. */
  refreshTimeout?: number
  /**
   * Told, for a log, each question about tokens: its path, the status (0 = no answer), the reason. No token and no key is
   * among it.
   */
  debug?: (path: string, status: number, reason: string) => void
  /** The fetch underneath. Default: the global one, as it is at each call. */
  fetch?: typeof fetch
  /**
   * Milliseconds on a clock that nobody sets. Default: `performance.now()`, and what the machine slept meanwhile, as the wall
   * clock shows.
   */
  clock?: () => number
  /** Waits for so many milliseconds. Default `setTimeout`. */
  sleep?: (milliseconds: number) => Promise<unknown>
  /** Random bytes. Default `crypto.getRandomValues`. */
  random?: (size: number) => Uint8Array
}

/**
 * - `unknown`: the server was not asked yet, or is being asked for the first time.
 * - `signed-in`: there is a session and, as far as the clock tells, a good access token.
 * - `refreshing`: a new access token is being asked for.
 * - `offline`: there is no good access token, or a server refused it, and no new one could be had just now. The session is
 *   kept, and calls go on with a token that is good as far as the clock tells.
 * - `signed-out`: there is no session; `reason` says why.
 */
export type SessionStatus = 'unknown' | 'signed-in' | 'refreshing' | 'offline' | 'signed-out'

/** What a client knows, as a value that stays the same object until something changes. */
export interface SessionSnapshot<C = Record<string, unknown>> {
  status: SessionStatus
  /** The session, while there is one. */
  session?: ClientSession<C> | undefined
  /** When the access token ends, in milliseconds of the client's `clock` (`performance.now()` on a machine that never slept). */
  expiresAt?: number
  /** How long the access token was good for when it came, in seconds. */
  expiresIn?: number
  /** Why it is `offline` or `signed-out`: `sign-out`, `no-session`, a server's code, `HTTP 502`, `ECONNREFUSED` … */
  reason?: string | undefined
}

/** What the server answered to a sign-in, without the tokens. */
export interface SignedIn<C = Record<string, unknown>, User = unknown> {
  session?: ClientSession<C>
  /** What the server's `authenticate` gave as `user`. */
  user?: User
  [more: string]: unknown
}

/** What {@link createClient} makes: knowing the claims, what it takes to sign in, and what is known of who did. */
export interface DaypassClient<C = Record<string, unknown>, Credentials = object, User = unknown> {
  /**
   * fetch, signed in: the same signature and the same answers, with the access token added for the configured origins.
   * A refused token is renewed once, by one refresh however many calls need it, and the call is sent again; a second 401
   * is handed over. With nobody signed in, calls go without a token. A request with an `Authorization` header of its own,
   * or to another origin, is left alone.
   *
   * @throws DaypassClientError ERR_OFFLINE: no good token, and none to be had now. ERR_SIGNED_OUT: the session ended
   *   while the call waited (where it had been answered 401, and the server ended the session, that 401 is returned).
   *   ERR_BODY_NOT_REPLAYABLE: refused, and the body was a stream. Besides what fetch throws, the signal's reason at once.
   */
  fetch: typeof fetch
  /**
   * Signs in: sends the credentials as JSON. `path` names another route with the same answer, such as `/register`.
   * A session that was there is left; calls waiting in its name fail.
   *
   * @returns What the server answered, without the tokens.
   * @throws DaypassClientError ERR_SIGN_IN_FAILED with `status`, `reason`, `retryAfter` and `body`: the server refused,
   *   or sent no tokens. ERR_OFFLINE: it could not be asked, or the storage failed. ERR_SIGNED_OUT: `signOut()` was called
   *   meanwhile, here or in another tab.
   */
  signIn(credentials: Credentials): Promise<SignedIn<C, User>>
  signIn(credentials: object, options: { path?: string }): Promise<SignedIn<C, User>>
  /**
   * Signs out: here and in the other tabs at once, calls that wait for a token fail with ERR_SIGNED_OUT, and no late
   * answer brings the session back. The server is told before anything is waited for, so the page may be left right after
   * the call. Sign-ins that were called before, in any tab, fail with ERR_SIGNED_OUT.
   *
   * @throws DaypassClientError ERR_OFFLINE: the server did not hear of it yet. It is told again at the next call, wake-up or
   *   start, after a failure not for half a minute, and by calling again. Until then the session lives on there.
   */
  signOut(): Promise<void>
  /**
   * The access token, refreshed first where it has ended or is about to: for WebSockets and other clients than fetch.
   * `forceFresh` refreshes whatever is known, also when signed out: it picks up a sign-in made by other means.
   *
   * @throws DaypassClientError ERR_SIGNED_OUT, ERR_OFFLINE; the signal's reason at once.
   */
  getAccessToken(options?: CallOptions & { forceFresh?: boolean }): Promise<string>
  /**
   * The right to make one call to `url`, for those who build on another client than fetch: `daypass/axios` is made of
   * it. Undefined where the call is to go without a token: to another origin, or with nobody signed in.
   *
   * @throws DaypassClientError As `getAccessToken`, but for nobody being signed in.
   */
  authorize(url: string, options?: CallOptions): Promise<Pass | undefined>
  /** What is known now, without asking anybody; the same object until it changes. */
  getSession(): SessionSnapshot<C>
  /**
   * Calls `listener` after every change, and as long as anybody subscribes keeps the session up to date: where nothing is
   * known the server is asked, the access token is renewed shortly before it ends, and a server that could not be reached
   * is tried again, ever less often, at once when the page is looked at or the network is back. A hidden page rests, and a
   * client that nobody subscribes to has no timer and no listener: it refreshes when a call needs it. In Node no timer keeps
   * the process. A page that comes back from the back/forward cache is `unknown` until the server was asked anew.
   *
   * @returns What ends that.
   */
  subscribe(listener: () => void): () => void
}

type TypesOf<Server, Name extends string, Default> = Server extends { readonly '~types'?: infer Types }
  ? NonNullable<Types> extends { [name in Name]: infer T }
    ? T
    : Default
  : Default

/** The claims that `createDaypass` was made with, by the type of what it or an adapter made. */
export type ClaimsOf<Server> = TypesOf<Server, 'claims', Record<string, unknown>>

/** What the adapter's `authenticate` takes. */
export type CredentialsOf<Server> = TypesOf<Server, 'credentials', object>

/** What the adapter's `authenticate` gives as `user`. */
export type UserOf<Server> = TypesOf<Server, 'user', unknown>
