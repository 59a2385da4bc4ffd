// Which pages may talk to us? CSRF and CORS: one question, one place.

import { DaypassError } from '../errors.ts'
import { type HttpRequest, header } from './message.ts'

/** The pages that are let in beside our own. */
export interface Origins {
  /** Throws `ERR_ORIGIN_REFUSED` where an unsafe request comes from a page that is not let in. */
  check(request: HttpRequest, usesCookie: boolean): void
  /** The CORS headers of an answer; none for origins that are not let in. */
  headers(request: HttpRequest): Record<string, string>
  /** Whether the request is a CORS preflight of an allowed page. */
  isPreflight(request: HttpRequest): boolean
}

/** `allowed` are exact origins such as `https://app.example.com` or `capacitor://localhost`; there are no patterns. */
export function createOrigins(allowed: readonly string[] = []): Origins {
  for (const origin of allowed) {
    if (!isOrigin(origin)) {
      throw new DaypassError(
        'ERR_OPTION_INVALID',
        `\`origins\` takes exact origins such as https://app.example.com, without a path or a slash: ${origin}`,
      )
    }
  }
  const allowedOrigins = new Set<string | undefined>(allowed)
  const isAllowed = (origin: string | undefined) => allowedOrigins.has(origin)
  const isOwn = (origin: string | undefined, { secure, host }: HttpRequest) =>
    origin === `${secure ? 'https' : 'http'}://${host}`

  return {
    check(request, usesCookie) {
      const site = header(request, 'sec-fetch-site')
      const origin = header(request, 'origin')
      if (site === 'same-origin' || isAllowed(origin)) return
      if (site === undefined) {
        // Old browsers, and pages on plain http, say their origin; programs that are no browser say nothing.
        if (isOwn(origin, request)) return
        if (origin === undefined && !usesCookie) return
      }
      throw new DaypassError('ERR_ORIGIN_REFUSED')
    },
    headers(request) {
      if (allowedOrigins.size === 0) return {}
      const origin = readOrigin(request)
      if (!isAllowed(origin)) return { vary: 'Origin' }
      const headers: Record<string, string> = {
        vary: 'Origin',
        'access-control-allow-origin': origin!,
        'access-control-allow-credentials': 'true',
        'access-control-expose-headers': 'Retry-After, WWW-Authenticate, DPoP-Nonce',
      }
      if (request.method !== 'OPTIONS') return headers
      return {
        ...headers,
        'access-control-allow-methods': 'GET, POST, DELETE',
        'access-control-allow-headers': 'Authorization, Content-Type, Idempotency-Key, DPoP',
        'access-control-max-age': '600',
      }
    },
    isPreflight: (request) =>
      request.method === 'OPTIONS' &&
      request.headers('access-control-request-method').length === 1 &&
      isAllowed(readOrigin(request)),
  }
}

/** Two headers are no origin, whether they come apart or joined. */
function readOrigin(request: HttpRequest): string | undefined {
  const values = request.headers('origin')
  return values.length === 0 ? undefined : values.join(', ')
}

/**
 * Whether a text is an origin as browsers send it. Apps in a WebView and browser extensions have schemes of their own,
 * for which the URL parser knows no origin. Not `file:`: every page on the disk would be let in.
 */
function isOrigin(text: string): boolean {
  // The URL parser takes a star for a host; whoever writes one means a pattern, and would wait in vain.
  if (!URL.canParse(text) || text.includes('*')) return false
  const { origin, protocol, host } = new URL(text)
  if (origin !== 'null') return origin === text
  return protocol !== 'file:' && host !== '' && `${protocol}//${host}` === text
}
