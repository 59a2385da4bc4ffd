// Rules of the store contract for creating, finding, ending and pruning sessions.

import assert from 'node:assert/strict'
import type { Session } from '../core/session.ts'
import {
  bytes,
  findRow,
  freshId,
  hour,
  makeSession,
  minute,
  rule,
  type StoreRule,
  sameRow,
  second,
} from './store-harness.ts'

const ids = (sessions: readonly { id: string }[]) => sessions.map((session) => session.id)
const sorted = (list: readonly string[]) => [...list].sort()

const keeping: StoreRule[] = [
  rule('find returns every member of the full row that create wrote', async ({ store, t0 }) => {
    const full = makeSession(t0, {
      subject: 'Zoë 🦊 𝒽ello',
      clientId: 'mobile app/2',
      scope: 'read write:all',
      claims: {
        role: 'admin',
        name: 'Zoë 🦊 " \\ \u2028 \n',
        deep: { list: [1, -0.5, 1e21, null, true, { a: [] }] },
        '': '',
      },
      generation: 4_294_967_294,
      parentSalt: bytes(8),
      parentKey: bytes(16),
      burstAt: t0 - 3,
      burstGeneration: 4_294_967_290,
      prevBurstGeneration: 4_294_967_280,
      rotatedAt: t0 - 2,
      createdAt: t0 - 1,
      authTime: t0 - 5000,
      amr: ['pwd', 'otp', 'hwk'],
      idleExpiresAt: t0 + hour,
      expiresAt: t0 + 100 * 365 * 24 * hour,
      idleTimeout: 3_155_760_000_000,
      accessTokenLifetime: 86_400,
      persistent: false,
      jkt: '0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I',
      device: { userAgent: 'Mozilla/5.0 (“quoted”; 日本語)', ip: '2001:db8::1', label: 'Zoë’s 📱' },
    })
    await store.create(full)
    sameRow(await store.find(full.id), full)
  }),

  rule('find returns nulls, empty lists and absent device members as create wrote them', async ({ store, create }) => {
    const bare = await create()
    const found = await findRow(store, bare.id)
    sameRow(found, bare)
    assert.deepEqual(Object.keys(found.device), [], 'an absent device member is absent')
    assert.deepEqual(found.claims, {})
    assert.deepEqual(found.amr, [])
  }),

  rule('each device member is stored independently of the others', async ({ store, create }) => {
    for (const device of [{ userAgent: 'a' }, { ip: '192.0.2.1' }, { label: 'c' }, { userAgent: '', label: '' }]) {
      const session = await create({ device })
      sameRow(await store.find(session.id), session)
    }
  }),

  rule('a revoked row keeps its instant and its reason', async ({ store, create, t0 }) => {
    const reasons = [
      'sign-out',
      'reuse',
      'forgery',
      'inactive',
      'expired',
      'limit',
      'password',
      'admin',
      'replaced',
    ] as const
    for (const revokedReason of reasons) {
      const session = await create({ revokedAt: t0, revokedReason })
      sameRow(await store.find(session.id), session)
    }
  }),

  rule('claims of 4 kB with every kind of text are returned unchanged', async ({ store, create }) => {
    const claims = { text: 'ü\u0000"\\𝕏'.repeat(400), __nested: { constructor: 1, toString: 'x', length: 0 } }
    const session = await create({ claims })
    assert.deepEqual((await findRow(store, session.id)).claims, claims)
    const odd = { 'a name\u0000 and \ud800': 'half a pair: \udfff', $set: { 'a.b': '\ufeff\u0001\u001f\u007f' } }
    const other = await create({ claims: odd })
    assert.deepEqual((await findRow(store, other.id)).claims, odd)
  }),

  rule('control characters and the last code points are kept in every text', async ({ store, create, t0 }) => {
    const odd = '\ufeff\u0001\t\r\n\u001f\u007f\u0085\u2028\ufffd\u{10ffff}'
    const device = { userAgent: odd, label: odd, ip: '\u0001x' }
    const session = await create({ subject: odd, clientId: odd, scope: odd, amr: [odd], device })
    sameRow(await store.find(session.id), session)
    assert.deepEqual(ids(await store.list(odd, t0, 100)), [session.id])
    assert.deepEqual(ids(await store.revokeSubject(odd, t0, 'admin')), [session.id])
  }),

  rule('subjects with any text in them are kept apart', async ({ store, create, t0 }) => {
    const subjects = [
      "o'hara; DROP TABLE daypass_session;--",
      '$ne',
      '{"$ne":null}',
      'a*',
      'a%',
      'a_',
      'A',
      'a',
      'ä',
      'a ',
      ' a',
    ]
    for (const subject of subjects) await create({ subject })
    for (const subject of subjects) {
      const listed = await store.list(subject, t0, 100)
      assert.deepEqual(
        listed.map((session) => session.subject),
        [subject],
      )
    }
    assert.deepEqual(await store.list('nobody', t0, 100), [])
  }),

  rule('find returns null for unknown ids, in every spelling', async ({ store, create }) => {
    const { id } = await create({ id: 'AAAAAAAAAAAAAAAAAAAAAA' })
    assert.equal(await store.find('BAAAAAAAAAAAAAAAAAAAAA'), null)
    // A lenient decoder reads the same 16 bytes from these. A session has only one id.
    for (const other of [
      '',
      'x',
      'AAAAAAAAAAAAAAAAAAAAAB',
      `${id}=`,
      `${id}==`,
      ` ${id}`,
      `${id}AAAA`,
      id.toLowerCase(),
      `${id}\u0000`,
      '\u0000',
      '\ud800',
      `${id.slice(0, 21)}\udfff`,
    ]) {
      assert.equal(await store.find(other), null, `found by ${JSON.stringify(other)}`)
      assert.equal(await store.revoke(other, Date.now(), 'admin'), null)
    }
    assert.equal((await findRow(store, id)).revokedAt, null)
  }),

  rule('creating the same id twice fails and leaves the first row alone', async ({ store, create }) => {
    const first = await create()
    await assert.rejects(store.create({ ...first, subject: 'somebody else', secret: bytes(16) }))
    sameRow(await store.find(first.id), first)
    assert.deepEqual(await store.list('somebody else', first.createdAt, 100), [])
  }),

  rule('arguments and results are copies: changing them changes no row', async ({ store, create, step, t0 }) => {
    const given = makeSession(t0, {
      claims: { role: 'user', list: [1] },
      amr: ['pwd'],
      device: { label: 'phone' },
      parentSalt: bytes(8),
      parentKey: bytes(16),
    })
    const original = structuredClone(given)
    await store.create(given)
    spoil(given)
    sameRow(await store.find(original.id), original, 'the object given to create')

    for (const read of [() => store.find(original.id), async () => (await store.list(original.subject, t0, 100))[0]!]) {
      spoil((await read())!)
      sameRow(await store.find(original.id), original, 'an object read')
    }

    const redeem = step(original, { key: bytes(16), ip: '192.0.2.7' })
    const advanced = await store.advance(redeem)
    assert.ok(advanced)
    const after = structuredClone(advanced.session)
    redeem.salt.fill(0)
    redeem.key!.fill(0)
    spoil(advanced.session)
    sameRow(await store.find(original.id), after, 'the objects of advance')

    const revoked = await store.revoke(original.id, t0 + second, 'admin')
    const ended = structuredClone(revoked)
    spoil(revoked!)
    sameRow(await store.find(original.id), ended, 'the object of revoke')
    const other = await create({ subject: 'other' })
    const all = await store.revokeSubject('other', t0 + second, 'admin')
    const last = structuredClone(all[0]!)
    spoil(all[0]!)
    sameRow(await store.find(other.id), last, 'the objects of revokeSubject')
  }),
]

