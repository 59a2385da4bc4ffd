// The protocol's table (docs/protocol.md), row by row, over the real decide().

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { advance, type Decision, decide, isBurst, isExpired, type Presented } from '../../src/core/rotation.ts'
import type { Session } from '../../src/core/session.ts'
import { makeSession, makeStep } from '../../src/testing/store-harness.ts'

const second = 1000
const hour = 3_600_000
const t0 = Date.UTC(2026, 0, 1)
const interval = 30 * second
const retryInterval = 24 * hour

const [salt, otherSalt] = [Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8), Uint8Array.of(8, 7, 6, 5, 4, 3, 2, 1)]
const [key, otherKey] = [new Uint8Array(16).fill(7), new Uint8Array(16).fill(9)]

/** At generation 5, rotated at t0 by redeeming `salt` with `key`, in a burst that began at t0 with generation 3. */
const keyed: Session = makeSession(t0, {
  generation: 5,
  parentSalt: salt,
  parentKey: key,
  burstAt: t0,
  burstGeneration: 3,
  prevBurstGeneration: 3,
  idleExpiresAt: t0 + hour,
  expiresAt: t0 + 24 * hour,
})
const keyless: Session = { ...keyed, parentKey: null }
const long: Session = { ...keyless, idleExpiresAt: t0 + 48 * hour, expiresAt: t0 + 48 * hour }

const intervals = { reuseInterval: interval, retryInterval }

interface Row {
  when: string
  session?: Session
  presented: Partial<Presented>
  /** Milliseconds after the rotation. */
  at?: number
  interval?: number
  retryInterval?: number
  is: Decision['kind']
}

