// Which addresses are there, and what does each of them do? The routes, over one request/answer shape.

import type { Daypass, IssueOptions, RevokeOptions, SessionInfo, Tokens } from '../core/api.ts'
import type { Claims } from '../core/session.ts'
import type { OnWarning } from '../core/warn.ts'
import { DaypassError, isDaypassError } from '../errors.ts'
import type { AccessToken } from '../verify/index.ts'
import { type CookieOptions, createCookie } from './cookies.ts'
import { checkAccess, refuseAccess } from './guard.ts'
import { readRefreshKeys } from './idempotency-key.ts'
import { errorAnswer, type HttpAnswer, type HttpRequest, readJsonObject, tellOperator } from './message.ts'
import { createOrigins } from './origins.ts'

/** How the refresh token travels: in a cookie that script cannot read (browsers), or in JSON (everything else). */
export type Transport = 'cookie' | 'body'

/** Who signed in, as the app's `authenticate` says it. */
export interface SignIn<C = Claims, User = unknown> extends IssueOptions<C> {
  subject: string
  /** Given back to the caller beside the tokens, as `user`. */
  user?: User
}

/** What `authenticate` gets to know of a request. */
export interface SignInRequest {
  ip?: string | undefined
  userAgent?: string | undefined
  /** The value of a header, by its name in lower case. */
  header(name: string): string | undefined
}

/** Options of the HTTP surface. */
export interface HttpOptions<C = Claims, Credentials = Record<string, unknown>, User = unknown> {
  /** Where the routes are. Default "/auth"; "" for none. */
  basePath?: string
  /** A route's path under `basePath`, where it should have another: the tutorials' `{ refresh: '/refresh-token' }`. */
  paths?: { login?: string; refresh?: string; logout?: string; sessions?: string }
  /**
   * Makes `POST /login`: whose credentials are these? Null for nobody's. The credentials are the JSON body as it came,
   * so check its members' types; a type that you give them is for your clients (`createClient<typeof web>()`).
   */
  authenticate?: (
    credentials: Credentials,
    request: SignInRequest,
  ) => SignIn<C, User> | null | Promise<SignIn<C, User> | null>
  /** The transport of a sign-in that names none (`"transport": "body"`). Default "cookie". */
  transport?: Transport
  /**
   * Pages of other origins that may use this server with cookies, exact: `https://app.example.com`, and of apps in a
   * WebView and browser extensions: `capacitor://localhost`, `chrome-extension://…`.
   */
  origins?: readonly string[]
  cookie?: CookieOptions
  /** Bytes of a body at the most. Default 16,384. */
  bodyLimit?: number
  /** Told what the caller is not told: why an answer is 500 or 503. Default: `console.error`. */
  onError?: (error: unknown) => void
  /** Told what the set-up lacks, at most once a minute of each kind and cause (docs/errors.md). Default: `console.warn`. */
  onWarning?: OnWarning
}

/** What a client may know of a server by its type: `createClient<typeof web>()`. */
export interface ServerTypes<C, Credentials, User> {
  claims: C
  credentials: Credentials
  user: User
}

/** The routes, and signing in from outside them. */
export interface Handler<C = Claims> {
  /** Answers a request to one of our addresses; null for any other address. Never throws. */
  handle(request: HttpRequest): Promise<HttpAnswer | null>
  /** Begins a session for a login of the app's own: the answer to send, token and cookie and all. */
  signIn(request: HttpRequest, signIn: SignIn<C>, transport?: Transport): Promise<HttpAnswer>
  /** Ends the session that a request carries, for a logout of the app's own. */
  signOut(request: HttpRequest): Promise<HttpAnswer>
  /** Says an error as the routes do, and tells the operator of those that are ours. */
  fail(thrown: unknown, request?: HttpRequest): HttpAnswer
}

/** What answers one method of one address. What it throws is answered as an error. */
export type Route = (request: HttpRequest) => Promise<HttpAnswer>

/** Addresses, each with its methods. */
export type Routes = Record<string, Record<string, Route>>