/** Changes every part of a row that can be changed. */
function spoil(session: Session): void {
  for (const change of [
    () => session.secret.fill(0),
    () => session.parentSalt?.fill(0),
    () => session.parentKey?.fill(0),
    () => Object.assign(session.claims, { role: 'admin', added: true }),
    () => (session.claims.list as number[] | undefined)?.push(2),
    () => session.amr.push('mfa'),
    () => Object.assign(session.device, { label: 'spoiled', ip: '0.0.0.0' }),
    () => Object.assign(session, { generation: 99, revokedAt: null, revokedReason: null, subject: 'spoiled' }),
  ]) {
    try {
      change()
    } catch {
      // A frozen object is as safe as a copy.
    }
  }
}

const ending: StoreRule[] = [
  rule('revoke ends a session and returns the new row; the first reason wins', async ({ store, create, t0 }) => {
    const session = await create({ claims: { a: 1 } })
    const ended = { ...session, revokedAt: t0 + 5, revokedReason: 'sign-out' } as const
    sameRow(await store.revoke(session.id, t0 + 5, 'sign-out'), ended)
    assert.equal(await store.revoke(session.id, t0 + 6, 'reuse'), null)
    sameRow(await store.find(session.id), ended)
    assert.equal(await store.revoke(freshId(), t0, 'admin'), null)
  }),

  rule('of 50 concurrent revokes exactly one ends the session', async ({ store, create, t0 }) => {
    const session = await create()
    const answers = await Promise.all(Array.from({ length: 50 }, (_, i) => store.revoke(session.id, t0 + i, 'admin')))
    assert.equal(answers.filter((answer) => answer !== null).length, 1)
    sameRow(await store.find(session.id), answers.find((answer) => answer !== null)!)
  }),

  rule('revokeSubject ends all sessions of one subject, once, and no others', async ({ store, create, t0 }) => {
    const mine = [await create(), await create(), await create()]
    const before = await create({ revokedAt: t0 - 1, revokedReason: 'reuse' })
    const other = await create({ subject: 'subject-2' })
    const ended = await store.revokeSubject('subject-1', t0 + 7, 'password')
    assert.deepEqual(sorted(ids(ended)), sorted(ids(mine)))
    for (const row of ended) {
      assert.equal(row.revokedAt, t0 + 7)
      assert.equal(row.revokedReason, 'password')
      sameRow(await store.find(row.id), row)
    }
    sameRow(await store.find(before.id), before)
    sameRow(await store.find(other.id), other)
    assert.deepEqual(await store.revokeSubject('subject-1', t0 + 8, 'admin'), [])
    assert.deepEqual(await store.revokeSubject('nobody', t0, 'admin'), [])
  }),

  rule('revokeSubject does not end the excepted session', async ({ store, create, t0 }) => {
    const kept = await create()
    const ended = await create()
    assert.deepEqual(ids(await store.revokeSubject('subject-1', t0 + 1, 'password', kept.id)), [ended.id])
    sameRow(await store.find(kept.id), kept)
    // An unknown id excepts no session.
    assert.deepEqual(ids(await store.revokeSubject('subject-1', t0 + 1, 'admin', freshId())), [kept.id])
    const last = await create()
    assert.deepEqual(ids(await store.revokeSubject('subject-1', t0 + 1, 'admin', '\u0000\ud800')), [last.id])
  }),

  rule('list returns the live sessions of the subject, newest sign-in first', async ({ store, create, t0 }) => {
    const [b, a, c] = [
      await create({ createdAt: t0 - 2 * minute, device: { label: 'b' } }),
      await create({ createdAt: t0 - minute, claims: { a: 1 } }),
      await create({ createdAt: t0 - 3 * minute }),
    ]
    await create({ revokedAt: t0, revokedReason: 'admin' })
    await create({ subject: 'subject-2' })
    const listed = await store.list('subject-1', t0, 100)
    assert.deepEqual(ids(listed), ids([a, b, c]))
    for (const [index, session] of [a, b, c].entries()) sameRow(listed[index]!, session)
    await store.revoke(a.id, t0, 'admin')
    assert.deepEqual(ids(await store.list('subject-1', t0, 100)), ids([b, c]))
  }),

  rule('list returns at most `limit` sessions, the newest sign-ins', async ({ store, create, t0 }) => {
    const sessions = []
    for (let age = 0; age < 12; age++) sessions.push(await create({ createdAt: t0 - age * minute }))
    for (const limit of [1, 5, 12, 100]) {
      assert.deepEqual(ids(await store.list('subject-1', t0, limit)), ids(sessions.slice(0, limit)))
    }
  }),

  rule('list leaves out a session from the instant of either expiry', async ({ store, create, t0 }) => {
    const idle = await create({ subject: 'idle', idleExpiresAt: t0 + hour })
    const absolute = await create({ subject: 'absolute', idleExpiresAt: t0 + hour, expiresAt: t0 + hour })
    for (const { id, subject } of [idle, absolute]) {
      assert.deepEqual(ids(await store.list(subject, t0 + hour - 1, 100)), [id])
      assert.deepEqual(await store.list(subject, t0 + hour, 100), [])
      // Listing changes nothing.
      assert.deepEqual(ids(await store.list(subject, t0, 100)), [id])
    }
  }),

  rule('revokedSince returns the sessions that were revoked at or after the instant', async ({ store, create, t0 }) => {
    const rows = [await create(), await create(), await create({ subject: 'subject-2' })]
    await create()
    assert.deepEqual(await store.revokedSince(0), [])
    await store.revoke(rows[0]!.id, t0 + 10, 'sign-out')
    await store.revoke(rows[1]!.id, t0 + 20, 'reuse')
    await store.revokeSubject('subject-2', t0 + 30, 'password')
    const since = async (instant: number) => sorted(ids(await store.revokedSince(instant)))
    assert.deepEqual(await since(t0), sorted(ids(rows)))
    assert.deepEqual(await since(t0 + 10), sorted(ids(rows)))
    assert.deepEqual(await since(t0 + 11), sorted(ids(rows.slice(1))))
    assert.deepEqual(await since(t0 + 30), ids(rows.slice(2)))
    assert.deepEqual(await since(t0 + 31), [])
    assert.deepEqual(await since(Number.NEGATIVE_INFINITY), sorted(ids(rows)))
    assert.deepEqual(await store.revokedSince(t0 + 20.5), [{ id: rows[2]!.id, revokedAt: t0 + 30 }])
    // The instants may be out of order, because another instance's clock may be behind.
    await store.revoke((await create()).id, t0 + 5, 'admin')
    assert.equal((await since(t0 + 5)).length, 4)
    assert.equal((await since(t0 + 6)).length, 3)
  }),
]

