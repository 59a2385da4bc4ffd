// A clock that tests set.

/** A clock that moves only when a test moves it. */
export interface FakeClock {
  /** Milliseconds since the epoch. */
  now(): number
  /** Moves on by so many seconds; a negative number sets the clock back. */
  advance(seconds: number): void
  /** Goes to an instant, in milliseconds since the epoch. */
  set(instant: number): void
  /** The same as `now`, to be given as the `clock` option. */
  readonly clock: () => number
}

/**
 * Makes a clock for the `clock` option of `createDaypass` and `createVerifier`.
 *
 * @param start Where it stands, in milliseconds since the epoch. Default 2026-01-01T00:00:00Z.
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
