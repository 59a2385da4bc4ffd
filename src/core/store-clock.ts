// The clock of the rows: follows the store's clock, if the store has one.

import type { Warn } from '../warn.ts'
import type { Store } from './store.ts'

/** A clock, in milliseconds since the epoch. */
export interface StoreClock {
  (): number
  /** How far it is ahead of this machine's clock, in milliseconds; 0 if they agree. */
  ahead(): number
  /** Compares both clocks and returns the earlier. Throws `ERR_STORE_…` if the store does not respond. */
  measure(): Promise<number>
  /**
   * Makes sure that the measured difference still holds, before an instant is read. Measures in the background once a
   * minute. If this machine's clock was set or stood still, it measures again and returns a promise to await. Otherwise it
   * returns undefined.
   */
  settle(): Promise<void> | undefined
}

/** A smaller difference is ignored: the measurement includes the round trip to the store. */
const tolerance = 1000
/** An older measurement is repeated. */
const measureEvery = 60_000
/** A greater difference gets a warning: access tokens are verified with this machine's clock. */
const worthWarning = 30_000

/**
 * Servers that share a store must agree on the time: a server that is a minute ahead would mistake a lost race for a theft,
 * and miss a sign-out. So each server corrects its own clock by the difference to the store's clock that it measured last.
 *
 * @param own This machine's clock.
 * @param monotonic A clock that is never set, in milliseconds.
 */
export function createStoreClock(
  store: Pick<Store, 'readClock'>,
  own: () => number,
  warn: Warn,
  monotonic: () => number = () => performance.now(),
): StoreClock {
  let ahead = 0
  let measuredAt: { own: number; monotonic: number } | undefined
  let measuring: Promise<unknown> | undefined

  async function measure(): Promise<number> {
    if (store.readClock === undefined) return own()
    const before = own()
    const storeNow = await store.readClock()
    const after = own()
    measuredAt = { own: after, monotonic: monotonic() }
    const difference = storeNow - (before + after) / 2
    // The store read its clock at some instant in between. Only a difference beyond that is proved.
    const proved = Math.abs(difference) - (after - before) / 2
    ahead = proved > tolerance ? Math.round(difference) : 0
    if (proved > worthWarning) {
      const which = difference > 0 ? 'behind' : 'ahead of'
      warn(
        'DAYPASS_CLOCK_SKEW',
        `This server's clock is ${Math.round(Math.abs(difference) / 1000)} seconds ${which} its database's: set both with NTP.`,
      )
    }
    return Math.min(after, storeNow)
  }

  function settle(): Promise<void> | undefined {
    if (measuredAt === undefined) return undefined
    const passed = monotonic() - measuredAt.monotonic
    const isSet = Math.abs(own() - measuredAt.own - passed) > tolerance
    if (!isSet && passed < measureEvery) return undefined
    measuring ??= measure().finally(() => {
      measuring = undefined
    })
    if (isSet) return measuring.then(() => {})
    measuring.catch(() => {})
    return undefined
  }

  return Object.assign(() => own() + ahead, { ahead: () => ahead, measure, settle })
}
