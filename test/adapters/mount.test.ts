// The routes under a prefix: mounted by a framework, or behind a proxy that removes it. Each route has one address.

import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import type { ArgumentsHost } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { ExpressAdapter } from '@nestjs/platform-express'
import { FastifyAdapter } from '@nestjs/platform-fastify'
import express from 'express'
import { type FastifyInstance, fastify } from 'fastify'
import { Hono } from 'hono'
import Koa from 'koa'
import mount from 'koa-mount'
import { createExpressAuth } from '../../src/adapters/express.ts'
import { createFastifyAuth } from '../../src/adapters/fastify.ts'
import { createFetchAuth } from '../../src/adapters/fetch.ts'
import { createHonoAuth, type HonoAuth } from '../../src/adapters/hono.ts'
import { createKoaAuth } from '../../src/adapters/koa.ts'
import { createNestAuth, DaypassModule } from '../../src/adapters/nest.ts'
import { createNodeAuth, type NodeOptions, type Route } from '../../src/adapters/node.ts'
import { createClient } from '../../src/client/index.ts'
import type { Daypass, Warning } from '../../src/index.ts'
import { createVerifier } from '../../src/verify/index.ts'
import { nginxMissing, startNginx } from '../engines/nginx.ts'
import {
  authenticate,
  bearer,
  call,
  listen,
  makeDaypass,
  password,
  type Role,
  refreshBody,
  running,
} from '../http/server.ts'
import { express4, overFetch } from './apps.ts'

type Options = NodeOptions<Role>
/** Starts an app with the routes under a prefix; its origin. */
type Start = (t: TestContext, auth: Daypass<Role>, options: Options, prefix: string) => Promise<string>

const notFound = (_req: unknown, res: express.Response) => void res.status(404).json({ code: 'APP_NOT_FOUND' })

const onExpress =
  (create: typeof express, nested: boolean): Start =>
  async (t, auth, options, prefix) => {
    const web = createExpressAuth(auth, options)
    const app = create().use(express.json())
    // A router within a router: both have a part of the prefix.
    const [, outer, inner] = /^(\/\w+)(.*)$/.exec(prefix)!
    if (nested) app.use(outer!, create.Router().use(inner || '/', web.routes))
    else app.use(prefix, web.routes)
    const server = await listen(app.use(notFound))
    t.after(() => server.close())
    return server.origin
  }

const onFastify =
  (register: (app: FastifyInstance, routes: any, prefix: string) => unknown): Start =>
  async (t, auth, options, prefix) => {
    const app = fastify()
    register(app, createFastifyAuth(auth, options).routes, prefix)
    app.setNotFoundHandler(async (_request, reply) => reply.code(404).send({ code: 'APP_NOT_FOUND' }))
    await app.listen({ port: 0, host: '127.0.0.1' })
    t.after(() => app.close())
    return running(app.server).origin
  }

const onHono =
  (use: (app: Hono, routes: HonoAuth['routes'], prefix: string) => unknown): Start =>
  async (t, auth, options, prefix) => {
    const app = new Hono()
    use(app, createHonoAuth(auth, options).routes, prefix)
    app.notFound((c) => c.json({ code: 'APP_NOT_FOUND' }, 404))
    const server = await listen(overFetch(async (request) => app.fetch(request)))
    t.after(() => server.close())
    return server.origin
  }

const onNest =
  (createAdapter: () => ExpressAdapter | FastifyAdapter): Start =>
  async (t, auth, options, prefix) => {
    const module = { module: class App {}, imports: [DaypassModule.forRoot(createNestAuth(auth, options))] }
    const app = await NestFactory.create(module, createAdapter(), { logger: false })
    app.setGlobalPrefix(prefix)
    app.useGlobalFilters({
      catch: (_error: unknown, host: ArgumentsHost) =>
        host.switchToHttp().getResponse().status(404).send({ code: 'APP_NOT_FOUND' }),
    })
    await app.listen(0, '127.0.0.1')
    t.after(() => app.close())
    return running(app.getHttpServer()).origin
  }

