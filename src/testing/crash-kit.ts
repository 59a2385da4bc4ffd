// The crash kit: kills server processes at random and counts lost sessions.

import { type ChildProcess, fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { FromWorker, ToWorker } from './crash-worker.ts'
import { createClients, type KitLoad, type KitReport, type KitRequest, type KitResponse } from './kit-clients.ts'
import { openKitStore, type StoreSource } from './store-source.ts'

/** Options of {@link runCrashKit}. */
export interface CrashKitOptions extends KitLoad {
  /** How every process opens the store. The database exists. It need not be empty. */
  store: StoreSource
  /** The number of server processes at a time. Default 3. */
  workers?: number
  /** The number of kills (−9) at random moments, half of them between the commit and the response. Default 40. */
  kills?: number
}

/**
 * Runs clients against several server processes on one store, and kills the servers one after another. Then it checks
 * that every client that kept trying has its session, that each session is one lineage, and that no row is missing or left
 * over. A thief with an old token must have got nothing, and must be caught.
 *
 * @throws Error with the seed and a list of everything that was wrong.
 * @example
 * ```ts
 * import { runCrashKit } from 'daypass/testing'
 *
 * const store = { module: 'daypass/sqlite', export: 'createSqliteStore', args: ['/tmp/kit.db'] }
 * const { kills, refreshes } = await runCrashKit({ store, kills: 200 })
 * console.log(`${refreshes} refreshes through ${kills} crashes`)
 * ```
 */
export async function runCrashKit(options: CrashKitOptions): Promise<KitReport> {
  const { store: source, workers: count = 3, kills: wanted = 40 } = options
  const secret = randomBytes(48).toString('base64url')
  const store = await openKitStore(source)
  const workers: Worker[] = []
  let failure: unknown
  try {
    for (let i = 0; i < count; i++) workers.push(createWorker(source, secret))
    await Promise.all(workers.map((worker) => worker.ready))
    const clients = await createClients(store, secret, send, options)
    let kills = 0

    async function killAll(): Promise<void> {
      while (kills < wanted && failure === undefined) {
        await delay(clients.chance.below(60))
        const victim = clients.chance.pick(workers)
        if (!victim.isReady) continue
        if (clients.chance.below(2) === 0) victim.kill()
        // It may get no more requests, so it is killed after 200 ms in any case.
        else await Promise.race([victim.dieAtNextResponse(), delay(200).then(victim.kill)])
        await victim.gone
        kills++
        if (failure !== undefined) break
        const next = createWorker(source, secret)
        // A process that cannot open the store fails the run.
        next.ready.catch((error) => {
          failure ??= error
        })
        workers[workers.indexOf(victim)] = next
      }
      if (failure !== undefined) throw failure
      await Promise.all(workers.map((worker) => worker.ready))
    }

    async function send(request: KitRequest): Promise<KitResponse> {
      while (failure === undefined) {
        const ready = workers.filter((worker) => worker.isReady)
        const worker = ready[Math.floor(Math.random() * ready.length)]
        if (worker !== undefined) return worker.send(request)
        await delay(5)
      }
      return 'lost'
    }

    await clients.run(killAll())
    return await clients.finish(kills)
  } finally {
    failure ??= 'over'
    for (const worker of workers) worker.kill()
    await Promise.all(workers.map((worker) => worker.gone))
    await store.close()
  }
}

type Worker = ReturnType<typeof createWorker>

// The extension is .ts in the sources and .js in the package.
const workerFile = fileURLToPath(new URL(`./crash-worker${import.meta.url.slice(-3)}`, import.meta.url))

function createWorker(source: StoreSource, secret: string) {
  const child: ChildProcess = fork(workerFile, [], {
    execArgv: [],
    // Starting the next process is most of the cost of a kill. The shared cache saves compiling.
    env: { NODE_COMPILE_CACHE: join(tmpdir(), 'daypass-crash-kit'), ...process.env },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  const waiting = new Map<number, (response: KitResponse) => void>()
  let nextId = 0
  let state: 'starting' | 'ready' | 'gone' = 'starting'
  let mustDie = false
  const ready = Promise.withResolvers<void>()
  // Callers that wait for it get the error. Without a caller, it must not be an unhandled rejection.
  ready.promise.catch(() => {})

  const gone = new Promise<void>((resolve) => {
    child.once('exit', () => {
      state = 'gone'
      ready.reject(new Error('a server process ended before it was ready'))
      for (const respond of waiting.values()) respond('lost')
      waiting.clear()
      resolve()
    })
  })
  child.on('message', (message: FromWorker) => {
    if (message.kind === 'response') {
      waiting.get(message.id)?.(message.response)
      waiting.delete(message.id)
    } else if (message.kind === 'ready') {
      state = 'ready'
      ready.resolve()
    } else ready.reject(new Error(`a server process could not open the store: ${message.reason}`))
  })
  const post = (message: ToWorker) => {
    // A process that was just killed takes no message. Its exit resolves the requests that wait.
    if (child.connected) child.send(message, () => {})
  }
  post({ kind: 'open', store: source, secret })

  return {
    ready: ready.promise,
    gone,
    get isReady() {
      return state === 'ready'
    },
    send(request: KitRequest): Promise<KitResponse> {
      return new Promise((resolve) => {
        const id = nextId++
        waiting.set(id, resolve)
        post({ kind: 'refresh', id, request, dieBeforeResponse: mustDie })
        if (state === 'gone') resolve('lost')
      })
    },
    /** Makes the process die instead of sending its next response. Resolves when it is gone. */
    dieAtNextResponse(): Promise<void> {
      mustDie = true
      return gone
    },
    kill(): void {
      if (state !== 'gone') child.kill('SIGKILL')
    },
  }
}
