// Commands through both Redis client libraries, to one server, Sentinels or a Cluster.

import { Buffer } from 'node:buffer'
import { createHash } from 'node:crypto'
import { DaypassError } from '../errors.ts'
import { wrongKind } from '../option.ts'
import { withDeadline } from './deadline.ts'
import { createErrorTranslator, fieldsOf } from './store-error.ts'

/** The used part of `ioredis` (`Redis` or `Cluster`). */
export interface Ioredis {
  createBuiltinCommand(name: string): { buffer: CallableFunction }
  pipeline(commands: unknown[][]): { exec(): Promise<[error: Error | null, result: unknown][] | null> }
  nodes?(role: 'master'): Ioredis[]
  readonly status: string
  readonly options: object
  on(event: string, listener: () => void): unknown
  off(event: string, listener: () => void): unknown
}

/** The used part of a client of `redis` (`createClient`, `createClientPool`, `createCluster` or `createSentinel`). */
export interface NodeRedis {
  // The five kinds of clients take different arguments, and their types depend on the modules that were added.
  sendCommand: CallableFunction
  withCommandOptions: CallableFunction
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
  /** Walks the keys that match, on every master. A key may come twice. The client's own prefix is not added. */
  scan(pattern: Buffer): AsyncGenerator<Buffer[]>
}

export function defineScript(lua: string): RedisScript {
  return { lua, sha: createHash('sha1').update(lua).digest('hex') }
}

/**
 * Speaks through a client of either library.
 *
 * @param timeout Milliseconds after which a command that was not sent yet is dropped.
 * @throws DaypassError `ERR_OPTION_INVALID` where it is no such client.
 */
export function connectRedis(client: RedisClient, timeout: number): Redis {
  if (isIoredis(client)) return createRedis(ioredis(client, timeout))
  if (isNodeRedis(client)) return createRedis(nodeRedis(client, timeout))
  throw wrongKind(
    'client',
    client,
    'Give a client of `ioredis`, or of `redis` 5 or newer (createClient …, not its `legacy()`).',
  )
}

const hasMethod = (client: unknown, name: string) =>
  typeof client === 'object' && client !== null && name in client && typeof Reflect.get(client, name) === 'function'

const isIoredis = (client: RedisClient): client is Ioredis => hasMethod(client, 'createBuiltinCommand')

// The callbacks of `client.legacy()` are another interface, as are the clients of redis 4 and older.
const isNodeRedis = (client: RedisClient): client is NodeRedisClient => hasMethod(client, 'withCommandOptions')

type Send = (...command: RedisArgument[]) => Promise<unknown>

/** The differences between the libraries. Keys of `evalsha`, `eval` and `wait` get the client's own prefix. */
interface Driver {
  evalsha(sha: string, key: string, args: readonly RedisArgument[]): Promise<unknown>
  eval(lua: string, key: string, args: readonly RedisArgument[]): Promise<unknown>
  isCluster: boolean
  /** Writes to `key` and then WAITs, both on one connection. */
  wait(key: string, atLeast: number, milliseconds: number): Promise<unknown>
  masters(): Promise<Send[]>
}

/**
 * A write that changes nothing and goes to the replicas. WAIT waits for the writes of its own connection. After a
 * reconnect, or in a pool, it would return at once.
 */
const touch = `
local ttl = redis.call('PTTL', KEYS[1])
if ttl > 0 then redis.call('PEXPIRE', KEYS[1], ttl) end`

function createRedis(driver: Driver): Redis {
  return {
    async run({ lua, sha }, key, args) {
      try {
        return await driver.evalsha(sha, key, args).catch((error) => {
          if (!error?.message?.startsWith('NOSCRIPT')) throw error
          return driver.eval(lua, key, args)
        })
      } catch (error) {
        // Up to Redis 6, what a script met is in the middle of the text.
        if (/\bWRONGTYPE\b/.test(String(fieldsOf(error).message))) throw keyTaken(key)
        throw error
      }
    },
    async isReplicated(keys, atLeast, milliseconds) {
      // One after another, because a WAIT blocks its connection, and a missing replica is waited for only once.
      for (const key of driver.isCluster ? keys : keys.slice(0, 1)) {
        if (Number(await driver.wait(key, atLeast, milliseconds)) < atLeast) return false
      }
      return true
    },
    async *scan(pattern) {
      for (const send of await driver.masters()) {
        let cursor = '0'
        do {
          const [next, keys] = (await send('SCAN', cursor, 'MATCH', pattern, 'COUNT', '500')) as [Buffer, Buffer[]]
          cursor = String(next)
          yield keys
        } while (cursor !== '0')
      }
    },
  }
}

