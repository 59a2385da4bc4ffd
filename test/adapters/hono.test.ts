// What is Hono's own: typed variables, the headers that middleware has set, and bodies that the app has read.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { getConnInfo } from '@hono/node-server/conninfo'
import { type Context, Hono } from 'hono'
import { hc } from 'hono/client'
import { setCookie } from 'hono/cookie'
import { cors } from 'hono/cors'
import { secureHeaders } from 'hono/secure-headers'
import { validator } from 'hono/validator'
import { createHonoAuth } from '../../src/adapters/hono.ts'
import { authenticate, bearer, makeDaypass, ownPage, password, type Role } from '../http/server.ts'

const post = (json: unknown, headers: Record<string, string> = {}): RequestInit => ({
  method: 'POST',
  headers: { 'content-type': 'application/json', ...headers },
  body: JSON.stringify(json),
})

test('the claims have the app’s type after the guard, with the app’s own variables and paths beside them', async () => {
  const { auth } = makeDaypass()
  const web = createHonoAuth(auth)
  const app = new Hono<{ Variables: { tenant: string }; Bindings: { ip: string } }>()
    .use(async (c, next) => {
      c.set('tenant', 'acme')
      await next()
    })
    .get('/orders/:id', web.requireAuth({ scope: 'orders' }), (c) => {
      const role: string = c.get('auth').claims.role
      // @ts-expect-error: a claim that the app does not have
      const missing = c.var.auth.claims.missing
      return c.json({ role, missing, tenant: c.get('tenant'), id: c.req.param('id') })
    })
    .get('/bare', web.requireAuth, (c) => c.json({ subject: c.var.auth.subject, tenant: c.var.tenant }))
    .get(
      '/around/:id',
      web.requireAuth((c) => c.json({ role: c.get('auth').claims.role }), {
        allow: ({ claims }) => claims.role === 'x',
      }),
    )
    .get('/unguarded', (c) => {
      // @ts-expect-error: outside the guard nobody has looked
      return c.json(c.get('auth') ?? null)
    })
  const { accessToken } = await auth.issue('ada', { claims: { role: 'x' }, scope: 'orders' })
  const ask = async (path: string) => (await app.request(path, { headers: bearer(accessToken) })).json()
  assert.deepEqual(await ask('/orders/7'), { role: 'x', tenant: 'acme', id: '7' })
  assert.deepEqual(await ask('/bare'), { subject: 'ada', tenant: 'acme' })
  assert.deepEqual(await ask('/around/7'), { role: 'x' })
  assert.equal(await ask('/unguarded'), null)

  // The types of Hono's own client go through the guard.
  const client = hc<typeof app>('http://app.test', { fetch: app.request })
  const answer = await client.bare.$get({}, { headers: bearer(accessToken) })
  const { subject }: { subject: string } = await answer.json()
  assert.equal(subject, 'ada')

  const neverCalled = async (c: Context) => {
    // @ts-expect-error: a role is a text
    await web.signIn(c, { subject: 'ada', claims: { role: 1 } })
    // @ts-expect-error: there are two transports
    await web.signIn(c, { subject: 'ada', claims: { role: 'x' } }, { transport: 'query' })
  }
  assert.equal(typeof neverCalled, 'function')
})

test('cookies and Vary that middleware has set stay beside Daypass’s, and Cache-Control is Daypass’s', async () => {
  const { auth } = makeDaypass()
  const web = createHonoAuth(auth, { authenticate, origins: ['https://app.test'] })
  for (const touches of [false, true]) {
    const app = new Hono()
    app.use(async (c, next) => {
      // Hono keeps headers in another place once a middleware has looked at the response.
      if (touches) c.res.headers.set('x-seen', 'yes')
      setCookie(c, 'theme', 'dark')
      c.header('vary', 'Accept-Encoding')
      c.header('cache-control', 'public, max-age=60')
      await next()
    })
    app.use(web.routes)
    app.post('/own-login', (c) => web.signIn(c, { subject: 'ada', claims: { role: 'own' } }))
    app.get('/me', web.requireAuth, (c) => c.text('in'))
    for (const path of ['/auth/login', '/own-login']) {
      const answer = await app.request(path, post({ name: 'ada', password }, ownPage))
      assert.equal(answer.status, 200)
      const [theme, session, ...more] = answer.headers.getSetCookie()
      assert.match(theme!, /^theme=dark/)
      assert.match(session!, /^__Host-daypass=dpr_/)
      assert.deepEqual(more, [])
      assert.equal(answer.headers.get('vary'), 'Accept-Encoding, Origin')
      assert.equal(answer.headers.get('cache-control'), 'no-store', 'what caches may keep has no token in it')
      assert.equal(answer.headers.get('content-type'), 'application/json')
    }
    const refused = await app.request('/me')
    assert.equal(refused.headers.get('cache-control'), 'no-store')
    assert.equal(refused.headers.get('www-authenticate'), 'Bearer')
  }
})

