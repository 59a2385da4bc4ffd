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
    if (signal.aborted) abort()
  })
}

/**
 * Milliseconds to wait after so many failures in a row (1 or more). Waits grow from `shortest` to `longest`. `chance`, from
 * 0 to 1, takes up to half of a wait away, so that clients do not come all at once. The milliseconds that the server
 * `asked` for make a wait longer and never shorter: `Retry-After: 0` would be a loop. No more than five minutes of them
 * count: a proxy's "tomorrow" must not keep anyone out.
 */
export function backOff(failures: number, shortest: number, longest: number, chance: number, asked = 0): number {
  const own = Math.min(shortest * 3 ** (failures - 1), longest) * (0.5 + chance / 2)
  return Math.max(own, Math.min(asked, 300_000))
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

/** The outcome of `work`, or undefined where it throws: for parts of the platform that may be missing or forbidden. */
export function maybe<T>(work: () => T): T | undefined {
  try {
    return work()
  } catch {}
}

/**
 * Milliseconds since some instant, on whichever clock says that more time has passed: the steady one stands still while a
 * machine sleeps, and the other one may be set back.
 */
export function createClock(): () => number {
  const steady = () => maybe(() => performance.now()) ?? Date.now()
  let apart = Date.now() - steady()
  let slept = 0
  return () => {
    const gain = Date.now() - steady() - apart
    // Less than a second is rounding, or a clock that is being corrected.
    if (Math.abs(gain) > 1000) {
      apart += gain
      slept += Math.max(0, gain)
    }
    return steady() + slept
  }
}
