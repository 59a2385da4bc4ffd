// Time limits for calls to an engine.

import type { DaypassError } from '../errors.ts'
import { wrongOption } from '../option.ts'
import { unavailable } from './store-error.ts'

/**
 * Gives a call so many milliseconds. The engine may still carry out a call that is late. The caller gets 503 and retries,
 * which the protocol allows for.
 *
 * @throws DaypassError `ERR_STORE_UNAVAILABLE` when the time is over.
 */
export async function withDeadline<T>(call: Promise<T>, milliseconds: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(unavailable(`no answer in ${milliseconds} ms`)), milliseconds)
  })
  try {
    return await Promise.race([call, late])
  } finally {
    clearTimeout(timer)
  }
}

/** The calls of one store: each within its deadline, and all of them known until they end. */
export interface BoundedCalls {
  /**
   * Runs a method.
   *
   * @param body Takes the instant when its caller stops waiting, in milliseconds since the epoch.
   */
  within<T>(body: (until: number) => Promise<T>): Promise<T>
  /** Resolves when no call is in flight. */
  drain(): Promise<void>
}

/**
 * @param timeout Milliseconds for each call.
 * @param translate Makes the engine's errors Daypass's.
 */
export function createBoundedCalls(
  timeout: number,
  translate: (error: unknown) => DaypassError,
  clock = () => Date.now(),
): BoundedCalls {
  const inFlight = new Set<Promise<unknown>>()
  return {
    within(body) {
      const call = withDeadline(body(clock() + timeout), timeout).catch((error) => {
        throw translate(error)
      })
      inFlight.add(call)
      const done = () => inFlight.delete(call)
      call.then(done, done)
      return call
    },
    async drain() {
      while (inFlight.size > 0) await Promise.allSettled(inFlight)
    },
  }
}

/**
 * Reads the `timeout` option. Verifiers look back ten seconds, so a session must not end later than that after the instant
 * in its row.
 *
 * @returns Milliseconds.
 * @throws DaypassError `ERR_OPTION_INVALID`.
 */
export function readTimeout(timeout = 5000): number {
  if (typeof timeout === 'number' && timeout >= 1 && timeout <= 10_000) return timeout
  throw wrongOption('timeout', timeout, 'Give milliseconds, 1 to 10,000.')
}
