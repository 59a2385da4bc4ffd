// What is NestJS's own: its container, a guard for the whole app, decorators on classes, versions and exceptions.

import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import {
  type ArgumentsHost,
  Body,
  Controller,
  type DynamicModule,
  Get,
  type HttpException,
  type INestApplication,
  Inject,
  Injectable,
  Module,
  Post,
  Req,
  Res,
  VersioningType,
} from '@nestjs/common'
import { APP_GUARD, NestFactory } from '@nestjs/core'
import { ExecutionContextHost } from '@nestjs/core/helpers/execution-context-host.js'
import { ExpressAdapter } from '@nestjs/platform-express'
import { FastifyAdapter } from '@nestjs/platform-fastify'
import {
  type AccessToken,
  Auth,
  createNestAuth,
  createRequireAuth,
  DaypassGuard,
  DaypassModule,
  NestAuth,
  Public,
  RequireAuth,
} from '../../src/adapters/nest.ts'
import {
  assertRefused,
  authenticate,
  bearer,
  call,
  makeDaypass,
  ownPage,
  password,
  type Role,
  refreshBody,
  running,
  signInBody,
} from '../http/server.ts'
import { decorate } from './apps.ts'

type Setup = (app: INestApplication) => unknown
type Start = (t: TestContext, module: Omit<DynamicModule, 'module'>, setup?: Setup) => Promise<string>

const startWith =
  (createAdapter: () => ExpressAdapter | FastifyAdapter): Start =>
  async (t, module, setup) => {
    const app = await NestFactory.create({ module: class App {}, ...module }, createAdapter(), {
      logger: false,
      abortOnError: false,
    })
    await setup?.(app)
    await app.listen(0, '127.0.0.1')
    t.after(() => app.close())
    return running(app.getHttpServer()).origin
  }

/** A controller of paths that all respond with the subject of their token. */
function createController(
  path: string,
  ofClass: ClassDecorator[],
  ofPaths: Record<string, MethodDecorator[]>,
  version?: string,
) {
  class Paths {}
  for (const [name, decorators] of Object.entries(ofPaths)) {
    Object.assign(Paths.prototype, {
      [name]: (token?: AccessToken<Role>) => ({ subject: token?.subject ?? null }),
    })
    decorate(Paths, name, [Get(name), ...decorators], Auth())
  }
  Controller(version === undefined ? { path } : { path, version })(Paths)
  for (const of of ofClass.toReversed()) of(Paths)
  return Paths
}

