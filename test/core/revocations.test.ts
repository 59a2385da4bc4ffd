// The list of ended sessions in a process: how far it reaches back, how often it is read, and when it is too old to use.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createRevocations } from '../../src/core/revocations.ts'
import { DaypassError, isDaypassError } from '../../src/errors.ts'
import { createFakeClock } from '../../src/testing/index.ts'

/** Milliseconds. */
const lifetime = 900_000
/** Each read goes back further by this, because clocks differ and transactions take time. */
const margin = 75_000

function setUp({ whenStoreIsAway = 'refuse' as 'refuse' | 'accept' } = {}) {
  const time = createFakeClock()
  const ended = new Map<string, number>()
  /** How far each read went back, in milliseconds. */
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
    /** Checks a token that was issued now. */
    isRevoked: async (id: string, lives = lifetime) =>
      revocations.isRevoked(id, { issuedAt: time.now(), expiresAt: time.now() + lives }),
  }
}

const away = () => {
  throw new DaypassError('ERR_STORE_UNAVAILABLE', undefined, { cause: 'ECONNREFUSED' })
}
const isUnknown = (error: unknown) => isDaypassError(error, 'ERR_STORE_UNAVAILABLE') && error.status === 503

test('the first read goes back by the lifetime of access tokens, each later one to the last successful read', async () => {
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

test('there is one read a second, however many tokens are verified', async () => {
  const { time, looks, isRevoked } = setUp()
  for (let second = 0; second < 3; second++) {
    await Promise.all(Array.from({ length: 50 }, () => isRevoked('a')))
    time.advance(0.999)
    for (let i = 0; i < 50; i++) await isRevoked('a')
    time.advance(0.001)
  }
  assert.equal(looks.length, 3)
})

test('an ended session is held while its access tokens may be valid, and then deleted', async () => {
  const { time, revocations, isRevoked } = setUp()
  revocations.add('a', time.now())
  time.set(time.now() + 901_000 + margin)
  await isRevoked('another')
  assert.ok(await isRevoked('a'))
  time.advance(1)
  await isRevoked('another')
  assert.equal(await isRevoked('a'), false)
})

test('a token with a longer lifetime than the current setting makes it read further back, once, and hold sessions longer', async () => {
  const { time, looks, end, isRevoked } = setUp()
  end('old')
  time.advance(2 * 3600)
  // One read a second is the rule, but the list does not reach back far enough for this token.
  assert.equal(await isRevoked('fresh'), false)
  assert.equal(await isRevoked('old'), false, 'no token that lives 15 minutes is that old')
  assert.equal(await isRevoked('old', 3 * 3600_000), true)
  assert.deepEqual(
    looks.map((back) => back - margin),
    [901_000, 3 * 3600_000],
  )
  time.advance(3599)
  assert.equal(await isRevoked('fresh', 3 * 3600_000), false)
  assert.equal(await isRevoked('old', 3 * 3600_000), true, 'held, not read again')
  assert.equal(looks.length, 3)
})

test('a read that ends after a later and longer one takes nothing back', async () => {
  const { time, looks, end, isRevoked, answerWith } = setUp()
  end('old')
  time.advance(2 * 3600)
  const slow = Promise.withResolvers<void>()
  answerWith(() => slow.promise)
  const short = isRevoked('fresh')
  await Promise.resolve()
  answerWith(() => {})
  assert.equal(await isRevoked('other', 3 * 3600_000), false)
  assert.equal(looks.length, 2)
  slow.resolve()
  assert.equal(await short, false)
  await new Promise((resolve) => setImmediate(resolve))
  assert.equal(await isRevoked('another', 3 * 3600_000), false)
  assert.equal(await isRevoked('old', 3 * 3600_000), true)
  assert.equal(looks.length, 2, 'the list of the longer read is still known')
})

test('no token makes it read back further than the maximum lifetime', async () => {
  const { looks, isRevoked } = setUp()
  await isRevoked('a', 365 * 86_400_000)
  assert.deepEqual(looks, [86_400_000 + margin])
})

test('after a clock that was ahead is corrected, it reads everything again', async () => {
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

test('a process that has not read the list yet throws 503 and accepts no token', async () => {
  const { time, isRevoked, answerWith, looks } = setUp()
  answerWith(away)
  for (let i = 0; i < 5; i++) {
    await assert.rejects(isRevoked('a'), (error) => {
      assert.ok(isUnknown(error))
      assert.ok((error as Error).cause instanceof DaypassError, 'the reason, for the log')
      return true
    })
  }
  assert.equal(looks.length, 1, 'the store is not called more often while it is unavailable')
  answerWith(() => {})
  time.advance(1)
  assert.equal(await isRevoked('a'), false)
})

test('the list is used for 10 seconds without a successful read, and no longer', async () => {
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
    assert.equal(await isRevoked('ended here'), true, 'a session that is known to be over is rejected')
  }
})

test('a list that does not reach back far enough for a token does not decide about it', async () => {
  const { isRevoked, answerWith } = setUp()
  assert.equal(await isRevoked('a'), false)
  answerWith(away)
  await assert.rejects(isRevoked('a', 3 * 3600_000), isUnknown)
  assert.equal(await isRevoked('a'), false, 'other tokens are still accepted')
})

test('a slow read holds back the next one for five seconds, and does not end it', async (t) => {
  // The timers of the waits would hold this process.
  t.mock.timers.enable({ apis: ['setTimeout'] })
  let monotonic = 10_000
  t.mock.method(performance, 'now', () => monotonic)
  const { time, looks, isRevoked, answerWith } = setUp({ whenStoreIsAway: 'accept' })
  const slow = Promise.withResolvers<void>()
  const check = async (passed: number) => {
    time.advance(passed / 1000)
    monotonic += passed
    void isRevoked('a')
    await new Promise((resolve) => setImmediate(resolve))
  }
  answerWith(() => slow.promise)
  await check(0)
  await check(1000)
  await check(3999)
  assert.equal(looks.length, 1)
  answerWith(() => new Promise(() => {}))
  await check(1)
  assert.equal(looks.length, 2)
  slow.resolve()
  await check(0)
  await check(2000)
  assert.equal(looks.length, 2, 'the second read is still under way')
})

test('a read that has ended leaves no timer behind, so that a script can end', async () => {
  const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
  const before = timers()
  const { isRevoked } = setUp()
  await isRevoked('a')
  assert.equal(timers(), before)
})

test('an idle process does not use an hour-old list: it waits for a slow read', async () => {
  const { time, isRevoked, answerWith, end } = setUp()
  await isRevoked('a')
  time.advance(600)
  end('a')
  time.advance(1)
  answerWith(() => new Promise((resolve) => setTimeout(resolve, 700)))
  const answers = await Promise.all([isRevoked('a'), isRevoked('a'), isRevoked('a')])
  assert.deepEqual(answers, [true, true, true])
})

test('no call waits for ever: a store that hangs gives 503, and is called again later', {
  timeout: 30_000,
}, async () => {
  const { time, isRevoked, answerWith, looks } = setUp()
  answerWith(() => new Promise(() => {}))
  await Promise.all([1, 2, 3].map(() => assert.rejects(isRevoked('a'), isUnknown)))
  assert.equal(looks.length, 1)
  // After five seconds the next read does not wait for one that hangs.
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

test('`accept` accepts tokens while the list is too old, but not those of sessions known to be over', async () => {
  const { isRevoked, answerWith, revocations, time } = setUp({ whenStoreIsAway: 'accept' })
  answerWith(away)
  revocations.add('ended here', time.now())
  assert.equal(await isRevoked('a'), false)
  assert.equal(await isRevoked('ended here'), true)
})

test('a process that ends sessions and verifies no tokens holds only those that may still have valid tokens', () => {
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
  assert.equal(held, 0, 'the oldest are deleted')
  assert.equal(revocations.isRevoked('session-99999', { issuedAt: 0, expiresAt: 1 }), true)
})