function ioredis(client: Ioredis, timeout: number): Driver {
  const options = client.options as { enableOfflineQueue?: boolean; maxRetriesPerRequest?: number | null }
  // Such a command is not in `enableAutoPipelining`, where a command that a Cluster redirects makes others fail.
  const evalshaCommand = client.createBuiltinCommand('evalsha').buffer
  const evalCommand = client.createBuiltinCommand('eval').buffer
  const isCluster = client.nodes !== undefined
  let ready: Promise<void> | undefined

  /**
   * Waits for the connection here, as long as the caller waits. The library would keep the command as long as Redis is
   * away, unless its owner set it to give up soon.
   */
  function connected(): Promise<void> | undefined {
    const { enableOfflineQueue, maxRetriesPerRequest } = options
    // "wait" is before the first command of a lazy client.
    if (client.status === 'ready' || client.status === 'wait' || client.status === 'end') return undefined
    if (enableOfflineQueue === false || (maxRetriesPerRequest ?? 20) < 20) return undefined
    ready ??= new Promise<void>((resolve) => {
      const done = () => {
        client.off('ready', done)
        client.off('end', done)
        ready = undefined
        resolve()
      }
      client.on('ready', done)
      client.on('end', done)
    })
    return withDeadline(ready, timeout)
  }

  async function send(command: CallableFunction, ...args: (RedisArgument | number)[]): Promise<unknown> {
    const waiting = connected()
    if (waiting !== undefined) await waiting
    return Reflect.apply(command, client, args)
  }

  return {
    isCluster,
    evalsha: (sha, key, args) => send(evalshaCommand, sha, 1, key, ...args),
    eval: (lua, key, args) => send(evalCommand, lua, 1, key, ...args),
    async wait(key, atLeast, milliseconds) {
      const commands = [
        ['eval', touch, 1, key],
        ['wait', atLeast, milliseconds],
      ]
      for (const [error, count] of (await client.pipeline(commands).exec()) ?? []) {
        if (error) throw error
        if (count !== null) return count
      }
      return 0
    },
    async masters() {
      const nodes: Ioredis[] = client.nodes?.('master') ?? [client]
      return nodes.map((node): Send => {
        const scan = node.createBuiltinCommand('scan').buffer
        return (_name, ...args) => Reflect.apply(scan, node, args)
      })
    },
  }
}

/** A client of `redis`, of any kind. */
interface NodeRedisClient extends NodeRedis, NodeRedisScripts {
  withCommandOptions(options: object): NodeRedisScripts
  readonly isReady?: boolean
  multi(): NodeRedisMulti
  /** A Cluster's. */
  nodeClient?(master: unknown): NodeRedis | Promise<NodeRedis>
  readonly masters?: readonly unknown[]
  /** A Sentinel's. */
  getMasterNode?(): unknown
}

interface NodeRedisScripts {
  evalSha(sha: string, options: object): Promise<unknown>
  eval(lua: string, options: object): Promise<unknown>
}

interface NodeRedisMulti {
  eval(lua: string, options: object): NodeRedisMulti
  wait(replicas: number, milliseconds: number): NodeRedisMulti
  execAsPipeline(): Promise<unknown[]>
}

function nodeRedis(client: NodeRedisClient, timeout: number): Driver {
  const { nodeClient } = client
  const isCluster = nodeClient !== undefined
  // The first argument of a Sentinel's client says whether a replica may answer. None may: replicas are behind.
  const isSentinel = client.getMasterNode !== undefined
  // 36 is `$`, the type of texts in answers (RESP_TYPES.BLOB_STRING). It replaces all that the client maps.
  const options = { typeMapping: { 36: Buffer } }
  const plain = client.withCommandOptions(options)
  // Commands that wait for a connection are dropped when their caller has gone. The library's timer for that costs more
  // than the rest of the call, so commands that are sent at once have none.
  const bounded = client.withCommandOptions({ ...options, timeout })
  const current = () => (client.isReady === true && !isCluster ? plain : bounded)
  const send: Send = (...command) =>
    Reflect.apply(client.sendCommand, client, isSentinel ? [false, command, options] : [command, options])
  return {
    isCluster,
    // The library's own methods for scripts: they alone know of `keyPrefix`, and where in a Cluster a key lives.
    evalsha: (sha, key, args) => current().evalSha(sha, { keys: [key], arguments: args }),
    eval: (lua, key, args) => current().eval(lua, { keys: [key], arguments: args }),
    async wait(key, atLeast, milliseconds) {
      const replies = await client
        .multi()
        .eval(touch, { keys: [key] })
        .wait(atLeast, milliseconds)
        .execAsPipeline()
      return replies[1]
    },
    async masters() {
      if (nodeClient === undefined) return [send]
      const nodes = await Promise.all((client.masters ?? []).map((master) => nodeClient.call(client, master)))
      return nodes.map(
        (node): Send =>
          (...command) =>
            Reflect.apply(node.sendCommand, node, [command, options]),
      )
    },
  }
}

/** The error for a key that holds a value that is not Daypass's. */
export const keyTaken = (key: string): DaypassError =>
  new DaypassError(
    'ERR_OPTION_INVALID',
    `Redis has a \`${key}\` that Daypass did not make. Choose another \`prefix\`, or delete that key if nothing needs it.`,
  )

/** The translation of what a client or a server throws. The message says who has to act. */
export const asRedisError = createErrorTranslator((error) => {
  const text = textOf(error)
  // The text alone: some errors carry the command with its arguments, and secrets are among those.
  const cause = new Error(`${nameOf(error)}: ${text}`)
  // Up to Redis 6, what a script met is in the middle of the text.
  const [, kind] = /(?:^|-)(READONLY|OOM|MISCONF)\b/.exec(text) ?? []
  if (kind === 'OOM' || (kind === 'MISCONF' && /no space/i.test(text))) {
    return { code: 'ERR_STORE_FULL', message: 'Redis is full: its memory (maxmemory) or its disk.', cause }
  }
  if (kind === undefined) return { cause }
  return { code: 'ERR_STORE_READ_ONLY', message: 'Redis takes no writes: a replica, or its disk fails.', cause }
})

const nameOf = (error: unknown) => (error instanceof Error ? error.name : 'Error')

function textOf(error: unknown): string {
  const { message, errors } = fieldsOf(error)
  // Several addresses were tried: only the errors inside say what happened.
  if (Array.isArray(errors)) return errors.map(textOf).join('; ')
  // A server that does not know a command repeats its arguments.
  return String(message ?? error).replace(/, with args beginning with: [\s\S]*$/, '')
}
