// `daypass/axios`: an axios instance of the app sends the token, and sends again with a renewed one after a 401.

import { discardBody } from './discard-body.ts'
import { DaypassClientError } from './errors.ts'
import { checkSufficient, isEndedByServer } from './fetch-with-token.ts'
import { originOf } from './origin.ts'
import type { DaypassClient } from './types.ts'
import { later, orAbort } from './wait.ts'

// axios is not imported, and its versions declare configs, adapters and errors with types that are incompatible.
// biome-ignore lint/suspicious/noExplicitAny: see above
type Any = any

/** The part of an axios instance (1.7 or newer) that is used. */
export interface AxiosLike {
  defaults: { adapter?: Any; headers: Any }
  interceptors: { request: { use(onFulfilled: (config: Any) => Any): number; eject(id: number): void } }
  create(): AxiosLike
  request(config: Any): Promise<Any>
  getUri(config?: Any): string
}

/** The adapters that this module made. */
const ours = new WeakSet<object>()

/**
 * Lets an axios instance call with the client's session. It adds the access token for the client's origins. It renews a
 * rejected token once (one refresh for all calls, instances and `client.fetch` together) and sends the call again. A second
 * 401, and any 401 while nobody is signed in, fails with axios's own error. An address that requires more than a valid
 * token fails as with `client.fetch`, by ERR_ACCESS_INSUFFICIENT. The app's interceptors see each call once. The token is
 * never in a `config`, so an `AxiosError` may be logged.
 *
 * @param instance The app's own instance; several may be attached to one client.
 * @param client The result of `createClient()`.
 * @returns A function that detaches the instance.
 * @throws DaypassClientError ERR_OPTION_INVALID for anything else than an instance and a client. A call may fail with DaypassClientError, as `client.fetch` does. A cancelled call fails with axios's own error, and
 *   so does one that takes longer than its `timeout`; the wait for a token and both attempts count together.
 * @example
 * ```ts
 * import axios from 'axios'
 * import { attachDaypass } from 'daypass/axios'
 * import { createClient } from 'daypass/client'
 *
 * const client = createClient({ baseUrl: 'https://api.example.com/auth' })
 * const api = axios.create({ baseURL: 'https://api.example.com' })
 * attachDaypass(api, client)
 * const { data } = await api.get('/me')
 * ```
 */
export function attachDaypass(instance: AxiosLike, client: Pick<DaypassClient, 'authorize'>): () => void {
  if (!instance?.interceptors || !client?.authorize) {
    throw new DaypassClientError('ERR_OPTION_INVALID', { reason: 'attachDaypass(axios.create(), createClient(…))' })
  }
  // Sends without the app's interceptors and defaults, because they have run before the adapter is called.
  const bare = instance.create()
  bare.defaults.headers = {}

  const wrap = (adapter: Any) => {
    const wrapped = async (config: Any) => {
      const url = instance.getUri(config)
      const { signal, headers, data, auth, cancelToken, timeout } = config
      const begun = performance.now()
      const send = async (token?: string) => {
        const sent = { ...config, adapter, transformRequest: [], transformResponse: [] }
        if (token) {
          sent.headers = { ...headers, Authorization: `Bearer ${token}` }
          sent.beforeRedirect = (next: Any, ...more: Any[]) => {
            // axios before 1.16 sends the token to a subdomain, too.
            if (originOf(next.href) !== originOf(url)) delete next.headers.Authorization
            config.beforeRedirect?.(next, ...more)
          }
        }
        if (timeout > 0) {
          // The rest of the time, in whole milliseconds. At least 1, because 0 means no timeout.
          sent.timeout = Math.max(1, Math.ceil(timeout - (performance.now() - begun)))
        }
        const [response, error] = await bare.request(sent).then(
          (response) => [response],
          (error) => [error.response, error],
        )
        for (const part of [response, error]) if (part) part.config = config
        if (token && response && !isElsewhere(response.request, url)) {
          checkSufficient(response.status, response.headers?.['www-authenticate'], response)
        }
        if (error) error.message = error.message?.replace(`of ${sent.timeout}ms`, `of ${timeout}ms`)
        return { response, error }
      }

      // Ends the wait for a token. While the call is sent, axios handles its signal and timeout.
      const stop = new AbortController()
      const timer = timeout > 0 ? later(timeout, async () => stop.abort(await timeoutError(config))) : undefined
      cancelToken?.promise.then((cancel: unknown) => stop.abort(cancel))
      try {
        const isForeign = headers.has('Authorization') || auth
        const pass = isForeign ? undefined : await orAbort(client.authorize(url, { signal }), stop)
        const first = await send(pass?.token)
        const { response } = first
        if (!pass || response?.status !== 401 || isElsewhere(response.request, url)) return settle(first)

        const token = await orAbort(pass.renew({ signal }), stop).catch((reason) => {
          if (isEndedByServer(reason)) return
          discardBody(response.data)
          throw reason
        })
        if (!token) return settle(first)
        if (data?.pipe || data?.getReader) throw new DaypassClientError('ERR_BODY_NOT_REPLAYABLE', { response })
        discardBody(response.data)
        return settle(await send(token))
      } finally {
        clearTimeout(timer)
      }
    }
    ours.add(wrapped)
    return wrapped
  }

  /** axios's own timeout error. An instance does not expose the class, so get it from the error of an unknown adapter. */
  const timeoutError = async (config: Any) => {
    const { constructor: AxiosError } = await bare.request({ adapter: 'none' }).catch((error) => error)
    const code = config.transitional?.clarifyTimeoutError ? 'ETIMEDOUT' : 'ECONNABORTED'
    return new AxiosError(config.timeoutErrorMessage || `timeout of ${config.timeout}ms exceeded`, code, config)
  }

  const id = instance.interceptors.request.use((config) => {
    // Wrap the adapter, because it runs after all interceptors and transforms: the second attempt sends the same data.
    const adapter = config.adapter ?? instance.defaults.adapter
    // A call that the app repeats by itself has our adapter already.
    if (!ours.has(Object(adapter))) config.adapter = wrap(adapter)
    return config
  })
  return () => instance.interceptors.request.eject(id)
}

/** Whether redirects led to another origin, as far as axios's adapters show it. */
function isElsewhere(request: Any, url: string): boolean {
  const end = request?.responseURL ?? request?.res?.responseUrl
  return Boolean(end) && originOf(end) !== originOf(url)
}

function settle({ response, error }: { response?: unknown; error?: unknown }) {
  if (error) throw error
  return response
}
