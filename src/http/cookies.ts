// The cookie of the refresh token. Script cannot read it.

import { DaypassError } from '../errors.ts'
import { checkOptions, type OptionNames } from '../known-options.ts'
import { createWarner, type Warn } from '../warn.ts'
import { isLocalHost } from './ip-address.ts'
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
  /**
   * A domain whose hosts all get the cookie: `example.com` for `app.example.com` and `api.example.com`. Needed only where
   * pages are rendered on another host than the one that has the routes. The cookie is then `__Secure-` instead of
   * `__Host-`: each host of the domain can read it, overwrite it, and plant one of its own. Default: the host alone.
   */
  domain?: string
}

const cookieOptions: OptionNames<CookieOptions> = { name: true, sameSite: true, oldName: true, domain: true }

/** The cookie's other attributes follow from the session and the connection. */
const advice = {
  maxAge: 'The cookie lives as long as the session: set `idleTimeout` of `createDaypass`.',
  expires: 'The cookie lives as long as the session: set `idleTimeout` of `createDaypass`.',
  secure: 'The cookie is always `Secure`, except over plain http on this machine.',
  httpOnly: 'The cookie is always `HttpOnly`: script cannot read it.',
  path: 'The path is always `/`: the prefix `__Host-` demands it. Apps on one host differ by `cookie.name`.',
}

// A Map compares without conversion: the list ['lax'] is not 'lax'.
const sameSites: ReadonlyMap<unknown, string> = new Map(Object.entries({ strict: 'Strict', lax: 'Lax', none: 'None' }))

/** The refresh token's cookie. */
export interface Cookie {
  /** Its value in a request; throws `ERR_REQUEST_INVALID` where there are two (RFC 6265 §4.2.2 leaves the order open). */
  read(request: HttpRequest): string | undefined
  /** The value of the older app's cookie. Undefined where there are two: a sibling host may have set the second. */
  readOld(request: HttpRequest): string | undefined
  /** All tokens that the browser holds. A sign-in replaces their sessions, and a sign-out ends them. */
  readAll(request: HttpRequest): string[]
  /** The `Set-Cookie` headers that store a token for `maxAge` seconds, or without it until the browser is closed. */
  set(request: HttpRequest, token: string, maxAge?: number): string[]
  /** The `Set-Cookie` headers that clear it, by every name that it came by. */
  clear(request: HttpRequest): string[]
}

/**
 * `__Host-` (RFC 6265bis §4.1.3.2): no other host and no page over plain http can set or overwrite it. Some browsers
 * keep no such cookie over plain http on this machine. There, and nowhere else, it has neither the prefix nor `Secure`.
 *
 * @param basePath The path before the routes. Two apps of one origin differ in it.
 * @param warn Receives a warning for a host that is not under `cookie.domain`. Default: the console.
 */
export function createCookie(options: CookieOptions = {}, basePath = '/auth', warn: Warn = createWarner()): Cookie {
  checkOptions(options, cookieOptions, 'cookie.', advice)
  const { name: givenName, sameSite = 'strict', oldName, domain } = options
  const name = givenName ?? `daypass${nameOfPath(basePath)}`
  if (!/^(?!__)[\w-]+$/.test(name)) {
    throw new DaypassError(
      'ERR_OPTION_INVALID',
      '`cookie.name` must be letters, digits, - and _, without a prefix such as __Host-: that is added.',
    )
  }
  const site = sameSites.get(sameSite)
  if (site === undefined) {
    throw new DaypassError('ERR_OPTION_INVALID', '`cookie.sameSite` is "strict", "lax" or "none".')
  }
  if (domain !== undefined && !isDomain(domain)) {
    throw new DaypassError(
      'ERR_OPTION_INVALID',
      '`cookie.domain` must be a domain such as example.com: lower case, without a scheme, a port or a dot at its start.',
    )
  }
  const secureName = `${domain === undefined ? '__Host-' : '__Secure-'}${name}`

  /** The names that a request's cookies may have, the one to read first in front, and the one to set. */
  function namesFor(request: HttpRequest): { read: string[]; set: string } {
    if (!isLocal(request)) return { read: [secureName], set: secureName }
    const port = /:(\d+)$/.exec(request.host)?.[1] ?? '80'
    const plain = givenName ? name : `${name}-${port}`
    // A callback from another site, or a form that hides its page, does not show whether the browser called this machine
    // over plain http. Its cookie is a `__Host-` cookie, has the port in its name, and is traded for the usual one by the
    // next refresh.
    const arrival = `__Host-${name}.${port}`
    const scheme = findScheme(request)
    if (scheme === 'http') return { read: [arrival, plain], set: plain }
    if (scheme === 'https') return { read: [arrival, secureName], set: secureName }
    return { read: [arrival, secureName, plain], set: arrival }
  }

  function line(name: string, value: string, maxAge: number | undefined): string {
    const kept = maxAge === undefined ? '' : `; Max-Age=${maxAge}`
    const attributes = `; Path=/${kept}; HttpOnly; SameSite=${site}${name.startsWith('__') ? '; Secure' : ''}`
    return `${name}=${value}${attributes}${name === secureName && domain ? `; Domain=${domain}` : ''}`
  }

  /** The `Set-Cookie` of the name to set, and those that clear the cookies that came by the names in `stale`. */
  function write(
    request: HttpRequest,
    { set, stale }: { set: string; stale: string[] },
    value: string,
    maxAge?: number,
  ): string[] {
    if (set === secureName && domain !== undefined) checkHost(request, domain, warn)
    const came = stale.filter((name) => name !== set && readCookies(request, name).length > 0)
    return [line(set, value, maxAge), ...came.map((name) => line(name, '', 0))]
  }

  /** The value of a cookie that came once. */
  function readSingle(request: HttpRequest, wanted: string): string | undefined {
    const values = readCookies(request, wanted)
    return values.length === 1 ? values[0] : undefined
  }
  const readOld = (request: HttpRequest) => (oldName === undefined ? undefined : readSingle(request, oldName))

  return {
    read(request) {
      for (const name of namesFor(request).read) {
        const value = readCookie(request, name)
        if (value !== undefined) return value
      }
      return undefined
    },
    readOld,
    readAll: (request) =>
      [...namesFor(request).read.map((name) => readSingle(request, name)), readOld(request)].filter(
        (token) => token !== undefined,
      ),
    set(request, token, maxAge) {
      const { read, set } = namesFor(request)
      // The first name is read first, so it would hide the new cookie.
      return write(request, { set, stale: read.slice(0, 1) }, token, maxAge)
    },
    clear(request) {
      const { read, set } = namesFor(request)
      return write(request, { set, stale: read }, '', 0)
    },
  }
}

