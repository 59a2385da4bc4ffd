// Shrinks a failing life: removes happenings from its plan as long as it still fails (ddmin).

import type { Sabotage } from './life.ts'
import type { Happening, Plan } from './plan.ts'
import { type Outcome, simulate } from './simulate.ts'

/** A failing life of which no happening can be removed, and its story. */
export interface Shrunk extends Outcome {
  plan: Plan
  runs: number
}

/** Shrinks a failing life with `mostRuns` runs at most. */
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
    // A happening that was needed before may be removable now that others are gone.
    if (!isSmaller || size > 1) size = size === 1 ? 0 : size >> 1
    if (runs >= mostRuns) break
  }
  const shrunk = { ...plan, happenings }
  return { ...(await simulate(shrunk, sabotage, true)), plan: shrunk, runs }
}
