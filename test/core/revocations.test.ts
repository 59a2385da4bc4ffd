// What does a process hold of the sessions that were ended, and how much of them does it ask for?

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createRevocations } from '../../src/core/revocations.ts'
import { createMemoryStore } from '../../src/stores/memory.ts'

const lifetime = 900_000
/** What is asked for twice over, because clocks differ. */
const overlap = 10_000
const start = Date.UTC(2026, 0, 1)

test('the first look goes back as far as access tokens live, each later one to the last that was answered', async () => {
  const asked: number[] = []
  let isAway = false
  const store = {
    ...createMemoryStore(),
    async revokedSince(since: number) {
      asked.push(since)
      if (isAway) throw new Error('away')
      return []
    },
  }
  const revocations = createRevocations(store, lifetime, 1000)
  await revocations.refresh(start)
  await revocations.refresh(start + 1000)
  isAway = true
  await revocations.refresh(start + 2000)
  isAway = false
  await revocations.refresh(start + 3000)
  await revocations.refresh(start + 2 * lifetime)
  assert.deepEqual(
    asked.map((since) => since + overlap - start),
    [-lifetime, 0, 1000, 1000, lifetime],
  )
})

test('an ended session is held for as long as access tokens live, and then forgotten', async () => {
  const revocations = createRevocations(createMemoryStore(), lifetime, 1000)
  revocations.add('a', start)
  await revocations.refresh(start + lifetime + overlap)
  assert.ok(revocations.has('a'))
  await revocations.refresh(start + lifetime + overlap + 1)
  assert.ok(!revocations.has('a'))
})
