// The ways in which sessions end: sign-out, limits, disabled accounts, and the events of each.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { DaypassEvent } from '../../src/core/events.ts'
import type { Session } from '../../src/core/session.ts'
import { createMemoryStore } from '../../src/stores/memory.ts'
import { findRow } from '../../src/testing/store-harness.ts'
import { createRig, day, hour, newKey, onEachStore, refused, spyOn } from './setup.ts'

onEachStore(
  'sign-out: the session, its refresh token and its access tokens are over when revoke returns',
  {},
  async (rig) => {
    const { auth } = rig
    const { refreshToken, accessToken, session } = await auth.issue('user-1')
    await auth.verify(accessToken)
    assert.equal(await auth.revoke(session.id), true)
    await refused(auth.refresh(refreshToken), 'ERR_SESSION_REVOKED', 'invalid_grant')
    await refused(auth.verify(accessToken), 'ERR_ACCESS_TOKEN_REVOKED', 'invalid_token')
    assert.equal(await auth.revoke(session.id), false, 'ended before')
    assert.equal(await auth.revoke('AAAAAAAAAAAAAAAAAAAAAA'), false, 'not there')
    assert.equal((await findRow(rig.store, session.id)).revokedReason, 'sign-out')
  },
)

onEachStore('sign-out wins a race with refreshes: no token that was issued is valid afterwards', {}, async (rig) => {
  const { auth } = rig
  for (let round = 0; round < 20; round++) {
    const { refreshToken, session } = await auth.issue('user-1')
    const racing = [1, 2, 3].map(() => auth.refresh(refreshToken, { idempotencyKey: newKey() }))
    const out = auth.revoke(session.id)
    const results = await Promise.allSettled(racing)
    await out
    for (const result of results) {
      if (result.status === 'rejected') continue
      await refused(auth.refresh(result.value.refreshToken), 'ERR_SESSION_REVOKED')
      await refused(auth.verify(result.value.accessToken), 'ERR_ACCESS_TOKEN_REVOKED')
    }
  }
})

onEachStore(
  'sign-out at one instance reaches the access tokens at another within a second, also those it remembers',
  {},
  async (rig) => {
    const { auth, time } = rig
    const other = rig.another()
    const { accessToken, session } = await auth.issue('user-1')
    await other.verify(accessToken)
    await auth.revoke(session.id)
    time.advance(1)
    await refused(other.verify(accessToken), 'ERR_ACCESS_TOKEN_REVOKED')
  },
)

onEachStore(
  'a fresh instance knows of the sessions ended before it started, from its first token on',
  {},
  async (rig) => {
    const { auth, store } = rig
    const { accessToken, session } = await auth.issue('user-1')
    await auth.revoke(session.id)
    // A slow store and several requests at once: none is accepted while the first read is under way.
    const spy = spyOn(store)
    spy.before(() => new Promise((resolve) => setTimeout(resolve, 20)))
    const late = rig.another({ store: spy.store })
    const results = await Promise.allSettled(Array.from({ length: 5 }, () => late.verify(accessToken)))
    assert.deepEqual(
      results.map((result) => result.status === 'rejected' && result.reason.code),
      Array(5).fill('ERR_ACCESS_TOKEN_REVOKED'),
    )
    assert.deepEqual(spy.calls, ['revokedSince'], 'one read for all of them')
  },
)

onEachStore(
  'the store away: tokens go on being accepted for 10 s after it was heard, then 503, or what `whenStoreIsAway` says',
  {},
  async (rig) => {
    const { auth, store, time } = rig
    const { accessToken } = await auth.issue('user-1')
    const spy = spyOn(store)
    const strict = rig.another({ store: spy.store })
    const lenient = rig.another({ store: spy.store, whenStoreIsAway: 'accept' })
    for (const each of [strict, lenient]) await each.verify(accessToken)
    spy.before(() => {
      throw new Error('away')
    })
    for (let seconds = 1; seconds <= 9; seconds++) {
      time.advance(1)
      spy.calls.length = 0
      for (let i = 0; i < 5; i++) for (const each of [strict, lenient]) assert.ok(await each.verify(accessToken))
      assert.deepEqual(spy.calls, ['revokedSince', 'revokedSince'], 'once a second each')
    }
    time.advance(1)
    await refused(strict.verify(accessToken), 'ERR_STORE_UNAVAILABLE', 'temporarily_unavailable')
    assert.ok(await lenient.verify(accessToken))
    spy.before(() => {})
    time.advance(1)
    assert.ok(await strict.verify(accessToken))
  },
)

