// A Request of fetch, translated. The adapters for frameworks on fetch are built on it.

import { DaypassError } from '../errors.ts'
import { hasForwardingHeader, isLoopback, readIp } from '../http/ip-address.ts'
import type { HttpRequest } from '../http/request.ts'

/** @param address The caller's, as the runtime knows it. */
export function readRequest(request: Request, address?: string): HttpRequest {
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
  // Other code has read the body, or has copied the request without it.
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
