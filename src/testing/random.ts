// Random numbers from a seed.

/** Random numbers that repeat with the same seed. They are predictable, so use them only in tests. */
export interface SeededRandom {
  readonly seed: number
  /** A number from 0 up to, but not including, 1. */
  next(): number
  /** A whole number from 0 up to, but not including, `below`. */
  below(below: number): number
  /** One item of a list that is not empty. */
  pick<T>(from: readonly T[]): T
  /** Random bytes, for the `random` option of `createDaypass`. */
  readonly bytes: (size: number) => Uint8Array
}

/**
 * Makes a random number generator from a seed (mulberry32).
 *
 * @param seed Any whole number. Print it when a test fails.
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
    pick: <T>(from: readonly T[]) => from[below(from.length)] as T,
    bytes: (size) => Uint8Array.from({ length: size }, () => word() & 0xff),
  }
}

/** The seed in `DAYPASS_TEST_SEED`, which repeats a failed run, or a random one. */
export function freshSeed(): number {
  const given = Number(process.env.DAYPASS_TEST_SEED)
  return Number.isInteger(given) && given > 0 ? given : Math.floor(Math.random() * 0x7fff_ffff) + 1
}
