// Daypass's own routes without a socket: what each answers, to the last header.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { DaypassError } from '../../src/index.ts'
import { type Asked, assertRejected, open } from './in-process.ts'
import { bearer, newKey, ownPage, password } from './server.ts'

const json = { name: 'ada', password }

describe('a sign-in', () => {
  test('by cookie: the refresh token is in the cookie alone', async () => {
    const { ask, auth, events } = open()
    const { status, headers, json: body, cookie } = await ask('POST /auth/login', { json, headers: ownPage })
    assert.equal(status, 200)
    assert.deepEqual(Object.keys(headers).sort(), ['cache-control', 'content-type', 'set-cookie'])
    assert.deepEqual([headers['cache-control'], headers['content-type']], ['no-store', 'application/json'])
    assert.match(
      String(headers['set-cookie']),
      /^__Host-daypass=dpr_[\w-]+; Path=\/; Max-Age=604800; HttpOnly; SameSite=Strict; Secure$/,
    )
    const { accessToken, ...rest } = body
    const { id, createdAt, ...session } = body.session
    assert.deepEqual(
      { ...rest, session },
      {
        tokenType: 'Bearer',
        expiresIn: 900,
        user: { name: 'ada' },
        session: {
          subject: 'ada',
          claims: { role: 'member' },
          device: { ip: '192.0.2.1', userAgent: 'Test/1' },
          rotatedAt: createdAt,
          authTime: createdAt,
          idleExpiresAt: createdAt + 604_800_000,
          expiresAt: createdAt + 2_592_000_000,
          persistent: true,
        },
      },
    )
    assert.equal((await auth.verify(accessToken)).sessionId, id)
    assert.ok(cookie?.startsWith('__Host-daypass=dpr_'))
    assert.deepEqual(events[0]?.request, { ip: '192.0.2.1', userAgent: 'Test/1' })
  })

  test('by body: no cookie', async () => {
    const { ask } = open()
    const { headers, json: body } = await ask('POST /auth/login', { json: { ...json, transport: 'body' } })
    assert.match(body.refreshToken, /^dpr_/)
    assert.equal(headers['set-cookie'], undefined)
  })

  test('the default transport is the option’s', async () => {
    assert.match((await open({ transport: 'body' }).ask('POST /auth/login', { json })).json.refreshToken, /^dpr_/)
    assertRejected(await open().ask('POST /auth/login', { json }), 403, 'ERR_ORIGIN_REFUSED', /no browser sent it/)
    const { ask } = open()
    const wrong = await ask('POST /auth/login', { json: { ...json, transport: 'header' } })
    assertRejected(wrong, 400, 'ERR_REQUEST_INVALID', /^`transport` is "cookie" or "body"\.$/)
  })

  test('with wrong credentials is 401; `authenticate` gets them without `transport`, and the request', async () => {
    const asked: unknown[] = []
    const { ask } = open({
      authenticate(credentials, { ip, userAgent, header }) {
        asked.push(credentials, ip, userAgent, header('x-tenant'), header('x-other'))
        return null
      },
    })
    const given = { json: { name: 'ada', transport: 'body' }, headers: { 'x-tenant': ['a', 'b'] } }
    assertRejected(await ask('POST /auth/login', given), 401, 'ERR_CREDENTIALS_INVALID')
    assert.deepEqual(asked, [{ name: 'ada' }, '192.0.2.1', 'Test/1', 'a', undefined])
  })

  test('of a session that ends with the browser has no Max-Age', async () => {
    const { ask } = open({ authenticate: () => ({ subject: 'ada', claims: { role: 'member' }, persistent: false }) })
    const { headers } = await ask('POST /auth/login', { json, headers: ownPage })
    assert.doesNotMatch(String(headers['set-cookie']), /Max-Age|Expires/)
  })

  test('ends the session that the browser held, in the cookie transport alone', async () => {
    const { ask, signIn, auth } = open()
    const { cookie } = await signIn('cookie')
    const headers = { ...ownPage, cookie: cookie! }
    await ask('POST /auth/login', { json: { ...json, transport: 'body' }, headers })
    assert.equal((await auth.sessions('ada')).length, 2)
    await ask('POST /auth/login', { json, headers })
    assert.equal((await auth.sessions('ada')).length, 2, 'the browser’s old one has ended')
  })

  test('of a caller who has left begins no session', async () => {
    const { ask, auth } = open()
    const left = await ask('POST /auth/login', { json, headers: ownPage, aborted: true })
    assert.equal(left.json.code, 'ERR_REQUEST_ABORTED')
    assert.deepEqual(await auth.sessions('ada'), [])
  })

  test('a scope is in the session', async () => {
    const { ask } = open({ authenticate: () => ({ subject: 'ada', claims: { role: 'a' }, scope: 'read write' }) })
    const { json: body } = await ask('POST /auth/login', { json: { transport: 'body' } })
    assert.equal(body.session.scope, 'read write')
    assert.equal('user' in body, false)
  })
})

