// What a sign-in and an `update` say of a person: only what every store keeps and every verifier accepts.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import type { IssueOptions } from '../../src/core/api.ts'
import { createDaypass } from '../../src/core/daypass.ts'
import type { Store } from '../../src/core/store.ts'
import { createMemoryStore } from '../../src/stores/memory.ts'
import { createFakeClock } from '../../src/testing/index.ts'
import { createRig, onEachStore, refused } from './setup.ts'

onEachStore(
  'an authTime is between 1970 and a minute from now; others are rejected and change nothing',
  {},
  async (rig) => {
    const { auth, time } = rig
    const now = time.now()
    const { session } = await auth.issue('ada')
    const wrong = [
      -1,
      -1e-9,
      now + 60_001,
      now * 1000,
      2 ** 48,
      1e20,
      Number.POSITIVE_INFINITY,
      Number.NaN,
      '2026',
      null,
      1n,
    ]
    for (const authTime of wrong as number[]) {
      await refused(auth.issue('bob', { authTime }), 'ERR_OPTION_INVALID')
      await refused(auth.update(session.id, { authTime }), 'ERR_OPTION_INVALID')
      const adopting = rig.another({ adopt: { find: () => ({ subject: 'bob', authTime }), forget() {} } })
      await refused(adopting.refresh('an-old-token-of-bob'), 'ERR_OPTION_INVALID')
    }
    assert.deepEqual(await auth.sessions('bob'), [])
    assert.deepEqual(await auth.sessions('ada'), [session])
    for (const authTime of [0, 1, now - 0.5, now, now + 60_000]) {
      const tokens = await auth.issue('ada', { authTime })
      assert.equal((await auth.update(tokens.session.id, { authTime }))?.authTime, Math.floor(authTime))
      for (const { accessToken } of [tokens, await auth.refresh(tokens.refreshToken)]) {
        assert.equal((await auth.verify(accessToken)).authTime, Math.floor(authTime / 1000) * 1000)
      }
    }
  },
)

test('an adopter that returns `authTime: undefined` gives no sign-in time', async () => {
  const { auth } = createRig(createMemoryStore(), {
    adopt: { find: () => ({ subject: 'ada', authTime: undefined, device: undefined }) as never, forget() {} },
  })
  const { session } = await auth.refresh('an-old-token-of-ada', { ip: '192.0.2.1' })
  assert.equal(session.authTime, 0)
  assert.equal(session.device.ip, '192.0.2.1')
})

for (const minutes of [-10, -1, 1, 10]) {
  test(`with a store whose clock is ${minutes} minutes ahead, an authTime of the app’s clock is the same in the token`, async (t) => {
    const time = createFakeClock()
    const store: Store = { ...createMemoryStore(), readClock: async () => time.clock() + minutes * 60_000 }
    t.mock.method(Date, 'now', time.clock)
    const secret = randomBytes(48)
    const options = { secret, issuer: 'https://id.example', store, onWarning() {} }
    const auth = createDaypass({
      ...options,
      adopt: { find: (text) => ({ subject: 'ada', ...(text.includes('known') && { authTime: 5000 }) }), forget() {} },
    })
    const authTimeOf = async ({ accessToken }: { accessToken: string }) => (await auth.verify(accessToken)).authTime
    // The first call of a server: it does not know the store's clock yet.
    const first = await auth.issue('ada', { authTime: Date.now() - 2000 })
    assert.equal(await authTimeOf(first), Date.now() - 2000)
    assert.equal(first.session.authTime, time.clock() + minutes * 60_000 - 2000, 'rows follow the store’s clock')
    const byDefault = await auth.issue('ada')
    assert.equal(await authTimeOf(byDefault), Date.now())
    let { refreshToken } = first
    for (const authTime of [Date.now(), Date.now() + 60_000, 5000 + 86_400_000, 0]) {
      // Each from a server that has just started.
      const server = createDaypass(options)
      assert.ok(await server.update(first.session.id, { authTime }))
      const next = await server.refresh(refreshToken)
      assert.equal(await authTimeOf(next), authTime)
      refreshToken = next.refreshToken
      await refused(server.update(first.session.id, { authTime: Date.now() + 60_001 }), 'ERR_OPTION_INVALID')
    }
    assert.equal(await authTimeOf(await auth.refresh('an-old-token-of-ada')), 0, 'not known stays not known')
    assert.ok(((await authTimeOf(await auth.refresh('a-known-token-of-ada'))) as number) <= 605_000)
  })
}

