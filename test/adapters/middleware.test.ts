// Daypass behind other middleware: bodies that other code has read, headers that other code has set.
// `invalid_grant` signs people out, so no fault of the server's set-up may cause it.

import assert from 'node:assert/strict'
import type { IncomingMessage } from 'node:http'
import { createRequire } from 'node:module'
import { describe, type TestContext, test } from 'node:test'
import express, { type RequestHandler } from 'express'
import { type FastifyInstance, fastify } from 'fastify'
import { createExpressAuth } from '../../src/adapters/express.ts'
import { createFastifyAuth } from '../../src/adapters/fastify.ts'
import { createFetchAuth } from '../../src/adapters/fetch.ts'
import { createNodeAuth, type NodeOptions } from '../../src/adapters/node.ts'
import { type Daypass, isDaypassError, type Warning } from '../../src/index.ts'
import {
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
  signInBody,
  signInCookie,
} from '../http/server.ts'
import { express4, overFetch } from './apps.ts'

// Loaded without their types: the sources compile also where these packages are not installed.
const require = createRequire(import.meta.url)
const bodyParser = require('body-parser')
const serverlessHttp = require('serverless-http')
const serverlessExpress = require('@codegenie/serverless-express')

/** Reads the body, as a logger does that keeps nothing. */
const eat: RequestHandler = async (req, _res, next) => {
  await (req as IncomingMessage).toArray()
  next()
}
/** Takes the first piece of a body and leaves the rest. */
const bite: RequestHandler = (req, _res, next) => {
  req.once('data', () => {
    req.pause()
    next()
  })
}
const set =
  (members: object): RequestHandler =>
  (req, _res, next) => {
    Object.assign(req, members)
    next()
  }
const keepRawBody = (req: IncomingMessage, _res: unknown, bytes: Buffer) => void Object.assign(req, { rawBody: bytes })
const everything = { type: '*/*' }

/** The middleware before Daypass, and the status of a refresh by body. */
const fronts: Record<string, [...front: RequestHandler[], expected: 200 | 500]> = {
  'express.json()': [express.json(), 200],
  'express.json({ strict: false })': [express.json({ strict: false }), 200],
  'express.raw() for everything': [express.raw(everything), 200],
  'express.text() for everything': [express.text(everything), 200],
  'express.urlencoded()': [express.urlencoded({ extended: true }), 200],
  'express.urlencoded() for everything': [express.urlencoded({ extended: true, ...everything }), 500],
  'body-parser, every parser': [bodyParser.json(), bodyParser.urlencoded({ extended: false }), bodyParser.text(), 200],
  'a parser that keeps the bytes': [express.json({ verify: keepRawBody }), set({ body: undefined }), 200],
  'functions that keep the bytes beside another body': [
    express.raw({ ...everything, verify: keepRawBody }),
    set({ body: {} }),
    200,
  ],
  'a body that is read and not kept': [eat, 500],
  'a body that is read and not kept, and {} in its place': [eat, set({ body: {} }), 500],
  'a body that is read and not kept, and null in its place': [eat, set({ body: null }), 500],
  'a body that is read in part': [bite, 500],
  'a body that is still to be read, and {} in its place': [set({ body: {} }), 200],
  'a body that is still to be read, and undefined in its place': [set({ body: undefined }), 200],
}

async function serveBehind(t: TestContext, create: typeof express, front: RequestHandler[]) {
  const made = makeDaypass()
  const errors: unknown[] = []
  const web = createExpressAuth(made.auth, { authenticate, onError: (error) => errors.push(error) })
  const app = create()
  for (const handler of front) app.use(handler)
  app.use(web.routes)
  const server = await listen(app)
  t.after(() => server.close())
  return { ...made, errors, origin: server.origin }
}

