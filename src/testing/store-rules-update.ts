// Rules of the store contract for `update`, alone and beside other calls.

import assert from 'node:assert/strict'
import { applyChanges, type Changes, type Session } from '../core/session.ts'
import type { Advanced } from '../core/store.ts'
import {
  type Bench,
  bytes,
  findRow,
  freshId,
  hour,
  minute,
  rule,
  type StoreRule,
  sameRow,
  second,
} from './store-harness.ts'

const turn = () => new Promise((resolve) => setImmediate(resolve))

/** Updates, and compares the result and the row with the change as a function. */
async function updateBoth({ store, t0 }: Bench, session: Session, changes: Changes): Promise<Session> {
  const expected = applyChanges(session, changes)
  sameRow(await store.update(session.id, t0 + second, changes), expected)
  sameRow(await store.find(session.id), expected)
  return expected
}

const alone: StoreRule[] = [
  rule('update changes the members that are given, and no others', async (bench) => {
    let row = await bench.create({
      claims: { role: 'user' },
      amr: ['pwd'],
      device: { userAgent: 'UA', ip: '192.0.2.1', label: 'phone' },
      generation: 3,
      parentSalt: bytes(8),
      parentKey: bytes(16),
      idleTimeout: 2 * hour,
      persistent: false,
    })
    for (const changes of [
      { claims: { role: 'admin', list: [1, { $set: 'x' }], $ne: null } },
      { authTime: bench.t0 - 5 },
      { amr: ['pwd', 'otp'] },
      { label: '$label of “Zoë”' },
      { label: '' },
      { label: null },
      { label: null },
      { label: 'again' },
      { claims: {}, authTime: 0, amr: [], label: 'all' },
    ]) {
      row = await updateBoth(bench, row, changes)
    }
    assert.deepEqual(row.claims, {})
    assert.equal(row.device.label, 'all')
  }),

  rule('update stores every kind of text unchanged', async (bench) => {
    const odd = '\ufeff\u0001\t\r\n\u001f\u007f\u0085\u2028\ufffd\u{10ffff}$$NOW'
    const claims = { 'a name\u0000 and \ud800': 'half a pair: \udfff', text: 'ü\u0000"\\𝕏'.repeat(400) }
    const row = await updateBoth(bench, await bench.create(), { claims, amr: [odd], label: odd })
    const { session } = (await bench.store.advance(bench.step(row)))!
    assert.deepEqual([session.claims, session.amr, session.device.label], [claims, [odd], odd])
  }),

  rule('update changes no session that is over, unknown, or of another id', async ({ store, create, t0 }) => {
    const changes: Changes = { claims: { role: 'admin' }, authTime: t0, amr: ['otp'], label: 'x' }
    const [live, revoked, idle, absolute] = [
      await create(),
      await create({ revokedAt: t0, revokedReason: 'sign-out' }),
      await create({ idleExpiresAt: t0 + minute }),
      await create({ idleExpiresAt: t0 + minute, expiresAt: t0 + minute }),
    ]
    for (const id of [freshId(), '', 'x', `${live.id}=`, `${live.id}\u0000`]) {
      assert.equal(await store.update(id, t0 + second, changes), null)
    }
    assert.equal(await store.update(revoked.id, t0, changes), null)
    for (const { id } of [idle, absolute]) assert.equal(await store.update(id, t0 + minute, changes), null)
    for (const row of [live, revoked, idle, absolute]) sameRow(await store.find(row.id), row)
    // A millisecond before, it is live.
    for (const { id } of [idle, absolute]) assert.ok(await store.update(id, t0 + minute - 1, changes))
  }),

  rule('update takes and returns copies: changing them changes no row', async ({ store, create, t0 }) => {
    const { id } = await create()
    const claims = { list: [1] }
    const amr = ['pwd']
    const answer = await store.update(id, t0 + second, { claims, amr, label: 'phone' })
    const expected = structuredClone(answer)
    claims.list.push(2)
    amr.push('mfa')
    answer!.amr.push('mfa')
    Object.assign(answer!.claims, { added: true })
    Object.assign(answer!.device, { label: 'spoiled' })
    answer!.secret.fill(0)
    sameRow(await store.find(id), expected)
  }),
]

