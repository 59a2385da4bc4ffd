// Does the simulation find nothing where all is well, tell the same story twice, and find what is broken on purpose?
// `npm run sim` lives through many more lives.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Loop } from '../../proof/sim/loop.ts'
import { makePlan, type Plan } from '../../proof/sim/plan.ts'
import { noBadLuck, noLockStep, noResurrection } from '../../proof/sim/properties.ts'
import { shrink } from '../../proof/sim/shrink.ts'
import { type Sabotage, simulate } from '../../proof/sim/world.ts'
import type { Advance } from '../../src/core/store.ts'

test('a hundred days hold: nobody is signed out by bad luck, no thief goes on', { timeout: 300_000 }, async (t) => {
  let [refreshes, faults, caught] = [0, 0, 0]
  for (let seed = 1; seed <= 100; seed++) {
    const { broken, tally } = await simulate(makePlan(seed, 1))
    assert.equal(broken, undefined, `seed ${seed}: ${broken?.message}; npm run sim -- --seed ${seed}`)
    refreshes += tally.refreshes!
    caught += tally['thieves caught']!
    for (const [name, times] of Object.entries(tally)) if (name.startsWith('fault: ')) faults += times
  }
  t.diagnostic(`${refreshes} refreshes, ${faults} faults, ${caught} thieves caught`)
  assert.ok(refreshes > 2000 && faults > 1000 && caught > 10, 'it was not nothing')
})

test('one seed is one story', async () => {
  const stories = [1, 2].map(() => simulate(makePlan(7, 1), {}, true).then(({ story }) => story.join('\n')))
  // At once: what one does is nothing to the other.
  const [first, second] = await Promise.all(stories)
  assert.equal(first, second)
  const { story } = await simulate(makePlan(7, 1), {}, true)
  assert.equal(story.join('\n'), first)
  assert.ok(story.length > 50)
  assert.notEqual((await simulate(makePlan(8, 1), {}, true)).story.join('\n'), first)
})

const change = (text: string, edit: (memory: any) => void): string => {
  const memory = JSON.parse(text)
  edit(memory)
  return JSON.stringify(memory)
}

/** The rule of old: whoever repeats his refresh is forgiven for another interval. */
function renewedByReplays(): Sabotage['store'] {
  /** When each session was replayed last, by its id and generation; ids are the same in every run of a seed. */
  let life: Loop | undefined
  let replayedAt = new Map<string, number>()
  return (store, loop) => {
    if (life !== loop) [life, replayedAt] = [loop, new Map()]
    let asked: Advance | undefined
    return {
      ...store,
      advance(step) {
        asked = step
        return store.advance(step)
      },
      async find(id) {
        const step = asked
        const row = await store.find(id)
        if (row === null) return null
        const name = `${id} ${row.generation}`
        if (step?.id === id && step.key && row.parentKey && Buffer.from(step.key).equals(row.parentKey)) {
          replayedAt.set(name, step.now)
        }
        return { ...row, rotatedAt: Math.max(row.rotatedAt, replayedAt.get(name) ?? 0) }
      },
    }
  }
}

/** The same life with servers whose clocks are a minute apart, and a reuse interval of half of that. */
function clocksApart(plan: Plan, storeHasClock: boolean): Plan {
  const largestSkew = 29_500
  const servers = plan.servers.map(({ settings }, number) => ({
    offset: number % 2 === 0 ? largestSkew : -largestSkew,
    drift: 0,
    settings: { ...settings, reuseInterval: 30 },
  }))
  const happenings = plan.happenings.filter(({ what }) => !['deploy', 'clock set', 'theft'].includes(what))
  return { ...plan, largestSkew, storeHasClock, servers, happenings }
}

interface Case {
  name: string
  property: string
  from: number
  sabotage?: Sabotage
  /** What is otherwise than assumed. */
  change?: (plan: Plan) => Plan
}

