// Back-off: how long to wait after failures.

/**
 * Milliseconds to wait after this number of failures in a row (1 or more). Waits grow from `shortest` to `longest`.
 * `chance`, from 0 to 1, shortens a wait by up to a half, so that clients do not retry all at once. `retryAfter`, the seconds
 * that the server asked for, makes a wait longer and never shorter: `Retry-After: 0` would be a loop. At most five minutes
 * of it count, so that a proxy's `Retry-After` of a day does not stop the client.
 */
export function backOff(failures: number, shortest: number, longest: number, chance: number, retryAfter = 0): number {
  const own = Math.min(shortest * 3 ** (failures - 1), longest) * (0.5 + chance / 2)
  return Math.max(own, Math.min(retryAfter, 300) * 1000)
}
