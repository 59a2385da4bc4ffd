// Rules of the store contract for random sequences of calls, compared with the protocol's own function.

import assert from 'node:assert/strict'
import { isLive, advance as pureAdvance } from '../core/rotation.ts'
import { applyChanges, type Changes, type RevokedReason, type Session } from '../core/session.ts'
import type { Store } from '../core/store.ts'
import { createSeededRandom, freshSeed, type SeededRandom } from './random.ts'
import { hour, makeSession, minute, plain, rule, type StoreRule, sameRow, second } from './store-harness.ts'

/** The simplest store: a Map, one call at a time. The store is compared with it. */
function createModel() {
  const rows = new Map<string, Session>()
  const bySubject = (subject: string) => [...rows.values()].filter((row) => row.subject === subject)
  const revoke = (id: string, now: number, reason: RevokedReason): Session | null => {
    const row = rows.get(id)
    if (row === undefined || row.revokedAt !== null) return null
    const ended = { ...row, revokedAt: now, revokedReason: reason }
    rows.set(id, ended)
    return ended
  }
  return { rows, bySubject, revoke }
}

const reasons = ['sign-out', 'reuse', 'admin', 'password'] as const

/** Random calls from a seed that is printed. `DAYPASS_TEST_SEED=…` repeats them. */
export const chanceRules: readonly StoreRule[] = [
  rule('2,000 random calls leave the same rows and answers as the protocol’s own function', async (bench) => {
    const seed = freshSeed()
    bench.harness.note?.(`seed ${seed}`)
    try {
      await compare(bench.store, createSeededRandom(seed), bench.t0)
    } catch (error) {
      throw new Error(`With DAYPASS_TEST_SEED=${seed}: ${(error as Error).message}`, { cause: error })
    }
  }),
]

async function compare(store: Store, chance: SeededRandom, t0: number): Promise<void> {
  const model = createModel()
  const subjects = ['a', 'b', 'c']
  let now = t0
  for (let count = 0; count < 2000; count++) {
    // Time mostly moves forward a little, sometimes a lot, and sometimes back.
    now += chance.pick([0, 1, 7, second, 10 * second, 30 * second, minute, chance.below(10 * minute), -second, -minute])
    const ids = [...model.rows.keys()]
    const id = ids.length > 0 ? chance.pick(ids) : ''
    const row = model.rows.get(id)
    const call = chance.below(22)
    const what = `call ${count}, kind ${call}`

    if (row === undefined || call === 0) {
      const session = randomSession(chance, now, chance.pick(subjects))
      model.rows.set(session.id, session)
      await store.create(session)
    } else if (call < 14) {
      const step = {
        id,
        generation: Math.max(0, row.generation + chance.pick([0, 0, 0, 0, -1, -2, 1, 5])),
        salt: chance.bytes(8),
        key: chance.pick([null, chance.bytes(16)]),
        // Sometimes exactly an instant at which something changes.
        now: chance.pick([
          now,
          now,
          now,
          row.idleExpiresAt,
          row.expiresAt,
          row.idleExpiresAt - 1,
          // An idle end long ago would let an engine expire the row.
          row.burstAt === 0 ? now : row.burstAt + 30 * second,
        ]),
        idleTimeout: chance.pick([minute, hour, 30 * hour]),
        reuseInterval: chance.pick([0, 30 * second, 30 * second]),
        ip: chance.pick([undefined, '192.0.2.1', '2001:db8::1']),
      }
      const expected = pureAdvance(row, step)
      const advanced = await store.advance(step)
      assert.deepEqual(plain(advanced?.session), plain(expected), what)
      if (advanced !== null) assert.equal(advanced.healed, row.generation < step.generation, what)
      if (expected !== null) model.rows.set(id, expected)
    } else if (call === 14) {
      const reason = chance.pick(reasons)
      sameRow(await store.revoke(id, now, reason), model.revoke(id, now, reason), what)
    } else if (call === 15 && chance.below(4) === 0) {
      const reason = chance.pick(reasons)
      const except = chance.pick([undefined, id])
      const expected = model
        .bySubject(row.subject)
        .filter((each) => each.id !== except)
        .map((each) => model.revoke(each.id, now, reason))
        .filter((each) => each !== null)
      const ended = await store.revokeSubject(row.subject, now, reason, except)
      assert.deepEqual(byId(ended).map(plain), byId(expected).map(plain), what)
    } else if (call === 16) {
      const live = model.bySubject(row.subject).filter((each) => isLive(each, now))
      const listed = await store.list(row.subject, now, 100)
      assert.deepEqual(byId(listed).map(plain), byId(live).map(plain), what)
      const order = listed.map((each) => each.createdAt)
      assert.deepEqual(
        order,
        [...order].sort((a, b) => b - a),
        what,
      )
    } else if (call === 17) {
      const since = now - chance.pick([0, second, minute, hour])
      const announced = new Map((await store.revokedSince(since)).map((each) => [each.id, each.revokedAt]))
      for (const { id, revokedAt } of model.rows.values()) {
        if (revokedAt !== null && revokedAt >= since) assert.equal(announced.get(id), revokedAt, what)
      }
      // The feed may announce a session again that ended before `since`.
      for (const [id, revokedAt] of announced) assert.equal(revokedAt, model.rows.get(id)?.revokedAt, what)
    } else if (call === 18 && chance.below(10) === 0) {
      const before = now - chance.pick([0, minute, hour])
      const over = [...model.rows.values()].filter((each) => isOver(each, before))
      assert.equal(await store.prune(before, 10_000), over.length, what)
      for (const each of over) model.rows.delete(each.id)
    }
    if (row !== undefined && call >= 20) {
      const changes = randomChanges(chance, now)
      const expected = isLive(row, now) ? applyChanges(row, changes) : null
      sameRow(await store.update(id, now, changes), expected, what)
      if (expected !== null) model.rows.set(id, expected)
    }
    sameRow(await store.find(id), model.rows.get(id) ?? null, what)
  }
  for (const [id, row] of model.rows) sameRow(await store.find(id), row, 'at the end')
}

function randomSession(chance: SeededRandom, now: number, subject: string): Session {
  const expiresAt = now + chance.pick([minute, hour, 30 * hour])
  return {
    ...makeSession(now),
    id: Buffer.from(chance.bytes(16)).toString('base64url'),
    secret: chance.bytes(16),
    subject,
    expiresAt,
    idleExpiresAt: Math.min(expiresAt, now + chance.pick([minute, hour])),
    idleTimeout: chance.pick([null, null, minute, 2 * hour]),
    accessTokenLifetime: chance.pick([null, 60]),
    persistent: chance.pick([true, false]),
    generation: chance.pick([0, 0, 3]),
    claims: chance.pick([{}, { n: chance.below(9) }]),
    amr: chance.pick([[], ['pwd']]),
    device: chance.pick([{}, { userAgent: 'UA', ip: '192.0.2.9' }, { label: 'x' }]),
  }
}

/** One member or more. */
function randomChanges(chance: SeededRandom, now: number): Changes {
  const all: Changes[] = [
    { claims: { n: chance.below(9) } },
    { authTime: now },
    { amr: chance.pick([[], ['otp']]) },
    { label: chance.pick(['y', null]) },
  ]
  return { ...chance.pick(all), ...chance.pick(all) }
}

const isOver = ({ idleExpiresAt, revokedAt }: Session, before: number) =>
  idleExpiresAt < before || (revokedAt !== null && revokedAt < before)

const byId = <T extends { id: string }>(rows: readonly T[]) => [...rows].sort((a, b) => (a.id < b.id ? -1 : 1))
