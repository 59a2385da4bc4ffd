// Runs one statement of a SQL engine: time limit, retry after a conflict.

import { setTimeout as delay } from 'node:timers/promises'
import { isDaypassError } from '../errors.ts'
import { withDeadline } from './deadline.ts'

/** A statement on its way to the engine. */
export interface SentStatement<T> {
  answer: Promise<T>
  /** Called when the caller has stopped waiting. Drops or cancels the statement, where the driver can. */
  cancel(): void
}

/**
 * Sends a statement, and again after each conflict, with growing pauses, until the caller stops waiting.
 *
 * @param until Milliseconds since the epoch, by `clock`.
 * @param isConflict Whether an error says that nothing was changed, and the same statement may be sent again.
 * @throws DaypassError `ERR_STORE_UNAVAILABLE` when the time is over, and else the engine's own error.
 */
export async function runStatement<T>(
  send: () => SentStatement<T>,
  until: number,
  clock: () => number,
  isConflict: (error: unknown) => boolean,
): Promise<T> {
  for (let pause = 1; ; pause = Math.min(2 * pause, 100)) {
    const { answer, cancel } = send()
    try {
      return await withDeadline(answer, Math.max(until - clock(), 0))
    } catch (error) {
      if (isDaypassError(error, 'ERR_STORE_UNAVAILABLE')) cancel()
      if (!isConflict(error) || clock() + pause >= until) throw error
    }
    await delay(pause)
  }
}
