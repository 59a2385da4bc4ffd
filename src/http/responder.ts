// Makes responses: `no-store`, CORS headers and errors are the same for all of them.

import { DaypassError } from '../errors.ts'
import { show, wrongOption } from '../option.ts'
import type { Origins } from './origins.ts'
import type { HttpRequest } from './request.ts'
import {
  type AccessNeeds,
  errorResponse,
  type HttpResponse,
  type OnError,
  type RouteResponse,
  reportError,
} from './response.ts'

/** Makes responses. */
export interface Responder {
  /** Completes what a route returned. Throws where JSON cannot hold its body. */
  respond(
    request: HttpRequest,
    response: RouteResponse,
    given?: { cacheControl?: string | undefined; allow?: string },
  ): HttpResponse
  /**
   * Makes the response to an error, and reports 5xx errors to the operator.
   *
   * @param given The demands on an access token that the challenge names, and the methods of a path (`Allow`).
   */
  fail(request: HttpRequest, thrown: unknown, given?: { needs?: AccessNeeds | undefined; allow?: string }): HttpResponse
}

/** @param onError Receives errors with a 5xx status. */
export function createResponder(origins: Origins, onError: OnError): Responder {
  const respond: Responder['respond'] = (request, response, { cacheControl = 'no-store', allow } = {}) => {
    const headers = Object.assign(lowerCase(response.headers), origins.headers(request, allow))
    checkSendable(response.status, headers)
    headers['cache-control'] = cacheControl
    const isBodiless = [204, 205, 304].includes(response.status ?? 200)
    const body = isBodiless ? undefined : (JSON.stringify(response.body) as string | undefined)
    if (body !== undefined) headers['content-type'] = 'application/json'
    return { status: response.status ?? (body === undefined ? 204 : 200), headers, body }
  }
  return {
    respond,
    fail(request, thrown, { needs, allow } = {}) {
      reportError(onError, thrown)
      const { headers, ...response } = errorResponse(thrown, needs)
      return respond(request, { ...response, headers: allow === undefined ? headers : { ...headers, allow } })
    },
  }
}

/** Names in lower case, so that no header of a route stands beside the router's of the same name. */
function lowerCase(headers: RouteResponse['headers'] = {}): HttpResponse['headers'] {
  const lower: HttpResponse['headers'] = {}
  for (const [name, value] of Object.entries(headers)) lower[name.toLowerCase()] = value
  return lower
}

/** Throws what would fail while the response is sent: there it would not be reported, and the caller would wait. */
function checkSendable(status: number | undefined, headers: HttpResponse['headers']): void {
  if (status !== undefined && !(Number.isInteger(status) && status >= 200 && status <= 599)) {
    throw wrongOption('status', status, 'A route returns a status from 200 to 599.')
  }
  for (const [name, value] of Object.entries(headers)) {
    const isSendable = /^[\w!#$%&'*+.^`|~-]+$/.test(name) && [value].flat().every((text) => isHeaderValue.test(text))
    if (!isSendable) {
      throw new DaypassError(
        'ERR_OPTION_INVALID',
        `A route's response has a header that HTTP cannot hold: ${show(name)}. Encode its value, such as with encodeURIComponent().`,
      )
    }
  }
}

/** RFC 9110 §5.5: no line breaks, no other control characters, and nothing beyond Latin-1. */
const isHeaderValue = /^[\t\x20-\x7e\x80-\xff]*$/
