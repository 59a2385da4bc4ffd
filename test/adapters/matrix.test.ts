// The same HTTP cases through every adapter, over real sockets.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import express from 'express'
import fastify from 'fastify'
import { Hono } from 'hono'
import Koa from 'koa'
import { createExpressAuth, createRequireAuth } from '../../src/adapters/express.ts'
import { createRequireAuth as createFastifyRequireAuth } from '../../src/adapters/fastify.ts'
import { createRequireAuth as createHonoRequireAuth } from '../../src/adapters/hono.ts'
import { createRequireAuth as createKoaRequireAuth } from '../../src/adapters/koa.ts'
import { createNodeAuth, createRequireAuth as createNodeRequireAuth, type SignIn } from '../../src/adapters/node.ts'
import { createClient } from '../../src/client/index.ts'
import { createDaypass } from '../../src/index.ts'
import { createMemoryStore } from '../../src/stores/memory.ts'
import { createVerifier } from '../../src/verify/index.ts'
import {
  type Answer,
  assertRefused,
  authenticate,
  bearer,
  call,
  listen,
  makeDaypass,
  newKey,
  ownPage,
  password,
  type Role,
  type Running,
  refreshBody,
  refreshCookie,
  running,
  secret,
  signInBody,
  signInCookie,
} from '../http/server.ts'
import { adapters, express4, overFetch } from './apps.ts'

