// What is a request and an answer in here? The one shape that the two doors, node.ts and fetch.ts, translate.

import type { RequestOrigin } from '../core/events.ts'
import { DaypassError } from '../errors.ts'

/** A request, as far as the routes need it. */
export interface HttpRequest extends RequestOrigin {
  method: string
  /** The path alone: no query, no origin. */
  path: string
  /** The `Host`, as the browser sees it. */
  host: string
  /** Whether the browser's side of the connection is encrypted. */
  secure: boolean
  /** Whether the caller is on this machine, as its address says and no forwarding header denies. */
  local: boolean
  /** Every value that came under a name (lower case). A header sent twice is two values, or one with a comma. */
  headers(name: string): string[]
  /**
   * The body's text, at most `limit` bytes; empty where there is none.
   * Throws `ERR_BODY_TOO_LARGE`, and `ERR_BODY_CONSUMED` where somebody has read the body and kept nothing.
   */
  text(limit: number): Promise<string>
  /** The value that another parser made of the JSON body (`express.json()`); undefined where none did. */
  parsedBody?: unknown
  /** Whether the caller has gone away; its token is not redeemed then. */
  readonly aborted: boolean
}

/** An answer: JSON, or nothing. */
export interface HttpAnswer {
  status: number
  headers: Record<string, string>
  body?: unknown
}

/**
 * The value of a header that may come once. Throws `ERR_REQUEST_INVALID` where it came twice, also where something on
 * the way joined the two with a comma (RFC 9110 §5.3): platforms differ in that, and no such header has a comma of its own.
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
    // No length and no encoding is no body in HTTP/1; HTTP/2 and the fetch door may still have one.
    if (length === '0' || header(request, 'content-type') === undefined) return {}
  }
  if (Number(length) > limit) throw new DaypassError('ERR_BODY_TOO_LARGE')
  if (!isPlainJson(request)) throw new DaypassError('ERR_MEDIA_TYPE')
  const { parsedBody } = request
  // The length of a body in chunks is not known once it is parsed; what it says still is.
  if (parsedBody !== undefined && length === undefined && Buffer.byteLength(JSON.stringify(parsedBody)) > limit) {
    throw new DaypassError('ERR_BODY_TOO_LARGE')
  }
  const body = parsedBody === undefined ? parseJson(await request.text(limit)) : parsedBody
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw new DaypassError('ERR_REQUEST_INVALID', 'The body must be a JSON object.')
  }
  return body as Record<string, unknown>
}

/** JSON in UTF-8 (RFC 8259 §8.1), not compressed. What one parser inflates or decodes, another would misread. */
function isPlainJson(request: HttpRequest): boolean {
  const [type, ...parameters] = (header(request, 'content-type') ?? '').toLowerCase().split(';')
  const charset = parameters.map((parameter) => /^\s*charset="?([^"]*?)"?\s*$/.exec(parameter)?.[1]).find(Boolean)
  const encoding = header(request, 'content-encoding')?.toLowerCase() ?? 'identity'
  return type!.trim() === 'application/json' && /^utf-?8$/.test(charset ?? 'utf-8') && encoding === 'identity'
}

function parseJson(text: string): unknown {
  try {
    return text === '' ? {} : JSON.parse(text)
  } catch {
    // Without the parser's words: they quote the body, and there are passwords in it.
    throw new DaypassError('ERR_REQUEST_INVALID', 'The body is not JSON.')
  }
}

/** Says an error over HTTP. Whoever is no DaypassError says nothing of itself. */
export function errorAnswer(thrown: unknown): HttpAnswer {
  const error = toPublic(thrown)
  // A wrong option is the operator's business; the caller gets told no more than that it failed.
  const message = error.status === 500 ? 'Something went wrong here; it was logged.' : error.message
  const headers: Record<string, string> = {}
  if (error.retryAfter !== undefined) headers['retry-after'] = String(Math.max(1, Math.ceil(error.retryAfter)))
  const code = error.code
  return {
    status: error.status,
    headers,
    body: error.error === '' ? { code, message } : { error: error.error, code, message },
  }
}

/** Which disk is full and whose lock it is, or what an app's own error says, is the operator's business. */
function toPublic(thrown: unknown): DaypassError {
  if (!(thrown instanceof DaypassError)) return new DaypassError('ERR_INTERNAL')
  if (!thrown.code.startsWith('ERR_STORE_')) return thrown
  // Every 503 says when to try again.
  return new DaypassError('ERR_STORE_UNAVAILABLE', undefined, { retryAfter: thrown.retryAfter! })
}

/** Tells the operator what the caller cannot mend. A logger that fails is its own business: the answer goes out. */
export function tellOperator(onError: (error: unknown) => unknown, thrown: unknown): void {
  if (thrown instanceof DaypassError && thrown.status < 500) return
  try {
    Promise.resolve(onError(thrown)).catch(() => {})
  } catch {}
}
