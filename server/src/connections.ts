// The connections that have no request under way, which keep a server from ending.

import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

export interface Connections {
  /** Closes those without a request. Node's `closeIdleConnections` leaves silent ones, and those with half a head. */
  closeIdle(): void
}

/** Call it before the server listens. */
export function trackConnections(server: Server): Connections {
  /** The requests under way of each connection. A client may send one before the last response. */
  const requests = new Map<Socket, number>()
  const count = (socket: Socket, change: number) => requests.set(socket, (requests.get(socket) ?? 0) + change)
  server.on('connection', (socket: Socket) => {
    count(socket, 0)
    socket.once('close', () => requests.delete(socket))
  })
  server.on('request', ({ socket }: IncomingMessage, response: ServerResponse) => {
    count(socket, 1)
    response.once('close', () => {
      if (requests.has(socket)) count(socket, -1)
    })
  })
  return {
    closeIdle() {
      for (const [socket, underWay] of requests) if (underWay === 0) socket.destroy()
    },
  }
}
