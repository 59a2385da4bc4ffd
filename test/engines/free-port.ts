// A free port for a server that takes its port from a setting.

import { createServer } from 'node:net'

/** Processes that run at the same time begin 97 ports apart, so that they do not choose the same one. */
let next = process.pid * 97

/**
 * The port is below those that the system gives to outgoing connections and to `listen(0)`, so nothing takes it before
 * the server starts. The port 10,000 above it is free too: a Redis Cluster needs it.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 10_500 + (next++ % 12_000)
    if ((await isFree(port)) && (await isFree(port + 10_000))) return port
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
      .once('error', () => resolve(false))
      .listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}