describe('a refresh', () => {
  test('by cookie sets the cookie; the access token is another one', async () => {
    const { ask, signIn, events } = open()
    const first = await signIn('cookie')
    const key = newKey()
    const sent = { headers: { ...ownPage, cookie: first.cookie!, 'idempotency-key': `"${key}"` }, ip: '192.0.2.7' }
    const next = await ask('POST /auth/refresh', { ...sent, userAgent: 'Test/2' })
    assert.equal(next.status, 200)
    assert.notEqual(next.cookie, first.cookie)
    assert.notEqual(next.json.accessToken, first.json.accessToken)
    assert.equal(next.json.session.id, first.json.session.id)
    assert.equal(next.json.session.device.ip, '192.0.2.7')
    assert.equal((await ask('POST /auth/refresh', sent)).cookie, next.cookie, 'the same refresh sent again')
    const last = `"${newKey()}"; previous="${key}"`
    const late = await ask('POST /auth/refresh', { headers: { ...sent.headers, 'idempotency-key': last } })
    assert.equal(late.status, 200, 'a late response put the older cookie back')
    assert.deepEqual(
      events.map(({ type }) => type),
      ['issued', 'rotated', 'replayed', 'replayed'],
    )
    assert.deepEqual(events[1]?.request, { ip: '192.0.2.7', userAgent: 'Test/2' })
  })

  test('by body returns the token in the body', async () => {
    const { ask, signIn } = open()
    const { refreshToken } = (await signIn()).json
    const next = await ask('POST /auth/refresh', { json: { refreshToken } })
    assert.match(next.json.refreshToken, /^dpr_/)
    assert.notEqual(next.json.refreshToken, refreshToken)
    assert.equal(next.headers['set-cookie'], undefined)
  })

  test('without a token is 401; a body that is not understood, or a token twice, is 400', async () => {
    const { ask, signIn } = open()
    for (const none of [{ headers: ownPage }, { json: {} }, {}]) {
      assertRejected(await ask('POST /auth/refresh', none), 401, 'ERR_REFRESH_TOKEN_MISSING')
    }
    for (const [given, message] of [
      [{ refresh_token: 'dpr_x' }, /^The body has no `refreshToken`\.$/],
      [{ refreshToken: 7 }, /^`refreshToken` must be a string\.$/],
      [{ refreshToken: null }, /^`refreshToken` must be a string\.$/],
    ] as const) {
      assertRejected(await ask('POST /auth/refresh', { json: given }), 400, 'ERR_REQUEST_INVALID', message)
    }
    assertRejected(
      await ask('POST /auth/refresh', { json: { refreshToken: 'dpr_x' } }),
      401,
      'ERR_REFRESH_TOKEN_INVALID',
    )
    const { cookie } = await signIn('cookie')
    const both = { json: { refreshToken: 'dpr_x' }, headers: { ...ownPage, cookie: cookie! } }
    assertRejected(await ask('POST /auth/refresh', both), 400, 'ERR_REQUEST_INVALID', /in the cookie and in the body/)
    const twice = { headers: { ...ownPage, cookie: `${cookie}; ${cookie}` } }
    assertRejected(await ask('POST /auth/refresh', twice), 400, 'ERR_REQUEST_INVALID', /came twice/)
    // Other members beside a cookie are no token that was not understood.
    const beside = { json: { other: 1 }, headers: { ...ownPage, cookie: cookie! } }
    assert.equal((await ask('POST /auth/refresh', beside)).status, 200)
  })

  test('with a wrong Idempotency-Key is 400, and the token stays valid', async () => {
    const { ask, signIn } = open()
    const { refreshToken } = (await signIn()).json
    for (const key of ['short', `"${'a'.repeat(21)}"`, ['a'.repeat(22), 'b'.repeat(22)], '']) {
      const sent = { json: { refreshToken }, headers: { 'idempotency-key': key } }
      assertRejected(await ask('POST /auth/refresh', sent), 400, 'ERR_IDEMPOTENCY_KEY_INVALID')
    }
    assert.equal((await ask('POST /auth/refresh', { json: { refreshToken } })).status, 200)
  })

  test('by a cookie of a page that is not known to be ours is 403', async () => {
    const { ask, signIn } = open()
    const cookie = (await signIn('cookie')).cookie!
    for (const headers of [{ cookie }, { cookie, 'sec-fetch-site': 'cross-site', origin: 'https://evil.test' }]) {
      assertRejected(
        await ask('POST /auth/refresh', { headers: headers as Asked['headers'] }),
        403,
        'ERR_ORIGIN_REFUSED',
      )
    }
  })

  test('of a caller who has left redeems nothing', async () => {
    const { ask, signIn } = open()
    const { refreshToken } = (await signIn()).json
    const left = await ask('POST /auth/refresh', { json: { refreshToken }, aborted: true })
    assert.equal(left.json.code, 'ERR_REQUEST_ABORTED')
    assert.equal((await ask('POST /auth/refresh', { json: { refreshToken } })).status, 200)
  })

  test('is possible where other code has read the body, if the cookie says which session is meant', async () => {
    const { ask, signIn } = open()
    const cookie = (await signIn('cookie')).cookie!
    const read = () => Promise.reject(new DaypassError('ERR_BODY_CONSUMED'))
    const headers = { ...ownPage, 'content-type': 'application/json', 'content-length': '2' }
    const sent: Asked = { headers, read }
    assertRejected(await ask('POST /auth/refresh', sent), 500, 'ERR_BODY_CONSUMED')
    assert.equal((await ask('POST /auth/refresh', { ...sent, headers: { ...headers, cookie } })).status, 200)
    const broken: Asked = { headers: { ...headers, cookie }, read: () => Promise.reject(new Error('broken')) }
    assertRejected(await ask('POST /auth/refresh', broken), 500, 'ERR_INTERNAL')
  })
})

