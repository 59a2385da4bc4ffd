// Rules of the store contract for `advance`, compared with the protocol's own function.

import assert from 'node:assert/strict'
import { advance as pureAdvance } from '../core/rotation.ts'
import type { Session } from '../core/session.ts'
import type { Advance } from '../core/store.ts'
import {
  type Bench,
  bytes,
  freshId,
  hour,
  minute,
  plain,
  rule,
  type StoreRule,
  sameRow,
  second,
} from './store-harness.ts'

/** Advances, and compares the result and the row with the protocol's own function. */
async function advanceBoth({ store }: Bench, session: Session, step: Advance): Promise<Session | null> {
  const expected = pureAdvance(session, step)
  const advanced = await store.advance(step)
  assert.deepEqual(plain(advanced?.session), plain(expected))
  if (advanced !== null) assert.equal(advanced.healed, session.generation < step.generation)
  sameRow(await store.find(session.id), expected ?? session)
  return expected
}

/** The rules of `advance` for one caller at a time. */
export const advanceRules: readonly StoreRule[] = [
  rule('advance redeems the newest token and sets generation, parent and instants', async (bench) => {
    const session = await bench.create({ claims: { role: 'admin' }, device: { label: 'phone' } })
    const step = bench.step(session, { key: bytes(16) })
    const row = await advanceBoth(bench, session, step)
    assert.ok(row)
    assert.equal(row.generation, 1)
    assert.deepEqual(new Uint8Array(row.parentSalt!), step.salt)
    assert.deepEqual(new Uint8Array(row.parentKey!), step.key)
    assert.equal(row.rotatedAt, step.now)
    assert.equal(row.idleExpiresAt, step.now + step.idleTimeout)
    assert.equal(row.expiresAt, session.expiresAt)
    assert.equal(row.createdAt, session.createdAt)
  }),

  rule('advance without a key clears the key of the previous rotation', async (bench) => {
    const session = await bench.create()
    const first = await advanceBoth(bench, session, bench.step(session, { key: bytes(16) }))
    const second_ = await advanceBoth(bench, first!, bench.step(first!, { key: null, now: bench.t0 + 2 * second }))
    assert.equal(second_!.parentKey, null)
  }),

  rule('advance of an earlier generation matches no row and changes nothing', async (bench) => {
    const session = await bench.create({ generation: 5 })
    for (const generation of [0, 4]) {
      assert.equal(await advanceBoth(bench, session, bench.step(session, { generation })), null)
    }
  }),

  rule('advance of a generation that the row has not reached heals the row', async (bench) => {
    for (const [at, generation] of [
      [3, 4],
      [0, 9],
      [7, 4_294_967_294],
    ] as const) {
      const session = await bench.create({ generation: at })
      const row = await advanceBoth(bench, session, bench.step(session, { generation }))
      assert.equal(row!.generation, generation + 1)
      assert.equal(
        row!.burstGeneration,
        at - 1,
        'a burst begins with the parent in the row, even if rotations were lost',
      )
    }
  }),

  rule('advance of an unknown session returns null and writes no row', async ({ store, step, create, t0 }) => {
    const session = await create()
    const id = freshId()
    assert.equal(await store.advance(step(session, { id })), null)
    assert.equal(await store.find(id), null)
    assert.equal((await store.list('subject-1', t0, 100)).length, 1)
    for (const wrong of ['', 'x', `${session.id}=`])
      assert.equal(await store.advance(step(session, { id: wrong })), null)
    sameRow(await store.find(session.id), session)
  }),

  rule('advance of a revoked session matches no row, even if the row is behind', async (bench) => {
    const session = await bench.create({ revokedAt: bench.t0, revokedReason: 'admin' })
    assert.equal(await advanceBoth(bench, session, bench.step(session)), null)
    assert.equal(await advanceBoth(bench, session, bench.step(session, { generation: 4 })), null)
  }),

  rule('advance at the instant of the idle expiry matches no row; a millisecond before, it matches', async (bench) => {
    const session = await bench.create({ idleExpiresAt: bench.t0 + hour })
    for (const generation of [0, 3]) {
      for (const now of [bench.t0 + hour, bench.t0 + hour + 1, bench.t0 + 9 * hour]) {
        assert.equal(await advanceBoth(bench, session, bench.step(session, { now, generation })), null)
      }
    }
    const now = bench.t0 + hour - 1
    assert.ok(await advanceBoth(bench, session, bench.step(session, { now })))
  }),

  rule('advance at the instant of the absolute expiry matches no row', async (bench) => {
    const expiresAt = bench.t0 + hour
    const session = await bench.create({ idleExpiresAt: expiresAt, expiresAt })
    assert.equal(await advanceBoth(bench, session, bench.step(session, { now: expiresAt })), null)
    assert.ok(await advanceBoth(bench, session, bench.step(session, { now: expiresAt - 1 })))
  }),

  rule('advance never moves the absolute expiry, and caps the idle one at it', async (bench) => {
    const expiresAt = bench.t0 + hour + minute
    const session = await bench.create({ expiresAt })
    const row = await advanceBoth(bench, session, bench.step(session, { idleTimeout: 100 * hour }))
    assert.equal(row!.idleExpiresAt, expiresAt)
    assert.equal(row!.expiresAt, expiresAt)
  }),

  rule('advance can also set an earlier idle expiry', async (bench) => {
    const session = await bench.create()
    const row = await advanceBoth(bench, session, bench.step(session, { idleTimeout: minute }))
    assert.equal(row!.idleExpiresAt, bench.t0 + second + minute)
  }),

  rule('advance uses the idle timeout of the session’s own, whatever the step says', async (bench) => {
    const expiresAt = bench.t0 + 20 * hour
    for (const [idleTimeout, idleExpiresAt] of [
      [minute, bench.t0 + second + minute],
      [9 * hour, bench.t0 + second + 9 * hour],
      [3_155_760_000_000, expiresAt],
    ] as const) {
      for (const generation of [0, 7]) {
        const session = await bench.create({ idleTimeout, accessTokenLifetime: 30, persistent: false, expiresAt })
        const row = await advanceBoth(bench, session, bench.step(session, { idleTimeout: 2 * hour, generation }))
        assert.equal(row!.idleExpiresAt, idleExpiresAt)
        assert.deepEqual([row!.idleTimeout, row!.accessTokenLifetime, row!.persistent], [idleTimeout, 30, false])
        // The live sessions are found by the instant that the engine has computed.
        const { id, subject } = session
        const isListed = async (now: number) =>
          (await bench.store.list(subject, now, 100)).some((each) => each.id === id)
        assert.deepEqual([await isListed(idleExpiresAt - 1), await isListed(idleExpiresAt)], [true, false])
      }
    }
  }),

  rule('prune deletes no session that its own idle timeout keeps', async (bench) => {
    const session = await bench.create({ idleTimeout: 9 * hour })
    const brief = await bench.create({ idleTimeout: minute })
    for (const each of [session, brief]) await bench.store.advance(bench.step(each, { idleTimeout: hour }))
    assert.equal(await bench.store.prune(bench.t0 + 8 * hour, 100), 1)
    assert.equal((await bench.store.find(session.id))?.generation, 1)
    assert.equal(await bench.store.find(brief.id), null)
  }),

  rule('rotations closer than the interval are one burst; at the interval a new one begins', async (bench) => {
    const { t0 } = bench
    let row: Session = await bench.create()
    const seen: [number, number, number][] = []
    for (const at of [40_000, 41_000, 69_999, 70_000, 70_001, 99_999, 129_998, 159_998]) {
      row = (await advanceBoth(bench, row, bench.step(row, { now: t0 + at })))!
      seen.push([row.burstAt - t0, row.prevBurstGeneration, row.burstGeneration])
    }
    assert.deepEqual(seen, [
      [40_000, -1, -1],
      [40_000, -1, -1],
      [40_000, -1, -1],
      [70_000, -1, 2],
      [70_000, -1, 2],
      [70_000, -1, 2],
      [129_998, 2, 5],
      [159_998, 6, 6],
    ])
  }),

  rule('an interval of 0 makes every rotation a burst of its own', async (bench) => {
    let row: Session = await bench.create()
    for (let generation = 0; generation < 3; generation++) {
      row = (await advanceBoth(bench, row, bench.step(row, { reuseInterval: 0 })))!
      assert.equal(row.burstGeneration, generation - 1)
    }
  }),

  rule('a clock that is set back does not end the burst', async (bench) => {
    const session = await bench.create({ burstAt: bench.t0 + hour, burstGeneration: 2, generation: 4 })
    const row = await advanceBoth(bench, session, bench.step(session))
    assert.equal(row!.burstAt, bench.t0 + hour)
    assert.equal(row!.burstGeneration, 2)
  }),

  rule('advance stores the IP address of the request; without one it keeps the previous address', async (bench) => {
    const session = await bench.create({ device: { userAgent: 'UA', ip: '192.0.2.1', label: 'phone' } })
    const first = await advanceBoth(bench, session, bench.step(session, { ip: '2001:db8::9' }))
    assert.deepEqual({ ...first!.device }, { userAgent: 'UA', ip: '2001:db8::9', label: 'phone' })
    const second_ = await advanceBoth(bench, first!, bench.step(first!, { ip: undefined }))
    assert.equal(second_!.device.ip, '2001:db8::9')
    const bare = await bench.create()
    assert.equal((await advanceBoth(bench, bare, bench.step(bare, { ip: '192.0.2.2' })))!.device.ip, '192.0.2.2')
  }),
]
