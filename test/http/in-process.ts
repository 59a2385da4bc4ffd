// Shared by the HTTP tests that need no socket: a request as the router sees it, and routes that are called directly.

import assert from 'node:assert/strict'
import { createHttpAuth } from '../../src/http/http-auth.ts'
import type { HttpOptions } from '../../src/http/options.ts'
import type { HttpRequest } from '../../src/http/request.ts'
import type { HttpResponse } from '../../src/http/response.ts'
import type { DaypassOptions, Warning } from '../../src/index.ts'
import { authenticate, makeDaypass, ownPage, password, type Role } from './server.ts'

/** A request of a test. Header names are in lower case. */
export interface Asked
  extends Partial<Pick<HttpRequest, 'host' | 'secure' | 'local' | 'ip' | 'userAgent' | 'aborted'>> {
  headers?: Record<string, string | string[]>
  /** Sent as JSON. */
  json?: unknown
  /** Sent as it is. */
  text?: string
  /** What reading the body does, in place of returning what is sent. */
  read?: () => Promise<string>
  /** The value that another parser made of the body. */
  parsedBody?: unknown
}

/** Makes a request over https for `id.test`: `makeRequest('POST /auth/refresh', { json: {} })`. */
export function makeRequest(line: string, { headers = {}, json, text: given, read, parsedBody, ...more }: Asked = {}) {
  const [method = '', path = ''] = line.split(' ')
  const text = json === undefined ? given : JSON.stringify(json)
  const all: Asked['headers'] = {
    ...(json !== undefined && { 'content-type': 'application/json' }),
    ...(text !== undefined && { 'content-length': String(Buffer.byteLength(text)) }),
    ...headers,
  }
  const request: HttpRequest = {
    method,
    path,
    host: 'id.test',
    secure: true,
    local: false,
    ip: '192.0.2.1',
    userAgent: 'Test/1',
    aborted: false,
    parsedBody,
    headers: (name) => [all[name] ?? []].flat(),
    text: read ?? (async () => text ?? ''),
    ...more,
  }
  return request
}

/** A response whose body is parsed. */
export interface ParsedResponse extends Omit<HttpResponse, 'body'> {
  json: any
  /** The refresh token's cookie, `name=value`. */
  cookie: string | undefined
}

const parse = ({ body, ...response }: HttpResponse): ParsedResponse => ({
  ...response,
  json: body === undefined ? undefined : JSON.parse(body),
  cookie: [response.headers['set-cookie'] ?? []].flat()[0]?.split(';')[0],
})

/** Daypass over HTTP, without a server. Its errors, warnings and events are kept. */
export function open(http: HttpOptions<Role> = {}, options: Partial<DaypassOptions<Role>> = {}) {
  const made = makeDaypass(options)
  const errors: unknown[] = []
  const warnings: Warning[] = []
  const onError = (error: unknown) => errors.push(error)
  const onWarning = (warning: Warning) => warnings.push(warning)
  const web = createHttpAuth(made.auth, { authenticate, onError, onWarning, ...http } as HttpOptions<Role>)
  /** Asks for a route. Null where there is none. */
  const find = async (line: string, asked: Asked = {}, mount?: string) => {
    const response = await web.routes(makeRequest(line, asked), mount)
    return response && parse(response)
  }
  const ask = async (line: string, asked: Asked = {}): Promise<ParsedResponse> => {
    const response = await find(line, asked)
    assert.ok(response, `${line} is a route`)
    return response
  }
  /** Signs in. The cookie transport is a page's of this origin. */
  const signIn = async (transport: 'cookie' | 'body' = 'body', name = 'ada') => {
    const response = await ask('POST /auth/login', { json: { name, password, transport }, headers: ownPage })
    assert.equal(response.status, 200)
    return response
  }
  const signInAs = async (asked: Asked, ...given: unknown[]) =>
    parse(await web.signIn(makeRequest('POST /own', asked), ...(given as [any])))
  const signOutAs = async (asked: Asked, given?: object) =>
    parse(await web.signOut(makeRequest('POST /own', asked), given))
  const guard = async (asked: Asked, needs?: object) => {
    const { token, rejection } = await web.requireAuth(makeRequest('GET /me', asked), needs)
    return token ?? parse(rejection)
  }
  return { ...made, web, errors, warnings, find, ask, signIn, signInAs, signOutAs, guard }
}

/** Checks a rejection: its status, its code, and that it says no more than it should. */
export function assertRejected(response: ParsedResponse, status: number, code: string, message?: RegExp): void {
  assert.deepEqual([response.status, response.json?.code], [status, code])
  assert.equal(response.headers['cache-control'], 'no-store')
  assert.equal(response.headers['set-cookie'], undefined)
  assert.equal(response.headers['retry-after'], undefined)
  // Only some codes have an `error` of OAuth.
  assert.notEqual(response.json.error, '')
  assert.match(response.json.message, message ?? /./)
}