const rows: Row[] = [
  { when: 'n = generation, no key', presented: { generation: 5 }, is: 'rotated' },
  { when: 'n = generation, a key', presented: { generation: 5, key }, is: 'rotated' },
  {
    when: 'n = generation, an hour but a millisecond later',
    presented: { generation: 5 },
    at: hour - 1,
    is: 'rotated',
  },
  { when: 'n = generation, the clock set back', presented: { generation: 5 }, at: -hour, is: 'rotated' },
  { when: 'n = generation, a sibling’s salt', presented: { generation: 5, salt: otherSalt }, is: 'rotated' },
  { when: 'n > generation: the store lost a write', presented: { generation: 6 }, is: 'rotated' },
  { when: 'n ≫ generation: the store lost many', presented: { generation: 4000 }, is: 'rotated' },

  { when: 'the parent, with its key, at once', presented: { generation: 4, key }, is: 'replayed' },
  { when: 'the parent, with its key, long after', presented: { generation: 4, key }, at: hour - 1, is: 'replayed' },
  {
    when: 'the parent, with its key, strict',
    presented: { generation: 4, key },
    at: hour - 1,
    interval: 0,
    is: 'replayed',
  },
  {
    when: 'the parent, with its key, the clock set back',
    presented: { generation: 4, key },
    at: -hour,
    is: 'replayed',
  },
  {
    when: 'the parent, its key as `previous`',
    presented: { generation: 4, key: otherKey, previousKey: key },
    is: 'replayed',
  },
  {
    when: 'the parent, its key as `previous` alone',
    presented: { generation: 4, previousKey: key },
    at: 40 * second,
    is: 'replayed',
  },
  {
    when: 'the parent’s key with an older token, which a late Set-Cookie put back',
    presented: { generation: 2, salt: otherSalt, key: otherKey, previousKey: key },
    at: hour - 1,
    is: 'replayed',
  },
  {
    when: 'an older token and a key that is not the parent’s, after',
    presented: { generation: 3, key: otherKey, previousKey: otherKey },
    at: interval,
    is: 'reused',
  },

  { when: 'keyless twice, at once', session: keyless, presented: { generation: 4 }, is: 'retried' },
  {
    when: 'keyless twice, a millisecond before the retry interval ends',
    session: long,
    presented: { generation: 4 },
    at: retryInterval - 1,
    is: 'retried',
  },
  {
    when: 'keyless twice, at the instant the retry interval ends',
    session: long,
    presented: { generation: 4 },
    at: retryInterval,
    is: 'reused',
  },
  {
    when: 'keyless twice, strict',
    session: keyless,
    presented: { generation: 4 },
    interval: 0,
    retryInterval: 0,
    is: 'reused',
  },
  {
    when: 'keyless twice, the clock set back by less than the retry interval',
    session: keyless,
    presented: { generation: 4 },
    at: 1 - retryInterval,
    is: 'retried',
  },
  {
    when: 'keyless twice, the clock set back by the retry interval: no sibling',
    session: keyless,
    presented: { generation: 4 },
    at: -retryInterval,
    is: 'superseded',
  },
  {
    when: 'keyless, the grandparent',
    session: keyless,
    presented: { generation: 3 },
    at: interval,
    is: 'reused',
  },
  { when: 'keyless first, keyed then', session: keyless, presented: { generation: 4, key }, is: 'superseded' },
  {
    when: 'keyless first, keyed then, after',
    session: keyless,
    presented: { generation: 4, key },
    at: interval,
    is: 'reused',
  },
  {
    when: 'keyless first, `previous` of nothing: the same as keyless twice',
    session: keyless,
    presented: { generation: 4, previousKey: key },
    at: interval,
    is: 'retried',
  },
  { when: 'keyed first, keyless then: a copy is no retry', presented: { generation: 4 }, is: 'superseded' },
  { when: 'keyed first, keyless then, after', presented: { generation: 4 }, at: interval, is: 'reused' },
  {
    when: 'keyless twice, a sibling’s salt',
    session: keyless,
    presented: { generation: 4, salt: otherSalt },
    is: 'superseded',
  },

  {
    when: 'keyless twice, the parent’s salt on an older generation',
    session: keyless,
    presented: { generation: 3 },
    is: 'superseded',
  },
  { when: 'a part of the parent’s key', presented: { generation: 4, key: key.subarray(0, 8) }, is: 'superseded' },

  { when: 'another key, in the burst', presented: { generation: 4, key: otherKey }, is: 'superseded' },
  {
    when: 'another key, a millisecond before the burst ends',
    presented: { generation: 4, key: otherKey },
    at: interval - 1,
    is: 'superseded',
  },
  {
    when: 'another key, at the instant the burst ends',
    presented: { generation: 4, key: otherKey },
    at: interval,
    is: 'reused',
  },
  { when: 'the burst’s first generation', presented: { generation: 3, key: otherKey }, is: 'superseded' },
  { when: 'a generation from before the burst', presented: { generation: 2, key: otherKey }, is: 'reused' },
  {
    when: 'a generation of the burst before, which this one followed closely',
    session: { ...keyed, prevBurstGeneration: 2 },
    presented: { generation: 2, key: otherKey },
    at: interval - 1,
    is: 'superseded',
  },
  {
    when: 'a generation of the burst before, this one being over',
    session: { ...keyed, prevBurstGeneration: 2, rotatedAt: t0 + interval - 1 },
    presented: { generation: 2, key: otherKey },
    at: interval,
    is: 'reused',
  },
  {
    when: 'a generation from before the burst before',
    session: { ...keyed, prevBurstGeneration: 2 },
    presented: { generation: 1, key: otherKey },
    is: 'reused',
  },
  { when: 'generation 0, long gone', presented: { generation: 0, key: otherKey }, is: 'reused' },
  { when: 'another key, strict', presented: { generation: 4, key: otherKey }, interval: 0, is: 'reused' },
  {
    when: 'another key, the clock set back: a race, not a theft',
    presented: { generation: 4, key: otherKey },
    at: -hour,
    is: 'superseded',
  },
  {
    when: 'before the first rotation there is nothing to be older than',
    session: { ...keyed, generation: 0, burstAt: 0, burstGeneration: 0, prevBurstGeneration: 0 },
    presented: { generation: 0 },
    is: 'rotated',
  },

  {
    when: 'the row revoked',
    session: { ...keyed, revokedAt: t0, revokedReason: 'admin' },
    presented: { generation: 5 },
    is: 'revoked',
  },
  {
    when: 'the row revoked, a replay',
    session: { ...keyed, revokedAt: t0, revokedReason: 'reuse' },
    presented: { generation: 4, key },
    is: 'revoked',
  },
  {
    when: 'the row revoked, and expired since',
    session: { ...keyed, revokedAt: t0, revokedReason: 'admin' },
    presented: { generation: 5 },
    at: 48 * hour,
    is: 'revoked',
  },
  {
    when: 'the row found expired before, the clock set back since',
    session: { ...keyed, revokedAt: t0, revokedReason: 'expired' },
    presented: { generation: 5 },
    at: -hour,
    is: 'expired',
  },
  { when: 'at the instant of the idle expiry', presented: { generation: 5 }, at: hour, is: 'expired' },
  { when: 'at the instant of the idle expiry, a replay', presented: { generation: 4, key }, at: hour, is: 'expired' },
  {
    when: 'at the instant of the idle expiry, a copy',
    presented: { generation: 1, key: otherKey },
    at: hour,
    is: 'expired',
  },
  {
    when: 'at the instant of the absolute expiry',
    session: { ...keyed, idleExpiresAt: t0 + 24 * hour },
    presented: { generation: 5 },
    at: 24 * hour,
    is: 'expired',
  },
  {
    when: 'a millisecond before the absolute expiry',
    session: { ...keyed, idleExpiresAt: t0 + 24 * hour },
    presented: { generation: 5 },
    at: 24 * hour - 1,
    is: 'rotated',
  },
]

