// Which sessions were ended while their access tokens still look good?

import { DaypassError } from '../errors.ts'
import type { AccessToken } from '../verify/index.ts'
import type { SelfOpening } from './open-store.ts'
import { maxAccessTokenLifetime } from './options.ts'
import type { Store } from './store.ts'

/** What this process knows of ended sessions. */
export interface Revocations {
  /**
   * Whether a session was ended: at once where that is known, else after a look at the store.
   *
   * @throws DaypassError `ERR_STORE_UNAVAILABLE` where nobody knows.
   */
  isRevoked(sessionId: string, token: Pick<AccessToken, 'issuedAt' | 'expiresAt'>): boolean | Promise<boolean>
  /** Notes what this process ended itself, or found ended. */
  add(sessionId: string, revokedAt: number): void
}

/** Durations are milliseconds. */
export interface RevocationsOptions {
  store: Pick<Store, 'revokedSince'> & Partial<Pick<SelfOpening, 'ready'>>
  /** The clock of the rows. */
  clock: () => number
  /** How long the access tokens live that are made now. */
  lifetime: number
  /** Whether a token is let in of which nobody can say whether its session was ended. */
  whenStoreIsAway: 'refuse' | 'accept'
  /** Called after each look that was answered. */
  onHeard?: () => void
}

/** There is one look at the store in this time, however many tokens are checked. */
const lookEvery = 1000
/** For how long what is known still counts, where looks are not answered. */
const maxSilence = 10_000
/** A token waits no longer than this for a look, where what is known counts … */
const shortWait = 500
/** … and no longer than this, where it does not. */
const longWait = 2000
/** A look that takes longer is not waited for by the next one. */
const maxLook = 5000
/**
 * Each look goes back further by this: two clocks may be a minute apart, and a row's instant is taken before its
 * transaction ends.
 */
const margin = 75_000

interface Look {
  /** On the monotonic clock. */
  beganAt: number
  soon: Promise<void>
  later: Promise<void>
}

/**
 * Holds the ids of sessions that were ended while a token of theirs may still be good. What this process ends is known at
 * once; what others end, within a second.
 *
 * How far back it reaches follows from the tokens that come, not from a setting: before a deploy, tokens may have been
 * made that live longer.
 */
export function createRevocations(options: RevocationsOptions): Revocations {
  const { store, clock, whenStoreIsAway, onHeard } = options
  const revoked = new Map<string, number>()
  /** The longest life of a token that came. Both ends of a token's life are rounded to seconds, outwards. */
  let reach = options.lifetime + 1000
  /** How far back it is known which sessions were ended. */
  let covered = 0
  let askedAt = Number.NEGATIVE_INFINITY
  let heardAt = Number.NEGATIVE_INFINITY
  let looking: Look | undefined
  let failure: unknown
  /** So many entries are gone through, in a process that checks no tokens and so never looks. */
  let full = 1000

  function knows(lifetime: number): boolean {
    // Both ways: after a clock was set back, what is known may be of any age.
    return covered >= lifetime && Math.abs(clock() - heardAt) < maxSilence
  }

  async function look(back: number): Promise<void> {
    let now: number
    try {
      // The clock is the store's once the store is open, and may jump then.
      await store.ready?.()
      now = clock()
      // All of it where nothing is known yet, a longer life came up, or the clock was set back; else what is new.
      const isWhole = covered < back || heardAt > now
      const since = Math.max(isWhole ? Number.NEGATIVE_INFINITY : heardAt, now - back) - margin
      for (const { id, revokedAt } of await store.revokedSince(since)) revoked.set(id, revokedAt)
    } catch (error) {
      failure = error
      return
    }
    heardAt = now
    covered = back
    forget(now)
    onHeard?.()
  }

  /** No token of theirs is left. */
  function forget(now: number): void {
    for (const [id, revokedAt] of revoked) if (revokedAt < now - reach - margin) revoked.delete(id)
    full = Math.max(1000, 2 * revoked.size)
  }

  function begin(now: number): Look {
    askedAt = now
    const done = look(reach)
    const begun: Look = { beganAt: performance.now(), soon: within(done, shortWait), later: within(done, longWait) }
    looking = begun
    done.finally(() => {
      if (looking === begun) looking = undefined
    })
    return begun
  }

  async function answerAfter(wait: Promise<void> | undefined, sessionId: string, lifetime: number): Promise<boolean> {
    await wait
    if (revoked.has(sessionId)) return true
    if (knows(lifetime) || whenStoreIsAway === 'accept') return false
    throw new DaypassError(
      'ERR_STORE_UNAVAILABLE',
      'Whether this session was ended is not known: the session store does not answer; try again shortly.',
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
      const isHanging = looking !== undefined && performance.now() - looking.beganAt < maxLook
      if (isLonger || (Math.abs(now - askedAt) >= lookEvery && !isHanging)) {
        const { soon, later } = begin(now)
        return answerAfter(knows(lifetime) ? soon : later, sessionId, lifetime)
      }
      // Who comes while others look waits only where nothing is known.
      return knows(lifetime) ? false : answerAfter(looking?.later, sessionId, lifetime)
    },
    add(sessionId, revokedAt) {
      revoked.set(sessionId, revokedAt)
      if (revoked.size > full) forget(revokedAt)
    },
  }
}

/** Resolves when `done` does, or after so many milliseconds. */
function within(done: Promise<void>, milliseconds: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds)
    done.then(() => {
      clearTimeout(timer)
      resolve()
    })
  })
}
