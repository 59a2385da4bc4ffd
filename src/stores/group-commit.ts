// Group commit: calls that are in flight together share one commit.

import { unavailable } from './store-error.ts'

/** The result of one call of a batch. */
export type Settled<Result> = { value: Result } | { error: unknown }

/**
 * Collects calls into batches: all calls of one turn of the event loop, and all calls that arrive during the previous
 * batch. An engine that waits for a disk then waits once for all of them.
 *
 * @param commit Runs a batch, and returns the results in the order of the calls. If it throws, every call fails.
 * @param maxBatch How many calls one batch may hold.
 */
export function createGroupCommit<Call, Result>(
  commit: (calls: Call[]) => Settled<Result>[] | Promise<Settled<Result>[]>,
  maxBatch = 1000,
) {
  const waiting: { call: Call; resolve: (result: Result) => void; reject: (error: unknown) => void }[] = []
  let running: Promise<void> | undefined

  async function flush(): Promise<void> {
    while (waiting.length > 0) {
      const batch = waiting.splice(0, maxBatch)
      try {
        const results = await commit(batch.map((entry) => entry.call))
        for (const [index, entry] of batch.entries()) {
          const result = results[index] ?? { error: unavailable('the batch has no result for this call') }
          if ('value' in result) entry.resolve(result.value)
          else entry.reject(result.error)
        }
      } catch (error) {
        for (const entry of batch) entry.reject(error)
      }
    }
    // In the same turn as the loop's last check, so a call that comes now starts a new flush.
    running = undefined
  }

  return {
    /** Resolves when the call's batch is committed. */
    run(call: Call): Promise<Result> {
      return new Promise((resolve, reject) => {
        waiting.push({ call, resolve, reject })
        running ??= new Promise((done) => setImmediate(() => flush().then(done)))
      })
    },
    /** Resolves when no call is waiting or running. */
    async drain(): Promise<void> {
      while (running) await running
    },
  }
}