/** What routes beside ours are made with; the standalone server adds its accounts so. */
export interface RouteTools<C> {
  /** A route that reads credentials as `POST /login` does, and signs in whom they belong to. */
  signInRoute(authenticate: NonNullable<HttpOptions<C>['authenticate']>): Route
  /** Reads the body of an unsafe request of a page that may send it. */
  readBody(request: HttpRequest): Promise<Record<string, unknown>>
  /** The request's access token, checked. */
  checkAccess(request: HttpRequest): Promise<AccessToken<C>>
}

/** Makes the routes of one Daypass. Throws `ERR_OPTION_INVALID`. */
export function createHandler<C = Claims>(
  auth: Daypass<C>,
  options: HttpOptions<C, any> = {},
  more?: (tools: RouteTools<C>) => Routes,
): Handler<C> {
  const { authenticate, bodyLimit = 16_384, transport: defaultTransport = 'cookie' } = options
  const onError = options.onError ?? ((error: unknown) => console.error('daypass:', error))
  const base = readPath(options.basePath ?? '/auth', 'basePath')
  const cookie = createCookie(options.cookie, base)
  const origins = createOrigins(options.origins)
  const path = (name: keyof NonNullable<HttpOptions['paths']>) =>
    base + readPath(options.paths?.[name] ?? `/${name}`, `paths.${name}`)

  const sessionsPath = path('sessions')
  const routes: Routes = {
    [path('refresh')]: { POST: refresh },
    [path('logout')]: { POST: signOut },
    [sessionsPath]: { GET: listSessions, DELETE: endOtherSessions },
    '/.well-known/jwks.json': { GET: async () => ok(auth.jwks(), { 'cache-control': 'public, max-age=300' }) },
  }
  if (authenticate) routes[path('login')] = { POST: signInRoute(authenticate) }
  const readBody = (request: HttpRequest) => {
    origins.check(request, false)
    return readJsonObject(request, bodyLimit)
  }
  Object.assign(routes, more?.({ signInRoute, readBody, checkAccess: (request) => checkAccess(auth, request) }))

  function signInRoute(authenticate: NonNullable<typeof options.authenticate>): Route {
    return async (request) => {
      const { transport, ...credentials } = await readBody(request)
      const chosen = readTransport(transport)
      if (chosen === 'cookie') origins.check(request, true)
      const header = (name: string) => request.headers(name)[0]
      const signedIn = await authenticate(credentials, { ip: request.ip, userAgent: request.userAgent, header })
      if (!signedIn) throw new DaypassError('ERR_CREDENTIALS_INVALID')
      return signIn(request, signedIn, chosen)
    }
  }

  async function signIn(request: HttpRequest, { subject, user, ...given }: SignIn<C>, transport?: Transport) {
    // Neither a caller that has gone nor a `user` that JSON cannot say leaves a session that nobody holds.
    if (request.aborted) throw new DaypassError('ERR_REQUEST_ABORTED')
    JSON.stringify(user)
    const { ip, userAgent } = request
    const chosen = transport ?? defaultTransport
    const device = { ip, userAgent, ...given.device }
    // The new cookie takes the place of the one that is there, whose session nobody could sign out of any more.
    const replaces = [...(given.replaces ?? []), ...(chosen === 'cookie' ? readHeldTokens(request) : [])]
    const onReplaceFailed = (error: unknown) => tellOperator(onError, error)
    const tokens = await (auth as Daypass<any>).issue(subject, { onReplaceFailed, ...given, device, replaces })
    return tokensAnswer(request, tokens, chosen, { user })
  }

  /** The refresh tokens in a browser's cookies; none where they cannot be told apart, which fails no sign-in. */
  function readHeldTokens(request: HttpRequest): string[] {
    try {
      return [cookie.read(request), cookie.readOld(request)].filter((token) => token !== undefined)
    } catch {
      return []
    }
  }

  async function refresh(request: HttpRequest): Promise<HttpAnswer> {
    const { old, token = old, transport } = await readRefreshToken(request)
    if (token === undefined) throw new DaypassError('ERR_REFRESH_TOKEN_MISSING')
    const { ip, userAgent } = request
    const tokens = await auth.refresh(token, { ...readRefreshKeys(request), ip, userAgent, signal: request })
    return tokensAnswer(request, tokens, transport)
  }

  /** One transport a request: two tokens would leave open whose session is meant. */
  async function readRefreshToken(
    request: HttpRequest,
  ): Promise<{ token?: string; old?: string; transport: Transport; session?: unknown }> {
    const fromCookie = cookie.read(request)
    const old = cookie.readOld(request)
    origins.check(request, fromCookie !== undefined || old !== undefined)
    const body = await readBodyBeside(request, fromCookie ?? old)
    const { refreshToken, session } = body
    if (refreshToken === undefined) {
      // Not "no token came", which ends the caller's session: something came, and it is not understood.
      if ((fromCookie ?? old) === undefined && session === undefined && Object.keys(body).length > 0) {
        throw new DaypassError('ERR_REQUEST_INVALID', 'The body has no `refreshToken`.')
      }
      return { ...(fromCookie && { token: fromCookie }), ...(old && { old }), transport: 'cookie', session }
    }
    if (typeof refreshToken !== 'string') {
      throw new DaypassError('ERR_REQUEST_INVALID', '`refreshToken` must be a string.')
    }
    if (fromCookie !== undefined) {
      throw new DaypassError('ERR_REQUEST_INVALID', 'A refresh token came in the cookie and in the body: send one.')
    }
    return { token: refreshToken, transport: 'body', session }
  }

  /** A cookie says whose session is meant, also where somebody else has read the body. */
  async function readBodyBeside(request: HttpRequest, fromCookie: string | undefined) {
    try {
      return await readJsonObject(request, bodyLimit)
    } catch (error) {
      if (fromCookie !== undefined && isDaypassError(error, 'ERR_BODY_CONSUMED')) return {}
      throw error
    }
  }

  async function signOut(request: HttpRequest): Promise<HttpAnswer> {
    const { token, old, transport, session } = await readRefreshToken(request)
    // What is not understood must not count as none: that would end whatever session is there.
    if (session !== undefined && typeof session !== 'string') {
      throw new DaypassError('ERR_REQUEST_INVALID', '`session` must be a string.')
    }
    const revoke: RevokeOptions = { request: { ip: request.ip, userAgent: request.userAgent }, sessionId: session }
    // Both: the cookie before ours may hold a token that was never traded, and would sign in again.
    const held = [token, old].filter((text) => text !== undefined)
    let isEnded = false
    for (const text of held) isEnded = (await auth.revokeToken(text, revoke)) || isEnded
    if (held.length === 0 && request.headers('authorization').length > 0) {
      const { sessionId } = await checkAccess(auth, request)
      if (session === undefined || session === sessionId) await auth.revoke(sessionId, revoke)
    }
    // A sign-out that did not arrive, sent again later: the cookie may be of who has signed in since then.
    if (session !== undefined && !isEnded) return { status: 204, headers: {} }
    // The one answer that takes the cookie away: a refresh that lost a race must not destroy what won it.
    return transport === 'cookie'
      ? { status: 204, headers: { 'set-cookie': cookie.clear(request) } }
      : { status: 204, headers: {} }
  }

  async function listSessions(request: HttpRequest): Promise<HttpAnswer> {
    const { subject, sessionId } = await checkAccess(auth, request)
    const sessions = await auth.sessions(subject)
    return ok({ sessions: sessions.map((session) => ({ ...toPublic(session), current: session.id === sessionId })) })
  }

  async function endSession(request: HttpRequest, id: string): Promise<HttpAnswer> {
    origins.check(request, false)
    const { subject } = await checkAccess(auth, request)
    const { ip, userAgent } = request
    if (!(await auth.revoke(id, { subject, request: { ip, userAgent } }))) {
      throw new DaypassError('ERR_NOT_FOUND', 'You have no such session.')
    }
    return { status: 204, headers: {} }
  }

  async function endOtherSessions(request: HttpRequest): Promise<HttpAnswer> {
    origins.check(request, false)
    const { subject, sessionId } = await checkAccess(auth, request)
    const { ip, userAgent } = request
    return ok({ ended: await auth.revokeSubject(subject, { except: sessionId, request: { ip, userAgent } }) })
  }

  function tokensAnswer(request: HttpRequest, tokens: Tokens<C>, transport: Transport, more: object = {}): HttpAnswer {
    const { accessToken, tokenType, expiresIn, refreshToken, session } = tokens
    const body = {
      accessToken,
      tokenType,
      expiresIn,
      session: { ...toPublic(session), claims: session.claims },
      ...more,
    }
    if (transport === 'body') return ok({ ...body, refreshToken })
    const maxAge = Math.max(1, Math.floor((session.idleExpiresAt - session.rotatedAt) / 1000))
    return ok(body, { 'set-cookie': cookie.set(request, refreshToken, maxAge) })
  }

  function readTransport(transport: unknown): Transport {
    if (transport === undefined) return defaultTransport
    if (transport === 'cookie' || transport === 'body') return transport
    throw new DaypassError('ERR_REQUEST_INVALID', '`transport` is "cookie" or "body".')
  }

  function fail(thrown: unknown): HttpAnswer {
    tellOperator(onError, thrown)
    const answer = errorAnswer(thrown)
    return { ...answer, headers: { ...answer.headers, 'cache-control': 'no-store' } }
  }

  /** What answers at an address, by method. */
  function findMethods(path: string): Record<string, Route> | undefined {
    if (Object.hasOwn(routes, path)) return routes[path]
    const id = path.slice(sessionsPath.length + 1)
    if (!path.startsWith(`${sessionsPath}/`) || !/^[\w-]{1,64}$/.test(id)) return undefined
    return { DELETE: (request) => endSession(request, id) }
  }

  async function answer(request: HttpRequest, methods: Record<string, Route>): Promise<HttpAnswer> {
    if (origins.isPreflight(request)) return { status: 204, headers: {} }
    const method = request.method === 'HEAD' ? 'GET' : request.method
    if (!Object.hasOwn(methods, method)) {
      const allow = Object.keys(methods).join(', ')
      return { ...errorAnswer(new DaypassError('ERR_METHOD_NOT_ALLOWED')), headers: { allow } }
    }
    try {
      return await methods[method]!(request)
    } catch (error) {
      const isAboutAccess = error instanceof DaypassError && error.code.startsWith('ERR_ACCESS_TOKEN')
      return isAboutAccess ? refuseAccess(error) : fail(error)
    }
  }

  return {
    async handle(request) {
      const methods = findMethods(request.path)
      if (methods === undefined) return null
      const { status, headers, body } = await answer(request, methods)
      return { status, headers: { 'cache-control': 'no-store', ...origins.headers(request), ...headers }, body }
    },
    async signIn(request, given, transport) {
      if ((transport ?? defaultTransport) === 'cookie') origins.check(request, false)
      const answer = await signIn(request, given, transport)
      return { ...answer, headers: { 'cache-control': 'no-store', ...answer.headers } }
    },
    async signOut(request) {
      const answer = await signOut(request)
      return { ...answer, headers: { 'cache-control': 'no-store', ...answer.headers } }
    },
    fail,
  }
}

/** What a person may see of a session over HTTP. */
function toPublic<C>({
  id,
  subject,
  scope,
  device,
  createdAt,
  rotatedAt,
  authTime,
  idleExpiresAt,
  expiresAt,
}: SessionInfo<C>) {
  return { id, subject, ...(scope && { scope }), device, createdAt, rotatedAt, authTime, idleExpiresAt, expiresAt }
}

function ok(body: unknown, headers: Record<string, string> = {}): HttpAnswer {
  return { status: 200, headers, body }
}

function readPath(path: string, name: string): string {
  if (path === '' || /^(\/[\w.~-]+)+$/.test(path)) return path
  throw new DaypassError('ERR_OPTION_INVALID', `\`${name}\` must be a path such as /auth, without a slash at its end.`)
}
