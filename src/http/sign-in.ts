// Begins a session over HTTP.

import type { Daypass } from '../core/api.ts'
import { DaypassError } from '../errors.ts'
import { isObject, wrongOption } from '../option.ts'
import type { HttpRequest } from './request.ts'
import type { RouteResponse } from './response.ts'
import type { Person, Transport } from './sign-in-types.ts'
import type { TokenTransport } from './token-transport.ts'

/** Begins a session for a person, and returns the response with its tokens. */
export type BeginSession<C> = (request: HttpRequest, person: Person<C>, transport: Transport) => Promise<RouteResponse>

/** @param onReplaceFailed Receives the error where the session that the browser held before could not be ended. */
export function createHttpSignIn<C>(
  auth: Daypass<C, true>,
  tokens: TokenTransport,
  onReplaceFailed: (error: unknown) => void,
): BeginSession<C> {
  return async (request, person, transport) => {
    if (!isObject(person)) throw wrongOption('signIn', person, 'Give the person: web.signIn(…, { subject: user.id }).')
    // A HEAD must change nothing (RFC 9110 §9.2.1). Frameworks run the handler of a GET for it, and scanners of links send it.
    if (request.method === 'HEAD') throw new DaypassError('ERR_REQUEST_INVALID', 'A HEAD request begins no session.')
    if (person.subject === undefined) {
      throw wrongOption(
        'subject',
        undefined,
        'Give the person: { subject: String(user.id) }, with `claims` and `user` beside.',
      )
    }
    const { subject, user, ...given } = person
    // Check what can fail before the session is there, or it would stay with nobody holding its token.
    if (request.aborted) throw new DaypassError('ERR_REQUEST_ABORTED')
    JSON.stringify(user)
    const { ip, userAgent } = request
    const device = { ip, userAgent, ...given.device }
    // The new cookie overwrites the browser's old one, and nobody could sign out of that session any more.
    const replaces = [...(given.replaces ?? []), ...(transport === 'cookie' ? tokens.readAll(request) : [])]
    const issued = await auth.issue(subject, { onReplaceFailed, ...given, device, replaces })
    return tokens.respond(request, user === undefined ? issued : { ...issued, user }, transport)
  }
}
