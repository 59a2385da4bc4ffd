// The door for everything that speaks Request and Response.

import { DaypassError } from '../core/errors.ts'
import type { HttpAnswer, HttpRequest } from './message.ts'

/** Reads a Request. `ip` is the caller's address, which a Request does not know. */
export function fromFetch(request: Request, ip?: string): HttpRequest {
  const url = new URL(request.url)
  return {
    method: request.method,
    path: url.pathname,
    host: url.host,
    secure: url.protocol === 'https:',
    ip,
    userAgent: request.headers.get('user-agent') ?? undefined,
    // Headers joins what came twice: ", " is in no Authorization, Origin or Host that came once.
    headers: (name) => {
      const value = request.headers.get(name)
      if (value === null) return []
      return name === 'authorization' || name === 'origin' ? value.split(', ') : [value]
    },
    text: (limit) => readText(request, limit),
    get aborted() {
      return request.signal.aborted
    },
  }
}

async function readText(request: Request, limit: number): Promise<string> {
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