onEachStore(
  'an instance that starts while the store is away lets nobody in of whom it knows nothing',
  {},
  async (rig) => {
    const { auth, store } = rig
    const { accessToken, session } = await auth.issue('user-1')
    await auth.revoke(session.id)
    const spy = spyOn(store)
    spy.before(() => {
      throw new Error('away')
    })
    await refused(rig.another({ store: spy.store }).verify(accessToken), 'ERR_STORE_UNAVAILABLE')
  },
)

onEachStore('a text that is not a token of ours is rejected without a store call', {}, async (rig) => {
  const { auth, store } = rig
  const { accessToken } = await auth.issue('user-1')
  const spy = spyOn(store)
  const other = rig.another({ store: spy.store })
  for (const token of ['', 'a.b.c', `${accessToken.slice(0, -8)}AAAAAAAA`]) {
    await refused(other.verify(token), 'ERR_ACCESS_TOKEN_INVALID')
  }
  assert.deepEqual(spy.calls, [])
})

onEachStore('with `subject` given, only that subject’s session is ended', {}, async (rig) => {
  const { auth } = rig
  const mine = await auth.issue('user-1')
  assert.equal(await auth.revoke(mine.session.id, { subject: 'user-2' }), false)
  assert.ok(await auth.verify(mine.accessToken))
  assert.equal(await auth.revoke(mine.session.id, { subject: 'user-1' }), true)
})

onEachStore(
  'revokeToken ends the session of a refresh token, also of an old one, and of no other (RFC 7009)',
  {},
  async (rig) => {
    const { auth } = rig
    const first = await auth.issue('user-1')
    const other = await auth.issue('user-1')
    const second = await auth.refresh(first.refreshToken)
    rig.events.length = 0
    assert.equal(await auth.revokeToken(first.refreshToken, { reason: 'admin' }), true)
    assert.equal(await auth.revokeToken(second.refreshToken), false)
    assert.equal(await auth.revokeToken('dpr_nonsense'), false)
    await refused(auth.refresh(second.refreshToken), 'ERR_SESSION_REVOKED')
    assert.equal((await auth.refresh(other.refreshToken)).outcome, 'rotated')
    assert.equal(await auth.revokeToken(other.refreshToken), true)
    assert.deepEqual(
      rig.events.flatMap((event) => (event.type === 'revoked' ? [event.reason] : [])),
      ['admin', 'sign-out'],
      'a sign-out where no other reason is given',
    )
    rig.time.advance(31 * day)
    await auth.prune()
    assert.equal(await auth.revokeToken(other.refreshToken), false, 'its row does not exist any more')
  },
)

onEachStore('an access token of an ended session is rejected until it expires', {}, async (rig) => {
  const { auth, time } = rig
  const other = rig.another()
  const { accessToken, session } = await auth.issue('user-1')
  await auth.revoke(session.id)
  for (let seconds = 0; seconds < 900; seconds += 29) {
    for (const each of [auth, other]) await refused(each.verify(accessToken), 'ERR_ACCESS_TOKEN_REVOKED')
    time.advance(29)
  }
  for (const each of [auth, other]) await refused(each.verify(accessToken), 'ERR_ACCESS_TOKEN_EXPIRED')
})

onEachStore(
  'the process that revokes a session knows it at once, also if another process was first',
  {},
  async (rig) => {
    const [here, there] = [rig.auth, rig.another()]
    const { accessToken, session } = await here.issue('user-1')
    // It has just read the list, and does not read it again within a second.
    await there.verify(accessToken)
    assert.equal(await here.revoke(session.id), true)
    assert.equal(await there.revoke(session.id), false)
    await refused(there.verify(accessToken), 'ERR_ACCESS_TOKEN_REVOKED')
  },
)

