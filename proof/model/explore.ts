// Visits every world within the bounds, breadth first, so a violation is found with the fewest steps.

import { at as elementAt } from '../at.ts'
import { brokenIn } from './properties.ts'
import type { Protocol } from './protocol.ts'
import { stepsOf } from './steps.ts'
import { type Bounds, begin, type World } from './world.ts'
import { nameOf } from './world-name.ts'

/** What an exploration found. */
export interface Explored {
  states: number
  steps: number
  /** The most steps from the beginning to any state. */
  depth: number
  /** Whether every state within the bounds was visited; otherwise it ended at `most` states. */
  isWhole: boolean
  /** The violation with the fewest steps. */
  broken?: { property: string; story: string[] }
}

/** Visits every world within the bounds, and stops at the first violation. */
export function explore(bounds: Bounds, protocol: Protocol, most = Number.POSITIVE_INFINITY): Explored {
  const seen = new Set<string>()
  // How each state was reached: from which state, and by which of its steps. Stories are rebuilt from these.
  const cameFrom: number[] = [-1]
  const byStep: number[] = [-1]
  const first = begin(bounds)
  let level: { world: World; index: number }[] = [{ world: first, index: 0 }]
  seen.add(nameOf(first, bounds))
  let steps = 0
  let depth = 0

  const storyOf = (index: number, last: string): string[] => {
    const path: number[] = []
    for (let at = index; at > 0; at = elementAt(cameFrom, at)) path.unshift(elementAt(byStep, at))
    const story: string[] = []
    let world = begin(bounds)
    for (const number of path) {
      const step = elementAt([...stepsOf(world, bounds, protocol)], number)
      story.push(`${String(world.now).padStart(3)}  ${step.story}`)
      world = step.world
    }
    return [...story, `${String(world.now).padStart(3)}  ${last}`]
  }

  while (level.length > 0) {
    const next: typeof level = []
    for (const { world, index } of level) {
      const broken = brokenIn(world, bounds, protocol)
      if (broken !== undefined) {
        return {
          states: seen.size,
          steps,
          depth,
          isWhole: false,
          broken: { property: broken, story: storyOf(index, broken) },
        }
      }
      let number = -1
      for (const step of stepsOf(world, bounds, protocol)) {
        number++
        steps++
        if (step.broken !== undefined) {
          const story = [...storyOf(index, step.story), `     ${step.broken}`]
          return { states: seen.size, steps, depth, isWhole: false, broken: { property: step.broken, story } }
        }
        const name = nameOf(step.world, bounds)
        if (seen.has(name)) continue
        if (seen.size >= most) return { states: seen.size, steps, depth, isWhole: false }
        seen.add(name)
        cameFrom.push(index)
        byStep.push(number)
        next.push({ world: step.world, index: cameFrom.length - 1 })
      }
    }
    level = next
    if (level.length > 0) depth++
  }
  return { states: seen.size, steps, depth, isWhole: true }
}
