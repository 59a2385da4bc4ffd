// Random numbers that a seed repeats.

/** Chance that repeats itself: the same seed, the same numbers. For tests only; anyone can foretell it. */
export interface SeededRandom {
  readonly seed: number
  /** A number from 0 up to, but not, 1. */
  next(): number
  /** A whole number from 0 up to, but not, `below`. */
  below(below: number): number
  /** One of these. */
  pick<T>(from: readonly T[]): T
  /** Random bytes: to be given as the `random` option of `createDaypass`. */
  readonly bytes: (size: number) => Uint8Array
}

/**
 * Makes a source of chance from a seed (mulberry32).
 *
 * @param seed Any whole number; print it where a test fails.
 * @example
 * ```ts
 * import { createSeededRandom } from 'daypass/testing'
 *
 * const chance = createSeededRandom(7)
 * console.log(chance.pick(['a', 'b', 'c']), chance.bytes(16).length)
 * ```
 */
export function createSeededRandom(seed: number): SeededRandom {
  let state = seed >>> 0
  const word = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return (mixed ^ (mixed >>> 14)) >>> 0
  }
  const next = () => word() / 4_294_967_296
  const below = (limit: number) => Math.floor(next() * limit)
  return {
    seed,
    next,
    below,
    pick: (from) => from[below(from.length)]!,
    bytes: (size) => Uint8Array.from({ length: size }, () => word() & 0xff),
  }
}

/** A random seed, or the one in `DAYPASS_TEST_SEED`, so that a failed run can be repeated. */
export function freshSeed(): number {
  const given = Number(process.env.DAYPASS_TEST_SEED)
  return Number.isInteger(given) && given > 0 ? given : Math.floor(Math.random() * 0x7fff_ffff) + 1
}