onEachStore('while one read of the revoked sessions hangs, no other request waits for it', {}, async (rig) => {
  const { auth, store, time } = rig
  const { accessToken } = await auth.issue('user-1')
  const spy = spyOn(store)
  const other = rig.another({ store: spy.store })
  await other.verify(accessToken)
  time.advance(1)
  const gate = Promise.withResolvers<void>()
  spy.before(() => gate.promise)
  const order: string[] = []
  const looking = other.verify(accessToken).then(() => order.push('who looked'))
  await other.verify(accessToken).then(() => order.push('who came after'))
  gate.resolve()
  await looking
  assert.deepEqual(order, ['who came after', 'who looked'])
})

onEachStore(
  'revokeSubject ends all sessions of a subject but the one excepted, with one event each',
  {},
  async (rig) => {
    const { auth, events } = rig
    const [a, b, c] = [await auth.issue('user-1'), await auth.issue('user-1'), await auth.issue('user-1')]
    const stranger = await auth.issue('user-2')
    events.length = 0
    // It has just read the revoked sessions; it knows the sessions that it ended itself without a read.
    await auth.verify(stranger.accessToken)
    const request = { ip: '192.0.2.1', userAgent: 'UA' }
    assert.equal(await auth.revokeSubject('user-1', { except: b.session.id, reason: 'password', request }), 2)
    for (const { refreshToken, accessToken } of [a, c]) {
      await refused(auth.refresh(refreshToken), 'ERR_SESSION_REVOKED')
      await refused(auth.verify(accessToken), 'ERR_ACCESS_TOKEN_REVOKED')
    }
    for (const { accessToken } of [b, stranger]) assert.ok(await auth.verify(accessToken))
    assert.deepEqual(events.map((event) => event.sessionId).sort(), [a.session.id, c.session.id].sort())
    for (const event of events) {
      assert.ok(event.type === 'revoked' && event.reason === 'password')
      assert.deepEqual(event.request, request)
    }
    assert.equal(await auth.revokeSubject('user-1'), 1)
    const last = events.at(-1)!
    assert.ok(last.type === 'revoked' && last.reason === 'sign-out')
    assert.equal(await auth.revokeSubject('user-1'), 0)
  },
)

onEachStore(
  'sessions lists the live ones, newest sign-in first, and nothing of what tokens are made of',
  {},
  async (rig) => {
    const { auth, time } = rig
    const a = await auth.issue('user-1', {
      device: { label: 'phone', userAgent: 'UA', ip: '192.0.2.1' },
      claims: { x: 1 },
    })
    time.advance(1)
    const b = await auth.issue('user-1')
    time.advance(1)
    const c = await auth.issue('user-1')
    await auth.issue('user-2')
    await auth.revoke(c.session.id)
    time.advance(hour)
    await auth.refresh(a.refreshToken, { ip: '2001:db8::1' })
    const sessions = await auth.sessions('user-1')
    assert.deepEqual(
      sessions.map((session) => session.id),
      [b.session.id, a.session.id],
    )
    assert.deepEqual(sessions[1], {
      ...a.session,
      rotatedAt: time.now(),
      idleExpiresAt: time.now() + 7 * day * 1000,
      device: { label: 'phone', userAgent: 'UA', ip: '2001:db8::1' },
    })
    for (const session of sessions) {
      for (const secret of ['secret', 'parentSalt', 'parentKey', 'generation']) assert.ok(!(secret in session))
    }
  },
)

onEachStore('an app that modifies a returned object changes no session', {}, async (rig) => {
  const { auth } = rig
  const claims = { role: 'user', list: ['a'] }
  const first = await auth.issue('user-1', { claims, device: { label: 'phone' } })
  claims.role = 'admin'
  claims.list.push('b')
  const spoil = (session: typeof first.session) => {
    Object.assign(session.claims, { role: 'admin' })
    session.amr.push('mfa')
    session.device.label = 'spoiled'
  }
  spoil(first.session)
  spoil((await auth.sessions('user-1'))[0]!)
  const second = await auth.refresh(first.refreshToken)
  spoil(second.session)
  const third = await auth.refresh(second.refreshToken)
  assert.deepEqual(third.session.claims, { role: 'user', list: ['a'] })
  assert.deepEqual((await auth.verify(third.accessToken)).claims, { role: 'user', list: ['a'] })
  assert.deepEqual(third.session.device.label, 'phone')
  assert.deepEqual(third.session.amr, [])
})

