// One app on every adapter: Daypass's routes, guarded paths, and a login and a logout of the app's own.

import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { createRequire } from 'node:module'
import { Readable } from 'node:stream'
import type { ReadableStream } from 'node:stream/web'
import { serve } from '@hono/node-server'
import { getConnInfo } from '@hono/node-server/conninfo'
import {
  All,
  type ArgumentsHost,
  Body,
  Catch,
  Controller,
  Get,
  Header,
  NotFoundException,
  Post,
  Req,
  Res,
} from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { ExpressAdapter } from '@nestjs/platform-express'
import { FastifyAdapter } from '@nestjs/platform-fastify'
import express from 'express'
import fastify from 'fastify'
import { Hono } from 'hono'
import Koa from 'koa'
import { createExpressAuth } from '../../src/adapters/express.ts'
import { createFastifyAuth } from '../../src/adapters/fastify.ts'
import { createFetchAuth } from '../../src/adapters/fetch.ts'
import { createHonoAuth } from '../../src/adapters/hono.ts'
import { createKoaAuth } from '../../src/adapters/koa.ts'
import { Auth, createNestAuth, DaypassModule, RequireAuth } from '../../src/adapters/nest.ts'
import { createNodeAuth, type NodeOptions, type SignIn, type SignInOptions } from '../../src/adapters/node.ts'
import { type AccessToken, type Daypass, DaypassError, type FoundSession } from '../../src/index.ts'
import { listen, type Role, type Running, running } from '../http/server.ts'

// Express 4 brings no types of its own; what is used of it has the types of Express 5.
const require = createRequire(import.meta.url)
export const express4 = require('express4') as typeof express
// Its types would change those of node:http for everybody.
const { bodyParser } = require('@koa/bodyparser') as { bodyParser(options: object): Koa.Middleware }

/** Starts the app on an adapter. */
export type Start = (auth: Daypass<Role>, options: NodeOptions<Role>) => Promise<Running>

/** The body of the app's own login. */
interface OwnLogin {
  name: string
  given?: SignInOptions & Partial<Omit<SignIn<Role>, 'subject'>>
}

/** The person and the options of the app's own login. */
function readOwnLogin({ name, given = {} }: OwnLogin): [person: SignIn<Role>, options: SignInOptions] {
  const { transport, ...more } = given
  return [{ subject: name, claims: { role: 'own' }, ...more }, transport === undefined ? {} : { transport }]
}

/** A sign-in that leads on to a page, as of a form or a callback: its options are in the query, as JSON. */
function readArrival(url: string): [person: SignIn<Role>, options: SignInOptions] {
  const query = new URL(url, 'http://app.test').searchParams
  const options = JSON.parse(query.get('options') ?? '{}') as SignInOptions
  return [{ subject: query.get('name') ?? 'ada', claims: { role: 'own' } }, options]
}

const scope = 'reports:read'
const maxAge = 60
/** Lets in one role at once and one later, and fails for two. */
const allow = ({ claims }: AccessToken<Role>): boolean | Promise<boolean> => {
  if (claims.role === 'broken') throw new Error('hunter2')
  if (claims.role === 'away') return Promise.reject(new DaypassError('ERR_OVERLOADED'))
  return claims.role === 'late' ? Promise.resolve(true) : claims.role === 'admin'
}
const found = (token: AccessToken<Role>) => ({ subject: token.subject, role: token.claims.role })
/** A page that is rendered on the server: who is there, and an access token for its own calls. */
const render = async (session: FoundSession<Role> | null) =>
  session && {
    subject: session.subject,
    role: session.claims.role,
    user: session.user,
    accessToken: await session.createAccessToken(),
  }

export const startNode: Start = (auth, options) => {
  const web = createNodeAuth(auth, options)
  const me = web.requireAuth((req, res) => sendJson(res, 200, found(req.auth)))
  const recent = web.requireAuth((req, res) => sendJson(res, 200, found(req.auth)), { maxAge })
  const admins = web.requireAuth((req, res) => sendJson(res, 200, found(req.auth)), { allow })
  const checkReports = web.requireAuth({ scope })
  return listen(async (req, res) => {
    if (await web.routes(req, res)) return
    const path = req.url!.split('?', 1)[0]!
    if (path === '/own-login') {
      const [person, options] = readOwnLogin((await readJson(req)) as OwnLogin)
      return web.signIn(req, res, person, options)
    }
    if (path === '/arrival') return web.signIn(req, res, ...readArrival(req.url!))
    if (path === '/own-logout') return web.signOut(req, res)
    if (path === '/departure') return web.signOut(req, res, readArrival(req.url!)[1])
    if (path === '/page') return sendJson(res, 200, await render(await web.findSession(req)))
    if (path === '/me') return me(req, res)
    if (path === '/recent') return recent(req, res)
    if (path === '/admins') return admins(req, res)
    if (path !== '/reports' && path !== '/bare') return sendJson(res, 404, { code: 'APP_NOT_FOUND' })
    const token = await (path === '/bare' ? web.requireAuth(req, res) : checkReports(req, res))
    if (token) sendJson(res, 200, found(token))
  })
}

