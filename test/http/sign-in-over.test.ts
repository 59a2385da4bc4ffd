// A sign-in from a browser that still holds a session: that session is ended, and no other.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DaypassError, type DaypassEvent, type Store } from '../../src/index.ts'
import { createMemoryStore } from '../../src/stores/memory.ts'
import { adapters } from '../adapters/apps.ts'
import {
  assertRefused,
  authenticate,
  bearer,
  call,
  makeDaypass,
  ownPage,
  password,
  refreshBody,
  refreshCookie,
  serve,
  signInBody,
  signInCookie,
} from './server.ts'

const endings = (events: DaypassEvent[]) =>
  events.flatMap((event) => (event.type === 'revoked' ? [`${event.subject} ${event.reason}`] : []))

test('one browser has one session, however often a person signs in', async (t) => {
  const { origin, auth, events } = await serve(t)
  const first = await signInCookie(origin)
  let { cookie } = first
  for (let turn = 0; turn < 4; turn++) cookie = (await signInCookie(origin, 'ada', { cookie: cookie! })).cookie
  assert.equal((await auth.sessions('ada')).length, 1)
  assertRefused(await refreshCookie(origin, first.cookie!), 401, 'ERR_SESSION_REVOKED', 'invalid_grant')
  assertRefused(
    await call(origin, 'GET /me', { headers: bearer(first.json.accessToken) }),
    401,
    'ERR_ACCESS_TOKEN_REVOKED',
  )
  assert.equal((await refreshCookie(origin, cookie!)).status, 200)
  assert.deepEqual(endings(events), Array(4).fill('ada replaced'))
  const types = events.map((event) => event.type).slice(0, 3)
  assert.deepEqual(types, ['issued', 'issued', 'revoked'], 'the new session is there before the old one ends')
})

test('another person signs in: the session of the person before ends, with an event', async (t) => {
  const { origin, events } = await serve(t)
  const ada = await signInCookie(origin)
  const bob = await signInCookie(origin, 'bob', { cookie: ada.cookie!, 'user-agent': 'Bob' })
  assertRefused(await refreshCookie(origin, ada.cookie!), 401, 'ERR_SESSION_REVOKED', 'invalid_grant')
  assert.equal((await refreshCookie(origin, bob.cookie!)).status, 200)
  assert.deepEqual(endings(events), ['ada replaced'])
  const told = events.find((event) => event.type === 'revoked')!
  assert.equal(told.sessionId, ada.json.session.id)
  assert.equal(told.request.ip, '127.0.0.1', 'who signed in is who ended it')
})

test('sessions of other browsers live on, also where a person may have few of them', async (t) => {
  const { origin, events } = await serve(t, { maxSessionsPerSubject: 2 })
  const there = await signInCookie(origin)
  let here = await signInCookie(origin)
  for (let turn = 0; turn < 3; turn++) here = await signInCookie(origin, 'ada', { cookie: here.cookie! })
  assert.deepEqual(endings(events), Array(3).fill('ada replaced'))
  for (const { cookie } of [there, here]) assert.equal((await refreshCookie(origin, cookie!)).status, 200)
})

test('a sign-in that fails leaves the session that is there', async (t) => {
  const memory = createMemoryStore()
  let isAway = false
  const store: Store = {
    ...memory,
    async create(session) {
      if (isAway) throw new DaypassError('ERR_STORE_UNAVAILABLE')
      return memory.create(session)
    },
  }
  const { origin, events } = await serve(t, { store })
  const { cookie } = await signInCookie(origin)
  const login = (json: object) => call(origin, 'POST /auth/login', { json, headers: { ...ownPage, cookie: cookie! } })
  assertRefused(await login({ name: 'ada', password: 'wrong' }), 401, 'ERR_CREDENTIALS_INVALID')
  isAway = true
  assertRefused(await login({ name: 'ada', password }), 503, 'ERR_STORE_UNAVAILABLE')
  assert.deepEqual(endings(events), [])
  assert.equal((await refreshCookie(origin, cookie!)).status, 200)
})

