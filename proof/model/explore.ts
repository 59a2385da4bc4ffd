// Does anything that can happen break a property? Breadth first, so that what is found is told in the fewest steps.

import { type Bounds, begin, brokenIn, nameOf, type Protocol, stepsOf, type World } from './world.ts'

/** What an exploration found. */
export interface Explored {
  states: number
  steps: number
  /** The longest way from the beginning to any state. */
  depth: number
  /** Whether all that the bounds allow was seen; else it ended at `most` states. */
  isWhole: boolean
  /** The shortest way to what must not be. */
  broken?: { property: string; story: string[] }
}

/** Visits every world within the bounds, and stops at the first that breaks a property. */
export function explore(bounds: Bounds, protocol: Protocol, most = Number.POSITIVE_INFINITY): Explored {
  const seen = new Set<string>()
  // How each state was reached: from which, by which of its steps. The story is told again from these.
  const cameFrom: number[] = [-1]
  const byStep: number[] = [-1]
  let level: { world: World; index: number }[] = [{ world: begin(bounds), index: 0 }]
  seen.add(nameOf(level[0]!.world, bounds))
  let steps = 0
  let depth = 0

  const storyOf = (index: number, last: string): string[] => {
    const path: number[] = []
    for (let at = index; at > 0; at = cameFrom[at]!) path.unshift(byStep[at]!)
    const story: string[] = []
    let world = begin(bounds)
    for (const number of path) {
      const step = [...stepsOf(world, bounds, protocol)][number]!
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
