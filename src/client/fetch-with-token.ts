// How does one call go out with a token, and what if the token is refused?

import { DaypassClientError, isSignedOut } from './errors.ts'
import { letGo } from './let-go.ts'

/** What a call may be given: a signal that detaches it at once, while the refresh it waits for goes on for the others. */
export interface CallOptions {
  signal?: AbortSignal | null
}

/** The right to make one call, in the name of one session. */
export interface Pass {
  /** The access token to send. */
  token: string
  /**
   * The token to send again with after a 401; refreshed only if the refused one is still the current one. It stays in its
   * session: once that is over, or another one has begun, it rejects with ERR_SIGNED_OUT.
   */
  renew(options?: CallOptions): Promise<string>
}

/** See `authorize` of the client. */
export type Authorize = (url: string, options?: CallOptions) => Promise<Pass | undefined>

/** Whether a 401 is the last word, because the session ended by itself: then the caller gets that 401. */
export const isLastWord = (error: unknown) => isSignedOut(error) && error.reason !== 'sign-out'

/** Makes a function with fetch's own signature over `send`, the fetch underneath. */
export function createFetch(send: typeof fetch, trusts: (url: string) => boolean, authorize: Authorize): typeof fetch {
  return async (input, init) => {
    // Not a byte of a foreign call changes.
    if (!trusts((input as Request).url ?? input)) return send(input, init)

    // Built at once, as fetch does: what the caller does to the body from here on no longer matters.
    const given: any = init?.body
    const body = asSource(given)
    // An empty text has the same type as a long one, and is no copy of it.
    const sample = typeof given === 'string' ? '' : typeof body === 'string' ? given : body
    const request = new Request(input, body ? { ...init, body: sample } : init)
    // Each request made of a FormData names a boundary of its own.
    if (body instanceof FormData) request.headers.delete('content-type')

    // What can be read once only. (A stream in a Request cannot be told apart: it is copied as it goes.)
    const isOneShot = given?.[Symbol.asyncIterator]
    const sendWith = (token?: string, isFirst?: boolean) => {
      const sent = body ? new Request(request, { body }) : isFirst && !isOneShot ? request.clone() : request
      if (token) sent.headers.set('authorization', `Bearer ${token}`)
      return send(sent)
    }

    // Its signal is the caller's.
    const pass = !request.headers.has('authorization') && (await authorize(request.url, request))
    if (!pass) return sendWith()
    const response = await sendWith(pass.token, true)
    // A redirect may have led to another origin, without the token: a 401 from there says nothing about it.
    if (response.status !== 401 || (response.redirected && !trusts(response.url))) return response

    const token = await pass.renew(request).catch((error) => {
      if (isLastWord(error)) return
      letGo(response.body)
      throw error
    })
    if (!token) return response
    if (isOneShot) throw new DaypassClientError('ERR_BODY_NOT_REPLAYABLE', { response })
    letGo(response.body)
    return sendWith(token)
  }
}

/**
 * The body as it is now, as what can be sent as often as need be: no copy of what was sent is kept for the next time, be it
 * an upload of gigabytes. Undefined where there is none, or where it is not one of fetch's own or this platform (React
 * Native) cannot make one of it; then the request is cloned.
 */
function asSource(body: any): string | Blob | FormData | undefined {
  if (typeof body === 'string' || body instanceof Blob) return body
  try {
    if (body instanceof URLSearchParams) return String(body)
    if (body instanceof ArrayBuffer || ArrayBuffer.isView(body)) return new Blob([body as ArrayBuffer])
    if (body instanceof FormData) {
      const copy = new FormData()
      for (const [name, value] of body as any) copy.append(name, value)
      return copy
    }
  } catch {}
}
