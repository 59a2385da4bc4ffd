// The server's own routes: accounts, and sessions for back ends that hold the API key.

import { createHash, timingSafeEqual } from 'node:crypto'
import cors from '@fastify/cors'
import { type Claims, type Daypass, DaypassError } from 'daypass'
import type { FastifyAuth, Transport } from 'daypass/fastify'
import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import type { Account } from './account-store.ts'
import type { Accounts, Caller } from './accounts.ts'
import type { Config } from './config.ts'
import type { Devices } from './devices.ts'

interface Parts {
  config: Pick<Config, 'origins' | 'registration'>
  auth: Daypass
  web: FastifyAuth
  accounts: Accounts
  devices: Devices
}

/** `/auth/register`, `/auth/login`, `/auth/me` and `/auth/password`. */
export const accountRoutes: FastifyPluginAsync<Parts> = async (app, { config, auth, web, accounts, devices }) => {
  if (config.origins.length > 0) {
    app.register(cors, {
      origin: config.origins,
      credentials: true,
      methods: ['GET', 'POST'],
      allowedHeaders: ['Authorization', 'Content-Type', 'Idempotency-Key', 'DPoP'],
      exposedHeaders: ['Retry-After', 'WWW-Authenticate', 'DPoP-Nonce'],
      maxAge: 600,
    })
  }
  app.addHook('onRequest', async (_request, reply) => {
    reply.header('cache-control', 'no-store')
  })

  type CheckCredentials = (credentials: Record<string, unknown>, caller: Caller) => Promise<Account | null>
  /** A route that reads credentials, and signs in the account that they belong to. */
  const signInRoute = (check: CheckCredentials) => async (request: FastifyRequest, reply: FastifyReply) => {
    const { transport = 'cookie', ...credentials } = readObject(request)
    if (transport !== 'cookie' && transport !== 'body') {
      throw new DaypassError('ERR_REQUEST_INVALID', '`transport` is "cookie" or "body".')
    }
    const { cookie } = request.headers
    const caller = { ip: request.ip, findDevice: (email: string) => devices.find(cookie, email) }
    const account = await check(credentials, caller)
    if (account === null) throw new DaypassError('ERR_CREDENTIALS_INVALID')
    const { id, email, passwordHash } = account
    if (transport === 'cookie') {
      reply.header('set-cookie', devices.remember(cookie, email, request.protocol === 'https'))
    }
    const options = { amr: ['pwd'], user: { id, email }, transport: transport as Transport, passwordHash }
    await web.signIn(request, reply, id, undefined, options)
  }

  app.post('/auth/login', signInRoute(accounts.signIn))
  if (config.registration) app.post('/auth/register', signInRoute(accounts.register))
  app.get(
    '/auth/me',
    web.requireAuth(async ({ auth: { subject, sessionId, expiresAt, claims } }) => {
      const email = (await accounts.find(subject))?.email
      return { subject, sessionId, email, claims, expiresAt }
    }),
  )
  app.post(
    '/auth/password',
    web.requireAuth(async (request, reply) => {
      const { subject, sessionId } = request.auth
      await accounts.changePassword(subject, readObject(request), sessionId)
      const { ip, headers } = request
      const origin = { ip, userAgent: headers['user-agent'] }
      await auth.revokeSubject(subject, { except: sessionId, reason: 'password', request: origin })
      return reply.code(204).send()
    }),
  )
}

/** `/admin/sessions`. */
export const adminRoutes: FastifyPluginAsync<{ apiKey: string; auth: Daypass }> = async (app, { apiKey, auth }) => {
  app.post('/admin/sessions', async (request, reply) => {
    checkApiKey(request, apiKey)
    const { subject, claims = {} } = readObject(request)
    if (typeof subject !== 'string' || !isObject(claims)) {
      throw new DaypassError('ERR_REQUEST_INVALID', 'Send `subject`, a string, and `claims`, an object.')
    }
    reply.header('cache-control', 'no-store')
    try {
      return await auth.issue(subject, { claims: claims as Claims })
    } catch (error) {
      // What is a fault of the app's own code in a library is the caller's here.
      if (!(error instanceof DaypassError) || error.status !== 500) throw error
      throw new DaypassError('ERR_REQUEST_INVALID', error.message)
    }
  })
}

function checkApiKey(request: FastifyRequest, apiKey: string): void {
  const given = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '')?.[1] ?? ''
  const digest = (text: string) => createHash('sha256').update(text).digest()
  if (!timingSafeEqual(digest(given), digest(apiKey))) {
    throw new DaypassError('ERR_CREDENTIALS_INVALID', 'Send Authorization: Bearer with the DAYPASS_API_KEY.')
  }
}

function readObject({ body }: Pick<FastifyRequest, 'body'>): Record<string, unknown> {
  if (body === undefined) return {}
  if (!isObject(body)) throw new DaypassError('ERR_REQUEST_INVALID', 'The body must be a JSON object.')
  return body
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