/** Express, 5 or 4; `parser` puts `express.json()` before Daypass, as most apps have it. */
export const startExpress =
  (create: typeof express, parser: boolean): Start =>
  (auth, options) => {
    const web = createExpressAuth(auth, options)
    const app = create()
    if (parser) app.use(create.json())
    app.use(web.routes)
    app.post('/own-login', create.json(), async (req, res) => {
      await web.signIn(req, res, ...readOwnLogin(req.body))
    })
    app.all('/arrival', (req, res) => web.signIn(req, res, ...readArrival(req.url)))
    app.post('/own-logout', web.signOut)
    app.post('/departure', (req, res) => web.signOut(req, res, readArrival(req.url)[1]))
    app.get('/page', async (req, res) => void res.json(await render(await web.findSession(req))))
    app.get(
      '/me',
      web.requireAuth((req, res) => res.json(found(req.auth))),
    )
    app.get('/reports', web.requireAuth({ scope }), (req, res) => void res.json(found(req.auth as AccessToken<Role>)))
    app.get(
      '/recent',
      web.requireAuth((req, res) => res.json(found(req.auth)), { maxAge }),
    )
    app.get(
      '/admins',
      web.requireAuth((req, res) => res.json(found(req.auth)), { allow }),
    )
    app.get('/bare', web.requireAuth, (req, res) => void res.json(found(req.auth as AccessToken<Role>)))
    app.use((_req, res) => void res.status(404).json({ code: 'APP_NOT_FOUND' }))
    return listen(app)
  }

/** Fastify with its own parser of JSON. Daypass's routes run before it. */
export const startFastify: Start = async (auth, options) => {
  const web = createFastifyAuth(auth, options)
  const app = fastify()
  app.register(web.routes)
  app.post<{ Body: OwnLogin }>('/own-login', async (request, reply) => {
    await web.signIn(request, reply, ...readOwnLogin(request.body))
  })
  app.addContentTypeParser('application/x-www-form-urlencoded', (_request, body, done) => {
    body.resume().once('end', () => done(null))
  })
  app.all('/arrival', (request, reply) => web.signIn(request, reply, ...readArrival(request.url)))
  app.post('/own-logout', web.signOut)
  app.post('/departure', (request, reply) => web.signOut(request, reply, readArrival(request.url)[1]))
  app.get('/page', async (request, reply) =>
    reply.type('application/json').send(JSON.stringify(await render(await web.findSession(request)))),
  )
  app.get(
    '/me',
    web.requireAuth((request) => found(request.auth)),
  )
  app.get('/reports', { preHandler: web.requireAuth({ scope }) }, async (request) =>
    found(request.auth as AccessToken<Role>),
  )
  app.get(
    '/recent',
    web.requireAuth((request) => found(request.auth), { maxAge }),
  )
  app.get(
    '/admins',
    web.requireAuth((request) => found(request.auth), { allow }),
  )
  app.get('/bare', { preHandler: web.requireAuth }, async (request) => found(request.auth as AccessToken<Role>))
  app.setNotFoundHandler(async (_request, reply) => reply.code(404).send({ code: 'APP_NOT_FOUND' }))
  await app.listen({ port: 0, host: '127.0.0.1' })
  return running(app.server)
}

export const startFetch: Start = (auth, options) => {
  const web = createFetchAuth(auth, options)
  const me = web.requireAuth(({ auth }) => Response.json(found(auth)))
  const recent = web.requireAuth(({ auth }) => Response.json(found(auth)), { maxAge })
  const admins = web.requireAuth(({ auth }) => Response.json(found(auth)), { allow })
  const checkReports = web.requireAuth({ scope })
  const app = async (request: Request, ip?: string): Promise<Response> => {
    const answer = await web.routes(request, { ip })
    if (answer) return answer
    const { pathname } = new URL(request.url)
    if (pathname === '/own-login') {
      const [person, options] = readOwnLogin((await request.json()) as OwnLogin)
      return web.signIn(request, person, { ...options, ip })
    }
    if (pathname === '/arrival') {
      const [person, options] = readArrival(request.url)
      return web.signIn(request, person, { ...options, ip })
    }
    if (pathname === '/own-logout') return web.signOut(request, { ip })
    if (pathname === '/departure') return web.signOut(request, { ...readArrival(request.url)[1], ip })
    if (pathname === '/page') return Response.json(await render(await web.findSession(request, { ip })))
    if (pathname === '/me') return me(request)
    if (pathname === '/recent') return recent(request)
    if (pathname === '/admins') return admins(request)
    if (pathname !== '/reports' && pathname !== '/bare') {
      return Response.json({ code: 'APP_NOT_FOUND' }, { status: 404 })
    }
    const token = await (pathname === '/bare' ? web.requireAuth(request) : checkReports(request))
    return token instanceof Response ? token : Response.json(found(token))
  }
  return listen(overFetch(app))
}

