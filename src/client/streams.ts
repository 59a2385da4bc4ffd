// daypass/streams: how do long-lived connections, WebSockets and server-sent events, stay signed in?

export { type EventStreamOptions, isStreamRefused, type ServerEvent, streamEvents } from './events.ts'
export { type LiveSocket, openSocket, type SocketLike, type SocketOptions } from './socket.ts'
