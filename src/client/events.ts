// How does a stream of server-sent events stay signed in, and lose nothing when its connection breaks?

import { retryAfterOf } from './answer.ts'
import { DaypassClientError, is, isSignedOut } from './errors.ts'
import { createReconnect } from './reconnect.ts'
import type { DaypassClient } from './types.ts'

/** One event, with the names of `MessageEvent`. */
export interface ServerEvent {
  /** What its `event:` line said; `message` where there was none. */
  type: string
  /** Its `data:` lines. */
  data: string
  /** The last `id:` that came with this event or an earlier one; empty for none. */
  lastEventId: string
}

/** Options of {@link streamEvents}: those of fetch, but for what a stream of events decides by itself. */
export interface EventStreamOptions extends Omit<RequestInit, 'signal'> {
  /** Ends the stream: it throws the signal's reason. */
  signal?: AbortSignal | null
  /** Where to go on, from a `lastEventId` that was seen before. */
  lastEventId?: string
  /**
   * What to do when the access token was renewed: `reconnect` with the new one, for servers that look at the token's end,
   * or `keep` the connection until the server ends it. Default `reconnect`.
   */
  onRenewal?: 'reconnect' | 'keep'
  /** From 0 to 1. Default `Math.random`. */
  random?: () => number
}

/** Whether there is no stream to be had: the server answered with a 4xx, with something that is no stream, or without end. */
export const isStreamRefused = is('ERR_STREAM_REFUSED')

/**
 * Reads server-sent events with the client's session: EventSource over `client.fetch`. It connects again when the server
 * ends the stream, the network fails or the token was renewed, with `Last-Event-ID`, so that a server which gives its
 * events an `id` sends what was missed. Waits grow from the server's `retry` (default one second, at least a tenth of one)
 * to half a minute, never two clients in step, and `Retry-After` is waited for. A stream that brought an event and was ended
 * by the server, or that lasted longer than half a minute, begins them anew. Leaving the loop closes the connection.
 *
 * @throws DaypassClientError ERR_SIGNED_OUT: the session ended, or another one began. ERR_STREAM_REFUSED with `status` and
 *   `response`: a 4xx (but for 408, 425 and 429), or no `text/event-stream`; with neither: a line, or the data of one event,
 *   of more than 16 million characters. The signal's reason.
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
  client: Pick<DaypassClient<any>, 'fetch' | 'subscribe' | 'getSession'>,
  url: string,
  { signal, lastEventId = '', onRenewal = 'reconnect', random = Math.random, ...init }: EventStreamOptions = {},
): AsyncGenerator<ServerEvent, void, undefined> {
  const reconnect = createReconnect(random)
  let shortest: number | undefined
  for (;;) {
    /** Seconds that the server asked for. */
    let asked = 0
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
      // The server's word for "that was all".
      if (response.status === 204) return
      check(response)
      reconnect.connected()

      // From here on: the fetch itself may have renewed the token.
      const { session, expiresAt } = client.getSession()
      unsubscribe = client.subscribe(() => {
        const now = client.getSession()
        const { reason = 'sign-in' } = now
        if (now.session?.id !== session?.id) cut.abort(new DaypassClientError('ERR_SIGNED_OUT', { reason }))
        else if (now.expiresAt !== expiresAt && onRenewal === 'reconnect') cut.abort()
      })
      let hasEvents = false
      for await (const { retry, ...event } of readEvents(response.body!, lastEventId)) {
        shortest = retry ?? shortest
        lastEventId = event.lastEventId
        if (!event.data) continue
        hasEvents = true
        yield { ...event, data: event.data.slice(0, -1) }
      }
      if (hasEvents) reconnect.reset()
    } catch (error) {
      signal?.throwIfAborted()
      // A body that was cut tells of it in its own way.
      const reason = cut.signal.reason ?? error
      if (isSignedOut(reason)) throw reason
      if (isStreamRefused(reason)) {
        isHandedOver = !!reason.response
        throw reason
      }
      if (cut.signal.aborted) continue
      asked = (reason as DaypassClientError).retryAfter ?? 0
    } finally {
      unsubscribe()
      // A refusal is the caller's to read.
      if (!isHandedOver) cut.abort()
    }
    await pause(reconnect.next({ shortest, asked: asked * 1000 }), signal)
  }
}

/** Throws where no stream came: what will not change is refused, all else is tried again. */
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

/** Characters of one line, or of one event's data: what is longer would fill the memory of whoever reads it. */
const longest = 16_000_000

/**
 * Parses text/event-stream. What has no data is no event and is told all the same: its `id` or `retry` counts. Each line
 * of data has its line end.
 */
async function* readEvents(body: ReadableStream<Uint8Array<ArrayBuffer>>, lastEventId: string) {
  /** The line that has not ended yet. */
  let rest = ''
  let isAfterCr = false
  let event = { type: '', data: '', retry: undefined as number | undefined }
  for await (const chunk of chunks(body)) {
    // Each chunk is split alone: to search the whole line again with each of its chunks takes the square of the time.
    const pieces = (isAfterCr ? chunk.replace(/^\n/, '') : chunk).split(/\r\n?|\n/)
    isAfterCr = chunk.endsWith('\r')
    const last = pieces.pop()!
    for (const piece of pieces) {
      const line = rest + piece
      rest = ''
      if (!line) {
        yield { ...event, type: event.type || 'message', lastEventId }
        event = { type: '', data: '', retry: undefined }
        continue
      }
      // A comment's name is empty.
      const [, name, value = ''] = /^([^:]*)(?:: ?(.*))?$/s.exec(line)!
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

/** A body's text. (Not every browser iterates a stream.) */
async function* chunks(body: ReadableStream<Uint8Array<ArrayBuffer>>): AsyncGenerator<string, void, undefined> {
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
