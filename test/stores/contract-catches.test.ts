// Broken stores fail the contract. Each store here breaks one rule.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { childSalt } from '../../src/core/refresh-token.ts'
import { applyChanges, type Session } from '../../src/core/session.ts'
import { createMemoryStore } from '../../src/stores/memory.ts'
import { runConcurrencyKit, type Store, type StoreHarness, storeContract } from '../../src/testing/index.ts'
import { memoryHarness } from './harness.ts'

const turn = () => new Promise((resolve) => setImmediate(resolve))

/** A memory store whose rows can be changed behind the contract. */
function openBroken() {
  const rows = new Map<string, Session>()
  const good = createMemoryStore()
  const change = async (id: string, members: Partial<Session>) => {
    rows.set(id, { ...((await store.find(id)) as Session), ...members })
  }
  const store: Store = { ...good, find: async (id) => rows.get(id) ?? good.find(id) }
  return { store, good, change }
}

const broken: Record<string, (store: Store, good: Store, change: ReturnType<typeof openBroken>['change']) => void> = {
  'looks first and writes after': (store, good) => {
    // Find and save in two steps: every caller that reads before the first write wins.
    const answers = new Map<string, Promise<unknown>>()
    store.advance = async (step) => {
      const name = `${step.id} ${step.generation}`
      const first = answers.get(name) ?? good.advance(step)
      answers.set(name, first)
      await turn()
      return first as ReturnType<Store['advance']>
    }
  },
  'advances a revoked session': (store, good) => {
    store.revoke = async (id) => good.find(id)
  },
  'forgets the reason': (store, good) => {
    store.revoke = (id, now) => good.revoke(id, now, 'admin')
  },
  'lets the last reason win': (store, good, change) => {
    store.revoke = async (id, now, reason) => {
      await change(id, { revokedAt: now, revokedReason: reason })
      return good.revoke(id, now, reason)
    }
  },
  'extends the absolute expiry': (store, good) => {
    store.advance = async (step) => {
      const advanced = await good.advance(step)
      return advanced && { ...advanced, session: { ...advanced.session, expiresAt: step.now + step.idleTimeout } }
    }
  },
  'does not cap the idle expiry': (store, good) => {
    store.advance = async (step) => {
      const advanced = await good.advance(step)
      const idleExpiresAt = step.now + step.idleTimeout
      return advanced && { ...advanced, session: { ...advanced.session, idleExpiresAt } }
    }
  },
  'ignores the idle timeout of the session’s own': (store, good) => {
    store.advance = async (step) => {
      const advanced = await good.advance(step)
      if (advanced === null) return null
      const idleExpiresAt = Math.min(step.now + step.idleTimeout, advanced.session.expiresAt)
      return { ...advanced, session: { ...advanced.session, idleExpiresAt } }
    }
  },
  'forgets that a cookie ends with the browser': (store, good) => {
    store.create = (session) => good.create({ ...session, persistent: true })
  },
  'advances only the exact generation and heals nothing': (store, good) => {
    store.advance = async (step) => {
      const row = await good.find(step.id)
      return row?.generation === step.generation ? good.advance(step) : null
    }
  },
  'never returns `healed: true`': (store, good) => {
    store.advance = async (step) => {
      const advanced = await good.advance(step)
      return advanced && { ...advanced, healed: false }
    }
  },
  'is a millisecond late at expiry': (store, good) => {
    store.advance = (step) => good.advance({ ...step, now: step.now - 1 })
  },
  'begins a burst with every rotation': (store, good) => {
    store.advance = (step) => good.advance({ ...step, reuseInterval: 0 })
  },
  'begins a burst with the row’s own generation': (store, good) => {
    store.advance = async (step) => {
      const advanced = await good.advance(step)
      if (advanced === null || advanced.session.burstAt !== step.now) return advanced
      return { ...advanced, session: { ...advanced.session, burstGeneration: advanced.session.burstGeneration + 1 } }
    }
  },
  'writes the whole row at an update': (store, _good, change) => {
    store.update = async (id, _now, changes) => {
      const row = await store.find(id)
      await turn()
      if (row === null || row.revokedAt !== null) return null
      await change(id, applyChanges(row, changes))
      return store.find(id)
    }
  },
  'updates an expired session': (store, good) => {
    store.update = (id, _now, changes) => good.update(id, 0, changes)
  },
  'updates nothing': (store, good) => {
    store.update = (id) => good.find(id)
  },
  'cannot remove a label': (store, good) => {
    store.update = (id, now, { label, ...changes }) => good.update(id, now, { ...changes, label: label ?? 'unnamed' })
  },
  'keeps no key': (store, good) => {
    store.advance = (step) => good.advance({ ...step, key: null })
  },
  'ends the excepted session too': (store, good) => {
    store.revokeSubject = (subject, now, reason) => good.revokeSubject(subject, now, reason)
  },
  'lists the expired': (store, good) => {
    store.list = (subject, now) => good.list(subject, now - 1, 100)
  },
  'lists in any order': (store, good) => {
    store.list = async (subject, now) => (await good.list(subject, now, 100)).reverse()
  },
  'returns only the revocations after the instant': (store, good) => {
    store.revokedSince = (since) => good.revokedSince(since + 1)
  },
  'prunes without a limit': (store, good) => {
    store.prune = (before) => good.prune(before, Number.POSITIVE_INFINITY)
  },
  'prunes live sessions': (store, good) => {
    store.prune = (before, limit) => good.prune(before + 3_600_000, limit)
  },
  'hands out its own rows': (store) => {
    const kept = new Map<string, Session>()
    const find = store.find
    store.find = async (id) => {
      const row = kept.get(id) ?? (await find(id))
      if (row !== null) kept.set(id, row)
      return row
    }
  },
}

