// When do rows go that are long over?

import type { Store } from './types.ts'

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

/**
 * A row stays as long as an access token of it may be about, and for an hour, so that what happened can be looked up.
 *
 * @param setClock Called before each run, where the store has a clock of its own: by a wrong clock, rows of live sessions
 *   would go.
 */
export function createPruner(
  store: Store,
  clock: () => number,
  accessTokenLifetime: number,
  setClock?: () => Promise<void>,
): Pruner {
  const retention = Math.max(accessTokenLifetime + 60_000, 3_600_000)
  let lastRun = clock()
  let running: Promise<number> | undefined
  let stopped = false

  async function steps(): Promise<number> {
    lastRun = clock()
    if (setClock !== undefined) await setClock()
    const before = clock() - retention
    let total = 0
    while (!stopped) {
      const pruned = await store.prune(before, stepSize)
      total += pruned
      if (pruned < stepSize) break
      // Refreshes go first: a pause as long as an event loop's turn between two steps.
      await new Promise((resolve) => setImmediate(resolve))
    }
    return total
  }

  /** One run after another: one that is on looks at an earlier instant than whoever asks now. */
  function run(): Promise<number> {
    const before = running?.catch(() => {}) ?? Promise.resolve()
    const mine: Promise<number> = before.then(steps).finally(() => {
      if (running === mine) running = undefined
    })
    running = mine
    return mine
  }

  return {
    maybe() {
      if (stopped || running !== undefined || clock() - lastRun < every) return
      // Nobody waits for it; a store that is away is told to those who do wait for something.
      run().catch(() => {})
    },
    run,
    async stop() {
      stopped = true
      await running?.catch(() => {})
    },
  }
}
