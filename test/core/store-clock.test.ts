// Servers whose clocks differ, on one store that has a clock of its own.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { createDaypass } from '../../src/core/daypass.ts'
import { createStoreClock } from '../../src/core/store-clock.ts'
import type { Store } from '../../src/core/types.ts'
import { createMemoryStore } from '../../src/stores/memory.ts'
import { createFakeClock } from '../../src/testing/index.ts'
import { newKey, refused } from './setup.ts'

const minute = 60

/** A store with a clock of its own, as an engine on another machine has. */
function createRemoteStore() {
  const time = createFakeClock()
  const store: Store = { ...createMemoryStore(), now: async () => time.clock() }
  return { store, time }
}

test('a clock that is off is corrected by the store’s, and one that is close is left alone', async () => {
  const { store, time } = createRemoteStore()
  for (const [off, ahead] of [
    [0, 0],
    [900, 0],
    [-900, 0],
    [60_000, -60_000],
    [-86_400_000, 86_400_000],
  ] as const) {
    const clock = createStoreClock(store, () => time.clock() + off)
    await clock.measure()
    assert.equal(clock.ahead(), ahead)
    assert.equal(clock(), time.clock() + off + ahead)
  }
})

test('a difference that the way to the store explains is none', async () => {
  let own = 0
  const slow = {
    async now() {
      own += 10_000
      return 9_000
    },
  }
  const clock = createStoreClock(slow, () => own)
  await clock.measure()
  assert.equal(clock.ahead(), 0)
})

test('a store without a clock leaves this machine’s', async () => {
  const clock = createStoreClock(createMemoryStore(), () => 42)
  await clock.measure()
  assert.deepEqual([clock(), clock.ahead()], [42, 0])
})

for (const off of [-61, -31, 31, 61, 3600]) {
  test(`a server whose clock is ${off} s off takes no lost race for a theft, and no session for expired`, async () => {
    const { store, time } = createRemoteStore()
    const secret = randomBytes(48)
    const serve = (seconds: number) => {
      const machine = () => time.clock() + seconds * 1000
      const clock = createStoreClock(store, machine)
      return { auth: createDaypass({ secret, issuer: 'https://id.example', store, clock }), clock }
    }
    const servers = [serve(0), serve(off)]
    for (const { clock } of servers) await clock.measure()
    for (const [first, second] of [servers, servers.toReversed()]) {
      const { refreshToken } = await first!.auth.issue('ada')
      time.advance(10 * minute)
      const key = newKey()
      const { refreshToken: next, session } = await first!.auth.refresh(refreshToken, { idempotencyKey: key })
      assert.equal(session.rotatedAt, time.clock())
      await refused(second!.auth.refresh(refreshToken, { idempotencyKey: newKey() }), 'ERR_REFRESH_SUPERSEDED')
      await second!.auth.refresh(next, { idempotencyKey: newKey() })
      await refused(first!.auth.refresh(refreshToken, { idempotencyKey: newKey() }), 'ERR_REFRESH_SUPERSEDED')
    }
  })
}
