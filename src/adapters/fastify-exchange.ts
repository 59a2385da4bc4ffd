// Requests and replies of Fastify, translated.

import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Connection } from '../http/client-address.ts'
import { readIp } from '../http/ip-address.ts'
import { type NodeExchange, readKeptBody } from './node-http.ts'

// biome-ignore lint/suspicious/noExplicitAny: Fastify types a request by its route
type AnyRequest = FastifyRequest<any>

/** A request of Fastify with its reply. */
export const read = (request: AnyRequest, reply: FastifyReply): NodeExchange => ({
  req: request.raw,
  res: reply.raw,
  // `request.body` is null or undefined where Fastify has read no body.
  body: request.body ?? readKeptBody(request.raw),
  client: () => readClient(request),
  // Fastify leaves the response alone from here on. The headers that its plugins have set go along.
  takeOver() {
    reply.hijack()
    for (const [name, value] of Object.entries(reply.getHeaders())) {
      if (value !== undefined) reply.raw.setHeader(name, value)
    }
  },
})

/** The client as Fastify found it, by its `trustProxy`. Only then does a request have `ips`. */
export function readClient(request: AnyRequest): Connection | undefined {
  if (!('ips' in request)) return undefined
  return { ip: readIp(request.ip), secure: request.protocol === 'https', host: request.host }
}
