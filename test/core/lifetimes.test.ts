// Lifetimes: expiry, clocks that are set back, presets and pruning.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { accessTokenLifetimeOf } from '../../src/core/lifetimes.ts'
import { nist } from '../../src/core/options.ts'
import { createMemoryStore } from '../../src/stores/memory.ts'
import { createSqliteStore } from '../../src/stores/sqlite.ts'
import { findRow } from '../../src/testing/store-harness.ts'
import { createRig, day, hour, minute, newKey, onEachStore, refused, spyOn } from './setup.ts'

const short = { idleTimeout: hour, absoluteTimeout: 3 * hour, accessTokenLifetime: 5 * minute }

onEachStore(
  'idle: a session lives to the last millisecond of its idle timeout, and not to the next',
  short,
  async (rig) => {
    const { auth, time } = rig
    const { refreshToken, session } = await auth.issue('user-1')
    assert.equal(session.idleExpiresAt - session.createdAt, hour * 1000)
    time.advance(hour - 0.001)
    const next = await auth.refresh(refreshToken, { idempotencyKey: newKey() })
    assert.equal(next.session.idleExpiresAt, time.now() + hour * 1000, 'a refresh extends it')
    time.advance(hour)
    await refused(auth.refresh(next.refreshToken), 'ERR_SESSION_EXPIRED', 'invalid_grant')
    assert.deepEqual(await auth.sessions('user-1'), [])
  },
)

onEachStore(
  'absolute: no refresh extends it; the idle end and the access token never lie beyond it',
  short,
  async (rig) => {
    const { auth, time } = rig
    const first = await auth.issue('user-1')
    const end = first.session.expiresAt
    let live = first.refreshToken
    for (let at = 0; at < 3 * hour - 10 * minute; at += 10 * minute) {
      time.advance(10 * minute)
      const next = await auth.refresh(live, { idempotencyKey: newKey() })
      live = next.refreshToken
      assert.equal(next.session.expiresAt, end)
      assert.ok(next.session.idleExpiresAt <= end)
    }
    time.set(end - 90_500)
    const last = await auth.refresh(live, { idempotencyKey: newKey() })
    assert.equal(last.expiresIn, 91, 'rounded up to whole seconds')
    assert.ok((await auth.verify(last.accessToken)).expiresAt - end < 1000)
    assert.equal(last.session.idleExpiresAt, end)
    time.set(end)
    await refused(auth.refresh(last.refreshToken), 'ERR_SESSION_EXPIRED', 'invalid_grant')
  },
)

onEachStore('a clock that is set back revives no session that was found expired', short, async (rig) => {
  const { auth, time, events } = rig
  const { refreshToken } = await auth.issue('user-1')
  time.advance(hour)
  await refused(auth.refresh(refreshToken), 'ERR_SESSION_EXPIRED')
  time.advance(-hour)
  await refused(auth.refresh(refreshToken), 'ERR_SESSION_EXPIRED', 'invalid_grant')
  assert.deepEqual(await auth.sessions('user-1'), [])
  assert.deepEqual(
    events.map((event) => event.type),
    ['issued', 'expired'],
    'told once',
  )
})

onEachStore(
  'a clock that is set back an hour signs nobody out, and thefts are still detected afterwards',
  {},
  async (rig) => {
    const { auth, time } = rig
    const { refreshToken } = await auth.issue('user-1')
    const second = await auth.refresh(refreshToken, { idempotencyKey: newKey() })
    time.advance(-hour)
    const third = await auth.refresh(second.refreshToken, { idempotencyKey: newKey() })
    assert.equal(third.outcome, 'rotated')
    await refused(auth.refresh(refreshToken, { idempotencyKey: newKey() }), 'ERR_REFRESH_SUPERSEDED')
    time.advance(hour + 31)
    await refused(auth.refresh(refreshToken, { idempotencyKey: newKey() }), 'ERR_REFRESH_TOKEN_REUSED')
  },
)

onEachStore('a revoked session stays revoked at any time of the clock', {}, async (rig) => {
  const { auth, time } = rig
  const { refreshToken, session } = await auth.issue('user-1')
  await auth.revoke(session.id)
  for (const seconds of [-day, 2 * day, 100 * day]) {
    time.advance(seconds)
    await refused(auth.refresh(refreshToken), 'ERR_SESSION_REVOKED', 'invalid_grant')
  }
})

onEachStore('an access token expires at the exact second of its exp', { accessTokenLifetime: 2 }, async (rig) => {
  const { auth, time } = rig
  const { accessToken, expiresIn } = await auth.issue('user-1')
  assert.equal(expiresIn, 2)
  time.advance(1.999)
  assert.ok(await auth.verify(accessToken))
  time.advance(0.001)
  await refused(auth.verify(accessToken), 'ERR_ACCESS_TOKEN_EXPIRED', 'invalid_token')
  time.advance(-1)
  assert.ok(await auth.verify(accessToken), 'the clock that was set back counts: nothing was revoked')
})

