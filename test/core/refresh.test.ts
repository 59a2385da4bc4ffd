// Exactly-once refresh, from createDaypass() down to the row: an owner, an owner with lost responses, and a thief.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createDaypass } from '../../src/core/daypass.ts'
import { isDaypassError } from '../../src/errors.ts'
import { createMemoryStore } from '../../src/stores/memory.ts'
import { createSeededRandom } from '../../src/testing/index.ts'
import { findRow } from '../../src/testing/store-harness.ts'
import { createRig, day, generationOf, hour, minute, newKey, onEachStore, refused, spyOn } from './setup.ts'

onEachStore('a refresh returns the next token, a fresh access token and the same session', {}, async (rig) => {
  const { auth, time } = rig
  const first = await auth.issue('user-1', { claims: { role: 'admin' }, scope: 'read write', amr: ['pwd'] })
  time.advance(minute)
  const second = await auth.refresh(first.refreshToken, { idempotencyKey: newKey() })
  assert.equal(second.outcome, 'rotated')
  assert.notEqual(second.refreshToken, first.refreshToken)
  assert.equal(generationOf(second.refreshToken), 1)
  assert.equal(second.tokenType, 'Bearer')
  assert.equal(second.expiresIn, 900)
  assert.equal(second.session.id, first.session.id)
  assert.equal(second.session.rotatedAt, time.now())
  const verified = await auth.verify(second.accessToken)
  assert.equal(verified.subject, 'user-1')
  assert.equal(verified.sessionId, first.session.id)
  assert.deepEqual(verified.claims, { role: 'admin' })
  assert.deepEqual(verified.scopes, ['read', 'write'])
  assert.deepEqual(verified.amr, ['pwd'])
  assert.equal(verified.authTime, first.session.authTime)
  assert.notEqual(verified.tokenId, (await auth.verify(first.accessToken)).tokenId)
})

onEachStore('an access token has the claims of RFC 9068, and no claim without a value', {}, async (rig) => {
  const { accessToken } = await rig.auth.issue('user-1')
  const payload = JSON.parse(Buffer.from(accessToken.split('.')[1]!, 'base64url').toString())
  const required = ['aud', 'client_id', 'exp', 'iat', 'iss', 'jti', 'sub']
  assert.deepEqual(Object.keys(payload).sort(), [...required, 'auth_time', 'sid'].sort())
})

onEachStore('the same key gets the same token: at once, a minute later, and a day later', {}, async (rig) => {
  const { auth, time, events } = rig
  const { refreshToken } = await auth.issue('user-1')
  const idempotencyKey = newKey()
  const first = await auth.refresh(refreshToken, { idempotencyKey })
  for (const seconds of [0, minute, day]) {
    time.advance(seconds)
    const again = await auth.refresh(refreshToken, { idempotencyKey })
    assert.equal(again.outcome, 'replayed')
    assert.equal(again.refreshToken, first.refreshToken)
    assert.equal((await auth.verify(again.accessToken)).sessionId, first.session.id, 'with a fresh access token')
  }
  assert.deepEqual(
    events.map((event) => event.type),
    ['issued', 'rotated', 'replayed', 'replayed', 'replayed'],
  )
  // The replayed token is the session's newest token.
  assert.equal((await auth.refresh(first.refreshToken, { idempotencyKey: newKey() })).outcome, 'rotated')
})

onEachStore('a replay needs the same key, or the same key as `previous`', {}, async (rig) => {
  const { auth, time } = rig
  const { refreshToken } = await auth.issue('user-1')
  const key = newKey()
  const child = await auth.refresh(refreshToken, { idempotencyKey: key })
  time.advance(hour)
  // A late Set-Cookie put the older token back: the client's next refresh names the key of its last completed one.
  const again = await auth.refresh(refreshToken, { idempotencyKey: newKey(), previousKey: key })
  assert.equal(again.refreshToken, child.refreshToken)
})

