// How does the refresh token travel in a cookie that script cannot read?

import { DaypassError } from '../core/errors.ts'
import type { HttpRequest } from './message.ts'

/** How the cookie is set. */
export interface CookieOptions {
  /**
   * The name; `__Host-` goes before it. Default "daypass", and after it a base path other than `/auth` (`daypass-shop-auth`),
   * and over plain http on this machine the port (`daypass-3000`): browsers give a cookie to every port of a host.
   * Give each app on one host its own where their base paths are the same.
   */
  name?: string
  /** Default "strict": it goes along only where the page is of the same site. "none" for a page of another site. */
  sameSite?: 'strict' | 'lax' | 'none'
  /**
   * The cookie in which the app kept its refresh tokens before, for the `adopt` option: read where ours is not there,
   * and worth nothing after a sign-out.
   */
  oldName?: string
}

/** The refresh token's cookie. */
export interface Cookie {
  /** Its value in a request; throws `ERR_REQUEST_INVALID` where there are two (RFC 6265 §4.2.2 leaves the order open). */
  read(request: HttpRequest): string | undefined
  /** The same of the cookie before ours. */
  readOld(request: HttpRequest): string | undefined
  /** The `Set-Cookie` that keeps a token for `maxAge` seconds. */
  set(request: HttpRequest, token: string, maxAge: number): string
  /** The `Set-Cookie` that removes it. */
  clear(request: HttpRequest): string
}

/**
 * `__Host-` (RFC 6265bis §4.1.3.2): no other host and no plain-text page can set or overwrite it. Over plain http on
 * this very machine some browsers keep no such cookie, so there, and nowhere else, it loses its prefix and `Secure`.
 *
 * @param basePath Where the routes are. Two apps of one origin are told apart by it.
 */
export function createCookie(
  { name: givenName, sameSite = 'strict', oldName }: CookieOptions = {},
  basePath = '/auth',
): Cookie {
  const name = givenName ?? `daypass${basePath === '/auth' ? '' : basePath.replaceAll(/[^\w-]/g, '-')}`
  if (!/^[\w-]+$/.test(name))
    throw new DaypassError('ERR_OPTION_INVALID', '`cookie.name` must be letters, digits, - and _.')
  if (!['strict', 'lax', 'none'].includes(sameSite)) {
    throw new DaypassError('ERR_OPTION_INVALID', '`cookie.sameSite` is "strict", "lax" or "none".')
  }
  const site = `SameSite=${sameSite[0]!.toUpperCase()}${sameSite.slice(1)}`
  const plainName = ({ host }: HttpRequest) => (givenName ? name : `${name}-${/:(\d+)$/.exec(host)?.[1] ?? 80}`)
  const nameFor = (request: HttpRequest) => (isPlainLocal(request) ? plainName(request) : `__Host-${name}`)
  const write = (request: HttpRequest, value: string, maxAge: number) =>
    `${nameFor(request)}=${value}; Path=/; Max-Age=${maxAge}; HttpOnly; ${site}${isPlainLocal(request) ? '' : '; Secure'}`
  return {
    read: (request) => readCookie(request, nameFor(request)),
    readOld: (request) => (oldName === undefined ? undefined : readCookie(request, oldName)),
    set: write,
    clear: (request) => write(request, '', 0),
  }
}

function readCookie(request: HttpRequest, wanted: string): string | undefined {
  const values: string[] = []
  for (const line of request.headers('cookie')) {
    for (const spaced of line.split(';')) {
      // Blanks and tabs, as browsers put them there, and nothing else that `trim` takes for blank: a sibling host could
      // set a cookie with a no-break space before its name, that is no `__Host-` cookie to the browser and would be to us.
      const pair = spaced.replace(/^[ \t]+/, '')
      if (pair.startsWith(`${wanted}=`)) values.push(pair.slice(wanted.length + 1))
    }
  }
  if (values.length > 1) throw new DaypassError('ERR_REQUEST_INVALID', `The cookie ${wanted} came twice.`)
  return values[0]
}

/**
 * Whether a browser on this machine shows a page of this machine over plain http. A proxy's defaults change the Host, so
 * the Host alone decides nothing: the caller's address and the page's origin must both say so too.
 */
function isPlainLocal(request: HttpRequest): boolean {
  if (request.secure || !request.local || !/^(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/i.test(request.host)) return false
  // Browsers send an Origin with every POST; programs send none.
  return request
    .headers('origin')
    .every((origin) => /^(?!https:)[a-z][a-z\d+.-]*:\/\/(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/.test(origin))
}
