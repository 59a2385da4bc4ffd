// How long does a stream wait before it connects again?

import { backOff } from './wait.ts'

/** Shortest and longest wait, in milliseconds. */
const shortestWait = 1000
const longestWait = 30_000

/** The least that a server can lower the shortest wait to, in milliseconds. */
const floor = 100

export interface Reconnect {
  /** Connections in a row that failed or did not last. */
  readonly failures: number
  /** Tells that a connection was made. One that lasts longer than the longest wait ends the row of failures. */
  connected(): void
  /** Tells that all is well: the next wait is the shortest. */
  reset(): void
  /**
   * Milliseconds until the next try, after a connection ended or was not to be had. `shortest` is the server's own wish
   * for the shortest wait, `asked` what it asked for this once.
   */
  next(options?: { shortest?: number | undefined; asked?: number | undefined }): number
}

/** The waits of one stream, be it of events or a WebSocket. `random` gives from 0 to 1. */
export function createReconnect(random: () => number): Reconnect {
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
    next({ shortest = shortestWait, asked } = {}) {
      if (connectedAt !== undefined && performance.now() - connectedAt > longestWait) failures = 0
      connectedAt = undefined
      return backOff(++failures, Math.max(shortest, floor), longestWait, random(), asked)
    },
  }
}
