// The response of a refresh that arrives after a newer sign-in: the browser keeps the newer session.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createNodeAuth, type NodeOptions } from '../../src/adapters/node.ts'
import { adapters } from '../adapters/apps.ts'
import {
  type Answer,
  assertRefused,
  authenticate,
  call,
  listen,
  makeDaypass,
  ownPage,
  type Role,
  refreshCookie,
  signInCookie,
} from './server.ts'

/** The cookies of a browser, in the order in which it stored them. */
function createJar() {
  const cookies = new Map<string, string>()
  return {
    cookies,
    /** Stores what a response brings, when it arrives. */
    store({ headers }: Answer) {
      for (const line of headers['set-cookie'] ?? []) {
        const [, name, value] = /^([^=]+)=([^;]*)/.exec(line)!
        cookies.delete(name!)
        if (!line.includes('; Max-Age=0')) cookies.set(name!, value!)
      }
    },
    header: () => [...cookies].map(([name, value]) => `${name}=${value}`).join('; '),
  }
}

for (const [name, start] of Object.entries(adapters)) {
  test(`${name}: a late response of a refresh does not overwrite the sign-in that came after it`, async (t) => {
    const { auth } = makeDaypass()
    const server = await start(auth, { authenticate })
    t.after(() => server.close())
    const { origin } = server
    const jar = createJar()
    jar.store(await signInCookie(origin, 'ada'))
    // Each sign-in has the other name. So the last one has the first name again.
    for (const person of ['bob', 'eve', 'dan']) {
      const late = await refreshCookie(origin, jar.header())
      assert.equal(late.status, 200)
      jar.store(await signInCookie(origin, person, { cookie: jar.header() }))
      assert.equal(jar.cookies.size, 1, 'the replaced cookie is cleared')
      jar.store(late)
      assert.equal(jar.cookies.size, 2)

      const page = await call(origin, 'GET /page', { headers: { ...ownPage, cookie: jar.header() } })
      assert.equal(page.json.subject, person)
      const refreshed = await refreshCookie(origin, jar.header())
      assert.equal(refreshed.status, 200)
      assert.equal(refreshed.json.session.subject, person)
      jar.store(refreshed)
      assert.equal(jar.cookies.size, 1, 'the cookie of the ended session is cleared')
      assert.equal((await auth.sessions(person)).length, 1)
    }
    jar.store(await call(origin, 'POST /auth/logout', { headers: { ...ownPage, cookie: jar.header() } }))
    assert.equal(jar.cookies.size, 0)
    assert.deepEqual(await auth.sessions('dan'), [])
  })
}

test('a sign-out beside the late cookie of an ended session ends the session that lives, and clears both', async (t) => {
  const { auth, origin } = await serveSignIn(t)
  for (const order of ['late first', 'late last']) {
    const jar = createJar()
    jar.store(await signInCookie(origin, 'ada'))
    const late = await refreshCookie(origin, jar.header())
    const signedIn = await signInCookie(origin, 'bob', { cookie: jar.header() })
    for (const answer of order === 'late first' ? [late, signedIn, late] : [signedIn, late]) jar.store(answer)
    jar.store(await call(origin, 'POST /auth/logout', { headers: { ...ownPage, cookie: jar.header() } }))
    assert.equal(jar.cookies.size, 0, order)
    assert.deepEqual(await auth.sessions('bob'), [], order)
  }
})

test('a sign-in by redirect, under a domain and without', async (t) => {
  for (const domain of [undefined, 'example.com']) {
    const { origin } = await serveSignIn(t, {
      cookie: { domain } as NodeOptions['cookie'],
      trustedProxies: ['127.0.0.1'],
    })
    const name = domain === undefined ? '__Host-daypass' : '__Secure-daypass'
    const https = {
      'x-forwarded-proto': 'https',
      'x-forwarded-host': 'app.example.com',
      'x-forwarded-for': '192.0.2.1',
    }
    const signIn = (cookie: string) =>
      call(origin, 'POST /login', { headers: { ...ownPage, ...https, ...(cookie && { cookie }) } })
    const jar = createJar()
    jar.store(await signIn(''))
    assert.deepEqual([...jar.cookies.keys()], [name])
    const late = await call(origin, 'POST /auth/refresh', { headers: { ...ownPage, ...https, cookie: jar.header() } })
    assert.equal(late.status, 200)
    const again = await signIn(jar.header())
    assert.equal(again.status, 303)
    for (const line of again.headers['set-cookie']!) {
      assert.match(line, /; Path=\/;.* HttpOnly; SameSite=Strict; Secure/)
      assert.equal(line.includes('; Domain=example.com'), domain !== undefined, line)
    }
    jar.store(again)
    assert.deepEqual([...jar.cookies.keys()], [`${name}.b`])
    jar.store(late)
    const refreshed = await call(origin, 'POST /auth/refresh', {
      headers: { ...ownPage, ...https, cookie: jar.header() },
    })
    assert.equal(refreshed.status, 200, refreshed.text)
    jar.store(refreshed)
    assert.deepEqual([...jar.cookies.keys()], [`${name}.b`])
  }
})

test('two cookies of ended sessions are refused as one is', async (t) => {
  const { auth, origin } = await serveSignIn(t)
  const jar = createJar()
  jar.store(await signInCookie(origin, 'ada'))
  const late = await refreshCookie(origin, jar.header())
  jar.store(await signInCookie(origin, 'ada', { cookie: jar.header() }))
  jar.store(late)
  await auth.revokeSubject('ada')
  assertRefused(await refreshCookie(origin, jar.header()), 401, 'ERR_SESSION_REVOKED', 'invalid_grant')
})

test('a page of another origin is refused before any session is looked up', async (t) => {
  const { origin, made } = await serveSignIn(t)
  const jar = createJar()
  jar.store(await signInCookie(origin, 'ada'))
  const late = await refreshCookie(origin, jar.header())
  jar.store(await signInCookie(origin, 'ada', { cookie: jar.header() }))
  jar.store(late)
  let finds = 0
  const { find } = made.store
  made.store.find = (id) => {
    finds++
    return find(id)
  }
  const headers = { 'sec-fetch-site': 'cross-site', origin: 'https://evil.example', cookie: jar.header() }
  assertRefused(await call(origin, 'POST /auth/refresh', { headers }), 403, 'ERR_ORIGIN_REFUSED', 'access_denied')
  assert.equal(finds, 0)
})

/** Daypass with a login by redirect, `POST /login`. */
async function serveSignIn(t: { after(fn: () => unknown): unknown }, options: NodeOptions<Role> = {}) {
  const made = makeDaypass()
  const web = createNodeAuth(made.auth, { authenticate, ...options })
  const server = await listen(async (req, res) => {
    if (await web.routes(req, res)) return
    await web.signIn(req, res, { subject: 'ada', claims: { role: 'user' } }, { redirect: '/' })
  })
  t.after(() => server.close())
  return { made, auth: made.auth, origin: server.origin }
}