/** Decorates a method and its parameters, as TypeScript does: Node runs no decorators. */
export function decorate(
  type: any,
  method: string,
  decorators: MethodDecorator[],
  ...parameters: ParameterDecorator[]
) {
  for (const [index, of] of parameters.entries()) of(type.prototype, method, index)
  const descriptor = Object.getOwnPropertyDescriptor(type.prototype, method)!
  for (const of of decorators.toReversed()) of(type.prototype, method, descriptor)
}

/** NestJS, on one of its platforms. */
export const startNest =
  (createAdapter: () => ExpressAdapter | FastifyAdapter): Start =>
  async (auth, options) => {
    const web = createNestAuth(auth, options)
    class Paths {
      ownLogin(req: any, res: any, body: OwnLogin) {
        return web.signIn(req, res, ...readOwnLogin(body))
      }
      arrival(req: any, res: any) {
        return web.signIn(req, res, ...readArrival(req.url))
      }
      ownLogout(req: any, res: any) {
        return web.signOut(req, res)
      }
      departure(req: any, res: any) {
        return web.signOut(req, res, readArrival(req.url)[1])
      }
      async page(req: any) {
        return JSON.stringify(await render(await web.findSession(req)))
      }
      me(token: AccessToken<Role>) {
        return found(token)
      }
      reports(token: AccessToken<Role>) {
        return found(token)
      }
      recent(token: AccessToken<Role>) {
        return found(token)
      }
      admins(token: AccessToken<Role>) {
        return found(token)
      }
      bare(token: AccessToken<Role>) {
        return found(token)
      }
    }
    Controller()(Paths)
    decorate(Paths, 'ownLogin', [Post('own-login')], Req(), Res(), Body())
    decorate(Paths, 'arrival', [All('arrival')], Req(), Res())
    decorate(Paths, 'ownLogout', [Post('own-logout')], Req(), Res())
    decorate(Paths, 'departure', [Post('departure')], Req(), Res())
    decorate(Paths, 'page', [Get('page'), Header('content-type', 'application/json')], Req())
    decorate(Paths, 'me', [Get('me'), RequireAuth()], Auth())
    decorate(Paths, 'reports', [Get('reports'), RequireAuth({ scope })], Auth())
    decorate(Paths, 'recent', [Get('recent'), web.requireAuth({ maxAge })], Auth())
    decorate(Paths, 'admins', [Get('admins'), web.requireAuth({ allow })], Auth())
    decorate(Paths, 'bare', [Get('bare'), RequireAuth as MethodDecorator], Auth())
    class NotFound {
      catch(error: NotFoundException, host: ArgumentsHost) {
        const response = host.switchToHttp().getResponse()
        response.status(error.getStatus()).send({ code: 'APP_NOT_FOUND' })
      }
    }
    Catch(NotFoundException)(NotFound)
    const module = { module: class App {}, imports: [DaypassModule.forRoot(web)], controllers: [Paths] }
    const app = await NestFactory.create(module, createAdapter(), { logger: false })
    app.useGlobalFilters(new NotFound())
    await app.listen(0, '127.0.0.1')
    return running(app.getHttpServer())
  }

/** Koa without a router; `parser` puts its body parser before Daypass. */
export const startKoa =
  (parser: boolean): Start =>
  (auth, options) => {
    const web = createKoaAuth(auth, options)
    const app = new Koa()
    const ofJson = bodyParser({ enableTypes: ['json'] })
    if (parser) app.use(ofJson)
    app.use(web.routes)
    const at = (path: string, ...handlers: Koa.Middleware[]) => {
      for (const handler of handlers) app.use((ctx, next) => (ctx.path === path ? handler(ctx, next) : next()))
    }
    const show: Koa.Middleware = (ctx) => {
      ctx.body = found(ctx.state.auth)
    }
    at('/own-login', ofJson, (ctx) =>
      web.signIn(ctx, ...readOwnLogin((ctx.request as { body?: unknown }).body as OwnLogin)),
    )
    at('/arrival', (ctx) => web.signIn(ctx, ...readArrival(ctx.url)))
    at('/own-logout', web.signOut)
    at('/departure', (ctx) => web.signOut(ctx, readArrival(ctx.url)[1]))
    at('/page', async (ctx) => {
      ctx.type = 'json'
      ctx.body = JSON.stringify(await render(await web.findSession(ctx)))
    })
    at(
      '/me',
      web.requireAuth((ctx) => {
        ctx.body = found(ctx.state.auth)
      }),
    )
    at('/reports', web.requireAuth({ scope }), show)
    at('/recent', web.requireAuth(show, { maxAge }))
    at('/admins', web.requireAuth({ allow }), show)
    at('/bare', web.requireAuth, show)
    app.use((ctx) => {
      ctx.status = 404
      ctx.body = { code: 'APP_NOT_FOUND' }
    })
    return listen(app.callback())
  }

