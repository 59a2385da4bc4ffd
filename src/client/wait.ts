// How long does anybody wait, and what makes them stop?

import type { CallOptions } from './fetch-with-token.ts'

/** The promise's outcome, or the signal's reason as soon as it aborts. What the promise is about goes on. */
export function orAbort<T>(promise: Promise<T>, options?: CallOptions): Promise<T> {
  const signal = options?.signal
  if (!signal) return promise
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason)
    signal.addEventListener('abort', abort)
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
    signal.throwIfAborted()
  })
}

/** setTimeout, which in Node keeps no process alive. */
export function later(milliseconds: number, work: () => unknown): ReturnType<typeof setTimeout> {
  const timer = setTimeout(work, milliseconds)
  // A number where there is no Node.
  ;(timer as { unref?(): void }).unref?.()
  return timer
}

/** What aborts after so many milliseconds, if not before. */
export function abortAfter(milliseconds: number): AbortController {
  const controller = new AbortController()
  later(milliseconds, () => controller.abort({ name: 'TimeoutError' }))
  return controller
}
