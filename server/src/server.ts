// The server application: sessions, accounts and the console behind one address.

import { readFileSync } from 'node:fs'
import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import { createDaypass, DaypassError, type DaypassEvent, type DaypassOptions, type Store } from 'daypass'
import { createFastifyAuth } from 'daypass/fastify'
import { type FastifyInstance, fastify } from 'fastify'
import { createAccounts } from './accounts.ts'
import type { Config } from './config.ts'
import { trackConnections } from './connections.ts'
import { consolePage } from './console.ts'
import { createDevices } from './devices.ts'
import { sendError, toDaypassError } from './errors.ts'
import { createFeed } from './feed.ts'
import { openForIssuer } from './issuer.ts'
import { createLimits, noLimits } from './limits.ts'
import { createErrorLog, type Log, type LogError, openLog } from './log.ts'
import { createMetrics } from './metrics.ts'
import { networkOf } from './network.ts'
import { describeApi } from './openapi.ts'
import { withPasswordCheck } from './password-check.ts'
import { serverRoutes } from './routes.ts'
import { openStores, type Stores } from './stores.ts'
import { createFaults, trialRoutes } from './trial.ts'

/** A server that is running. */
export interface RunningServer {
  /** Its address: `http://localhost:3000`. */
  url: string
  /** Completes the requests under way, then stops. Connections that remain after 10 seconds are closed. */
  stop(): Promise<void>
}

/** The version of this package. */
export const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
  version: string
}

/** Starts the server. Throws `ERR_OPTION_INVALID`, `ERR_KEY_WEAK`, `ERR_STORE_…`, or the error of `listen`. */
export async function startServer(config: Config, log: Log = openLog(config.logLevel).log): Promise<RunningServer> {
  const logError = createErrorLog(log)
  const onDriverError = (error: unknown) => logError('the database’s driver failed', error)
  const stores = await openStores(config.store, onDriverError, config.prefix)
  try {
    const issuer = await openForIssuer(stores.sessions, config, logError)
    return await serveStores(stores, { ...config, issuer }, log, logError)
  } catch (error) {
    // A driver that keeps connecting would keep the process from ending.
    await stores.close()
    throw error
  }
}

async function serveStores(
  stores: Stores,
  config: Config & { issuer: string },
  log: Log,
  logError: LogError,
): Promise<RunningServer> {
  const onWarning = ({ code, message }: { code: string; message: string }) => log.error({ code }, message)
  const metrics = createMetrics()
  const options: DaypassOptions = {
    secret: config.secret,
    issuer: config.issuer,
    store: stores.sessions,
    algorithm: config.algorithm,
    ...given(config, 'accessTokenLifetime', 'idleTimeout', 'absoluteTimeout', 'reuseInterval'),
    onWarning,
    onEvent(event) {
      metrics.countEvent(event)
      logEvent(log, event)
      feed.publish(event)
    },
  }
  const auth = createDaypass(options)
  const feed = createFeed(auth)
  const limits = config.rateLimit ? createLimits(stores.createLimiter) : noLimits
  const accounts = createAccounts(stores.accounts, limits)
  const { origins, trustedProxies } = config
  const onError = (error: unknown) => logError('request failed', error)
  const faults = createFaults()
  const routes = serverRoutes({ config, auth, accounts, devices: createDevices(config.secret) })
  if (config.trial) {
    // It shares the store with `auth`, which prunes and closes it.
    const store: Store = { ...stores.sessions, prune: async () => 0 }
    const strict = createDaypass({ ...options, store, reuseInterval: 0, retryInterval: 0 })
    routes.push(...trialRoutes({ auth, strict, limits, open: stores.accounts.open, faults }))
  }
  const checked = withPasswordCheck(auth, accounts)
  const web = createFastifyAuth(config.trial ? faults.wrap(checked) : checked, {
    routes,
    origins,
    trustedProxies,
    onError,
    onWarning,
  })
  const description = describeApi(config, version)
  let stopping = false

  const app = fastify({
    bodyLimit: 16_384,
    requestTimeout: 30_000,
    keepAliveTimeout: 65_000,
    trustProxy: trustedProxies,
    // Requests that arrive while it stops get a response as well.
    return503OnClosing: false,
    // Of paths that it cannot decode. No hook and no handler sees them.
    frameworkErrors: (error, _request, reply) => void sendError(reply, error),
  })
  const connections = trackConnections(app.server)
  const methodsOf = collectMethods(app)
  // Every body is JSON.
  app.removeContentTypeParser('text/plain')
  app.addHook('onRequest', async (_request, reply) => {
    if (stopping) reply.header('connection', 'close')
  })
  const routeOf = createRouteNames(Object.keys(description.paths))
  app.addHook('onResponse', async (request, reply) => {
    const route = request.routeOptions.url ?? routeOf(request.url)
    // The duration of a stream says nothing about the server.
    if (route !== '/auth/events')
      metrics.observe({ method: request.method, route, status: reply.raw.statusCode }, reply.elapsedTime / 1000)
    // Connections that were busy at the stop are idle now.
    if (stopping) setImmediate(() => app.server.closeIdleConnections())
  })
  if (config.trial) faults.install(app)
  app.register(web.routes)
  app.get(
    '/auth/events',
    // A HEAD would hold a stream that sends nothing.
    { exposeHeadRoute: false },
    web.requireAuth((request, reply) => {
      const { authorization = '', 'last-event-id': after } = request.headers
      feed.send(reply, {
        accessToken: authorization.replace(/^\S+ +/, ''),
        subject: request.auth.subject,
        network: networkOf(request.ip),
        after: after?.toString(),
      })
    }),
  )
  app.get('/healthz', async (_request, reply) => reply.header('cache-control', 'no-store').send({ status: 'ok' }))
  app.get('/readyz', async (_request, reply) => {
    if (stopping) throw new DaypassError('ERR_OVERLOADED', 'The server is stopping.')
    await auth.check()
    return reply.header('cache-control', 'no-store').send({ status: 'ok' })
  })
  app.get('/metrics', async (_request, reply) =>
    reply
      .header('cache-control', 'no-store')
      .type(metrics.contentType)
      .send(await metrics.text()),
  )
  app.register(swagger, { mode: 'static', specification: { document: description as never } })
  app.register(swaggerUi, { routePrefix: '/docs', staticCSP: true })
  app.register(consolePage)
  app.setErrorHandler((thrown, _request, reply) => {
    const error = toDaypassError(thrown)
    if (error.status >= 500) onError(error)
    sendError(reply, error)
  })
  app.setNotFoundHandler((request, reply) => {
    const allowed = methodsOf(request.url)
    if (allowed.length === 0) return sendError(reply, new DaypassError('ERR_NOT_FOUND'))
    return sendError(reply.header('allow', allowed.join(', ')), new DaypassError('ERR_METHOD_NOT_ALLOWED'))
  })

  const url = await listen(app, config)
  log.info({ url, store: config.store.split(':', 1)[0], algorithm: config.algorithm }, 'listening')
  return {
    url,
    async stop() {
      stopping = true
      log.info('stopping')
      feed.close()
      // A request of a connection that has just begun may be on its way.
      const idle = setInterval(() => connections.closeIdle(), 500)
      const cut = setTimeout(() => app.server.closeAllConnections(), 10_000)
      await app.close()
      clearInterval(idle)
      clearTimeout(cut)
      await auth.close()
      await stores.close()
      log.info('stopped')
    },
  }
}