const beside: StoreRule[] = [
  rule('updates of different members and an advance at once: none is lost', async ({ store, create, step, t0 }) => {
    for (let round = 0; round < 20; round++) {
      const session = await create({ claims: { round }, device: { userAgent: 'UA', label: 'old' } })
      const calls = [
        () => store.update(session.id, t0 + 1, { claims: { role: 'admin' } }),
        () => store.update(session.id, t0 + 1, { authTime: t0 - 7 }),
        () => store.update(session.id, t0 + 1, { amr: ['otp'] }),
        () => store.update(session.id, t0 + 1, { label: 'new' }),
        () => store.advance(step(session, { ip: '192.0.2.7' })),
      ]
      // In another order each round.
      const answers = await Promise.all([...calls.slice(round % 5), ...calls.slice(0, round % 5)].map((call) => call()))
      assert.ok(answers.every((answer) => answer !== null))
      const row = await findRow(store, session.id)
      assert.deepEqual([row.claims, row.authTime, row.amr], [{ role: 'admin' }, t0 - 7, ['otp']])
      assert.deepEqual(row.device, { userAgent: 'UA', ip: '192.0.2.7', label: 'new' })
      assert.equal(row.generation, 1)
    }
  }),

  rule('updates while a session is refreshed as fast as it goes: none of either is lost', async (bench) => {
    const { store, create, step, t0 } = bench
    const session = await create()
    let isOver = false
    async function refresh(): Promise<Session> {
      let row: Session = session
      while (!isOver) {
        const answer: Advanced | null = await store.advance(step(row, { now: t0 + second, key: bytes(16) }))
        assert.ok(answer, 'an update made a refresh fail')
        assert.equal(answer.healed, false, 'an update undid a refresh')
        row = answer.session
        await turn()
      }
      return row
    }
    async function update(): Promise<void> {
      for (let n = 1; n <= 25; n++) {
        const updated = await store.update(session.id, t0 + second, n % 2 === 0 ? { claims: { n } } : { label: `${n}` })
        assert.ok(updated)
        const row = await findRow(store, session.id)
        assert.equal(n % 2 === 0 ? row.claims.n : row.device.label, n % 2 === 0 ? n : `${n}`, 'a refresh undid it')
      }
    }
    const updating = update().finally(() => {
      isOver = true
    })
    const [last] = await Promise.all([refresh(), updating])
    const row = await findRow(store, session.id)
    assert.equal(row.generation, last.generation)
    assert.deepEqual([row.claims, row.device.label], [{ n: 24 }, '25'])
    assert.deepEqual(new Uint8Array(row.parentSalt!), new Uint8Array(last.parentSalt!))
  }),

  rule('once revoke has returned, no update succeeds, and none revives the session', async ({ store, create, t0 }) => {
    for (let round = 0; round < 20; round++) {
      const session = await create()
      let returned = false
      async function update(): Promise<void> {
        for (let n = 0; ; n++) {
          const wasReturned: boolean = returned
          if ((await store.update(session.id, t0 + 1, { claims: { n } })) === null) return
          assert.ok(!wasReturned, 'updated after revoke had returned')
          await turn()
        }
      }
      async function revoke(): Promise<Session | null> {
        for (let n = 0; n < round % 6; n++) await turn()
        const ended = await store.revoke(session.id, t0 + 2, 'sign-out')
        returned = true
        return ended
      }
      const [revoked] = await Promise.all([revoke(), update()])
      sameRow(await store.find(session.id), revoked)
      assert.equal(revoked?.revokedReason, 'sign-out')
    }
  }),
]

/** The rules of `update`. */
export const updateRules: readonly StoreRule[] = [...alone, ...beside]
