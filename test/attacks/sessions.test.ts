// Attacks on sessions that no other suite covers: wider scopes, other clients, other tenants, shared keys, operators as tokens.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createDaypass, type DaypassEvent, type Store } from '../../src/index.ts'
import { createMemoryStore } from '../../src/stores/memory.ts'
import { createSeededRandom } from '../../src/testing/index.ts'
import { createVerifier } from '../../src/verify/index.ts'
import { adapters } from '../adapters/apps.ts'
import { createRig, newKey, onEachStore, refused } from '../core/setup.ts'
import { assertRefused, bearer, call, makeDaypass, ownPage, refreshBody, serve, signInBody } from '../http/server.ts'

const payloadOf = (token: string) => JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString())

test('a refresh widens no scope and changes no client, whatever parameters are sent', async (t) => {
  const { auth, origin } = await serve(t)
  const { refreshToken } = await auth.issue('ada', { claims: { role: 'member' }, scope: 'read', clientId: 'app' })
  const wider = {
    scope: 'read write admin',
    client_id: 'admin',
    claims: { role: 'admin' },
    subject: 'root',
    amr: ['mfa'],
  }
  const response = await call(origin, `POST /auth/refresh?scope=admin`, {
    json: { refreshToken, ...wider },
    headers: { 'x-scope': 'admin' },
  })
  assert.equal(response.status, 200)
  const { scope, client_id, role, sub, amr } = payloadOf(response.json.accessToken)
  assert.deepEqual(
    { scope, client_id, role, sub, amr },
    { scope: 'read', client_id: 'app', role: 'member', sub: 'ada', amr: undefined },
  )
  await refused(auth.refresh(response.json.refreshToken, wider as object), 'ERR_OPTION_INVALID')
  const { session } = await auth.refresh(response.json.refreshToken)
  assert.deepEqual([session.scope, session.clientId, session.claims], ['read', 'app', { role: 'member' }])
})

test('an access token is rejected as a refresh token, and the reverse, in the body, the cookie and the header', async (t) => {
  const { origin } = await serve(t, {}, { cookie: { name: 'daypass' } })
  const { json } = await signInBody(origin)
  const { accessToken, refreshToken } = json
  assertRefused(await refreshBody(origin, accessToken), 401, 'ERR_REFRESH_TOKEN_INVALID', 'invalid_grant')
  const cookie = await call(origin, 'POST /auth/refresh', { headers: { ...ownPage, cookie: `daypass=${accessToken}` } })
  assertRefused(cookie, 401, 'ERR_REFRESH_TOKEN_INVALID', 'invalid_grant')
  const header = await call(origin, 'POST /auth/refresh', { headers: bearer(refreshToken) })
  assertRefused(header, 401, 'ERR_REFRESH_TOKEN_MISSING', 'invalid_grant')
  assertRefused(await call(origin, 'GET /me', { headers: bearer(refreshToken) }), 401, 'ERR_ACCESS_TOKEN_INVALID')
  assert.equal((await refreshBody(origin, refreshToken)).status, 200, 'and the session lives')
})

describe('two tenants', () => {
  const secrets = ['the secret of the first tenant, long enough', 'the secret of the second tenant, long enough']
  const tenant = (name: string, secret: string, store: Store = createMemoryStore()) => {
    const events: DaypassEvent[] = []
    // Equal random bytes for both: session ids, salts, token ids and generations are equal.
    const { bytes: random } = createSeededRandom(7)
    const issuer = `https://${name}.example`
    const auth = createDaypass({ secret, issuer, store, random, onEvent: (event) => events.push(event) })
    return { auth, events }
  }

  test('with different keys under one kid, and equal sids and jtis: each rejects the other’s tokens', async () => {
    const [a, b] = [tenant('a', secrets[0]!), tenant('b', secrets[1]!)]
    const [ofA, ofB] = [await a.auth.issue('ada'), await b.auth.issue('bob')]
    assert.equal(ofA.session.id, ofB.session.id)
    assert.equal(payloadOf(ofA.accessToken).jti, payloadOf(ofB.accessToken).jti)
    const named = (auth: typeof a.auth, issuer: string) =>
      createVerifier({ issuer, jwks: { keys: auth.jwks().keys.map((key) => ({ ...key, kid: undefined })) } as never })
    for (const [mine, other] of [
      [a, ofB],
      [b, ofA],
    ] as const) {
      await refused(mine.auth.verify(other.accessToken), 'ERR_ACCESS_TOKEN_INVALID')
      await refused(mine.auth.refresh(other.refreshToken), 'ERR_REFRESH_TOKEN_INVALID')
      assert.equal(await mine.auth.revokeToken(other.refreshToken), false)
    }
    await refused(named(a.auth, 'https://a.example').verify(ofB.accessToken), 'ERR_ACCESS_TOKEN_INVALID')
    assert.equal((await a.auth.verify(ofA.accessToken)).subject, 'ada')
    assert.equal((await b.auth.verify(ofB.accessToken)).subject, 'bob')
    assert.equal((await a.auth.refresh(ofA.refreshToken)).session.subject, 'ada')
  })

  test('with one secret by mistake: every key is derived for its issuer', async () => {
    const [a, b] = [tenant('a', secrets[0]!), tenant('b', secrets[0]!)]
    const ofA = await a.auth.issue('ada')
    await refused(b.auth.verify(ofA.accessToken), 'ERR_ACCESS_TOKEN_INVALID')
    await refused(b.auth.refresh(ofA.refreshToken), 'ERR_REFRESH_TOKEN_INVALID')
    // A token in the cache of one verifier is not in the cache of the other.
    await a.auth.verify(ofA.accessToken)
    await refused(b.auth.verify(ofA.accessToken), 'ERR_ACCESS_TOKEN_INVALID')
  })

  test('on one database by mistake: the second one’s first call fails and changes nothing', async () => {
    const store = createMemoryStore()
    const [a, b] = [tenant('a', secrets[0]!, store), tenant('b', secrets[0]!, store)]
    const ofA = await a.auth.issue('ada')
    await refused(b.auth.issue('ada'), 'ERR_STORE_ISSUER')
    await refused(b.auth.revokeSubject('ada'), 'ERR_STORE_ISSUER')
    await refused(b.auth.sessions('ada'), 'ERR_STORE_ISSUER')
    await refused(b.auth.check(), 'ERR_STORE_ISSUER')
    await refused(b.auth.refresh(ofA.refreshToken), 'ERR_REFRESH_TOKEN_INVALID')
    assert.equal((await a.auth.refresh(ofA.refreshToken)).session.subject, 'ada')
    assert.deepEqual(b.events, [])
  })
})