onEachStore('a sign-in begins a session of its own and ends none', {}, async (rig) => {
  const { auth } = rig
  const all = await Promise.all(Array.from({ length: 30 }, () => auth.issue('user-1')))
  assert.equal(new Set(all.map(({ session }) => session.id)).size, 30)
  assert.equal((await auth.sessions('user-1')).length, 30)
  for (const { refreshToken } of all) await auth.refresh(refreshToken)
})

onEachStore(
  'maxSessionsPerSubject: the longest unused end, with reason `limit`',
  { maxSessionsPerSubject: 2 },
  async (rig) => {
    const { auth, time, events } = rig
    const a = await auth.issue('user-1')
    time.advance(61)
    const b = await auth.issue('user-1')
    time.advance(61)
    await auth.refresh(a.refreshToken)
    time.advance(61)
    const c = await auth.issue('user-1')
    await refused(auth.refresh(b.refreshToken), 'ERR_SESSION_REVOKED')
    assert.deepEqual(
      (await auth.sessions('user-1')).map(({ id }) => id),
      [c.session.id, a.session.id],
    )
    assert.deepEqual(
      events.flatMap((event) => (event.type === 'revoked' ? [event.reason] : [])),
      ['limit'],
    )
    await auth.issue('user-2')
    assert.equal((await auth.sessions('user-1')).length, 2, 'sessions of another subject are counted separately')
  },
)

onEachStore(
  'maxSessionsPerSubject: sign-ins at the same time leave exactly so many',
  { maxSessionsPerSubject: 3 },
  async (rig) => {
    const { auth } = rig
    await Promise.all(Array.from({ length: 20 }, () => auth.issue('user-1')))
    assert.equal((await auth.sessions('user-1')).length, 3)
  },
)

onEachStore(
  'a subject has 100 live sessions at most where nothing is set, and Infinity is no limit',
  {},
  async (rig) => {
    const { auth, store, time } = rig
    const first = await auth.issue('user-1')
    for (let count = 1; count < 100; count++) {
      time.advance(1)
      await auth.issue('user-1')
    }
    await auth.refresh(first.refreshToken)
    assert.equal((await auth.sessions('user-1')).length, 100)
    time.advance(1)
    await auth.issue('user-1')
    const left = await auth.sessions('user-1')
    assert.equal(left.length, 100)
    assert.ok(
      left.some(({ id }) => id === first.session.id),
      'the longest unused ends, not the oldest',
    )
    const unlimited = rig.another({ maxSessionsPerSubject: Number.POSITIVE_INFINITY })
    for (let count = 0; count < 950; count++) await unlimited.issue('user-1')
    assert.equal((await auth.sessions('user-1')).length, 1000, 'the list has a maximum length')
    assert.equal((await store.list('user-1', time.clock(), 2000)).length, 1050)
  },
)

test('a store that fails right after a sign-in was written: the caller gets the tokens of the session', async () => {
  const { store, auth, another } = createRig(createMemoryStore())
  const ids = [(await auth.issue('user-1')).session.id, (await auth.issue('user-1')).session.id]
  for (const call of ['list', 'revoke']) {
    const spy = spyOn(store)
    spy.before((name) => {
      if (name === call) throw new Error('away')
    })
    const tokens = await another({ store: spy.store, maxSessionsPerSubject: 2 }).issue('user-1')
    ids.push(tokens.session.id)
    assert.equal((await auth.refresh(tokens.refreshToken)).outcome, 'rotated')
  }
  // The next sign-in ends the rest.
  await another({ maxSessionsPerSubject: 2 }).issue('user-1')
  assert.equal((await auth.sessions('user-1')).length, 2)
})