onEachStore(
  'theft: an old token with another key ends the session, its new token and its access tokens',
  {},
  async (rig) => {
    const { auth, time, events } = rig
    const first = await auth.issue('user-1', { device: { label: 'phone' } })
    const other = await auth.issue('user-1')
    const second = await auth.refresh(first.refreshToken, { idempotencyKey: newKey() })
    assert.ok(await auth.verify(second.accessToken))
    time.advance(31)
    events.length = 0
    const theft = () => auth.refresh(first.refreshToken, { idempotencyKey: newKey(), ip: '203.0.113.9' })
    await refused(theft(), 'ERR_REFRESH_TOKEN_REUSED', 'invalid_grant')
    await refused(auth.refresh(second.refreshToken), 'ERR_SESSION_REVOKED', 'invalid_grant')
    await refused(auth.verify(second.accessToken), 'ERR_ACCESS_TOKEN_REVOKED', 'invalid_token')
    await refused(auth.verify(first.accessToken), 'ERR_ACCESS_TOKEN_REVOKED', 'invalid_token')
    await refused(theft(), 'ERR_SESSION_REVOKED')
    assert.deepEqual(
      events.map((event) => event.type),
      ['reused', 'revoked'],
    )
    const [reused, revoked] = events
    assert.ok(reused?.type === 'reused' && revoked?.type === 'revoked')
    assert.equal(reused.subject, 'user-1')
    assert.equal(reused.presentedGeneration, 0)
    assert.equal(reused.generation, 1)
    assert.equal(reused.request.ip, '203.0.113.9')
    assert.equal(reused.device.label, 'phone')
    assert.equal(revoked.reason, 'reuse')
    // The person's other session is another family.
    assert.equal((await auth.refresh(other.refreshToken)).outcome, 'rotated')
  },
)

onEachStore('theft: fifty copies at once still make exactly one `reused` event', {}, async (rig) => {
  const { auth, time, events } = rig
  const first = await auth.issue('user-1')
  await auth.refresh(first.refreshToken)
  time.advance(31)
  const copies = Array.from({ length: 50 }, () => auth.refresh(first.refreshToken, { idempotencyKey: newKey() }))
  for (const result of await Promise.allSettled(copies)) {
    assert.equal(result.status, 'rejected')
    assert.ok(['ERR_REFRESH_TOKEN_REUSED', 'ERR_SESSION_REVOKED'].includes(result.reason.code))
  }
  assert.equal(events.filter((event) => event.type === 'reused').length, 1)
  assert.equal(events.filter((event) => event.type === 'revoked').length, 1)
})

onEachStore('theft: a thief who refreshes first is caught at the owner’s next refresh', {}, async (rig) => {
  const { auth, time } = rig
  const { refreshToken } = await auth.issue('user-1')
  const stolen = await auth.refresh(refreshToken, { idempotencyKey: newKey() })
  time.advance(31)
  await refused(auth.refresh(refreshToken, { idempotencyKey: newKey() }), 'ERR_REFRESH_TOKEN_REUSED')
  await refused(auth.refresh(stolen.refreshToken), 'ERR_SESSION_REVOKED')
  await refused(auth.verify(stolen.accessToken), 'ERR_ACCESS_TOKEN_REVOKED')
})

onEachStore(
  'theft: inside the interval a copy gets a 409 and no token, and is caught at its next try',
  {},
  async (rig) => {
    const { auth, time } = rig
    const { refreshToken } = await auth.issue('user-1')
    let live = (await auth.refresh(refreshToken, { idempotencyKey: newKey() })).refreshToken
    await refused(auth.refresh(refreshToken, { idempotencyKey: newKey() }), 'ERR_REFRESH_SUPERSEDED', 'superseded')
    live = (await auth.refresh(live, { idempotencyKey: newKey() })).refreshToken
    time.advance(30)
    await refused(auth.refresh(refreshToken, { idempotencyKey: newKey() }), 'ERR_REFRESH_TOKEN_REUSED')
    await refused(auth.refresh(live), 'ERR_SESSION_REVOKED')
  },
)

onEachStore(
  'a race lost by ten milliseconds is a 409 also where the interval since an earlier refresh ends between the two',
  {},
  async (rig) => {
    const { auth, time } = rig
    const { refreshToken } = await auth.issue('user-1')
    const second = await auth.refresh(refreshToken, { idempotencyKey: newKey() })
    time.advance(29.995)
    const third = await auth.refresh(second.refreshToken, { idempotencyKey: newKey() })
    time.advance(0.01)
    await refused(auth.refresh(second.refreshToken, { idempotencyKey: newKey() }), 'ERR_REFRESH_SUPERSEDED')
    assert.equal((await auth.refresh(third.refreshToken, { idempotencyKey: newKey() })).outcome, 'rotated')
  },
)