onEachStore(
  'another client’s try with a stolen token is invalid_grant every time, and the owner’s session continues',
  {},
  async (rig) => {
    const { auth } = rig
    const { refreshToken } = await auth.issue('ada', { clientId: 'app' })
    for (const clientId of ['admin', 'APP', 'app ', '', '__proto__']) {
      await refused(
        auth.refresh(refreshToken, { clientId, idempotencyKey: newKey() }),
        'ERR_REFRESH_TOKEN_INVALID',
        'invalid_grant',
      )
    }
    assert.deepEqual(
      rig.events.map(({ type }) => type),
      ['issued'],
    )
    assert.equal((await auth.refresh(refreshToken, { clientId: 'app' })).outcome, 'rotated')
  },
)

test('a thief with the owner’s pending key shares one refresh, and no later one', async () => {
  const rig = createRig(createMemoryStore(), { reuseInterval: 30 })
  const { auth, time } = rig
  const first = await auth.issue('ada')
  const key = newKey()
  const owner = await auth.refresh(first.refreshToken, { idempotencyKey: key })
  const thief = await auth.refresh(first.refreshToken, { idempotencyKey: key })
  assert.equal(thief.refreshToken, owner.refreshToken, 'the one step that is shared')
  time.advance(60)
  // From here on there are two keys for one token, so the second caller is detected.
  const next = await auth.refresh(owner.refreshToken, { idempotencyKey: newKey() })
  time.advance(60)
  await refused(
    auth.refresh(thief.refreshToken, { idempotencyKey: newKey() }),
    'ERR_REFRESH_TOKEN_REUSED',
    'invalid_grant',
  )
  await refused(auth.refresh(next.refreshToken, { idempotencyKey: newKey() }), 'ERR_SESSION_REVOKED', 'invalid_grant')
})

describe('a database’s operators, SQL and prototypes as tokens, subjects and session ids', () => {
  const values: unknown[] = [
    { $ne: null },
    { $gt: '' },
    { $regex: '.*' },
    ['dpr_x'],
    true,
    0,
    "' OR '1'='1",
    '{"$ne":null}',
    '$ne',
    '__proto__',
  ]
  for (const [name, start] of Object.entries(adapters)) {
    test(`rejected by ${name}, and every session is unchanged`, async (t) => {
      const { auth, store } = makeDaypass()
      const server = await start(auth, {})
      t.after(() => server.close())
      const { accessToken, refreshToken, session } = await auth.issue('ada', { claims: { role: 'member' } })
      for (const value of values) {
        for (const path of ['refresh', 'logout']) {
          const { status } = await call(server.origin, `POST /auth/${path}`, { json: { refreshToken: value } })
          // A sign-out with an invalid token is 204 (RFC 7009 §2.2), and ends no session.
          assert.ok(typeof value === 'string' && path === 'logout' ? status === 204 : status === 400 || status === 401)
        }
        const { status } = await call(server.origin, `DELETE /auth/sessions/${encodeURIComponent(String(value))}`, {
          headers: bearer(accessToken),
        })
        assert.equal(status, 404)
        for (const call of [auth.refresh, auth.verify])
          await assert.rejects((call as any)(value), { name: 'DaypassError', status: 401 })
        assert.equal(await auth.revokeToken(value as string), false)
        assert.equal(await auth.revoke(String(value)), false)
        assert.equal(await auth.revokeSubject(String(value)), 0)
      }
      assert.equal((await store.find(session.id))!.revokedAt, null)
      assert.equal((await auth.refresh(refreshToken)).outcome, 'rotated')
    })
  }
})