const starts: Record<string, Start> = {
  'Express 5': onExpress(express, false),
  'Express 5, a router in a router': onExpress(express, true),
  'Express 4': onExpress(express4, false),
  'Express 4, a router in a router': onExpress(express4, true),
  'Fastify, registered with a prefix': onFastify((app, routes, prefix) => app.register(routes, { prefix })),
  'Fastify, in a plugin with a prefix': onFastify((app, routes, prefix) =>
    app.register(async (scope) => void scope.register(routes), { prefix }),
  ),
  'Fastify, in a plugin, each with a part of the prefix': onFastify((app, routes, prefix) => {
    const [, outer, inner] = /^(\/\w+)(.*)$/.exec(prefix)!
    app.register(async (scope) => void scope.register(routes, { prefix: inner! }), { prefix: outer! })
  }),
  'NestJS on Express, with a global prefix': onNest(() => new ExpressAdapter()),
  'NestJS on Fastify, with a global prefix': onNest(() => new FastifyAdapter()),
  'Hono, used with a prefix': onHono((app, routes, prefix) => app.use(`${prefix}/*`, routes)),
  'Hono, an app with a base path': onHono((app, routes, prefix) =>
    app.route('/', new Hono().basePath(prefix).use(routes)),
  ),
  'Hono, an app in an app, each with a part of the prefix': onHono((app, routes, prefix) => {
    const [, outer, inner] = /^(\/\w+)(.*)$/.exec(prefix)!
    app.route(outer!, new Hono().use(`${inner}/*`, routes))
  }),
  'Hono, mounted with a method each': onHono((app, routes, prefix) =>
    app.on(['GET', 'POST', 'PUT', 'DELETE'], `${prefix}/*`, routes),
  ),
  async 'Koa, under koa-mount'(t, auth, options, prefix) {
    const app = new Koa().use(mount(prefix, createKoaAuth(auth, options).routes))
    app.use((ctx) => {
      ctx.status = 404
      ctx.body = { code: 'APP_NOT_FOUND' }
    })
    const server = await listen(app.callback())
    t.after(() => server.close())
    return server.origin
  },
  async 'node:http in an Express app'(t, auth, options, prefix) {
    const web = createNodeAuth(auth, options)
    const app = express().use(prefix, async (req, res, next) => {
      if (!(await web.routes(req, res))) next()
    })
    const server = await listen(app.use(notFound))
    t.after(() => server.close())
    return server.origin
  },
}

/** A prefix with a base path, where the routes then are, and addresses that would pass by a rate limiter before them. */
const cases: { prefix: string; basePath?: string; base: string; others: string[] }[] = [
  { prefix: '/api', base: '/api/auth', others: ['/auth', '/api', '/api/api/auth'] },
  { prefix: '/api/v1', base: '/api/v1/auth', others: ['/auth', '/api/auth'] },
  { prefix: '/auth', base: '/auth', others: ['/auth/auth', ''] },
  { prefix: '/api/auth', base: '/api/auth', others: ['/auth', '/api/auth/auth'] },
  { prefix: '/api', basePath: '/api/auth', base: '/api/auth', others: ['/auth', '/api/api/auth'] },
  { prefix: '/api', basePath: '', base: '/api', others: ['', '/api/api'] },
  { prefix: '/api', basePath: '/sign/in', base: '/api/sign/in', others: ['/sign/in', '/api/in'] },
]

const routes: Route<Role>[] = [
  {
    method: 'GET',
    path: '/things/:name',
    access: 'page',
    run: ({ params, request }) => ({ body: { name: params.name, path: request.path } }),
  },
]

