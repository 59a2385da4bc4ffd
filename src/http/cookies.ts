// The cookie of the refresh token. Script cannot read it.

import { DaypassError } from '../errors.ts'
import type { HttpRequest } from './request.ts'

/** How the cookie is set. */
export interface CookieOptions {
  /**
   * The name; `__Host-` goes before it. Default "daypass", and after it a base path other than `/auth` (`daypass-shop-auth`),
   * and over plain http on this machine the port (`daypass-3000`): browsers give a cookie to every port of a host.
   * Apps on one host that have the same base path need a name each.
   */
  name?: string
  /** Default "strict": browsers send it only for pages of the same site. "none" is for pages of another site. */
  sameSite?: 'strict' | 'lax' | 'none'
  /**
   * The cookie in which the app kept its refresh tokens before, for the `adopt` option. It is read where Daypass's cookie
   * is not there. A sign-out makes its token worthless.
   */
  oldName?: string
}

/** The refresh token's cookie. */
export interface Cookie {
  /** Its value in a request; throws `ERR_REQUEST_INVALID` where there are two (RFC 6265 §4.2.2 leaves the order open). */
  read(request: HttpRequest): string | undefined
  /** The value of the older app's cookie. Undefined where there are two: a sibling host may have set the second. */
  readOld(request: HttpRequest): string | undefined
  /** The `Set-Cookie` that stores a token for `maxAge` seconds. */
  set(request: HttpRequest, token: string, maxAge: number): string
  /** The `Set-Cookie` that clears it. */
  clear(request: HttpRequest): string
}

/**
 * `__Host-` (RFC 6265bis §4.1.3.2): no other host and no page over plain http can set or overwrite it. Some browsers
 * keep no such cookie over plain http on this machine. There, and nowhere else, it has neither the prefix nor `Secure`.
 *
 * @param basePath The path before the routes. Two apps of one origin differ in it.
 */
export function createCookie(
  { name: givenName, sameSite = 'strict', oldName }: CookieOptions = {},
  basePath = '/auth',
): Cookie {
  const name = givenName ?? `daypass${nameOfPath(basePath)}`
  if (!/^[\w-]+$/.test(name))
    throw new DaypassError('ERR_OPTION_INVALID', '`cookie.name` must be letters, digits, - and _.')
  if (!['strict', 'lax', 'none'].includes(sameSite)) {
    throw new DaypassError('ERR_OPTION_INVALID', '`cookie.sameSite` is "strict", "lax" or "none".')
  }
  const site = `SameSite=${sameSite.replace(/^./, (letter) => letter.toUpperCase())}`
  const plainName = ({ host }: HttpRequest) => (givenName ? name : `${name}-${/:(\d+)$/.exec(host)?.[1] ?? 80}`)
  const nameFor = (request: HttpRequest) => (isPlainLocal(request) ? plainName(request) : `__Host-${name}`)
  const write = (request: HttpRequest, value: string, maxAge: number) =>
    `${nameFor(request)}=${value}; Path=/; Max-Age=${maxAge}; HttpOnly; ${site}${isPlainLocal(request) ? '' : '; Secure'}`
  return {
    read: (request) => readCookie(request, nameFor(request)),
    readOld(request) {
      const values = oldName === undefined ? [] : readCookies(request, oldName)
      return values.length === 1 ? values[0] : undefined
    },
    set: write,
    clear: (request) => write(request, '', 0),
  }
}

/** A name that no other path has: `/` becomes `-`, and any other sign but letters and digits `_` and its code. */
function nameOfPath(path: string): string {
  if (path === '/auth') return ''
  if (path === '') return '_root'
  return path.replaceAll(/[^a-z\d]/gi, (sign) => (sign === '/' ? '-' : `_${sign.charCodeAt(0).toString(16)}`))
}

function readCookie(request: HttpRequest, wanted: string): string | undefined {
  const values = readCookies(request, wanted)
  if (values.length > 1) throw new DaypassError('ERR_REQUEST_INVALID', `The cookie ${wanted} came twice.`)
  return values[0]
}

function readCookies(request: HttpRequest, wanted: string): string[] {
  const values: string[] = []
  for (const line of request.headers('cookie')) {
    for (const spaced of line.split(';')) {
      // Remove blanks and tabs alone, not all that `trim` removes. A sibling host could set a cookie with a no-break
      // space before its name, which browsers do not take for a `__Host-` cookie.
      const pair = spaced.replace(/^[ \t]+/, '')
      if (pair.startsWith(`${wanted}=`)) values.push(pair.slice(wanted.length + 1))
    }
  }
  return values
}

/**
 * Whether a browser called this machine over plain http. A proxy on this machine may have changed the Host, so the Host
 * and the caller's address are not enough: the browser must say it too. A page on `http://localhost` with
 * `Sec-Fetch-Site: same-origin` or `same-site` called `http://localhost`. The page of an app in a WebView is there too,
 * but sends `cross-site`. Without `Sec-Fetch-Site` the page's origin must be exactly the one that is called.
 */
function isPlainLocal(request: HttpRequest): boolean {
  const { secure, local, host } = request
  if (secure || !local || !/^(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/i.test(host)) return false
  const [site, origin, referer] = ['sec-fetch-site', 'origin', 'referer'].map((name) => request.headers(name).join())
  // Browsers send an Origin with every POST, and a Referer with most links and forms.
  const page = /^http:\/\/(localhost|127\.0\.0\.1|\[::1\])(:\d+)?(?=\/|$)/.exec(origin || referer || '')?.[0]
  if (site === '') return page === `http://${host.toLowerCase()}`
  if (origin === '' && referer === '') return site === 'same-origin' || site === 'none'
  return page !== undefined && (site === 'same-origin' || site === 'same-site')
}
