// Requests and responses of node:http, translated. The adapters for frameworks on node:http are built on it.

import type { IncomingMessage, ServerResponse } from 'node:http'
import type { TLSSocket } from 'node:tls'
import type { Daypass, FoundSession } from '../core/api.ts'
import { bufferOf } from '../core/bytes.ts'
import type { Claims } from '../core/session.ts'
import { DaypassError } from '../errors.ts'
import { type Client, type Connection, createClientFinder, type FindClient } from '../http/client-address.ts'
import type { GuardOptions, TokenVerifier } from '../http/guard.ts'
import { createHttpAuth, createVerifierGuard, type Guard } from '../http/http-auth.ts'
import { readIp } from '../http/ip-address.ts'
import type { HttpOptions, UserOfBoth } from '../http/options.ts'
import type { HttpRequest } from '../http/request.ts'
import { type HttpResponse, logError, type OnError, reportError } from '../http/response.ts'
import type { Person, SignInOptions, SignOutOptions } from '../http/sign-in-types.ts'
import type { OptionNames } from '../known-options.ts'
import type { AccessToken } from '../verify/index.ts'
import { createWarner } from '../warn.ts'

/** Options of the adapters on node:http. */
export interface NodeOptions<
  C = Claims,
  Credentials = Record<string, unknown>,
  User = unknown,
  Finds extends boolean = false,
> extends HttpOptions<C, Credentials, User, Finds> {
  /**
   * Addresses and networks of the proxies in front, such as `10.0.0.0/8`. X-Forwarded-* counts only if it comes from one
   * of them. Default: Express's `trust proxy`, Fastify's `trustProxy`, Koa's `proxy`, or none.
   */
  trustedProxies?: readonly string[]
}

const nodeOptions: OptionNames<Omit<NodeOptions, keyof HttpOptions>> = { trustedProxies: true }

/** A request of node:http, with what frameworks and body parsers add to it. */
export type NodeMessage = IncomingMessage & {
  body?: unknown
  /** Set by body-parser where it has read the body. */
  _body?: boolean
  /** The bytes of a body that other code has parsed: functions on GCP and Firebase, parsers with `verify`. */
  rawBody?: unknown
  /** The URL before a framework mounted the request elsewhere. */
  originalUrl?: string
}

/** A request with its response, as an adapter reads them from its framework. */
export interface NodeExchange {
  req: NodeMessage
  res: ServerResponse
  /** The body that other code has read, as its text, its bytes or its value; undefined where it was not kept. */
  body: unknown
  /** The client as the framework found it; undefined where the framework trusts no proxy, or not this one. */
  client?: () => Connection | undefined
  /** Called before the response is written. */
  takeOver?: () => void
  /** Hands the response to a framework that writes it by itself. Default: it is written to `res`. */
  write?: (response: HttpResponse) => void
}

/** A request that is read only. */
export type NodeReading = Pick<NodeExchange, 'req' | 'client'>

/** The functions of an adapter, over an exchange. */
export interface NodeHttp<C, User> {
  /** @param mount Default: the path that a framework has taken off `req.url`. */
  routes(exchange: NodeExchange, mount?: string): Promise<boolean>
  /** The addresses of the routes under a mount. */
  addresses(mount: string): string[]
  requireAuth: NodeGuard<C>
  findSession(exchange: NodeReading): Promise<FoundSession<C, User> | null>
  signIn(exchange: NodeExchange, person: Person<C>, options?: SignInOptions): Promise<void>
  signOut(exchange: NodeExchange, options?: SignOutOptions): Promise<void>
}

/** Returns the access token of a request, or null where the rejection is sent. */
export type NodeGuard<C> = (exchange: NodeExchange, needs: GuardOptions<C>) => Promise<AccessToken<C> | null>

/** Throws `ERR_OPTION_INVALID`. */
export function createNodeHttp<C, Credentials, Found, User extends Found, Finds extends boolean>(
  auth: Daypass<C, Finds, Found>,
  options: NodeOptions<C, Credentials, User, Finds>,
): NodeHttp<C, UserOfBoth<Found, User>> {
  const web = createHttpAuth(auth, options, nodeOptions)
  const findClient = createClientFinder(options.trustedProxies, createWarner(options.onWarning))
  const { onError } = options
  return {
    async routes(exchange, mount) {
      const request = readRequest(exchange, findClient)
      const response = await web.routes(request, mount ?? readMount(exchange.req, request.path))
      // An app that stopped waiting, as after a timeout, has answered by itself.
      if (response !== null) send(exchange, response, () => {})
      return response !== null
    },
    addresses: web.addresses,
    requireAuth: overNode(web.requireAuth, onError),
    findSession: (reading) => web.findSession(readRequest(reading, findClient)),
    async signIn(exchange, person, given) {
      if (isSent(exchange, onError)) return
      send(exchange, await web.signIn(readRequest(exchange, findClient), person, given), onError)
    },
    async signOut(exchange, given) {
      send(exchange, await web.signOut(readRequest(exchange, findClient), given), onError)
    },
  }
}