test('the old session cannot be ended: the sign-in goes on, and onError receives the error', async (t) => {
  for (const broken of ['find', 'revoke'] as const) {
    const memory = createMemoryStore()
    let isAway = false
    const fail = async () => {
      throw new DaypassError('ERR_STORE_UNAVAILABLE')
    }
    const store = new Proxy(memory, {
      get: (target, name) => (isAway && name === broken ? fail : Reflect.get(target, name)),
    })
    const { origin, errors } = await serve(t, { store })
    const first = await signInCookie(origin)
    isAway = true
    const second = await signInCookie(origin, 'ada', { cookie: first.cookie! })
    isAway = false
    assert.deepEqual(
      errors.map((error) => (error as DaypassError).code),
      ['ERR_STORE_UNAVAILABLE'],
      broken,
    )
    for (const { cookie } of [first, second]) assert.equal((await refreshCookie(origin, cookie!)).status, 200)
  }
})

test('what the cookie holds is no token of ours, or there are two: the sign-in goes on', async (t) => {
  const { origin, events, errors } = await serve(t)
  const foreign = makeDaypass({ secret: 'another secret that nobody here knows, long enough' })
  const { refreshToken } = await foreign.auth.issue('ada', { claims: { role: 'member' } })
  const { cookie } = await signInCookie(origin)
  const name = cookie!.split('=')[0]
  for (const sent of [`${name}=`, `${name}=rubbish`, `${name}=${refreshToken}`, `${cookie}; ${cookie}`]) {
    assert.equal((await signInCookie(origin, 'ada', { cookie: sent })).status, 200)
  }
  assert.deepEqual(endings(events), [])
  assert.deepEqual(errors, [])
  assert.equal((await refreshCookie(origin, cookie!)).status, 200)
})

test('a sign-in by body sets no cookie, and ends nothing but what it names', async (t) => {
  const { origin, events } = await serve(t)
  const { cookie } = await signInCookie(origin)
  const json = { name: 'ada', password, transport: 'body' }
  assert.equal((await call(origin, 'POST /auth/login', { json, headers: { ...ownPage, cookie: cookie! } })).status, 200)
  assert.deepEqual(endings(events), [])
  assert.equal((await refreshCookie(origin, cookie!)).status, 200)
})

test('a program names the token that it held, in a login of the app’s own', async () => {
  const { auth, events } = makeDaypass()
  const claims = { role: 'member' }
  const held = await auth.issue('ada', { claims })
  const next = await auth.issue('ada', { claims, replaces: [held.refreshToken, 'rubbish'] })
  assert.deepEqual(
    (await auth.sessions('ada')).map((session) => session.id),
    [next.session.id],
  )
  assert.deepEqual(endings(events), ['ada replaced'])
})

test('an old token of the cookie before ours is ended with it', async (t) => {
  const adopt = {
    find: async (token: string) => (token === 'an-old-token-0123456789' ? { subject: 'ada' } : null),
    forget: async () => {},
  }
  const { origin } = await serve(t, { adopt }, { cookie: { oldName: 'jwt' } })
  await signInCookie(origin, 'ada', { cookie: 'jwt=an-old-token-0123456789' })
  assertRefused(await refreshBody(origin, 'an-old-token-0123456789'), 401, 'ERR_SESSION_REVOKED', 'invalid_grant')
})

for (const [name, start] of Object.entries(adapters)) {
  test(`${name}: a login of the app’s own does the same`, async (t) => {
    const { auth, events } = makeDaypass()
    const server = await start(auth, { authenticate })
    t.after(() => server.close())
    const { cookie } = await signInCookie(server.origin)
    const headers = { ...ownPage, cookie: cookie! }
    const answer = await call(server.origin, 'POST /own-login', { json: { name: 'bob' }, headers })
    assert.equal(answer.status, 200)
    assert.deepEqual(endings(events), ['ada replaced'])
    assert.equal((await refreshCookie(server.origin, answer.cookie!)).status, 200)
    const other = await signInBody(server.origin)
    assert.equal((await refreshBody(server.origin, other.json.refreshToken)).status, 200)
  })
}
