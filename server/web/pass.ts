// The page's client, each renewal of its session, and whether the server answers.

import { createClient } from 'daypass/client'

/** One request for a new access token. */
export interface Renewal {
  /** Epoch milliseconds. */
  at: number
  /** The HTTP status; 0 if there was no answer. */
  status: number
  milliseconds: number
}

const renewalListeners = new Set<(renewal: Renewal) => void>()
const reachListeners = new Set<() => void>()
let awayUntil = 0
let silentSince: number | undefined

/** Calls `listener` after each request for a new access token, until `signal` aborts. */
export function watchRenewals(signal: AbortSignal, listener: (renewal: Renewal) => void): void {
  renewalListeners.add(listener)
  signal.addEventListener('abort', () => renewalListeners.delete(listener))
}

/** Milliseconds since the server last failed to answer without an answer afterwards; undefined while it answers. */
export const silence = () => (silentSince === undefined ? undefined : performance.now() - silentSince)

/** Calls `listener` when the server stops answering, and when it answers again. */
export const watchReach = (listener: () => void) => void reachListeners.add(listener)

/** Lets every request of the page fail, as if the server were away. */
export function cutOff(milliseconds: number): void {
  awayUntil = performance.now() + milliseconds
}

function note(isAnswered: boolean): void {
  if (isAnswered === (silentSince === undefined)) return
  silentSince = isAnswered ? undefined : performance.now()
  for (const listener of reachListeners) listener()
}

/** fetch, observed. It changes nothing unless the page is cut off. */
const send: typeof fetch = async (input, init) => {
  const start = performance.now()
  const at = Date.now()
  const url = input instanceof Request ? input.url : String(input)
  let status = 0
  try {
    if (start < awayUntil) throw new DOMException('The page is cut off.', 'NetworkError')
    const response = await fetch(input, init)
    status = response.status
    // A proxy, or a server whose database is away.
    note(status < 502 || status > 504)
    return response
  } catch (error) {
    // Who aborts a request does not wait for its answer.
    if ((error as Error).name !== 'AbortError') note(false)
    throw error
  } finally {
    if (new URL(url, location.href).pathname === '/auth/refresh') {
      const renewal = { at, status, milliseconds: performance.now() - start }
      for (const listener of renewalListeners) listener(renewal)
    }
  }
}

/** The page's one client, made as any app makes it. */
export const client = createClient({ baseUrl: new URL('/auth', location.href).href, fetch: send })

/** Whether the session is a throw-away one. */
export const isGuest = () => client.getSession().session?.claims.guest === true

let renewals = 0
let lastSession: string | undefined
let lastExpiry: number | undefined

/** How many access tokens came since this page took up its session, the first one not counted. */
export const countRenewals = () => renewals

// The first listener of all, so that every other one reads a count that is up to date.
client.subscribe(() => {
  const { session, expiresAt } = client.getSession()
  if (session?.id !== lastSession) renewals = 0
  else if (expiresAt !== lastExpiry) renewals++
  lastSession = session?.id
  lastExpiry = expiresAt
})
