// daypass/axios: how does an app's own axios instance send the token, and send again after a 401?

import { DaypassClientError } from './errors.ts'
import { isLastWord } from './fetch-with-token.ts'
import { letGo } from './let-go.ts'
import { originOf } from './origin.ts'
import type { DaypassClient } from './types.ts'
import { later, orAbort } from './wait.ts'

/** As much of an axios instance (1.7 or newer) as is needed here. */
export interface AxiosLike {
  defaults: { adapter?: any; headers: any }
  interceptors: { request: { use(onFulfilled: (config: any) => any): number; eject(id: number): void } }
  create(): AxiosLike
  request(config: any): Promise<any>
  getUri(config?: any): string
}

const ours = new WeakSet<object>()

/**
 * Lets an axios instance call with the client's session: adds the access token for the client's origins, renews a refused
 * one once (one refresh for all calls, instances and `client.fetch` together) and sends the call again. A second 401, and
 * any 401 with nobody signed in, fails as axios fails. The app's own interceptors see each call once, as if nothing had
 * happened in between, and the token is never in a `config`, so an `AxiosError` may be logged.
 *
 * @param instance The app's own instance; several may be attached to one client.
 * @param client What `createClient()` made.
 * @returns What detaches it again.
 * @throws A call may fail with DaypassClientError as `client.fetch` does; a cancelled one fails as axios cancels, and one that
 *   takes longer than its `timeout` as axios times out: the waiting for a token and both sendings count together.
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
  // Sends without the app's interceptors and defaults, which have had their turn when the adapter is called.
  const bare = instance.create()
  bare.defaults.headers = {}

  const wrap = (adapter: any) => {
    const wrapped = async (config: any) => {
      const url = instance.getUri(config)
      const { signal, headers, data, auth, cancelToken, timeout } = config
      const begun = performance.now()
      const send = async (token?: string) => {
        const sent = { ...config, adapter, transformRequest: [], transformResponse: [] }
        if (token) {
          sent.headers = { ...headers, Authorization: `Bearer ${token}` }
          sent.beforeRedirect = (next: any, ...more: any[]) => {
            // axios before 1.16 takes the token along to a subdomain.
            if (originOf(next.href) !== originOf(url)) delete next.headers.Authorization
            config.beforeRedirect?.(next, ...more)
          }
        }
        if (timeout > 0) {
          // What is left of it, in whole milliseconds: 0 would be none.
          sent.timeout = Math.max(1, Math.ceil(timeout - (performance.now() - begun)))
        }
        const [response, error] = await bare.request(sent).then(
          (response) => [response],
          (error) => [error.response, error],
        )
        for (const part of [response, error]) if (part) part.config = config
        if (error) error.message = error.message?.replace(`of ${sent.timeout}ms`, `of ${timeout}ms`)
        return { response, error }
      }

      // Ends the waiting for a token; while it is sent, the call is axios's own.
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
          if (isLastWord(reason)) return
          letGo(response.data)
          throw reason
        })
        if (!token) return settle(first)
        if (data?.pipe || data?.getReader) throw new DaypassClientError('ERR_BODY_NOT_REPLAYABLE', { response })
        letGo(response.data)
        return settle(await send(token))
      } finally {
        clearTimeout(timer)
      }
    }
    ours.add(wrapped)
    return wrapped
  }

  /** axios's own error. Its class is not on an instance, so it is taken from what axios says to an adapter that it lacks. */
  const timeoutError = async (config: any) => {
    const { constructor: AxiosError } = await bare.request({ adapter: 'none' }).catch((error) => error)
    const code = config.transitional?.clarifyTimeoutError ? 'ETIMEDOUT' : 'ECONNABORTED'
    return new AxiosError(config.timeoutErrorMessage || `timeout of ${config.timeout}ms exceeded`, code, config)
  }

  const id = instance.interceptors.request.use((config) => {
    // The adapter is where all interceptors and transforms are done: what is sent again is what was sent.
    const adapter = config.adapter ?? instance.defaults.adapter
    // A call that the app makes again by itself brings our adapter along.
    if (!ours.has(Object(adapter))) config.adapter = wrap(adapter)
    return config
  })
  return () => instance.interceptors.request.eject(id)
}

/** Whether redirects led to another origin, as far as axios's adapters tell. */
function isElsewhere(request: any, url: string): boolean {
  const end = request?.responseURL ?? request?.res?.responseUrl
  return Boolean(end) && originOf(end) !== originOf(url)
}

function settle({ response, error }: { response?: unknown; error?: unknown }) {
  if (error) throw error
  return response
}
