// How does one call go out with a token, and what if the token is refused?

import { DaypassClientError, isSignedOut } from './errors.ts'

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
    const request = new Request(input, init)
    // Its signal is the caller's.
    const pass = !request.headers.has('authorization') && (await authorize(request.url, request))
    if (!pass) return send(request)

    // What can be read once only. (A stream in a Request cannot be told apart: it is copied as it goes.)
    const isOneShot = (init?.body as any)?.[Symbol.asyncIterator]
    const sendWith = (request: Request, token: string) => {
      request.headers.set('authorization', `Bearer ${token}`)
      return send(request)
    }
    const response = await sendWith(isOneShot ? request : request.clone(), pass.token)
    // A redirect may have led to another origin, without the token: a 401 from there says nothing about it.
    if (response.status === 401 && (!response.redirected || trusts(response.url))) {
      try {
        const token = await pass.renew(request)
        if (isOneShot) throw new DaypassClientError('ERR_BODY_NOT_REPLAYABLE', { response })
        // Read to its end, not cancelled: that would cost the connection.
        response.text().catch(() => {})
        return sendWith(request, token)
      } catch (error) {
        if (!isLastWord(error)) throw error
      }
    }
    return response
  }
}
