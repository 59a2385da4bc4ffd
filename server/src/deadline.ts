// Bounded waiting for a database.

import { setTimeout as delay } from 'node:timers/promises'
import { DaypassError } from 'daypass'

/** Milliseconds that a call of the accounts' or the limits' database may take. */
export const patience = 5000

/**
 * Waits for a call of a database, and calls `onLate` when the time is over. The call's error is replaced by one that
 * reveals nothing of the database to callers.
 *
 * @throws DaypassError `ERR_STORE_UNAVAILABLE` when the call fails or the time is over.
 */
export async function withinPatience<T>(call: () => Promise<T>, onLate?: () => void): Promise<T> {
  const timer = new AbortController()
  const late = delay(patience, undefined, { signal: timer.signal }).then(() => {
    onLate?.()
    throw new DaypassError('ERR_STORE_UNAVAILABLE', undefined, { cause: `no answer in ${patience} ms` })
  })
  // It rejects when the timer is aborted, after every call that is in time.
  late.catch(() => {})
  try {
    return await Promise.race([call(), late])
  } catch (error) {
    throw asStoreError(error)
  } finally {
    timer.abort()
  }
}

/** Keeps only the text and the code: drivers put statements, parameters and addresses into their errors. */
export function asStoreError(error: unknown): DaypassError {
  if (error instanceof DaypassError) return error
  const { message, code } = (error ?? {}) as { message?: unknown; code?: unknown }
  const cause = Object.assign(new Error(quotesValue(code) ? 'a value of the row' : String(message || code || error)), {
    code,
  })
  return new DaypassError('ERR_STORE_UNAVAILABLE', undefined, { cause })
}

/** Whether a message repeats a value: a duplicate key in MongoDB, data that PostgreSQL cannot store. */
const quotesValue = (code: unknown) => code === 11000 || /^22...$/.test(String(code))
