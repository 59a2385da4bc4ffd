// Who may ask for tokens now?

import { abortAfter } from './wait.ts'

/** Runs `work` when its turn comes. */
export type Lock = <T>(work: () => Promise<T>) => Promise<T>

/**
 * One at a time in this client; with a `name`, also among all tabs of this origin, where the browser has Web Locks. It
 * is a courtesy, not a safeguard: the persisted Idempotency-Key makes two refreshes at once harmless. So whoever has
 * waited for the other tabs for `patience` milliseconds, or may not use locks, goes ahead. `work` must bound its own time.
 */
export function createLock(patience: number, name?: string): Lock {
  let tail: Promise<any> = Promise.resolve()
  return (work) => {
    tail = tail.then(async () => {
      let begun: ReturnType<typeof work> | undefined
      const begin = () => (begun ??= work())
      const locks = name && globalThis.navigator?.locks
      if (locks) await locks.request(name, { signal: abortAfter(patience) }, begin).catch(() => {})
      return begin()
    })
    const turn = tail
    tail = tail.catch(() => {})
    return turn
  }
}
