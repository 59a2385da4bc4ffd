// Redis for tests: real servers in a new folder, one alone, and a Cluster of three masters with a replica each.
// `REDIS_URL` names a server for tests that do not stop it.

import { execFile, execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { Cluster, Redis } from 'ioredis'
import { createClient, createCluster } from 'redis'
import { createRedisStore, type RedisStoreOptions } from '../../src/stores/redis.ts'
import type { RedisClient } from '../../src/stores/redis-client.ts'
import type { Store, StoreHarness } from '../../src/testing/index.ts'
import { startEngine } from './engine-process.ts'
import { freePort } from './free-port.ts'

const notRun = 'not run: redis-server is not installed (apt-get install redis-server)'

/** The reason why tests that need a Redis are skipped, or false. In CI a missing engine is a failure. */
export const redisMissing: string | false = (() => {
  try {
    execFileSync('redis-server', ['--version'])
    return false
  } catch (error) {
    if (process.env.CI) throw new Error(notRun, { cause: error })
    return notRun
  }
})()

export interface RedisServer {
  port: number
  /** The size of its append-only files in bytes. */
  files(): Buffer[]
  /** Freezes it, with all requests that were sent to it, until it is thawed. */
  freeze(): void
  thaw(): void
  /** Sends `kill -9` and waits for the end. */
  kill(): Promise<void>
  /** Starts it again on the same port and folder. */
  start(): Promise<void>
}

/** One server or a Cluster. */
export interface RedisEngine {
  /** The value for DAYPASS_STORE. */
  url: string
  version: string
  servers: RedisServer[]
  /** A client that inspects the data. */
  admin: Redis | Cluster
  remove(): Promise<void>
}

export type Library = 'node-redis' | 'ioredis'

/** One server. Each write is on disk before its response. */
export async function startRedis(...settings: string[]): Promise<RedisEngine> {
  const folder = mkdtempSync(join(tmpdir(), 'daypass-redis-'))
  const server = await startServer(folder, await freePort(), ['--appendfsync', 'always', ...settings])
  const admin = new Redis(server.port)
  admin.on('error', () => {})
  return {
    url: `redis://127.0.0.1:${server.port}`,
    version: await versionOf(admin),
    servers: [server],
    admin,
    async remove() {
      admin.disconnect()
      await server.kill()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** The server that `REDIS_URL` names. It is not stopped, and the tests' data stays there until it expires. */
export async function givenRedis(url: string): Promise<RedisEngine> {
  const admin = new Redis(url)
  return { url, version: await versionOf(admin), servers: [], admin, remove: async () => admin.disconnect() }
}

/** Three masters with a replica each. A master that does not respond for so many milliseconds is replaced. */
export async function startRedisCluster(nodeTimeout = 1000): Promise<RedisEngine> {
  const folder = mkdtempSync(join(tmpdir(), 'daypass-redis-cluster-'))
  const ports: number[] = []
  while (ports.length < 6) ports.push(await freePort())
  const settings = [
    '--cluster-enabled',
    'yes',
    '--cluster-node-timeout',
    String(nodeTimeout),
    '--appendfsync',
    'everysec',
  ]
  const servers = await Promise.all(ports.map((port) => startServer(folder, port, settings)))
  const addresses = ports.map((port) => `127.0.0.1:${port}`)
  const create = ['--cluster', 'create', ...addresses, '--cluster-replicas', '1', '--cluster-yes']
  await promisify(execFile)('redis-cli', create)
  const admin = new Cluster(ports.map((port) => ({ host: '127.0.0.1', port })))
  admin.on('error', () => {})
  await waitUntil(async () => {
    const masters = admin.nodes('master').map((node) => node.options.port!)
    const isWhole = masters.length === 3 && (await Promise.all(masters.map(isReplicated))).every(Boolean)
    return isWhole && /cluster_state:ok/.test(String(await admin.cluster('INFO')))
  })
  return {
    url: `redis+cluster://${addresses.join(',')}`,
    version: await versionOf(admin.nodes('master')[0]!),
    servers,
    admin,
    async remove() {
      admin.disconnect()
      await Promise.all(servers.map((server) => server.kill()))
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** A master, its replica, and a Sentinel that replaces a master after half a second without a response. */
export async function startRedisSentinel() {
  const folder = mkdtempSync(join(tmpdir(), 'daypass-redis-sentinel-'))
  const [master, replica, watch] = [await freePort(), await freePort(), await freePort()]
  const servers = [await startServer(folder, master, [])]
  servers.push(await startServer(folder, replica, ['--replicaof', `127.0.0.1 ${master}`]))
  const file = join(folder, 'sentinel.conf')
  const settings = ['down-after-milliseconds main 500', 'failover-timeout main 3000']
  const lines = [`monitor main 127.0.0.1 ${master} 1`, ...settings].map((line) => `sentinel ${line}\n`)
  writeFileSync(file, lines.join(''))
  servers.push(await startServer(folder, watch, [], [file, '--sentinel']))
  const sentinel = new Redis(watch)
  await waitUntil(async () => /slaves=1/.test(await sentinel.info('sentinel')))
  await waitUntil(() => isReplicated(master))
  const admin = new Redis(master)
  admin.on('error', () => {})
  return {
    url: `redis://127.0.0.1:${master}`,
    version: await versionOf(admin),
    servers: servers.slice(0, 2),
    admin,
    master: servers[0]!,
    sentinel: { host: '127.0.0.1', port: watch },
    async remove() {
      sentinel.disconnect()
      admin.disconnect()
      await Promise.all(servers.map((server) => server.kill()))
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

async function startServer(
  parent: string,
  port: number,
  settings: string[],
  kind = ['--appendonly', 'yes', '--save', '', '--repl-diskless-sync-delay', '0'],
): Promise<RedisServer> {
  const folder = join(parent, String(port))
  mkdirSync(folder)
  const args = [...kind, '--port', String(port), '--bind', '127.0.0.1', '--dir', folder, ...settings]
  const { start, stop, freeze, thaw } = await startEngine('redis-server', args, async () => {
    const probe = new Redis(port, { lazyConnect: true, retryStrategy: null })
    probe.on('error', () => {})
    try {
      await probe.connect()
      return (await probe.ping()) === 'PONG'
    } finally {
      probe.disconnect()
    }
  })
  return {
    port,
    files() {
      const files = join(folder, 'appendonlydir')
      return readdirSync(files).map((name) => readFileSync(join(files, name)))
    },
    freeze,
    thaw,
    kill: () => stop('SIGKILL'),
    start,
  }
}

async function isReplicated(port: number): Promise<boolean> {
  const probe = new Redis(port)
  try {
    return /slave0:.*state=online/.test(await probe.info('replication'))
  } finally {
    probe.disconnect()
  }
}

async function versionOf(client: Redis): Promise<string> {
  return /redis_version:(\S+)/.exec(await client.info('server'))![1]!
}

export async function waitUntil(isSo: () => Promise<boolean>, milliseconds = 15_000): Promise<void> {
  for (const end = Date.now() + milliseconds; Date.now() < end; await delay(20)) {
    if (await isSo().catch(() => false)) return
  }
  throw new Error(`not so after ${milliseconds} ms: ${isSo}`)
}

/** A client as an app would make it, and its close function. */
export async function connect(url: string, library: Library): Promise<{ client: RedisClient; close(): void }> {
  const nodes = /^redis\+cluster:\/\/(.*)/.exec(url)?.[1]?.split(',')
  if (library === 'ioredis') {
    const client = nodes ? new Cluster(nodes.map((node) => `redis://${node}`)) : new Redis(url)
    client.on('error', () => {})
    return { client, close: () => client.disconnect() }
  }
  const socket = { reconnectStrategy: 50 }
  const client = nodes
    ? createCluster({
        rootNodes: nodes.map((node) => ({ url: `redis://${node}` })),
        defaults: { socket },
        topologyRefreshOnReconnectionAttemptStrategy: 500,
      })
    : createClient({ url, socket })
  client.on('error', () => {})
  await client.connect()
  return { client, close: () => client.destroy() }
}

/** A store that closes its own client, for the processes of the crash kit. */
export async function openRedisStore(url: string, library: Library, options?: RedisStoreOptions): Promise<Store> {
  const { client, close } = await connect(url, library)
  const store = createRedisStore(client, options)
  return {
    ...store,
    async close() {
      await store.close()
      close()
    },
  }
}

/**
 * The engine for the store contract: each store has its own prefix and its own client, which is closed with it.
 * The raw rows are its keys and the data appended to the files since.
 */
export function redisHarness(
  engine: RedisEngine,
  open: () => Promise<{ client: RedisClient; close(): void }>,
  db = 0,
): StoreHarness {
  const held = new WeakMap<Store, { prefix: string; sizes: number[][] }>()
  return {
    async open() {
      const prefix = `test-${randomBytes(6).toString('hex')}`
      const { client, close } = await open()
      const sessions = createRedisStore(client, { prefix })
      const store: Store = {
        ...sessions,
        async close() {
          await sessions.close()
          close()
        },
      }
      held.set(store, { prefix, sizes: engine.servers.map((server) => server.files().map((file) => file.length)) })
      return store
    },
    async rawRows(store) {
      const { prefix, sizes } = held.get(store)!
      const appended = engine.servers.flatMap((server, i) =>
        server.files().map((file, j) => file.subarray(sizes[i]?.[j] ?? 0)),
      )
      const nodes = 'nodes' in engine.admin ? engine.admin.nodes('master') : [engine.admin.duplicate({ db })]
      const rows = await Promise.all(nodes.map((node) => readKeys(node, prefix)))
      if (!('nodes' in engine.admin)) nodes[0]!.disconnect()
      return [...rows.flat(), ...appended]
    },
  }
}

/** All keys with a prefix, also behind a prefix of the client, with their values. */
export async function readKeys(node: Redis, prefix: string): Promise<(string | Buffer)[]> {
  const rows: (string | Buffer)[] = []
  for (const key of await node.keys(`*${prefix}:*`)) {
    rows.push(key)
    const type = await node.type(key)
    if (type === 'string') rows.push((await node.getBuffer(key))!)
    else if (type === 'hash') rows.push(...Object.entries(await node.hgetall(key)).flat())
    else rows.push(...(await node.zrange(key, 0, '-1', 'WITHSCORES')))
  }
  return rows
}
