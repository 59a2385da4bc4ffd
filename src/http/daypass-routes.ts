// The table of Daypass's own routes.

import type { Daypass } from '../core/api.ts'
import { DaypassError } from '../errors.ts'
import { wrongOption } from '../option.ts'
import { readRefreshKeys } from './idempotency-key.ts'
import type { HttpOptions } from './options.ts'
import type { RouteRequest } from './request.ts'
import type { DaypassRoute } from './route.ts'
import { createHttpSignOut } from './sign-out.ts'
import { describeSession, type TokenTransport } from './token-transport.ts'

/** Daypass's own routes. Throws `ERR_OPTION_INVALID`. */
export function createDaypassRoutes<C, Credentials>(
  auth: Daypass<C, true>,
  tokens: TokenTransport,
  options: Pick<HttpOptions<C, Credentials, unknown, true>, 'basePath' | 'paths' | 'authenticate'>,
): DaypassRoute<C>[] {
  const { basePath, paths, authenticate } = options
  const base = readBasePath(basePath)
  const path = (name: keyof NonNullable<typeof paths>) => {
    const given: string = paths?.[name] ?? name
    const whole = `${given}`.startsWith('/') ? given : `${base}/${given}`
    if (typeof given === 'string' && isPath(whole)) return whole
    throw wrongOption(
      `paths.${name}`,
      given,
      `Give '${name}' for a path below \`basePath\`, or '/${name}' from the root.`,
    )
  }

  // Checked also where there is no such route.
  const login = path('login')

  const routes: DaypassRoute<C>[] = [
    {
      method: 'POST',
      path: path('refresh'),
      access: 'cookie',
      async run({ request, old, token = old, transport }) {
        if (token === undefined) throw new DaypassError('ERR_REFRESH_TOKEN_MISSING')
        const { ip, userAgent } = request
        const refreshed = await auth.refresh(token, { ...readRefreshKeys(request), ip, userAgent, signal: request })
        return tokens.respond(request, refreshed, transport)
      },
    },
    { method: 'POST', path: path('logout'), access: 'cookie', run: createHttpSignOut(auth, tokens) },
    {
      method: 'GET',
      path: path('sessions'),
      access: 'bearer',
      async run({ auth: { subject, sessionId } }) {
        const sessions = await auth.sessions(subject)
        const described = sessions.map((session) => ({
          ...describeSession(session),
          current: session.id === sessionId,
        }))
        return { body: { sessions: described } }
      },
    },
    {
      method: 'DELETE',
      path: path('sessions'),
      access: 'bearer',
      async run({ auth: { subject, sessionId }, request }) {
        return { body: { ended: await auth.revokeSubject(subject, { except: sessionId, request: originOf(request) }) } }
      },
    },
    {
      method: 'PATCH',
      path: `${path('sessions')}/:id`,
      access: 'bearer',
      async run({ auth: { subject, sessionId }, params: { id = '' }, request, readBody }) {
        const { label } = await readBody()
        if (typeof label !== 'string' && label !== null) {
          throw new DaypassError('ERR_REQUEST_INVALID', '`label` must be a string, or null.')
        }
        const session = await auth.update(id, { label }, { subject, request: originOf(request) })
        if (session === null) throw noSuchSession()
        return { body: { ...describeSession(session), current: session.id === sessionId } }
      },
    },
    {
      method: 'DELETE',
      path: `${path('sessions')}/:id`,
      access: 'bearer',
      async run({ auth: { subject }, params: { id = '' }, request }) {
        if (await auth.revoke(id, { subject, request: originOf(request) })) return {}
        throw noSuchSession()
      },
    },
    {
      method: 'GET',
      path: '/.well-known/jwks.json',
      access: 'page',
      cacheControl: 'public, max-age=300',
      run: () => ({ body: auth.jwks() }),
    },
  ]
  if (authenticate === undefined) return routes
  routes.push({
    method: 'POST',
    path: login,
    access: 'credentials',
    async run({ credentials, request, signIn }) {
      const { ip, userAgent } = request
      const header = (name: string) => request.headers(name)[0]
      // The app declares the type of the credentials; `authenticate` must check them.
      const signedIn = await authenticate(credentials as Credentials, { ip, userAgent, header })
      if (!signedIn) throw new DaypassError('ERR_CREDENTIALS_INVALID')
      return signIn(signedIn)
    },
  })
  return routes
}

/** The path before Daypass's own routes. Throws `ERR_OPTION_INVALID`. */
export function readBasePath(basePath = '/auth'): string {
  if (basePath === '' || isPath(basePath)) return basePath
  throw wrongOption(
    'basePath',
    basePath,
    "Give a path such as '/auth', without a slash at its end, or '' for the root.",
  )
}

const isPath = (path: unknown) => typeof path === 'string' && /^(\/[\w.~-]+)+$/.test(path)

const noSuchSession = () => new DaypassError('ERR_NOT_FOUND', 'You have no such session.')

/** The request's origin for events. */
const originOf = ({ ip, userAgent }: RouteRequest) => ({ ip, userAgent })
