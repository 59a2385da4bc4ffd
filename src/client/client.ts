// How does a session begin, go on and end, as a client sees it?
//
// One function: what it minifies to is loaded by every page, and in here a name costs a letter.

import { type Access, type Answer, failed, read } from './answer.ts'
import { type ClientErrorDetails, DaypassClientError } from './errors.ts'
import { type CallOptions, createFetch, type Pass } from './fetch-with-token.ts'
import { hint } from './hints.ts'
import { createLock } from './lock.ts'
import { originOf } from './origin.ts'
import { createWebStorage, type Memory } from './storage.ts'
import { joinTabs, type TabMessage } from './tabs.ts'
import type {
  ClaimsOf,
  ClientOptions,
  CredentialsOf,
  DaypassClient,
  SessionSnapshot,
  SessionStatus,
  UserOf,
} from './types.ts'
import { abortAfter, backOff, later, orAbort } from './wait.ts'

/** What belongs to one session: what was begun in its name fails when it aborts. */
interface Fence extends AbortController {
  /** The refresh that all calls of this session share. */
  flight?: Promise<void> | undefined
}

/**
 * Makes a client that keeps a person signed in. Nothing is sent until the first call, or the first `subscribe`.
 *
 * `createClient<typeof auth>()`, with the type of what `createDaypass` or an adapter made on the server, knows the claims,
 * the credentials and the user.
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
export function createClient<Server = unknown>(
  options: ClientOptions,
): DaypassClient<ClaimsOf<Server>, CredentialsOf<Server>, UserOf<Server>>
export function createClient(options: ClientOptions): DaypassClient {
  const inPage = globalThis.document
  const {
    baseUrl,
    transport = inPage ? 'cookie' : 'body',
    loginPath = '/login',
    refreshPath = '/refresh',
    logoutPath = '/logout',
    origins = [baseUrl],
    refreshTimeout: timeout = 10_000,
    debug,
    clock = () => performance.now(),
    sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds)),
    random = (size) => crypto.getRandomValues(new Uint8Array(size)),
  } = options
  const isBody = transport === 'body'
  const isShared = inPage && !isBody && !options.storage
  const { storage = isShared ? createWebStorage() : new Map<string, string>(), tabs = isShared } = options
  const send: typeof fetch = (...call) => (options.fetch ?? fetch)(...call)

  const name = `daypass:${baseUrl}${refreshPath}`
  const lock = createLock(timeout, tabs && name)
  const tell = joinTabs(tabs && name, hear)
  // A text that is not ours to read counts as none.
  const recall = async (): Promise<Memory> => Object(await new Response(await storage.get(name)).json().catch(() => {}))
  const remember = (memory: Memory) => storage.set(name, JSON.stringify(memory))

  // What is known of the session. The access token is here and nowhere else.

  let snapshot: SessionSnapshot = { status: 'unknown' }
  const listeners = new Set<() => void>()
  /** The access token, unless a server refused it. */
  let token: string | undefined
  /** Aborts when the session is over or another one begins: its calls fail, and what comes late for it is dropped. */
  let fence: Fence = new AbortController()
  /** Aborts the one request about tokens that is under way. */
  let request = new AbortController()
  /** How often the server failed to answer since it last did, the last failure, and until when to leave it alone. */
  let failures = 0
  let failure: ClientErrorDetails
  let notBefore = -Infinity

  /** Milliseconds until `instant`; 0 = it has come. */
  const until = (instant: number) => Math.max(0, instant - clock())
  /** Milliseconds for which the access token is still good; 0 = there is none, or a dead one. */
  const left = () => (token ? until(snapshot.expiresAt!) : 0)
  /** Milliseconds until it is to be renewed: somewhat ahead of its end, so that no call has to wait. */
  const due = () => Math.max(left() && left() - Math.min(10_000, snapshot.expiresIn! * 100), until(notBefore))

  function show(status: SessionStatus, reason?: string) {
    snapshot = { ...snapshot, status, reason }
    plan()
    // Each in its own time: a listener that throws or is slow holds up neither a refresh nor the other listeners.
    for (const listener of listeners) queueMicrotask(listener)
  }

  /** What this tab or another one got. A mere refresh does not bring a signed-out tab back. */
  function hear({ access, begins, reason }: TabMessage) {
    if (!access) end(reason!)
    else if (begins || snapshot.status !== 'signed-out') begin(access)
  }

  /** Takes up what the server gave. Another session than before is another person for all we know. */
  function begin({ accessToken, expiresIn, session }: Access) {
    if (session?.id !== snapshot.session?.id) drop('sign-in')
    token = accessToken
    failures = 0
    snapshot = { ...snapshot, expiresIn, session, expiresAt: clock() + expiresIn * 1000 }
    show('signed-in')
  }

  /** The session is over. Calls that never knew of one (a visitor's first) go on without a token, but for a sign-out. */
  function end(reason: string): undefined {
    drop(reason)
    show('signed-out', reason)
  }

  function drop(reason: string) {
    if (reason !== 'sign-out' && !snapshot.expiresAt) return
    token = undefined
    snapshot = { status: 'unknown' }
    request.abort()
    fence.abort(new DaypassClientError('ERR_SIGNED_OUT', { reason }))
    fence = new AbortController()
  }

  // How tokens are asked for, and what each answer means.

  /** How often a refresh is tried for those who wait for it, where the server answered last time; and for how long (ms). */
  const mostTries = 4
  const longestRefresh = 15_000

  /** A question about tokens. A redirect fails it: credentials follow none. */
  async function post(path: string, body: object, headers?: Record<string, string>, isNew?: boolean): Promise<Answer> {
    request = abortAfter(timeout)
    const url = path.includes('://') ? path : baseUrl.replace(/\/$/, '') + path
    const answer = await orAbort(
      send(url, {
        credentials: isBody ? 'omit' : 'include',
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: JSON.stringify(body),
        redirect: 'manual',
        // The page may close now.
        keepalive: path === logoutPath,
        signal: request.signal,
      }).then((response) => read(response, isBody)),
      request,
    ).catch(failed)
    if (path !== logoutPath) hint(url, transport, answer, isNew)
    debug?.(path, answer.told.status!, answer.told.reason!)
    return answer
  }

  /** Joins the session's refresh in flight, or begins one. Rejects with ERR_OFFLINE, or with ERR_SIGNED_OUT as the fence. */
  function refresh(own: Fence, isForced?: boolean): Promise<void> {
    /** The key of the refresh that was the last one when this one began. */
    let seen: string | undefined
    const deadline = clock() + longestRefresh
    const before = token
    // Over, or a newer token came by another way. (One that was refused meanwhile is no newer token.)
    const isSettled = () => own.signal.aborted || (token && token !== before)

    /** One question to the server, its key written down before and its answer after. Returns what was no verdict. */
    async function attempt(): Promise<Answer | undefined> {
      const sent = await recall()
      // Another tab finished while this one waited for its turn: what it got is on its way here.
      if (sent.last !== seen && !isSettled()) await sleep(100)
      if (isSettled()) return
      if (isBody ? !sent.token : !isForced && sent.out) return end('no-session')

      // A visitor's first question is no renewal: there is nothing yet to renew.
      if (snapshot.expiresAt) show('refreshing')
      const { token: refreshToken, last, key = random(16).join('.'), isNew } = sent
      await remember({ token: refreshToken, last, key, isNew })
      const keys = `"${key}"${!isBody && last ? `; previous="${last}"` : ''}`
      const answer = await post(refreshPath, { refreshToken }, { 'idempotency-key': keys }, isNew)
      const { access, refreshToken: child } = answer
      if (!access && !answer.isOver) return answer

      const now = await recall()
      if (now.out) return end('sign-out')
      // Another's newer state is not ours to overwrite. Which token the jar held is not to be seen; whose key was sent is.
      if (isBody ? [refreshToken, child].includes(now.token) : now.key === key)
        await remember(access ? { token: child, last: key, key: now.key === key ? undefined : now.key } : { out: true })
      else if (isBody || !access) return answer
      if (!isSettled()) tell({ access, begins: isForced, reason: answer.told.reason })
    }

    async function run() {
      seen = (await recall()).last
      for (let tries = 0; !isSettled(); tries++) {
        const wait = until(notBefore)
        // A call whose token is still good does not wait for a second try; a later call makes it.
        const isEnough = tries && (failures >= mostTries || (!isForced && left()))
        if (isEnough || clock() + wait > deadline) {
          show(left() ? 'signed-in' : 'offline', failure.reason)
          throw new DaypassClientError('ERR_OFFLINE', failure)
        }
        if (wait) await sleep(wait)
        const answer = await lock(attempt).catch(failed)
        if (!answer) return
        failures++
        failure = answer.told
        const pause = backOff(failures, 300, 3000, random(1)[0]! / 256, failure.retryAfter! * 1000 || 0)
        failure.retryAfter = pause / 1000
        notBefore = clock() + pause
      }
    }

    own.flight ??= run().finally(() => {
      own.flight = undefined
    })
    return orAbort(own.flight, own)
  }

  /** A token good for a call in the session of `own`; undefined with nobody signed in. */
  async function tokenFor(own: Fence, isForced?: boolean): Promise<string | undefined> {
    // A refresh ahead of time that fails or hangs does not fail a call whose token is still good.
    if (!isForced && left() && !due()) await orAbort(refresh(own), abortAfter(left() / 2)).catch(() => {})
    if (isForced || (!left() && snapshot.status !== 'signed-out')) await refresh(own, isForced)
    own.signal.throwIfAborted()
    return token
  }

  // The one timer: as long as somebody subscribes and looks, the token is renewed without being asked for.

  let timer: ReturnType<typeof setTimeout> | undefined
  /** Sets the timer anew, for every change and every event of the page; timers may be late by hours. */
  function plan(event?: unknown) {
    clearTimeout(timer)
    if (!listeners.size || globalThis.document?.hidden) return
    // A server that fails is asked less and less often, but at once when somebody comes, or the network.
    const wait = event ? Math.min(1e9, due()) : Math.max(100, Math.min(1e9, due() * (failures || 1)))
    // A timer may be early, too: by its rounding, or because no timer is that long.
    timer = later(wait, () => (due() ? plan() : tokenFor(fence).catch(() => {})))
  }
  for (const type of ['visibilitychange', 'focus', 'online', 'pageshow']) globalThis.addEventListener?.(type, plan)

  // What the app gets.

  const trusted = origins.map(originOf)
  const trusts = (url: string) => trusted.includes(originOf(url))

  async function authorize(url: string, options?: CallOptions): Promise<Pass | undefined> {
    const own = fence
    const sent = trusts(url) && (await orAbort(tokenFor(own), options))
    if (!sent) return
    return {
      token: sent,
      renew(options) {
        // Unless there is a newer one already.
        if (token === sent) token = undefined
        return orAbort(tokenFor(own), options) as Promise<string>
      },
    }
  }

  /** The refresh token of a sign-out that the server does not know of yet. */
  let untold: string | undefined

  return {
    fetch: createFetch(send, trusts, authorize),
    authorize,

    async getAccessToken(options) {
      const token = await orAbort(tokenFor(fence, options?.forceFresh), options)
      if (!token) throw new DaypassClientError('ERR_SIGNED_OUT', { reason: snapshot.reason })
      return token
    },

    async signIn(credentials: object, options?: { path?: string }) {
      const own = fence
      // No late answer to a refresh is to meddle with the new session's cookie; its key is kept.
      request.abort()
      return lock(async () => {
        const { access, refreshToken, told } = await post(options?.path ?? loginPath, { ...credentials, transport })
        if (access) await remember({ token: refreshToken, isNew: !isBody })
        own.signal.throwIfAborted()
        if (!access) throw new DaypassClientError(told.status ? 'ERR_SIGN_IN_FAILED' : 'ERR_OFFLINE', told)
        tell({ access, begins: true })
        return told.body!
      })
    },

    async signOut() {
      tell({ reason: 'sign-out' })
      return lock(async () => {
        untold = (await recall()).token ?? untold
        await remember({ out: true })
        if (isBody && !untold) return
        const answer = await post(logoutPath, { refreshToken: untold })
        if (!answer.ok && !answer.isOver) throw new DaypassClientError('ERR_OFFLINE', answer.told)
        untold = undefined
      })
    },

    getSession: () => snapshot,
    subscribe(listener) {
      listeners.add(listener)
      plan(listener)
      return () => {
        listeners.delete(listener)
        plan()
      }
    },
  }
}
