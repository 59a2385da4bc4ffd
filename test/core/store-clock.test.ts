// Servers with different clocks on one store that has a clock of its own.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { createDaypass } from '../../src/core/daypass.ts'
import type { Store } from '../../src/core/store.ts'
import { createStoreClock } from '../../src/core/store-clock.ts'
import { createMemoryStore } from '../../src/stores/memory.ts'
import { createFakeClock } from '../../src/testing/index.ts'
import type { Warning } from '../../src/warn.ts'
import { day, newKey, refused } from './setup.ts'

const minute = 60
const noWarning = () => assert.fail('a warning')

/** A store with a clock of its own, as an engine on another machine has. */
function createRemoteStore() {
  const time = createFakeClock()
  const store: Store = { ...createMemoryStore(), readClock: async () => time.clock() }
  return { store, time }
}

test('a wrong clock is corrected by the store’s, and a small difference is ignored', async () => {
  const { store, time } = createRemoteStore()
  for (const [off, ahead] of [
    [0, 0],
    [900, 0],
    [-900, 0],
    [1000, 0],
    [1001, -1001],
    [60_000, -60_000],
    [-86_400_000, 86_400_000],
  ] as const) {
    const clock = createStoreClock(
      store,
      () => time.clock() + off,
      () => {},
    )
    await clock.measure()
    assert.equal(clock.ahead(), ahead)
    assert.equal(clock(), time.clock() + off + ahead)
  }
})

test('a difference is corrected only beyond the round trip to the store', async () => {
  for (const [storeNow, ahead] of [
    [9_000, 0],
    [12_000, 7000],
  ] as const) {
    let own = 0
    const slow = {
      async readClock() {
        own += 10_000
        return storeNow
      },
    }
    const clock = createStoreClock(slow, () => own, noWarning)
    await clock.measure()
    assert.equal(clock.ahead(), ahead)
  }
})

test('with a store without a clock, this machine’s clock is used', async () => {
  const clock = createStoreClock(createMemoryStore(), () => 42, noWarning)
  await clock.measure()
  assert.deepEqual([clock(), clock.ahead()], [42, 0])
})

test('a clock that is more than half a minute off, in either direction, gives a warning that says what to do', async () => {
  const { store, time } = createRemoteStore()
  for (const [off, told] of [
    [-29_000, undefined],
    [29_000, undefined],
    [30_000, undefined],
    [30_001, /30 seconds ahead of/],
    [-45_000, /45 seconds behind its database/],
    [45_000, /45 seconds ahead of its database.*NTP/],
  ] as const) {
    const warnings: [string, string][] = []
    await createStoreClock(
      store,
      () => time.clock() + off,
      (code, message) => warnings.push([code, message]),
    ).measure()
    if (told === undefined) assert.deepEqual(warnings, [])
    else {
      assert.equal(warnings.length, 1)
      assert.equal(warnings[0]![0], 'DAYPASS_CLOCK_SKEW')
      assert.match(warnings[0]![1], told)
    }
  }
})

test('a server with a wrong clock warns its operator when it starts, and once a minute after that, also if it only verifies', async () => {
  const { store, time } = createRemoteStore()
  const warnings: Warning[] = []
  const secret = randomBytes(48)
  const exact = createDaypass({ secret, issuer: 'https://id.example', store, clock: time.clock })
  const wrong = createDaypass({
    secret,
    issuer: 'https://id.example',
    store,
    clock: () => time.clock() + 45_000,
    onWarning: (warning) => warnings.push(warning),
  })
  const { accessToken } = await exact.issue('ada')
  await wrong.verify(accessToken)
  for (let minutes = 1; minutes <= 3; minutes++) {
    assert.deepEqual(
      warnings.map(({ code }) => code),
      Array(minutes).fill('DAYPASS_CLOCK_SKEW'),
    )
    for (let i = 0; i < 6; i++) {
      time.advance(10)
      await wrong.verify(accessToken)
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
})

test('a prune with a wrong clock deletes no live session: the earlier of the server’s clock and the store’s decides', async () => {
  for (const [server, database] of [
    [40 * day, 0],
    [0, 40 * day],
  ] as const) {
    const time = createFakeClock()
    const store: Store = { ...createMemoryStore(), readClock: async () => time.clock() + database * 1000 }
    const create = (off: number) =>
      createDaypass({ secret, issuer: 'x', store, clock: () => time.clock() + off * 1000, onWarning: () => {} })
    const secret = randomBytes(48)
    const { refreshToken } = await create(0).issue('ada')
    const wrong = create(server)
    assert.equal(await wrong.prune(), 0)
    assert.equal((await create(0).refresh(refreshToken)).outcome, 'rotated')
  }
})

test('a clock that is wrong for a moment deletes nothing, if the store has no clock', async () => {
  const time = createFakeClock()
  const store = createMemoryStore()
  const auth = createDaypass({ secret: randomBytes(48), issuer: 'x', store, clock: time.clock })
  const people = await Promise.all(Array.from({ length: 20 }, (_, i) => auth.issue(`user-${i}`)))
  const turns = async () => {
    for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve))
  }
  time.advance(40 * day)
  await auth.issue('while it is wrong')
  await turns()
  time.advance(-40 * day)
  for (let minutes = 0; minutes < 3; minutes++) {
    time.advance(minute)
    await auth.issue('ada')
    await turns()
  }
  for (const { refreshToken } of people) assert.equal((await auth.refresh(refreshToken)).outcome, 'rotated')
})

