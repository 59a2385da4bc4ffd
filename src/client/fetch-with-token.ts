// Sends a call with the access token, and sends it again with a renewed one after a 401.

import { discardBody } from './discard-body.ts'
import { DaypassClientError, isSignedOut } from './errors.ts'

/** Options of a call. The signal detaches it at once; a refresh that it waits for goes on for other calls. */
export interface CallOptions {
  signal?: AbortSignal | null
}

/** The right to make one call in one session. */
export interface Pass {
  /** The access token to send. */
  token: string
  /**
   * Returns the token for a second attempt after a 401. It refreshes only if the rejected token is still the current one. If
   * the session is over or another one has begun, it rejects with ERR_SIGNED_OUT.
   */
  renew(options?: CallOptions): Promise<string>
}

/** See `authorize` of the client. */
export type Authorize = (url: string, options?: CallOptions) => Promise<Pass | undefined>

/**
 * Throws if the address requires more than a valid token: a refresh would change nothing (RFC 6750 §3.1, RFC 9470 §3).
 *
 * @param challenge The `WWW-Authenticate` header.
 */
export function checkSufficient(status: number, challenge: string | null | undefined, response: unknown): void {
  const reason = /\berror="?(insufficient_\w+)/.exec(challenge ?? '')?.[1]
  if (reason && (status === 401 || status === 403)) {
    throw new DaypassClientError('ERR_ACCESS_INSUFFICIENT', { reason, status, response })
  }
}

/** Whether the server ended the session: then the caller gets the 401 response itself. */
export const isEndedByServer = (error: unknown) => isSignedOut(error) && error.reason !== 'sign-out'

/** Makes a function with fetch's own signature. `send` is the underlying fetch. */
export function createFetch(send: typeof fetch, trusts: (url: string) => boolean, authorize: Authorize): typeof fetch {
  return async (input, init) => {
    // A call to another origin is passed on unchanged.
    if (!trusts((input as Request).url ?? input)) return send(input, init)

    // Read the body at once, as fetch does, so that later changes by the caller have no effect.
    const given = init?.body
    const body = asSource(given)
    // For a long string, an empty one gives the request the same content type without a copy.
    const sample = typeof given === 'string' ? '' : typeof body === 'string' ? given : body
    const request = new Request(input, body ? { ...init, body: sample } : init)
    // Each request with a FormData sets a boundary of its own.
    if (body instanceof FormData) request.headers.delete('content-type')

    // Whether the body can be read only once. (A stream inside a Request cannot be recognized; it is copied while it is sent.)
    const isOneShot = Object(given)[Symbol.asyncIterator]
    const sendWith = (token?: string, isFirst?: boolean) => {
      const sent = body ? new Request(request, { body }) : isFirst && !isOneShot ? request.clone() : request
      if (token) sent.headers.set('authorization', `Bearer ${token}`)
      return send(sent)
    }
    // A redirect may have led to another origin, without the token. A 401 from there says nothing about the token.
    const isElsewhere = ({ redirected, url }: Response) => redirected && !trusts(url)
    const check = (response: Response) => {
      const { status, headers } = response
      if (!isElsewhere(response)) checkSufficient(status, headers.get('www-authenticate'), response)
      return response
    }

    // The request has the caller's signal, so it serves as the options.
    const pass = !request.headers.has('authorization') && (await authorize(request.url, request))
    if (!pass) return sendWith()
    const response = check(await sendWith(pass.token, true))
    if (response.status !== 401 || isElsewhere(response)) return response

    const token = await pass.renew(request).catch((error) => {
      if (isEndedByServer(error)) return
      discardBody(response.body)
      throw error
    })
    if (!token) return response
    if (isOneShot) throw new DaypassClientError('ERR_BODY_NOT_REPLAYABLE', { response })
    discardBody(response.body)
    return check(await sendWith(token))
  }
}

/**
 * Converts the body to a form that can be sent several times without a copy in memory, even for an upload of gigabytes.
 * Undefined if there is no body, if it is of a type that fetch does not define, or if this platform (React Native) cannot
 * convert it. Then the request is cloned.
 */
function asSource(body: unknown): string | Blob | FormData | undefined {
  if (typeof body === 'string' || body instanceof Blob) return body
  try {
    if (body instanceof URLSearchParams) return String(body)
    if (body instanceof ArrayBuffer || ArrayBuffer.isView(body)) return new Blob([body as ArrayBuffer])
    if (body instanceof FormData) {
      const copy = new FormData()
      for (const [name, value] of body) copy.append(name, value)
      return copy
    }
  } catch {}
}
