// The app's `findSubject`: the claims of each token are those that the user has now.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { createDaypass } from '../../src/index.ts'
import { createMemoryStore } from '../../src/stores/memory.ts'
import { day, newKey, onEachStore, refused } from './setup.ts'

/** A user table with one user, whose role may change. */
function createUsers(role = 'admin') {
  const ada = { id: 'ada', role, active: true }
  return { ada, find: (id: string) => [ada].find((user) => user.id === id && user.active) }
}

onEachStore('who loses a role has lost it at the next refresh', {}, async (rig) => {
  const users = createUsers()
  const auth = rig.another({
    findSubject: async (id) => {
      const user = users.find(id)
      return user && { claims: { role: user.role } }
    },
  })
  const first = await auth.issue('ada')
  assert.equal(first.session.claims.role, 'admin', 'a sign-in without claims asks for them')
  assert.equal((await auth.verify(first.accessToken)).claims.role, 'admin')
  users.ada.role = 'guest'
  const second = await auth.refresh(first.refreshToken)
  assert.equal(second.session.claims.role, 'guest')
  assert.equal((await auth.verify(second.accessToken)).claims.role, 'guest')
})

onEachStore('a replay and a retry that come late have the claims of today', {}, async (rig) => {
  const users = createUsers()
  const findSubject = () => ({ claims: { role: users.ada.role } })
  const auth = rig.another({ findSubject })
  const idempotencyKey = newKey()
  for (const [outcome, options] of [
    ['replayed', { idempotencyKey }],
    ['retried', {}],
  ] as const) {
    users.ada.role = 'admin'
    const { refreshToken } = await auth.issue('ada')
    assert.equal((await auth.refresh(refreshToken, options)).session.claims.role, 'admin')
    users.ada.role = 'guest'
    rig.time.advance(outcome === 'replayed' ? day : day - 1000)
    const late = await auth.refresh(refreshToken, options)
    assert.equal(late.outcome, outcome)
    assert.equal(late.session.claims.role, 'guest')
    assert.equal((await auth.verify(late.accessToken)).claims.role, 'guest')
  }
})

onEachStore('claims given at a sign-in are used as they are, until the next refresh', {}, async (rig) => {
  const asked: unknown[] = []
  const auth = rig.another({
    findSubject: (subject, { id, clientId }) => {
      asked.push([subject, id, clientId])
      return { claims: { role: 'guest' } }
    },
  })
  const first = await auth.issue('ada', { claims: { role: 'admin' }, clientId: 'phone' })
  assert.deepEqual(asked, [])
  assert.equal(first.session.claims.role, 'admin')
  const second = await auth.refresh(first.refreshToken)
  assert.equal(second.session.claims.role, 'guest')
  assert.deepEqual(asked, [['ada', first.session.id, 'phone']])
})

onEachStore('a user without claims keeps those of the sign-in', {}, async (rig) => {
  const auth = rig.another({ findSubject: () => ({}) })
  const first = await auth.issue('ada', { claims: { role: 'admin' } })
  assert.equal((await auth.refresh(first.refreshToken)).session.claims.role, 'admin')
  assert.deepEqual((await auth.issue('bob')).session.claims, {})
})

onEachStore('a sign-in of an unknown user without claims is refused, and writes no row', {}, async (rig) => {
  const auth = rig.another({ findSubject: (id) => createUsers().find(id) && {} })
  await refused(auth.issue('eve'), 'ERR_SUBJECT_INACTIVE')
  assert.deepEqual(await auth.sessions('eve'), [])
})

onEachStore('claims that do not fit are an error before anything changes', {}, async (rig) => {
  let claims: object = {}
  const auth = rig.another({ findSubject: () => ({ claims: claims as Record<string, unknown> }) })
  const { refreshToken } = await auth.issue('ada')
  claims = { sub: 'eve' }
  await refused(auth.refresh(refreshToken), 'ERR_CLAIMS_INVALID')
  await refused(auth.issue('ada'), 'ERR_CLAIMS_INVALID')
  claims = { role: 'guest' }
  assert.equal((await auth.refresh(refreshToken)).outcome, 'rotated')
})

onEachStore('an old token that is adopted gets the claims of today', {}, async (rig) => {
  const { ada } = createUsers('guest')
  const auth = rig.another({
    findSubject: () => ({ claims: { role: ada.role } }),
    adopt: { find: () => ({ subject: 'ada', claims: { role: 'admin' } }), forget() {} },
  })
  const old = 'an-old-token-of-ada'
  const adopted = await auth.refresh(old, { idempotencyKey: newKey() })
  assert.equal(adopted.outcome, 'adopted')
  assert.equal((await auth.verify(adopted.accessToken)).claims.role, 'guest')
  assert.equal(adopted.session.claims.role, 'guest')
})

