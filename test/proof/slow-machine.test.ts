// A seed's story does not depend on the machine: neither on its speed nor on its clocks.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { makePlan } from '../../proof/sim/make-plan.ts'
import { simulate } from '../../proof/sim/simulate.ts'

let isSlow = false

// On a slow machine, the threads of Web Crypto take long and both clocks stand still.
const { subtle } = crypto
const verify = subtle.verify.bind(subtle)
subtle.verify = async (...args) => {
  if (isSlow) await sleep(5)
  return verify(...args)
}
for (const owner of [Date, performance]) {
  const now = owner.now.bind(owner)
  const stopped = now()
  owner.now = () => (isSlow ? stopped : now())
}

for (const { seed, about } of [
  { seed: 52, about: 'a request under way while the owner signs out elsewhere' },
  { seed: 108, about: 'a sign-out and a sign-in at the same time' },
]) {
  test(`the story of seed ${seed} is the same on a slow machine with stopped clocks: ${about}`, async () => {
    const storyOf = async () => (await simulate(makePlan(seed, 1), {}, true)).story
    isSlow = false
    const story = await storyOf()
    isSlow = true
    assert.deepEqual(await storyOf(), story)
  })
}