/** The guard alone, for an API that only checks tokens. */
export function createNodeGuard<C>(verifier: TokenVerifier<C>, options: Pick<NodeOptions, 'onError'>): NodeGuard<C> {
  return overNode(createVerifierGuard(verifier, options), options.onError)
}

function overNode<C>(guard: Guard<C>, onError: OnError | undefined): NodeGuard<C> {
  // A guard does not use the client's address, so it warns about no proxy.
  const findClient: FindClient = (connection) => ({ ...connection, local: false })
  return async (exchange, needs) => {
    const guarded = guard(readRequest(exchange, findClient), needs)
    // Send an immediate rejection synchronously: the app may not wait for this function.
    const { token, rejection } = guarded instanceof Promise ? await guarded : guarded
    if (rejection === undefined) return token
    send(exchange, rejection, onError)
    return null
  }
}

/** The body that other code has read. A body that is still to be read counts as none, whatever `req.body` holds. */
export function readKeptBody(req: NodeMessage, body = req.body): unknown {
  if (!req.readableEnded && !req.readableDidRead) return undefined
  if (typeof req.rawBody === 'string' || req.rawBody instanceof Uint8Array) return req.rawBody
  if (body === null || body === undefined || isPlaceholder(req, body) || isMisread(body)) return undefined
  return body
}

/** Whether a body is the `{}` of a parser that read nothing. Other code has then read what there was. */
function isPlaceholder(req: NodeMessage, body: object): boolean {
  const isEmpty = typeof body === 'object' && !ArrayBuffer.isView(body) && Object.keys(body).length === 0
  return isEmpty && req._body !== true && !(Number(req.headers['content-length']) <= 2)
}

