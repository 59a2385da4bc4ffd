// What does an app get to sign in with, to call with, and to watch?

import { type Answer, type ClientSession, failed, isOver, read } from './answer.ts'
import { DaypassClientError } from './errors.ts'
import { type CallOptions, createFetch, type Pass } from './fetch-with-token.ts'
import { createLock } from './lock.ts'
import { originOf } from './origin.ts'
import { createRefresh } from './refresh.ts'
import { createState, type SessionSnapshot } from './state.ts'
import { type ClientStorage, createWebStorage, openMemory } from './storage.ts'
import { joinTabs } from './tabs.ts'
import { abortAfter, orAbort } from './wait.ts'

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
  /** Milliseconds on a clock that nobody sets. Default `performance.now`. */
  clock?: () => number
  /** Waits for so many milliseconds. Default `setTimeout`. */
  sleep?: (milliseconds: number) => Promise<unknown>
  /** Random bytes. Default `crypto.getRandomValues`. */
  random?: (size: number) => Uint8Array
}

/** What the server answered to a sign-in, without the tokens. */
export interface SignedIn {
  session?: ClientSession
  user?: unknown
  [more: string]: unknown
}

/** What {@link createClient} makes. */
export interface DaypassClient {
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
   *   or sent no tokens. ERR_OFFLINE: it could not be asked; ERR_SIGNED_OUT: `signOut()` was called meanwhile.
   */
  signIn(credentials: object, options?: { path?: string }): Promise<SignedIn>
  /**
   * Signs out: here and in the other tabs at once, calls that wait for a token fail with ERR_SIGNED_OUT, and no late
   * answer brings the session back. Then the server is told.
   *
   * @throws DaypassClientError ERR_OFFLINE: the server could not be told, so there the session lives on until it
   *   expires. Calling again tries again.
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
  getSession(): SessionSnapshot
  /** Calls `listener` after every change. Returns what ends that. */
  subscribe(listener: () => void): () => void
}

/**
 * Makes a client that keeps a person signed in. Nothing is sent until the first call.
 *
 * @see https://www.rfc-editor.org/rfc/rfc6750#section-2.1 for how the token travels
 * @example
 * ```ts
 * import { createClient } from 'daypass/client'
 *
 * const client = createClient({ baseUrl: 'https://api.example.com/auth' })
 * await client.signIn({ email: 'ada@example.com', password: 'correct horse' })
 * const response = await client.fetch('https://api.example.com/me')
 * ```
 */