onEachStore(
  'a race lost by ten milliseconds is a 409 also where the rotation after it began a new burst',
  {},
  async (rig) => {
    const { auth, time } = rig
    const { refreshToken } = await auth.issue('user-1')
    const second = await auth.refresh(refreshToken, { idempotencyKey: newKey() })
    time.advance(29.995)
    const third = await auth.refresh(second.refreshToken, { idempotencyKey: newKey() })
    time.advance(0.01)
    await auth.refresh(third.refreshToken, { idempotencyKey: newKey() })
    await refused(auth.refresh(second.refreshToken, { idempotencyKey: newKey() }), 'ERR_REFRESH_SUPERSEDED')
  },
)

onEachStore('a replay writes nothing, however often it is sent', {}, async (rig) => {
  const { auth, time, store } = rig
  const { refreshToken, session } = await auth.issue('user-1')
  const key = newKey()
  const { refreshToken: child } = await auth.refresh(refreshToken, { idempotencyKey: key })
  const row = await store.find(session.id)
  for (const seconds of [1, 20, 20, 3600]) {
    time.advance(seconds)
    const again = await auth.refresh(refreshToken, { idempotencyKey: key })
    assert.deepEqual([again.outcome, again.refreshToken], ['replayed', child])
    assert.deepEqual(await store.find(session.id), row)
  }
})

onEachStore(
  'a late request is a race lost, also where its refresh was replayed just before the next one',
  {},
  async (rig) => {
    const { auth, time } = rig
    const { refreshToken } = await auth.issue('user-1')
    const key = newKey()
    await auth.refresh(refreshToken, { idempotencyKey: key })
    time.advance(hour)
    // The response was lost. The owner retries, gets the child and redeems it. A second tab's request arrives late.
    const { refreshToken: child } = await auth.refresh(refreshToken, { idempotencyKey: key })
    await auth.refresh(child, { idempotencyKey: newKey() })
    time.advance(29.9)
    await refused(auth.refresh(refreshToken, { idempotencyKey: key }), 'ERR_REFRESH_SUPERSEDED')
  },
)

onEachStore(
  'a thief who repeats his own refresh does not keep the owner waiting: theft within an interval',
  {},
  async (rig) => {
    const { auth, time, events } = rig
    const { refreshToken: stolen } = await auth.issue('user-1')
    const [thiefKey, ownerKey] = [newKey(), newKey()]
    await auth.refresh(stolen, { idempotencyKey: thiefKey })
    for (let waited = 0; waited < 30; waited += 10) {
      await auth.refresh(stolen, { idempotencyKey: thiefKey })
      await refused(auth.refresh(stolen, { idempotencyKey: ownerKey }), 'ERR_REFRESH_SUPERSEDED')
      time.advance(10)
    }
    await refused(auth.refresh(stolen, { idempotencyKey: ownerKey }), 'ERR_REFRESH_TOKEN_REUSED')
    assert.ok(events.some((event) => event.type === 'reused'))
    await refused(auth.refresh(stolen, { idempotencyKey: thiefKey }), 'ERR_SESSION_REVOKED')
  },
)

onEachStore(
  'without a key: a lost response asked again within a day gives a sibling, until one of them is redeemed',
  {},
  async (rig) => {
    const { auth, time } = rig
    const { refreshToken } = await auth.issue('user-1')
    const lost = await auth.refresh(refreshToken)
    time.advance(23 * 3600)
    const other = await auth.refresh(refreshToken)
    const again = await auth.refresh(refreshToken)
    assert.equal(again.outcome, 'retried')
    assert.equal(new Set([lost.refreshToken, other.refreshToken, again.refreshToken]).size, 3)
    assert.equal(generationOf(again.refreshToken), generationOf(lost.refreshToken))
    // One of them is redeemed; the other is then a copy.
    assert.equal((await auth.refresh(again.refreshToken)).outcome, 'rotated')
    time.advance(60)
    await refused(auth.refresh(lost.refreshToken), 'ERR_REFRESH_TOKEN_REUSED')
  },
)

onEachStore(
  'strict (reuseInterval 0): any second use of a keyless token ends the session',
  { reuseInterval: 0 },
  async (rig) => {
    const { auth } = rig
    const { refreshToken } = await auth.issue('user-1')
    await auth.refresh(refreshToken)
    await refused(auth.refresh(refreshToken), 'ERR_REFRESH_TOKEN_REUSED')
  },
)