describe('a sign-out', () => {
  test('ends the session and clears the cookie', async () => {
    const { ask, signIn, auth, events } = open()
    const cookie = (await signIn('cookie')).cookie!
    const { status, headers, json: body } = await ask('POST /auth/logout', { headers: { ...ownPage, cookie } })
    assert.deepEqual([status, body], [204, undefined])
    assert.deepEqual(headers, {
      'cache-control': 'no-store',
      'set-cookie': ['__Host-daypass=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict; Secure'],
    })
    assert.deepEqual(await auth.sessions('ada'), [])
    const [, revoked] = events
    assert.equal(revoked?.type === 'revoked' && revoked.reason, 'sign-out')
    assert.deepEqual(revoked?.request, { ip: '192.0.2.1', userAgent: 'Test/1' })
  })

  test('by a cookie ends that session, even beside another person’s access token; a cookie that is worthless is cleared', async () => {
    const { ask, signIn, auth } = open()
    const cookie = (await signIn('cookie')).cookie!
    const { accessToken, session } = (await signIn()).json
    await ask('POST /auth/logout', { headers: { ...ownPage, cookie, ...bearer(accessToken) } })
    assert.deepEqual(
      (await auth.sessions('ada')).map(({ id }) => id),
      [session.id],
    )
    const worthless = await ask('POST /auth/logout', { headers: { ...ownPage, cookie: '__Host-daypass=x' } })
    assert.match(String(worthless.headers['set-cookie']), /Max-Age=0/)
  })

  test('by body, by an access token, or of nobody', async () => {
    const { ask, signIn, auth } = open()
    const { refreshToken, accessToken } = (await signIn()).json
    const byBody = await ask('POST /auth/logout', { json: { refreshToken } })
    assert.deepEqual([byBody.status, byBody.headers['set-cookie']], [204, undefined])
    assertRejected(await ask('POST /auth/logout', { headers: bearer(accessToken) }), 401, 'ERR_ACCESS_TOKEN_REVOKED')
    const other = (await signIn()).json
    assert.equal((await ask('POST /auth/logout', { headers: bearer(other.accessToken) })).status, 204)
    assert.deepEqual(await auth.sessions('ada'), [])
    assert.equal((await ask('POST /auth/logout', { headers: ownPage })).status, 204)
  })

  test('that names a session ends that one alone, and leaves the cookie of a newer one', async () => {
    const { ask, signIn, auth } = open()
    const { cookie, json: body } = await signIn('cookie')
    const headers = { ...ownPage, cookie: cookie! }
    const { accessToken } = (await signIn()).json
    for (const sent of [
      { headers, json: { session: 'another' } },
      { headers: bearer(accessToken), json: { session: 'another' } },
    ]) {
      const { status, headers } = await ask('POST /auth/logout', sent)
      assert.deepEqual([status, headers['set-cookie']], [204, undefined])
    }
    assert.equal((await auth.sessions('ada')).length, 2)
    const ended = await ask('POST /auth/logout', { headers, json: { session: body.session.id } })
    assert.match(String(ended.headers['set-cookie']), /Max-Age=0/)
    assert.equal((await auth.sessions('ada')).length, 1)
    const { sessionId } = await auth.verify(accessToken)
    await ask('POST /auth/logout', { headers: bearer(accessToken), json: { session: sessionId } })
    assert.equal((await auth.sessions('ada')).length, 0)
    assertRejected(
      await ask('POST /auth/logout', { json: { session: 7 } }),
      400,
      'ERR_REQUEST_INVALID',
      /^`session` must be a string\.$/,
    )
  })
})

