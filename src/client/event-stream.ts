// `streamEvents()`: server-sent events that stay signed in and lose nothing when the connection breaks.

import { DaypassClientError, is, isAccessInsufficient, isSignedOut } from './errors.ts'
import { createReconnect } from './reconnect.ts'
import { retryAfterOf } from './token-response.ts'
import type { DaypassClient } from './types.ts'

/** One event, with the names of `MessageEvent`. */
export interface ServerEvent {
  /** The value of its `event:` line; `message` if there was none. */
  type: string
  /** Its `data:` lines. */
  data: string
  /** The last `id:` of this event or an earlier one; empty if there was none. */
  lastEventId: string
}

/** Options of {@link streamEvents}: those of fetch, and some of its own. */
export interface EventStreamOptions extends Omit<RequestInit, 'signal'> {
  /** Ends the stream: it throws the signal's reason. */
  signal?: AbortSignal | null
  /** The `lastEventId` of an earlier stream, to continue after that event. */
  lastEventId?: string
  /**
   * The behaviour when the access token was renewed. `reconnect`: connect again with the new token, for servers that check
   * the token's expiry. `keep`: keep the connection until the server ends it. Default `reconnect`.
   */
  onRenewal?: 'reconnect' | 'keep'
  /** Returns a number from 0 to 1. Default `Math.random`. */
  chance?: () => number
}

/** Whether the server rejected the stream: with a 4xx, with a response that is not a stream, or with an endless event. */
export const isStreamRefused = is('ERR_STREAM_REFUSED')

/**
 * Reads server-sent events with the client's session: EventSource over `client.fetch`. It connects again when the server
 * ends the stream, the network fails or the token was renewed. It sends `Last-Event-ID`, so that a server which gives its
 * events an `id` can send the missed ones. Waits grow from the server's `retry` (default one second, at least a tenth of
 * one) to half a minute. A random part shortens each of them by up to a half, and `Retry-After` is respected. They begin
 * again from the shortest after a stream that brought an event and was ended by the server, or that lasted longer than half
 * a minute. Leaving the loop closes the connection.
 *
 * @throws DaypassClientError ERR_SIGNED_OUT: the session ended, or another one began. ERR_STREAM_REFUSED with `status` and
 *   `response`: a 4xx (except 408, 425 and 429), or a response that is not `text/event-stream`. ERR_STREAM_REFUSED with
 *   neither: a line, or the data of one event, of more than 16 million characters. ERR_ACCESS_INSUFFICIENT, as
 *   `client.fetch`. ERR_OPTION_INVALID without a client or an address. The signal's reason.
 * @see https://html.spec.whatwg.org/multipage/server-sent-events.html
 * @example
 * ```ts
 * import { createClient } from 'daypass/client'
 * import { streamEvents } from 'daypass/streams'
 *
 * const client = createClient({ baseUrl: 'https://api.example.com/auth' })
 * for await (const { type, data } of streamEvents(client, 'https://api.example.com/news')) {
 *   console.log(type, JSON.parse(data))
 * }
 * ```
 */
