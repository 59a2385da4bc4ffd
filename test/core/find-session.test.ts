// `findSession`: reads who is signed in, and changes nothing.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import type { DaypassEvent } from '../../src/core/events.ts'
import { createKeys } from '../../src/core/keys.ts'
import { maxGeneration, mintRefreshToken } from '../../src/core/refresh-token.ts'
import type { Session } from '../../src/core/session.ts'
import { findRow } from '../../src/testing/store-harness.ts'
import { day, hour, newKey, onEachStore, refused, spyOn } from './setup.ts'

onEachStore('the newest token: its session, by one read', {}, async (rig) => {
  const spy = spyOn(rig.store)
  const auth = rig.another({ store: spy.store })
  const first = await auth.issue('ada', { claims: { role: 'admin' }, clientId: 'web' })
  spy.calls.length = 0
  const found = await auth.findSession(first.refreshToken)
  assert.ok(found)
  const { createAccessToken, user, ...info } = found
  assert.deepEqual(info, first.session)
  assert.equal(user, undefined)
  assert.deepEqual(spy.calls, ['find'])
  const token = await auth.verify(await createAccessToken())
  assert.deepEqual([token.subject, token.sessionId, token.claims], ['ada', first.session.id, { role: 'admin' }])
})

onEachStore('a token that only lost a race is read; an older one is not, and ends nothing', {}, async (rig) => {
  const { auth, store, time } = rig
  const first = await auth.issue('ada')
  const idempotencyKey = newKey()
  const second = await auth.refresh(first.refreshToken, { idempotencyKey })
  assert.equal((await auth.findSession(first.refreshToken))?.id, first.session.id)
  time.advance(hour)
  const before = await findRow(store, first.session.id)
  assert.equal(await auth.findSession(first.refreshToken), null)
  assert.deepEqual(await findRow(store, first.session.id), before, 'no rotation, and no end')
  assert.equal((await auth.findSession(second.refreshToken))?.id, first.session.id)
  // The response with the second token was lost: the client still gets it with its key.
  assert.equal((await auth.refresh(first.refreshToken, { idempotencyKey })).outcome, 'replayed')
})

onEachStore(
  'a hundred reads beside refreshes: each token is redeemed once, and no event is emitted for a read',
  {},
  async (rig) => {
    const events: DaypassEvent[] = []
    const auth = rig.another({ onEvent: (event) => events.push(event) })
    let { refreshToken, session } = await auth.issue('ada')
    for (let round = 0; round < 10; round++) {
      const token = refreshToken
      const reads = Array.from({ length: 10 }, () => auth.findSession(token))
      const refreshed = await auth.refresh(token, { idempotencyKey: newKey() })
      for (const found of await Promise.all(reads)) assert.equal(found?.id, session.id)
      refreshToken = refreshed.refreshToken
    }
    assert.deepEqual(
      events.map(({ type }) => type),
      ['issued', ...Array(10).fill('rotated')],
    )
  },
)

onEachStore('a token whose refresh had no key is read while that refresh may be sent again', {}, async (rig) => {
  const { auth, time } = rig
  const { refreshToken, session } = await auth.issue('ada')
  await auth.refresh(refreshToken)
  assert.equal((await auth.findSession(refreshToken))?.id, session.id)
  time.advance(day)
  assert.equal(await auth.findSession(refreshToken), null)
})

onEachStore('null for a session that is over, a token that is none, and a forged one', {}, async (rig) => {
  const { auth, time } = rig
  const ended = await auth.issue('ada')
  await auth.revoke(ended.session.id)
  assert.equal(await auth.findSession(ended.refreshToken), null)
  const expired = await auth.issue('ada')
  time.advance(8 * day)
  assert.equal(await auth.findSession(expired.refreshToken), null)
  const { refreshToken } = await auth.issue('ada')
  for (const text of ['', 'dpr_', `${refreshToken}A`, refreshToken.slice(0, -8), undefined as unknown as string]) {
    assert.equal(await auth.findSession(text), null)
  }
  // A read records no expiry; a refresh does.
  await refused(auth.refresh(expired.refreshToken), 'ERR_SESSION_EXPIRED')
})

onEachStore(
  'null for a token with a good proof and a wrong tag, an unknown session or the last generation',
  {},
  async (rig) => {
    const { auth, store, secret } = rig
    const { proofKeys } = createKeys(secret, 'https://id.example', 'EdDSA')
    const { session } = await auth.issue('ada')
    const row = await findRow(store, session.id)
    const mint = (members: Partial<Session>) => {
      const made = { ...row, ...members }
      return mintRefreshToken(made, made.generation, randomBytes(8), proofKeys[0])
    }
    assert.equal((await auth.findSession(mint({})))?.subject, 'ada', 'the key is the server’s')
    assert.equal(await auth.findSession(mint({ secret: randomBytes(16) })), null, 'a wrong tag')
    assert.equal(
      await auth.findSession(mint({ id: randomBytes(16).toString('base64url') })),
      null,
      'an unknown session',
    )
    assert.equal((await auth.findSession(mint({ generation: maxGeneration })))?.subject, 'ada')
    assert.equal(await auth.findSession(mint({ generation: maxGeneration + 1 })), null, 'a generation too many')
  },
)

onEachStore(
  'with findSubject: the claims of now; null for an unknown user, whose session a read does not end',
  {},
  async (rig) => {
    let role: string | undefined = 'admin'
    const auth = rig.another({ findSubject: () => (role === undefined ? null : { claims: { role } }) })
    const { refreshToken, session } = await auth.issue('ada')
    role = 'guest'
    assert.equal((await auth.findSession(refreshToken))?.claims.role, 'guest')
    role = undefined
    assert.equal(await auth.findSession(refreshToken), null)
    assert.equal((await findRow(rig.store, session.id)).revokedAt, null)
  },
)
