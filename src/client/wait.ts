// Timers, clocks and aborts.

import type { CallOptions } from './fetch-with-token.ts'

/** Settles as the promise does, or rejects with the signal's reason as soon as it aborts. The work itself goes on. */
export function orAbort<T>(promise: Promise<T>, options?: CallOptions): Promise<T> {
  const signal = options?.signal
  if (!signal) return promise
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason)
    signal.addEventListener('abort', abort)
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
    if (signal.aborted) abort()
  })
}

/** setTimeout that does not keep a Node process alive. */
export function later(milliseconds: number, work: () => unknown): ReturnType<typeof setTimeout> {
  const timer = setTimeout(work, milliseconds)
  // Outside Node a timer is a number.
  ;(timer as { unref?(): void }).unref?.()
  return timer
}

/** A controller that aborts after this time, if not before. */
export function abortAfter(milliseconds: number): AbortController {
  const controller = new AbortController()
  later(milliseconds, () => controller.abort({ name: 'TimeoutError' }))
  return controller
}

/** Returns the result of `work`, or undefined if it throws: for features that a platform may lack or forbid. */
export function maybe<T>(work: () => T): T | undefined {
  try {
    return work()
  } catch {}
}

/**
 * Milliseconds since some instant. Of two clocks, the one on which more time has passed counts: the monotonic clock stands
 * still while a machine sleeps, and the wall clock may be set back.
 */
export function createClock(): () => number {
  const steady = () => maybe(() => performance.now()) ?? Date.now()
  let apart = Date.now() - steady()
  let slept = 0
  return () => {
    const gain = Date.now() - steady() - apart
    // Ignore less than a second: it is rounding, or a small correction of the clock.
    if (Math.abs(gain) > 1000) {
      apart += gain
      slept += Math.max(0, gain)
    }
    return steady() + slept
  }
}