for (const [name, start] of Object.entries(adapters)) {
  describe(name, () => {
    const made = makeDaypass()
    const errors: unknown[] = []
    let server: Running
    let origin: string
    before(async () => {
      server = await start(made.auth, { authenticate, onError: (error) => errors.push(error) })
      origin = server.origin
    })
    after(async () => {
      await server.close()
      assert.deepEqual(errors, [], 'nothing that the cases do is the server’s fault')
    })

    test('a rendered page reads who is signed in, also beside a refresh, and rotates nothing', async () => {
      const read = async (cookie?: string) => {
        const response = await call(origin, 'GET /page', { headers: { ...ownPage, ...(cookie && { cookie }) } })
        assert.equal(response.headers['set-cookie'], undefined)
        return response.json
      }
      assert.equal(await read(), null)
      assert.equal(await read(`daypass-${server.port}=dpr_nonsense`), null)
      const cookie = (await signInCookie(origin, 'rendered')).cookie!
      const { accessToken, ...person } = await read(cookie)
      assert.deepEqual(person, { subject: 'rendered', role: 'member' })
      assert.equal((await call(origin, 'GET /me', { headers: bearer(accessToken) })).json.subject, 'rendered')
      const key = newKey()
      const [next, ...pages] = await Promise.all([
        refreshCookie(origin, cookie, key),
        ...Array.from({ length: 10 }, () => read(cookie)),
      ])
      assert.equal(next.status, 200)
      for (const page of pages) assert.equal(page.subject, 'rendered')
      // The response was lost: the page still renders, and the client gets the same token.
      assert.equal((await read(cookie)).subject, 'rendered')
      assert.equal((await refreshCookie(origin, cookie, key)).cookie, next.cookie)
      const twice = `${next.cookie}; ${cookie}`
      assert.equal(await read(twice), null, 'two cookies of one name: which one is the session’s is not known')
      await call(origin, 'POST /own-logout', { headers: { ...ownPage, cookie: next.cookie! } })
      assert.equal(await read(next.cookie!), null)
    })

    test('the user of findSubject comes with a refresh and to a rendered page; that of the sign-in is used as given', async (t) => {
      let name = 'Ada'
      const { auth } = makeDaypass({ findSubject: () => ({ claims: { role: 'member' }, user: { name } }) })
      const other = await start(auth, { authenticate })
      t.after(() => other.close())
      const signedIn = await signInCookie(other.origin, 'as-given')
      assert.deepEqual(signedIn.json.user, { name: 'as-given' })
      const refreshed = await refreshCookie(other.origin, signedIn.cookie!, newKey())
      assert.deepEqual(refreshed.json.user, { name: 'Ada' })
      name = 'Ada Lovelace'
      const page = await call(other.origin, 'GET /page', { headers: { ...ownPage, cookie: refreshed.cookie! } })
      assert.deepEqual(page.json.user, { name })

      // A sign-in without claims asks findSubject.
      const finding = await start(auth, { authenticate: () => ({ subject: 'ada' }) as SignIn<Role> })
      t.after(() => finding.close())
      const found = await signInBody(finding.origin)
      assert.deepEqual(found.json.user, { name })
      assert.deepEqual((await refreshBody(finding.origin, found.json.refreshToken)).json.user, { name })
    })

    test('who loses a role has lost it at the next refresh, in a replay and on a rendered page', async (t) => {
      let role: Role['role'] = 'admin'
      const { auth } = makeDaypass({ findSubject: () => ({ claims: { role } }) })
      const other = await start(auth, { authenticate: () => ({ subject: 'ada' }) as SignIn<Role> })
      t.after(() => other.close())
      const signedIn = await signInCookie(other.origin, 'ada')
      assert.deepEqual(signedIn.json.session.claims, { role: 'admin' })
      role = 'member'
      const key = newKey()
      const first = await refreshCookie(other.origin, signedIn.cookie!, key)
      const replayed = await refreshCookie(other.origin, signedIn.cookie!, key)
      for (const answer of [first, replayed]) assert.deepEqual(answer.json.session.claims, { role: 'member' })
      const page = await call(other.origin, 'GET /page', { headers: { ...ownPage, cookie: first.cookie! } })
      assert.equal(page.json.role, 'member')
    })

    test('login gives a browser its access token in JSON and its refresh token in a cookie alone', async () => {
      const answer = await signInCookie(origin, 'cookie-login')
      assert.deepEqual(Object.keys(answer.json), ['accessToken', 'tokenType', 'expiresIn', 'session', 'user'])
      assert.equal(answer.json.tokenType, 'Bearer')
      assert.equal(answer.json.expiresIn, 900)
      assert.deepEqual(answer.json.user, { name: 'cookie-login' })
      assert.equal(answer.json.session.subject, 'cookie-login')
      assert.match(answer.cookie!, new RegExp(`^daypass-${server.port}=dpr_`))
      assert.doesNotMatch(answer.text, /dpr_/)
      assert.equal(answer.headers['cache-control'], 'no-store')
    })

    test('a cookie that is not to be remembered has no Max-Age, at the sign-in, a refresh and a replay', async () => {
      const given = { persistent: false, idleTimeout: 3600 }
      const first = await call(origin, 'POST /own-login', { headers: ownPage, json: { name: 'brief', given } })
      const key = newKey()
      const rotated = await refreshCookie(origin, first.cookie!, key)
      const replayed = await refreshCookie(origin, first.cookie!, key)
      for (const { setCookie, json } of [first, rotated, replayed]) {
        assert.match(setCookie!, /^daypass-\d+=dpr_[\w-]+; Path=\/; HttpOnly; SameSite=Strict$/)
        assert.equal(json.session.persistent, false)
        assert.equal(json.session.idleExpiresAt - json.session.rotatedAt, 3_600_000)
      }
      assert.equal(replayed.cookie, rotated.cookie)
      const kept = await call(origin, 'POST /own-login', { headers: ownPage, json: { name: 'kept' } })
      assert.match(kept.setCookie!, /; Max-Age=604800; /)
      assert.equal(kept.json.session.persistent, true)
    })

    test('login gives everything else its refresh token in JSON, and no cookie', async () => {
      const answer = await signInBody(origin, 'body-login')
      assert.match(answer.json.refreshToken, /^dpr_/)
      assert.equal(answer.setCookie, undefined)
      assert.equal(answer.headers['cache-control'], 'no-store')
    })

    test('login remembers where the session lives', async () => {
      const headers = { 'user-agent': 'Test Browser 1.0' }
      const { json } = await signInCookie(origin, 'device', headers)
      assert.deepEqual(json.session.device, { ip: '127.0.0.1', userAgent: 'Test Browser 1.0' })
    })

    test('wrong credentials: 401 invalid_grant, no session', async () => {
      const json = { name: 'wrong', password: 'wrong', transport: 'body' }
      assertRefused(await call(origin, 'POST /auth/login', { json }), 401, 'ERR_CREDENTIALS_INVALID', 'invalid_grant')
      assert.deepEqual(await made.auth.sessions('wrong'), [])
    })

    test('refresh by body answers in the body', async () => {
      const first = await signInBody(origin)
      const answer = await refreshBody(origin, first.json.refreshToken)
      assert.equal(answer.status, 200)
      assert.notEqual(answer.json.refreshToken, first.json.refreshToken)
      assert.notEqual(answer.json.accessToken, first.json.accessToken)
      assert.equal(answer.json.session.id, first.json.session.id)
      for (const { session } of [first.json, answer.json]) assert.deepEqual(session.claims, { role: 'member' })
      assert.equal(answer.setCookie, undefined)
      assert.equal((await call(origin, 'GET /me', { headers: bearer(answer.json.accessToken) })).status, 200)
    })

    test('refresh by cookie answers in the cookie', async () => {
      const first = await signInCookie(origin)
      const answer = await refreshCookie(origin, first.cookie!)
      assert.equal(answer.status, 200)
      assert.notEqual(answer.cookie, first.cookie)
      assert.doesNotMatch(answer.text, /dpr_/)
      assert.equal((await refreshCookie(origin, answer.cookie!)).status, 200)
    })

    test('refresh finds the cookie among others', async () => {
      const { cookie } = await signInCookie(origin)
      assert.equal((await refreshCookie(origin, `a=1; ${cookie}; xdaypass=2; b="c;d"`)).status, 200)
    })

    test('refresh without any token: 401', async () => {
      assertRefused(
        await call(origin, 'POST /auth/refresh', { headers: ownPage }),
        401,
        'ERR_REFRESH_TOKEN_MISSING',
        'invalid_grant',
      )
    })

    test('a token in the query is no token', async () => {
      const { json } = await signInBody(origin)
      const answer = await call(origin, `POST /auth/refresh?refreshToken=${json.refreshToken}`, { headers: ownPage })
      assertRefused(answer, 401, 'ERR_REFRESH_TOKEN_MISSING')
      const me = await call(origin, `GET /me?access_token=${json.accessToken}`)
      assertRefused(me, 401, 'ERR_ACCESS_TOKEN_MISSING')
      assert.equal((await refreshBody(origin, json.refreshToken)).status, 200)
    })

    test('a refresh asked again with the same Idempotency-Key gives the same refresh token, a minute later too', async () => {
      const { json } = await signInBody(origin)
      const key = newKey()
      const one = await refreshBody(origin, json.refreshToken, key)
      made.time.offset += 60_000
      const two = await refreshBody(origin, json.refreshToken, key)
      assert.equal(one.status, 200)
      assert.equal(two.status, 200)
      assert.equal(two.json.refreshToken, one.json.refreshToken)
      assert.notEqual(two.json.accessToken, one.json.accessToken)

      const { cookie } = await signInCookie(origin)
      const three = await refreshCookie(origin, cookie!, key)
      const four = await refreshCookie(origin, cookie!, key)
      assert.equal(four.cookie, three.cookie)
    })

    test('an old token with another key after the interval: 401 invalid_grant, and the newest token is dead too', async () => {
      const { json } = await signInBody(origin, 'robbed')
      const next = await refreshBody(origin, json.refreshToken, newKey())
      made.time.offset += 31_000
      const thief = await refreshBody(origin, json.refreshToken, newKey())
      assertRefused(thief, 401, 'ERR_REFRESH_TOKEN_REUSED', 'invalid_grant')
      const owner = await refreshBody(origin, next.json.refreshToken, newKey())
      assertRefused(owner, 401, 'ERR_SESSION_REVOKED', 'invalid_grant')
      const access = await call(origin, 'GET /me', { headers: bearer(next.json.accessToken) })
      assertRefused(access, 401, 'ERR_ACCESS_TOKEN_REVOKED', 'invalid_token')
      const told = made.events.filter((event) => event.subject === 'robbed').map((event) => event.type)
      assert.deepEqual(told, ['issued', 'rotated', 'reused', 'revoked'])
    })

    test('a person sees their sessions, ends one, and ends all others', async () => {
      const [here, there, third] = [
        await signInBody(origin, 'many'),
        await signInBody(origin, 'many'),
        await signInCookie(origin, 'many'),
      ]
      const headers = bearer(here.json.accessToken)
      const list = async () => (await call(origin, 'GET /auth/sessions', { headers })).json.sessions

      const sessions = await list()
      assert.equal(sessions.length, 3)
      assert.deepEqual(
        sessions.filter((session: any) => session.current).map((session: any) => session.id),
        [here.json.session.id],
      )
      const times = ['createdAt', 'rotatedAt', 'authTime', 'idleExpiresAt', 'expiresAt']
      assert.deepEqual(Object.keys(sessions[0]), ['id', 'subject', 'device', ...times, 'persistent', 'current'])

      const one = await call(origin, `DELETE /auth/sessions/${there.json.session.id}`, { headers })
      assert.equal(one.status, 204)
      assert.equal(one.text, '')
      assert.equal(one.headers['content-type'], undefined)
      assertRefused(await refreshBody(origin, there.json.refreshToken), 401, 'ERR_SESSION_REVOKED', 'invalid_grant')
      assert.equal((await list()).length, 2)

      const others = await call(origin, 'DELETE /auth/sessions', { headers })
      assert.deepEqual(others.json, { ended: 1 })
      assertRefused(await refreshCookie(origin, third.cookie!), 401, 'ERR_SESSION_REVOKED', 'invalid_grant')
      assert.equal((await refreshBody(origin, here.json.refreshToken)).status, 200)
    })

    test('a person names a device of theirs, and nobody else’s', async () => {
      const [here, there] = [await signInBody(origin, 'namer'), await signInBody(origin, 'namer')]
      const headers = bearer(here.json.accessToken)
      const path = `PATCH /auth/sessions/${there.json.session.id}`
      const answer = await call(origin, path, { headers, json: { label: 'My “phone”' } })
      assert.equal(answer.status, 200)
      assert.equal(answer.headers['cache-control'], 'no-store')
      assert.equal(answer.json.device.label, 'My “phone”')
      assert.equal(answer.json.current, false)
      const { sessions } = (await call(origin, 'GET /auth/sessions', { headers })).json
      assert.deepEqual(
        sessions.find((session: any) => session.id === there.json.session.id),
        answer.json,
      )
      const own = `PATCH /auth/sessions/${here.json.session.id}`
      assert.equal((await call(origin, own, { headers, json: { label: 'x' } })).json.current, true)
      const cleared = await call(origin, path, { headers, json: { label: null } })
      assert.equal(cleared.json.device.label, undefined)
      for (const json of [{}, { label: 7 }, { label: ['x'] }, { name: 'x' }]) {
        assertRefused(await call(origin, path, { headers, json }), 400, 'ERR_REQUEST_INVALID')
      }
      const thief = bearer((await signInBody(origin, 'other')).json.accessToken)
      for (const other of [path, 'PATCH /auth/sessions/AAAAAAAAAAAAAAAAAAAAAA']) {
        assertRefused(await call(origin, other, { headers: thief, json: { label: 'x' } }), 404, 'ERR_NOT_FOUND')
      }
      assertRefused(await call(origin, path, { json: { label: 'x' } }), 401, 'ERR_ACCESS_TOKEN_MISSING')
      await call(origin, path.replace('PATCH', 'DELETE'), { headers })
      assertRefused(await call(origin, path, { headers, json: { label: 'x' } }), 404, 'ERR_NOT_FOUND')
    })

    test('nobody ends somebody else’s session, nor learns whether there is one', async () => {
      const owner = await signInBody(origin, 'owner')
      const other = await signInBody(origin, 'other')
      const headers = bearer(other.json.accessToken)
      const theirs = await call(origin, `DELETE /auth/sessions/${owner.json.session.id}`, { headers })
      const nobodys = await call(origin, 'DELETE /auth/sessions/AAAAAAAAAAAAAAAAAAAAAA', { headers })
      assertRefused(theirs, 404, 'ERR_NOT_FOUND')
      assert.equal(nobodys.text, theirs.text)
      assert.equal((await refreshBody(origin, owner.json.refreshToken)).status, 200)
    })

    test('the sessions need an access token', async () => {
      for (const line of [
        'GET /auth/sessions',
        'DELETE /auth/sessions',
        'DELETE /auth/sessions/AAAAAAAAAAAAAAAAAAAAAA',
      ]) {
        const answer = await call(origin, line)
        assertRefused(answer, 401, 'ERR_ACCESS_TOKEN_MISSING')
        assert.equal(answer.headers['www-authenticate'], 'Bearer')
      }
    })

    test('logout by cookie ends the session and takes the cookie away', async () => {
      const { cookie, json } = await signInCookie(origin)
      const answer = await call(origin, 'POST /auth/logout', { headers: { ...ownPage, cookie: cookie! } })
      assert.equal(answer.status, 204)
      assert.match(answer.setCookie!, /^daypass-\d+=; Path=\/; Max-Age=0; HttpOnly; SameSite=Strict$/)
      assert.equal(answer.headers['cache-control'], 'no-store')
      assertRefused(await refreshCookie(origin, cookie!), 401, 'ERR_SESSION_REVOKED', 'invalid_grant')
      assert.equal((await call(origin, 'GET /me', { headers: bearer(json.accessToken) })).status, 401)
    })

    test('logout by body, by an old token, by access token, and twice', async () => {
      const first = await signInBody(origin)
      const second = await refreshBody(origin, first.json.refreshToken)
      for (const refreshToken of [first.json.refreshToken, second.json.refreshToken, 'nobody’s']) {
        const answer = await call(origin, 'POST /auth/logout', { json: { refreshToken } })
        assert.equal(answer.status, 204)
        assert.equal(answer.setCookie, undefined)
        assert.equal((await refreshBody(origin, second.json.refreshToken)).status, 401)
      }
      const other = await signInBody(origin)
      const headers = bearer(other.json.accessToken)
      assert.equal((await call(origin, 'POST /auth/logout', { headers })).status, 204)
      assert.equal((await refreshBody(origin, other.json.refreshToken)).status, 401)
      assert.equal((await call(origin, 'POST /auth/logout', { headers })).status, 401)
    })

    test('the JWKS is public, cacheable, and checks the tokens', async () => {
      const answer = await call(origin, 'GET /.well-known/jwks.json')
      assert.equal(answer.status, 200)
      assert.equal(answer.headers['cache-control'], 'public, max-age=300')
      assert.equal(answer.json.keys.length, 1)
      assert.equal('d' in answer.json.keys[0], false)
      const clock = () => Date.now() + made.time.offset
      const verifier = createVerifier({ issuer: 'https://id.test', jwks: answer.json, clock })
      const { json } = await signInBody(origin, 'jwks')
      assert.equal((await verifier.verify(json.accessToken)).subject, 'jwks')
      const head = await call(origin, 'HEAD /.well-known/jwks.json')
      assert.equal(head.status, 200)
      assert.equal(head.text, '')
    })

    test('requireAuth lets a good token in, with its claims', async () => {
      const { json } = await signInBody(origin, 'guest')
      const answer = await call(origin, 'GET /me', { headers: bearer(json.accessToken) })
      assert.equal(answer.status, 200)
      assert.deepEqual(answer.json, { subject: 'guest', role: 'member' })
    })

    test('requireAuth: no token, or another scheme: 401 and a bare challenge, no error code', async () => {
      for (const headers of [undefined, { authorization: 'Basic YWRhOnNlY3JldA==' }, { authorization: 'Bearer' }]) {
        const answer = await call(origin, 'GET /me', headers && { headers })
        assertRefused(answer, 401, 'ERR_ACCESS_TOKEN_MISSING')
        assert.equal(answer.headers['www-authenticate'], 'Bearer')
        assert.equal('error' in answer.json, false)
      }
    })

    test('requireAuth: a bad token: 401 invalid_token', async () => {
      const { json } = await signInBody(origin)
      for (const bad of ['x', `${json.accessToken.slice(0, -4)}AAAA`, json.refreshToken, 'a.b.c']) {
        const answer = await call(origin, 'GET /me', { headers: bearer(bad) })
        assertRefused(answer, 401, 'ERR_ACCESS_TOKEN_INVALID', 'invalid_token')
        assert.match(answer.headers['www-authenticate']!, /^Bearer error="invalid_token", error_description="[^"\\]+"$/)
      }
    })

    test('requireAuth without being called: a middleware, which lets in and rejects as any', async () => {
      const { json } = await signInBody(origin, 'bare')
      const answer = await call(origin, 'GET /bare', { headers: bearer(json.accessToken) })
      assert.deepEqual(answer.json, { subject: 'bare', role: 'member' })
      assertRefused(await call(origin, 'GET /bare'), 401, 'ERR_ACCESS_TOKEN_MISSING')
      assertRefused(await call(origin, 'GET /bare', { headers: bearer('a.b.c') }), 401, 'ERR_ACCESS_TOKEN_INVALID')
    })

    test('requireAuth: an expired token: 401 invalid_token, and the words to refresh', async () => {
      const { json } = await signInBody(origin)
      made.time.offset += 901_000
      const answer = await call(origin, 'GET /me', { headers: bearer(json.accessToken) })
      assertRefused(answer, 401, 'ERR_ACCESS_TOKEN_EXPIRED', 'invalid_token')
      assert.equal((await refreshBody(origin, json.refreshToken)).status, 200)
    })

    test('requireAuth: two Authorization headers: 400', async () => {
      const { json } = await signInBody(origin)
      const value = `Bearer ${json.accessToken}`
      const headers = { authorization: [value, value] }
      assertRefused(await call(origin, 'GET /me', { headers }), 400, 'ERR_REQUEST_INVALID', 'invalid_request')
    })

    test('requireAuth({ scope }): 403 insufficient_scope that names the scope; in with it', async () => {
      const poor = await signInBody(origin)
      const answer = await call(origin, 'GET /reports', { headers: bearer(poor.json.accessToken) })
      assertRefused(answer, 403, 'ERR_SCOPE_INSUFFICIENT', 'insufficient_scope')
      assert.match(answer.headers['www-authenticate']!, /^Bearer error="insufficient_scope", .*, scope="reports:read"$/)
      const rich = await call(origin, 'POST /own-login', {
        json: { name: 'rich', given: { transport: 'body', scope: 'reports:read reports:write' } },
      })
      assert.equal((await call(origin, 'GET /reports', { headers: bearer(rich.json.accessToken) })).status, 200)
    })

    test('requireAuth({ allow }): 403 unless it says true; where it fails nobody is let in', async () => {
      const ask = async (role: string) => {
        const { accessToken } = await made.auth.issue('ada', { claims: { role } })
        return call(origin, 'GET /admins', { headers: bearer(accessToken) })
      }
      for (const role of ['admin', 'late']) assert.deepEqual((await ask(role)).json, { subject: 'ada', role })
      const answer = await ask('member')
      assertRefused(answer, 403, 'ERR_CLAIMS_INSUFFICIENT', 'insufficient_scope')
      assert.match(
        answer.headers['www-authenticate']!,
        /^Bearer error="insufficient_scope", error_description="[^"]+"$/,
        'no scope would help',
      )
      const broken = await ask('broken')
      assertRefused(broken, 500, 'ERR_INTERNAL', 'server_error')
      assert.doesNotMatch(broken.text, /hunter2/)
      assertRefused(await ask('away'), 503, 'ERR_OVERLOADED', 'temporarily_unavailable')
      assert.deepEqual(
        errors.splice(0).map((error) => (error as Error).message.slice(0, 7)),
        ['hunter2', 'The ser'],
        'both are reported',
      )
    })

    test('requireAuth({ maxAge }): a sign-in too long ago must be renewed, and no refresh makes it younger', async () => {
      const authTime = Date.now() - 120_000
      const json = { name: 'tired', given: { transport: 'body', authTime } }
      const old = await call(origin, 'POST /own-login', { json })
      const fresh = await refreshBody(origin, old.json.refreshToken)
      for (const { json } of [old, fresh]) {
        const answer = await call(origin, 'GET /recent', { headers: bearer(json.accessToken) })
        assertRefused(answer, 401, 'ERR_AUTHENTICATION_TOO_OLD', 'insufficient_user_authentication')
        assert.match(answer.headers['www-authenticate']!, /max_age="60"$/)
      }
      const now = await call(origin, 'POST /own-login', { json: { name: 'tired', given: { transport: 'body' } } })
      assert.equal((await call(origin, 'GET /recent', { headers: bearer(now.json.accessToken) })).status, 200)
    })

    test('signIn() begins a session for a login of the app’s own, in both transports', async () => {
      const body = await call(origin, 'POST /own-login', { json: { name: 'own', given: { transport: 'body' } } })
      assert.equal(body.status, 200)
      assert.equal(body.headers['cache-control'], 'no-store')
      const me = await call(origin, 'GET /me', { headers: bearer(body.json.accessToken) })
      assert.deepEqual(me.json, { subject: 'own', role: 'own' })
      assert.equal((await refreshBody(origin, body.json.refreshToken)).status, 200)

      const cookie = await call(origin, 'POST /own-login', { json: { name: 'own' }, headers: ownPage })
      assert.equal(cookie.json.refreshToken, undefined)
      assert.equal((await refreshCookie(origin, cookie.cookie!)).status, 200)
    })

    test('signIn() answers in the transport that the client asks for, also where the body is not to be read', async () => {
      const client = createClient({ baseUrl: `${origin}/auth`, loginPath: '/own-login' })
      await client.signIn({ name: 'program' })
      const token = await client.getAccessToken({ forceFresh: true })
      assert.equal((await call(origin, 'GET /me', { headers: bearer(token) })).json.subject, 'program')
      await client.signOut()

      const ask = (json: object, accept?: string) =>
        call(origin, 'POST /own-login', {
          json: { name: 'page', ...json },
          headers: { ...ownPage, ...(accept && { accept }) },
        })
      const isBody = ({ json, setCookie }: Answer) => json.refreshToken !== undefined && setCookie === undefined
      // Only an app on node:http or fetch reads its body in a way that Daypass cannot see.
      if (!['node:http', 'fetch'].includes(name)) assert.ok(isBody(await ask({ transport: 'body' })))
      assert.ok(isBody(await ask({}, 'application/json; transport=body')))
      for (const transport of ['train', ['body'], null])
        assert.ok(!isBody(await ask({ transport })), 'a field of the app’s own')
      assert.ok(!isBody(await ask({}, 'application/json;transport=cookie, text/html')))
      assert.ok(
        !isBody(await ask({ given: { transport: 'cookie' } }, 'application/json;transport=body')),
        'the app decides',
      )
    })

    test('signIn() for a page of another site: 403, and no cookie', async () => {
      const headers = { 'sec-fetch-site': 'cross-site', origin: 'https://evil.test' }
      const answer = await call(origin, 'POST /own-login', { json: { name: 'victim' }, headers })
      assertRefused(answer, 403, 'ERR_ORIGIN_REFUSED', 'access_denied')
      assert.deepEqual(await made.auth.sessions('victim'), [])
    })

    test('signIn() of a program takes either transport, and of another page the one that sets no cookie', async () => {
      const program = await call(origin, 'POST /own-login', { json: { name: 'program' } })
      const later = { ...ownPage, host: 'app.test', cookie: program.cookie! }
      assert.equal((await call(origin, 'POST /auth/refresh', { headers: later })).status, 200)
      const headers = { 'sec-fetch-site': 'cross-site', origin: 'https://other.test' }
      const json = { name: 'page', given: { transport: 'body' } }
      const page = await call(origin, 'POST /own-login', { json, headers })
      assert.equal(page.setCookie, undefined)
      assert.equal((await refreshBody(origin, page.json.refreshToken)).status, 200)
    })

    test('signOut() ends the session from a logout of the app’s own', async () => {
      const { cookie } = await signInCookie(origin)
      const answer = await call(origin, 'POST /own-logout', { headers: { ...ownPage, cookie: cookie! } })
      assert.equal(answer.status, 204)
      assert.match(answer.setCookie!, /Max-Age=0/)
      assert.equal(answer.headers['cache-control'], 'no-store')
      assertRefused(await refreshCookie(origin, cookie!), 401, 'ERR_SESSION_REVOKED')
      const foreign = { 'sec-fetch-site': 'cross-site' }
      assertRefused(await call(origin, 'POST /own-logout', { headers: foreign }), 403, 'ERR_ORIGIN_REFUSED')
    })

    test('other addresses stay the app’s', async () => {
      for (const line of ['GET /', 'GET /auth', 'POST /auth/refresh/', 'POST /authx/refresh', 'POST /refresh']) {
        const answer = await call(origin, line)
        assert.equal(answer.status, 404)
        assert.equal(answer.json.code, 'APP_NOT_FOUND')
      }
    })

    test('the routes can be where the app has them: below basePath, or from the root', async (t) => {
      const server = await start(made.auth, {
        authenticate,
        basePath: '/api/v1',
        paths: { refresh: 'refresh-token', logout: '/sign/out', sessions: '/devices' },
      })
      t.after(() => server.close())
      const { origin } = server
      const first = await signInBody(origin, 'ada', '/api/v1/login')
      const next = await refreshBody(origin, first.json.refreshToken, newKey(), '/api/v1/refresh-token')
      assert.equal(next.status, 200)
      const headers = bearer(next.json.accessToken)
      assert.equal((await call(origin, 'GET /devices', { headers })).json.sessions.length > 0, true)
      assert.equal((await refreshBody(origin, next.json.refreshToken, newKey(), '/api/v1/refresh')).status, 404)
      const out = await call(origin, 'POST /sign/out', { json: { refreshToken: next.json.refreshToken } })
      assert.equal(out.status, 204)
      assert.equal((await call(origin, 'GET /.well-known/jwks.json')).status, 200)
    })

    test('basePath "" puts the routes at the root', async (t) => {
      const server = await start(made.auth, { authenticate, basePath: '' })
      t.after(() => server.close())
      const first = await signInBody(server.origin, 'ada', '/login')
      assert.equal((await refreshBody(server.origin, first.json.refreshToken, newKey(), '/refresh')).status, 200)
    })

    test('without `authenticate` there is no login route', async (t) => {
      const server = await start(made.auth, {})
      t.after(() => server.close())
      const json = { name: 'ada', password }
      assert.equal((await call(server.origin, 'POST /auth/login', { json })).status, 404)
    })

    test('the `transport` option is the default of sign-ins that name none', async (t) => {
      const server = await start(made.auth, { authenticate, transport: 'body' })
      t.after(() => server.close())
      const answer = await call(server.origin, 'POST /auth/login', { json: { name: 'ada', password } })
      assert.match(answer.json.refreshToken, /^dpr_/)
      assert.equal(answer.setCookie, undefined)
    })
  })
}

