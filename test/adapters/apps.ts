// The same little app, told once for every adapter: Daypass's routes, three guarded ones, and a login of the app's own.

import type { IncomingMessage, ServerResponse } from 'node:http'
import { createRequire } from 'node:module'
import { Readable } from 'node:stream'
import type { ReadableStream } from 'node:stream/web'
import express from 'express'
import fastify from 'fastify'
import { createExpressAuth } from '../../src/adapters/express.ts'
import { createFastifyAuth } from '../../src/adapters/fastify.ts'
import { createFetchAuth } from '../../src/adapters/fetch.ts'
import { createNodeAuth, type NodeOptions, type SignInOptions } from '../../src/adapters/node.ts'
import type { AccessToken, Daypass } from '../../src/index.ts'
import { listen, type Role, type Running, running } from '../http/server.ts'

// Express 4 brings no types of its own; what is used of it has the types of Express 5.
export const express4 = createRequire(import.meta.url)('express4') as typeof express

/** What an adapter has to be told to serve the app. */
export type Start = (auth: Daypass<Role>, options: NodeOptions<Role>) => Promise<Running>

/** The app's own login takes this; whatever it was checked against is not Daypass's business. */
interface OwnLogin {
  name: string
  given?: SignInOptions<Role>
}

const scope = 'reports:read'
const maxAge = 60
const found = (token: AccessToken<Role>) => ({ subject: token.subject, role: token.claims.role })

export const startNode: Start = (auth, options) => {
  const web = createNodeAuth(auth, options)
  return listen(async (req, res) => {
    if (await web.handle(req, res)) return
    const path = req.url!.split('?', 1)[0]!
    if (path === '/own-login') {
      const { name, given } = (await readJson(req)) as OwnLogin
      return web.signIn(req, res, name, { role: 'own' }, given)
    }
    if (path === '/own-logout') return web.signOut(req, res)
    const needed = { '/me': {}, '/reports': { scope }, '/recent': { maxAge } }[path]
    if (needed === undefined) return sendJson(res, 404, { code: 'APP_NOT_FOUND' })
    const token = await web.authenticate(req, res, needed)
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
      const { name, given } = req.body as OwnLogin
      await web.signIn(req, res, name, { role: 'own' }, given)
    })
    app.post('/own-logout', web.signOut)
    app.get(
      '/me',
      web.requireAuth((req, res) => res.json(found(req.auth))),
    )
    app.get('/reports', web.requireAuth({ scope }), (req, res) => void res.json(found(req.auth!)))
    app.get(
      '/recent',
      web.requireAuth((req, res) => res.json(found(req.auth)), { maxAge }),
    )
    app.use((_req, res) => void res.status(404).json({ code: 'APP_NOT_FOUND' }))
    return listen(app)
  }

/** Fastify with its own parser of JSON, which Daypass's routes come before. */
export const startFastify: Start = async (auth, options) => {
  const web = createFastifyAuth(auth, options)
  const app = fastify()
  app.register(web.routes)
  app.post<{ Body: OwnLogin }>('/own-login', async (request, reply) => {
    const { name, given } = request.body
    await web.signIn(request, reply, name, { role: 'own' }, given)
  })
  app.post('/own-logout', web.signOut)
  app.get(
    '/me',
    web.requireAuth((request) => found(request.auth)),
  )
  app.get('/reports', { preHandler: web.requireAuth({ scope }) }, async (request) => found(request.auth!))
  app.get(
    '/recent',
    web.requireAuth((request) => found(request.auth), { maxAge }),
  )
  app.setNotFoundHandler(async (_request, reply) => reply.code(404).send({ code: 'APP_NOT_FOUND' }))
  await app.listen({ port: 0, host: '127.0.0.1' })
  return running(app.server)
}

export const startFetch: Start = (auth, options) => {
  const web = createFetchAuth(auth, options)
  const app = async (request: Request, ip?: string): Promise<Response> => {
    const answer = await web.handle(request, ip)
    if (answer) return answer
    const { pathname } = new URL(request.url)
    if (pathname === '/own-login') {
      const { name, given: { transport, ...given } = {} } = (await request.json()) as OwnLogin
      const sent = { ...(transport && { transport }), ...(ip !== undefined && { ip }) }
      return web.signIn(request, { subject: name, claims: { role: 'own' }, ...given }, sent)
    }
    const needed = { '/me': {}, '/reports': { scope }, '/recent': { maxAge } }[pathname]
    if (needed === undefined) return Response.json({ code: 'APP_NOT_FOUND' }, { status: 404 })
    const token = await web.authenticate(request, needed)
    return token instanceof Response ? token : Response.json(found(token))
  }
  return listen(overFetch(app))
}

/** The few lines between node:http and a fetch handler. */
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
}

function sendJson(res: ServerResponse, status: number, body: unknown): void {
  res.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}

async function readJson(req: IncomingMessage): Promise<unknown> {
  return JSON.parse(Buffer.concat(await req.toArray()).toString())
}
