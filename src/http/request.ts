// An HTTP request as Daypass's routes see it. Each adapter translates its framework's request into this shape.

import type { RequestOrigin } from '../core/events.ts'
import { DaypassError } from '../errors.ts'
import { parseJson } from '../json.ts'

/** A request, as far as a route may need it. */
export interface RouteRequest extends RequestOrigin {
  readonly method: string
  /** The path alone: no query, no origin. */
  readonly path: string
  /** The `Host`, as the browser sees it. */
  readonly host: string
  /** Whether the browser's side of the connection is encrypted. */
  readonly secure: boolean
  /** Every value of a header, by its name in lower case. A header that was sent twice is two values, or one with a comma. */
  headers(name: string): string[]
}

/** A request, as far as the router needs it. */
export interface HttpRequest extends RouteRequest {
  /** Whether the caller is on this machine: its address says so, and no forwarding header denies it. */
  readonly local: boolean
  /**
   * The body's text, at most `limit` bytes; empty where there is none.
   * Throws `ERR_BODY_TOO_LARGE`, and `ERR_BODY_CONSUMED` where other code has read the body and kept nothing.
   */
  text(limit: number): Promise<string>
  /** The value that another parser made of the JSON body (`express.json()`); undefined where none did. */
  readonly parsedBody?: unknown
  /** Whether the caller has disconnected. Its token is not redeemed then. */
  readonly aborted: boolean
}

/**
 * The value of a header that may come once. Throws `ERR_REQUEST_INVALID` where it came twice. Two values that something
 * on the way joined with a comma (RFC 9110 §5.3) count as two. No such header has a comma of its own.
 */
export function header(request: HttpRequest, name: string): string | undefined {
  const values = request.headers(name)
  if (values.length > 1 || values[0]?.includes(', '))
    throw new DaypassError('ERR_REQUEST_INVALID', `The header ${name} came twice.`)
  return values[0]
}

/**
 * The body as a JSON object; an empty one where there is no body.
 *
 * @throws DaypassError `ERR_MEDIA_TYPE`, `ERR_BODY_TOO_LARGE`, `ERR_REQUEST_INVALID`, `ERR_BODY_CONSUMED`.
 */
export async function readJsonObject(request: HttpRequest, limit: number): Promise<Record<string, unknown>> {
  const length = header(request, 'content-length')
  if ((length === undefined || length === '0') && request.headers('transfer-encoding').length === 0) {
    // No length and no encoding is no body in HTTP/1. HTTP/2 and fetch may still have one.
    if (length === '0' || header(request, 'content-type') === undefined) return {}
  }
  if (Number(length) > limit) throw new DaypassError('ERR_BODY_TOO_LARGE')
  if (!isPlainJson(request)) throw new DaypassError('ERR_MEDIA_TYPE')
  const { parsedBody } = request
  // The length of a body in chunks is not known once it is parsed. The length of its value is.
  if (parsedBody !== undefined && length === undefined && Buffer.byteLength(JSON.stringify(parsedBody)) > limit) {
    throw new DaypassError('ERR_BODY_TOO_LARGE')
  }
  const body = parsedBody === undefined ? parseBody(await request.text(limit)) : parsedBody
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw new DaypassError('ERR_REQUEST_INVALID', 'The body must be a JSON object.')
  }
  return body as Record<string, unknown>
}

/** Whether the body is JSON in UTF-8 (RFC 8259 §8.1), not compressed. Parsers differ in anything else. */
function isPlainJson(request: HttpRequest): boolean {
  const type = header(request, 'content-type')?.toLowerCase() ?? ''
  const encoding = header(request, 'content-encoding')?.toLowerCase() ?? 'identity'
  return encoding === 'identity' && (type === 'application/json' || isJsonInUtf8(type))
}

function isJsonInUtf8(mediaType: string): boolean {
  const [type = '', ...parameters] = mediaType.split(';')
  const charset = parameters.map((parameter) => /^\s*charset="?([^"]*?)"?\s*$/.exec(parameter)?.[1]).find(Boolean)
  return type.trim() === 'application/json' && /^utf-?8$/.test(charset ?? 'utf-8')
}

function parseBody(text: string): unknown {
  try {
    return text === '' ? {} : parseJson(text)
  } catch {
    // Without the parser's message: it quotes the body, which may hold a password.
    throw new DaypassError('ERR_REQUEST_INVALID', 'The body is not JSON.')
  }
}