test('a sign-out of one transport leaves the other’s session', async () => {
  const { ask, signIn, auth } = open()
  const cookie = (await signIn('cookie')).cookie!
  const { refreshToken, session } = (await signIn()).json
  const wrong = await ask('POST /auth/logout', { json: { refreshToken }, headers: { ...ownPage, cookie } })
  assertRejected(wrong, 400, 'ERR_REQUEST_INVALID')
  await ask('POST /auth/logout', { headers: { ...ownPage, cookie } })
  assert.deepEqual(
    (await auth.sessions('ada')).map(({ id }) => id),
    [session.id],
  )
  const byBody = await ask('POST /auth/logout', { json: { refreshToken }, headers: ownPage })
  assert.equal(byBody.headers['set-cookie'], undefined)
  assert.deepEqual(await auth.sessions('ada'), [])
})

describe('the list of sessions', () => {
  test('shows a person’s own sessions and says which one asks', async () => {
    const { ask, signIn } = open()
    const [one, other] = [(await signIn()).json, (await signIn()).json]
    await signIn('body', 'eve')
    const { status, json: body } = await ask('GET /auth/sessions', { headers: bearer(one.accessToken) })
    assert.equal(status, 200)
    assert.deepEqual(
      body.sessions.map(({ id, current }: any) => [id, current]).sort(),
      [
        [one.session.id, true],
        [other.session.id, false],
      ].sort(),
    )
    assert.equal('claims' in body.sessions[0], false)
    assertRejected(await ask('GET /auth/sessions'), 401, 'ERR_ACCESS_TOKEN_MISSING')
  })

  test('a name for a device is a string or null', async () => {
    const { ask, signIn, events } = open()
    const { accessToken, session } = (await signIn()).json
    const headers = bearer(accessToken)
    const line = `PATCH /auth/sessions/${session.id}`
    const { status, json: body } = await ask(line, { headers, json: { label: 'phone' } })
    assert.deepEqual([status, body.id, body.device.label, body.current], [200, session.id, 'phone', true])
    const cleared = await ask(line, { headers, json: { label: null } })
    assert.equal('label' in cleared.json.device, false)
    for (const label of [7, undefined, ['phone']]) {
      const wrong = await ask(line, { headers, json: { label } })
      assertRejected(wrong, 400, 'ERR_REQUEST_INVALID', /^`label` must be a string, or null\.$/)
    }
    const other = (await signIn()).json.session.id
    assert.equal((await ask(`PATCH /auth/sessions/${other}`, { headers, json: { label: 'x' } })).json.current, false)
    assert.deepEqual(events.at(-1)?.request, { ip: '192.0.2.1', userAgent: 'Test/1' })
  })

  test('of others nothing is changed or ended', async () => {
    const { ask, signIn, auth } = open()
    const { accessToken } = (await signIn()).json
    const { id } = (await signIn('body', 'eve')).json.session
    const headers = bearer(accessToken)
    for (const [line, given] of [
      [`PATCH /auth/sessions/${id}`, { json: { label: 'x' } }],
      [`DELETE /auth/sessions/${id}`, {}],
      ['DELETE /auth/sessions/unknown', {}],
    ] as const) {
      assertRejected(await ask(line, { headers, ...given }), 404, 'ERR_NOT_FOUND', /^You have no such session\.$/)
    }
    assert.equal((await auth.sessions('eve')).length, 1)
  })

  test('one is ended by its id, the others all at once', async () => {
    const { ask, signIn, auth, events } = open()
    const { accessToken, session } = (await signIn()).json
    const headers = bearer(accessToken)
    const { id } = (await signIn()).json.session
    assert.equal((await ask(`DELETE /auth/sessions/${id}`, { headers })).status, 204)
    assert.deepEqual(events.at(-1)?.request, { ip: '192.0.2.1', userAgent: 'Test/1' })
    await signIn()
    await signIn()
    const others = await ask('DELETE /auth/sessions', { headers })
    assert.deepEqual([others.status, others.json], [200, { ended: 2 }])
    assert.deepEqual(events.at(-1)?.request, { ip: '192.0.2.1', userAgent: 'Test/1' })
    assert.deepEqual(
      (await auth.sessions('ada')).map(({ id }) => id),
      [session.id],
    )
  })
})

