// The waits of a stream before it connects again.

import { backOff } from './back-off.ts'

/** Shortest and longest wait, in milliseconds. */
const shortestWait = 1000
const longestWait = 30_000

/** A server cannot make the shortest wait shorter than this, in milliseconds. */
const floor = 100

export interface Reconnect {
  /** Connections in a row that failed or did not last. */
  readonly failures: number
  /** Call it when a connection was made. One that lasts longer than the longest wait resets the failures. */
  connected(): void
  /** Resets the failures: the next wait is the shortest. */
  reset(): void
  /**
   * Milliseconds until the next attempt, after a connection ended or failed. `shortest` is the shortest wait that the server
   * wants in general, `retryAfter` the seconds that it asked for this time.
   */
  next(options?: { shortest?: number | undefined; retryAfter?: number | undefined }): number
}

/** The waits of one stream of events or WebSocket. `chance` returns a number from 0 to 1. */
export function createReconnect(chance: () => number): Reconnect {
  let failures = 0
  let connectedAt: number | undefined
  return {
    get failures() {
      return failures
    },
    connected() {
      connectedAt = performance.now()
    },
    reset() {
      failures = 0
    },
    next({ shortest = shortestWait, retryAfter } = {}) {
      if (connectedAt !== undefined && performance.now() - connectedAt > longestWait) failures = 0
      connectedAt = undefined
      return backOff(++failures, Math.max(shortest, floor), longestWait, chance(), retryAfter)
    },
  }
}