/** A Hono app. */
function createHonoApp(auth: Daypass<Role>, options: Parameters<typeof createHonoAuth<Role>>[1]) {
  const web = createHonoAuth(auth, options)
  const app = new Hono()
  app.use(web.routes)
  app.post('/own-login', async (c) => web.signIn(c, ...readOwnLogin(await c.req.json())))
  app.all('/arrival', (c) => web.signIn(c, ...readArrival(c.req.url)))
  app.post('/own-logout', web.signOut)
  app.post('/departure', (c) => web.signOut(c, readArrival(c.req.url)[1]))
  app.get('/page', async (c) => c.json(await render(await web.findSession(c))))
  app.get(
    '/me',
    web.requireAuth((c) => c.json(found(c.get('auth')))),
  )
  app.get('/reports', web.requireAuth({ scope }), (c) => c.json(found(c.get('auth'))))
  app.get(
    '/recent',
    web.requireAuth((c) => c.json(found(c.get('auth'))), { maxAge }),
  )
  app.get('/admins', web.requireAuth({ allow }), (c) => c.json(found(c.get('auth'))))
  app.get('/bare', web.requireAuth, (c) => c.json(found(c.get('auth'))))
  app.notFound((c) => c.json({ code: 'APP_NOT_FOUND' }, 404))
  return app
}

/** Hono on its server for Node. */
export const startHono: Start = async (auth, options) => {
  const app = createHonoApp(auth, { ...options, getConnInfo })
  return new Promise((resolve) => {
    const server = serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' }, () => resolve(running(server as Server)))
  })
}

/** Hono through its own fetch, on a runtime that tells the address in a binding of its own. */
export const startHonoFetch: Start = (auth, options) => {
  const app = createHonoApp(auth, { ...options, getConnInfo: (c) => ({ remote: { address: c.env.ip } }) })
  return listen(overFetch(async (request, ip) => app.fetch(request, { ip })))
}

/** Serves a fetch handler on node:http. */
export function overFetch(app: (request: Request, ip?: string) => Promise<Response>) {
  return async (req: IncomingMessage, res: ServerResponse) => {
    const headers = new Headers()
    for (let index = 0; index < req.rawHeaders.length; index += 2) {
      headers.append(req.rawHeaders[index]!, req.rawHeaders[index + 1]!)
    }
    const gone = new AbortController()
    res.once('close', () => gone.abort())
    const hasBody = req.method !== 'GET' && req.method !== 'HEAD'
    const url = req.url!.startsWith('/') ? `http://${req.headers.host}${req.url}` : req.url!
    const request = new Request(url, {
      method: req.method!,
      headers,
      signal: gone.signal,
      ...(hasBody && { body: Readable.toWeb(req) as ReadableStream as globalThis.ReadableStream, duplex: 'half' }),
    })
    const response = await app(request, req.socket.remoteAddress)
    const cookies = response.headers.getSetCookie()
    const others = [...response.headers].filter(([name]) => name !== 'set-cookie')
    if (cookies.length > 0) res.setHeader('set-cookie', cookies)
    res.writeHead(response.status, Object.fromEntries(others))
    res.end(Buffer.from(await response.arrayBuffer()))
  }
}

/** Every way to serve Daypass. */
export const adapters: Record<string, Start> = {
  'node:http': startNode,
  'Express 5 after express.json()': startExpress(express, true),
  'Express 5 alone': startExpress(express, false),
  'Express 4 after express.json()': startExpress(express4, true),
  'Express 4 alone': startExpress(express4, false),
  'Fastify 5': startFastify,
  fetch: startFetch,
  'Koa 3 after its body parser': startKoa(true),
  'Koa 3 alone': startKoa(false),
  'NestJS on Express': startNest(() => new ExpressAdapter()),
  'NestJS on Fastify': startNest(() => new FastifyAdapter()),
  'Hono on Node': startHono,
  'Hono through fetch': startHonoFetch,
}

function sendJson(res: ServerResponse, status: number, body: unknown): void {
  res.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}

async function readJson(req: IncomingMessage): Promise<unknown> {
  return JSON.parse(Buffer.concat(await req.toArray()).toString())
}