for (const off of [-61, -31, 31, 61, 3600]) {
  test(`a server whose clock is ${off} s off mistakes no lost race for a theft, and no session for expired`, async () => {
    const { store, time } = createRemoteStore()
    const secret = randomBytes(48)
    const serve = (seconds: number) => {
      const machine = () => time.clock() + seconds * 1000
      const clock = createStoreClock(store, machine, () => {})
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

for (const off of [-3600, -61, 61, 3600]) {
  test(`the first request of a server whose clock is ${off} s off uses the store’s clock, and its access token the machine’s`, async (t) => {
    const { store, time } = createRemoteStore()
    const secret = randomBytes(48)
    const serve = () => createDaypass({ secret, issuer: 'https://id.example', store })
    t.mock.method(Date, 'now', () => time.clock() + off * 1000)
    const { refreshToken, session, accessToken } = await serve().issue('ada')
    assert.equal(session.createdAt, time.clock())
    assert.equal((await serve().verify(accessToken)).issuedAt, Math.floor(Date.now() / 1000) * 1000)
    time.advance(10 * minute)
    const renewed = await serve().refresh(refreshToken, { idempotencyKey: newKey() })
    assert.equal(renewed.session.rotatedAt, time.clock())
    assert.equal((await serve().verify(renewed.accessToken)).issuedAt, Math.floor(Date.now() / 1000) * 1000)
    await refused(serve().refresh(refreshToken, { idempotencyKey: newKey() }), 'ERR_REFRESH_SUPERSEDED')
    assert.equal((await serve().sessions('ada')).length, 1)
    // The first request may bring an access token.
    assert.equal((await serve().verify(renewed.accessToken)).subject, 'ada')
    await serve().revoke(session.id)
    assert.equal((await store.find(session.id))!.revokedAt, time.clock())
  })
}

test('a clock that is corrected after the store was opened signs nobody out: the difference is measured again', async () => {
  const { store, time } = createRemoteStore()
  const machine = { off: -3 * 3_600_000, monotonic: 0 }
  const own = () => time.clock() + machine.off
  const clock = createStoreClock(
    store,
    own,
    () => {},
    () => time.clock(),
  )
  assert.equal(clock.settle(), undefined, 'nothing was measured yet')
  await clock.measure()
  assert.equal(clock(), time.clock())
  assert.equal(clock.settle(), undefined)
  machine.off = 0
  await clock.settle()
  assert.deepEqual([clock(), clock.ahead()], [time.clock(), 0])
  // After a minute it is measured in the background.
  time.advance(61)
  machine.off = 5 * 3_600_000
  await clock.settle()
  assert.equal(clock(), time.clock())
})

test('a store that fails to read its clock after the machine’s was set: the call fails, and no decision uses a wrong clock', async () => {
  const { store, time } = createRemoteStore()
  let off = 0
  let isAway = false
  const there = { readClock: async () => (isAway ? Promise.reject(new Error('away')) : store.readClock!()) }
  const clock = createStoreClock(
    there,
    () => time.clock() + off,
    () => {},
    () => time.clock(),
  )
  await clock.measure()
  off = -3_600_000
  isAway = true
  await assert.rejects(async () => clock.settle(), /away/)
  isAway = false
  await clock.settle()
  assert.equal(clock(), time.clock())
})

/** A store clock that counts how often the store's clock is read. Milliseconds. */
async function createCounted() {
  const state = { own: 1_000_000, monotonic: 5000, reads: 0, isAway: false }
  const store = {
    async readClock() {
      state.reads++
      if (state.isAway) throw new Error('away')
      return state.own
    },
  }
  const clock = createStoreClock(
    store,
    () => state.own,
    noWarning,
    () => state.monotonic,
  )
  await clock.measure()
  state.reads = 0
  const pass = (milliseconds: number) => {
    state.own += milliseconds
    state.monotonic += milliseconds
  }
  return { state, clock, pass }
}

test('the store’s clock is read again after a minute, once, and nobody waits for it', async () => {
  const { state, clock, pass } = await createCounted()
  pass(59_999)
  assert.equal(clock.settle(), undefined)
  assert.equal(state.reads, 0)
  pass(1)
  assert.deepEqual([clock.settle(), clock.settle()], [undefined, undefined])
  assert.equal(state.reads, 1)
  await new Promise((resolve) => setImmediate(resolve))
  assert.equal(clock.settle(), undefined)
  assert.equal(state.reads, 1, 'the new measurement counts')
})

test('a store that fails when its clock is read in the background fails no call', async () => {
  const { state, clock, pass } = await createCounted()
  state.isAway = true
  pass(60_000)
  assert.equal(clock.settle(), undefined)
  // An unhandled rejection would fail this file.
  await new Promise((resolve) => setImmediate(resolve))
  assert.equal(state.reads, 1)
})

test('a clock that was set by more than a second is noticed at once', async () => {
  for (const off of [-1001, 1001]) {
    const { state, clock, pass } = await createCounted()
    pass(30_000)
    state.own += off
    assert.ok(clock.settle() instanceof Promise)
  }
  for (const off of [-1000, 1000]) {
    const { state, clock, pass } = await createCounted()
    pass(30_000)
    state.own += off
    assert.equal(clock.settle(), undefined)
    assert.equal(state.reads, 0)
  }
})

test('by default the time that passes is measured with a clock that is never set', async () => {
  let reads = 0
  const store = {
    async readClock() {
      reads++
      return Date.now()
    },
  }
  const clock = createStoreClock(store, Date.now, noWarning)
  await clock.measure()
  assert.equal(clock.settle(), undefined)
  assert.equal(reads, 1)
})

test('a clock that the app provides is used as it is: the store’s clock changes neither rows nor tokens', async () => {
  const time = createFakeClock()
  let reads = 0
  const readClock = async () => {
    reads++
    return time.now() + 3_600_000
  }
  const auth = createDaypass({
    secret: randomBytes(48),
    issuer: 'https://id.example',
    store: { ...createMemoryStore(), readClock },
    clock: time.clock,
    onWarning() {},
  })
  const { session, accessToken, refreshToken } = await auth.issue('ada')
  assert.equal(session.createdAt, time.now())
  const { issuedAt, authTime } = await auth.verify(accessToken)
  assert.deepEqual([issuedAt, authTime], [time.now(), time.now()])
  assert.equal((await auth.update(session.id, { authTime: time.now() }))?.authTime, time.now())
  // The prune reads the store's clock once a minute. A refresh never does.
  await new Promise((resolve) => setImmediate(resolve))
  reads = 0
  time.set(time.now() - 3000)
  await auth.refresh(refreshToken)
  assert.equal(reads, 0)
})

test('a Daypass without a clock of the app’s follows the store’s clock also after the machine’s was set', async (t) => {
  const { store, time } = createRemoteStore()
  let off = 0
  t.mock.method(Date, 'now', () => time.clock() + off)
  const auth = createDaypass({ secret: randomBytes(48), issuer: 'https://id.example', store, onWarning() {} })
  assert.equal((await auth.issue('ada')).session.createdAt, time.clock())
  off = 3_600_000
  assert.equal((await auth.issue('ada')).session.createdAt, time.clock())
})

test('an access token ends with its session, whichever clock is ahead', async (t) => {
  for (const ahead of [-600_000, 600_000]) {
    const time = createFakeClock()
    const store: Store = { ...createMemoryStore(), readClock: async () => time.clock() + ahead }
    t.mock.method(Date, 'now', time.clock)
    const auth = createDaypass({
      secret: randomBytes(48),
      issuer: 'https://id.example',
      store,
      idleTimeout: 1000,
      absoluteTimeout: 1000,
      accessTokenLifetime: 900,
      onWarning() {},
    })
    const { refreshToken } = await auth.issue('ada')
    time.advance(500)
    const { accessToken, expiresIn } = await auth.refresh(refreshToken)
    assert.equal(expiresIn, 500)
    assert.equal((await auth.verify(accessToken)).expiresAt, time.now() + 500_000)
  }
})