test('the 401 and 403 of a guard are the same bytes in every adapter', async (t) => {
  const made = makeDaypass()
  const poor = bearer((await made.auth.issue('ada', { claims: { role: 'member' } })).accessToken)
  const cases: [line: string, headers: Record<string, string>][] = [
    ['GET /me', {}],
    ['GET /me', bearer('a.b.c')],
    ['GET /reports', poor],
    ['GET /admins', poor],
    ['GET /me', { ...bearer('a.b.c'), origin: 'https://app.test' }],
  ]
  // What the framework says of itself and of the connection.
  const ofServer = ['date', 'connection', 'keep-alive', 'x-powered-by', 'content-length', 'transfer-encoding', 'etag']
  const told: Record<string, unknown> = {}
  for (const [name, start] of Object.entries(adapters)) {
    const server = await start(made.auth, { authenticate, origins: ['https://app.test'] })
    t.after(() => server.close())
    told[name] = await Promise.all(
      cases.map(async ([line, sent]) => {
        const answer = await call(server.origin, line, { headers: sent })
        const own = Object.entries(answer.headers).filter(([header]) => !ofServer.includes(header))
        // NestJS sends the bodies of exceptions itself, and names the charset that JSON always has.
        const headers = { ...Object.fromEntries(own), 'content-type': answer.headers['content-type']?.split(';')[0] }
        return { status: answer.status, headers, text: answer.text }
      }),
    )
  }
  for (const [name, answers] of Object.entries(told)) assert.deepEqual(answers, told['node:http'], name)
})

