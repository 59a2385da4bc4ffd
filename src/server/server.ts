// The standalone server: sessions, accounts and the console behind one address.

import { createHash, timingSafeEqual } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createDaypass } from '../core/daypass.ts'
import type { DaypassEvent } from '../core/events.ts'
import type { Claims } from '../core/session.ts'
import { createWarner, type Warning } from '../core/warn.ts'
import { DaypassError } from '../errors.ts'
import { createHandler, type Routes, type RouteTools } from '../http/handler.ts'
import { type HttpAnswer, type HttpRequest, header } from '../http/message.ts'
import { fromNode, toNode } from '../http/node.ts'
import { createUnproxy } from '../http/proxies.ts'
import { createAccounts } from './accounts.ts'
import type { Config } from './config.ts'
import { loadConsole } from './console.ts'
import { createLog, errorFields, type Log } from './log.ts'
import { createMetrics } from './metrics.ts'
import { openStores } from './stores.ts'

/** A server that is running. */
export interface RunningServer {
  /** Where it listens: `http://localhost:3000`. */
  url: string
  /** Answers what has been asked, then stops; whoever is not done in 10 seconds is cut off. */
  stop(): Promise<void>
}

/** Starts the standalone server. Throws `ERR_OPTION_INVALID`, `ERR_STORE_…`, or what `listen` throws. */
export async function startServer(config: Config, log: Log = createLog(config.logLevel)): Promise<RunningServer> {
  const stores = await openStores(config.store)
  const metrics = createMetrics()
  const onWarning = ({ code, message }: Warning) => log.error(message, { code })
  const auth = createDaypass({
    secret: config.secret,
    issuer: config.issuer,
    store: stores.sessions,
    algorithm: config.algorithm,
    ...given(config, 'accessTokenLifetime', 'idleTimeout', 'absoluteTimeout', 'reuseInterval'),
    onEvent: (event) => {
      metrics.count(event)
      logEvent(log, event)
    },
    onWarning,
  })
  const accounts = createAccounts(stores.accounts, { rateLimit: config.rateLimit })
  const onError = (error: unknown) => log.error('request failed', errorFields(error))
  const { origins } = config
  const handler = createHandler(auth, { authenticate: accounts.authenticate, origins, onError }, routes)
  const warn = createWarner(onWarning)
  const unproxy = createUnproxy(config.trustedProxies, warn)
  const page = loadConsole()
  let stopping = false

  function routes({ signInRoute, readBody, checkAccess }: RouteTools<Claims>): Routes {
    return {
      ...(config.registration && { '/auth/register': { POST: signInRoute(accounts.register) } }),
      '/auth/me': {
        async GET(request) {
          const { subject, sessionId, expiresAt, claims } = await checkAccess(request)
          const email = (await accounts.find(subject))?.email
          return ok({ subject, sessionId, email, claims, expiresAt })
        },
      },
      '/auth/password': {
        async POST(request) {
          const body = await readBody(request)
          const { subject, sessionId } = await checkAccess(request)
          await accounts.changePassword(subject, body)
          await auth.revokeSubject(subject, { except: sessionId, reason: 'password', request: origin(request) })
          return { status: 204, headers: {} }
        },
      },
      ...(config.apiKey !== undefined && {
        '/admin/sessions': {
          async POST(request) {
            checkApiKey(request, config.apiKey!)
            const { subject, claims } = await readBody(request)
            if (typeof subject !== 'string' || (claims !== undefined && !isObject(claims))) {
              throw new DaypassError('ERR_REQUEST_INVALID', 'Send `subject`, a string, and `claims`, an object.')
            }
            try {
              return ok(await auth.issue(subject, { claims: (claims ?? {}) as Claims }))
            } catch (error) {
              // What is a fault of our own code in a library is the caller's here.
              if (!(error instanceof DaypassError) || error.status !== 500) throw error
              throw new DaypassError('ERR_REQUEST_INVALID', error.message)
            }
          },
        },
      }),
      '/healthz': { GET: async () => ok({ status: 'ok' }) },
      '/readyz': {
        async GET() {
          if (stopping) throw new DaypassError('ERR_OVERLOADED', 'The server is stopping.')
          await auth.check()
          return ok({ status: 'ok' })
        },
      },
    }
  }

  async function answer(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const request = fromNode(req, res, unproxy)
    if (stopping) res.setHeader('connection', 'close')
    const answer = await handler.handle(request)
    if (answer !== null) return toNode(res, answer)
    const isRead = request.method === 'GET' || request.method === 'HEAD'
    if (isRead && request.path === '/metrics') return sendText(res, 200, metrics.text())
    const asset = isRead ? page.get(request.path) : undefined
    if (asset !== undefined) {
      res.writeHead(200, { ...asset.headers, 'content-length': asset.body.length })
      res.end(request.method === 'HEAD' ? undefined : asset.body)
      return
    }
    if (isRead && request.path === '/') {
      return sendText(res, 503, 'The console is not built: run `npm run build:console`.\n')
    }
    toNode(res, handler.fail(new DaypassError('ERR_NOT_FOUND')))
  }

  const server = createServer({ requestTimeout: 30_000, keepAliveTimeout: 65_000 }, (req, res) => {
    answer(req, res).catch((error) => toNode(res, handler.fail(error)))
  })
  await listen(server, config)
  const { port } = server.address() as { port: number }
  const url = `http://${['127.0.0.1', '0.0.0.0', '::'].includes(config.host) ? 'localhost' : config.host}:${port}`
  log.info('listening', { url, store: config.store.split(':', 1)[0], algorithm: config.algorithm })

  return {
    url,
    async stop() {
      stopping = true
      log.info('stopping')
      await closeServer(server)
      await auth.close()
      await stores.close()
      log.info('stopped')
    },
  }
}