const levels = [
  ['AAL1: 30 days', nist.aal1, 30 * day, 30 * day],
  ['AAL2: 24 hours, 1 hour idle', nist.aal2, day, hour],
  ['AAL3: 12 hours, 15 minutes idle', nist.aal3, 12 * hour, 15 * minute],
] as const
for (const [name, preset, absolute, idle] of levels) {
  test(`NIST SP 800-63B-4 ${name}`, async () => {
    const { auth, time } = createRig(createMemoryStore(), preset)
    const { session, refreshToken } = await auth.issue('user-1')
    assert.equal(session.expiresAt - time.now(), absolute * 1000)
    assert.equal(session.idleExpiresAt - time.now(), idle * 1000)
    time.advance(idle - 1)
    const { refreshToken: next } = await auth.refresh(refreshToken)
    time.advance(idle)
    await refused(auth.refresh(next), 'ERR_SESSION_EXPIRED')

    // It ends even if it is used all the time.
    const busy = await auth.issue('user-2')
    const end = busy.session.expiresAt
    for (let live = busy.refreshToken; ; ) {
      time.advance(Math.min(idle, absolute / 4) - 1)
      if (time.now() >= end) {
        await refused(auth.refresh(live), 'ERR_SESSION_EXPIRED')
        break
      }
      live = (await auth.refresh(live)).refreshToken
    }
  })
}

onEachStore(
  'prune deletes sessions that ended long ago, and no row that an access token may still need',
  short,
  async (rig) => {
    const { auth, time, store } = rig
    const ended = await auth.issue('user-1')
    await auth.revoke(ended.session.id)
    const idle = await auth.issue('user-2')
    time.advance(hour)
    const live = await auth.issue('user-3')
    // A day and two minutes, whatever is set: tokens may have been issued before a deploy, with another setting.
    time.advance(day - hour + 2 * minute)
    assert.equal(await auth.prune(), 0)
    assert.ok(await store.find(ended.session.id))
    time.advance(0.001)
    assert.equal(await auth.prune(), 1)
    assert.equal(await store.find(ended.session.id), null)
    await refused(auth.refresh(ended.refreshToken), 'ERR_SESSION_UNKNOWN', 'invalid_grant')
    time.advance(hour)
    assert.equal(await auth.prune(), 1)
    assert.equal(await store.find(idle.session.id), null)
    assert.ok(await store.find(live.session.id))
  },
)

onEachStore('pruning runs by itself, in the background, in steps of 500', short, async (rig) => {
  const { time, store } = rig
  const spy = spyOn(store)
  const auth = rig.another({ store: spy.store })
  const prunes = () => spy.calls.filter((call) => call === 'prune').length
  const turns = async () => {
    // A prune pauses with a timer between two steps.
    for (let i = 0; i < 50; i++) await new Promise((resolve) => setTimeout(resolve))
  }
  for (let i = 0; i < 1200; i++) await auth.issue(`user-${i}`)
  time.advance(3 * day)
  spy.calls.length = 0
  await auth.issue('fresh')
  await turns()
  assert.equal(prunes(), 1, 'nothing is deleted before the clock was confirmed')
  time.advance(minute)
  await auth.issue('fresh')
  await turns()
  assert.equal(prunes(), 4, '500, 500, 200')
  // Not again before a minute has passed.
  const { refreshToken } = await auth.issue('fresh')
  await auth.refresh(refreshToken)
  await turns()
  assert.equal(prunes(), 4)
  time.advance(minute)
  await auth.issue('fresh')
  await turns()
  assert.equal(prunes(), 5)
  assert.equal((await auth.sessions('fresh')).length, 4)
})

onEachStore('a prune that fails in the background fails no refresh', short, async (rig) => {
  const { time, store } = rig
  const spy = spyOn(store)
  const auth = rig.another({ store: spy.store })
  const { refreshToken } = await auth.issue('user-1')
  spy.before((call) => {
    if (call === 'prune') throw new Error('the disk is on fire')
  })
  time.advance(2 * minute)
  assert.equal((await auth.refresh(refreshToken)).outcome, 'rotated')
  await new Promise((resolve) => setImmediate(resolve))
  assert.ok(spy.calls.includes('prune'))
})

test('a prune that is called during a background prune runs after it, with its own instant', async () => {
  const { store, time, another } = createRig(createMemoryStore(), short)
  const spy = spyOn(store)
  const auth = another({ store: spy.store })
  await auth.issue('user-1')
  const gate = Promise.withResolvers<void>()
  spy.before((call) => (call === 'prune' ? gate.promise : undefined))
  time.advance(2 * minute)
  const { session } = await auth.issue('user-2')
  assert.ok(spy.calls.includes('prune'))
  time.advance(2 * day)
  const asked = auth.prune()
  gate.resolve()
  assert.equal(await asked, 2)
  assert.equal(await store.find(session.id), null)
})

