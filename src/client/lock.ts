// Takes turns: one request for tokens at a time, among all tabs.

import { abortAfter, maybe, orAbort } from './wait.ts'

/** Runs `work` when its turn comes. */
export type Lock = <T>(work: () => Promise<T>) => Promise<T>

/**
 * Makes a lock for this client; with a `name`, also among all tabs of this origin if the browser has Web Locks. The lock
 * avoids requests, but safety does not depend on it: the stored Idempotency-Key makes two refreshes at once harmless. So a
 * call that has waited `patience` milliseconds for other tabs, or may not use locks, goes ahead. `work` must limit its own
 * time.
 */
export function createLock(patience: number, name: string | false): Lock {
  let tail: Promise<unknown> = Promise.resolve()
  return async <T>(work: () => Promise<T>) => {
    let begun: Promise<T> | undefined
    const begin = () => {
      if (!begun) tail = begun = tail.then(work, work)
      return begun
    }
    // Request the Web Lock at once, not in this client's turn, so that turns among all tabs follow the order of the calls.
    if (name) {
      // The controller serves as the options: only its member `signal` is read.
      const patient = abortAfter(patience)
      const held = Promise.resolve(maybe(() => navigator.locks.request(name, patient, begin)))
      await orAbort<unknown>(held, patient).catch(() => {})
    }
    return begin()
  }
}
