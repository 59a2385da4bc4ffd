// `createClient()`: signs in, refreshes and signs out.
//
// It is one function because every page loads it: a minifier shortens local names, but not the names of members.

import { backOff } from './back-off.ts'
import { type ClientErrorDetails, DaypassClientError } from './errors.ts'
import { type CallOptions, createFetch, type Pass } from './fetch-with-token.ts'
import { hint, warnOnce } from './hints.ts'
import { createLock } from './lock.ts'
import { hrefOf, originOf } from './origin.ts'
import { createWebStorage, type Memory, parseMemory } from './storage.ts'
import { joinTabs, type TabMessage } from './tabs.ts'
import { type Access, readTokenResponse, type TokenResponse, toFailure } from './token-response.ts'
import type {
  ClaimsOf,
  ClientOptions,
  CredentialsOf,
  DaypassClient,
  SessionSnapshot,
  SessionStatus,
  UserOf,
} from './types.ts'
import { abortAfter, createClock, later, maybe, orAbort } from './wait.ts'

/** Belongs to one session. Work that was begun in that session fails when the fence aborts. */
interface Fence extends AbortController {
  /** The refresh in flight, which all calls of this session share. */
  flight?: Flight | undefined
}

interface Flight {
  done: Promise<void>
  /** Whether a request is sent in any case: if nobody is known to be signed in, and if a token comes by another way. */
  isForced?: boolean | undefined
  /** Whether a request was sent. The server may have answered it already. */
  isSent?: boolean
}

function check(isRight: unknown, reason: string): asserts isRight {
  if (!isRight) throw new DaypassClientError('ERR_OPTION_INVALID', { reason })
}

/**
 * Makes a client that keeps a person signed in. It sends nothing before the first call or the first `subscribe`.
 *
 * `createClient<typeof auth>()` takes the type of `createDaypass`'s or an adapter's result on the server. It then knows the
 * types of the claims, the credentials and the user.
 *
 * @throws DaypassClientError ERR_OPTION_INVALID: an option is missing or wrong. A `baseUrl` that is no URL, or is a path outside a page,
 *   fails the first request, with the same code.
 * @see https://www.rfc-editor.org/rfc/rfc6750#section-2.1 for how the token is sent
 * @example
 * ```ts
 * import { createClient } from 'daypass/client'
 *
 * const client = createClient({ baseUrl: 'https://api.example.com/auth' })
 * await client.signIn({ email: 'ada@example.com', password: 'correct horse' })
 * const response = await client.fetch('https://api.example.com/me')
 * ```
 */
