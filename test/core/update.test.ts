// `update`: changes a live session's claims, its authTime and amr, or the name of its device.

import assert from 'node:assert/strict'
import { generateKeyPairSync, sign } from 'node:crypto'
import { test } from 'node:test'
import { createDaypass } from '../../src/core/daypass.ts'
import type { ClaimsSchema } from '../../src/core/options.ts'
import { createMemoryStore } from '../../src/stores/memory.ts'
import { findRow } from '../../src/testing/store-harness.ts'
import { createRig, day, minute, newKey, onEachStore, refused, spyOn } from './setup.ts'

onEachStore('the next refresh, replay and retry say the change; tokens that are out do not', {}, async (rig) => {
  const { auth, time } = rig
  for (const [outcome, keys] of [
    ['replayed', { idempotencyKey: newKey() }],
    ['retried', {}],
  ] as const) {
    const first = await auth.issue('ada', { claims: { role: 'user' }, amr: ['pwd'], device: { label: 'laptop' } })
    const rotated = await auth.refresh(first.refreshToken, keys)
    time.advance(minute)
    const authTime = time.now()
    const updated = await auth.update(first.session.id, {
      claims: { role: 'admin' },
      authTime,
      amr: ['pwd', 'otp'],
      label: 'phone',
    })
    assert.deepEqual(updated, {
      ...rotated.session,
      claims: { role: 'admin' },
      authTime,
      amr: ['pwd', 'otp'],
      device: { label: 'phone' },
    })
    assert.deepEqual((await auth.verify(rotated.accessToken)).claims, { role: 'user' })
    const again = await auth.refresh(first.refreshToken, keys)
    assert.equal(again.outcome, outcome)
    const next = await auth.refresh(again.refreshToken, { idempotencyKey: newKey() })
    for (const { session, accessToken } of [again, next]) {
      const token = await auth.verify(accessToken)
      assert.deepEqual([token.claims, token.amr], [{ role: 'admin' }, ['pwd', 'otp']])
      assert.equal(token.authTime, Math.floor(authTime / 1000) * 1000)
      assert.deepEqual([session.claims, session.device.label], [{ role: 'admin' }, 'phone'])
    }
  }
})

onEachStore('each member changes alone, by one call of the store; null removes the label', {}, async (rig) => {
  const spy = spyOn(rig.store)
  const auth = rig.another({ store: spy.store })
  const { session } = await auth.issue('ada', { claims: { a: 1 }, amr: ['pwd'], device: { userAgent: 'UA' } })
  spy.calls.length = 0
  let expected = session
  for (const [changes, then] of [
    [{ claims: { b: 2 } }, { claims: { b: 2 } }],
    [{ authTime: 1234.5 }, { authTime: 1234 }],
    [{ amr: [] }, { amr: [] }],
    [{ label: 'phone' }, { device: { userAgent: 'UA', label: 'phone' } }],
    [{ label: 'x'.repeat(300) }, { device: { userAgent: 'UA', label: 'x'.repeat(255) } }],
    [{ label: null, claims: undefined }, { device: { userAgent: 'UA' } }],
  ] as const) {
    expected = { ...expected, ...then } as typeof session
    assert.deepEqual(await auth.update(session.id, changes as object), expected)
  }
  assert.deepEqual(new Set(spy.calls), new Set(['update']))
  assert.equal(spy.calls.length, 6)
})

onEachStore('a session that is over, unknown, or another subject’s is not changed', {}, async (rig) => {
  const { auth, time, store } = rig
  const [ended, bobs, idle] = [await auth.issue('ada'), await auth.issue('bob'), await auth.issue('ada')]
  await auth.revoke(ended.session.id)
  assert.equal(await auth.update(ended.session.id, { label: 'x' }), null)
  assert.equal(await auth.update(bobs.session.id, { label: 'x' }, { subject: 'ada' }), null)
  for (const id of ['', 'AAAAAAAAAAAAAAAAAAAAAA', '\u0000']) assert.equal(await auth.update(id, { label: 'x' }), null)
  assert.equal((await findRow(store, bobs.session.id)).device.label, undefined)
  assert.ok(await auth.update(bobs.session.id, { label: 'x' }, { subject: 'bob' }))
  time.advance(7 * day)
  assert.equal(await auth.update(idle.session.id, { label: 'x' }), null)
  await refused(auth.refresh(idle.refreshToken), 'ERR_SESSION_EXPIRED')
})