for (const [name, breakIt] of Object.entries(broken)) {
  test(`a store that ${name} fails the contract`, async () => {
    const harness: StoreHarness = {
      ...memoryHarness(),
      open: async () => {
        const { store, good, change } = openBroken()
        breakIt(store, good, change)
        return store
      },
      rawRows: async () => [],
    }
    const failures: string[] = []
    for (const rule of storeContract) {
      // Skip the rule that searches raw rows, because this harness returns none.
      if (rule.name.startsWith('after a life')) continue
      await rule.run(harness).catch(() => failures.push(rule.name))
    }
    assert.notDeepEqual(failures, [])
  })
}

test('an engine that holds any part of a live token fails the contract', async () => {
  const rule = storeContract.find((each) => each.name.startsWith('after a life'))!
  const good = memoryHarness()
  for (const spell of [
    (salt: Uint8Array) => salt,
    (salt: Uint8Array) => `{"salt":"${Buffer.from(salt).toString('base64')}"}`,
    (salt: Uint8Array) => `x${Buffer.from(salt).toString('hex')}`,
  ]) {
    const leaky: StoreHarness = {
      ...good,
      async rawRows(store) {
        const [row] = await store.list('subject-1', 0, 100)
        return [...(await good.rawRows(store)), spell(childSalt(row!, row!.parentKey!, row!.parentSalt!))]
      },
    }
    await assert.rejects(rule.run(leaky), /the engine holds the salt of the live token/)
  }
  await rule.run(good)
})

test('a store that reads and then writes, in two steps, fails the concurrency kit', async () => {
  const good = createMemoryStore()
  const store: Store = {
    ...good,
    async advance(step) {
      const row = await good.find(step.id)
      await turn()
      if (row === null || row.generation > step.generation) return null
      const now = await good.find(step.id)
      // Write over any change that happened since the read.
      const healed = { ...step, generation: Math.max(step.generation, now!.generation) }
      return good.advance(healed)
    },
  }
  await assert.rejects(runConcurrencyKit({ stores: [store], patience: 0.3 }), /With seed \d+, \d+ things wrong/)
})

test('a store that sometimes loses a row fails the concurrency kit', async () => {
  const good = createMemoryStore()
  let calls = 0
  const store: Store = { ...good, advance: async (step) => (++calls % 500 === 0 ? null : good.advance(step)) }
  store.find = async (id) => (calls % 500 === 0 ? null : good.find(id))
  await assert.rejects(runConcurrencyKit({ stores: [store] }), /signed out by bad luck/)
})

test('if all clients are signed out, the kit ends with an error, even if `meanwhile` never settles', {
  timeout: 20_000,
}, async () => {
  const good = createMemoryStore()
  let calls = 0
  const store: Store = { ...good, advance: async (step) => (++calls > 100 ? null : good.advance(step)) }
  store.find = async (id) => (calls > 100 ? null : good.find(id))
  const meanwhile = () => new Promise<void>(() => {})
  await assert.rejects(runConcurrencyKit({ stores: [store], meanwhile }), /signed out by bad luck/)
})

test('an error that is not a DaypassError ends the kit at once, and is thrown unchanged', {
  timeout: 20_000,
}, async () => {
  const good = createMemoryStore()
  let calls = 0
  const store: Store = {
    ...good,
    async advance(step) {
      if (++calls > 100) throw new RangeError('the store’s own')
      return good.advance(step)
    },
  }
  const meanwhile = () => new Promise<void>(() => {})
  await assert.rejects(runConcurrencyKit({ stores: [store], meanwhile }), /the store’s own/)
})
