// A clock that tests set.

/** A clock that moves only when a test calls it. */
export interface FakeClock {
  /** Milliseconds since the epoch. */
  now(): number
  /** Moves the clock forward by this many seconds. A negative number sets it back. */
  advance(seconds: number): void
  /** Sets the clock to an instant, in milliseconds since the epoch. */
  set(instant: number): void
  /** The same function as `now`, for the `clock` option. */
  readonly clock: () => number
}

/**
 * Makes a clock for the `clock` option of `createDaypass` and `createVerifier`.
 *
 * @param start The first instant, in milliseconds since the epoch. Default 2026-01-01T00:00:00Z.
 * @example
 * ```ts
 * import { createFakeClock } from 'daypass/testing'
 *
 * const time = createFakeClock()
 * time.advance(60)
 * console.log(new Date(time.now()).toISOString()) // 2026-01-01T00:01:00.000Z
 * ```
 */
export function createFakeClock(start: number = Date.UTC(2026, 0, 1)): FakeClock {
  let instant = start
  const now = () => instant
  return {
    now,
    clock: now,
    advance(seconds) {
      instant += Math.round(seconds * 1000)
    },
    set(to) {
      instant = to
    },
  }
}