const forgetting: StoreRule[] = [
  rule('prune deletes the sessions that ended before the instant, and no others', async ({ store, create, t0 }) => {
    const idle = await create({ idleExpiresAt: t0 + hour })
    const absolute = await create({ idleExpiresAt: t0 + hour, expiresAt: t0 + hour })
    const revoked = await create()
    await store.revoke(revoked.id, t0 + hour, 'admin')
    const live = await create({ idleExpiresAt: t0 + 2 * hour })
    assert.equal(await store.prune(t0 + hour, 100), 0, 'a session that ends at the instant did not end before it')
    assert.equal(await store.prune(t0 + hour + 1, 100), 3)
    for (const gone of [idle, absolute, revoked]) assert.equal(await store.find(gone.id), null)
    sameRow(await store.find(live.id), live)
    assert.deepEqual(ids(await store.list('subject-1', t0, 100)), [live.id])
    assert.equal(await store.prune(t0 + hour + 1, 100), 0)
  }),

  rule('prune deletes at most `limit` rows a call, and repeated calls delete all', async ({ store, create, t0 }) => {
    for (let i = 0; i < 25; i++) {
      const session = await create({ subject: `s${i}`, idleExpiresAt: t0 + hour })
      if (i % 2 === 0) await store.revoke(session.id, t0 + i, 'admin')
    }
    const live = await create({ idleExpiresAt: t0 + 3 * hour })
    const steps: number[] = []
    for (let n = 10; n === 10 && steps.length < 10; ) {
      n = await store.prune(t0 + 2 * hour, 10)
      steps.push(n)
    }
    assert.deepEqual(steps, [10, 10, 5])
    sameRow(await store.find(live.id), live)
    assert.deepEqual(await store.revokedSince(0), [], 'deleted sessions are not announced')
  }),

  rule('a pruned session cannot be advanced, revoked or listed', async ({ store, create, step, t0 }) => {
    const session = await create({ idleExpiresAt: t0 + hour })
    assert.equal(await store.prune(t0 + 2 * hour, 10), 1)
    assert.equal(await store.advance(step(session)), null)
    assert.equal(await store.revoke(session.id, t0, 'admin'), null)
    assert.deepEqual(await store.list(session.subject, t0, 100), [])
    // The id can be used again.
    await store.create(session)
    sameRow(await store.find(session.id), session)
  }),
]

/** The rules for storing, ending and pruning rows. */
export const rowRules: readonly StoreRule[] = [...keeping, ...ending, ...forgetting]
