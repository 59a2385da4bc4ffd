// When do rows go that are long over?

import { maxAccessTokenLifetime } from './options.ts'
import type { Store } from './store.ts'

/** Deletes old rows now and then, without a timer of its own. */
export interface Pruner {
  /** Begins a run in the background where the last one is a while ago. */
  maybe(): void
  /** Deletes all that is due, in steps; how many rows went. */
  run(): Promise<number>
  /** Waits for a run that is on, and begins none any more. */
  stop(): Promise<void>
}

const every = 60_000
const stepSize = 500

/** A row stays as long as an access token of it may be good, whatever lifetime was set when it was made. */
const retention = maxAccessTokenLifetime * 1000 + 120_000

/**
 * By a wrong clock, rows of live sessions would go. So the earliest of the clocks that there are decides, and a run in the
 * background deletes only what was over at the run before it: a clock that is wrong for a moment deletes nothing.
 *
 * @param clock The clock of the rows.
 * @param measure Compares the machine's clock with the store's, where it has one; gives the earlier of the two.
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

  /** One run after another: one that is on looks at an earlier instant than whoever asks now. */
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
      // Nobody waits for it; a store that is away is told to those who do wait for something.
      run(lastRun).catch(() => {})
    },
    run: () => run(),
    async stop() {
      stopped = true
      await running?.catch(() => {})
    },
  }
}