for (const row of rows) {
  test(`${row.is}: ${row.when}`, () => {
    const { session = keyed } = row
    const presented: Presented = { generation: 5, salt, key: null, previousKey: null, ...row.presented }
    const before = structuredClone({ session, presented })
    const decision = decide(session, presented, t0 + (row.at ?? second), {
      reuseInterval: row.interval ?? interval,
      retryInterval: row.retryInterval ?? retryInterval,
    })
    const replayed = { parentKey: session.parentKey, parentSalt: session.parentSalt }
    assert.deepEqual(decision, { kind: row.is, ...(row.is === 'replayed' && replayed) })
    assert.deepEqual({ session, presented }, before, 'decide() does not modify its input')
  })
}

test('superseded: the loser of a race at the end of a burst, until an interval after the race', () => {
  // A burst that began at t0 and whose last rotation came just before its end.
  const late: Session = { ...keyed, rotatedAt: t0 + interval - 5 }
  const loser: Presented = { generation: 4, salt, key: otherKey, previousKey: null }
  for (const at of [interval - 1, interval, interval + 5, 2 * interval - 6]) {
    assert.equal(decide(late, loser, t0 + at, intervals).kind, 'superseded', `${at} ms`)
  }
  assert.equal(decide(late, loser, t0 + 2 * interval - 5, intervals).kind, 'reused')
  assert.equal(
    decide(late, { ...loser, generation: 2 }, t0 + interval, intervals).kind,
    'reused',
    'older than the burst',
  )
})

test('advance matches exactly where decide says rotated, over every small case', () => {
  let cases = 0
  for (const generation of [0, 1, 2, 3]) {
    for (const presentedGeneration of [0, 1, 2, 3, 4]) {
      for (const revokedAt of [null, t0]) {
        for (const [idleExpiresAt, expiresAt] of [
          [10, 20],
          [5, 20],
          [5, 5],
        ] as const) {
          for (const at of [4, 5, 6, 10]) {
            for (const reuseInterval of [0, 3, 100]) {
              const session = makeSession(t0, {
                generation,
                revokedAt,
                revokedReason: revokedAt === null ? null : 'admin',
                parentSalt: salt,
                parentKey: key,
                burstAt: t0 + 2,
                burstGeneration: Math.max(0, generation - 1),
                idleExpiresAt: t0 + idleExpiresAt,
                expiresAt: t0 + expiresAt,
              })
              const presented = { generation: presentedGeneration, salt: otherSalt, key: null, previousKey: null }
              const decision = decide(session, presented, t0 + at, { reuseInterval, retryInterval })
              const step = makeStep(session, t0 + at, { generation: presentedGeneration, reuseInterval })
              const row = advance(session, step)
              assert.equal(row !== null, decision.kind === 'rotated')
              if (row !== null) {
                assert.equal(row.generation, presentedGeneration + 1)
                assert.ok(row.idleExpiresAt <= row.expiresAt)
                assert.equal(row.expiresAt, session.expiresAt)
                const inBurst = isBurst(session, t0 + at, reuseInterval)
                assert.equal(row.burstAt, inBurst ? session.burstAt : t0 + at)
                assert.equal(row.burstGeneration, inBurst ? session.burstGeneration : session.generation - 1)
                // The token that was just redeemed is replayed only with its key; a copy gets nothing.
                const again = { generation: presentedGeneration, salt: step.salt, previousKey: null }
                const later = { ...row, parentKey: key }
                if (!isExpired(later, t0 + at)) {
                  assert.equal(
                    decide(later, { ...again, key }, t0 + at, { reuseInterval, retryInterval }).kind,
                    'replayed',
                  )
                  const copy = decide(later, { ...again, key: otherKey }, t0 + at, { reuseInterval, retryInterval })
                  assert.ok(copy.kind === 'superseded' || copy.kind === 'reused')
                }
              }
              cases++
            }
          }
        }
      }
    }
  }
  assert.equal(cases, 4 * 5 * 2 * 3 * 4 * 3)
})