onEachStore(
  'strict (reuseInterval 0): a client with a key still survives a lost answer',
  { reuseInterval: 0 },
  async (rig) => {
    const { auth, time } = rig
    const { refreshToken } = await auth.issue('user-1')
    const idempotencyKey = newKey()
    const { refreshToken: child } = await auth.refresh(refreshToken, { idempotencyKey })
    time.advance(day)
    assert.equal((await auth.refresh(refreshToken, { idempotencyKey })).refreshToken, child)
  },
)

const races: [string, (index: number, shared: string) => string | undefined][] = [
  ['without keys', () => undefined],
  ['with different keys', () => newKey()],
  ['with the same key', (_, shared) => shared],
  ['with every kind', (index, shared) => [undefined, newKey(), shared][index % 3]],
]
for (const [what, keyOf] of races) {
  onEachStore(
    `100 refreshes of one token in flight ${what}: one lineage, no error but 409, no row more`,
    {},
    async (rig) => {
      const { auth, store, time } = rig
      const { refreshToken, session } = await auth.issue('user-1')
      const shared = newKey()
      const asked = Array.from({ length: 100 }, (_, index) =>
        auth.refresh(refreshToken, { idempotencyKey: keyOf(index, shared) }),
      )
      const results = await Promise.allSettled(asked)
      const outcomes: Record<string, number> = {}
      const tokens = new Set<string>()
      for (const result of results) {
        if (result.status === 'fulfilled') {
          tokens.add(result.value.refreshToken)
          assert.equal(generationOf(result.value.refreshToken), 1)
        } else assert.ok(isDaypassError(result.reason, 'ERR_REFRESH_SUPERSEDED'), String(result.reason))
        const outcome = result.status === 'fulfilled' ? result.value.outcome : 'superseded'
        outcomes[outcome] = (outcomes[outcome] ?? 0) + 1
      }
      assert.equal(outcomes.rotated, 1)
      if (what === 'with the same key')
        assert.deepEqual({ outcomes, tokens: tokens.size }, { outcomes: { rotated: 1, replayed: 99 }, tokens: 1 })
      if (what === 'with different keys') assert.deepEqual(outcomes, { rotated: 1, superseded: 99 })
      if (what === 'without keys') assert.deepEqual(outcomes, { rotated: 1, retried: 99 })
      assert.equal((await store.list('user-1', time.now(), 100)).length, 1)
      assert.equal((await findRow(store, session.id)).generation, 1)
      // One lineage: of all issued tokens, siblings included, one can go on.
      const next = await Promise.allSettled(
        [...tokens].map((token) => auth.refresh(token, { idempotencyKey: newKey() })),
      )
      assert.equal(next.filter((result) => result.status === 'fulfilled').length, 1)
      assert.equal((await findRow(store, session.id)).revokedAt, null)
    },
  )
}

onEachStore('the loser of a race reads the newest token and refreshes with it', {}, async (rig) => {
  const { auth } = rig
  let live = (await auth.issue('user-1')).refreshToken
  for (let round = 0; round < 20; round++) {
    const results = await Promise.allSettled([1, 2, 3].map(() => auth.refresh(live, { idempotencyKey: newKey() })))
    const won = results.filter((result) => result.status === 'fulfilled')
    assert.equal(won.length, 1)
    live = won[0]!.value.refreshToken
  }
  assert.equal(generationOf(live), 20)
})

onEachStore('a store that lost writes in a failover is healed by the token itself, with an event', {}, async (rig) => {
  const { auth, store, events } = rig
  const { refreshToken, session } = await auth.issue('user-1')
  const before = await findRow(store, session.id)
  let live = refreshToken
  for (let i = 0; i < 3; i++) live = (await auth.refresh(live, { idempotencyKey: newKey() })).refreshToken
  // The failover: the row is as it was at sign-in.
  const { store: lossy } = lose(before)
  const survivor = rig.another({ store: lossy })
  events.length = 0
  const healed = await survivor.refresh(live, { idempotencyKey: newKey() })
  assert.equal(healed.outcome, 'rotated')
  assert.equal(generationOf(healed.refreshToken), 4)
  assert.deepEqual(
    events.map((event) => event.type === 'rotated' && event.healed),
    [true],
  )
  assert.equal((await survivor.refresh(healed.refreshToken, { idempotencyKey: newKey() })).outcome, 'rotated')

  function lose(row: typeof before) {
    const store = createMemoryStore()
    store.create(row)
    return { store }
  }
})

