// What a process holds of the sessions that were ended, how much it asks for, and what it says when it does not know.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createRevocations } from '../../src/core/revocations.ts'
import { DaypassError, isDaypassError } from '../../src/errors.ts'
import { createFakeClock } from '../../src/testing/index.ts'

/** Milliseconds. */
const lifetime = 900_000
/** What each look goes back further, because clocks differ and transactions take time. */
const margin = 75_000

function setUp({ whenStoreIsAway = 'refuse' as 'refuse' | 'accept' } = {}) {
  const time = createFakeClock()
  const ended = new Map<string, number>()
  /** How far each look went back, in milliseconds. */
  const looks: number[] = []
  let answer: () => unknown = () => undefined
  const store = {
    async revokedSince(since: number) {
      looks.push(time.now() - since)
      await answer()
      return Array.from(ended, ([id, revokedAt]) => ({ id, revokedAt })).filter((each) => each.revokedAt >= since)
    },
  }
  const revocations = createRevocations({ store, clock: time.clock, lifetime, whenStoreIsAway })
  return {
    time,
    looks,
    revocations,
    end: (id: string) => ended.set(id, time.now()),
    answerWith(next: () => unknown) {
      answer = next
    },
    /** Asks for a token that was made now. */
    isRevoked: async (id: string, lives = lifetime) =>
      revocations.isRevoked(id, { issuedAt: time.now(), expiresAt: time.now() + lives }),
  }
}

const away = () => {
  throw new DaypassError('ERR_STORE_UNAVAILABLE', undefined, { cause: 'ECONNREFUSED' })
}
const isUnknown = (error: unknown) => isDaypassError(error, 'ERR_STORE_UNAVAILABLE') && error.status === 503

test('the first look goes back as far as access tokens live, each later one to the last that was answered', async () => {
  const { time, looks, isRevoked, answerWith } = setUp()
  await isRevoked('a')
  time.advance(1)
  await isRevoked('a')
  answerWith(away)
  time.advance(1)
  await isRevoked('a')
  answerWith(() => {})
  time.advance(1)
  await isRevoked('a')
  time.advance(2 * 900)
  await isRevoked('a')
  assert.deepEqual(
    looks.map((back) => back - margin),
    [901_000, 1000, 1000, 2000, 901_000],
  )
})

test('there is one look a second, however many ask', async () => {
  const { time, looks, isRevoked } = setUp()
  for (let second = 0; second < 3; second++) {
    await Promise.all(Array.from({ length: 50 }, () => isRevoked('a')))
    time.advance(0.999)
    for (let i = 0; i < 50; i++) await isRevoked('a')
    time.advance(0.001)
  }
  assert.equal(looks.length, 3)
})

test('an ended session is held for as long as its access tokens may live, and then forgotten', async () => {
  const { time, revocations, isRevoked } = setUp()
  revocations.add('a', time.now())
  time.set(time.now() + 901_000 + margin)
  await isRevoked('another')
  assert.ok(await isRevoked('a'))
  time.advance(1)
  await isRevoked('another')
  assert.equal(await isRevoked('a'), false)
})

test('a token that lives longer than those made now makes it look further back, once, and hold sessions longer', async () => {
  const { time, looks, end, isRevoked } = setUp()
  end('old')
  time.advance(2 * 3600)
  // Only one look a second, but this one cannot wait: what is known does not reach back far enough.
  assert.equal(await isRevoked('fresh'), false)
  assert.equal(await isRevoked('old'), false, 'no token that lives 15 minutes is of before')
  assert.equal(await isRevoked('old', 3 * 3600_000), true)
  assert.deepEqual(
    looks.map((back) => back - margin),
    [901_000, 3 * 3600_000],
  )
  time.advance(3599)
  assert.equal(await isRevoked('fresh', 3 * 3600_000), false)
  assert.equal(await isRevoked('old', 3 * 3600_000), true, 'held, not looked for again')
  assert.equal(looks.length, 3)
})

test('no token makes it look back further than access tokens can live', async () => {
  const { looks, isRevoked } = setUp()
  await isRevoked('a', 365 * 86_400_000)
  assert.deepEqual(looks, [86_400_000 + margin])
})