describe('Express', () => {
  for (const [version, create] of [
    ['5', express],
    ['4', express4],
  ] as const) {
    test(`Express ${version}: a guarded handler that fails reaches the app’s error handler`, async (t) => {
      const { auth } = makeDaypass()
      const web = createExpressAuth(auth, { authenticate })
      const app = create().use(web.routes)
      app.get(
        '/boom',
        web.requireAuth(async () => {
          throw new Error('boom')
        }),
      )
      app.use((error: Error, _req: express.Request, res: express.Response, _next: express.NextFunction) => {
        res.status(500).json({ handled: error.message })
      })
      const server = await listen(app)
      t.after(() => server.close())
      const { json } = await signInBody(server.origin)
      const answer = await call(server.origin, 'GET /boom', { headers: bearer(json.accessToken) })
      assert.deepEqual(answer.json, { handled: 'boom' })
    })

    test(`Express ${version}: the routes keep their addresses inside a router and under a mount`, async (t) => {
      const { auth } = makeDaypass()
      const web = createExpressAuth(auth, { authenticate, basePath: '/api/auth' })
      const router = create.Router().use(web.routes)
      const server = await listen(create().use('/api', router))
      t.after(() => server.close())
      const { json } = await signInBody(server.origin, 'ada', '/api/auth/login')
      assert.equal((await refreshBody(server.origin, json.refreshToken, newKey(), '/api/auth/refresh')).status, 200)
    })

    test(`Express ${version}: cookies and Vary that the app has set stay beside Daypass’s`, async (t) => {
      const { auth } = makeDaypass()
      const web = createExpressAuth(auth, { authenticate, origins: ['https://app.test'] })
      const app = create().use((_req, res, next) => {
        res.setHeader('set-cookie', 'theme=dark')
        res.setHeader('vary', 'Accept-Encoding')
        res.setHeader('cache-control', 'public, max-age=60')
        next()
      }, web.routes)
      const server = await listen(app)
      t.after(() => server.close())
      const response = await fetch(`${server.origin}/auth/login`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...ownPage },
        body: JSON.stringify({ name: 'ada', password }),
      })
      const cookies = response.headers.getSetCookie()
      assert.equal(cookies.length, 2)
      assert.equal(cookies[0], 'theme=dark')
      assert.match(cookies[1]!, /^daypass-\d+=dpr_/)
      assert.equal(response.headers.get('vary'), 'Accept-Encoding, Origin')
      assert.equal(
        response.headers.get('cache-control'),
        'no-store',
        'what the app lets caches keep has no token in it',
      )
    })

    test(`Express ${version}: what \`authenticate\` gives as user but JSON cannot say is a 500, no crash`, async (t) => {
      const { auth } = makeDaypass()
      const errors: unknown[] = []
      const web = createExpressAuth(auth, {
        authenticate: () => ({ subject: 'ada', claims: { role: 'member' }, user: { id: 1n } }),
        onError: (error) => errors.push(error),
      })
      const server = await listen(create().use(web.routes))
      t.after(() => server.close())
      const answer = await call(server.origin, 'POST /auth/login', { json: { transport: 'body' } })
      assertRefused(answer, 500, 'ERR_INTERNAL', 'server_error')
      const cookie = await call(server.origin, 'POST /auth/login', { json: {}, headers: ownPage })
      assertRefused(cookie, 500, 'ERR_INTERNAL', 'server_error')
      assert.equal(errors.length, 2)
    })
  }

  test('req.auth is typed: the claims have the app’s type', async (t) => {
    const auth = createDaypass<Role>({ secret, issuer: 'https://id.test', store: createMemoryStore() })
    const web = createExpressAuth(auth, { authenticate })
    const app = express()
    app.use(web.routes)
    app.get(
      '/typed',
      web.requireAuth((req, res) => {
        const role: string = req.auth.claims.role
        // @ts-expect-error: a claim that the app does not have
        const missing = req.auth.claims.missing
        // @ts-expect-error: a role is a text
        const wrong: number = req.auth.claims.role
        // @ts-expect-error: what is verified is not to be changed
        const change = () => (req.auth.subject = 'eve')
        assert.throws(change, TypeError)
        res.json({ role, missing, same: wrong === (role as unknown), params: req.params })
      }),
    )
    app.get('/unguarded', (req, res) => {
      // @ts-expect-error: outside the guard nobody has looked
      res.json(req.auth.subject)
    })
    const server = await listen(app)
    t.after(() => server.close())
    const { json } = await signInBody(server.origin)
    const answer = await call(server.origin, 'GET /typed', { headers: bearer(json.accessToken) })
    assert.deepEqual(answer.json, { role: 'member', same: true, params: {} })

    // A handler that is written for any request can stand behind the guard as well.
    const plain: express.RequestHandler = (req, res) => void res.json(req.params)
    app.get('/plain', web.requireAuth(plain))

    const neverCalled = async (req: express.Request, res: express.Response) => {
      await web.signIn(req, res, { subject: 'ada', claims: { role: 'admin' } })
      // @ts-expect-error: a role is a text
      await web.signIn(req, res, { subject: 'ada', claims: { role: 1 } })
      // @ts-expect-error: the claims' type wants a role
      await web.signIn(req, res, { subject: 'ada', claims: {} })
      // @ts-expect-error: the claims' type wants a role
      await auth.issue('ada')
      // @ts-expect-error: there are two transports
      await web.signIn(req, res, { subject: 'ada' }, { transport: 'query' })
    }
    assert.equal(typeof neverCalled, 'function')
  })
})

