// The instant at which a person proved who they are: which ones are accepted, and how one moves between two clocks.

import { DaypassError } from '../errors.ts'

/** The clocks of an app's servers may differ by this, in milliseconds. */
const tolerance = 60_000

/**
 * Checks an instant that the app gave, by the clock of its machine. Returns it as rows hold it, in whole milliseconds: an
 * instant from a JWT may have a fraction (RFC 7519 §2).
 *
 * A later instant would pass every check for a recent sign-in, and verifiers reject tokens with a negative one.
 *
 * @throws DaypassError `ERR_OPTION_INVALID`.
 */
export function readAuthTime(given: number, now = Date.now()): number {
  if (typeof given === 'number' && given >= 0 && given <= now + tolerance) return Math.floor(given)
  throw new DaypassError(
    'ERR_OPTION_INVALID',
    '`authTime` must be epoch milliseconds, as of Date.now(), and not in the future.',
  )
}

/** The same instant on a clock that is ahead by `ahead` milliseconds. 0 says on every clock that it is not known. */
export const shiftAuthTime = (authTime: number, ahead: number): number =>
  authTime === 0 ? 0 : Math.max(0, authTime + ahead)