onEachStore('a caller that disconnects before its token is redeemed: nothing is redeemed', {}, async (rig) => {
  const { auth, store, events } = rig
  const { refreshToken, session } = await auth.issue('user-1')
  const before = await findRow(store, session.id)
  await refused(auth.refresh(refreshToken, { signal: AbortSignal.abort() }), 'ERR_REQUEST_ABORTED')
  assert.deepEqual(await findRow(store, session.id), before)
  assert.equal(events.length, 1)
  assert.equal((await auth.refresh(refreshToken, { signal: new AbortController().signal })).outcome, 'rotated')
})

onEachStore('a caller that disconnects while findSubject runs: nothing is redeemed', {}, async (rig) => {
  const caller = new AbortController()
  const auth = rig.another({
    findSubject: () => {
      caller.abort()
      return {}
    },
  })
  const { refreshToken, session } = await auth.issue('user-1', { claims: {} })
  await refused(auth.refresh(refreshToken, { signal: caller.signal }), 'ERR_REQUEST_ABORTED')
  assert.equal((await findRow(rig.store, session.id)).generation, 0)
})

onEachStore('another client’s id is rejected, and the owner’s session stays', {}, async (rig) => {
  const { auth, time } = rig
  const { refreshToken } = await auth.issue('user-1', { clientId: 'app-1' })
  const old = refreshToken
  for (const clientId of ['app-2', '', 'APP-1', 'app-1 ']) {
    await refused(auth.refresh(refreshToken, { clientId }), 'ERR_REFRESH_TOKEN_INVALID', 'invalid_grant')
  }
  const { refreshToken: next } = await auth.refresh(refreshToken, { clientId: 'app-1' })
  time.advance(hour)
  // Another client cannot end the session, even with an old token.
  await refused(auth.refresh(old, { clientId: 'app-2' }), 'ERR_REFRESH_TOKEN_INVALID')
  assert.equal((await auth.refresh(next, { clientId: 'app-1' })).outcome, 'rotated')
})

onEachStore(
  'Idempotency-Keys of 22 to 255 printable characters are taken, all others refused with nothing changed',
  {},
  async (rig) => {
    const { auth, store } = rig
    const { refreshToken, session } = await auth.issue('user-1')
    const wrong = [
      '',
      'short',
      'x'.repeat(21),
      'x'.repeat(256),
      `${'x'.repeat(30)} `,
      `${'x'.repeat(30)}\n`,
      'ü'.repeat(30),
    ]
    for (const idempotencyKey of wrong) {
      await refused(auth.refresh(refreshToken, { idempotencyKey }), 'ERR_IDEMPOTENCY_KEY_INVALID', 'invalid_request')
      await refused(auth.refresh(refreshToken, { previousKey: idempotencyKey }), 'ERR_IDEMPOTENCY_KEY_INVALID')
    }
    for (const odd of [null, 7, {}, ['x'.repeat(30)]]) {
      await refused(auth.refresh(refreshToken, { idempotencyKey: odd as never }), 'ERR_IDEMPOTENCY_KEY_INVALID')
    }
    assert.equal((await findRow(store, session.id)).generation, 0)
    const { refreshToken: next } = await auth.refresh(refreshToken, { idempotencyKey: 'x'.repeat(22) })
    await auth.refresh(next, { idempotencyKey: '~'.repeat(255) })
  },
)