for (const [version, create] of [
  ['Express 5', express],
  ['Express 4', express4],
] as const) {
  describe(`a body that something before ${version}’s routes has read`, () => {
    for (const [name, steps] of Object.entries(fronts)) {
      const expected = steps.at(-1) as number
      const front = steps.slice(0, -1) as RequestHandler[]
      test(`${name}: ${expected}, and never invalid_grant`, async (t) => {
        const { auth, errors, origin } = await serveBehind(t, create, front)
        const { refreshToken } = await auth.issue('ada', { claims: { role: 'member' } })
        const refresh = await refreshBody(origin, refreshToken, newKey())
        const login = await call(origin, 'POST /auth/login', { json: { name: 'ada', password, transport: 'body' } })
        if (expected === 200) {
          assert.deepEqual([refresh.status, login.status], [200, 200], `${refresh.text} ${login.text}`)
          assert.deepEqual(errors, [])
          return
        }
        for (const answer of [refresh, login]) assertRefused(answer, 500, 'ERR_BODY_CONSUMED', 'server_error')
        assert.ok(errors.length === 2 && errors.every((error) => isDaypassError(error, 'ERR_BODY_CONSUMED')))
        const out = await call(origin, 'POST /auth/logout', { json: { refreshToken } })
        assertRefused(out, 500, 'ERR_BODY_CONSUMED', 'server_error')
        await auth.refresh(refreshToken)
      })
    }

    test('the cookie says whose session it is, whatever became of the body', async (t) => {
      const { auth, errors, origin } = await serveBehind(t, create, [eat])
      const { refreshToken } = await auth.issue('ada', { claims: { role: 'member' } })
      const cookie = `daypass-${new URL(origin).port}=${refreshToken}`
      const headers = { ...ownPage, cookie }
      const refresh = await call(origin, 'POST /auth/refresh', { json: {}, headers })
      assert.equal(refresh.status, 200, refresh.text)
      const out = await call(origin, 'POST /auth/logout', {
        json: {},
        headers: { ...ownPage, cookie: refresh.cookie! },
      })
      assert.equal(out.status, 204)
      assert.deepEqual(await auth.sessions('ada'), [])
      assert.deepEqual(errors, [])
    })

    test('no body at all is no fault of the set-up: nobody is signed in', async (t) => {
      const { errors, origin } = await serveBehind(t, create, [express.json(), eat])
      for (const sent of [{}, { json: {} }]) {
        const answer = await call(origin, 'POST /auth/refresh', { ...sent, headers: ownPage })
        assertRefused(answer, 401, 'ERR_REFRESH_TOKEN_MISSING', 'invalid_grant')
      }
      assert.deepEqual(errors, [])
    })

    test('a text or bytes of another parser are bounded as a body is', async (t) => {
      for (const parser of [express.raw(everything), express.text(everything), express.json()]) {
        const { origin, errors } = await serveBehind(t, create, [parser])
        const json = { refreshToken: 'x'.repeat(20_000) }
        assertRefused(await call(origin, 'POST /auth/refresh', { json }), 413, 'ERR_BODY_TOO_LARGE')
        const chunked = { 'transfer-encoding': 'chunked' }
        assertRefused(await call(origin, 'POST /auth/refresh', { json, headers: chunked }), 413, 'ERR_BODY_TOO_LARGE')
        assert.deepEqual(errors, [])
      }
    })
  })
}

test('a Request whose body somebody has read, holds or left out: 500, and never invalid_grant', async () => {
  const { auth } = makeDaypass()
  const errors: unknown[] = []
  const web = createFetchAuth(auth, { authenticate, onError: (error) => errors.push(error) })
  const { refreshToken } = await auth.issue('ada', { claims: { role: 'member' } })
  const body = JSON.stringify({ refreshToken })
  const headers = { 'content-type': 'application/json', 'content-length': String(body.length) }
  const make = () => new Request('https://id.test/auth/refresh', { method: 'POST', headers, body })
  const read = make()
  await read.json()
  const held = make()
  held.body!.getReader()
  const leftOut = new Request('https://id.test/auth/refresh', { method: 'POST', headers })
  for (const request of [read, held, leftOut]) {
    const answer = (await web.routes(request))!
    assert.equal(answer.status, 500)
    assert.equal(((await answer.json()) as { code: string }).code, 'ERR_BODY_CONSUMED')
  }
  assert.equal(errors.length, 3)
  assert.equal((await web.routes(make()))!.status, 200)
})

test('over fetch too, the cookie says whose session it is where the body was read', async (t) => {
  const { auth } = makeDaypass()
  const web = createFetchAuth(auth, { authenticate })
  const server = await listen(
    overFetch(async (request, ip) => {
      await request.text()
      return (await web.routes(request, { ip }))!
    }),
  )
  t.after(() => server.close())
  const { refreshToken } = await auth.issue('ada', { claims: { role: 'member' } })
  const headers = { ...ownPage, cookie: `daypass-${server.port}=${refreshToken}` }
  assert.equal((await call(server.origin, 'POST /auth/refresh', { json: {}, headers })).status, 200)
})

