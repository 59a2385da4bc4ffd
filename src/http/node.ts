// The door for node:http and what is built on it: (req, res), and no Request object on the way.

import type { IncomingMessage, ServerResponse } from 'node:http'
import type { TLSSocket } from 'node:tls'
import { DaypassError } from '../errors.ts'
import { type FastifyReplyLike, type FastifyRequestLike, readFramework, sendThrough } from './frameworks.ts'
import { readIp } from './local.ts'
import type { HttpAnswer, HttpRequest } from './message.ts'
import type { Caller, Unproxy } from './proxies.ts'

/** A request of node:http, of Express (which is one), or of Fastify (which has one). */
export type NodeRequestLike = IncomingMessage | FastifyRequestLike

/** A response of node:http, of Express, or of Fastify. */
export type NodeResponseLike = ServerResponse | FastifyReplyLike

/** Reads a request, with what its framework has found out about it already. */
export function fromNode(request: NodeRequestLike, response: NodeResponseLike, unproxy: Unproxy): HttpRequest {
  const { req, body, trust } = readFramework(request)
  const { target, host } = readTarget(req)
  const { remoteAddress, encrypted } = (req.socket ?? {}) as TLSSocket
  const hop = { ip: readIp(remoteAddress), secure: encrypted === true, host }
  const caller = unproxy(hop, (name) => req.headers[name]?.toString(), trust)
  return new NodeRequest(req, 'raw' in response ? response.raw : response, target, caller, body)
}

const utf8 = new TextDecoder()

/** The path that was asked for, without its query, and at which host. */
function readTarget(req: IncomingMessage & { originalUrl?: string }): { target: string; host: string } {
  const { originalUrl = req.url!, headers } = req
  // A proxy's way to ask, where the Host counts for nothing (RFC 9112 §3.2.2).
  const [, host, rest] = originalUrl[0] === '/' ? [] : (/^https?:\/\/([^/?#]*)(.*)$/is.exec(originalUrl) ?? [])
  const path = rest ?? originalUrl
  const end = path.search(/[?#]/)
  return {
    target: end === -1 ? path : path.slice(0, end),
    host: host ?? headers.host ?? headers[':authority']?.toString() ?? '',
  }
}

/** A class, because a getter in a literal gives every object a shape of its own: a sixth of what a refresh costs. */
class NodeRequest implements HttpRequest {
  readonly method: string
  readonly path: string
  readonly host: string
  readonly secure: boolean
  readonly ip: string | undefined
  readonly local: boolean
  readonly userAgent: string | undefined
  readonly #req: IncomingMessage
  readonly #res: ServerResponse
  readonly #body: unknown

  constructor(req: IncomingMessage, res: ServerResponse, path: string, caller: Caller, body: unknown) {
    // What a server receives has a method.
    this.method = req.method!
    this.path = path
    this.host = caller.host
    this.secure = caller.secure
    this.ip = caller.ip
    this.local = caller.local
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
    const isKept = typeof body === 'string' || body instanceof Uint8Array
    const bytes = isKept ? Buffer.from(body as Uint8Array) : await readBytes(this.#req, limit)
    if (bytes.length > limit) throw new DaypassError('ERR_BODY_TOO_LARGE')
    // Without a byte order mark, as every other parser has it.
    return utf8.decode(bytes)
  }

  get aborted(): boolean {
    return this.#res.destroyed || this.#req.socket?.destroyed === true
  }
}

/**
 * Every value of a header. `req.headers` keeps the first of two Authorization headers and joins two Cookie headers, so
 * what came over the wire is read. Where the two do not fit, middleware has set the header, or an adapter for functions
 * has made the request and knows no raw headers: then `req.headers` is right.
 */
function headerValues({ headers, rawHeaders }: IncomingMessage, name: string): string[] {
  const value = headers[name]
  if (value === undefined) return []
  const values: string[] = []
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const raw = rawHeaders[index]!
    if (raw.length === name.length && raw.toLowerCase() === name) values.push(String(rawHeaders[index + 1]))
  }
  if (values[0] === value || values.join('; ') === value || values.join(', ') === value) return values
  // Adapters have been seen to give a number.
  return [value].flat().map(String)
}

function readBytes(req: IncomingMessage, limit: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    // Read by somebody before us, to its end or in part.
    if (req.readableEnded || req.readableDidRead) return reject(new DaypassError('ERR_BODY_CONSUMED'))
    // The connection closed during earlier middleware; 'close' was emitted then.
    if (req.destroyed) return reject(new DaypassError('ERR_REQUEST_ABORTED'))
    const chunks: Buffer[] = []
    let size = 0
    req.on('data', (chunk: Buffer | string) => {
      // A text where somebody has called setEncoding().
      const bytes = Buffer.from(chunk as Buffer)
      size += bytes.length
      if (size > limit) {
        req.removeAllListeners('data').pause()
        reject(new DaypassError('ERR_BODY_TOO_LARGE'))
      } else chunks.push(bytes)
    })
    req.once('end', () => resolve(Buffer.concat(chunks)))
    req.once('close', () => {
      if (!req.readableEnded) reject(new DaypassError('ERR_REQUEST_ABORTED'))
    })
  })
}

/** Sends an answer. A caller that has gone gets none. */
export function toNode(response: NodeResponseLike, { status, headers, body }: HttpAnswer): void {
  const res = sendThrough(response)
  if (res.headersSent || res.destroyed) return
  const head: Record<string, string | number> = {}
  for (const [name, value] of Object.entries(headers)) {
    // What the app has set stays: its own cookies, and what its answers vary by.
    if (name === 'set-cookie' || name === 'vary') res.appendHeader(name, value)
    else head[name] = value
  }
  // The rest of the body is not read. HTTP/2 has no such header, and ends the stream alone.
  if (status === 413 && res.req.httpVersionMajor < 2) head.connection = 'close'
  if (body === undefined) {
    res.writeHead(status, head).end()
    return
  }
  // A text goes out in one write with the head; bytes would be a second.
  const text = JSON.stringify(body)
  head['content-type'] = 'application/json'
  head['content-length'] = Buffer.byteLength(text)
  res.writeHead(status, head)
  res.end(res.req.method === 'HEAD' ? undefined : text)
}