onEachStore(
  'garbage, other servers’ tokens and access tokens are refused without asking the store',
  {},
  async (rig) => {
    const spy = spyOn(rig.store)
    const auth = rig.another({ store: spy.store })
    const { refreshToken, accessToken } = await auth.issue('user-1')
    const stranger = createDaypass({
      secret: Buffer.from('another secret of another server, long enough'),
      issuer: 'x',
      store: createMemoryStore(),
    })
    const { refreshToken: foreign } = await stranger.issue('user-1')
    spy.calls.length = 0
    const garbage = [
      '',
      'dpr_',
      accessToken,
      foreign,
      refreshToken.slice(0, -1),
      `${refreshToken}x`,
      'x'.repeat(1e6),
      refreshToken.toUpperCase(),
    ]
    for (const token of [...garbage, null, undefined, 7, {}, { $ne: null }, [refreshToken]]) {
      await refused(auth.refresh(token as string), 'ERR_REFRESH_TOKEN_INVALID', 'invalid_grant')
      assert.equal(await auth.revokeToken(token as string), false)
    }
    assert.deepEqual(spy.calls, [])
    await refused(auth.verify(refreshToken), 'ERR_ACCESS_TOKEN_INVALID', 'invalid_token')
  },
)

onEachStore('a refresh without a race is one store call, and one that is sent again two', {}, async (rig) => {
  const spy = spyOn(rig.store)
  const auth = rig.another({ store: spy.store })
  const { refreshToken } = await auth.issue('user-1')
  spy.calls.length = 0
  const idempotencyKey = newKey()
  await auth.refresh(refreshToken, { idempotencyKey, ip: '192.0.2.1' })
  assert.deepEqual(spy.calls, ['advance'])
  spy.calls.length = 0
  await auth.refresh(refreshToken, { idempotencyKey, ip: '192.0.2.1' })
  assert.deepEqual(spy.calls, ['advance', 'find'])
})

onEachStore('the store is unavailable: 503 that says when to try again, and nothing is lost', {}, async (rig) => {
  const spy = spyOn(rig.store)
  const auth = rig.another({ store: spy.store })
  const { refreshToken } = await auth.issue('user-1')
  const idempotencyKey = newKey()
  const { DaypassError } = await import('../../src/errors.ts')
  for (const failing of ['advance', 'find']) {
    spy.before((call) => {
      if (call === failing) throw new DaypassError('ERR_STORE_UNAVAILABLE')
    })
    // `find` is called if `advance` matched nothing, as for an old token.
    if (failing === 'find') await auth.refresh(refreshToken, { idempotencyKey })
    await assert.rejects(auth.refresh(refreshToken, { idempotencyKey }), (error) => {
      assert.ok(isDaypassError(error, 'ERR_STORE_UNAVAILABLE'))
      assert.equal(error.status, 503)
      assert.equal(error.error, 'temporarily_unavailable')
      assert.equal(error.retryAfter, 1)
      return true
    })
  }
  spy.before(() => {})
  assert.equal((await auth.refresh(refreshToken, { idempotencyKey })).outcome, 'replayed')
})

onEachStore('killed between commit and response: the retry gets the same child', {}, async (rig) => {
  const spy = spyOn(rig.store)
  const auth = rig.another({ store: spy.store })
  const { refreshToken, session } = await auth.issue('user-1')
  const idempotencyKey = newKey()
  // The process ends when advance was committed: nothing after it runs.
  const advance = spy.store.advance
  spy.store.advance = async (step) => {
    await advance(step)
    return new Promise(() => {})
  }
  auth.refresh(refreshToken, { idempotencyKey })
  await new Promise((resolve) => setTimeout(resolve, 20))
  spy.store.advance = advance
  assert.equal((await findRow(rig.store, session.id)).generation, 1)
  rig.time.advance(hour)
  const again = await rig.another().refresh(refreshToken, { idempotencyKey })
  assert.equal(again.outcome, 'replayed')
  assert.equal((await auth.refresh(again.refreshToken, { idempotencyKey: newKey() })).outcome, 'rotated')
})

onEachStore('reuse between advance and response ends the session, too', {}, async (rig) => {
  const { time, store } = rig
  const spy = spyOn(store)
  const auth = rig.another({ store: spy.store })
  const { refreshToken } = await auth.issue('user-1')
  const { refreshToken: first } = await auth.refresh(refreshToken, { idempotencyKey: newKey() })
  const { refreshToken: second } = await auth.refresh(first, { idempotencyKey: newKey() })
  time.advance(hour)
  const gate = Promise.withResolvers<void>()
  const advance = spy.store.advance
  spy.store.advance = async (step) => {
    const advanced = await advance(step)
    await gate.promise
    return advanced
  }
  const owner = auth.refresh(second, { idempotencyKey: newKey() })
  await new Promise((resolve) => setImmediate(resolve))
  await refused(rig.auth.refresh(refreshToken, { idempotencyKey: newKey() }), 'ERR_REFRESH_TOKEN_REUSED')
  gate.resolve()
  const answer = await owner
  await refused(rig.auth.refresh(answer.refreshToken), 'ERR_SESSION_REVOKED')
  await refused(rig.auth.verify(answer.accessToken), 'ERR_ACCESS_TOKEN_REVOKED')
})

