// What is the least that has to happen for a run to fail? Happenings are crossed off as long as it still does (ddmin).

import type { Happening, Plan } from './plan.ts'
import { type Outcome, type Sabotage, simulate } from './world.ts'

/** A failing run with nothing in it that can be left out, and its story. */
export interface Shrunk extends Outcome {
  plan: Plan
  runs: number
}

/** Shrinks a failing run; `mostRuns` bounds how long that may take. */
export async function shrink(plan: Plan, sabotage?: Sabotage, mostRuns = 600): Promise<Shrunk> {
  const { broken } = await simulate(plan, sabotage)
  let { happenings } = plan
  let runs = 0

  /** Whether the same property still fails. */
  async function fails(left: Happening[]): Promise<boolean> {
    if (runs++ >= mostRuns) return false
    const outcome = await simulate({ ...plan, happenings: left }, sabotage)
    return outcome.broken?.name === broken?.name
  }

  for (let size = happenings.length >> 1; size >= 1; ) {
    let isSmaller = false
    for (let at = 0; at < happenings.length; ) {
      const left = [...happenings.slice(0, at), ...happenings.slice(at + size)]
      if (await fails(left)) {
        happenings = left
        isSmaller = true
      } else at += size
    }
    // What could not go before may go now that something else has.
    if (!isSmaller || size > 1) size = size === 1 ? 0 : size >> 1
    if (runs >= mostRuns) break
  }
  const shrunk = { ...plan, happenings }
  return { ...(await simulate(shrunk, sabotage, true)), plan: shrunk, runs }
}
