// How does a WebSocket stay signed in?

import { type DaypassClientError, isSignedOut } from './errors.ts'
import { createReconnect } from './reconnect.ts'
import type { DaypassClient } from './types.ts'

/** As much of a WebSocket as is needed here: a browser's, Node's own, and that of `ws`. */
export interface SocketLike {
  addEventListener(type: 'open' | 'close' | 'error', listener: (event: any) => void): void
  close(code?: number, reason?: string): void
}

/** Options of {@link openSocket}. */
export interface SocketOptions<Socket extends SocketLike> {
  /** Makes a socket and puts the app's own listeners on it; with the token in a subprotocol, where the server wants that. */
  open: (token: string) => Socket
  /**
   * Tells the server the token on an open socket: the first message, and again whenever the token was renewed. Where there
   * is none, a renewed token opens another socket, and the old one is closed when that is open.
   */
  authenticate?: (socket: Socket, token: string) => void
  /** What to do where there is no `authenticate`. Default `reconnect`. */
  onRenewal?: 'reconnect' | 'keep'
  /**
   * Whether the server closed for the token's sake, so that the next try is made with a fresh one. Default: by the codes
   * 1008, 3000 and 4401. A socket that never opened counts as refused as well: script is not told of a 401.
   */
  isRefused?: (event: { code: number; reason: string }) => boolean
  /** Closes for good. */
  signal?: AbortSignal
  /** From 0 to 1. Default `Math.random`. */
  random?: () => number
}

/** What {@link openSocket} gives. */
export interface LiveSocket<Socket> {
  /** The socket of the moment; undefined while there is none. It may not be open yet. */
  readonly socket: Socket | undefined
  /** Closes for good. */
  close(): void
}

/**
 * Keeps a WebSocket open as long as somebody is signed in: opened with a good token, told of renewed ones, opened again
 * after it broke (waits of one second to half a minute, never two clients in step; a connection that lasts longer than that
 * begins them anew), closed when the session ends, and
 * opened anew for the next one.
 *
 * @example
 * ```ts
 * import { createClient } from 'daypass/client'
 * import { openSocket } from 'daypass/streams'
 *
 * const client = createClient({ baseUrl: 'https://api.example.com/auth' })
 * const live = openSocket(client, {
 *   open() {
 *     const socket = new WebSocket('wss://api.example.com/live')
 *     socket.onmessage = ({ data }) => console.log(data)
 *     return socket
 *   },
 *   authenticate: (socket, token) => socket.send(JSON.stringify({ type: 'authenticate', token })),
 * })
 * live.socket?.send('hello')
 * live.close()
 * ```
 */
export function openSocket<Socket extends SocketLike>(
  client: Pick<DaypassClient<any>, 'getAccessToken' | 'getSession' | 'subscribe'>,
  options: SocketOptions<Socket>,
): LiveSocket<Socket> {
  const { open, authenticate, onRenewal = 'reconnect', signal, random = Math.random } = options
  const { isRefused = ({ code }) => [1008, 3000, 4401].includes(code) } = options
  /** All that are not closed yet; the newest is the one that counts. */
  const sockets = new Set<Socket>()
  let newest: { socket: Socket; isOpen: boolean } | undefined
  /** The session and the token that were last looked at. */
  let known = client.getSession()
  const reconnect = createReconnect(random)
  /** Whether the next token is to be a fresh one; once in a row of failures, for it may not be the token's fault. */
  let wantsFresh = false
  let isConnecting = false
  let isClosed = false
  /** Set while it waits for the next try. */
  let timer: ReturnType<typeof setTimeout> | undefined

  async function connect(): Promise<void> {
    if (isConnecting || isClosed) return
    stopWaiting()
    isConnecting = true
    try {
      const token = await client.getAccessToken({ forceFresh: wantsFresh })
      wantsFresh = false
      if (!isClosed) begin(token)
    } catch (error) {
      // The next sign-in begins anew.
      if (!isSignedOut(error)) retry((error as DaypassClientError).retryAfter)
    } finally {
      isConnecting = false
    }
  }

  function begin(token: string): void {
    known = client.getSession()
    const socket = open(token)
    const mine = { socket, isOpen: false }
    newest = mine
    sockets.add(socket)
    socket.addEventListener('open', () => {
      mine.isOpen = true
      if (newest !== mine) return
      reconnect.connected()
      authenticate?.(socket, token)
      for (const other of sockets) if (other !== socket) other.close(1000)
    })
    const onClose = (event: { code: number; reason: string }) => {
      if (!sockets.delete(socket) || newest !== mine) return
      newest = undefined
      if (!client.getSession().session) return
      retry()
      wantsFresh = reconnect.failures === 1 && (!mine.isOpen || isRefused(event))
    }
    socket.addEventListener('close', onClose)
    // Node 22 emits no `close` when the handshake is refused.
    socket.addEventListener('error', () => {
      if (!mine.isOpen) onClose({ code: 1006, reason: '' })
    })
  }

  /** Tries again later; `asked` are the seconds that the server asked for. */
  function retry(asked = 0): void {
    if (isClosed) return
    stopWaiting()
    timer = setTimeout(connect, reconnect.next({ asked: asked * 1000 }))
  }

  function stopWaiting(): void {
    clearTimeout(timer)
    timer = undefined
  }

  function look(): void {
    const last = known
    known = client.getSession()
    const isNewer = known.expiresAt !== last.expiresAt
    if (known.session?.id !== last.session?.id) {
      stopWaiting()
      reconnect.reset()
      hangUp()
    }
    if (!newest) {
      // A wait is not cut short by what is no news: a refresh that fails while the token is good ends as `signed-in` too.
      if (known.status === 'signed-in' && (isNewer || !timer)) connect()
    } else if (isNewer) {
      if (authenticate) tell()
      else if (onRenewal === 'reconnect') connect()
    }
  }

  /** Tells the newest socket of a renewed token; one that is not open yet was made with an older one, and is told as well. */
  async function tell(): Promise<void> {
    const mine = newest
    const token = await client.getAccessToken().catch(() => {})
    if (token && mine && mine === newest && mine.isOpen) authenticate!(mine.socket, token)
  }

  function hangUp(): void {
    newest = undefined
    for (const socket of sockets) socket.close(1000)
  }

  function close(): void {
    isClosed = true
    stopWaiting()
    unsubscribe()
    signal?.removeEventListener('abort', close)
    hangUp()
  }

  const unsubscribe = client.subscribe(look)
  signal?.addEventListener('abort', close)
  if (signal?.aborted) close()
  else connect()
  return {
    get socket() {
      return newest?.socket
    },
    close,
  }
}