export function createClient<Server = unknown>(
  options: ClientOptions,
): DaypassClient<ClaimsOf<Server>, CredentialsOf<Server>, UserOf<Server>>
export function createClient(options: ClientOptions): DaypassClient {
  const inPage = maybe(() => document)
  const {
    baseUrl,
    transport = inPage ? 'cookie' : 'body',
    loginPath = 'login',
    refreshPath = 'refresh',
    logoutPath = 'logout',
    origins = [baseUrl],
    refreshTimeout: timeout = 10_000,
    debug,
    clock = createClock(),
    sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds)),
    random = (size) => crypto.getRandomValues(new Uint8Array(size)),
  }: ClientOptions = Object(options)
  check(baseUrl?.trim, 'baseUrl is missing: createClient({ baseUrl: "/auth" })')
  check(/^(cookie|body)$/.test(transport), `transport ${transport} is neither "cookie" nor "body"`)
  check(Array.isArray(origins), 'origins must be a list')
  const isBody = transport === 'body'
  const isShared = !!inPage && !isBody && !options.storage
  const { storage = isShared ? createWebStorage() : new Map<string, string>(), tabs = isShared } = options
  check(Object(storage).get && storage.set, 'storage needs get and set: a Map, or createFileStorage(path)')
  const send: typeof fetch = (...call) => (options.fetch ?? fetch)(...call)
  // A page takes `api.example.com/auth` and `https:/api` for paths of its own, where no credentials may go. So a baseUrl
  // begins with `https://`, `/` or `.`. As a base, the empty string makes every path invalid.
  const folder = baseUrl.replace(/\/*$/, '/')
  const base = (/^(\w[^/]*:\/)?[/.]/.test(folder) && hrefOf(folder)) || ''
  const urlOf = (path: string) => hrefOf(path, base)
  /** Not called at the start: a module that is also loaded on a server may make a client for the page. */
  function getUrl(path: string) {
    const url = urlOf(path)
    const reason = `${path} of baseUrl ${baseUrl} is no whole URL: write https://…, or in a page /…`
    if (!url) warnOnce(reason)
    check(url, reason)
    return url
  }

  // Each spelling of the same server gives the same name.
  const name = `daypass:${urlOf(refreshPath)}`
  const lock = createLock(timeout, tabs && name)
  const broadcast = joinTabs(tabs && name, receive)

  // Instants of sign-ins and sign-outs, by which all tabs agree on the latest. They are milliseconds since the epoch, but
  // each is later than all that this tab knows of, even if the clock was set back.

  let latest = 0
  const stamp = () => (latest = Math.max(Date.now(), latest + 1))
  const noteInstants = ({ at = 0, out = 0, asked = 0 }: TabMessage & Memory) => {
    latest = Math.max(latest, at, out, asked)
  }

  // The memory.

  /** The memory as last read or written. It is used while the storage is cleared or locked. */
  let known: Memory = {}
  /** Limits the wait for a storage that never responds. */
  const within = (given: unknown) => (given instanceof Promise ? orAbort(given, abortAfter(timeout)) : given)
  async function readMemory(): Promise<Memory> {
    const text = await within(storage.get(name))
    // A text that is not ours counts as none.
    known = parseMemory(text) ?? known
    noteInstants(known)
    return known
  }
  const writeMemory = async (memory: Memory) => {
    await within(storage.set(name, JSON.stringify(memory)))
    known = memory
  }

  // The state of the session. The access token is stored only here.

  let snapshot: SessionSnapshot = { status: 'unknown' }
  const listeners = new Set<() => void>()
  /** The access token. It is set exactly while the snapshot has `expiresAt`. */
  let token: string | undefined
  /** The last access token that a server rejected. It may still be valid, but it is to be renewed. */
  let refused: string | undefined
  /** The session, also while the snapshot does not show it. */
  let current: Access['session'] | true
  /** The user of its sign-in. */
  let kept: unknown
  /** When its sign-in or the refresh for its token was sent. */
  let newest = 0
  /** When it began, and the latest end of a session that this tab knows of. */
  let began = 0
  let ended = -1
  /** Aborts when the session is over or another one begins: its calls fail, and late responses to it are ignored. */
  let fence: Fence = new AbortController()
  /** Aborts the refresh that is under way. */
  let refreshing = new AbortController()
  /** The failed attempts since the last response of the server, the last failure, and the instant of the next attempt. */
  let failures = 0
  let failure: ClientErrorDetails
  let notBefore = -Infinity

  /** Milliseconds until `instant`; 0 if it has passed. */
  const until = (instant: number) => Math.max(0, instant - clock())
  /** Milliseconds until the access token expires; 0 if there is none, or an expired one. */
  const left = () => until(snapshot.expiresAt ?? -Infinity)
  /** Milliseconds until it is to be renewed: shortly before it expires, so that no call has to wait. */
  const due = () =>
    Math.max(token === refused ? 0 : left() - Math.min(10_000, (snapshot.expiresIn ?? 0) * 100), until(notBefore))
  const isGood = () => token !== refused && left() > 0

  function show(status: SessionStatus, reason?: string) {
    snapshot = { ...snapshot, status, reason }
    plan()
    // Call each listener in a task of its own, so that one that throws or is slow delays neither a refresh nor the others.
    for (const listener of listeners) queueMicrotask(listener)
  }

  /** Handles a message of this tab or another one. */
  function receive(message: TabMessage) {
    const { access, at = 0, asked = at, out = 0, reason } = message
    noteInstants(message)
    if (access) {
      // Of two tokens of one session, the one that was requested later says what is true.
      if (at <= ended || at < began || (at === began && asked < newest)) return
      began = at
      newest = asked
      begin(access, !message.asked)
    } else if (reason) {
      ended = Math.max(ended, out)
      if (out >= began) end(reason)
    }
    // A sign-in is about to be sent. Abort the refresh: a late response must not overwrite the new session's cookie, and no
    // caller waits for it. Its key is kept.
    else refreshing.abort()
  }

  /** Uses a new access token. Another session than before may belong to another person, so calls of the old one fail. */
  function begin({ accessToken, expiresIn, session, user }: Access, isSignIn: boolean) {
    if (session?.id !== (current as typeof session)?.id) drop('sign-in')
    // Where no refresh of this session brings a user, the one of the sign-in stays.
    if (isSignIn) kept = user
    else if (user !== undefined) kept = undefined
    else user = session && kept
    current = session ?? true
    token = accessToken
    failures = 0
    notBefore = resendAt = -Infinity
    // A lifetime counts as a second at least, so that a token is not renewed without a pause.
    snapshot = { ...snapshot, expiresIn, session, user, expiresAt: clock() + Math.max(expiresIn, 1) * 1000 }
    show('signed-in')
    resendSignOuts()
  }

  /** Ends the session. Calls of a visitor, which never had a session, go on without a token unless it is a sign-out. */
  function end(reason: string): undefined {
    drop(reason)
    if (snapshot.status !== 'signed-out' || snapshot.reason !== reason) show('signed-out', reason)
  }

  function drop(reason: string) {
    if (reason !== 'sign-out' && !current) return
    token = refused = current = kept = undefined
    snapshot = { status: 'unknown' }
    refreshing.abort()
    fence.abort(new DaypassClientError('ERR_SIGNED_OUT', { reason }))
    fence = new AbortController()
  }

  // Requests for tokens.

  /** The maximum number of attempts of a refresh after the server last responded, and its maximum duration (ms). */
  const mostTries = 4
  const longestRefresh = 15_000

  /** Sends a request for tokens. A redirect fails it, because credentials must not follow a redirect. */
  async function post(
    path: string,
    body: object,
    headers?: Record<string, string>,
    request = abortAfter(timeout),
  ): Promise<TokenResponse> {
    const url = getUrl(path)
    const respond = async () =>
      readTokenResponse(
        await send(url, {
          credentials: isBody ? 'omit' : 'include',
          method: 'POST',
          headers: { 'content-type': 'application/json', ...headers },
          body: JSON.stringify(body),
          redirect: 'manual',
          // A sign-out must arrive even if the page closes now.
          keepalive: path === logoutPath,
          signal: request.signal,
        }),
        isBody,
      )
    const response = await orAbort(respond(), request).catch(toFailure)
    if (path !== logoutPath) hint(url, transport, response)
    debug?.(path, response.info.status, response.info.reason)
    return response
  }

  /**
   * Joins the session's refresh in flight, or begins one. A forced call needs a request that is sent after it, because the
   * server may have changed the session just before. Rejects with ERR_OFFLINE, or with the fence's ERR_SIGNED_OUT.
   */
  async function refresh(own: Fence, isForced?: boolean): Promise<void> {
    const before = token
    const { flight } = own
    if (isForced && flight?.isSent) {
      // Its failure does not count: it may have given up because its token was still valid.
      await orAbort(flight.done.catch(Boolean), own)
      return refresh(own, isForced)
    }
    if (flight && (isForced || (refused && token === refused))) {
      flight.isForced ||= isForced
      // That refresh may send no request: it may be a visitor's, which ends with the token of a sign-in.
      await orAbort(flight.done, own)
      return (isForced ? flight.isSent : token && token !== before) ? undefined : refresh(own, isForced)
    }
    if (!own.flight) {
      const flight = { isForced } as Flight
      own.flight = flight
      flight.done = renew(own, flight).finally(() => {
        own.flight = undefined
      })
    }
    return orAbort(own.flight.done, own)
  }

  async function renew(own: Fence, flight: Flight): Promise<void> {
    getUrl(refreshPath)
    const deadline = clock() + longestRefresh
    const before = token
    /** The beginning of a session that is found although the memory has none. */
    const since = stamp()
    /** Whether the session is over, or a newer token came by another way. */
    const isSettled = () => own.signal.aborted || (!flight.isForced && token && token !== before)
    /** The key of the refresh that was the last one when this one began. */
    const { last: seen } = await readMemory().catch(() => known)

    /** Sends one request. The key is stored before it, and the result after it. Returns a response that decides nothing. */
    async function attempt(): Promise<TokenResponse | undefined> {
      const sent = await readMemory()
      resendSignOuts()
      // Another tab finished a refresh while this one waited for its turn: wait for its message.
      if (sent.last !== seen && !isSettled()) await sleep(100)
      if (isSettled()) return
      const isOut = sent.out !== undefined
      if (isBody ? !sent.token : !flight.isForced && isOut) return end('no-session')

      // A visitor's first request renews nothing, so it is not shown as `refreshing`.
      if (snapshot.expiresAt) show('refreshing')
      const { token: refreshToken, last, key = random(16).join('.'), at = isOut ? since : 0, isNew } = sent
      await writeMemory({ ...sent, key })
      const keys = `"${key}"${!isBody && last ? `; previous="${last}"` : ''}`
      refreshing = abortAfter(timeout)
      const asked = stamp()
      flight.isSent = true
      const response = await post(refreshPath, { refreshToken }, { 'idempotency-key': keys }, refreshing)
      const { access, refreshToken: child, isOver } = response
      if (!access && !isOver) return response

      const stored = await readMemory()
      if (own.signal.aborted) return
      // Give the hint about a missing cookie only if there was no sign-in or sign-out meanwhile, and no lost response, which
      // might have cleared the cookie.
      if (!sent.key && stored.at === at) hint(refreshPath, transport, response, isNew)
      const session = access?.session?.id
      const isSignedOut = (stored.out ?? -1) >= at || sent.pending?.some((id) => id === session)
      if (isSignedOut) return end('sign-out')
      // This tab may know of a sign-out that was never stored, because its tab was closed. The session then begins now.
      const from = at > ended ? at : since
      // The session that is here now is not the one of a pending sign-out without an id.
      const pending = stored.pending?.filter(Boolean)
      // Do not overwrite newer state from another tab. The cookie is unreadable, so compare Idempotency-Keys.
      if (isBody ? [refreshToken, child].includes(stored.token) : stored.key === key) {
        const next = stored.key === key ? undefined : stored.key
        await writeMemory(
          access ? { token: child, last: key, key: next, at: from, session, pending } : { out: at, pending },
        )
      } else if (isBody || !access) return response
      if (!isSettled()) broadcast(access ? { access, at: from, asked } : { out: at, reason: response.info.reason })
    }

    for (let tries = 0; !isSettled(); tries++) {
      const wait = until(notBefore)
      // A call whose token is still valid does not wait for a second attempt; a later call makes it.
      const isEnough = tries && (failures >= mostTries || (!flight.isForced && isGood()))
      if (isEnough || clock() + wait > deadline) {
        show(isGood() ? 'signed-in' : 'offline', failure.reason)
        throw new DaypassClientError('ERR_OFFLINE', failure)
      }
      if (wait) await sleep(wait)
      const response = await lock(attempt).catch(toFailure)
      if (!response) return
      failures++
      failure = response.info
      const [byte = 0] = maybe(() => random(1)) ?? []
      const pause = backOff(failures, 300, 3000, byte / 256, failure.retryAfter)
      failure.retryAfter = pause / 1000
      notBefore = clock() + pause
    }
  }

  // Sign-outs, which are sent again until the server confirms them.

  /** The name of the stored session in a sign-out: its token or id. Empty if there is a session without a known id. */
  const handleOf = ({ token, session = '', out }: Memory) => (isBody ? token : out === undefined ? session : undefined)
  const isConfirmed = (response: TokenResponse) => response.ok || response.isOver

  /**
   * Sends these sign-outs, except the one with a response already, and stores those that are not confirmed. Must be called
   * with the lock held. Returns a response that did not confirm.
   */
  async function sendSignOuts(
    handles: Iterable<string> | undefined,
    first?: string,
    firstResponse?: TokenResponse,
  ): Promise<TokenResponse | undefined> {
    const pending = new Set(handles)
    let failed: TokenResponse | undefined
    const send = async (handle: string) => {
      // Name the session by its id, so that a session that began meanwhile by other means is not ended.
      const body = isBody ? { refreshToken: handle } : { session: handle || undefined }
      const response = (handle === first && firstResponse) || (await post(logoutPath, body))
      if (isConfirmed(response)) pending.delete(handle)
      else failed = response
    }
    await Promise.all([...pending].map(send))
    const stored = await readMemory().catch(() => known)
    if (stored.pending || pending.size) await writeMemory({ ...stored, pending: toList(pending) }).catch(() => {})
    return failed
  }
  const toList = (pending: Set<string>) => (pending.size ? [...pending].slice(-99) : undefined)

  let resendAt = -Infinity
  /** Sends pending sign-outs again: at each occasion, but after a failure not for half a minute, or until a response comes. */
  function resendSignOuts() {
    if (!known.pending || until(resendAt)) return
    resendAt = clock() + 30_000
    lock(async () => {
      await readMemory().catch(Boolean)
      if (!(await sendSignOuts(known.pending))) resendAt = -Infinity
    })
  }

  /** A token for a call in the session of `own`; undefined if nobody is signed in. */
  async function tokenFor(own: Fence, isForced?: boolean, isRefused?: boolean): Promise<string | undefined> {
    resendSignOuts()
    // If nothing was stored, look again: the app may have had to unlock its storage first.
    const mayAsk = snapshot.status !== 'signed-out' || (isBody && snapshot.reason === 'no-session')
    if (isForced || isRefused || (!left() && mayAsk)) await refresh(own, isForced)
    // A call whose token is still valid does not fail if a refresh before the end fails or hangs.
    else if (left() && !due()) await orAbort(refresh(own), abortAfter(Math.min(left() / 2, 3000))).catch(() => {})
    own.signal.throwIfAborted()
    return token
  }

  // The only timer: while there is a listener and the page is visible, the token is renewed without a call.

  let timer: ReturnType<typeof setTimeout> | undefined
  /** Sets the timer again, at every change and every event of the page. */
  function plan(event?: unknown) {
    clearTimeout(timer)
    if (!listeners.size || inPage?.hidden) return
    // A failing server gets fewer and fewer requests, but one at once when a listener comes, or an event of the page.
    // The clock is read last. A timer that fires before the token is due renews nothing, and nothing sets it again.
    const at = (event ? due() : Math.max(100, due() * (failures || 1))) + clock()
    // Timers may be early by rounding, and late by hours, because they stand still while a machine sleeps.
    const look = () => {
      timer = later(Math.min(until(at), 60_000), () => (until(at) ? look() : tokenFor(fence).catch(() => {})))
    }
    look()
  }

  function wake(event: Partial<PageTransitionEvent>) {
    // The page comes back from the browser's cache: do not show the old session before the server confirms it.
    if (event.persisted) {
      token = refused = undefined
      snapshot = { status: 'unknown' }
      show('unknown')
    }
    plan(event)
  }
  const listen = (how: 'addEventListener' | 'removeEventListener') => {
    for (const type of ['visibilitychange', 'focus', 'online', 'pageshow']) maybe(() => globalThis[how](type, wake))
  }

  // The client's methods.

  const trusted = origins.map(originOf)
  const trusts = (url: string) => trusted.includes(originOf(url))

  async function authorize(url: string, options?: CallOptions): Promise<Pass | undefined> {
    const own = fence
    const sent = trusts(url) && (await orAbort(tokenFor(own), options))
    if (!sent) return
    return {
      token: sent,
      renew(options) {
        // If there is a newer token already, use that one.
        if (token === sent) refused = sent
        return orAbort(tokenFor(own, false, token === sent), options) as Promise<string>
      },
    }
  }

  const offline = (error: unknown) => {
    throw error instanceof DaypassClientError ? error : new DaypassClientError('ERR_OFFLINE', toFailure(error).info)
  }

  return {
    fetch: createFetch(send, trusts, authorize),
    authorize,

    async getAccessToken(options) {
      const token = await orAbort(tokenFor(fence, options?.forceFresh), options)
      if (!token) throw new DaypassClientError('ERR_SIGNED_OUT', { reason: snapshot.reason })
      return token
    },

    async signIn(credentials: object, options?: { path?: string }) {
      let since = stamp()
      broadcast({})
      const before = readMemory().catch(() => known)
      return lock(async () => {
        // If the stored sign-out is later, the clock was set back.
        if (((await before).out ?? -1) >= since) since = stamp()
        const isVoid = async () => Math.max((await readMemory()).out ?? -1, ended) >= since
        const signedOut = () => new DaypassClientError('ERR_SIGNED_OUT', { reason: 'sign-out' })
        if (await isVoid()) throw signedOut()
        // Fail before the request if the storage does not accept writes.
        if (isBody) await writeMemory(known)
        const { access, refreshToken, info } = await post(
          options?.path ?? loginPath,
          { ...credentials, transport },
          // A login of the app's own may read the body where Daypass cannot. CORS permits this header everywhere.
          { accept: `application/json;transport=${transport}, */*` },
        )
        if (!access) throw new DaypassClientError(info.status ? 'ERR_SIGN_IN_FAILED' : 'ERR_OFFLINE', info)
        const isTooLate = await isVoid()
        const { at: previous = 0, pending } = known
        const at = Math.max(since, previous + 1)
        const session = access.session?.id
        const memory = {
          token: refreshToken,
          at,
          session,
          pending: isBody ? pending : undefined,
          // A cookie without Max-Age may be gone after a restart of the browser.
          isNew: !isBody && !pending && access.session?.persistent !== false,
        }
        if (isTooLate) {
          await sendSignOuts([...(pending ?? []), handleOf(memory) ?? ''])
          throw signedOut()
        }
        try {
          await writeMemory(memory)
        } catch (error) {
          // In the cookie transport the browser has the cookie anyway.
          if (isBody) {
            await post(logoutPath, { refreshToken })
            throw error
          }
        }
        broadcast({ access, at })
        return info.body ?? {}
      }).catch(offline)
    },

    async signOut() {
      getUrl(logoutPath)
      let out = stamp()
      broadcast({ out, reason: 'sign-out' })
      // Send it before waiting for anything: the page may close now.
      const handle = handleOf(known)
      const first = isBody && !handle ? undefined : post(logoutPath, { refreshToken: known.token })
      const pending = new Set<string>()
      const storeSignOut = (memory: Memory) => {
        for (const one of [...(memory.pending ?? []), handle, handleOf(memory)]) if (one !== undefined) pending.add(one)
        return writeMemory({ out, pending: toList(pending) }).catch(() => {})
      }
      const written = readMemory()
        .catch(() => known)
        .then((before) => {
          // If the session began later, the clock was set back.
          if ((before.at ?? 0) >= out) {
            out = stamp()
            broadcast({ out, reason: 'sign-out' })
          }
          return storeSignOut(before)
        })
      return lock(async () => {
        await written
        const stored = await readMemory().catch(() => known)
        // Another session has begun since, perhaps another person's: a sign-out without an id would end that one.
        if ((stored.at ?? 0) > out) pending.delete('')
        // A tab that did not know of the sign-out may have stored its session meanwhile.
        else await storeSignOut(stored)
        const response = await first
        const failed = (await sendSignOuts(pending, handle, response)) ?? response
        if (failed && !isConfirmed(failed)) throw new DaypassClientError('ERR_OFFLINE', failed.info)
      })
    },

    getSession: () => snapshot,
    subscribe(listener) {
      if (!listeners.size) listen('addEventListener')
      listeners.add(listener)
      plan(listener)
      return () => {
        listeners.delete(listener)
        if (!listeners.size) listen('removeEventListener')
        plan()
      }
    },
  }
}