/** Browsers accept no `Domain` that is an address, a name without a dot, or a public suffix. The last is not checked here. */
function isDomain(text: unknown): boolean {
  if (typeof text !== 'string' || !/^[a-z\d-]+(\.[a-z\d-]+)+$/.test(text) || !URL.canParse(`https://${text}`))
    return false
  return !/^[\d.]+$/.test(text) && new URL(`https://${text}`).hostname === text
}

/** Warns if the browser will drop the cookie. A proxy that changes the Host causes the warning, too. */
function checkHost({ host }: HttpRequest, domain: string, warn: Warn): void {
  const hostname = host.toLowerCase().replace(/:\d*$/, '')
  if (hostname === domain || hostname.endsWith(`.${domain}`)) return
  const problem = `The cookie is for ${domain} (\`cookie.domain\`), but the request is for the host ${JSON.stringify(hostname)}, which is not under it. Browsers drop such a cookie. If a proxy changes the Host, name it in \`trustedProxies\`.`
  warn('DAYPASS_COOKIE_DOMAIN', problem, hostname)
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

/** Whether the caller and the Host are on this machine, over a connection that is not encrypted. */
const isLocal = ({ secure, local, host }: HttpRequest) => !secure && local && isLocalHost(host)

/**
 * The scheme by which a browser called this machine; undefined where the request does not show it. A proxy on this
 * machine may have changed the Host, so the Host and the caller's address are not enough: the browser must say it too. A
 * page on `http://localhost` with `Sec-Fetch-Site: same-origin` or `same-site` called `http://localhost`. The page of an
 * app in a WebView is there too, but sends `cross-site`. Without `Sec-Fetch-Site` the page's origin must be exactly the
 * one that is called.
 */
function findScheme(request: HttpRequest): 'http' | 'https' | undefined {
  const [site, mode, origin, referer] = ['sec-fetch-site', 'sec-fetch-mode', 'origin', 'referer'].map((name) =>
    request.headers(name).join(),
  )
  // Browsers send an Origin with every POST, and a Referer with most links and forms. A form of a page with
  // `Referrer-Policy: no-referrer` sends no Referer, and the Origin `null`.
  const [, page = ''] = /^http:\/\/([^/]*)/.exec(origin || referer || '') ?? []
  const isHere = site === 'same-origin' || site === 'same-site'
  if (isLocalHost(page) && (site === '' ? page === request.host.toLowerCase() : isHere)) return 'http'
  // These requests do not show whether their page was loaded by http or https.
  if (origin === 'null' || (origin === '' && request.method === 'GET')) return undefined
  const isHidden = origin === '' && referer === ''
  if (mode === 'navigate' && (isHidden || site !== 'same-origin')) return undefined
  return isHidden && (site === 'same-origin' || site === 'none') ? 'http' : 'https'
}
