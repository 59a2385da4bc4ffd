// Who may ask for tokens now?

import { abortAfter } from './wait.ts'

/** Runs `work` when its turn comes. */
export type Lock = <T>(work: () => Promise<T>) => Promise<T>

/**
 * One at a time in this client; with a `name`, also among all tabs of this origin, where the browser has Web Locks. It
 * is a courtesy, not a safeguard: the persisted Idempotency-Key makes two refreshes at once harmless. So whoever has
 * waited for the other tabs for `patience` milliseconds, or may not use locks, goes ahead. `work` must bound its own time.
 */
export function createLock(patience: number, name: string | false): Lock {
  let tail: Promise<any> = Promise.resolve()
  return (work) => {
    const turn = tail.then(async () => {
      let begun: ReturnType<typeof work> | undefined
      const begin = () => (begun ??= work())
      // A controller is options enough: its signal is read.
      if (name) await globalThis.navigator?.locks?.request(name, abortAfter(patience), begin).catch(() => {})
      return begin()
    })
    tail = turn.catch(() => {})
    return turn
  }
}
