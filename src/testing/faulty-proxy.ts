// A TCP proxy that delays and cuts connections.

import { type AddressInfo, createConnection, createServer, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { createSeededRandom, freshSeed } from './random.ts'

/** Options of {@link startFaultyProxy}. */
export interface FaultyProxyOptions {
  /** Where the engine listens. */
  port: number
  /** Default 127.0.0.1. */
  host?: string
  /** The share of the pieces of traffic in whose middle the connection ends. Default 0.01. */
  cut?: number
  /** A piece is held back for up to so many milliseconds. Default 3. */
  delay?: number
  /** A number from 0 up to 1. Default: seeded by `DAYPASS_TEST_SEED`, or at random. */
  chance?: () => number
}

/** A proxy that runs. */
export interface FaultyProxy {
  host: string
  port: number
  /** How many connections it has cut. */
  cuts(): number
  /** Resolves when it has cut so many: what a load under it waits for, as chance alone promises no number. */
  untilCut(count: number): Promise<void>
  close(): Promise<void>
}

/**
 * Stands between a store and its engine (or a client and its server): holds traffic back, and cuts connections so that a
 * part of a question or of an answer arrives and nothing more; neither side knows what the other had.
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

  /** Passes on what comes from one side, in its order. */
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
        // Nothing follows the part that arrived: no TCP loses bytes in the middle.
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