for (const [platform, start] of Object.entries({
  Express: startWith(() => new ExpressAdapter()),
  Fastify: startWith(() => new FastifyAdapter()),
})) {
  describe(`NestJS on ${platform}`, () => {
    test('as the guard of the whole app: every path is closed but those with @Public(), and the routes', async (t) => {
      const { auth } = makeDaypass()
      const web = createNestAuth(auth, { authenticate })
      const origin = await start(t, {
        imports: [DaypassModule.forRoot(web)],
        controllers: [
          createController('closed', [], { plain: [], open: [Public()] }),
          createController('public', [Public()], {
            plain: [],
            closed: [RequireAuth()],
            bare: [RequireAuth as MethodDecorator],
          }),
        ],
        providers: [{ provide: APP_GUARD, useClass: DaypassGuard }],
      })
      const { json } = await signInBody(origin)
      const headers = bearer(json.accessToken)
      for (const path of ['/closed/plain', '/public/closed', '/public/bare']) {
        assertRefused(await call(origin, `GET ${path}`), 401, 'ERR_ACCESS_TOKEN_MISSING')
        assert.deepEqual((await call(origin, `GET ${path}`, { headers })).json, { subject: 'ada' })
      }
      for (const path of ['/closed/open', '/public/plain']) {
        assert.deepEqual((await call(origin, `GET ${path}`)).json, { subject: null })
      }
      assert.equal((await refreshBody(origin, json.refreshToken)).status, 200)
    })

    test('a guard of a class and one of its method must both let in, and @Public() opens a method alone', async (t) => {
      const { auth } = makeDaypass()
      const web = createNestAuth(auth)
      const origin = await start(t, {
        imports: [DaypassModule.forRoot(web)],
        controllers: [
          createController('reports', [web.requireAuth({ scope: 'reports' })], {
            list: [],
            admin: [web.requireAuth({ allow: ({ claims }) => claims.role === 'admin' })],
            help: [Public()],
          }),
          createController('bare', [web.requireAuth as ClassDecorator], { list: [] }),
        ],
      })
      const tokenOf = async (role: string, scope?: string) =>
        bearer((await auth.issue('ada', { claims: { role }, ...(scope && { scope }) })).accessToken)
      const ask = async (path: string, headers = {}) => (await call(origin, `GET ${path}`, { headers })).status
      assert.equal(await ask('/reports/list', await tokenOf('member', 'reports')), 200)
      assert.equal(await ask('/reports/list', await tokenOf('admin')), 403)
      assert.equal(await ask('/reports/admin', await tokenOf('member', 'reports')), 403)
      assert.equal(await ask('/reports/admin', await tokenOf('admin')), 403)
      assert.equal(await ask('/reports/admin', await tokenOf('admin', 'reports')), 200)
      assert.equal(await ask('/reports/help'), 200)
      assert.equal(await ask('/bare/list'), 401)
      assert.equal(await ask('/bare/list', await tokenOf('member')), 200)
    })

    test('the adapter is made of services of the app, and is injected into its controllers', async (t) => {
      class Users {
        find = (name: string) => ({ claims: { role: 'found' }, user: { name } })
      }
      Injectable()(Users)
      class UsersModule {}
      Module({ providers: [Users], exports: [Users] })(UsersModule)
      class Login {
        readonly web: NestAuth<Role>
        constructor(web: NestAuth<Role>) {
          this.web = web
        }
        async login(body: { name: string }, req: object, res: object) {
          await this.web.signIn(req, res, { subject: body.name, claims: { role: 'own' } }, { transport: 'body' })
        }
        async typed(req: object, res: object) {
          // @ts-expect-error: a role is a text
          await this.web.signIn(req, res, { subject: 'ada', claims: { role: 1 } })
        }
      }
      Controller()(Login)
      Inject(NestAuth)(Login, undefined, 0)
      decorate(Login, 'login', [Post('login')], Body(), Req(), Res())
      const origin = await start(t, {
        imports: [
          DaypassModule.forRootAsync({
            imports: [UsersModule],
            inject: [Users],
            async useFactory(users: Users) {
              return createNestAuth(makeDaypass({ findSubject: users.find }).auth)
            },
          }),
        ],
        controllers: [Login],
      })
      const { json } = await call(origin, 'POST /login', { json: { name: 'ada' } })
      const next = await refreshBody(origin, json.refreshToken)
      assert.deepEqual([next.json.user, next.json.session.claims], [{ name: 'ada' }, { role: 'found' }])
    })

    test('a rejection is an exception that the filters of the app see, with the headers set', async (t) => {
      const { auth } = makeDaypass()
      const web = createNestAuth(auth, { origins: ['https://app.test'] })
      const seen: unknown[] = []
      const filter = {
        catch(error: HttpException, host: ArgumentsHost) {
          seen.push(error.getResponse())
          host.switchToHttp().getResponse().status(error.getStatus()).send({ mine: true })
        },
      }
      const origin = await start(
        t,
        { imports: [DaypassModule.forRoot(web)], controllers: [createController('', [], { me: [RequireAuth()] })] },
        (app) => app.useGlobalFilters(filter),
      )
      const answer = await call(origin, 'GET /me')
      assert.deepEqual([answer.status, answer.json], [401, { mine: true }])
      assert.equal(answer.headers['www-authenticate'], 'Bearer')
      assert.equal(answer.headers['cache-control'], 'no-store')
      assert.equal((seen[0] as { code: string }).code, 'ERR_ACCESS_TOKEN_MISSING')
    })

    test('with versions of URLs the routes keep their addresses', async (t) => {
      const { auth } = makeDaypass()
      const web = createNestAuth(auth, { authenticate })
      const origin = await start(
        t,
        {
          imports: [DaypassModule.forRoot(web)],
          controllers: [createController('', [], { me: [RequireAuth()] }, '2')],
        },
        (app) => app.setGlobalPrefix('api').enableVersioning({ type: VersioningType.URI, defaultVersion: '1' }),
      )
      const { json } = await signInBody(origin, 'ada', '/api/auth/login')
      assert.equal((await call(origin, 'GET /api/v2/me', { headers: bearer(json.accessToken) })).json.subject, 'ada')
      assert.equal((await call(origin, 'GET /api/.well-known/jwks.json')).json.keys.length, 1)
    })

    test('cookies and Vary that the app has set stay beside Daypass’s', async (t) => {
      const { auth } = makeDaypass()
      const web = createNestAuth(auth, { origins: ['https://app.test'] })
      class Login {
        async login(req: object, res: { header(name: string, value: string): unknown }) {
          res.header('set-cookie', 'theme=dark')
          res.header('vary', 'Accept-Encoding')
          res.header('cache-control', 'public')
          await web.signIn(req, res, { subject: 'ada', claims: { role: 'own' } })
        }
      }
      Controller()(Login)
      decorate(Login, 'login', [Post('login')], Req(), Res())
      const controllers = [Login, createController('', [], { me: [RequireAuth()] })]
      const setVary: Setup = (app) =>
        app.use((_req: unknown, res: { setHeader(name: string, value: string): void }, next: () => void) => {
          res.setHeader('vary', 'Accept-Encoding')
          next()
        })
      const origin = await start(t, { imports: [DaypassModule.forRoot(web)], controllers }, setVary)
      const signedIn = await fetch(`${origin}/login`, { method: 'POST', headers: ownPage })
      const [theme, session] = signedIn.headers.getSetCookie()
      assert.equal(theme, 'theme=dark')
      assert.match(session!, /^daypass-\d+=dpr_/)
      assert.equal(signedIn.headers.get('cache-control'), 'no-store')
      const varies = [signedIn.headers.get('vary'), (await call(origin, 'GET /me')).headers.vary]
      assert.deepEqual(varies, ['Accept-Encoding, Origin', 'Accept-Encoding, Origin'])
    })

    test('a guard alone needs no module', async (t) => {
      const { auth } = makeDaypass()
      const ofVerifier = createRequireAuth(auth)
      const origin = await start(t, {
        controllers: [createController('', [], { all: [ofVerifier()], some: [ofVerifier({ scope: 'orders' })] })],
      })
      const { accessToken } = await auth.issue('ada', { claims: { role: 'x' } })
      assert.deepEqual((await call(origin, 'GET /all', { headers: bearer(accessToken) })).json, { subject: 'ada' })
      assertRefused(await call(origin, 'GET /some', { headers: bearer(accessToken) }), 403, 'ERR_SCOPE_INSUFFICIENT')
    })

    test('a proxy that is named, or that the platform trusts, says who signs in', async (t) => {
      const { auth } = makeDaypass()
      const web = createNestAuth(auth, { authenticate, trustedProxies: ['127.0.0.1'] })
      const origin = await start(t, { imports: [DaypassModule.forRoot(web)] })
      const headers = { 'x-forwarded-for': '203.0.113.7', 'x-forwarded-proto': 'https', 'x-forwarded-host': 'app.test' }
      const json = { name: 'ada', password, transport: 'body' }
      const answer = await call(origin, 'POST /auth/login', { headers, json })
      assert.equal(answer.json.session.device.ip, '203.0.113.7')
    })
  })
}

test('faults of the set-up are named: no adapter, and a guard of something that is no HTTP', async (t) => {
  const start = startWith(() => new ExpressAdapter())
  const wrong = DaypassModule.forRootAsync({ useFactory: () => ({}) as never })
  await assert.rejects(start(t, { imports: [wrong] }), { code: 'ERR_OPTION_INVALID', message: /createNestAuth/ })
  const guard = new DaypassGuard(createNestAuth(makeDaypass().auth))
  const context = new ExecutionContextHost([{}], class {}, () => {})
  context.setType('rpc')
  await assert.rejects(guard.canActivate(context), { code: 'ERR_OPTION_INVALID', message: /for HTTP/ })
})
