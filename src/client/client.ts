// How does a session begin, go on and end, as a client sees it?
//
// One function: what it minifies to is loaded by every page, and in here a name costs a letter.

import { type Access, type Answer, failed, read } from './answer.ts'
import { type ClientErrorDetails, DaypassClientError } from './errors.ts'
import { type CallOptions, createFetch, type Pass } from './fetch-with-token.ts'
import { hint } from './hints.ts'
import { createLock } from './lock.ts'
import { hrefOf, originOf } from './origin.ts'
import { createWebStorage, type Memory, parseMemory } from './storage.ts'
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
import { abortAfter, backOff, createClock, later, maybe, orAbort } from './wait.ts'

/** What belongs to one session: what was begun in its name fails when it aborts. */
interface Fence extends AbortController {
  /** The refresh that all calls of this session share. */
  flight?: Promise<void> | undefined
  /** Whether it asks the server also where nobody is known to be signed in. */
  isForced?: boolean | undefined
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
  const inPage = maybe(() => document)
  const {
    baseUrl,
    transport = inPage ? 'cookie' : 'body',
    loginPath = '/login',
    refreshPath = '/refresh',
    logoutPath = '/logout',
    origins = [baseUrl],
    refreshTimeout: timeout = 10_000,
    debug,
    clock = createClock(),
    sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds)),
    random = (size) => crypto.getRandomValues(new Uint8Array(size)),
  } = options
  const isBody = transport === 'body'
  const isShared = !!inPage && !isBody && !options.storage
  const { storage = isShared ? createWebStorage() : new Map<string, string>(), tabs = isShared } = options
  const send: typeof fetch = (...call) => (options.fetch ?? fetch)(...call)
  const urlOf = (path: string) => {
    const url = path.includes('://') ? path : baseUrl.replace(/\/+$/, '') + path
    return hrefOf(url) ?? url
  }

  // The same for each spelling of the same server.
  const name = `daypass:${urlOf(refreshPath)}`
  const lock = createLock(timeout, tabs && name)
  const tell = joinTabs(tabs && name, hear)

  // When things happened, so that all tabs agree on what was last. Milliseconds since the epoch, but each later than all
  // that this tab knows of, whatever the clock says.

  let latest = 0
  const stamp = () => (latest = Math.max(Date.now(), latest + 1))
  const learn = ({ at = 0, out = 0 }: TabMessage | Memory) => {
    latest = Math.max(latest, at, out)
  }

  // What is remembered.

  /** What was last read or written: it stands in for a storage that was cleared, or is locked for now. */
  let known: Memory = {}
  /** Bounds the wait for a storage that never answers. */
  const within = (given: unknown) => (given instanceof Promise ? orAbort(given, abortAfter(timeout)) : given)
  async function recall(): Promise<Memory> {
    const text = await within(storage.get(name))
    // A text that is not ours to read counts as none.
    known = parseMemory(text) ?? known
    learn(known)
    return known
  }
  const remember = async (memory: Memory) => {
    await within(storage.set(name, JSON.stringify(memory)))
    known = memory
  }

  // What is known of the session. The access token is here and nowhere else.

  let snapshot: SessionSnapshot = { status: 'unknown' }
  const listeners = new Set<() => void>()
  let token: string | undefined
  /** The last access token that a server refused: one refusal is no verdict on it, but it is to be renewed. */
  let refused: string | undefined
  /** The session, whatever is shown of it. */
  let current: Access['session'] | true
  /** When it began, and when this tab last knew of a session's end. */
  let began = 0
  let ended = -1
  /** Aborts when the session is over or another one begins: its calls fail, and what comes late for it is dropped. */
  let fence: Fence = new AbortController()
  /** Aborts the one refresh that is under way. */
  let asking = new AbortController()
  /** How often the server failed to answer since it last did, the last failure, and until when to leave it alone. */
  let failures = 0
  let failure: ClientErrorDetails
  let notBefore = -Infinity

  /** Milliseconds until `instant`; 0 = it has come. */
  const until = (instant: number) => Math.max(0, instant - clock())
  /** Milliseconds for which the access token is still good; 0 = there is none, or a dead one. */
  const left = () => (token ? until(snapshot.expiresAt!) : 0)
  /** Milliseconds until it is to be renewed: somewhat ahead of its end, so that no call has to wait. */
  const due = () =>
    Math.max(token === refused ? 0 : left() - Math.min(10_000, snapshot.expiresIn! * 100), until(notBefore))
  const isGood = () => token !== refused && left() > 0

  function show(status: SessionStatus, reason?: string) {
    snapshot = { ...snapshot, status, reason }
    plan()
    // Each in its own time: a listener that throws or is slow holds up neither a refresh nor the other listeners.
    for (const listener of listeners) queueMicrotask(listener)
  }

  /** What this tab or another one got. */
  function hear(message: TabMessage) {
    const { access, at = 0, out = 0, reason } = message
    learn(message)
    if (access) {
      if (at <= ended || at < began) return
      began = at
      begin(access)
    } else if (reason) {
      ended = Math.max(ended, out)
      if (out >= began) end(reason)
    }
    // No late answer to a refresh is to meddle with the new session's cookie, and nobody waits for it. Its key is kept.
    else asking.abort()
  }

  /** Takes up what the server gave. Another session than before is another person for all we know. */
  function begin({ accessToken, expiresIn, session }: Access) {
    if (session?.id !== (current as typeof session)?.id) drop('sign-in')
    current = session ?? true
    token = accessToken
    failures = 0
    notBefore = retellAt = -Infinity
    // No token is so short that it is renewed without a pause.
    snapshot = { ...snapshot, expiresIn, session, expiresAt: clock() + Math.max(expiresIn, 1) * 1000 }
    show('signed-in')
    retell()
  }

  /** The session is over. Calls that never knew of one (a visitor's first) go on without a token, but for a sign-out. */
  function end(reason: string): undefined {
    drop(reason)
    if (snapshot.status !== 'signed-out' || snapshot.reason !== reason) show('signed-out', reason)
  }

  function drop(reason: string) {
    if (reason !== 'sign-out' && !current) return
    token = refused = current = undefined
    snapshot = { status: 'unknown' }
    asking.abort()
    fence.abort(new DaypassClientError('ERR_SIGNED_OUT', { reason }))
    fence = new AbortController()
  }

  // How tokens are asked for, and what each answer means.

  /** How often a refresh is tried for those who wait for it, where the server answered last time; and for how long (ms). */
  const mostTries = 4
  const longestRefresh = 15_000

  /** A question about tokens. A redirect fails it: credentials follow none. */
  async function post(
    path: string,
    body: object,
    headers?: Record<string, string>,
    request = abortAfter(timeout),
  ): Promise<Answer> {
    const url = urlOf(path)
    const asked = async () =>
      read(
        await send(url, {
          credentials: isBody ? 'omit' : 'include',
          method: 'POST',
          headers: { 'content-type': 'application/json', ...headers },
          body: JSON.stringify(body),
          redirect: 'manual',
          // The page may close now.
          keepalive: path === logoutPath,
          signal: request.signal,
        }),
        isBody,
      )
    const answer = await orAbort(asked(), request).catch(failed)
    if (path !== logoutPath) hint(url, transport, answer)
    debug?.(path, answer.told.status!, answer.told.reason!)
    return answer
  }

  /** Joins the session's refresh in flight, or begins one. Rejects with ERR_OFFLINE, or with ERR_SIGNED_OUT as the fence. */
  async function refresh(own: Fence, isForced?: boolean): Promise<void> {
    const before = token
    if (own.flight && (isForced ? !own.isForced : refused && token === refused)) {
      // That one may ask nobody: it may be a visitor's, which ends with the token of a sign-in.
      await orAbort(own.flight, own)
      if (token && token !== before) return
    }
    if (!own.flight) {
      own.isForced = isForced
      own.flight = ask(own, isForced).finally(() => {
        own.flight = undefined
      })
    }
    return orAbort(own.flight, own)
  }

  async function ask(own: Fence, isForced?: boolean): Promise<void> {
    const deadline = clock() + longestRefresh
    const before = token
    /** When a session begins that is found where none is remembered. */
    const since = stamp()
    // Over, or a newer token came by another way.
    const isSettled = () => own.signal.aborted || (token && token !== before)
    /** The key of the refresh that was the last one when this one began. */
    const { last: seen } = await recall().catch(() => known)

    /** One question to the server, its key written down before and its answer after. Returns what was no verdict. */
    async function attempt(): Promise<Answer | undefined> {
      const sent = await recall()
      retell()
      // Another tab finished while this one waited for its turn: what it got is on its way here.
      if (sent.last !== seen && !isSettled()) await sleep(100)
      if (isSettled()) return
      const isOut = sent.out !== undefined
      if (isBody ? !sent.token : !isForced && isOut) return end('no-session')

      // A visitor's first question is no renewal: there is nothing yet to renew.
      if (snapshot.expiresAt) show('refreshing')
      const { token: refreshToken, last, key = random(16).join('.'), at = isOut ? since : 0, isNew } = sent
      await remember({ ...sent, key })
      const keys = `"${key}"${!isBody && last ? `; previous="${last}"` : ''}`
      asking = abortAfter(timeout)
      const answer = await post(refreshPath, { refreshToken }, { 'idempotency-key': keys }, asking)
      const { access, refreshToken: child, isOver } = answer
      if (!access && !isOver) return answer

      const now = await recall()
      if (own.signal.aborted) return
      // Nobody has signed in or out meanwhile, and nothing that was lost on the way may have cleared it.
      if (!sent.key && now.at === at) hint(refreshPath, transport, answer, isNew)
      const session = access?.session?.id
      if (now.out! >= at || sent.untold?.includes(session!)) return end('sign-out')
      // Found after a sign-out that was heard of and never written down, since its tab died: it counts from now.
      const from = at > ended ? at : since
      // Whoever is there now is nobody that was signed out namelessly.
      const untold = now.untold?.filter(Boolean)
      // Another's newer state is not ours to overwrite. Which token the jar held is not to be seen; whose key was sent is.
      if (isBody ? [refreshToken, child].includes(now.token) : now.key === key) {
        const next = now.key === key ? undefined : now.key
        await remember(access ? { token: child, last: key, key: next, at: from, session, untold } : { out: at, untold })
      } else if (isBody || !access) return answer
      if (!isSettled()) tell(access ? { access, at: from } : { out: at, reason: answer.told.reason })
    }

    for (let tries = 0; !isSettled(); tries++) {
      const wait = until(notBefore)
      // A call whose token is still good does not wait for a second try; a later call makes it.
      const isEnough = tries && (failures >= mostTries || (!isForced && isGood()))
      if (isEnough || clock() + wait > deadline) {
        show(isGood() ? 'signed-in' : 'offline', failure.reason)
        throw new DaypassClientError('ERR_OFFLINE', failure)
      }
      if (wait) await sleep(wait)
      const answer = await lock(attempt).catch(failed)
      if (!answer) return
      failures++
      failure = answer.told
      const chance = maybe(() => random(1)[0]! / 256) ?? 0
      const pause = backOff(failures, 300, 3000, chance, failure.retryAfter! * 1000 || 0)
      failure.retryAfter = pause / 1000
      notBefore = clock() + pause
    }
  }

  // How the server learns of sign-outs, also of those it did not hear of at once.

  /** What names the remembered session in a sign-out; empty where there is one that nothing is known of. */
  const handleOf = ({ token, session = '', out }: Memory) => (isBody ? token : out === undefined ? session : undefined)
  const isHeard = (answer: Answer) => answer.ok || answer.isOver

  /**
   * In one's turn: tells the server of these sign-outs, but for the one that it answered already, and remembers which it
   * did not hear of. Returns such an answer.
   */
  async function leave(
    handles: Iterable<string> | undefined,
    first?: string,
    answered?: Answer,
  ): Promise<Answer | undefined> {
    const untold = new Set(handles)
    let unheard: Answer | undefined
    const leaveOne = async (handle: string) => {
      // By its id, lest a session that began meanwhile by other means is ended.
      const body = isBody ? { refreshToken: handle } : { session: handle || undefined }
      const answer = (handle === first && answered) || (await post(logoutPath, body))
      if (isHeard(answer)) untold.delete(handle)
      else unheard = answer
    }
    await Promise.all([...untold].map(leaveOne))
    const now = await recall().catch(() => known)
    if (now.untold || untold.size) await remember({ ...now, untold: toList(untold) }).catch(() => {})
    return unheard
  }
  const toList = (untold: Set<string>) => (untold.size ? [...untold].slice(-99) : undefined)

  let retellAt = -Infinity
  /** Tells again what is untold: at each occasion, but after a failure not for half a minute, or until the server answers. */
  function retell() {
    if (!known.untold || until(retellAt)) return
    retellAt = clock() + 30_000
    lock(async () => {
      await recall().catch(Boolean)
      if (!(await leave(known.untold!))) retellAt = -Infinity
    })
  }

  /** A token good for a call in the session of `own`; undefined with nobody signed in. */
  async function tokenFor(own: Fence, isForced?: boolean, isRefused?: boolean): Promise<string | undefined> {
    retell()
    // Nothing was stored: it may be found later, by an app that had to unlock its storage first.
    const mayAsk = snapshot.status !== 'signed-out' || (isBody && snapshot.reason === 'no-session')
    if (isForced || isRefused || (!left() && mayAsk)) await refresh(own, isForced)
    // A refresh ahead of time that fails or hangs does not fail a call whose token is still good.
    else if (left() && !due()) await orAbort(refresh(own), abortAfter(Math.min(left() / 2, 3000))).catch(() => {})
    own.signal.throwIfAborted()
    return token
  }

  // The one timer: as long as somebody subscribes and looks, the token is renewed without being asked for.

  let timer: ReturnType<typeof setTimeout> | undefined
  /** Sets the timer anew, for every change and every event of the page. */
  function plan(event?: unknown) {
    clearTimeout(timer)
    if (!listeners.size || inPage?.hidden) return
    // A server that fails is asked less and less often, but at once when somebody comes, or the network.
    const at = clock() + (event ? due() : Math.max(100, due() * (failures || 1)))
    // Timers may be early by their rounding, and late by hours: they stand still while a machine sleeps.
    const look = () => {
      timer = later(Math.min(until(at), 60_000), () => (until(at) ? look() : tokenFor(fence).catch(() => {})))
    }
    look()
  }

  function wake(event: Partial<PageTransitionEvent>) {
    // Back from the browser's cache: who was signed in then is not shown before the server says so.
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
        if (token === sent) refused = sent
        return orAbort(tokenFor(own, false, token === sent), options) as Promise<string>
      },
    }
  }

  const offline = (error: unknown) => {
    throw error instanceof DaypassClientError ? error : new DaypassClientError('ERR_OFFLINE', failed(error).told)
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
      tell({})
      const before = recall().catch(() => known)
      return lock(async () => {
        // The clock was set back.
        if ((await before).out! >= since) since = stamp()
        const isVoid = async () => Math.max((await recall()).out ?? -1, ended) >= since
        const signedOut = () => new DaypassClientError('ERR_SIGNED_OUT', { reason: 'sign-out' })
        if (await isVoid()) throw signedOut()
        // What cannot be written down is not asked for.
        if (isBody) await remember(known)
        const { access, refreshToken, told } = await post(options?.path ?? loginPath, { ...credentials, transport })
        if (!access) throw new DaypassClientError(told.status ? 'ERR_SIGN_IN_FAILED' : 'ERR_OFFLINE', told)
        const isTooLate = await isVoid()
        const { at: previous = 0, untold } = known
        const at = Math.max(since, previous + 1)
        const session = access.session?.id
        const memory = {
          token: refreshToken,
          at,
          session,
          untold: isBody ? untold : undefined,
          isNew: !isBody && !untold,
        }
        if (isTooLate) {
          await leave([...(untold ?? []), handleOf(memory)!])
          throw signedOut()
        }
        try {
          await remember(memory)
        } catch (error) {
          // The cookie is there all the same.
          if (isBody) {
            await post(logoutPath, { refreshToken })
            throw error
          }
        }
        tell({ access, at })
        return told.body!
      }).catch(offline)
    },

    async signOut() {
      let out = stamp()
      tell({ out, reason: 'sign-out' })
      // Sent before anything is waited for: the page may close now.
      const handle = handleOf(known)
      const first = isBody && !handle ? undefined : post(logoutPath, { refreshToken: known.token })
      const untold = new Set<string>()
      const forget = (memory: Memory) => {
        for (const one of [...(memory.untold ?? []), handle, handleOf(memory)]) if (one !== undefined) untold.add(one)
        return remember({ out, untold: toList(untold) }).catch(() => {})
      }
      const written = recall()
        .catch(() => known)
        .then((before) => {
          // The clock was set back.
          if (before.at! >= out) {
            out = stamp()
            tell({ out, reason: 'sign-out' })
          }
          return forget(before)
        })
      return lock(async () => {
        await written
        const now = await recall().catch(() => known)
        // Another person's, by now.
        if (now.at! > out) untold.delete('')
        // A tab that had not heard of it remembered something else meanwhile.
        else await forget(now)
        const answer = await first
        const unheard = (await leave(untold, handle, answer)) ?? answer
        if (unheard && !isHeard(unheard)) throw new DaypassClientError('ERR_OFFLINE', unheard.told)
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
