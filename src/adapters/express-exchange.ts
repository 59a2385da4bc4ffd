// Requests and responses of Express, translated.

import type { Request, Response } from 'express'
import type { Connection } from '../http/client-address.ts'
import { readIp } from '../http/ip-address.ts'
import { type NodeExchange, readKeptBody } from './node-http.ts'

// biome-ignore lint/suspicious/noExplicitAny: Express types the parameters of a path by its text
type AnyRequest = Request<any>

/** A request of Express with its response. */
export const read = (req: AnyRequest, res: Response): NodeExchange => ({
  req,
  res,
  body: readKeptBody(req),
  client: () => readClient(req),
})

/** The client as Express found it, by its `trust proxy`. Undefined where Express trusts no proxy, or not this one. */
export function readClient(req: AnyRequest): Connection | undefined {
  const trusts = req.app?.get?.('trust proxy fn')
  if (typeof trusts !== 'function' || !trusts(req.socket.remoteAddress, 0)) return undefined
  const [forwardedHost = ''] = (req.headers['x-forwarded-host']?.toString() ?? '').split(',', 1)
  return {
    ip: readIp(req.ip),
    secure: req.secure === true,
    host: forwardedHost.trim() || (req.headers.host ?? ''),
  }
}
