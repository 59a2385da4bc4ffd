// Who may ask for tokens now?

import { abortAfter, maybe, orAbort } from './wait.ts'

/** Runs `work` when its turn comes. */
export type Lock = <T>(work: () => Promise<T>) => Promise<T>

/**
 * One at a time in this client; with a `name`, also among all tabs of this origin, where the browser has Web Locks. It
 * is a courtesy, not a safeguard: the persisted Idempotency-Key makes two refreshes at once harmless. So whoever has
 * waited for the other tabs for `patience` milliseconds, or may not use locks, goes ahead. `work` must bound its own time.
 */
export function createLock(patience: number, name: string | false): Lock {
  let tail: Promise<unknown> = Promise.resolve()
  return async <T>(work: () => Promise<T>) => {
    let begun: Promise<T> | undefined
    const begin = () => {
      if (!begun) tail = begun = tail.then(work, work)
      return begun
    }
    // Asked for at once, not in this client's turn: among all tabs, turns come in the order of the calls.
    if (name) {
      // A controller is options enough: its signal is read.
      const patient = abortAfter(patience)
      const held = Promise.resolve(maybe(() => navigator.locks.request(name, patient, begin)))
      await orAbort<unknown>(held, patient).catch(() => {})
    }
    return begin()
  }
}