for (const [name, start] of Object.entries(starts)) {
  describe(name, () => {
    for (const { prefix, basePath, base, others } of cases) {
      const given = basePath === undefined ? '' : `, basePath '${basePath}'`
      test(`prefix ${prefix}${given}: the routes are below ${base}, the keys below the prefix, and nowhere else`, async (t) => {
        const made = makeDaypass()
        const origin = await start(
          t,
          made.auth,
          { authenticate, routes, ...(basePath !== undefined && { basePath }) },
          prefix,
        )
        const json = { name: 'ada', password, transport: 'body' }
        const login = await call(origin, `POST ${base}/login`, { json })
        assert.equal(login.status, 200, login.text)
        const refresh = await refreshBody(origin, login.json.refreshToken, undefined, `${base}/refresh`)
        assert.equal(refresh.status, 200, refresh.text)
        const headers = bearer(refresh.json.accessToken)
        const { sessions } = (await call(origin, `GET ${base}/sessions`, { headers })).json
        assert.equal(sessions.length, 1)
        assert.equal((await call(origin, `PUT ${base}/sessions`, { headers })).headers.allow, 'GET, DELETE')
        assert.equal((await call(origin, `DELETE ${base}/sessions/${sessions[0].id}`, { headers })).status, 204)
        const thing = await call(origin, `GET ${prefix}/things/pen?x=1`)
        assert.deepEqual(thing.json, { name: 'pen', path: `${prefix}/things/pen` })

        const jwks = `${origin}${prefix}/.well-known/jwks.json`
        const clock = () => Date.now() + made.time.offset
        const verifier = createVerifier<Role>({ issuer: 'https://id.test', jwks, clock })
        assert.equal((await verifier.verify(login.json.accessToken)).subject, 'ada')

        for (const other of others) {
          const answer = await call(origin, `POST ${other}/login`, { json })
          // Outside of its prefix NestJS leaves the 404 to Express, which sends no JSON.
          assert.deepEqual([answer.status, answer.json?.code ?? 'APP_NOT_FOUND'], [404, 'APP_NOT_FOUND'], other)
        }
        for (const path of ['/things/pen', `${prefix}${prefix}/things/pen`]) {
          assert.equal((await call(origin, `GET ${path}`)).status, 404, path)
        }
      })
    }
  })
}

test('each route has one address in whatever case a caller writes the mount: a rate limiter before it sees every call', async (t) => {
  const inEveryCase = (text: string) => [
    text,
    text.toUpperCase(),
    text.replace(/[a-z]/, (letter) => letter.toUpperCase()),
  ]
  for (const create of [express, express4 as typeof express]) {
    for (const { prefix, basePath, base } of cases) {
      const { auth } = makeDaypass()
      const web = createExpressAuth(auth, { authenticate, ...(basePath !== undefined && { basePath }) })
      let limited = 0
      const app = create()
      app.use(`${base}/login`, (_req, _res, next) => {
        limited++
        next()
      })
      const server = await listen(app.use(prefix, web.routes).use(notFound))
      t.after(() => server.close())
      const json = { name: 'ada', password, transport: 'body' }
      assert.equal((await call(server.origin, `POST ${base}/login`, { json })).status, 200)
      // Every way to write the mount, the base path, and the base path a second time.
      const bases = [base, `${prefix}${basePath ?? '/auth'}`, `${prefix}${base}`, `${prefix}${prefix}`, prefix]
      for (const written of new Set(
        bases.flatMap((each) =>
          inEveryCase(prefix).flatMap((mount) => inEveryCase(each.slice(prefix.length)).map((rest) => mount + rest)),
        ),
      )) {
        limited = 0
        const { status } = await call(server.origin, `POST ${written}/login`, { json })
        if (status !== 404) assert.equal(limited, 1, `${written}/login under ${prefix} is ${status}, past the limiter`)
      }
    }
  }
})

test('a Fastify plugin with a prefix keeps paths of its own beside the routes', async (t) => {
  const { auth } = makeDaypass()
  const web = createFastifyAuth(auth)
  const app = fastify()
  app.register(
    async (scope) => {
      scope.register(web.routes)
      scope.post<{ Body: { name: string } }>('/auth/login', async (request, reply) => {
        await web.signIn(request, reply, { subject: request.body.name, claims: { role: 'own' } }, { transport: 'body' })
      })
      scope.get('/me', { preHandler: web.requireAuth }, async (request) => ({ subject: request.auth?.subject }))
    },
    { prefix: '/api' },
  )
  await app.listen({ port: 0, host: '127.0.0.1' })
  t.after(() => app.close())
  const { origin } = running(app.server)
  const { json } = await call(origin, 'POST /api/auth/login', { json: { name: 'ada' } })
  assert.deepEqual((await call(origin, 'GET /api/me', { headers: bearer(json.accessToken) })).json, { subject: 'ada' })
  assert.equal((await refreshBody(origin, json.refreshToken, undefined, '/api/auth/refresh')).status, 200)
})

