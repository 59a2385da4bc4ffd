// simulate(): runs one life from its plan to its end.

import { endLife } from './ending.ts'
import { carryOut } from './happenings.ts'
import { createLife, type Sabotage } from './life.ts'
import type { Plan } from './plan.ts'
import type { Tally, Violation } from './properties.ts'
import { installRealms } from './realm.ts'
import { startServer } from './server.ts'
import { minute } from './time.ts'

export interface Outcome {
  broken: Violation | undefined
  tally: Tally
  /** Empty unless a story was wanted. */
  story: string[]
}

export async function simulate(plan: Plan, sabotage: Sabotage = {}, wantsStory = false): Promise<Outcome> {
  installRealms()
  const life = createLife(plan, sabotage, wantsStory)
  const { loop, checker, story } = life
  for (const host of life.hosts) life.servers.push(startServer(life, host))
  for (const happening of plan.happenings) loop.after(happening.at, () => carryOut(life, happening))
  const length = plan.happenings.at(-1)?.at ?? 0
  for (let passed = 0; passed < length && !checker.broken; passed += minute) await loop.run(minute)
  if (!checker.broken) await endLife(life)
  // Nothing that is still under way has any effect.
  for (const device of life.devices) for (const tab of device.tabs) if (tab) tab.isDead = true
  const { broken, tally } = checker
  if (broken) life.tell(`${broken.name}: ${broken.message}`)
  return { broken, tally, story }
}
