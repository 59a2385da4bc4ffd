// What is Koa's own: its router, the headers that middleware has set, its `proxy`, and errors.

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import Router from '@koa/router'
import Koa from 'koa'
import { createKoaAuth } from '../../src/adapters/koa.ts'
import {
  assertRefused,
  authenticate,
  bearer,
  call,
  listen,
  makeDaypass,
  ownPage,
  password,
  signInBody,
} from '../http/server.ts'

async function start(t: TestContext, app: Koa): Promise<string> {
  const server = await listen(app.callback())
  t.after(() => server.close())
  return server.origin
}

test('with Koa’s router the guard is a middleware of a route, and `ctx.state.auth` is typed in a guarded handler', async (t) => {
  const { auth } = makeDaypass()
  const web = createKoaAuth(auth, { authenticate })
  const router = new Router()
  router.get('/me', web.requireAuth, (ctx) => {
    ctx.body = { subject: ctx.state.auth.subject }
  })
  router.get(
    '/typed',
    web.requireAuth((ctx) => {
      const role: string = ctx.state.auth.claims.role
      // @ts-expect-error: a claim that the app does not have
      const missing = ctx.state.auth.claims.missing
      ctx.body = { role, missing }
    }),
  )
  router.post('/logout', web.signOut)
  const origin = await start(t, new Koa().use(web.routes).use(router.routes()))
  const { json } = await signInBody(origin)
  const headers = bearer(json.accessToken)
  assert.deepEqual((await call(origin, 'GET /me', { headers })).json, { subject: 'ada' })
  assert.deepEqual((await call(origin, 'GET /typed', { headers })).json, { role: 'member' })
  assertRefused(await call(origin, 'GET /typed'), 401, 'ERR_ACCESS_TOKEN_MISSING')
  const out = await call(origin, 'POST /logout', { headers: { ...ownPage, ...headers } })
  assert.equal(out.status, 204, out.text)
  assert.equal(out.text, '')
  assert.throws(() => (web.requireAuth as (ctx: object) => unknown)({ headers: {} }), { code: 'ERR_OPTION_INVALID' })
})

test('a middleware around Daypass sees its response and adds to it; cookies and Vary of the app stay', async (t) => {
  const { auth } = makeDaypass()
  const web = createKoaAuth(auth, { authenticate, origins: ['https://app.test'] })
  const app = new Koa()
  const seen: unknown[] = []
  app.use(async (ctx, next) => {
    ctx.cookies.set('theme', 'dark')
    ctx.set('vary', 'Accept-Encoding')
    ctx.set('cache-control', 'public, max-age=60')
    ctx.type = 'json'
    await next()
    seen.push(ctx.status)
    ctx.cookies.set('late', 'yes')
  })
  app.use(web.routes)
  app.use((ctx) => web.signIn(ctx, { subject: 'ada', claims: { role: 'own' } }, { redirect: '/home' }))
  const origin = await start(t, app)
  const response = await fetch(`${origin}/auth/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...ownPage },
    body: JSON.stringify({ name: 'ada', password }),
  })
  const names = response.headers.getSetCookie().map((cookie) => cookie.split('=')[0]!.replace(/\d+$/, 'PORT'))
  assert.deepEqual(names, ['theme', 'daypass-PORT', 'late'])
  assert.equal(response.headers.get('vary'), 'Accept-Encoding, Origin')
  assert.equal(response.headers.get('cache-control'), 'no-store', 'what the app lets caches keep has no token in it')
  assert.equal(response.headers.get('content-type'), 'application/json')
  // A response without a body keeps its status.
  const arrived = await fetch(`${origin}/callback`, { headers: ownPage, redirect: 'manual' })
  assert.deepEqual([arrived.status, arrived.headers.get('location'), await arrived.text()], [303, '/home', ''])
  assert.deepEqual(seen, [200, 303])
})

test('`app.proxy` says who the client is, and `trustedProxies` overrules it', async (t) => {
  const { auth } = makeDaypass()
  const headers = {
    'x-forwarded-for': '203.0.113.7',
    'x-forwarded-proto': 'https',
    'x-forwarded-host': 'app.test',
    origin: 'https://app.test',
  }
  const signIn = async (proxy: boolean, options: { trustedProxies?: string[] }) => {
    const web = createKoaAuth(auth, { authenticate, onWarning: () => {}, ...options })
    const origin = await start(t, new Koa({ proxy }).use(web.routes))
    return call(origin, 'POST /auth/login', { headers, json: { name: 'ada', password } })
  }
  for (const answer of [await signIn(true, {}), await signIn(false, { trustedProxies: ['127.0.0.1'] })]) {
    assert.equal(answer.status, 200, answer.text)
    assert.equal(answer.json.session.device.ip, '203.0.113.7')
    assert.match(answer.setCookie!, /^__Host-daypass=/)
  }
  assertRefused(await signIn(false, {}), 403, 'ERR_ORIGIN_REFUSED')
  assertRefused(await signIn(true, { trustedProxies: [] }), 403, 'ERR_ORIGIN_REFUSED')
})

test('a guarded handler that fails reaches the app’s error handling', async (t) => {
  const { auth } = makeDaypass()
  const web = createKoaAuth(auth, { authenticate })
  const app = new Koa()
  app.use(async (ctx, next) => {
    try {
      await next()
    } catch (error) {
      ctx.status = 500
      ctx.body = { handled: (error as Error).message }
    }
  })
  app.use(web.routes)
  app.use(
    web.requireAuth(() => {
      throw new Error('boom')
    }),
  )
  const origin = await start(t, app)
  const { json } = await signInBody(origin)
  const answer = await call(origin, 'GET /boom', { headers: bearer(json.accessToken) })
  assert.deepEqual(answer.json, { handled: 'boom' })
})
