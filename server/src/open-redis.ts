// DAYPASS_STORE=redis://… and redis+cluster://…: finds the driver that is installed and sets it up.

import { setTimeout as delay } from 'node:timers/promises'
import { DaypassError } from 'daypass'
import { createRedisStore } from 'daypass/redis'
import { RateLimiterRedis } from 'rate-limiter-flexible'
import { createRedisAccounts, type RunScript } from './accounts-redis.ts'
import { withinPatience } from './deadline.ts'
import { importPeer } from './peer.ts'
import type { OnDriverError, Stores } from './stores.ts'

interface Opened {
  client: Parameters<typeof createRedisStore>[0]
  runScript: RunScript
  close(): Promise<void>
}

interface Node {
  host: string
  port: number
}

/** The servers and the account, in a form that both drivers take. */
interface Address {
  isCluster: boolean
  nodes: [Node, ...Node[]]
  isEncrypted: boolean
  database: number
  credentials: { username?: string; password?: string }
}

/**
 * Opens sessions, accounts and limits in one Redis: `redis://`, `rediss://` (TLS), `redis+cluster://host:port,host:port`
 * and `rediss+cluster://`. Waits only briefly for the connection: calls are 503 until the server responds.
 *
 * @throws DaypassError `ERR_OPTION_INVALID` if the URL is invalid or no driver is installed.
 */
export async function openRedis(
  url: string,
  prefix = 'daypass',
  onDriverError: OnDriverError = () => {},
): Promise<Stores> {
  const address = readAddress(url)
  const opened =
    (await openNodeRedis(address, onDriverError)) ?? (await openIoredis(address, onDriverError)) ?? missing()
  const { client, runScript, close } = opened
  const sessions = createRedisStore(client, { prefix })
  return {
    sessions,
    accounts: createRedisAccounts(runScript),
    createLimiter: ({ keyPrefix, ...options }) =>
      new RateLimiterRedis({
        ...options,
        keyPrefix: `daypass:limit:${keyPrefix}`,
        storeClient: client,
        useRedisPackage: 'sendCommand' in client && !('callBuffer' in client),
      }),
    async close() {
      await sessions.close()
      await close()
    },
  }
}

