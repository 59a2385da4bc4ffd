// A TCP proxy that delays and cuts connections.

import { type AddressInfo, createConnection, createServer, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { createSeededRandom, freshSeed } from './random.ts'

/** Options of {@link startFaultyProxy}. */
export interface FaultyProxyOptions {
  /** The port of the engine. */
  port: number
  /** The host of the engine. Default 127.0.0.1. */
  host?: string
  /** The share of chunks in which the proxy cuts the connection. Default 0.01. */
  cut?: number
  /** The longest delay of a chunk, in milliseconds. Default 3. */
  delay?: number
  /** Returns a random number of at least 0 and below 1. Default: seeded by `DAYPASS_TEST_SEED`, or at random. */
  chance?: () => number
}

/** A running proxy. */
export interface FaultyProxy {
  host: string
  port: number
  /** The number of connections that it has cut. */
  cuts(): number
  /** Resolves when it has cut this many connections. A load can wait for it, because the number of cuts is random. */
  untilCut(count: number): Promise<void>
  close(): Promise<void>
}

/**
 * Starts a proxy between a store and its engine, or between a client and its server. It delays traffic and cuts
 * connections in the middle of a chunk. Then part of a request or a response arrives, and neither side knows how much the
 * other received.
 *
 * @example
 * ```ts
 * import { createPostgresStore } from 'daypass/postgres'
 * import { runConcurrencyKit, startFaultyProxy } from 'daypass/testing'
 * import pg from 'pg'
 *
 * const proxy = await startFaultyProxy({ port: 5432 })
 * const pool = new pg.Pool({ host: proxy.host, port: proxy.port })
 * pool.on('error', () => {})
 * await runConcurrencyKit({ stores: [createPostgresStore(pool)], meanwhile: () => proxy.untilCut(20) })
 * await pool.end()
 * await proxy.close()
 * ```
 */
export async function startFaultyProxy(options: FaultyProxyOptions): Promise<FaultyProxy> {
  const { port, host = '127.0.0.1', cut = 0.01, delay: most = 3 } = options
  const { chance = createSeededRandom(freshSeed()).next } = options
  const open = new Set<Socket>()
  let cuts = 0

  /** Forwards the chunks of one side in order. */
  function carry(from: Socket, to: Socket): void {
    open.add(from)
    let tail: Promise<unknown> = Promise.resolve()
    let isCut = false
    from.on('error', () => {})
    from.on('close', () => {
      open.delete(from)
      tail.then(() => to.destroy())
    })
    from.on('data', (data) => {
      tail = tail.then(async () => {
        await delay(chance() * most)
        // Forward nothing after a cut, because TCP does not lose bytes in the middle of a stream.
        if (isCut || to.destroyed) return
        if (chance() >= cut) return void to.write(data)
        isCut = true
        cuts++
        to.write(data.subarray(0, Math.floor(chance() * data.length)), () => from.destroy())
      })
    })
  }

  const server = createServer((near) => {
    const far = createConnection(port, host)
    carry(near, far)
    carry(far, near)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    host: '127.0.0.1',
    port: (server.address() as AddressInfo).port,
    cuts: () => cuts,
    async untilCut(count) {
      while (cuts < count) await delay(5)
    },
    async close() {
      const closed = new Promise((resolve) => server.close(resolve))
      for (const socket of open) socket.destroy()
      await closed
    },
  }
}
