// How are two client libraries, and a server alone, behind Sentinels or in a Cluster, all one to us?

import { Buffer } from 'node:buffer'
import { createHash } from 'node:crypto'
import { DaypassError } from '../core/errors.ts'

/** What is used of `ioredis` (`Redis` or `Cluster`). */
export interface Ioredis {
  callBuffer(command: string, ...args: (string | Buffer)[]): Promise<unknown>
  // The library's own types of these have overloads in the hundreds.
  pipeline(...args: any[]): any
  nodes?(role?: any): any
}

/** What is used of `redis`: what `createClient`, `createCluster` or `createSentinel` gives. */
export interface NodeRedis {
  sendCommand(...args: any[]): Promise<unknown>
}

/** A client of the app's, connected and closed by the app. */
export type RedisClient = Ioredis | NodeRedis

/** One word of a command. */
export type RedisArgument = string | Buffer

/** A Lua script that is sent once and called by its hash from then on. Its one key is `KEYS[1]`. */
export interface RedisScript {
  lua: string
  sha: string
}

/** The few things that are asked of a client. Texts in answers are Buffers. */
export interface Redis {
  /** Runs a script where `key` lives: one round trip, and one more the first time a server sees the script. */
  run(script: RedisScript, key: string, args: readonly RedisArgument[]): Promise<unknown>
  /** Whether so many replicas of the servers where the keys live have what was written, after `milliseconds` at most. */
  isReplicated(keys: readonly string[], atLeast: number, milliseconds: number): Promise<boolean>
  /** Walks the keys that match, on every master; a key may come twice. */
  scan(pattern: string): AsyncGenerator<string[]>
}

export function defineScript(lua: string): RedisScript {
  return { lua, sha: createHash('sha1').update(lua).digest('hex') }
}

/**
 * Speaks through a client of either library.
 *
 * @param timeout Milliseconds after which a command that was not sent yet is dropped, where the library can do so.
 * @throws DaypassError `ERR_OPTION_INVALID` where it is no such client.
 */
export function connectRedis(client: RedisClient, timeout: number): Redis {
  if (isIoredis(client)) return createRedis(client.callBuffer.bind(client) as Send, ioredisExtras(client))
  if (typeof client?.sendCommand !== 'function') {
    throw new DaypassError('ERR_OPTION_INVALID', 'Give a client of `redis` (createClient …) or of `ioredis`.')
  }
  return createRedis(...nodeRedis(client, timeout))
}

type Send = (...command: RedisArgument[]) => Promise<unknown>

interface Extras {
  /** Sends to the master of a key; `Send` finds it by the command itself where it is left out. */
  sendTo?(key: string, command: RedisArgument[]): Promise<unknown>
  isCluster: boolean
  /** WAIT, on the connection that wrote `key`. */
  wait(key: string, atLeast: number, milliseconds: number): Promise<unknown>
  masters(): Promise<Send[]>
}

function createRedis(send: Send, { sendTo, isCluster, wait, masters }: Extras): Redis {
  const sendFor = sendTo ?? ((_key: string, command: RedisArgument[]) => send(...command))
  return {
    async run({ lua, sha }, key, args) {
      try {
        return await sendFor(key, ['EVALSHA', sha, '1', key, ...args])
      } catch (error) {
        if (!(error as Error)?.message?.startsWith('NOSCRIPT')) throw error
        return sendFor(key, ['EVAL', lua, '1', key, ...args])
      }
    },
    async isReplicated(keys, atLeast, milliseconds) {
      // One after another: a WAIT holds up its connection, and a replica that is away is to be waited for once.
      for (const key of isCluster ? keys : keys.slice(0, 1)) {
        if (Number(await wait(key, atLeast, milliseconds)) < atLeast) return false
      }
      return true
    },
    async *scan(pattern) {
      for (const ask of await masters()) {
        let cursor = '0'
        do {
          const [next, keys] = (await ask('SCAN', cursor, 'MATCH', pattern, 'COUNT', '500')) as [Buffer, Buffer[]]
          cursor = String(next)
          yield keys.map(String)
        } while (cursor !== '0')
      }
    },
  }
}

function isIoredis(client: RedisClient): client is Ioredis {
  return typeof (client as Ioredis)?.callBuffer === 'function'
}

function ioredisExtras(client: Ioredis): Extras {
  return {
    isCluster: client.nodes !== undefined,
    async wait(key, atLeast, milliseconds) {
      // WAIT names no key, so it travels with a command that does. No read: `scaleReads` would take both to a replica.
      const commands = [
        ['eval', 'return 1', 1, key],
        ['wait', atLeast, milliseconds],
      ]
      const [, [error, count]] = await client.pipeline(commands).exec()
      if (error) throw error
      return count
    },
    async masters() {
      const nodes: Ioredis[] = client.nodes?.('master') ?? [client]
      return nodes.map((node) => node.callBuffer.bind(node) as Send)
    },
  }
}

function nodeRedis(client: NodeRedis & Record<string, any>, timeout: number): [Send, Extras] {
  const isCluster = typeof client.nodeClient === 'function'
  // 36 is `$`, the type of texts in answers (RESP_TYPES.BLOB_STRING).
  const typeMapping = { 36: Buffer }
  // What waits for a connection is dropped when nobody waits for it any more. The library's timer for that costs more
  // than the rest of the call, so what is sent at once goes without.
  const options = () => ({ typeMapping, timeout: client.isReady && !isCluster ? undefined : timeout })
  // A Sentinel's client is told whether a replica will do, a Cluster's also where to go. None will: they are behind.
  const isSentinel = typeof client.getMasterNode === 'function'
  const send: Send = (...command) =>
    isSentinel ? client.sendCommand(false, command, options()) : client.sendCommand(command, options())
  const sendTo = (key: string, command: RedisArgument[]) =>
    isCluster ? client.sendCommand(key, false, command, options()) : send(...command)
  return [
    send,
    {
      sendTo,
      isCluster,
      wait: (key, atLeast, milliseconds) => sendTo(key, ['WAIT', String(atLeast), String(milliseconds)]),
      async masters() {
        if (!isCluster) return [send]
        const nodes: NodeRedis[] = await Promise.all(client.masters.map((master: unknown) => client.nodeClient(master)))
        return nodes.map(
          (node): Send =>
            (...command) =>
              node.sendCommand(command, options()),
        )
      },
    },
  ]
}

/** What a client or a server said, in Daypass's words; whose turn it is to act is in the message. */
export function asRedisError(error: unknown): DaypassError {
  if (error instanceof DaypassError) return error
  const { name, message = String(error) } = error as Error
  // The text alone: some errors carry the command with its arguments, and secrets are among those.
  const options = { cause: new Error(`${name}: ${message}`) }
  // Up to Redis 6, what a script met is in the middle of the text.
  const [, kind] = /(?:^|-)(READONLY|OOM|MISCONF)\b/.exec(message) ?? []
  if (kind === 'OOM' || (kind === 'MISCONF' && /no space/i.test(message))) {
    return new DaypassError('ERR_STORE_FULL', 'Redis is full: its memory (maxmemory) or its disk.', options)
  }
  if (kind !== undefined) {
    return new DaypassError('ERR_STORE_READ_ONLY', 'Redis takes no writes: a replica, or its disk fails.', options)
  }
  return new DaypassError('ERR_STORE_UNAVAILABLE', undefined, options)
}