onEachStore(
  'a stolen server secret is not enough for a token: the session is ended, with an event',
  {},
  async (rig) => {
    const { auth, events, secret, store } = rig
    const { session, refreshToken } = await auth.issue('user-1')
    const { createKeys } = await import('../../src/core/keys.ts')
    const { mintRefreshToken } = await import('../../src/core/refresh-token.ts')
    const guessed = { ...(await findRow(store, session.id)), secret: new Uint8Array(16) }
    const forged = mintRefreshToken(
      guessed,
      0,
      new Uint8Array(8),
      createKeys(secret, 'https://id.example', 'EdDSA').proofKeys[0]!,
    )
    events.length = 0
    assert.equal(await auth.revokeToken(forged), false, 'it does not sign anyone out either')
    await refused(auth.refresh(forged), 'ERR_REFRESH_TOKEN_INVALID', 'invalid_grant')
    assert.deepEqual(
      events.map((event) => event.type === 'revoked' && event.reason),
      ['forgery'],
    )
    await refused(auth.refresh(refreshToken), 'ERR_SESSION_REVOKED')
  },
)

onEachStore('findSubject is not called for a token that was forged with a stolen server secret', {}, async (rig) => {
  const auth = rig.another({ findSubject: () => assert.fail('was called') })
  const { session } = await auth.issue('user-1', { claims: {} })
  const { createKeys } = await import('../../src/core/keys.ts')
  const { mintRefreshToken } = await import('../../src/core/refresh-token.ts')
  const guessed = { ...(await findRow(rig.store, session.id)), secret: new Uint8Array(16) }
  const forged = mintRefreshToken(
    guessed,
    0,
    new Uint8Array(8),
    createKeys(rig.secret, 'https://id.example', 'EdDSA').proofKeys[0]!,
  )
  await refused(auth.refresh(forged), 'ERR_REFRESH_TOKEN_INVALID')
})

onEachStore('a session ends after 4,294,967,295 refreshes, when the generations are used up', {}, async (rig) => {
  const { auth, store, secret } = rig
  const { createKeys } = await import('../../src/core/keys.ts')
  const { maxGeneration, mintRefreshToken } = await import('../../src/core/refresh-token.ts')
  const { session } = await auth.issue('user-1')
  const row = { ...(await findRow(store, session.id)), id: 'AAAAAAAAAAAAAAAAAAAAAA', generation: maxGeneration }
  await store.create(row)
  const last = mintRefreshToken(
    row,
    maxGeneration,
    new Uint8Array(8),
    createKeys(secret, 'https://id.example', 'EdDSA').proofKeys[0]!,
  )
  const { refreshToken } = await auth.refresh(last)
  assert.equal(generationOf(refreshToken), maxGeneration + 1)
  await refused(auth.refresh(refreshToken), 'ERR_REFRESH_TOKEN_INVALID', 'invalid_grant')
})

test('a store whose results contradict each other is called three times; then the refresh is superseded, and nobody is signed out', async () => {
  const { auth, store, another } = createRig(createMemoryStore())
  const spy = spyOn({ ...store, advance: async () => null })
  const torn = another({ store: spy.store })
  const { refreshToken } = await auth.issue('user-1')
  await refused(torn.refresh(refreshToken), 'ERR_REFRESH_SUPERSEDED')
  assert.deepEqual(spy.calls, ['advance', 'find', 'advance', 'find', 'advance', 'find'])
  assert.equal((await auth.refresh(refreshToken)).outcome, 'rotated')
})

test('the same seed makes the same ids and salts: all random bytes come from `random`', async () => {
  const run = async () => {
    const rig = createRig(createMemoryStore(), {
      random: createSeededRandom(42).bytes,
      secret: 'a secret that is the same in every run of it',
    })
    const first = await rig.auth.issue('user-1')
    const second = await rig.auth.refresh(first.refreshToken)
    return [first, second]
  }
  assert.deepEqual(await run(), await run())
})