describe('behind a proxy that removes the prefix', { skip: nginxMissing }, () => {
  const servers: Record<string, (auth: Daypass<Role>, options: Options) => Parameters<typeof listen>[0]> = {
    'node:http': (auth, options) => {
      const web = createNodeAuth(auth, options)
      return (req, res) => void web.routes(req, res)
    },
    Express: (auth, options) => express().use(createExpressAuth(auth, options).routes),
    fetch: (auth, options) => {
      const web = createFetchAuth(auth, options)
      return overFetch(
        async (request, ip) => (await web.routes(request, { ip })) ?? new Response(null, { status: 404 }),
      )
    },
  }
  for (const [name, create] of Object.entries(servers)) {
    test(`${name}: a client whose baseUrl has the prefix signs in, refreshes and signs out; a verifier finds the keys`, async (t) => {
      const made = makeDaypass()
      const server = await listen(create(made.auth, { authenticate }))
      t.after(() => server.close())
      const nginx = await startNginx(`rewrite ^/api/(.*)$ /$1 break; proxy_pass ${server.origin};`, { tls: false })
      t.after(() => nginx.remove())
      const origin = `http://127.0.0.1:${nginx.port}`
      const client = createClient({ baseUrl: `${origin}/api/auth` })
      await client.signIn({ name: 'ada', password })
      const token = await client.getAccessToken({ forceFresh: true })
      const jwks = `${origin}/api/.well-known/jwks.json`
      assert.equal((await createVerifier({ issuer: 'https://id.test', jwks }).verify(token)).subject, 'ada')
      await client.signOut()
      assert.deepEqual(await made.auth.sessions('ada'), [])
    })
  }
})

describe('behind a proxy that keeps the prefix', () => {
  const serve = async (t: TestContext, options: Options = {}) => {
    const { auth } = makeDaypass()
    const warnings: Warning[] = []
    const onWarning = (warning: Warning) => void warnings.push(warning)
    const first = createNodeAuth(auth, { authenticate, onWarning, ...options })
    const second = createNodeAuth(auth, { authenticate, onWarning, basePath: '/shop/auth' })
    const server = await listen(async (req, res) => {
      if (!(await first.routes(req, res)) && !(await second.routes(req, res))) res.writeHead(404).end()
    })
    t.after(() => server.close())
    return { warnings, post: (path: string) => call(server.origin, `POST ${path}`, { json: {} }) }
  }

  test('a request for a route with a prefix is a warning, once, that says which base path to set', async (t) => {
    const { warnings, post } = await serve(t)
    for (let i = 0; i < 3; i++) assert.equal((await post('/backend/auth/refresh')).status, 404)
    assert.deepEqual(
      warnings.map(({ code }) => code),
      ['DAYPASS_PATH_UNKNOWN'],
    )
    assert.match(
      warnings[0]!.message,
      /'\/backend\/auth\/refresh' found no route: .*below '\/auth'.*`basePath: '\/backend\/auth'`/,
    )
  })

  test('another Daypass of the same process, and paths of the app’s own, are none', async (t) => {
    const { warnings, post } = await serve(t)
    assert.notEqual((await post('/shop/auth/refresh')).status, 404)
    for (const path of ['/refresh', '/api/refresh', '/auth/refreshes', '/api/oauth']) await post(path)
    assert.deepEqual(warnings, [])
    const atRoot = await serve(t, { basePath: '' })
    await atRoot.post('/api/login')
    assert.deepEqual(atRoot.warnings, [])
  })
})