describe('headers that are not those of the wire', () => {
  async function serveWith(t: TestContext, front: RequestHandler) {
    const made = makeDaypass()
    const web = createExpressAuth(made.auth, { authenticate, onError: (error) => assert.fail(String(error)) })
    const app = express().use(front, web.routes)
    app.get(
      '/me',
      web.requireAuth((req, res) => res.json({ subject: req.auth.subject })),
    )
    const server = await listen(app)
    t.after(() => server.close())
    const { accessToken } = await made.auth.issue('ada', { claims: { role: 'member' } })
    return { ...made, accessToken, origin: server.origin }
  }
  /** As WebSocket handshakes and old clients bring it. */
  const fromQuery: RequestHandler = (req, _res, next) => {
    if (req.query.access_token) req.headers.authorization = `Bearer ${req.query.access_token}`
    next()
  }

  test('a token that middleware puts into req.headers.authorization lets in, also in place of another', async (t) => {
    const { accessToken, origin } = await serveWith(t, fromQuery)
    const line = `GET /me?access_token=${accessToken}`
    assert.equal((await call(origin, line)).status, 200)
    assert.equal((await call(origin, line, { headers: { authorization: 'Basic eDp5' } })).status, 200)
  })

  test('a header that middleware has deleted is gone', async (t) => {
    const { accessToken, origin } = await serveWith(t, (req, _res, next) => {
      delete req.headers.authorization
      next()
    })
    assertRefused(await call(origin, 'GET /me', { headers: bearer(accessToken) }), 401, 'ERR_ACCESS_TOKEN_MISSING')
  })

  test('two Authorization headers stay two, whatever middleware has set beside them', async (t) => {
    const { accessToken, origin } = await serveWith(t, (req, _res, next) => {
      req.headers['x-request-id'] = '1'
      next()
    })
    const { authorization } = bearer(accessToken)
    const headers = { authorization: [authorization, authorization] }
    assertRefused(await call(origin, 'GET /me', { headers }), 400, 'ERR_REQUEST_INVALID')
  })
})

describe('Fastify, which reads the body itself', () => {
  async function serveFastify(
    t: TestContext,
    addRoutes: (app: FastifyInstance, auth: Daypass<Role>, options: NodeOptions<Role>) => unknown,
  ) {
    const made = makeDaypass()
    const errors: unknown[] = []
    const app = fastify()
    app.addHook('onRequest', async (_request, reply) => void reply.header('x-app', 'mine'))
    addRoutes(app, made.auth, { authenticate, onError: (error) => errors.push(error) })
    const origin = await app.listen({ port: 0, host: '127.0.0.1' })
    t.after(() => app.close())
    return { ...made, errors, origin }
  }

  test('its own request and reply: every route works, and the headers of its hooks go along', async (t) => {
    const { origin, errors } = await serveFastify(t, (app, auth, options) => {
      const web = createFastifyAuth(auth, options)
      app.register(web.routes)
      app.get(
        '/me',
        web.requireAuth((request) => ({ subject: request.auth.subject })),
      )
    })
    const inBody = await signInBody(origin)
    const refresh = await refreshBody(origin, inBody.json.refreshToken, newKey())
    assert.equal(refresh.status, 200, refresh.text)
    assert.equal(refresh.headers['x-app'], 'mine')
    const inCookie = await signInCookie(origin)
    assert.equal((await refreshCookie(origin, inCookie.cookie!)).status, 200)
    assert.deepEqual((await call(origin, 'GET /me', { headers: bearer(refresh.json.accessToken) })).json, {
      subject: 'ada',
    })
    assertRefused(await call(origin, 'GET /me'), 401, 'ERR_ACCESS_TOKEN_MISSING')
    assertRefused(await call(origin, 'POST /auth/refresh', { json: {} }), 401, 'ERR_REFRESH_TOKEN_MISSING')
    assert.deepEqual(errors, [])
  })

  test('its raw request alone: 500, an error for onError, and the session lives', async (t) => {
    const { auth, origin, errors } = await serveFastify(t, (app, auth, options) => {
      const web = createNodeAuth(auth, options)
      app.all('/auth/*', async (request, reply) => {
        reply.hijack()
        await web.routes(request.raw, reply.raw)
      })
    })
    const { refreshToken } = await auth.issue('ada', { claims: { role: 'member' } })
    assertRefused(await refreshBody(origin, refreshToken, newKey()), 500, 'ERR_BODY_CONSUMED', 'server_error')
    assert.ok(isDaypassError(errors[0], 'ERR_BODY_CONSUMED'))
    await auth.refresh(refreshToken)
  })
})