describe('an older app’s cookie', () => {
  const old = 'an-old-token-of-ada'
  function openWithOld() {
    const forgotten: string[] = []
    const asked: string[] = []
    const adopt = {
      find(text: string) {
        asked.push(text)
        return text === old ? { subject: 'ada', claims: { role: 'member' } } : null
      },
      forget: (text: string) => void forgotten.push(text),
    }
    return { ...open({ cookie: { oldName: 'old' } }, { adopt }), forgotten, asked }
  }

  test('is traded by a refresh, and only where there is none of ours', async () => {
    const { ask, forgotten } = openWithOld()
    const traded = await ask('POST /auth/refresh', { headers: { ...ownPage, cookie: `old=${old}` } })
    assert.equal(traded.status, 200)
    assert.deepEqual(forgotten, [old])
    const both = await ask('POST /auth/refresh', { headers: { ...ownPage, cookie: `old=other; ${traded.cookie}` } })
    assert.equal(both.json.session.id, traded.json.session.id)
    const page = { cookie: `old=${old}` }
    assertRejected(await ask('POST /auth/refresh', { headers: page }), 403, 'ERR_ORIGIN_REFUSED')
  })

  test('is looked up by no sign-in that brings none', async () => {
    const { signIn, asked } = openWithOld()
    await signIn('cookie')
    await signIn('body')
    assert.deepEqual(asked, [])
  })

  test('is worthless after a sign-out, also by a form', async () => {
    for (const options of [undefined, { redirect: '/bye' }]) {
      const { signOutAs, signIn, auth, forgotten } = openWithOld()
      const cookie = `${(await signIn('cookie')).cookie}; old=${old}`
      await signOutAs({ headers: { ...ownPage, cookie } }, options)
      assert.deepEqual([await auth.sessions('ada'), forgotten], [[], [old]])
      const alone = openWithOld()
      await alone.signOutAs({ headers: { ...ownPage, cookie: `old=${old}` } }, options)
      assert.deepEqual(alone.forgotten, [old])
    }
  })
})
