// The clock of a session's instants: the store's own, where it has one.

import type { Store } from './store.ts'
import type { Warn } from './warn.ts'

/** A clock, in milliseconds since the epoch. */
export interface StoreClock {
  (): number
  /** How far it is ahead of this machine's clock, in milliseconds; 0 where they agree. */
  ahead(): number
  /** Compares both clocks; gives the earlier. Throws `ERR_STORE_…` where the store cannot tell. */
  measure(): Promise<number>
  /**
   * Sees to it that the difference can be relied on, before an instant is read. Nothing where it can. Where this machine's
   * clock was set, or stood still, it compares anew and is waited for; once a minute it compares in the background.
   */
  settle(): Promise<void> | undefined
}

/** Clocks that differ by less are left alone: the way to the store and back is part of what is measured. */
const tolerance = 1000
/** A difference that is older is measured anew. */
const measuredEvery = 60_000
/** Clocks that differ by more are worth a warning: access tokens are checked by this machine's clock. */
const worthWarning = 30_000

/**
 * Servers that share a store must agree on the time: one that is a minute ahead would take a lost race for a theft and
 * miss a sign-out. So each follows the store's clock, by the difference that it measured last.
 *
 * @param own This machine's clock.
 * @param monotonic A clock that nobody sets, in milliseconds.
 */
export function createStoreClock(
  store: Pick<Store, 'now'>,
  own: () => number,
  warn: Warn,
  monotonic: () => number = () => performance.now(),
): StoreClock {
  let ahead = 0
  let measuredAt: { own: number; monotonic: number } | undefined
  let measuring: Promise<unknown> | undefined

  async function measure(): Promise<number> {
    if (store.now === undefined) return own()
    const before = own()
    const there = await store.now()
    const after = own()
    measuredAt = { own: after, monotonic: monotonic() }
    const difference = there - (before + after) / 2
    // The store answered at some instant in between; where that explains the difference, there is none.
    const proved = Math.abs(difference) - (after - before) / 2
    ahead = proved > tolerance ? Math.round(difference) : 0
    if (proved > worthWarning) {
      const which = difference > 0 ? 'behind' : 'ahead of'
      warn(
        'DAYPASS_CLOCK_SKEW',
        `This server's clock is ${Math.round(Math.abs(difference) / 1000)} seconds ${which} its database's: let both be set by NTP.`,
      )
    }
    return Math.min(after, there)
  }

  function settle(): Promise<void> | undefined {
    if (store.now === undefined || measuredAt === undefined) return undefined
    const passed = monotonic() - measuredAt.monotonic
    const isSet = Math.abs(own() - measuredAt.own - passed) > tolerance
    if (!isSet && passed < measuredEvery) return undefined
    measuring ??= measure().finally(() => {
      measuring = undefined
    })
    if (isSet) return measuring.then(() => {})
    measuring.catch(() => {})
    return undefined
  }

  return Object.assign(() => own() + ahead, { ahead: () => ahead, measure, settle })
}