test('during a background prune no other begins; after close none goes on', async () => {
  const { store, time, another } = createRig(createMemoryStore(), short)
  const spy = spyOn(store)
  const auth = another({ store: spy.store })
  const prunes = () => spy.calls.filter((call) => call === 'prune').length
  const turns = async () => {
    for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve))
  }
  for (let i = 0; i < 1200; i++) await auth.issue(`user-${i}`)
  let gate = Promise.withResolvers<void>()
  spy.before((call) => (call === 'prune' ? gate.promise : undefined))
  time.advance(2 * minute)
  for (let i = 0; i < 3; i++) {
    await auth.issue('user')
    time.advance(2 * minute)
  }
  assert.equal(prunes(), 1)
  gate.resolve()
  await turns()
  assert.equal(prunes(), 1)

  // A prune of several steps finishes its current step.
  time.advance(2 * day)
  await auth.issue('user')
  await turns()
  assert.equal(prunes(), 2)
  gate = Promise.withResolvers<void>()
  time.advance(2 * minute)
  await auth.issue('user')
  assert.equal(prunes(), 3)
  const closed = auth.close()
  gate.resolve()
  await closed
  await turns()
  assert.equal(prunes(), 3)
})

test('close waits for the current prune, and closes the store once', async () => {
  const { store, time, another } = createRig(createMemoryStore(), short)
  const spy = spyOn(store)
  const auth = another({ store: spy.store })
  await auth.issue('user-1')
  const gate = Promise.withResolvers<void>()
  spy.before((call) => (call === 'prune' ? gate.promise : undefined))
  time.advance(2 * minute)
  await auth.issue('user-1')
  const closed = auth.close()
  await new Promise((resolve) => setImmediate(resolve))
  assert.ok(!spy.calls.includes('close'))
  gate.resolve()
  await closed
  assert.equal(spy.calls.filter((call) => call === 'close').length, 1)
})

onEachStore('the row never changes size: fifty refreshes keep one row with one parent', {}, async (rig) => {
  const { auth, store, time } = rig
  let { refreshToken: live, session } = await auth.issue('user-1')
  const keys = Object.keys(await findRow(store, session.id)).length
  for (let i = 0; i < 50; i++) live = (await auth.refresh(live, { idempotencyKey: newKey() })).refreshToken
  const row = await findRow(store, session.id)
  assert.equal(Object.keys(row).length, keys)
  assert.equal(row.parentSalt?.length, 8)
  assert.equal(row.parentKey?.length, 16)
  assert.equal((await store.list('user-1', time.now(), 100)).length, 1)
})

test('rows hold whole milliseconds, even if the options, the clock and the app give fractions', async () => {
  for (const createStore of [createMemoryStore, () => createSqliteStore(':memory:')]) {
    const start = Date.UTC(2026, 0, 1)
    const { auth, store } = createRig(createStore(), {
      clock: () => start + 0.123,
      accessTokenLifetime: 60.5,
      idleTimeout: 3600.00001,
      absoluteTimeout: 7200.12345,
      reuseInterval: 30.0001,
      retryInterval: 60.00001,
    })
    const { refreshToken, session, expiresIn } = await auth.issue('user-1', { authTime: start - 0.5 })
    assert.equal(expiresIn, 61)
    const { accessToken } = await auth.refresh(refreshToken, { idempotencyKey: newKey() })
    assert.ok(await auth.verify(accessToken))
    const row = await findRow(store, session.id)
    for (const name of ['createdAt', 'rotatedAt', 'authTime', 'idleExpiresAt', 'expiresAt', 'burstAt'] as const) {
      assert.ok(Number.isInteger(row[name]), `${name}: ${row[name]}`)
    }
  }
})

test('an authTime that is not an instant is rejected at the sign-in', async () => {
  const { auth } = createRig(createMemoryStore())
  for (const authTime of [Number.NaN, Number.POSITIVE_INFINITY, '2026' as unknown as number]) {
    await refused(auth.issue('user-1', { authTime }), 'ERR_OPTION_INVALID')
  }
})

test('access tokens live shorter than the idle timeout, whichever of the two is the session’s own', () => {
  const defaults = { idleTimeout: 600_000, absoluteTimeout: 6_000_000, accessTokenLifetime: 500 }
  const lifetimes: [idleTimeout: number | null, accessTokenLifetime: number | null, expected: number][] = [
    [null, null, 500],
    [null, 599, 599],
    [null, 600, 300],
    [700_000, 600, 600],
    [700_000, 700, 350],
    [700_000, null, 350],
    [2_000_000, null, 500],
  ]
  for (const [idleTimeout, accessTokenLifetime, expected] of lifetimes) {
    assert.equal(accessTokenLifetimeOf({ idleTimeout, accessTokenLifetime }, defaults), expected)
  }
})

test('the list of ended sessions is read back by the lifetime of access tokens, and a second for rounding', async () => {
  const reads: number[] = []
  const store = createMemoryStore()
  const { auth, time } = createRig({
    ...store,
    revokedSince(since) {
      reads.push(time.now() - since)
      return store.revokedSince(since)
    },
  })
  await auth.verify((await auth.issue('ada')).accessToken)
  assert.deepEqual(reads, [15 * minute * 1000 + 1000 + 75_000])
})
