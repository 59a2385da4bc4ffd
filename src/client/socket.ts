// `openSocket()`: a WebSocket that stays signed in.

import { DaypassClientError, isSignedOut } from './errors.ts'
import { createReconnect } from './reconnect.ts'
import type { DaypassClient } from './types.ts'

/** The part of a WebSocket that is used: a browser's, Node's own, and that of `ws` have it. */
export interface SocketLike {
  addEventListener(type: 'open' | 'error', listener: () => void): void
  addEventListener(type: 'close', listener: (event: { code: number; reason: string }) => void): void
  close(code?: number, reason?: string): void
}

/** Options of {@link openSocket}. */
export interface SocketOptions<Socket extends SocketLike> {
  /** Makes a socket and adds the app's own listeners. If the server expects the token in a subprotocol, it passes it there. */
  open: (token: string) => Socket
  /**
   * Sends the token to the server on an open socket: as the first message, and again whenever the token was renewed. Without
   * it, a renewed token opens another socket, and the old one is closed when the new one is open.
   */
  authenticate?: (socket: Socket, token: string) => void
  /** The behaviour when the token was renewed and there is no `authenticate`. Default `reconnect`. */
  onRenewal?: 'reconnect' | 'keep'
  /**
   * Whether the server closed the socket because of the token, so that the next attempt uses a fresh one. Default: by the
   * codes 1008, 3000 and 4401. A socket that never opened counts as rejected, too, because script cannot see a 401.
   */
  isRefused?: (event: { code: number; reason: string }) => boolean
  /** Closes for good. */
  signal?: AbortSignal
  /** Returns a number from 0 to 1. Default `Math.random`. */
  chance?: () => number
}

/** The result of {@link openSocket}. */
export interface LiveSocket<Socket> {
  /** The current socket; undefined while there is none. It may not be open yet. */
  readonly socket: Socket | undefined
  /** Closes for good. */
  close(): void
}

/**
 * Keeps a WebSocket open as long as a person is signed in. It is opened with a valid token, gets renewed tokens, and is
 * opened again after it broke. The waits grow from half a second to half a minute, with a random part. A connection that
 * lasts longer than half a minute resets them. The socket is closed when the session ends, and opened again for the next
 * session.
 *
 * @throws DaypassClientError ERR_OPTION_INVALID without a client or `open`.
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
  client: Pick<DaypassClient<unknown>, 'getAccessToken' | 'getSession' | 'subscribe'>,
  options: SocketOptions<Socket>,
): LiveSocket<Socket> {
  if (!client?.getAccessToken || !options?.open) {
    throw new DaypassClientError('ERR_OPTION_INVALID', { reason: 'openSocket(createClient(…), { open })' })
  }
  const { open, authenticate, onRenewal = 'reconnect', signal, chance = Math.random } = options
  const { isRefused = ({ code }) => [1008, 3000, 4401].includes(code) } = options
  /** The sockets that are not closed yet; the newest one counts. */
  const sockets = new Set<Socket>()
  let newest: { socket: Socket; isOpen: boolean } | undefined
  /** The last snapshot that was handled. */
  let known = client.getSession()
  const reconnect = createReconnect(chance)
  /** Whether the next attempt needs a fresh token. Only once in a row of failures, because the token may not be the cause. */
  let wantsFresh = false
  let isConnecting = false
  let isClosed = false
  /** Set while it waits for the next attempt. */
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
      // After a sign-out the next sign-in connects again.
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

  /** Connects again later. `retryAfter`: the seconds that the server asked for. */
  function retry(retryAfter?: number): void {
    if (isClosed) return
    stopWaiting()
    timer = setTimeout(connect, reconnect.next({ retryAfter }))
  }

  function stopWaiting(): void {
    clearTimeout(timer)
    timer = undefined
  }

  /** Handles a change of the session. */
  function onChange(): void {
    const last = known
    known = client.getSession()
    const isNewer = known.expiresAt !== last.expiresAt
    if (known.session?.id !== last.session?.id) {
      stopWaiting()
      reconnect.reset()
      closeSockets()
    }
    if (!newest) {
      // Only a new token ends a wait early: a refresh that fails while the token is valid ends as `signed-in`, too.
      if (known.status === 'signed-in' && (isNewer || !timer)) connect()
    } else if (isNewer) {
      if (authenticate) sendToken()
      else if (onRenewal === 'reconnect') connect()
    }
  }

  /** Sends a renewed token on the newest socket, also if that socket was opened with an older one and is not open yet. */
  async function sendToken(): Promise<void> {
    const mine = newest
    const token = await client.getAccessToken().catch(() => {})
    if (token && mine && mine === newest && mine.isOpen) authenticate?.(mine.socket, token)
  }

  function closeSockets(): void {
    newest = undefined
    for (const socket of sockets) socket.close(1000)
  }

  function close(): void {
    isClosed = true
    stopWaiting()
    unsubscribe()
    signal?.removeEventListener('abort', close)
    closeSockets()
  }

  const unsubscribe = client.subscribe(onChange)
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