test('after a clock that was ahead was set right, it looks back at everything again', async () => {
  const { time, looks, end, isRevoked } = setUp()
  end('before')
  assert.ok(await isRevoked('before'))
  time.advance(8 * 86_400)
  await isRevoked('another')
  time.advance(-8 * 86_400)
  end('after')
  assert.ok(await isRevoked('before'))
  assert.ok(await isRevoked('after'))
  assert.deepEqual(looks.at(-1), 901_000 + margin)
})

for (const skew of [-60, -31, -11, 11, 31, 60]) {
  test(`a session that is ended by a server whose clock is ${skew} s off is known within two seconds`, async () => {
    const { time, end, isRevoked } = setUp()
    assert.equal(await isRevoked('a'), false)
    time.advance(skew)
    end('a')
    time.advance(-skew + 2)
    assert.equal(await isRevoked('a'), true)
  })
}

test('a process that knows nothing yet says 503, not that the session goes on', async () => {
  const { time, isRevoked, answerWith, looks } = setUp()
  answerWith(away)
  for (let i = 0; i < 5; i++) {
    await assert.rejects(isRevoked('a'), (error) => {
      assert.ok(isUnknown(error))
      assert.ok((error as Error).cause instanceof DaypassError, 'why, for the log')
      return true
    })
  }
  assert.equal(looks.length, 1, 'the store is not asked more often for being away')
  answerWith(() => {})
  time.advance(1)
  assert.equal(await isRevoked('a'), false)
})

test('what is known counts for 10 seconds of silence, and no longer', async () => {
  for (const silence of [away, () => new Promise(() => {})]) {
    const { time, isRevoked, answerWith, revocations } = setUp()
    await isRevoked('a')
    answerWith(silence)
    revocations.add('ended here', time.now())
    for (let seconds = 1; seconds < 10; seconds++) {
      time.advance(1)
      assert.equal(await isRevoked('a'), false, `after ${seconds} s`)
    }
    time.advance(1)
    await assert.rejects(isRevoked('a'), isUnknown)
    assert.equal(await isRevoked('ended here'), true, 'what is known to be over is over')
  }
})

test('an idle process does not take what it knew an hour ago for the truth: it waits for a slow look', async () => {
  const { time, isRevoked, answerWith, end } = setUp()
  await isRevoked('a')
  time.advance(600)
  end('a')
  time.advance(1)
  answerWith(() => new Promise((resolve) => setTimeout(resolve, 700)))
  const answers = await Promise.all([isRevoked('a'), isRevoked('a'), isRevoked('a')])
  assert.deepEqual(answers, [true, true, true])
})

test('nobody waits for ever: a store that hangs is 503, and is asked again later', { timeout: 30_000 }, async () => {
  const { time, isRevoked, answerWith, looks } = setUp()
  answerWith(() => new Promise(() => {}))
  await Promise.all([1, 2, 3].map(() => assert.rejects(isRevoked('a'), isUnknown)))
  assert.equal(looks.length, 1)
  // A look that hangs for five seconds is given up.
  answerWith(() => {})
  let isKnown = false
  for (const until = performance.now() + 20_000; !isKnown && performance.now() < until; ) {
    time.advance(1)
    isKnown = await isRevoked('a').then(
      () => true,
      () => false,
    )
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  assert.ok(isKnown)
})

test('`accept` lets tokens in while nobody knows, but not those that are known to be over', async () => {
  const { isRevoked, answerWith, revocations, time } = setUp({ whenStoreIsAway: 'accept' })
  answerWith(away)
  revocations.add('ended here', time.now())
  assert.equal(await isRevoked('a'), false)
  assert.equal(await isRevoked('ended here'), true)
})

test('a process that ends sessions and checks no tokens holds no more of them than may have tokens', () => {
  const { revocations, time } = setUp()
  for (let i = 0; i < 100_000; i++) {
    time.advance(1)
    revocations.add(`session-${i}`, time.now())
  }
  let held = 0
  for (let i = 0; i < 100_000; i++) {
    const token = { issuedAt: time.now(), expiresAt: time.now() + lifetime }
    if (revocations.isRevoked(`session-${i}`, token) === true) held++
    else break
  }
  assert.equal(held, 0, 'the oldest are gone')
  assert.equal(revocations.isRevoked('session-99999', { issuedAt: 0, expiresAt: 1 }), true)
})
