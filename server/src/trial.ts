// Throw-away sessions, by which a person tries the console without an account.
//
// Nobody's account is behind one: only a session is written. It ends by itself, and its row is pruned like any other.

import { AsyncLocalStorage } from 'node:async_hooks'
import { randomUUID } from 'node:crypto'
import { type Daypass, DaypassError } from 'daypass'
import type { BearerCall, Route, RouteRequest, RouteResponse } from 'daypass/fastify'
import type { FastifyInstance } from 'fastify'
import type { Limits } from './limits.ts'
import { networkOf } from './network.ts'

/** The `client_id` of the page's throw-away sessions, by which any API can tell them from people's. */
const trialClient = 'try'
/** The `client_id` of the pretend phones. */
const phoneClient = 'try-phone'

/** Short enough to watch a few renewals, seconds. */
const lifetimes = { accessTokenLifetime: 10, idleTimeout: 600, absoluteTimeout: 3600, persistent: false }

/** Milliseconds in which the answers to a refresh are cut off. Browsers ask again at once on another connection. */
const cutFor = 400

interface Parts {
  auth: Daypass
  /** The same sessions and keys without a tolerance for races, so that a copy is caught at its first use. */
  strict: Daypass
  limits: Limits
  /** Makes the tables of the limits, where they are not there yet. */
  open(): Promise<void>
  faults: Faults
}

/** `/auth/try` and the routes below it, which only the sessions that begin there may use. */
export function trialRoutes({ auth, strict, limits, open, faults }: Parts): Route[] {
  async function count({ ip = '' }: RouteRequest): Promise<void> {
    await open()
    await limits.countTrial(networkOf(ip))
  }
  type Run = (call: BearerCall) => RouteResponse | Promise<RouteResponse>
  const ofTrial = (path: string, run: Run): Route => ({
    method: 'POST',
    path,
    access: 'bearer',
    allow: ({ clientId }) => clientId === trialClient,
    run,
  })
  return [
    {
      method: 'POST',
      path: '/auth/try',
      access: 'credentials',
      async run({ request, signIn }) {
        await count(request)
        const subject = `guest-${randomUUID()}`
        return signIn({ subject, claims: { guest: true }, clientId: trialClient, ...lifetimes })
      },
    },
    ofTrial('/auth/try/lost-response', ({ auth: { sessionId } }) => {
      faults.loseNextResponse(sessionId)
      return {}
    }),
    ofTrial('/auth/try/phone', async ({ auth: { subject }, request, readBody }) => {
      const { label } = await readBody()
      if (typeof label !== 'string') throw new DaypassError('ERR_REQUEST_INVALID', 'Send `label`, a string.')
      await count(request)
      const { ip, userAgent } = request
      return {
        body: await auth.issue(subject, { ...lifetimes, clientId: phoneClient, device: { ip, userAgent, label } }),
      }
    }),
    {
      method: 'POST',
      path: '/auth/try/refresh',
      access: 'page',
      async run({ request, readBody }) {
        const { refreshToken } = await readBody()
        if (typeof refreshToken !== 'string') throw new DaypassError('ERR_REFRESH_TOKEN_MISSING')
        const [idempotencyKey] = request.headers('idempotency-key').map((key) => key.replaceAll('"', ''))
        const { ip, userAgent } = request
        // The sessions of people and of the page are another client's, so this route leaves them alone.
        return {
          body: await strict.refresh(refreshToken, { idempotencyKey, clientId: phoneClient, ip, userAgent }),
        }
      },
    },
  ]
}

/** Faults that a throw-away session asks for, for itself alone. */
export interface Faults {
  /** Lets the server carry out the next refresh of a session, and cuts the connection before its response is sent. */
  loseNextResponse(sessionId: string): void
  /** Registers what it needs to know the connection of a request. Call it before the routes are registered. */
  install(app: FastifyInstance): void
  /** The same Daypass, with the faults. */
  wrap(auth: Daypass): Daypass
}

/** @param clock Milliseconds. */
export function createFaults(clock: () => number = () => performance.now()): Faults {
  const connections = new AsyncLocalStorage<{ cut(): void }>()
  /** When the cutting ends; Infinity before the first response. */
  const armed = new Map<string, number>()
  /** An armed session that never refreshes must not stay for ever. */
  const mostArmed = 1000

  function isLost(sessionId: string): boolean {
    const until = armed.get(sessionId)
    if (until === undefined) return false
    if (until === Number.POSITIVE_INFINITY) armed.set(sessionId, clock() + cutFor)
    else if (clock() >= until) armed.delete(sessionId)
    return armed.has(sessionId)
  }

  return {
    loseNextResponse(sessionId) {
      const [oldest] = armed.keys()
      if (armed.size >= mostArmed && oldest !== undefined) armed.delete(oldest)
      armed.set(sessionId, Number.POSITIVE_INFINITY)
    },
    install(app) {
      app.addHook('onRequest', (request, _reply, done) =>
        connections.run({ cut: () => void request.raw.socket.destroy() }, done),
      )
    },
    wrap: (auth) => ({
      ...auth,
      async refresh(...call) {
        const tokens = await auth.refresh(...call)
        // The session is rotated and stored. What follows is a response that never arrives.
        if (isLost(tokens.session.id)) connections.getStore()?.cut()
        return tokens
      },
    }),
  }
}