async function listen(app: FastifyInstance, { port, host }: Config): Promise<string> {
  try {
    await app.listen({ port, host })
  } catch (cause) {
    const { code, syscall } = cause as NodeJS.ErrnoException
    if (syscall !== 'listen' && syscall !== 'getaddrinfo') throw cause
    const reason = code === 'EADDRINUSE' ? 'is in use; set PORT to another' : `cannot be had (${code})`
    throw new DaypassError('ERR_OPTION_INVALID', `Port ${port} on ${host} ${reason}.`, { cause })
  }
  const { port: found } = app.server.address() as { port: number }
  return `http://${['127.0.0.1', '0.0.0.0', '::'].includes(host) ? 'localhost' : host}:${found}`
}

/** Refreshes are many and say little. Other events are for audits. */
function logEvent(log: Log, event: DaypassEvent): void {
  const { type, ...fields } = event
  const isRoutine = type === 'rotated' || type === 'replayed' || type === 'retried' || type === 'superseded'
  if (isRoutine) log.debug(fields, type)
  else log.info(fields, type)
}

/** Names the route of a request to Daypass's own routes, for metrics; `other` for unknown paths. */
function createRouteNames(paths: readonly string[]): (url: string) => string {
  const patterns = paths.map((path) => [path, new RegExp(`^${path.replace('{id}', '[^/]+')}$`)] as const)
  return (url) => {
    const [path = ''] = url.split('?', 1)
    return patterns.find(([, pattern]) => pattern.test(path))?.[0] ?? 'other'
  }
}

/** Finds the methods of the routes that are registered from now on. Compares texts: a path is a pattern for Fastify. */
function collectMethods(app: FastifyInstance): (url: string) => string[] {
  const known = new Set<string>()
  app.addHook('onRoute', ({ method, url }) => {
    for (const one of [method].flat()) known.add(`${one} ${url}`)
  })
  return (url) => {
    const [path = ''] = url.split('?', 1)
    return ['GET', 'POST'].filter((method) => known.has(`${method} ${path}`))
  }
}

/** The settings that were given, so that the library's defaults hold for the others. */
function given<K extends keyof Config>(config: Config, ...names: K[]): { [N in K]?: NonNullable<Config[N]> } {
  const entries = names.filter((name) => config[name] !== undefined).map((name) => [name, config[name]])
  return Object.fromEntries(entries) as { [N in K]?: NonNullable<Config[N]> }
}
