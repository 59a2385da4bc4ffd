// The options of Daypass over HTTP. They are the same for every adapter.

import type { Claims } from '../core/session.ts'
import { checkOptions, type OptionNames } from '../known-options.ts'
import { checkFunctions, checkList, wrongOption } from '../option.ts'
import type { OnWarning } from '../warn.ts'
import type { CookieOptions } from './cookies.ts'
import type { Route } from './route.ts'
import type { SignIn, SignInRequest, Transport } from './sign-in-types.ts'
import { checkTransport } from './token-transport.ts'

/** Options of the HTTP surface. */
export interface HttpOptions<
  C = Claims,
  Credentials = Record<string, unknown>,
  User = unknown,
  Finds extends boolean = false,
> {
  /** The path before Daypass's own routes. Default "/auth"; "" for none. */
  basePath?: string
  /**
   * Other paths for Daypass's own routes: `refresh-token` is below `basePath`, `/api/refresh-token` is from the root. A
   * client names the same paths, by `refreshPath` and so on.
   */
  paths?: { login?: string; refresh?: string; logout?: string; sessions?: string }
  /**
   * Adds `POST /login`. Returns the person that the credentials belong to, or null. The credentials are the JSON body as
   * it came, so check the types of its members. A type that you declare for them is used by your clients
   * (`createClient<typeof web>()`).
   */
  authenticate?: (
    credentials: Credentials,
    request: SignInRequest,
  ) => SignIn<C, User, Finds> | null | Promise<SignIn<C, User, Finds> | null>
  /** Routes of the app's own that follow the same rules as Daypass's: see {@link Route}. */
  routes?: readonly Route<C, Finds>[]
  /** The transport of a sign-in that names none (`"transport": "body"`). Default "cookie". */
  transport?: Transport
  /**
   * Pages of other origins that may use this server with cookies, exact: `https://app.example.com`, and of apps in a
   * WebView and browser extensions: `capacitor://localhost`, `chrome-extension://…`.
   */
  origins?: readonly string[]
  /** How the cookie of the refresh token is set. */
  cookie?: CookieOptions
  /** The most bytes that a body may have. Default 16,384. */
  bodyLimit?: number
  /** Receives the reason why a response is 500 or 503. Default: `console.error`. */
  onError?: (error: unknown) => void
  /** Receives faults of the set-up, at most once a minute of each kind and cause (docs/errors.md). Default: `console.warn`. */
  onWarning?: OnWarning
}

const httpOptions: OptionNames<HttpOptions> = {
  basePath: true,
  paths: true,
  authenticate: true,
  routes: true,
  transport: true,
  origins: true,
  cookie: true,
  bodyLimit: true,
  onError: true,
  onWarning: true,
}

const pathOptions: OptionNames<NonNullable<HttpOptions['paths']>> = {
  login: true,
  refresh: true,
  logout: true,
  sessions: true,
}

const ofDaypass = '`createDaypass` takes it.'

/** Options of `createDaypass`, and the names that other libraries have. */
const advice = {
  trustedProxies: 'Pass the caller’s address with each request: `web.routes(request, { ip })`.',
  ...{ onEvent: ofDaypass, findSubject: ofDaypass, secret: ofDaypass, store: ofDaypass, issuer: ofDaypass },
  trustProxy: 'It is called `trustedProxies`, and takes addresses.',
  baseUrl: 'It is called `basePath`.',
  prefix: 'It is called `basePath`.',
}

/** Throws `ERR_OPTION_INVALID` for an option that does not exist or is of another type. */
export function checkHttpOptions<C, Credentials>(
  options: HttpOptions<C, Credentials, unknown, true>,
  adapterOptions: Readonly<Record<string, true>> = {},
): void {
  checkOptions(options, { ...httpOptions, ...adapterOptions }, '', advice)
  checkOptions(options.paths, pathOptions, 'paths.')
  checkTransport(options.transport)
  checkList('routes', options.routes, 'see `Route` for its members.')
  checkFunctions(options, 'authenticate', 'onError', 'onWarning')
  const { bodyLimit } = options
  if (bodyLimit !== undefined && !(typeof bodyLimit === 'number' && bodyLimit > 0)) {
    throw wrongOption('bodyLimit', bodyLimit, 'Give a number of bytes.')
  }
}

/**
 * The type of the `user` of an adapter: that of `findSubject`, which alone counts after a reload, or else that of
 * `authenticate`.
 */
export type UserOfBoth<Found, User> = unknown extends Found ? User : Found

/** The types of a server that a client can use: `createClient<typeof web>()`. */
export interface ServerTypes<C, Credentials, User> {
  claims: C
  credentials: Credentials
  user: User
}