test('a replaced session that could not be ended does not fail the sign-in', async () => {
  const { store, auth, another } = createRig(createMemoryStore())
  const { refreshToken } = await auth.issue('user-1')
  const spy = spyOn(store)
  spy.before((name) => {
    if (name === 'revoke') throw new Error('away')
  })
  const tokens = await another({ store: spy.store }).issue('user-1', { replaces: [refreshToken] })
  assert.equal((await auth.refresh(tokens.refreshToken)).outcome, 'rotated')
})

test('the limit does not end a new session, even if another device refreshed while its claims were checked', async () => {
  for (const maxSessionsPerSubject of [1, 2]) {
    const { auth, time, another } = createRig(createMemoryStore(), { maxSessionsPerSubject })
    const others = [await auth.issue('user-1'), ...(maxSessionsPerSubject === 2 ? [await auth.issue('user-1')] : [])]
    time.advance(600)
    const slow = another({
      claims: {
        '~standard': {
          version: 1,
          vendor: 'test',
          async validate(value) {
            time.advance(1)
            for (const { refreshToken } of others) await auth.refresh(refreshToken)
            return { value: value as Record<string, unknown> }
          },
        },
      },
    })
    const { refreshToken } = await slow.issue('user-1')
    assert.equal((await auth.refresh(refreshToken)).outcome, 'rotated')
    assert.equal((await auth.sessions('user-1')).length, maxSessionsPerSubject)
  }
})

test('maxSessionsPerSubject: of sessions with the same instant always the same ones end, in any order of the store', async () => {
  for (const order of [1, -1]) {
    const { store, auth, another } = createRig(createMemoryStore())
    const ids: string[] = []
    for (let i = 0; i < 8; i++) ids.push((await auth.issue('user-1')).session.id)
    const list: typeof store.list = async (subject, now) => {
      const sessions = await store.list(subject, now, 100)
      return sessions.sort((a, b) => (a.id < b.id ? order : -order))
    }
    const strict = another({ store: { ...store, list }, maxSessionsPerSubject: 3 })
    ids.push((await strict.issue('user-1')).session.id)
    const left = (await auth.sessions('user-1')).map(({ id }) => id)
    assert.deepEqual(left.sort(), ids.sort().slice(0, 3))
  }
})

test('a sign-in is one store call, and one more if sessions are counted; a refresh is one', async () => {
  const { store, another } = createRig(createMemoryStore())
  for (const [maxSessionsPerSubject, calls] of [
    [Number.POSITIVE_INFINITY, ['create', 'advance']],
    [3, ['create', 'list', 'advance']],
  ] as const) {
    const spy = spyOn(store)
    const auth = another({ store: spy.store, maxSessionsPerSubject })
    const { refreshToken } = await auth.issue('user-1')
    await auth.refresh(refreshToken, { idempotencyKey: newKey() })
    assert.deepEqual(spy.calls, calls)
  }
})

onEachStore(
  'findSubject returns null: the session is ended, the code says why, and nothing is rotated',
  {},
  async (rig) => {
    const asked: string[] = []
    let active = true
    const auth = rig.another({
      findSubject: async (subject) => {
        asked.push(subject)
        return active ? {} : null
      },
    })
    const { refreshToken, accessToken, session } = await auth.issue('user-1', { claims: {} })
    assert.deepEqual(asked, [], 'not called at a sign-in that brings claims')
    const { refreshToken: next } = await auth.refresh(refreshToken)
    assert.deepEqual(asked, ['user-1'])
    active = false
    await refused(auth.refresh(next), 'ERR_SUBJECT_INACTIVE', 'invalid_grant')
    await refused(auth.verify(accessToken), 'ERR_ACCESS_TOKEN_REVOKED')
    const row = await findRow(rig.store, session.id)
    assert.equal(row.generation, 1)
    assert.equal(row.revokedReason, 'inactive')
    active = true
    await refused(auth.refresh(next), 'ERR_SESSION_REVOKED')
  },
)