test('beside Hono’s own cors and secureHeaders, a listed origin gets one of each header', async () => {
  const { auth } = makeDaypass()
  const origin = 'https://app.test'
  const web = createHonoAuth(auth, { authenticate, origins: [origin] })
  const app = new Hono().use(cors({ origin, credentials: true }), secureHeaders(), web.routes)
  const answer = await app.request('/auth/login', post({ name: 'ada', password }, { origin }))
  assert.equal(answer.status, 200)
  assert.equal(answer.headers.get('access-control-allow-origin'), origin)
  assert.equal(answer.headers.get('access-control-allow-credentials'), 'true')
  assert.equal(answer.headers.get('x-content-type-options'), 'nosniff')
})

test('a body that the app has read through Hono is read again; one that it read past Hono is ERR_BODY_CONSUMED', async () => {
  const { auth } = makeDaypass()
  const errors: unknown[] = []
  const web = createHonoAuth(auth, { authenticate, bodyLimit: 100, onError: (error) => errors.push(error) })
  const json = { name: 'ada', password, transport: 'body' }
  const reads: Record<string, (c: Context) => Promise<unknown>> = {
    json: (c) => c.req.json(),
    text: (c) => c.req.text(),
    arrayBuffer: (c) => c.req.arrayBuffer(),
  }
  for (const [name, read] of Object.entries(reads)) {
    const app = new Hono()
    app.use(async (c, next) => {
      await read(c)
      await next()
    }, web.routes)
    app.post('/own-login', (c) => web.signIn(c, { subject: 'ada', claims: { role: 'own' } }))
    for (const path of ['/auth/login', '/own-login']) {
      const answer = await app.request(path, post(json))
      assert.equal(answer.status, 200, name)
      assert.match(((await answer.json()) as { refreshToken: string }).refreshToken, /^dpr_/)
    }
    const long = await app.request('/auth/login', post({ ...json, more: 'é'.repeat(60) }))
    assert.equal(long.status, 413, name)
  }
  const validated = new Hono().use(
    validator('json', (value) => value),
    web.routes,
  )
  assert.equal((await validated.request('/auth/login', post(json))).status, 200)
  const past = new Hono().use(async (c, next) => {
    await c.req.raw.text()
    await next()
  }, web.routes)
  const answer = await past.request('/auth/refresh', post({ refreshToken: 'dpr_x' }))
  assert.equal(answer.status, 500)
  assert.deepEqual(
    errors.map((error) => (error as { code: string }).code),
    ['ERR_BODY_CONSUMED'],
  )
})

test('a request without a connection, as of app.request() in an app’s tests, has no address and needs none', async () => {
  const { auth } = makeDaypass()
  const web = createHonoAuth(auth, { authenticate, getConnInfo })
  const app = new Hono().use(web.routes)
  const answer = await app.request('/auth/login', post({ name: 'ada', password }, ownPage))
  assert.equal(answer.status, 200)
  assert.equal(((await answer.json()) as { session: { device: { ip?: string } } }).session.device.ip, undefined)
})

test('a guarded handler that fails reaches the app’s onError, and a route below a pattern keeps its address', async () => {
  const { auth } = makeDaypass()
  const web = createHonoAuth(auth, { authenticate, onWarning: () => {} })
  const app = new Hono()
  app.use('/:tenant/*', web.routes)
  app.get(
    '/boom',
    web.requireAuth(() => {
      throw new Error('boom')
    }),
  )
  app.onError((error, c) => c.json({ handled: error.message }, 500))
  const { accessToken } = await auth.issue('ada', { claims: { role: 'x' } satisfies Role })
  const answer = await app.request('/boom', { headers: bearer(accessToken) })
  assert.deepEqual(await answer.json(), { handled: 'boom' })
  assert.equal((await app.request('/auth/login', post({ name: 'ada', password }, ownPage))).status, 200)
  assert.equal((await app.request('/acme/auth/login', post({ name: 'ada', password }, ownPage))).status, 404)
})
