// The door for everything that speaks Request and Response.

import { DaypassError } from '../errors.ts'
import { hasForwardingHeader, isLoopback, readIp } from './local.ts'
import type { HttpAnswer, HttpRequest } from './message.ts'

/** Reads a Request. `address` is the caller's, which a Request does not know. */
export function fromFetch(request: Request, address?: string): HttpRequest {
  const url = new URL(request.url)
  const ip = readIp(address)
  return {
    method: request.method,
    path: url.pathname,
    host: url.host,
    secure: url.protocol === 'https:',
    ip,
    local: isLoopback(ip) && !hasForwardingHeader((name) => request.headers.get(name) ?? undefined),
    userAgent: request.headers.get('user-agent') ?? undefined,
    headers: (name) => {
      const value = request.headers.get(name)
      return value === null ? [] : [value]
    },
    text: (limit) => readText(request, limit),
    get aborted() {
      return request.signal.aborted
    },
  }
}

async function readText(request: Request, limit: number): Promise<string> {
  // Read by somebody else, or left out by whoever copied the headers alone.
  const isLost =
    request.bodyUsed || request.body?.locked || (!request.body && Number(request.headers.get('content-length')))
  if (isLost) throw new DaypassError('ERR_BODY_CONSUMED')
  const decoder = new TextDecoder()
  let text = ''
  let size = 0
  try {
    // `for await` cancels the stream when it is left early.
    for await (const chunk of request.body ?? []) {
      size += chunk.length
      if (size > limit) throw new DaypassError('ERR_BODY_TOO_LARGE')
      text += decoder.decode(chunk, { stream: true })
    }
  } catch (error) {
    throw request.signal.aborted ? new DaypassError('ERR_REQUEST_ABORTED') : error
  }
  return text + decoder.decode()
}

/** Makes a Response. */
export function toFetch({ status, headers, body }: HttpAnswer): Response {
  if (body === undefined) return new Response(null, { status, headers })
  return new Response(JSON.stringify(body), { status, headers: { ...headers, 'content-type': 'application/json' } })
}