onEachStore('an id that is no text is no session’s', {}, async ({ auth, store }) => {
  const { session } = await auth.issue('ada')
  for (const id of [undefined, null, 7, {}, [session.id], Buffer.from(session.id)] as unknown as string[]) {
    assert.equal(await auth.update(id, { label: 'x' }), null)
    assert.equal(await auth.update(id, { label: 'x' }, { subject: 'ada' }), null)
    assert.equal(await auth.revoke(id), false)
    assert.equal(await auth.revoke(id, { subject: 'ada' }), false)
  }
  assert.deepEqual(await store.find(session.id), await findRow(store, session.id))
  assert.equal((await auth.sessions('ada'))[0]!.device.label, undefined)
})

onEachStore('a restriction that is there and no text is an error, and changes nothing', {}, async ({ auth }) => {
  const { session, refreshToken } = await auth.issue('ada', { clientId: 'web' })
  const { id } = session
  for (const nothing of [undefined, null, 7] as unknown as string[]) {
    const calls = {
      update: () => auth.update(id, { label: 'x' }, { subject: nothing }),
      revoke: () => auth.revoke(id, { subject: nothing }),
      'revoke with a sessionId': () => auth.revoke(id, { sessionId: nothing }),
      revokeToken: () => auth.revokeToken(refreshToken, { sessionId: nothing }),
      revokeSubject: () => auth.revokeSubject('ada', { except: nothing }),
      refresh: () => auth.refresh(refreshToken, { clientId: nothing }),
    }
    for (const [name, call] of Object.entries(calls)) {
      await assert.rejects(call, { code: 'ERR_OPTION_INVALID' }, `${name}: ${nothing}`)
    }
  }
  assert.deepEqual(await auth.sessions('ada'), [session])
})

onEachStore('updates and refreshes at the same moment: none is lost, and nobody is signed out', {}, async (rig) => {
  const { auth, events } = rig
  let { refreshToken, session } = await auth.issue('ada')
  for (let round = 1; round <= 20; round++) {
    const [refreshed, ...updated] = await Promise.all([
      auth.refresh(refreshToken, { idempotencyKey: newKey() }),
      auth.update(session.id, { claims: { round } }),
      auth.update(session.id, { label: `${round}` }),
    ])
    assert.equal(refreshed.outcome, 'rotated')
    assert.ok(updated.every((each) => each !== null))
    refreshToken = refreshed.refreshToken
    const [now] = await auth.sessions('ada')
    assert.deepEqual([now!.claims, now!.device.label], [{ round }, `${round}`])
  }
  assert.ok(events.every(({ type }) => ['issued', 'rotated', 'updated'].includes(type)))
})

onEachStore('a change that comes while a refresh asks elsewhere is in its token', {}, async (rig) => {
  const { session, refreshToken } = await rig.auth.issue('ada', { claims: { role: 'user' }, clientId: 'web' })
  let isAsked = 0
  const auth = rig.another({
    async findSubject() {
      isAsked++
      await rig.auth.update(session.id, { claims: { role: 'admin' } })
      return {}
    },
  })
  const refreshed = await auth.refresh(refreshToken, { clientId: 'web' })
  assert.equal(isAsked, 1)
  assert.deepEqual(refreshed.session.claims, { role: 'admin' })
  assert.deepEqual((await auth.verify(refreshed.accessToken)).claims, { role: 'admin' })
})

onEachStore('with `findSubject`, its claims count at the next refresh', {}, async (rig) => {
  const auth = rig.another({ findSubject: () => ({ claims: { role: 'guest' } }) })
  const { session, refreshToken } = await auth.issue('ada')
  await auth.update(session.id, { claims: { role: 'admin' } })
  assert.deepEqual((await auth.refresh(refreshToken)).session.claims, { role: 'guest' })
})

onEachStore('an update is an event that names the members, and not their values', {}, async ({ auth, events }) => {
  const { session } = await auth.issue('ada')
  const request = { ip: '192.0.2.1', userAgent: 'UA' }
  await auth.update(session.id, { amr: ['otp'], authTime: 1, claims: { secret: 'value' } }, { request })
  const event = events.find(({ type }) => type === 'updated')
  assert.deepEqual(event?.type === 'updated' && event.changed, ['claims', 'authTime', 'amr'])
  assert.deepEqual([event!.sessionId, event!.subject, event!.request], [session.id, 'ada', request])
  assert.doesNotMatch(JSON.stringify(event), /value/)
})

