// Which pages may talk to us? CSRF and CORS: one question, one place.

import { DaypassError } from '../core/errors.ts'
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

/** `allowed` are exact origins such as `https://app.example.com`; there are no patterns. */
export function createOrigins(allowed: readonly string[] = []): Origins {
  for (const origin of allowed) {
    // The URL parser takes a star for a host; whoever writes one means a pattern, and would wait in vain.
    if (!URL.canParse(origin) || new URL(origin).origin !== origin || origin.includes('*')) {
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
      const origin = request.headers('origin')[0]
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
      isAllowed(request.headers('origin')[0]),
  }
}
