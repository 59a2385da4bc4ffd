// Rules of the store contract for concurrent callers.

import assert from 'node:assert/strict'
import { advance as pureAdvance } from '../core/rotation.ts'
import type { Session } from '../core/session.ts'
import type { Advanced } from '../core/store.ts'
import {
  bytes,
  findRow,
  freshId,
  issuer,
  makeSession,
  plain,
  rule,
  type StoreRule,
  sameRow,
  second,
} from './store-harness.ts'

const times = <T>(count: number, make: (index: number) => T) => Array.from({ length: count }, (_, index) => make(index))
const turn = () => new Promise((resolve) => setImmediate(resolve))
const won = (answers: (Advanced | null)[]) => answers.filter((answer) => answer !== null)

/** The rules for concurrent calls. */
export const raceRules: readonly StoreRule[] = [
  rule(
    'of 50 concurrent advances of one token exactly one wins, and the row is the winner’s',
    async ({ store, create, step }) => {
      for (let round = 0; round < 5; round++) {
        const session = await create()
        const steps = times(50, () => step(session, { key: bytes(16) }))
        const answers = await Promise.all(steps.map((each) => store.advance(each)))
        const winner = answers.findIndex((answer) => answer !== null)
        assert.equal(won(answers).length, 1)
        sameRow(answers[winner]!.session, pureAdvance(session, steps[winner]!))
        sameRow(await store.find(session.id), answers[winner]!.session)
      }
    },
  ),

  rule(
    'concurrent advances of several generations of one session skip, repeat and mix up none',
    async ({ store, create, step }) => {
      const session = await create()
      // Concurrent, in order. Each may find the previous one done, or heal a row that is behind. None may win twice.
      const steps = times(20, (generation) => step(session, { generation, key: bytes(16) }))
      const answers = await Promise.all(steps.map((each) => store.advance(each)))
      const row = await findRow(store, session.id)
      const generations = won(answers).map((answer) => answer.session.generation)
      assert.equal(new Set(generations).size, generations.length)
      assert.equal(row.generation, 20, 'the newest of them succeeds in any order')
      assert.deepEqual(new Uint8Array(row.parentSalt!), steps[19]!.salt)
      for (const [index, answer] of answers.entries()) {
        if (answer === null) continue
        assert.equal(answer.session.generation, index + 1)
        assert.deepEqual(new Uint8Array(answer.session.parentSalt!), steps[index]!.salt)
      }
    },
  ),

  rule(
    'in a batch of many sessions, copies and unknown sessions, each call gets its own result',
    async ({ store, create, step, t0 }) => {
      const sessions = await Promise.all(times(40, (i) => create({ subject: `subject-${i % 7}`, claims: { i } })))
      const ended = await create({ revokedAt: t0, revokedReason: 'admin' })
      const calls = sessions.flatMap((session) => times(3, () => step(session)))
      calls.push(step(ended), step(makeSession(t0)))
      for (let i = calls.length - 1; i > 0; i--) {
        const j = Math.floor(Math.random() * (i + 1))
        ;[calls[i], calls[j]] = [calls[j]!, calls[i]!]
      }
      const answers = await Promise.all(calls.map((call) => store.advance(call)))
      assert.equal(won(answers).length, sessions.length)
      for (const [index, answer] of answers.entries()) {
        if (answer === null) continue
        const call = calls[index]!
        assert.equal(answer.session.id, call.id)
        const before = sessions.find((session) => session.id === call.id)!
        assert.deepEqual(plain(answer.session), plain(pureAdvance(before, call)))
      }
      for (const session of sessions) assert.equal((await findRow(store, session.id)).generation, 1)
    },
  ),

  rule('concurrent calls of every kind each get their own result', async ({ store, create, step, t0 }) => {
    const [a, b, c] = [await create(), await create(), await create({ subject: 'subject-2', generation: 1 })]
    const born = makeSession(t0, { subject: 'subject-3' })
    const [advanced, revoked, , unknown, listed] = await Promise.all([
      store.advance(step(a)),
      store.revoke(b.id, t0 + 1, 'admin'),
      store.create(born),
      store.advance(step(makeSession(t0))),
      store.list('subject-2', t0, 100),
    ])
    assert.equal(advanced?.session.id, a.id)
    assert.equal(revoked?.id, b.id)
    assert.equal(unknown, null)
    assert.deepEqual(
      listed.map((session) => session.id),
      [c.id],
    )
    sameRow(await store.find(born.id), born)
  }),

  rule('a call that fails in a batch fails alone', async ({ store, create, step }) => {
    const [a, b] = [await create(), await create()]
    const results = await Promise.allSettled([store.advance(step(a)), store.create(a), store.advance(step(b))])
    assert.deepEqual(
      results.map((result) => result.status),
      ['fulfilled', 'rejected', 'fulfilled'],
    )
    assert.equal((await findRow(store, a.id)).generation, 1)
    assert.equal((await findRow(store, b.id)).generation, 1)
  }),

  rule(
    'once revoke has returned, nothing advances: sign-out wins over a refresh',
    async ({ store, create, step, t0 }) => {
      for (let round = 0; round < 30; round++) {
        const session = await create()
        let returned = false
        const chain = (async () => {
          // One client refreshes as fast as it can, until it is rejected.
          for (let row: Session = session; ; ) {
            const wasReturned: boolean = returned
            const answer: Advanced | null = await store.advance(step(row, { now: t0 + second }))
            if (answer === null) return row
            assert.ok(!wasReturned, 'advanced after revoke had returned')
            assert.equal(answer.session.revokedAt, null)
            row = answer.session
            await turn()
          }
        })()
        for (let n = 0; n < round % 6; n++) await turn()
        const revoked = await store.revoke(session.id, t0 + 2, 'sign-out')
        returned = true
        const last = await chain
        const row = await findRow(store, session.id)
        assert.equal(row.revokedReason, 'sign-out')
        assert.equal(row.generation, last.generation)
        assert.equal(revoked?.generation, row.generation, 'revoke returns the final row')
      }
    },
  ),

  rule('once revokeSubject has returned, no session of the subject advances', async ({ store, create, step, t0 }) => {
    const sessions = await Promise.all(times(10, () => create()))
    const racing = sessions.map((session) => store.advance(step(session)))
    const ended = await store.revokeSubject('subject-1', t0 + 2, 'password', sessions[0]!.id)
    assert.equal(ended.length, 9)
    await Promise.all(racing)
    const later = await Promise.all(sessions.map(async ({ id }) => store.advance(step(await findRow(store, id)))))
    assert.deepEqual(
      later.map((answer) => answer !== null),
      [true, ...times(9, () => false)],
    )
  }),

  rule('parallel creates make one row each', async ({ store, t0 }) => {
    const sessions = times(60, (i) => makeSession(t0, { createdAt: t0 - i, claims: { i } }))
    await Promise.all(sessions.map((session) => store.create(session)))
    const listed = await store.list('subject-1', t0, 100)
    assert.deepEqual(
      listed.map((session) => session.id),
      sessions.map((session) => session.id),
    )
    // Many with the same id: one of them becomes the row, complete.
    const id = freshId()
    const rivals = times(20, (i) => makeSession(t0, { id, subject: `rival-${i}`, claims: { i } }))
    const results = await Promise.allSettled(rivals.map((session) => store.create(session)))
    const winner = results.findIndex((result) => result.status === 'fulfilled')
    assert.equal(results.filter((result) => result.status === 'fulfilled').length, 1)
    sameRow(await store.find(id), rivals[winner]!)
  }),

  rule('close waits for calls in flight, and may be called twice', async ({ store, create, step, t0, harness }) => {
    const session = await create()
    const rest = times(20, (i) => makeSession(t0, { subject: `late-${i}` }))
    const flying = Promise.all([store.advance(step(session)), ...rest.map((each) => store.create(each))])
    await store.check()
    assert.ok((await flying)[0])
    // Use a second store, because the rule itself closes the first one.
    const other = await harness.open()
    await other.open(issuer)
    const born = makeSession(t0)
    const created = other.create(born)
    await other.close()
    await created
    await other.close()
  }),
]
