// The origin check of requests (CSRF) and the CORS headers of responses.

import { DaypassError } from '../errors.ts'
import { checkList, show, wrongOption } from '../option.ts'
import type { Warn } from '../warn.ts'
import { type HttpRequest, header } from './request.ts'

/** The pages that may use this server: its own, and those of the origins that are listed. */
export interface Origins {
  /** Throws `ERR_ORIGIN_REFUSED` where a request that changes something comes from any other page. */
  check(request: HttpRequest, usesCookie: boolean): void
  /**
   * The same check for a sign-in that leads on to a page. The browser may also come from another site with a GET, as from
   * an identity provider or a link in a mail, and with a POST if the app allows that.
   */
  checkArrival(request: HttpRequest, allowsPost: boolean): void
  /** Whether an origin is this server's own. */
  isOwn(origin: string, request: HttpRequest): boolean
  /** Whether an origin is this server's own or a listed one. */
  has(origin: string, request: HttpRequest): boolean
  /** The CORS headers of a response; none for origins that are not listed. `allow` are the methods of its path. */
  headers(request: HttpRequest, allow?: string): Record<string, string>
  /** Whether the request is a CORS preflight of an allowed page. */
  isPreflight(request: HttpRequest): boolean
}

/**
 * @param allowed Exact origins such as `https://app.example.com` or `capacitor://localhost`; there are no patterns.
 * @param warn Receives a warning for a page that is not allowed.
 */
export function createOrigins(allowed: readonly string[] = [], warn: Warn = () => {}): Origins {
  const exact = "exact origins, without a path or a slash at the end, such as ['https://app.example.com']."
  checkList('origins', allowed, exact)
  for (const origin of allowed) if (!isOrigin(origin)) throw wrongOption('origins', origin, `Give ${exact}`)
  const allowedOrigins = new Set<string | undefined>(allowed)
  const isAllowed = (origin: string | undefined) => allowedOrigins.has(origin)
  const isOwn = (origin: string | undefined, { secure, host }: HttpRequest) =>
    origin === `${secure ? 'https' : 'http'}://${host}`

  function check(request: HttpRequest, usesCookie: boolean): void {
    const site = header(request, 'sec-fetch-site')
    const origin = header(request, 'origin')
    if (site === 'same-origin' || isAllowed(origin)) return
    if (site === undefined) {
      // Old browsers and pages on plain http send an Origin alone. Programs send neither header.
      if (isOwn(origin, request)) return
      if (origin === undefined && !usesCookie) return
    }
    // A program, or a browser that does not name its page.
    if (origin === undefined)
      throw new DaypassError('ERR_ORIGIN_REFUSED', site === undefined ? notFromBrowser : undefined)
    warn('DAYPASS_ORIGIN_UNLISTED', describe(origin, request), origin)
    throw new DaypassError('ERR_ORIGIN_REFUSED', site === undefined && origin === 'null' ? hidesPage : undefined)
  }

  return {
    check,
    checkArrival(request, allowsPost) {
      const isAllowedMethod = request.method === 'GET' || (request.method === 'POST' && allowsPost)
      if (!(isAllowedMethod && isPageLoad(request))) check(request, false)
    },
    isOwn,
    has: (origin, request) => isOwn(origin, request) || isAllowed(origin),
    headers(request, allow) {
      if (allowedOrigins.size === 0) return {}
      const origin = readOrigin(request)
      if (!isAllowed(origin)) return { vary: 'Origin' }
      const headers: Record<string, string> = {
        vary: 'Origin',
        'access-control-allow-origin': origin,
        'access-control-allow-credentials': 'true',
        'access-control-expose-headers': 'Retry-After, WWW-Authenticate',
      }
      if (request.method !== 'OPTIONS' || allow === undefined) return headers
      return {
        ...headers,
        'access-control-allow-methods': allow,
        'access-control-allow-headers': 'Authorization, Content-Type, Idempotency-Key',
        'access-control-max-age': '600',
      }
    },
    isPreflight: (request) =>
      request.method === 'OPTIONS' &&
      request.headers('access-control-request-method').length === 1 &&
      isAllowed(readOrigin(request)),
  }
}

/**
 * Whether a request loads a page of its own: not a frame, a script's call or a picture. A browser that sends no such
 * headers is judged by its method alone.
 */
function isPageLoad(request: HttpRequest): boolean {
  const [site, mode, dest] = ['sec-fetch-site', 'sec-fetch-mode', 'sec-fetch-dest'].map((name) => header(request, name))
  return site === undefined ? request.method === 'POST' : mode === 'navigate' && dest === 'document'
}

const notFromBrowser =
  'The request has neither an Origin nor Sec-Fetch-Site, so no browser sent it, and it may not use the cookie. Sign in with `"transport": "body"`, and send `refreshToken` in the body.'

const hidesPage =
  'The browser sent the Origin `null`, which may be any page. A form of a page with `Referrer-Policy: no-referrer` sends it: serve the page with `Referrer-Policy: same-origin`.'

/** Anybody can send any Origin, so only an operator who knows a page should list it. */
function describe(origin: string, { host, secure }: HttpRequest): string {
  const refused = `A page of the origin ${show(origin)} was refused.`
  if (origin === `http://${host}` || origin === `https://${host}`) {
    return `${refused} That is this server's own host, but this request came over ${secure ? 'https' : 'http'}: load the page over it, too, or name the proxy that ends TLS in \`trustedProxies\`.`
  }
  if (isOrigin(origin)) return `${refused} If it is yours, and only then, list it: \`origins: [${show(origin)}]\`.`
  const advice =
    origin === 'null'
      ? ' If it is a form of yours, serve its page with `Referrer-Policy: same-origin`, not `no-referrer`.'
      : ''
  return `${refused} It cannot be listed: sandboxed frames, files and many others share it.${advice}`
}

/** Two Origin headers, apart or joined, match no listed origin, and neither does an empty one. */
const readOrigin = (request: HttpRequest): string => request.headers('origin').join(', ')

/**
 * Whether a text is an origin as browsers send it. Apps in a WebView and browser extensions have schemes of their own,
 * for which the URL parser knows no origin. `file:` is refused: it would allow every page on the disk.
 */
function isOrigin(text: unknown): boolean {
  // The URL parser accepts a star in a host. There are no patterns here, so it would never match.
  if (typeof text !== 'string' || !URL.canParse(text) || text.includes('*')) return false
  const { protocol, host } = new URL(text)
  return protocol !== 'file:' && host !== '' && `${protocol}//${host}` === text
}