describe('an API that only checks tokens (daypass/verify)', () => {
  const { auth, time } = makeDaypass()
  let issuer: Running
  let fetched = 0
  before(async () => {
    const web = createNodeAuth(auth, { authenticate })
    issuer = await listen(async (req, res) => {
      if (req.url === '/.well-known/jwks.json') fetched++
      if (!(await web.routes(req, res))) res.writeHead(404).end()
    })
  })
  after(() => issuer.close())

  const newVerifier = (jwks = `${issuer.origin}/.well-known/jwks.json`) =>
    createVerifier<Role>({ issuer: 'https://id.test', jwks, clock: () => Date.now() + time.offset })

  const apis: Record<string, (jwks?: string, onError?: (error: unknown) => void) => Promise<Running>> = {
    'node:http': (jwks, onError = console.error) => {
      const requireAuth = createNodeRequireAuth(newVerifier(jwks), { onError })
      const scoped = requireAuth({ scope: 'orders:read' })
      const orders = requireAuth(({ auth }, res) =>
        res.end(JSON.stringify({ subject: auth.subject, role: auth.claims.role })),
      )
      return listen((req, res) => void (req.url === '/scoped' ? scoped : orders)(req, res))
    },
    'Express 5': (jwks, onError = console.error) => startApi(express, jwks, onError),
    'Express 4': (jwks, onError = console.error) => startApi(express4, jwks, onError),
    async 'Fastify 5'(jwks, onError = console.error) {
      const requireAuth = createFastifyRequireAuth(newVerifier(jwks), { onError })
      const app = fastify()
      app.get('/scoped', { preHandler: requireAuth({ scope: 'orders:read' }) }, async () => ({}))
      app.get(
        '/orders',
        requireAuth(async ({ auth }) => ({ subject: auth.subject, role: auth.claims.role })),
      )
      await app.listen({ port: 0, host: '127.0.0.1' })
      return running(app.server)
    },
    Hono: (jwks, onError = console.error) => {
      const requireAuth = createHonoRequireAuth(newVerifier(jwks), { onError })
      const app = new Hono()
      app.get('/scoped', requireAuth({ scope: 'orders:read' }), (c) => c.json({}))
      app.get('/orders', requireAuth(), (c) => c.json({ subject: c.var.auth.subject, role: c.var.auth.claims.role }))
      return listen(overFetch(async (request) => app.fetch(request)))
    },
    'Koa 3': (jwks, onError = console.error) => {
      const requireAuth = createKoaRequireAuth(newVerifier(jwks), { onError })
      const scoped = requireAuth({ scope: 'orders:read' })
      const app = new Koa().use((ctx, next) => (ctx.path === '/scoped' ? scoped(ctx, next) : next()))
      app.use(
        requireAuth((ctx) => {
          const { auth } = ctx.state
          ctx.body = { subject: auth.subject, role: auth.claims.role }
        }),
      )
      return listen(app.callback())
    },
  }
  function startApi(create: typeof express, jwks: string | undefined, onError: (error: unknown) => void) {
    const requireAuth = createRequireAuth(newVerifier(jwks), { onError })
    const app = create()
    app.get('/scoped', requireAuth({ scope: 'orders:read' }), (_req, res) => void res.json({}))
    app.get(
      '/orders',
      requireAuth((req, res) => res.json({ subject: req.auth.subject, role: req.auth.claims.role })),
    )
    return listen(app)
  }

  for (const [name, start] of Object.entries(apis)) {
    test(`${name}: checks with the issuer’s keys, fetched once, and asks nobody after that`, async (t) => {
      const api = await start()
      t.after(() => api.close())
      fetched = 0
      const { json } = await signInBody(issuer.origin, 'customer')
      const headers = bearer(json.accessToken)
      for (let turn = 0; turn < 3; turn++) {
        const answer = await call(api.origin, 'GET /orders', { headers })
        assert.deepEqual(JSON.parse(answer.text), { subject: 'customer', role: 'member' })
      }
      assert.equal(fetched, 1)
      assertRefused(await call(api.origin, 'GET /scoped', { headers }), 403, 'ERR_SCOPE_INSUFFICIENT')
      const missing = await call(api.origin, 'GET /orders')
      assertRefused(missing, 401, 'ERR_ACCESS_TOKEN_MISSING')
      assert.equal(missing.headers['www-authenticate'], 'Bearer')
      const refresh = await call(api.origin, 'GET /orders', { headers: bearer(json.refreshToken) })
      assertRefused(refresh, 401, 'ERR_ACCESS_TOKEN_INVALID', 'invalid_token')
    })

    test(`${name}: keys that cannot be fetched are a 503 to try again, and an error for onError`, async (t) => {
      const errors: unknown[] = []
      const nobody = await listen(() => {})
      await nobody.close()
      const api = await start(`${nobody.origin}/jwks`, (error) => errors.push(error))
      t.after(() => api.close())
      const { json } = await signInBody(issuer.origin)
      const answer = await call(api.origin, 'GET /orders', { headers: bearer(json.accessToken) })
      assertRefused(answer, 503, 'ERR_JWKS_UNAVAILABLE', 'temporarily_unavailable')
      assert.equal(answer.headers['retry-after'], '1')
      assert.equal(errors.length, 1)
    })
  }
})