test('changes are checked as at a sign-in, before the store is asked', async () => {
  const spy = spyOn(createMemoryStore())
  const rig = createRig(spy.store)
  const { session } = await rig.auth.issue('ada')
  spy.calls.length = 0
  const wrong: [code: 'ERR_OPTION_INVALID' | 'ERR_CLAIMS_INVALID', changes: object][] = [
    ['ERR_OPTION_INVALID', {}],
    ['ERR_OPTION_INVALID', { role: 'admin' }],
    ['ERR_OPTION_INVALID', { claims: undefined }],
    ['ERR_OPTION_INVALID', { label: 'x', authtime: 1 }],
    ['ERR_OPTION_INVALID', { authTime: Number.NaN }],
    ['ERR_OPTION_INVALID', { authTime: '2026' }],
    ['ERR_OPTION_INVALID', { authTime: null }],
    ['ERR_OPTION_INVALID', { amr: 'otp' }],
    ['ERR_OPTION_INVALID', { amr: ['\u0000'] }],
    ['ERR_OPTION_INVALID', { label: 7 }],
    ['ERR_CLAIMS_INVALID', { claims: { sub: 'eve' } }],
    ['ERR_CLAIMS_INVALID', { claims: { long: 'x'.repeat(5000) } }],
    ['ERR_CLAIMS_INVALID', { claims: [] }],
    ['ERR_CLAIMS_INVALID', { claims: null }],
  ]
  for (const [code, changes] of wrong) await refused(rig.auth.update(session.id, changes), code)
  await refused(rig.auth.update(session.id, { label: 'x' }, { sub: 'ada' } as object), 'ERR_OPTION_INVALID')
  assert.deepEqual(spy.calls, [])
  const schema: ClaimsSchema<{ role: string }> = {
    '~standard': {
      version: 1,
      vendor: 'test',
      validate: (value) =>
        typeof (value as { role?: unknown }).role === 'string'
          ? { value: value as { role: string } }
          : { issues: [{ message: 'a role is missing' }] },
    },
  }
  const { secret, time } = rig
  const { clock } = time
  const strict = createDaypass({ secret, clock, issuer: 'https://id.example', store: spy.store, claims: schema })
  // @ts-expect-error: a role is required.
  await refused(strict.update(session.id, { claims: {} }), 'ERR_CLAIMS_INVALID')
  assert.ok(await strict.update(session.id, { claims: { role: 'admin' } }))
})

for (const outcome of ['rotated', 'replayed', 'retried'] as const) {
  onEachStore(
    `a change that comes while an external signer signs is in the token of the response: ${outcome}`,
    {},
    async (rig) => {
      const { publicKey, privateKey } = generateKeyPairSync('ed25519')
      let whileSigning = async () => {}
      const signer = async (data: Uint8Array) => {
        const signature = sign(null, data, privateKey)
        await whileSigning()
        return signature
      }
      const auth = rig.another({ signingKeys: [{ algorithm: 'EdDSA', publicKey, sign: signer }] })
      for (const changes of [{ claims: { role: 'guest' } }, { authTime: 2000 }, { amr: ['pwd', 'otp'] }]) {
        const first = await auth.issue('ada', { claims: { role: 'admin' }, authTime: 1000, amr: ['pwd'] })
        const keys = outcome === 'replayed' ? { idempotencyKey: newKey() } : {}
        if (outcome !== 'rotated') await auth.refresh(first.refreshToken, keys)
        whileSigning = async () => {
          whileSigning = async () => {}
          await auth.update(first.session.id, changes)
        }
        const refreshed = await auth.refresh(first.refreshToken, keys)
        assert.equal(refreshed.outcome, outcome)
        const { claims, authTime, amr } = refreshed.session
        assert.deepEqual(
          { claims, authTime, amr },
          { claims: { role: 'admin' }, authTime: 1000, amr: ['pwd'], ...changes },
        )
        const token = await auth.verify(refreshed.accessToken)
        assert.deepEqual({ claims: token.claims, authTime: token.authTime, amr: token.amr }, { claims, authTime, amr })
      }
    },
  )
}

onEachStore('without a change, an external signer signs once for a refresh', {}, async (rig) => {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519')
  let signed = 0
  const signer = async (data: Uint8Array) => {
    signed++
    return sign(null, data, privateKey)
  }
  const signingKeys = [{ algorithm: 'EdDSA', publicKey, sign: signer } as const]
  for (const findSubject of [undefined, () => ({ claims: { role: 'guest' } })]) {
    const auth = rig.another({ signingKeys, findSubject })
    const { refreshToken } = await auth.issue('ada', { claims: { role: 'admin', of: ['a'] }, amr: ['pwd'] })
    signed = 0
    await auth.refresh(refreshToken)
    assert.equal(signed, 1)
  }
})

test('a session that does not exist belongs to nobody', async () => {
  const { auth } = createRig(createMemoryStore())
  assert.equal(await auth.update('unknown', { label: 'phone' }, { subject: 'ada' }), null)
})