export async function* streamEvents(
  client: Pick<DaypassClient<unknown>, 'fetch' | 'subscribe' | 'getSession'>,
  url: string,
  { signal, lastEventId = '', onRenewal = 'reconnect', chance = Math.random, ...init }: EventStreamOptions = {},
): AsyncGenerator<ServerEvent, void, undefined> {
  if (!client?.fetch || !url) {
    throw new DaypassClientError('ERR_OPTION_INVALID', { reason: 'streamEvents(createClient(…), url)' })
  }
  const reconnect = createReconnect(chance)
  let shortest: number | undefined
  for (;;) {
    /** The seconds that the server asked for. */
    let retryAfter: number | undefined
    /** Ends this one connection. */
    const cut = new AbortController()
    let unsubscribe = () => {}
    let isHandedOver = false
    try {
      const headers = new Headers(init.headers)
      headers.set('accept', 'text/event-stream')
      if (lastEventId) headers.set('last-event-id', lastEventId)
      const ends = signal ? AbortSignal.any([signal, cut.signal]) : cut.signal
      const response = await client.fetch(url, { cache: 'no-store', ...init, headers, signal: ends })
      // With 204 the server says that no more events will come.
      if (response.status === 204) return
      check(response)
      reconnect.connected()

      // Read the snapshot after the fetch, because the fetch may have renewed the token.
      const { session, expiresAt } = client.getSession()
      unsubscribe = client.subscribe(() => {
        const changed = client.getSession()
        const { reason = 'sign-in' } = changed
        if (changed.session?.id !== session?.id) cut.abort(new DaypassClientError('ERR_SIGNED_OUT', { reason }))
        else if (changed.expiresAt !== expiresAt && onRenewal === 'reconnect') cut.abort()
      })
      let hasEvents = false
      for await (const { retry, ...event } of readEvents(response.body, lastEventId)) {
        shortest = retry ?? shortest
        lastEventId = event.lastEventId
        if (!event.data) continue
        hasEvents = true
        yield { ...event, data: event.data.slice(0, -1) }
      }
      if (hasEvents) reconnect.reset()
    } catch (error) {
      signal?.throwIfAborted()
      // A body that was cut throws an error of its own.
      const reason = cut.signal.reason ?? error
      if (isSignedOut(reason)) throw reason
      if (isStreamRefused(reason) || isAccessInsufficient(reason)) {
        isHandedOver = !!reason.response
        throw reason
      }
      if (cut.signal.aborted) continue
      retryAfter = (reason as DaypassClientError).retryAfter
    } finally {
      unsubscribe()
      // The caller may read the response of a rejected stream.
      if (!isHandedOver) cut.abort()
    }
    await pause(reconnect.next({ shortest, retryAfter }), signal)
  }
}

/** Throws if the response is not a stream: ERR_OFFLINE if another attempt may succeed, else ERR_STREAM_REFUSED. */
function check(response: Response): void {
  const { ok, status, headers } = response
  if (ok && /^text\/event-stream\b/i.test(headers.get('content-type') ?? '')) return
  const isTemporary = status >= 500 || [408, 425, 429].includes(status)
  throw new DaypassClientError(isTemporary ? 'ERR_OFFLINE' : 'ERR_STREAM_REFUSED', {
    status,
    reason: `HTTP ${status}`,
    retryAfter: retryAfterOf(headers),
    response,
  })
}

/** The maximum number of characters of one line, or of one event's data: more would fill the reader's memory. */
const longest = 16_000_000

/**
 * Parses text/event-stream. It also yields events without data, because their `id` or `retry` counts. Each line of data
 * keeps its line end.
 */
async function* readEvents(body: Response['body'], lastEventId: string) {
  /** The line that has not ended yet. */
  let rest = ''
  let isAfterCr = false
  let event = { type: '', data: '', retry: undefined as number | undefined }
  for await (const chunk of chunks(body)) {
    // Split each chunk by itself. Searching the whole line again with each chunk would take quadratic time.
    const pieces = (isAfterCr ? chunk.replace(/^\n/, '') : chunk).split(/\r\n?|\n/)
    isAfterCr = chunk.endsWith('\r')
    const last = pieces.pop() ?? ''
    for (const piece of pieces) {
      const line = rest + piece
      rest = ''
      if (!line) {
        yield { ...event, type: event.type || 'message', lastEventId }
        event = { type: '', data: '', retry: undefined }
        continue
      }
      // The name of a comment is empty.
      const [, name, value = ''] = /^([^:]*)(?:: ?(.*))?$/s.exec(line) ?? []
      if (name === 'data') event.data += `${value}\n`
      else if (name === 'event') event.type = value
      else if (name === 'id' && !value.includes('\0')) lastEventId = value
      else if (name === 'retry' && /^\d+$/.test(value)) event.retry = Number(value)
    }
    rest += last
    if (rest.length + event.data.length > longest)
      throw new DaypassClientError('ERR_STREAM_REFUSED', { reason: 'endless' })
  }
}

/** The text of a body. (Not every browser can iterate a stream.) */
async function* chunks(body: Response['body']): AsyncGenerator<string, void, undefined> {
  if (!body) return
  const reader = body.pipeThrough(new TextDecoderStream()).getReader()
  for (let part = await reader.read(); !part.done; part = await reader.read()) yield part.value
}

function pause(milliseconds: number, signal: AbortSignal | null | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = () => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', end)
      if (signal?.aborted) reject(signal.reason)
      else resolve()
    }
    const timer = setTimeout(end, milliseconds)
    signal?.addEventListener('abort', end)
    if (signal?.aborted) end()
  })
}