/** Whether a body is JSON that a parser of forms took for the name of a field. */
function isMisread(body: object): boolean {
  return typeof body === 'object' && !ArrayBuffer.isView(body) && /^\s*\{/.test(Object.keys(body)[0] ?? '')
}

function readRequest(exchange: NodeReading & Partial<NodeExchange>, findClient: FindClient): HttpRequest {
  const { req, client } = exchange
  const { target, host } = readTarget(req)
  // Adapters for functions make requests without a socket.
  const { remoteAddress, encrypted } = (req.socket ?? {}) as Partial<TLSSocket>
  const connection = { ip: readIp(remoteAddress), secure: encrypted === true, host }
  return new NodeRequest(
    exchange,
    target,
    findClient(connection, (name) => req.headers[name]?.toString(), client),
  )
}

/** The path of a request, without its query, and the host. */
function readTarget(req: NodeMessage): { target: string; host: string } {
  const { originalUrl = req.url ?? '', headers } = req
  const { path, host } = splitUrl(originalUrl)
  return { target: path, host: host ?? headers.host ?? headers[':authority']?.toString() ?? '' }
}

/** The path of a URL, and the host of an absolute one, which proxies send. The header Host does not count then (RFC 9112 §3.2.2). */
function splitUrl(url: string): { path: string; host: string | undefined } {
  const [, host, rest] = url[0] === '/' ? [] : (/^https?:\/\/([^/?#]*)(.*)$/is.exec(url) ?? [])
  const path = rest ?? url
  const end = path.search(/[?#]/)
  return { path: end === -1 ? path : path.slice(0, end), host }
}

/** The path that a framework has taken off the URL before it called the routes: `/api` for `app.use('/api', web.routes)`. */
function readMount({ url = '', originalUrl = url }: NodeMessage, path: string): string {
  if (originalUrl === url) return ''
  const { path: below } = splitUrl(url)
  return path.endsWith(below) ? path.slice(0, path.length - below.length) : ''
}

/** A class: a getter in an object literal gives every object a shape of its own, and a refresh then costs a sixth more. */
class NodeRequest implements HttpRequest {
  readonly method: string
  readonly path: string
  readonly host: string
  readonly secure: boolean
  readonly ip: string | undefined
  readonly local: boolean
  readonly userAgent: string | undefined
  readonly #req: IncomingMessage
  readonly #res: ServerResponse | undefined
  readonly #body: unknown

  constructor({ req, res, body }: NodeReading & Partial<NodeExchange>, path: string, client: Client) {
    // A request that a server receives always has a method.
    this.method = req.method ?? ''
    this.path = path
    this.host = client.host
    this.secure = client.secure
    this.ip = client.ip
    this.local = client.local
    this.userAgent = req.headers['user-agent']
    this.#req = req
    this.#res = res
    this.#body = body
  }

  headers(name: string): string[] {
    return headerValues(this.#req, name)
  }

  get parsedBody(): unknown {
    return typeof this.#body === 'string' || this.#body instanceof Uint8Array ? undefined : this.#body
  }

  async text(limit: number): Promise<string> {
    const body = this.#body
    if (typeof body !== 'string' && !(body instanceof Uint8Array)) return readText(this.#req, limit)
    const bytes = toBytes(body)
    if (bytes.length > limit) throw new DaypassError('ERR_BODY_TOO_LARGE')
    return decode(bytes)
  }

  get aborted(): boolean {
    return this.#res?.destroyed || this.#req.socket?.destroyed === true
  }
}

/**
 * Every value of a header. `req.headers` keeps the first of two Authorization headers and joins two Cookie headers, so
 * the raw headers are read. Where the two differ, `req.headers` counts: middleware has set the header, or an adapter for
 * functions has made the request without raw headers.
 */
function headerValues({ headers, rawHeaders }: IncomingMessage, name: string): string[] {
  const value = headers[name]
  if (value === undefined) return []
  const values: string[] = []
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const raw = rawHeaders[index]
    if (raw?.length === name.length && raw.toLowerCase() === name) values.push(String(rawHeaders[index + 1]))
  }
  if (values[0] === value || values.join('; ') === value || values.join(', ') === value) return values
  // Some adapters for functions give a number.
  return [value].flat().map(String)
}

function readText(req: IncomingMessage, limit: number): Promise<string> {
  return new Promise((resolve, reject) => {
    // Other code has read the body, to its end or in part.
    if (req.readableEnded || req.readableDidRead) return reject(new DaypassError('ERR_BODY_CONSUMED'))
    // The connection closed during earlier middleware; 'close' was emitted then.
    if (req.destroyed) return reject(new DaypassError('ERR_REQUEST_ABORTED'))
    const chunks: Uint8Array[] = []
    let size = 0
    req.on('data', (chunk: Buffer | string) => {
      // A chunk is a string where other code has called setEncoding().
      const bytes = toBytes(chunk)
      size += bytes.length
      if (size > limit) {
        req.removeAllListeners('data').pause()
        reject(new DaypassError('ERR_BODY_TOO_LARGE'))
      } else chunks.push(bytes)
    })
    req.once('end', () => resolve(decode(chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks))))
    req.once('close', () => {
      if (!req.readableEnded) reject(new DaypassError('ERR_REQUEST_ABORTED'))
    })
  })
}

/** Removes a byte order mark, as other parsers do. */
const decode = (bytes: Uint8Array) =>
  bufferOf(bytes)
    .toString()
    .replace(/^\uFEFF/, '')

const toBytes = (chunk: string | Uint8Array) => (typeof chunk === 'string' ? Buffer.from(chunk) : chunk)

/** Whether the app has sent a response already. That is a fault of the app, which `onError` receives. */
function isSent({ res }: NodeExchange, onError: OnError = logError): boolean {
  if (res.headersSent) reportError(onError, new DaypassError('ERR_RESPONSE_SENT'))
  return res.headersSent
}

/** Sends a response. A caller that has disconnected gets none. */
function send(exchange: NodeExchange, response: HttpResponse, onError: OnError | undefined): void {
  const { res, takeOver, write } = exchange
  const { status, headers, body } = response
  if (isSent(exchange, onError)) return
  // The rest of the body is not read. HTTP/2 has no such header, and ends the stream alone.
  if (status === 413 && exchange.req.httpVersionMajor < 2) headers.connection = 'close'
  if (write !== undefined) {
    write(response)
    return
  }
  takeOver?.()
  if (res.destroyed) return
  const head: Record<string, string | number | string[]> = {}
  for (const [name, value] of Object.entries(headers)) {
    // Keep the cookies and the Vary that the app has set.
    if (name === 'set-cookie' || name === 'vary') res.appendHeader(name, value)
    else head[name] = value
  }
  if (body === undefined) {
    res.writeHead(status, head).end()
    return
  }
  head['content-length'] = Buffer.byteLength(body)
  res.writeHead(status, head)
  // A string goes out in one write with the head. Bytes would be a second write.
  res.end(res.req.method === 'HEAD' ? undefined : body)
}
