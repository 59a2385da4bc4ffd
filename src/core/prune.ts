// Deletes sessions that ended long ago.

import { maxAccessTokenLifetime } from './lifetimes.ts'
import type { Store } from './store.ts'

/** Deletes old rows from time to time, without a timer of its own. */
export interface Pruner {
  /** Begins a run in the background if the last one began a minute ago or more. */
  maybe(): void
  /** Deletes all rows that are due, in steps. Returns how many were deleted. */
  run(): Promise<number>
  /** Waits for the current run, and begins no other. */
  stop(): Promise<void>
}

const every = 60_000
const stepSize = 500

/** A row stays as long as one of its access tokens may be valid, whatever lifetime the token was issued with. */
const retention = maxAccessTokenLifetime * 1000 + 120_000

/**
 * A wrong clock must not delete rows of live sessions. So the earliest of the available clocks decides, and a background
 * run deletes only rows that were due at the run before it: a clock that is wrong for a moment deletes nothing.
 *
 * @param clock The clock of the rows.
 * @param measure Compares the machine's clock with the store's, if the store has one, and returns the earlier of the two.
 */
export function createPruner(store: Store, clock: () => number, measure?: () => Promise<number>): Pruner {
  let lastRun = clock()
  let running: Promise<number> | undefined
  let stopped = false

  async function steps(limit: number): Promise<number> {
    lastRun = clock()
    const measured = measure === undefined ? Number.POSITIVE_INFINITY : await measure()
    const before = Math.min(limit, clock(), measured) - retention
    let total = 0
    while (!stopped) {
      const pruned = await store.prune(before, stepSize)
      total += pruned
      if (pruned < stepSize) break
      // Pause for one turn of the event loop between two steps, so that refreshes go first.
      await new Promise((resolve) => setTimeout(resolve))
    }
    return total
  }

  /** Runs are sequential: the current run uses an earlier instant than this caller needs. */
  function run(limit = Number.POSITIVE_INFINITY): Promise<number> {
    const before = running?.catch(() => {}) ?? Promise.resolve()
    const mine: Promise<number> = before
      .then(() => steps(limit))
      .finally(() => {
        if (running === mine) running = undefined
      })
    running = mine
    return mine
  }

  return {
    maybe() {
      if (stopped || running !== undefined || Math.abs(clock() - lastRun) < every) return
      // No caller waits for this run. If the store is unavailable, the calls that do wait report it.
      run(lastRun).catch(() => {})
    },
    run: () => run(),
    async stop() {
      stopped = true
      await running?.catch(() => {})
    },
  }
}
