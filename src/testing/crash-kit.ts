// The crash kit: kills server processes at random and counts lost sessions.

import { type ChildProcess, fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { FromWorker, ToWorker } from './crash-worker.ts'
import { createClients, type KitAnswer, type KitLoad, type KitReport, type KitRequest } from './kit-clients.ts'
import { openKitStore, type StoreSource } from './store-source.ts'

/** Options of {@link runCrashKit}. */
export interface CrashKitOptions extends KitLoad {
  /** How every process opens the store; the database is there and empty, or as it was. */
  store: StoreSource
  /** How many server processes there are at a time. Default 3. */
  workers?: number
  /** How many of them are killed −9, at random moments; half of those after the commit and before the answer. Default 40. */
  kills?: number
}

/**
 * Runs clients against several server processes on one store, and kills the servers one after another. Afterwards every
 * client that kept trying has its session, each session is one lineage, no row is lost or too many, and a thief with an
 * old token got nothing and is caught.
 *
 * @throws Error naming what was found wrong, and the seed.
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
    const clients = await createClients(store, secret, ask, options)
    let kills = 0

    async function killAll(): Promise<void> {
      while (kills < wanted && failure === undefined) {
        await delay(clients.chance.below(60))
        const index = clients.chance.below(count)
        const victim = workers[index]!
        if (!victim.isReady) continue
        if (clients.chance.below(2) === 0) victim.kill()
        // It has no request to wait for, so it is killed at once.
        else await Promise.race([victim.dieAtNextAnswer(), delay(200).then(victim.kill)])
        await victim.gone
        kills++
        if (failure !== undefined) break
        const next = createWorker(source, secret)
        // One that cannot open the store is a finding, not bad luck.
        next.ready.catch((error) => {
          failure ??= error
        })
        workers[index] = next
      }
      if (failure !== undefined) throw failure
      await Promise.all(workers.map((worker) => worker.ready))
    }

    async function ask(request: KitRequest): Promise<KitAnswer> {
      let ready = workers.filter((worker) => worker.isReady)
      while (ready.length === 0) {
        if (failure !== undefined) return 'lost'
        await delay(5)
        ready = workers.filter((worker) => worker.isReady)
      }
      return ready[Math.floor(Math.random() * ready.length)]!.ask(request)
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

// Run from the sources as .ts and from the package as .js.
const workerFile = fileURLToPath(new URL(`./crash-worker${import.meta.url.slice(-3)}`, import.meta.url))

function createWorker(source: StoreSource, secret: string) {
  const child: ChildProcess = fork(workerFile, [], {
    execArgv: [],
    // Compiled once for all of them: most of what a kill costs is the start of the next process.
    env: { NODE_COMPILE_CACHE: join(tmpdir(), 'daypass-crash-kit'), ...process.env },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  const waiting = new Map<number, (answer: KitAnswer) => void>()
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
      for (const answer of waiting.values()) answer('lost')
      waiting.clear()
      resolve()
    })
  })
  child.on('message', (message: FromWorker) => {
    if (message.kind === 'answer') {
      waiting.get(message.id)?.(message.answer)
      waiting.delete(message.id)
    } else if (message.kind === 'ready') {
      state = 'ready'
      ready.resolve()
    } else ready.reject(new Error(`a server process could not open the store: ${message.reason}`))
  })
  const send = (message: ToWorker) => {
    // A process that was killed a moment ago takes no message; its exit answers for it.
    if (child.connected) child.send(message, () => {})
  }
  send({ kind: 'open', store: source, secret })

  return {
    ready: ready.promise,
    gone,
    get isReady() {
      return state === 'ready'
    },
    ask(request: KitRequest): Promise<KitAnswer> {
      return new Promise((resolve) => {
        const id = nextId++
        waiting.set(id, resolve)
        send({ kind: 'refresh', id, request, dieBeforeAnswer: mustDie })
        if (state === 'gone') resolve('lost')
      })
    },
    /** Resolves when it has died of its next answer. */
    dieAtNextAnswer(): Promise<void> {
      mustDie = true
      return gone
    },
    kill(): void {
      if (state !== 'gone') child.kill('SIGKILL')
    },
  }
}