onEachStore('findSubject throws: 503, nothing changes, and the session stays', {}, async (rig) => {
  let broken = true
  const auth = rig.another({
    findSubject: () => {
      if (broken) throw new Error('database password: hunter2')
      return {}
    },
  })
  const { refreshToken, session } = await auth.issue('user-1', { claims: {} })
  const before = await findRow(rig.store, session.id)
  await assert.rejects(auth.refresh(refreshToken), (error: Error & { code: string; status: number }) => {
    assert.equal(error.code, 'ERR_SUBJECT_CHECK_FAILED')
    assert.equal(error.status, 503)
    assert.doesNotMatch(error.message, /hunter2/, 'the detail is only in the cause')
    return true
  })
  assert.deepEqual(await findRow(rig.store, session.id), before)
  broken = false
  assert.equal((await auth.refresh(refreshToken)).outcome, 'rotated')
})

onEachStore('findSubject is not called for a session that is over; the error says why it is over', {}, async (rig) => {
  const auth = rig.another({ findSubject: () => assert.fail('was called') })
  const { refreshToken, session } = await auth.issue('user-1', { claims: {} })
  await auth.revoke(session.id)
  await refused(auth.refresh(refreshToken), 'ERR_SESSION_REVOKED')
})

onEachStore(
  'findSubject is not called for a reused token: a thief’s old token ends the session without it',
  {},
  async (rig) => {
    const asked: string[] = []
    const auth = rig.another({
      findSubject: (subject) => {
        asked.push(subject)
        return {}
      },
    })
    const { refreshToken } = await auth.issue('user-1')
    await auth.refresh(refreshToken, { idempotencyKey: newKey() })
    rig.time.advance(hour)
    asked.length = 0
    await refused(auth.refresh(refreshToken), 'ERR_REFRESH_TOKEN_REUSED')
    assert.deepEqual(asked, [])
  },
)

onEachStore(
  'every event has its time, session, subject, client, device and request, and no secret',
  {},
  async (rig) => {
    const { time, secret } = rig
    const seen: DaypassEvent[] = []
    const canaries = new Set<string>()
    let active = true
    const rows: Promise<Session | null>[] = []
    const onEvent = (event: DaypassEvent) => {
      seen.push(structuredClone(event))
      rows.push(rig.store.find(event.sessionId))
    }
    const auth = rig.another({ onEvent, findSubject: () => (active ? {} : null) })
    const keep = <T extends { refreshToken: string; accessToken: string }>(tokens: T) => {
      canaries.add(tokens.refreshToken.slice(4))
      canaries.add(tokens.accessToken)
      return tokens
    }
    const key = () => {
      const made = newKey()
      canaries.add(made)
      return made
    }
    const origin = { ip: '192.0.2.1', userAgent: 'UA' }
    const first = keep(await auth.issue('user-1', { clientId: 'app', device: { ...origin, label: 'phone' } }))
    const idempotencyKey = key()
    const second = keep(await auth.refresh(first.refreshToken, { idempotencyKey, ...origin }))
    keep(await auth.refresh(first.refreshToken, { idempotencyKey, ...origin }))
    await refused(auth.refresh(first.refreshToken, { idempotencyKey: key(), ...origin }), 'ERR_REFRESH_SUPERSEDED')
    keep(await auth.refresh(second.refreshToken, origin))
    keep(await auth.refresh(second.refreshToken, origin))
    time.advance(hour)
    await refused(auth.refresh(first.refreshToken, { idempotencyKey: key(), ...origin }), 'ERR_REFRESH_TOKEN_REUSED')
    const idle = keep(await auth.issue('user-1', { clientId: 'app', device: { ...origin, label: 'phone' } }))
    time.advance(8 * day)
    await refused(auth.refresh(idle.refreshToken, origin), 'ERR_SESSION_EXPIRED')
    const last = keep(await auth.issue('user-1', { clientId: 'app', device: { ...origin, label: 'phone' } }))
    active = false
    await refused(auth.refresh(last.refreshToken, origin), 'ERR_SUBJECT_INACTIVE')

    assert.deepEqual(
      seen.map((event) => event.type),
      [
        'issued',
        'rotated',
        'replayed',
        'superseded',
        'rotated',
        'retried',
        'reused',
        'revoked',
        'issued',
        'expired',
        'issued',
        'revoked',
      ],
    )
    for (const event of seen) {
      assert.equal(event.subject, 'user-1')
      assert.equal(event.clientId, 'app')
      assert.equal(event.device.label, 'phone')
      assert.deepEqual(event.request, origin)
      assert.match(event.sessionId, /^[\w-]{22}$/)
      assert.ok(Number.isInteger(event.at) && Number.isInteger(event.generation))
    }
    for (const row of await Promise.all(rows)) {
      for (const bytes of [row?.secret, row?.parentSalt, row?.parentKey]) {
        if (!(bytes instanceof Uint8Array)) continue
        for (const encoding of ['hex', 'base64url', 'base64'] as const)
          canaries.add(Buffer.from(bytes).toString(encoding))
      }
    }
    canaries.add(secret.toString('base64url')).add(secret.toString('base64'))
    const told = JSON.stringify(seen)
    for (const canary of canaries) assert.ok(!told.includes(canary), `an event holds ${canary}`)
    assert.doesNotMatch(told, /"(secret|parentSalt|parentKey|salt|key|token)"/)
  },
)

