// The door for node:http and what is built on it: (req, res), and no Request object on the way.

import type { IncomingMessage, ServerResponse } from 'node:http'
import type { TLSSocket } from 'node:tls'
import { DaypassError } from '../core/errors.ts'
import type { HttpAnswer, HttpRequest } from './message.ts'
import { type Hop, type Unproxy, unmap } from './proxies.ts'

/** Reads a node:http request. Express's is one, with its `originalUrl` and its parsed `body`. */
export function fromNode(req: IncomingMessage, res: ServerResponse, unproxy: Unproxy): HttpRequest {
  const { headers } = req
  const { remoteAddress } = req.socket
  const hop = unproxy(
    {
      ip: remoteAddress && unmap(remoteAddress),
      secure: (req.socket as TLSSocket).encrypted === true,
      host: headers.host ?? headers[':authority']?.toString() ?? '',
    },
    (name) => headers[name]?.toString(),
  )
  return new NodeRequest(req, res, hop)
}

/** A class, because a getter in a literal gives every object a shape of its own: a sixth of what a refresh costs. */
class NodeRequest implements HttpRequest {
  readonly method: string
  readonly path: string
  readonly host: string
  readonly secure: boolean
  readonly ip: string | undefined
  readonly userAgent: string | undefined
  readonly parsedBody: unknown
  readonly #req: IncomingMessage
  readonly #res: ServerResponse

  constructor(req: IncomingMessage, res: ServerResponse, { host, secure, ip }: Hop) {
    // What a server receives has both an address and a method.
    const { originalUrl = req.url!, body } = req as IncomingMessage & { originalUrl?: string; body?: unknown }
    const query = originalUrl.indexOf('?')
    this.method = req.method!
    this.path = query === -1 ? originalUrl : originalUrl.slice(0, query)
    this.host = host
    this.secure = secure
    this.ip = ip
    this.userAgent = req.headers['user-agent']
    this.parsedBody = req.readableEnded ? body : undefined
    this.#req = req
    this.#res = res
  }

  headers(name: string): string[] {
    return headerValues(this.#req, name)
  }

  text(limit: number): Promise<string> {
    return readText(this.#req, limit)
  }

  get aborted(): boolean {
    return this.#res.destroyed || this.#req.socket.destroyed
  }
}

/** Not `req.headers`, which keeps the first of two Authorization headers and joins two Cookie headers. */
function headerValues({ headers, rawHeaders }: IncomingMessage, name: string): string[] {
  if (headers[name] === undefined) return []
  const values: string[] = []
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const raw = rawHeaders[index]!
    if (raw.length === name.length && raw.toLowerCase() === name) values.push(rawHeaders[index + 1]!)
  }
  return values
}

function readText(req: IncomingMessage, limit: number): Promise<string> {
  return new Promise((resolve, reject) => {
    // Somebody before us read it and kept nothing.
    if (req.readableEnded) return resolve('')
    // It closed while somebody before us took their time: no event would tell us any more.
    if (req.destroyed) return reject(new DaypassError('ERR_REQUEST_ABORTED'))
    const chunks: Buffer[] = []
    let size = 0
    req.on('data', (chunk: Buffer) => {
      size += chunk.length
      if (size > limit) {
        req.removeAllListeners('data').pause()
        reject(new DaypassError('ERR_BODY_TOO_LARGE'))
      } else chunks.push(chunk)
    })
    req.once('end', () => resolve(Buffer.concat(chunks).toString()))
    req.once('close', () => {
      if (!req.readableEnded) reject(new DaypassError('ERR_REQUEST_ABORTED'))
    })
  })
}

/** Sends an answer. A caller that has gone gets none. */
export function toNode(res: ServerResponse, { status, headers, body }: HttpAnswer): void {
  if (res.headersSent || res.destroyed) return
  const head: Record<string, string | number> = {}
  for (const [name, value] of Object.entries(headers)) {
    // What the app has set stays: its own cookies, and what its answers vary by.
    if (name === 'set-cookie' || name === 'vary') res.appendHeader(name, value)
    else head[name] = value
  }
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