onEachStore('whatever is accepted fits into a token that verifiers accept', {}, async (rig) => {
  const { auth } = rig
  const long = (size: number) => 'x'.repeat(size)
  const odd = '\u0001'
  const most: [subject: string, options: IssueOptions][] = [
    [long(255), { clientId: long(255), scope: long(1022), amr: [long(1020)], claims: { a: long(4088) } }],
    ['𝕏'.repeat(255), { clientId: '𝕏'.repeat(255), scope: 'ü'.repeat(511), amr: Array(204).fill('ab') }],
    [
      odd.repeat(255),
      { clientId: odd.repeat(255), scope: odd.repeat(170), amr: [odd.repeat(170)], claims: { a: long(4088) } },
    ],
  ]
  for (const [subject, options] of most) {
    const tokens = await auth.issue(subject, options)
    assert.equal((await auth.verify(tokens.accessToken)).subject, subject)
    assert.equal((await auth.verify((await auth.refresh(tokens.refreshToken)).accessToken)).clientId, options.clientId)
  }
  const { session } = await auth.issue('ada')
  const tooMuch = [
    { clientId: '' },
    { clientId: long(256) },
    { scope: long(1023) },
    { scope: 'ü'.repeat(512) },
    { amr: Array(2000).fill('pwd') },
    { amr: Array(342).fill('') },
    { amr: [long(1021)] },
    { amr: [7] },
  ] as IssueOptions[]
  for (const options of tooMuch) {
    await refused(auth.issue('bob', options), 'ERR_OPTION_INVALID')
    if (options.amr) await refused(auth.update(session.id, { amr: options.amr }), 'ERR_OPTION_INVALID')
  }
  assert.deepEqual(await auth.sessions('bob'), [])
  assert.throws(() => rig.another({ clientId: long(256) }), { code: 'ERR_OPTION_INVALID' })
})

onEachStore('a member that does not exist is an error: of the device, of an adopter’s result', {}, async (rig) => {
  const device = { name: 'phone' } as object
  await assert.rejects(rig.auth.issue('ada', { device }), { code: 'ERR_OPTION_INVALID', message: /`device\.name`/ })
  for (const device of [null, 'phone'] as unknown as object[]) {
    await assert.rejects(rig.auth.issue('ada', { device }), { code: 'ERR_OPTION_INVALID', message: /`device` is/ })
  }
  for (const given of [{ claim: { role: 'user' } }, { authtime: 5 }, { device }]) {
    const adopt = { find: () => ({ subject: 'ada', ...given }), forget() {} }
    const auth = rig.another({ adopt: adopt as never })
    await assert.rejects(auth.refresh('an-old-token-of-ada'), {
      code: 'ERR_OPTION_INVALID',
      message: /`adopt\.find\.(claim|authtime)`|`device\.name`/,
    })
  }
  assert.deepEqual(await rig.auth.sessions('ada'), [])
  const adopted = rig.another({ adopt: { find: () => ({ subject: 'ada', claims: { role: 'user' } }), forget() {} } })
  assert.deepEqual((await adopted.refresh('an-old-token-of-ada')).session.claims, { role: 'user' })
  const nobody = rig.another({ adopt: { find: () => undefined as never, forget() {} } })
  await refused(nobody.refresh('an-old-token-of-nobody'), 'ERR_REFRESH_TOKEN_INVALID')
})

onEachStore('a member of findSubject’s result that does not exist: 503, and nothing changes', {}, async (rig) => {
  let found: object = { claims: { role: 'admin' } }
  const auth = rig.another({ findSubject: () => found })
  const { refreshToken, session } = await auth.issue('ada')
  for (found of [{ claim: { role: 'guest' } }, { claims: {}, role: 'guest' }]) {
    await assert.rejects(auth.refresh(refreshToken), (error: Error & { code?: string }) => {
      assert.equal(error.code, 'ERR_SUBJECT_CHECK_FAILED')
      assert.match(String(error.cause), /`findSubject\.(claim|role)` is not an option/)
      return true
    })
    await refused(auth.issue('bob'), 'ERR_SUBJECT_CHECK_FAILED')
    await refused(auth.findSession(refreshToken) as Promise<unknown>, 'ERR_SUBJECT_CHECK_FAILED')
  }
  assert.deepEqual(await auth.sessions('ada'), [session])
  assert.deepEqual(await auth.sessions('bob'), [])
  found = { claims: null as never }
  await refused(auth.refresh(refreshToken), 'ERR_CLAIMS_INVALID')
  await refused(auth.issue('bob', { claims: null as never }), 'ERR_CLAIMS_INVALID')
  for (const name of ['\uFFFE', '\uFFFF']) {
    await refused(auth.issue('bob', { claims: { name } }), 'ERR_CLAIMS_INVALID')
    await refused(auth.issue('bob', { claims: { [name]: 1 } }), 'ERR_CLAIMS_INVALID')
  }
  found = { claims: { role: 'guest' } }
  assert.deepEqual((await auth.refresh(refreshToken)).session.claims, { role: 'guest' })
})

onEachStore('characters that no store can keep become U+FFFD in a device', {}, async ({ auth }) => {
  const device = { userAgent: 'a\0b\ud800c', ip: '\ufffe', label: '\uffff' }
  const { session } = await auth.issue('ada', { device })
  assert.deepEqual({ ...session.device }, { userAgent: 'a\ufffdb\ufffdc', ip: '\ufffd', label: '\ufffd' })
  await assert.rejects(auth.issue('ada\0'), { message: /without NUL, U\+FFFE, U\+FFFF or unpaired surrogates/ })
})