test('check fails if the store fails', async () => {
  const { store, another } = createRig(createMemoryStore())
  const spy = spyOn(store)
  const auth = another({ store: spy.store })
  await auth.check()
  assert.deepEqual(spy.calls, ['check'])
  spy.before(() => {
    throw new Error('away')
  })
  await assert.rejects(auth.check())
})

test('no error contains a token, a key or a secret', async () => {
  const { auth, time } = createRig(createMemoryStore(), { findSubject: () => ({}) })
  const { refreshToken, accessToken } = await auth.issue('user-1')
  const idempotencyKey = newKey()
  await auth.refresh(refreshToken, { idempotencyKey })
  time.advance(hour)
  const calls = [
    () => auth.refresh(refreshToken, { idempotencyKey: newKey() }),
    () => auth.refresh(`${refreshToken}x`),
    () => auth.refresh(refreshToken, { idempotencyKey: `${idempotencyKey} ` }),
    () => auth.verify(`${accessToken}x`),
    () => auth.verify(accessToken),
    () => auth.verify(refreshToken),
  ]
  const { inspect } = await import('node:util')
  for (const call of calls) {
    const error = await call().then(
      () => assert.fail('was not rejected'),
      (thrown: Error) => thrown,
    )
    const told = inspect(error, { depth: 10, showHidden: true }) + JSON.stringify(error)
    for (const canary of [refreshToken.slice(4), accessToken.split('.')[2]!, idempotencyKey]) {
      assert.ok(!told.includes(canary), `${error.message} holds a secret`)
    }
  }
})

test('a listener that throws or rejects, at once or later, does not fail a refresh', async () => {
  for (const onEvent of [
    () => {
      throw new Error('no audit log')
    },
    async () => {
      throw new Error('no audit log')
    },
    () => new Promise(() => {}),
  ]) {
    const { auth } = createRig(createMemoryStore(), { onEvent: onEvent as () => void })
    const { refreshToken } = await auth.issue('user-1')
    assert.equal((await auth.refresh(refreshToken)).outcome, 'rotated')
    await new Promise((resolve) => setImmediate(resolve))
  }
})

onEachStore('a refresh token ends its own session alone, if the caller says which one it is', {}, async ({ auth }) => {
  const [one, other] = [await auth.issue('user-1'), await auth.issue('user-1')]
  assert.equal(await auth.revokeToken(one.refreshToken, { sessionId: other.session.id }), false)
  assert.equal((await auth.sessions('user-1')).length, 2, 'nothing has ended')
  assert.equal(await auth.revokeToken(one.refreshToken, { sessionId: one.session.id }), true)
  assert.equal((await auth.sessions('user-1')).length, 1)
})

test('a subject that no session can have is looked for in no store: an engine may alter such a text', async () => {
  const { store, calls } = spyOn(createMemoryStore())
  const { auth } = createRig(store)
  for (const subject of ['', 'user\0', 'user\ud800', 'x'.repeat(256)]) {
    assert.equal(await auth.revokeSubject(subject), 0)
    assert.deepEqual(await auth.sessions(subject), [])
  }
  assert.deepEqual(
    calls.filter((name) => name === 'revokeSubject' || name === 'list'),
    [],
  )
})