const sabotaged: Case[] = [
  {
    name: 'a client that does not write its key down',
    property: noBadLuck,
    from: 1,
    sabotage: { remember: (text) => change(text, (memory) => delete memory.key) },
  },
  {
    name: 'a client that takes any failure for the end',
    property: noBadLuck,
    from: 10,
    sabotage: {
      answer: (answer) =>
        answer.status < 500
          ? answer
          : { ...answer, status: 401, body: '{"error":"invalid_grant","code":"ERR_SESSION_REVOKED"}' },
    },
  },
  {
    name: 'a server that forgets bursts',
    property: noBadLuck,
    from: 60,
    sabotage: {
      store: (store) => ({
        ...store,
        async find(id) {
          const row = await store.find(id)
          return row && { ...row, burstGeneration: row.generation, prevBurstGeneration: row.generation }
        },
      }),
    },
  },
  {
    name: 'a replay that renews the time for which a lost race is forgiven',
    property: noLockStep,
    from: 1,
    sabotage: { store: renewedByReplays() },
  },
  {
    name: 'a token that was overtaken long ago and gets a sibling still',
    property: noLockStep,
    from: 1,
    sabotage: {
      store(store) {
        let asked: Advance | undefined
        return {
          ...store,
          advance(step) {
            asked = step
            return store.advance(step)
          },
          async find(id) {
            const row = await store.find(id)
            if (row === null || asked?.id !== id || asked.key !== null || row.parentKey !== null) return row
            return { ...row, parentSalt: asked.salt, generation: asked.generation + 1 }
          },
        }
      },
    },
  },
  {
    name: 'clocks that are further apart than the reuse interval, and a store without one',
    property: noBadLuck,
    from: 85,
    change: (plan) => clocksApart(plan, false),
  },
  {
    name: 'a secret that is replaced at once',
    property: noBadLuck,
    from: 1,
    change: (plan) => ({
      ...plan,
      happenings: plan.happenings.map((each) => (each.what === 'rotate secret' ? { ...each, dropAfter: 0 } : each)),
    }),
  },
  {
    name: 'a store that redeems a token again',
    property: noLockStep,
    from: 1,
    sabotage: {
      store: (store) => ({
        ...store,
        async advance(step) {
          const advanced = await store.advance(step)
          const row = advanced ? null : await store.find(step.id)
          return row ? store.advance({ ...step, generation: row.generation }) : advanced
        },
      }),
    },
  },
  {
    name: 'a store that says it ended a session, and did not',
    property: noResurrection,
    from: 67,
    sabotage: {
      store: (store) => ({
        ...store,
        async revoke(id, now, reason) {
          const row = await store.find(id)
          return row && { ...row, revokedAt: now, revokedReason: reason }
        },
      }),
    },
  },
  {
    name: 'a store that moves the absolute expiry',
    property: noResurrection,
    from: 1,
    sabotage: {
      store: (store) => ({
        ...store,
        async advance(step) {
          const advanced = await store.advance(step)
          return (
            advanced && { ...advanced, session: { ...advanced.session, expiresAt: advanced.session.expiresAt + 1 } }
          )
        },
      }),
    },
  },
]

// Each begins near a seed that finds it, to save CI the way there.
for (const { name, property, from, sabotage, change = (plan: Plan) => plan } of sabotaged) {
  test(`found: ${name}`, { timeout: 240_000 }, async (t) => {
    for (let seed = from; seed < from + 300; seed++) {
      const plan = change(makePlan(seed, 1))
      const { broken } = await simulate(plan, sabotage)
      if (broken?.name !== property) continue
      const shrunk = await shrink(plan, sabotage, 150)
      t.diagnostic(`seed ${seed}, ${plan.happenings.length} happenings to ${shrunk.plan.happenings.length}`)
      t.diagnostic(shrunk.story.join('\n'))
      assert.equal(shrunk.broken?.name, property)
      assert.ok(shrunk.plan.happenings.length <= 8, 'the story is short')
      return
    }
    assert.fail('300 seeds, and nothing was found')
  })
}

test('servers whose clocks are a minute apart follow the clock of the store: nothing is found', {
  timeout: 120_000,
}, async () => {
  for (let seed = 70; seed <= 100; seed++) {
    const { broken } = await simulate(clocksApart(makePlan(seed, 1), true))
    assert.equal(broken, undefined, `seed ${seed}: ${broken?.message}`)
  }
})
