// `daypass/streams`: WebSockets and server-sent events that stay signed in.

export { type EventStreamOptions, isStreamRefused, type ServerEvent, streamEvents } from './event-stream.ts'
export { type LiveSocket, openSocket, type SocketLike, type SocketOptions } from './socket.ts'