describe('Express on functions, whose requests no socket brought', () => {
  const adapters: Record<string, (app: express.Express) => (event: object) => Promise<any>> = {
    'serverless-http': (app) => serverlessHttp(app),
    'serverless-express': (app) => {
      const handler = (serverlessExpress.default ?? serverlessExpress)({ app })
      return (event) => handler(event, {}, () => {})
    },
  }
  const event = (line: string, headers: Record<string, string>, json?: object) => {
    const [method = '', path = ''] = line.split(' ')
    const body = json && JSON.stringify(json)
    const length = body && { 'content-type': 'application/json', 'content-length': String(body.length) }
    return {
      version: '2.0',
      routeKey: '$default',
      rawPath: path,
      rawQueryString: '',
      headers: {
        host: 'api.test',
        'x-forwarded-for': '192.0.2.1',
        'x-forwarded-proto': 'https',
        ...length,
        ...headers,
      },
      requestContext: { http: { method, path, sourceIp: '192.0.2.1' }, domainName: 'api.test', stage: '$default' },
      body: body ?? '',
      isBase64Encoded: false,
    }
  }

  for (const [name, adapt] of Object.entries(adapters)) {
    for (const parser of [true, false]) {
      test(`${name}, ${parser ? 'after express.json()' : 'alone'}: headers, bodies, cookies and origins are read`, async () => {
        const { auth } = makeDaypass()
        const told: unknown[] = []
        const web = createExpressAuth(auth, {
          authenticate,
          onError: (error) => told.push(error),
          onWarning: (warning) => told.push(warning),
        })
        const app = express()
        if (parser) app.use(express.json())
        app.use(web.routes)
        app.get(
          '/me',
          web.requireAuth((req, res) => res.json({ subject: req.auth.subject })),
        )
        const ask = adapt(app)
        const { accessToken, refreshToken } = await auth.issue('ada', { claims: { role: 'member' } })

        assert.equal((await ask(event('GET /me', bearer(accessToken)))).statusCode, 200)
        const refresh = await ask(event('POST /auth/refresh', {}, { refreshToken }))
        assert.equal(refresh.statusCode, 200, refresh.body)

        const login = await ask(event('POST /auth/login', ownPage, { name: 'ada', password }))
        const setCookie = String(login.cookies?.[0] ?? login.headers['set-cookie'])
        assert.match(setCookie, /^__Host-daypass=dpr_.*; Secure$/)
        assert.equal(JSON.parse(login.body).session.device.ip, '192.0.2.1')

        const cookie = setCookie.split(';', 1)[0]!
        const evil = { origin: 'https://evil.test', 'sec-fetch-site': 'cross-site' }
        const forged = await ask(event('POST /auth/refresh', { ...evil, cookie }, {}))
        assert.equal(forged.statusCode, 403)
        const login2 = await ask(event('POST /auth/login', evil, { name: 'ada', password }))
        assert.equal(login2.statusCode, 403)
        assert.equal((await ask(event('POST /auth/refresh', { ...ownPage, cookie }))).statusCode, 200)
        assert.deepEqual(
          told.map((one) => (one as Warning).code),
          ['DAYPASS_ORIGIN_UNLISTED'],
          'of the other page alone',
        )
      })
    }
  }
})

test('daypass/fetch behind a server of node:http reads a body that middleware has not read', async (t) => {
  const { auth } = makeDaypass()
  const web = createFetchAuth(auth, { authenticate })
  const server: Running = await listen(overFetch(async (request, ip) => (await web.routes(request, { ip }))!))
  t.after(() => server.close())
  const { json } = await signInBody(server.origin)
  assert.equal((await refreshBody(server.origin, json.refreshToken, newKey())).status, 200)
})