/** No error and no cause contains the URL, because it may contain a password. */
function readAddress(url: string): Address {
  const [, tls, cluster, user = '', hosts = '', database = ''] =
    /^redis(s?)(\+cluster)?:\/\/(?:([^@/?#]*)@)?([^@/?#]+)\/?(\d*)$/.exec(url) ?? []
  const isCluster = cluster !== undefined
  try {
    const [first, ...others] = hosts.split(',').filter(Boolean).map(readNode)
    if (first === undefined || (others.length > 0 && !isCluster) || (isCluster && database !== '')) throw wrongUrl()
    const [username, password] = user.split(/:(.*)/s, 2).map(decodeURIComponent)
    return {
      isCluster,
      nodes: [first, ...others],
      isEncrypted: tls === 's',
      database: Number(database),
      credentials: { ...(username && { username }), ...(password && { password }) },
    }
  } catch {
    throw wrongUrl()
  }
}

function wrongUrl(): DaypassError {
  return new DaypassError(
    'ERR_OPTION_INVALID',
    'DAYPASS_STORE must be redis://user:password@host:port/database or redis+cluster://host:port,host:port (rediss for ' +
      'TLS). Write what is no letter or digit in a password as %XX.',
  )
}

/** `host`, `host:port` or `[IPv6]:port`; a socket takes an IPv6 address without its brackets. */
function readNode(text: string): Node {
  const { hostname, port } = new URL(`redis://${text}`)
  if (hostname === '') throw wrongUrl()
  return { host: hostname.replace(/^\[(.*)\]$/, '$1'), port: Number(port) || 6379 }
}

// A host that has vanished sends nothing and closes nothing. TCP alone would wait for a quarter of an hour.
const silence = 6000

async function openIoredis(address: Address, onDriverError: OnDriverError): Promise<Opened | undefined> {
  const ioredis = await importPeer<typeof import('ioredis')>('ioredis')
  if (ioredis === undefined) return undefined
  const { isCluster, nodes, isEncrypted, database, credentials } = address
  const options = {
    ...credentials,
    ...(isEncrypted && { tls: {} }),
    connectTimeout: 3000,
    socketTimeout: silence,
    // A master that became a replica: the address leads to the new one, behind a name or a balancer.
    reconnectOnError: (error: Error) => error.message.startsWith('READONLY'),
  }
  const client = isCluster
    ? new ioredis.Cluster(nodes, { redisOptions: options })
    : new ioredis.Redis({ ...options, ...nodes[0], db: database })
  client.on('error', onDriverError)
  return {
    client,
    runScript: (lua, key, args) => client.call('EVAL', lua, '1', key, ...args),
    close: async () => client.disconnect(),
  }
}

async function openNodeRedis(address: Address, onDriverError: OnDriverError): Promise<Opened | undefined> {
  const redis = await importPeer<typeof import('redis')>('redis')
  if (redis === undefined) return undefined
  const { isCluster, nodes, isEncrypted, database, credentials } = address
  const socket = {
    connectTimeout: 3000,
    reconnectStrategy: (tries: number) => Math.min(50 * 2 ** tries, 1000),
    ...(isEncrypted && { tls: true as const }),
  }
  if (!isCluster) {
    const client = redis.createClient({ socket: { ...socket, ...nodes[0] }, ...credentials, database })
    client.on('error', onDriverError)
    return {
      client,
      runScript: (lua, key, args) => client.sendCommand(['EVAL', lua, '1', key, ...args]),
      close: await keepConnected(client, () => client.ping()),
    }
  }
  const client = redis.createCluster({
    rootNodes: nodes.map((node) => ({ socket: { ...socket, ...node } })),
    defaults: { socket, ...credentials },
    topologyRefreshOnReconnectionAttemptStrategy: 1000,
    // One server that hangs does not keep the others from being reached.
    minimizeConnections: true,
  })
  client.on('error', onDriverError)
  const ping = () => Promise.all(client.masters.map(async (node) => (await client.nodeClient(node)).ping()))
  return {
    client,
    runScript: (lua, key, args) => client.sendCommand(key, false, ['EVAL', lua, '1', key, ...args]),
    close: await keepConnected(client, ping),
  }
}

/** The common part of node-redis's clients for one server and for a Cluster. */
interface NodeRedis {
  readonly isOpen: boolean
  connect(): Promise<unknown>
  destroy(): void
}

/**
 * Connects, and reconnects when the servers do not respond, which this driver alone does not detect. Returns a function
 * that ends it.
 */
async function keepConnected(client: NodeRedis, ping: () => Promise<unknown>): Promise<() => Promise<void>> {
  const closing = new AbortController()
  const pause = (milliseconds: number) =>
    delay(milliseconds, undefined, { signal: closing.signal, ref: false }).catch(() => {})
  const tried = Promise.withResolvers<void>()
  async function keep(): Promise<void> {
    while (!closing.signal.aborted) {
      try {
        if (!client.isOpen) await withinPatience(() => client.connect())
        await withinPatience(ping)
        tried.resolve()
        await pause(1000)
      } catch {
        tried.resolve()
        if (client.isOpen) client.destroy()
        await pause(200)
      }
    }
  }
  const kept = keep()
  await Promise.race([tried.promise, pause(1000)])
  return async () => {
    closing.abort()
    if (client.isOpen) client.destroy()
    await kept
    // Connected in the same moment.
    if (client.isOpen) client.destroy()
  }
}

function missing(): never {
  throw new DaypassError('ERR_OPTION_INVALID', 'DAYPASS_STORE names Redis; install its driver: npm install redis')
}