test('superseded exactly as promised: never missed within one interval, never for longer than three', () => {
  // Every short history of close and less close rotations, replays and lost writes; each of its tokens is presented.
  const I = 3
  let asked = 0
  const judge = (session: Session, generation: number, now: number) =>
    decide(session, { generation, salt: otherSalt, key: otherKey, previousKey: null }, now, {
      reuseInterval: I,
      retryInterval: I,
    }).kind
  const explore = (session: Session, overtakenAt: number[], now: number, events: number) => {
    for (const [generation, at] of overtakenAt.entries()) {
      const story = (later: number) => `${JSON.stringify(overtakenAt)} at ${now + later}, asked for ${generation}`
      for (const later of [0, 1, 2, 3, 5, 8]) {
        const decision = judge(session, generation, now + later)
        if (now + later - at < I) assert.equal(decision, 'superseded', story(later))
        asked++
      }
      // A copy is superseded only while its owner's rotations are close.
      let row = session
      for (let tick = 1; tick <= 4 * I; tick++) {
        row = advance(row, makeStep(row, now + tick, { salt, key, reuseInterval: I }))!
      }
      assert.equal(judge(row, generation, now + 4 * I), 'reused', story(4 * I))
    }
    if (events === 0) return
    for (const pause of [1, 2, 3, 4]) {
      const at = now + pause
      const { generation } = session
      const step = makeStep(session, at, { generation, salt, key, reuseInterval: I })
      explore(advance(session, step)!, [...overtakenAt, at], at, events - 1)
      // The store loses a rotation, and the client presents the token that it got.
      const healed = advance(session, { ...step, generation: generation + 1 })!
      explore(healed, [...overtakenAt, at, at], at, events - 1)
      // A replay writes nothing, though its parent was overtaken just then. The next rotation accounts for that.
      if (generation > 0) {
        const next = advance(session, { ...step, now: at + 1 })!
        explore(next, [...overtakenAt.with(generation - 1, at), at + 1], at + 1, events - 1)
      }
    }
  }
  const fresh = makeSession(0, { idleExpiresAt: t0 + hour, expiresAt: t0 + hour, rotatedAt: 0 })
  explore(fresh, [], 0, 4)
  assert.ok(asked > 100_000, `${asked} questions`)
})

test('each expiry counts by itself, from its exact instant', () => {
  const session = makeSession(t0, { idleExpiresAt: t0 + 10, expiresAt: t0 + 20 })
  assert.deepEqual(
    [9, 10].map((at) => isExpired(session, t0 + at)),
    [false, true],
  )
  const absolute = { ...session, idleExpiresAt: t0 + 100 }
  assert.deepEqual(
    [19, 20].map((at) => isExpired(absolute, t0 + at)),
    [false, true],
  )
})

test('a burst follows another closely up to, and not at, an interval after its last rotation', () => {
  const old = { ...keyed, burstAt: t0 - interval, burstGeneration: 2, prevBurstGeneration: 2, rotatedAt: t0 }
  const after = (at: number) => advance(old, makeStep(old, t0 + at, { reuseInterval: interval }))!
  assert.equal(after(interval - 1).prevBurstGeneration, 2)
  assert.equal(after(interval).prevBurstGeneration, 4)
})

test('a rotation without an address keeps the device unchanged', () => {
  const session = makeSession(t0, { device: { label: 'phone' } })
  assert.deepEqual(advance(session, makeStep(session, t0))!.device, { label: 'phone' })
  assert.deepEqual(Object.keys(advance(session, makeStep(session, t0, { ip: undefined }))!.device), ['label'])
})