function listen(server: Server, { port, host }: Config): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const reason = cause.code === 'EADDRINUSE' ? 'is in use; set PORT to another' : `cannot be had (${cause.code})`
      reject(new DaypassError('ERR_OPTION_INVALID', `Port ${port} on ${host} ${reason}.`, { cause }))
    })
    server.listen(port, host, resolve)
  })
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    const cut = setTimeout(() => server.closeAllConnections(), 10_000)
    server.close(() => {
      clearTimeout(cut)
      resolve()
    })
    // Idle connections are closed now, and busy ones when they have their answer ("connection: close").
    server.closeIdleConnections()
  })
}

/** Refreshes are many and say little; the rest is what an audit wants to read. */
function logEvent(log: Log, event: DaypassEvent): void {
  const { type, ...fields } = event
  const isRoutine = type === 'rotated' || type === 'replayed' || type === 'retried' || type === 'superseded'
  if (isRoutine) log.debug(type, fields)
  else log.info(type, fields)
}

function checkApiKey(request: HttpRequest, apiKey: string): void {
  const given = /^Bearer +(\S+)$/i.exec(header(request, 'authorization') ?? '')?.[1] ?? ''
  const digest = (text: string) => createHash('sha256').update(text).digest()
  if (!timingSafeEqual(digest(given), digest(apiKey))) {
    throw new DaypassError('ERR_CREDENTIALS_INVALID', 'Send Authorization: Bearer with the DAYPASS_API_KEY.')
  }
}

function sendText(res: ServerResponse, status: number, text: string): void {
  res.writeHead(status, { 'content-type': 'text/plain; charset=utf-8', 'cache-control': 'no-store' }).end(text)
}

/** The settings that were given, so that the library's defaults hold for the others. */
function given<K extends keyof Config>(config: Config, ...names: K[]): { [N in K]?: NonNullable<Config[N]> } {
  return Object.fromEntries(
    names.filter((name) => config[name] !== undefined).map((name) => [name, config[name]]),
  ) as any
}

const ok = (body: unknown): HttpAnswer => ({ status: 200, headers: {}, body })
const origin = ({ ip, userAgent }: HttpRequest) => ({ ip, userAgent })
const isObject = (value: unknown) => typeof value === 'object' && value !== null && !Array.isArray(value)
