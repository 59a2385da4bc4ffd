// Daypass over HTTP, in one shape of request and response. Every adapter translates to it.

import type { Daypass, FoundSession } from '../core/api.ts'
import { DaypassError, isDaypassError } from '../errors.ts'
import { checkOptions } from '../known-options.ts'
import { wrongOption } from '../option.ts'
import type { AccessToken } from '../verify/index.ts'
import { createWarner } from '../warn.ts'
import { type Cookie, createCookie } from './cookies.ts'
import { createDaypassRoutes, readBasePath } from './daypass-routes.ts'
import { addressOf, checkRoutes } from './find-route.ts'
import { checkAccess, checkVerifier, type GuardOptions, type TokenVerifier } from './guard.ts'
import { checkHttpOptions, type HttpOptions, type UserOfBoth } from './options.ts'
import { createOrigins } from './origins.ts'
import { createPathWarning } from './path-warning.ts'
import { findLocation } from './redirect.ts'
import { type HttpRequest, readJsonObject } from './request.ts'
import { createResponder, type Responder } from './responder.ts'
import { type HttpResponse, logError, type OnError, reportError } from './response.ts'
import { createRouter } from './router.ts'
import { createHttpSignIn } from './sign-in.ts'
import { type Person, type SignInOptions, type SignOutOptions, signInOptions, signOutOptions } from './sign-in-types.ts'
import { createHttpSignOut } from './sign-out.ts'
import { checkTransport, createTokenTransport, findTransport } from './token-transport.ts'

/** An adapter without its framework. Nothing here throws: errors are responses. */
export interface HttpAuth<C, User> {
  /** Responds to a request for one of the routes, which a framework may have mounted; null for any other path. */
  routes(request: HttpRequest, mount?: string): Promise<HttpResponse | null>
  /** The addresses of the routes under a mount; a part `:name` stands for a name. */
  addresses(mount: string): string[]
  requireAuth: Guard<C>
  /** Reads who is signed in by the cookie of a request, and changes nothing. Throws what `Daypass.findSession` throws. */
  findSession(request: HttpRequest): Promise<FoundSession<C, User> | null>
  /** Begins a session for a login of the app's own. */
  signIn(request: HttpRequest, person: Person<C>, options?: SignInOptions): Promise<HttpResponse>
  /** Ends the session that the request carries, for a logout of the app's own. */
  signOut(request: HttpRequest, options?: SignOutOptions): Promise<HttpResponse>
}

/**
 * Returns the access token of a request, verified, or the response that rejects it. A request without a token is rejected
 * at once, not in a promise, so that it is rejected even if the app forgets to wait.
 */
export type Guard<C> = (request: HttpRequest, needs?: GuardOptions<C>) => Guarded<C> | Promise<Guarded<C>>

/** The decision of a {@link Guard}. */
export type Guarded<C> =
  | { token: AccessToken<C>; rejection?: undefined }
  | { token?: undefined; rejection: HttpResponse }