export function createClient(options: ClientOptions): DaypassClient {
  const inPage = 'document' in globalThis
  const {
    baseUrl,
    transport = inPage ? 'cookie' : 'body',
    loginPath = '/login',
    refreshPath = '/refresh',
    logoutPath = '/logout',
    origins = [baseUrl],
    refreshTimeout: timeout = 10_000,
    debug = () => {},
    clock = () => performance.now(),
    sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds)),
    random = (size) => crypto.getRandomValues(new Uint8Array(size)),
  } = options
  const isBody = transport === 'body'
  const isShared = inPage && !isBody && !options.storage
  const { storage = isShared ? createWebStorage() : new Map<string, string>(), tabs = isShared } = options
  const send: typeof fetch = (...call) => (options.fetch ?? fetch)(...call)

  const name = `daypass:${baseUrl}${refreshPath}`
  const sharedName = tabs ? name : undefined
  const state = createState(clock)
  const memory = openMemory(storage, name)
  const lock = createLock(timeout, sharedName)
  const tell = joinTabs(sharedName, ({ access, begins, reason }) => {
    if (!access) state.end(reason!)
    else if (begins || state.snapshot.status !== 'signed-out') state.begin(access)
  })

  /** A question about tokens. A redirect fails it: credentials follow none. */
  async function post(path: string, body: object, init?: RequestInit): Promise<Answer> {
    state.request = new AbortController()
    const signal = abortAfter(timeout, state.request)
    const call = send(path.includes('://') ? path : baseUrl.replace(/\/$/, '') + path, {
      ...init,
      method: 'POST',
      headers: { 'content-type': 'application/json', ...init?.headers },
      body: JSON.stringify(body),
      credentials: isBody ? 'omit' : 'include',
      redirect: 'error',
      signal,
    })
    const answer = await orAbort(
      call.then((response) => read(response, isBody)),
      signal,
    ).catch(failed)
    debug(path, answer.told.status!, answer.told.reason!)
    return answer
  }

  const refresh = createRefresh({
    ...{ isBody, state, memory, lock, tell, clock, sleep, random },
    post: (body, headers) => post(refreshPath, body, { headers }),
  })

  /** A token good for a call in the session of `fence`; undefined with nobody signed in. */
  async function tokenFor({ signal }: AbortController): Promise<string | undefined> {
    const mayAsk = () => !signal.aborted && state.snapshot.status !== 'signed-out'
    const left = state.left()
    const isEnding = left && left <= Math.min(10_000, state.snapshot.expiresIn! * 100)
    if (isEnding && clock() >= state.notBefore && mayAsk()) {
      // A refresh ahead of time that fails or hangs does not fail a call whose token is still good.
      await orAbort(refresh(), abortAfter(left / 2)).catch(() => {})
    }
    if (!state.left() && mayAsk()) await refresh()
    if (signal.aborted) throw signal.reason
    return state.token
  }

  const trusts = (url: string | URL) => {
    const origin = originOf(url)
    return Boolean(origin) && origins.some((trusted) => originOf(trusted) === origin)
  }

  async function authorize(url: string, { signal }: CallOptions = {}): Promise<Pass | undefined> {
    const { fence } = state
    const token = trusts(url) ? await orAbort(tokenFor(fence), signal) : undefined
    return token
      ? {
          token,
          renew({ signal } = {}) {
            // Unless there is a newer one already.
            if (state.token === token) state.token = undefined
            return orAbort(tokenFor(fence), signal) as Promise<string>
          },
        }
      : undefined
  }

  async function getAccessToken({ signal, forceFresh }: CallOptions & { forceFresh?: boolean } = {}): Promise<string> {
    if (forceFresh) await orAbort(refresh(true), signal)
    const token = await orAbort(tokenFor(state.fence), signal)
    if (!token) throw new DaypassClientError('ERR_SIGNED_OUT', { reason: state.snapshot.reason })
    return token
  }

  async function signIn(credentials: object, { path = loginPath } = {}): Promise<SignedIn> {
    const { signal } = state.fence
    // No late answer to a refresh is to meddle with the new session's cookie; its key is kept.
    state.request.abort()
    return lock(async () => {
      const { access, refreshToken, told } = await post(path, { ...credentials, transport })
      if (access) await memory.write({ token: isBody ? refreshToken : undefined })
      if (signal.aborted) throw signal.reason
      if (!access) throw new DaypassClientError(told.status ? 'ERR_SIGN_IN_FAILED' : 'ERR_OFFLINE', told)
      tell({ access, begins: true })
      return told.body!
    })
  }

  let untold: string | undefined
  async function signOut(): Promise<void> {
    tell({ reason: 'sign-out' })
    return lock(async () => {
      untold = (await memory.read()).token ?? untold
      await memory.write({ out: true })
      if (isBody && !untold) return
      // `keepalive`: the page may close now.
      const answer = await post(logoutPath, { refreshToken: untold }, { keepalive: true })
      const { status } = answer.told
      if ((!status || status > 299) && !isOver(answer)) throw new DaypassClientError('ERR_OFFLINE', answer.told)
      untold = undefined
    })
  }

  return {
    fetch: createFetch(send, trusts, authorize),
    signIn,
    signOut,
    getAccessToken,
    authorize,
    getSession: () => state.snapshot,
    subscribe(listener) {
      state.listeners.add(listener)
      return () => state.listeners.delete(listener)
    },
  }
}
