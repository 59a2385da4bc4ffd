// DAYPASS_STORE=redis://… and redis+cluster://…: which driver is there, and how is it set up?

import { setTimeout as delay } from 'node:timers/promises'
import { DaypassError } from '../errors.ts'
import { withDeadline } from '../stores/deadline.ts'
import { createRedisStore } from '../stores/redis.ts'
import type { RedisClient } from '../stores/redis-client.ts'
import { createRedisAccounts } from './accounts-redis.ts'
import { importPeer } from './peer.ts'
import type { Stores } from './stores.ts'

interface Opened {
  client: RedisClient
  close(): Promise<void>
}

/** Where and as whom, in a form that both drivers take. */
interface Address {
  isCluster: boolean
  /** One URL a server, each with the name and the password. */
  urls: string[]
  isEncrypted: boolean
  username?: string
  password?: string
}

/**
 * Opens sessions and accounts in one Redis: `redis://`, `rediss://` (TLS), `redis+cluster://host:port,host:port` and
 * `rediss+cluster://`. Waits no longer than a moment for the connection: a server that is away is 503, and is found
 * again by itself.
 *
 * @throws DaypassError `ERR_OPTION_INVALID` where the URL is wrong or no driver is installed.
 */
export async function openRedis(url: string): Promise<Stores> {
  const address = readAddress(url)
  const { client, close } = (await openNodeRedis(address)) ?? (await openIoredis(address)) ?? missing()
  const sessions = createRedisStore(client)
  return {
    sessions,
    accounts: createRedisAccounts(client),
    async close() {
      await sessions.close()
      await close()
    },
  }
}

/** The URL is in no error, its cause included: it may hold a password. */
function readAddress(url: string): Address {
  const [, tls, cluster, user = '', hosts = '', database = ''] =
    /^redis(s?)(\+cluster)?:\/\/(?:([^@/]*)@)?([^@/?#]+)\/?(\d*)$/.exec(url) ?? []
  const isCluster = cluster !== undefined
  const list = hosts.split(',').filter(Boolean)
  if (list.length === 0 || (list.length > 1 && !isCluster) || (isCluster && database !== '')) throw wrongUrl()
  const urls = list.map((host) => `redis${tls}://${user === '' ? '' : `${user}@`}${host}${database && `/${database}`}`)
  try {
    const [{ username, password }] = urls.map((each) => new URL(each)) as [URL]
    return {
      isCluster,
      urls,
      isEncrypted: tls === 's',
      ...(username === '' ? {} : { username: decodeURIComponent(username) }),
      ...(password === '' ? {} : { password: decodeURIComponent(password) }),
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

// A host that vanished answers nothing and closes nothing; TCP alone would wait for it for a quarter of an hour.
const silence = 6000

async function openIoredis({ isCluster, urls, isEncrypted, ...credentials }: Address): Promise<Opened | undefined> {
  const ioredis = await importPeer('ioredis')
  if (ioredis === undefined) return undefined
  const options = {
    connectTimeout: 3000,
    socketTimeout: silence,
    // A master that became a replica: the address leads to the new one, behind a name or a balancer.
    reconnectOnError: (error: Error) => error.message.startsWith('READONLY'),
  }
  const tls = isEncrypted ? { tls: {} } : {}
  const client = isCluster
    ? new ioredis.Cluster(urls, { redisOptions: { ...options, ...credentials, ...tls } })
    : new ioredis.Redis(urls[0], options)
  // Said again by every call that fails of it; unheard, it would be printed.
  client.on('error', () => {})
  return { client, close: async () => client.disconnect() }
}

async function openNodeRedis({ isCluster, urls, isEncrypted, ...credentials }: Address): Promise<Opened | undefined> {
  const redis = await importPeer('redis')
  if (redis === undefined) return undefined
  const socket = { connectTimeout: 3000, reconnectStrategy: (tries: number) => Math.min(50 * 2 ** tries, 1000) }
  const tls = isEncrypted ? { tls: true } : {}
  const { hostname, port, pathname } = new URL(urls[0]!)
  const client = isCluster
    ? redis.createCluster({
        rootNodes: urls.map((url) => ({ url, socket })),
        defaults: { socket: { ...socket, ...tls }, ...credentials },
        topologyRefreshOnReconnectionAttemptStrategy: 1000,
        // One server that hangs does not keep the others from being reached.
        minimizeConnections: true,
      })
    : redis.createClient({
        // Not the URL: node-redis 6.3.1 looks up the name "[::1]" where one is given.
        socket: { ...socket, ...tls, host: hostname.replace(/^\[|\]$/g, ''), port: Number(port || 6379) },
        database: Number(pathname.slice(1)),
        ...credentials,
      })
  // Unheard, it would end the process.
  client.on('error', () => {})
  const ping = async () => {
    const nodes = isCluster
      ? await Promise.all(client.masters.map((node: unknown) => client.nodeClient(node)))
      : [client]
    await Promise.all(nodes.map((node) => node.sendCommand(['PING'])))
  }
  return keepConnected(client, ping)
}

/** Connects, and connects anew where the servers have been silent: this driver alone would not notice. */
async function keepConnected(client: any, ping: () => Promise<void>): Promise<Opened> {
  const closing = new AbortController()
  const pause = (milliseconds: number) =>
    delay(milliseconds, undefined, { signal: closing.signal, ref: false }).catch(() => {})
  const tried = Promise.withResolvers<void>()
  async function keep(): Promise<void> {
    while (!closing.signal.aborted) {
      try {
        if (!client.isOpen) await withDeadline(client.connect(), silence)
        await withDeadline(ping(), silence)
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
  return {
    client,
    async close() {
      closing.abort()
      if (client.isOpen) client.destroy()
      await kept
      // Connected in the same moment.
      if (client.isOpen) client.destroy()
    },
  }
}

function missing(): never {
  throw new DaypassError('ERR_OPTION_INVALID', 'DAYPASS_STORE names Redis; install its driver: npm install redis')
}