/** Throws `ERR_OPTION_INVALID`. `adapterOptions` are the names of an adapter's own options. */
export function createHttpAuth<C, Credentials, Found, User extends Found, Finds extends boolean>(
  givenAuth: Daypass<C, Finds, Found>,
  givenOptions: HttpOptions<C, Credentials, User, Finds> = {},
  adapterOptions?: Readonly<Record<string, true>>,
): HttpAuth<C, UserOfBoth<Found, User>> {
  checkVerifier('auth', givenAuth, 'Give the result of createDaypass() first, and options second.')
  // The types above are for the app. Below, claims may be left out: the core checks whether they are there.
  const auth = givenAuth as Daypass<C, true, UserOfBoth<Found, User>>
  const options = givenOptions as unknown as HttpOptions<C, Credentials, unknown, true>
  checkHttpOptions(options, adapterOptions)
  const { bodyLimit = 16_384, transport: defaultTransport = 'cookie', onError = logError } = options
  const warn = createWarner(options.onWarning)
  const origins = createOrigins(options.origins, warn)
  const responder = createResponder(origins, onError)
  const basePath = readBasePath(options.basePath)
  const cookie = createCookie(options.cookie, basePath, warn)
  const tokens = createTokenTransport(cookie, defaultTransport, (request) => readJsonObject(request, bodyLimit))
  const signIn = createHttpSignIn(auth, tokens, (error) => reportError(onError, error))
  const signOut = createHttpSignOut(auth, tokens)
  const { routes: own = [] } = options
  checkRoutes(own)
  const routes = [...createDaypassRoutes(auth, tokens, options), ...own]
  const onUnknown = createPathWarning(routes, basePath, warn)
  const router = createRouter(routes, { auth, origins, tokens, signIn, responder, bodyLimit, basePath, onUnknown })
  return {
    routes: router.handle,
    addresses: (mount) => [...new Set(routes.map(({ path }) => addressOf(path, mount, basePath)))],
    requireAuth: createGuard(auth, responder),
    async findSession(request) {
      const token = readCookie(cookie, request)
      return token === undefined ? null : auth.findSession(token)
    },
    async signIn(request, person, given = {}) {
      try {
        checkOptions(given, signInOptions)
        const { transport, redirect, crossSitePost = false } = given
        checkTransport(transport)
        if (typeof crossSitePost !== 'boolean') throw wrongOption('crossSitePost', crossSitePost, 'Give true or false.')
        if (crossSitePost && redirect === undefined) {
          throw wrongOption('crossSitePost', crossSitePost, 'It goes with `redirect`: give both.')
        }
        if (redirect !== undefined) {
          if (transport === 'body') throw wrongTransport()
          const location = findLocation(origins, request, redirect)
          origins.checkArrival(request, crossSitePost)
          const { headers } = await signIn(request, person, 'cookie')
          return responder.respond(request, { status: 303, headers: { ...headers, location } })
        }
        const chosen = transport ?? findTransport(request) ?? defaultTransport
        if (chosen === 'cookie') origins.check(request, false)
        return responder.respond(request, await signIn(request, person, chosen))
      } catch (error) {
        return responder.fail(request, error)
      }
    },
    async signOut(request, given = {}) {
      try {
        checkOptions(given, signOutOptions)
        const { redirect } = given
        if (redirect === undefined)
          return router.run(request, { method: 'POST', path: '', access: 'cookie', run: signOut })
        const location = findLocation(origins, request, redirect)
        origins.check(request, true)
        // Rejects a cookie that came twice. The body is a form's: it is not read.
        tokens.readCookies(request)
        const { headers } = await signOut({ request, transport: 'cookie' })
        return responder.respond(request, { status: 303, headers: { ...headers, location } })
      } catch (error) {
        return responder.fail(request, error)
      }
    },
  }
}

const wrongTransport = () =>
  new DaypassError('ERR_OPTION_INVALID', 'A sign-in with `redirect` sets the cookie: leave `transport` out.')

/** The refresh token of a request. Undefined where two cookies have its name: which one is the session's is not known. */
function readCookie(cookie: Cookie, request: HttpRequest): string | undefined {
  try {
    return cookie.read(request)
  } catch (error) {
    if (isDaypassError(error, 'ERR_REQUEST_INVALID')) return undefined
    throw error
  }
}

/** The guard alone, for an API that only checks tokens. */
export function createVerifierGuard<C>(
  verifier: TokenVerifier<C>,
  options: { onError?: OnError | undefined } = {},
): Guard<C> {
  checkVerifier('verifier', verifier, 'Write createRequireAuth(createVerifier({ issuer })).')
  checkOptions(options, { onError: true })
  const { onError = logError } = options
  return createGuard(verifier, createResponder(createOrigins(), onError))
}

function createGuard<C>(verifier: TokenVerifier<C>, responder: Responder): Guard<C> {
  const check = async (request: HttpRequest, needs?: GuardOptions<C>): Promise<Guarded<C>> => {
    try {
      return { token: await checkAccess(verifier, request, needs) }
    } catch (error) {
      return { rejection: responder.fail(request, error, { needs }) }
    }
  }
  return (request, needs) =>
    request.headers('authorization').length === 0
      ? { rejection: responder.fail(request, new DaypassError('ERR_ACCESS_TOKEN_MISSING')) }
      : check(request, needs)
}
