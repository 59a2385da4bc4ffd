// What Express and Fastify have found out about a request before it comes to Daypass: its body and its caller.

import type { IncomingMessage, ServerResponse } from 'node:http'
import { readIp } from './local.ts'
import type { Hop } from './proxies.ts'

/** A Fastify request, as far as it is read here. */
export interface FastifyRequestLike {
  raw: IncomingMessage
  body?: unknown
  ip: string
  protocol: string
  /** The Host with its port. Fastify 4 calls it `hostname`. */
  host?: string
  hostname: string
}

/** A Fastify reply, as far as it is used here. */
export interface FastifyReplyLike {
  raw: ServerResponse
  hijack(): unknown
  getHeaders(): Record<string, number | string | string[] | undefined>
}

type ExpressRequest = IncomingMessage & {
  body?: unknown
  /** body-parser has read this body. */
  _body?: boolean
  /** The bytes of a body that somebody has parsed: functions on GCP and Firebase, parsers with `verify`. */
  rawBody?: unknown
  app?: { get?(setting: string): unknown }
  ip?: string
  secure?: boolean
}

/** What a framework knows of a request. */
export interface Known {
  req: IncomingMessage
  /** The body that somebody has read, as its text, its bytes or its value; undefined where nobody has kept it. */
  body: unknown
  /** The caller, where the framework is set to trust proxies and trusts this one. */
  trust: () => Hop | undefined
}

/** Reads what a framework knows of its request. */
export function readFramework(request: IncomingMessage | FastifyRequestLike): Known {
  if ('raw' in request) {
    // A body that Fastify has read is null or undefined where there is none.
    return { req: request.raw, body: request.body ?? readBody(request.raw), trust: () => readFastifyCaller(request) }
  }
  return { req: request, body: readBody(request), trust: () => readExpressCaller(request) }
}

/** A body that is still to be read is read by us, whatever stands in `req.body`. */
function readBody(req: ExpressRequest): unknown {
  if (!req.readableEnded && !req.readableDidRead) return undefined
  if (typeof req.rawBody === 'string' || req.rawBody instanceof Uint8Array) return req.rawBody
  const { body } = req
  if (body === null || body === undefined || isPlaceholder(req, body) || isMisread(body)) return undefined
  return body
}

/** Parsers put `{}` where they read nothing; then somebody else has read what there was. */
function isPlaceholder(req: ExpressRequest, body: object): boolean {
  const isEmpty = typeof body === 'object' && !ArrayBuffer.isView(body) && Object.keys(body).length === 0
  return isEmpty && req._body !== true && !(Number(req.headers['content-length']) <= 2)
}

/** A JSON text that a parser of forms took for the name of a field. */
function isMisread(body: object): boolean {
  return typeof body === 'object' && !ArrayBuffer.isView(body) && /^\s*\{/.test(Object.keys(body)[0] ?? '')
}

/** Express's own answer to "who asks?", by its `trust proxy`. */
function readExpressCaller(req: ExpressRequest): Hop | undefined {
  const trusts = req.app?.get?.('trust proxy fn')
  if (typeof trusts !== 'function' || !trusts(req.socket.remoteAddress, 0)) return undefined
  const [forwardedHost = ''] = (req.headers['x-forwarded-host']?.toString() ?? '').split(',', 1)
  return {
    ip: readIp(req.ip),
    secure: req.secure === true,
    host: forwardedHost.trim() || (req.headers.host ?? ''),
  }
}

/** Fastify's, by its `trustProxy`. Only then has a request `ips`. */
function readFastifyCaller(request: FastifyRequestLike): Hop | undefined {
  if (!('ips' in request)) return undefined
  const { ip, protocol, host, hostname } = request
  return { ip: readIp(ip), secure: protocol === 'https', host: host ?? hostname }
}

/** The response to write to. Fastify is told to leave it alone, and the headers that its plugins have set go along. */
export function sendThrough(response: ServerResponse | FastifyReplyLike): ServerResponse {
  if (!('raw' in response)) return response
  response.hijack()
  for (const [name, value] of Object.entries(response.getHeaders())) {
    if (value !== undefined) response.raw.setHeader(name, value)
  }
  return response.raw
}
