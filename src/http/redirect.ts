// Checks where a sign-in may lead: a path of this server, or an address at an allowed origin.

import { DaypassError } from '../errors.ts'
import type { Origins } from './origins.ts'
import type { HttpRequest } from './request.ts'

/**
 * The `Location` of a redirect after a sign-in. Of a list, the first entry that is allowed counts, so a `next` that came
 * with a request may stand before the app's own page.
 *
 * @throws DaypassError `ERR_REDIRECT_REFUSED` if no entry is allowed.
 */
export function findLocation(origins: Origins, request: HttpRequest, redirect: unknown): string {
  for (const target of [redirect].flat()) {
    const location = typeof target === 'string' ? readTarget(origins, request, target) : undefined
    if (location !== undefined) return location
  }
  throw new DaypassError('ERR_REDIRECT_REFUSED')
}

/** A target as it goes into the header; undefined where it may lead elsewhere. */
function readTarget(origins: Origins, request: HttpRequest, target: string): string | undefined {
  // The URL parser removes tabs and line breaks, and trims control characters, as browsers do. None of them is needed.
  if (/\p{Cc}/u.test(target)) return undefined
  if (target[0] === '/') {
    // Browsers take a backslash for a slash, and two slashes for the beginning of a host.
    if (/^\/[/\\]/.test(target)) return undefined
    const { pathname, search, hash } = new URL(target, 'http://path.invalid')
    // Normalized, `/.//evil.example` begins with two slashes as well.
    return pathname.startsWith('//') ? undefined : pathname + search + hash
  }
  // Without two slashes, browsers resolve some of these against the page's own address.
  if (!/^[a-z][a-z\d+.-]*:\/\//i.test(target) || !URL.canParse(target)) return undefined
  const { protocol, host, username, password, pathname, search, hash, href } = new URL(target)
  const origin = `${protocol}//${host}`
  if (username !== '' || password !== '' || !origins.has(origin, request)) return undefined
  // Behind a proxy that ends TLS and is not named, this server seems to be on plain http. A path stays on https.
  return origins.isOwn(origin, request) && !pathname.startsWith('//') ? pathname + search + hash : href
}