onEachStore(
  'the user of findSubject comes with each result: sign-in, refresh, replay, retry, adoption, reading',
  {},
  async (rig) => {
    let name = 'Ada'
    const options = {
      findSubject: () => ({ user: { name } }),
      adopt: { find: () => ({ subject: 'ada' }), forget() {} },
    }
    const auth = rig.another(options)
    for (const [outcome, key] of [
      ['replayed', newKey()],
      ['retried', undefined],
    ] as const) {
      name = 'Ada'
      const { refreshToken, user } = await auth.issue('ada')
      assert.deepEqual(user, { name: 'Ada' })
      const first = await auth.refresh(refreshToken, { idempotencyKey: key })
      assert.deepEqual([first.outcome, first.user], ['rotated', { name: 'Ada' }])
      name = 'Ada Lovelace'
      const late = await auth.refresh(refreshToken, { idempotencyKey: key })
      assert.deepEqual([late.outcome, late.user], [outcome, { name }])
      assert.deepEqual((await auth.findSession(late.refreshToken))?.user, { name })
    }
    const idempotencyKey = newKey()
    const trades = await Promise.all(
      // Another instance, so that neither waits for the other.
      [auth, rig.another(options)].map((each) => each.refresh('an-old-token-of-ada', { idempotencyKey })),
    )
    assert.deepEqual(trades.map(({ outcome }) => outcome).sort(), ['adopted', 'replayed'])
    for (const { user } of trades) assert.deepEqual(user, { name })
  },
)

onEachStore('claims or a user of today: a trade that another request finished first has both', {}, async (rig) => {
  const found = { claims: { role: 'guest' }, user: { name: 'Ada' } }
  const hold = Promise.withResolvers<void>()
  let isFirst = true
  const adopt = { find: () => ({ subject: 'ada', claims: { role: 'admin' } }), forget() {} }
  const auth = rig.another({ findSubject: () => found, adopt })
  const slow = rig.another({
    findSubject: () => found,
    adopt: {
      ...adopt,
      async find() {
        if (isFirst) await hold.promise
        isFirst = false
        return adopt.find()
      },
    },
  })
  const idempotencyKey = newKey()
  const late = slow.refresh('an-old-token-of-ada', { idempotencyKey })
  assert.equal((await auth.refresh('an-old-token-of-ada', { idempotencyKey })).outcome, 'adopted')
  found.claims.role = 'none'
  hold.resolve()
  const { outcome, user, session } = await late
  assert.deepEqual([outcome, user, session.claims], ['replayed', { name: 'Ada' }, { role: 'none' }])
})

onEachStore('no user where nobody was asked for one, or where findSubject gives none', {}, async (rig) => {
  for (const options of [{}, { findSubject: () => ({}) }]) {
    const auth = rig.another(options)
    const { refreshToken, user } = await auth.issue('ada', { claims: {} })
    const refreshed = await auth.refresh(refreshToken)
    assert.deepEqual([user, refreshed.user], [undefined, undefined])
    assert.equal((await auth.findSession(refreshed.refreshToken))?.user, undefined)
  }
})

onEachStore('a user that JSON cannot hold is an error before anything changes', {}, async (rig) => {
  let user: unknown
  const auth = rig.another({ findSubject: () => ({ user }) })
  const { refreshToken } = await auth.issue('ada')
  user = { id: 1n }
  await refused(auth.refresh(refreshToken), 'ERR_SUBJECT_CHECK_FAILED')
  await refused(auth.issue('bob'), 'ERR_SUBJECT_CHECK_FAILED')
  assert.deepEqual(await auth.sessions('bob'), [])
  user = 'Ada'
  assert.equal((await auth.refresh(refreshToken)).outcome, 'rotated')
})

test('claims may be left out of a sign-in where `findSubject` gives them, and only there', async () => {
  const given = { secret: randomBytes(48), issuer: 'https://id.example', store: createMemoryStore() }
  const auth = createDaypass<{ role: string }>({ ...given, findSubject: () => ({ claims: { role: 'admin' } }) })
  const { session } = await auth.issue('ada')
  assert.equal(session.claims.role.length, 5)
  const without = createDaypass<{ role: string }>({ ...given })
  // @ts-expect-error: a role is required.
  await without.issue('ada')
  // @ts-expect-error: `findSubject` must give a role.
  createDaypass<{ role: string }>({ ...given, findSubject: () => ({}) })
  await auth.close()
})
