// The list of ended sessions whose access tokens have not expired yet.

import { DaypassError } from '../errors.ts'
import type { AccessToken } from '../verify/index.ts'
import { maxAccessTokenLifetime } from './lifetimes.ts'
import type { SelfOpening } from './open-store.ts'
import type { Store } from './store.ts'

/** The ended sessions that this process knows of. */
export interface Revocations {
  /**
   * Whether a session was ended. Synchronous if the list is recent, else after a read of the store.
   *
   * @throws DaypassError `ERR_STORE_UNAVAILABLE` if it is not known.
   */
  isRevoked(sessionId: string, token: Pick<AccessToken, 'issuedAt' | 'expiresAt'>): boolean | Promise<boolean>
  /** Adds a session that this process ended or found ended. */
  add(sessionId: string, revokedAt: number): void
}

/** Durations are milliseconds. */
export interface RevocationsOptions {
  store: Pick<Store, 'revokedSince'> & Partial<Pick<SelfOpening, 'ready'>>
  /** The clock of the rows. */
  clock: () => number
  /** The lifetime of the access tokens of sessions without one of their own. */
  lifetime: number
  /** Whether a token is accepted if it is not known whether its session was ended. */
  whenStoreIsAway: 'refuse' | 'accept'
  /** Called after each successful read of the store. */
  onRead?: () => void
}

/** The store is read once in this time, however many tokens are verified. */
const readEvery = 1000
/** The list stays in use for this time while reads fail. */
const maxAge = 10_000
/** The longest that a token waits for a read while the list is in use … */
const shortWait = 500
/** … and the longest that it waits otherwise. */
const longWait = 2000
/** A read that takes longer does not hold back the next one. */
const maxRead = 5000
/**
 * Each read goes back further by this: two clocks may be a minute apart, and a row's instant is taken before its
 * transaction ends.
 */
const margin = 75_000

/** A read of the store that is under way. */
interface Reading {
  /** On the monotonic clock. */
  beganAt: number
  /** Resolves with the read, but after {@link shortWait} at the latest. */
  soon: Promise<void>
  /** Resolves with the read, but after {@link longWait} at the latest. */
  later: Promise<void>
}

/**
 * Holds the ids of ended sessions as long as one of their access tokens may be valid. Sessions that this process ends are
 * in it at once; sessions that others end, within a second.
 *
 * The list reaches back as far as the longest-lived token that was presented, not as far as the setting says: tokens from
 * before a deploy, and those of a session with a lifetime of its own, may live longer.
 */
export function createRevocations(options: RevocationsOptions): Revocations {
  const { store, clock, whenStoreIsAway, onRead } = options
  const revoked = new Map<string, number>()
  /** The longest lifetime of a presented token. A second is added because both ends of it are rounded to seconds. */
  let reach = options.lifetime + 1000
  /** How far back the list is complete. */
  let covered = 0
  /** Reads are counted as they begin. A read that ends after a later one must not overwrite what that one found. */
  let reads = 0
  let newestRead = 0
  let begunAt = Number.NEGATIVE_INFINITY
  let readAt = Number.NEGATIVE_INFINITY
  let reading: Reading | undefined
  let failure: unknown
  /** The size at which `add` deletes old entries, for a process that verifies no tokens and so never reads. */
  let full = 1000

  function isKnown(lifetime: number): boolean {
    // Compare the absolute value: after a clock was set back, the list may be of any age.
    return covered >= lifetime && Math.abs(clock() - readAt) < maxAge
  }

  async function read(back: number): Promise<void> {
    const number = ++reads
    let now: number
    try {
      // Open the store before reading the clock: from then on the clock follows the store's, and may jump.
      await store.ready?.()
      now = clock()
      // Read the whole list if it was never read this far back, or if the clock was set back. Else read the new entries.
      const isWhole = covered < back || readAt > now
      const since = Math.max(isWhole ? Number.NEGATIVE_INFINITY : readAt, now - back) - margin
      for (const { id, revokedAt } of await store.revokedSince(since)) revoked.set(id, revokedAt)
    } catch (error) {
      failure = error
      return
    }
    if (number < newestRead) return
    newestRead = number
    readAt = now
    covered = back
    deleteOld(now)
    onRead?.()
  }

  /** Deletes the sessions whose access tokens have all expired. */
  function deleteOld(now: number): void {
    for (const [id, revokedAt] of revoked) if (revokedAt < now - reach - margin) revoked.delete(id)
    full = Math.max(1000, 2 * revoked.size)
  }

  function begin(now: number): Reading {
    begunAt = now
    const done = read(reach)
    const begun: Reading = { beganAt: performance.now(), soon: within(done, shortWait), later: within(done, longWait) }
    reading = begun
    done.finally(() => {
      if (reading === begun) reading = undefined
    })
    return begun
  }

  async function decideAfter(wait: Promise<void> | undefined, sessionId: string, lifetime: number): Promise<boolean> {
    await wait
    if (revoked.has(sessionId)) return true
    if (isKnown(lifetime) || whenStoreIsAway === 'accept') return false
    throw new DaypassError(
      'ERR_STORE_UNAVAILABLE',
      'It is not known whether this session was ended: the session store does not respond; try again shortly.',
      { cause: failure },
    )
  }

  return {
    isRevoked(sessionId, { issuedAt, expiresAt }) {
      if (revoked.has(sessionId)) return true
      const lifetime = Math.min(expiresAt - issuedAt, maxAccessTokenLifetime * 1000)
      const now = clock()
      const isLonger = lifetime > reach
      if (isLonger) reach = lifetime
      const isReading = reading !== undefined && performance.now() - reading.beganAt < maxRead
      if (isLonger || (Math.abs(now - begunAt) >= readEvery && !isReading)) {
        const { soon, later } = begin(now)
        return decideAfter(isKnown(lifetime) ? soon : later, sessionId, lifetime)
      }
      // Wait for a read that another token began only if the list cannot decide.
      return isKnown(lifetime) ? false : decideAfter(reading?.later, sessionId, lifetime)
    },
    add(sessionId, revokedAt) {
      revoked.set(sessionId, revokedAt)
      if (revoked.size > full) deleteOld(revokedAt)
    },
  }
}

/** Resolves when `done` does, or after this time. */
function within(done: Promise<void>, milliseconds: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds)
    done.then(() => {
      clearTimeout(timer)
      resolve()
    })
  })
}
