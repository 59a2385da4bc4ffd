// Does the Redis store keep the contract on real servers, alone and in a Cluster, through both client libraries?

import { randomBytes } from 'node:crypto'
import { after, describe, test } from 'node:test'
import type { Redis } from 'ioredis'
import { type Store, type StoreHarness, storeContract } from '../../src/testing/index.ts'
import {
  givenRedis,
  type Library,
  openRedisStore,
  type RedisEngine,
  redisMissing,
  startRedis,
  startRedisCluster,
} from '../engines/redis.ts'

const skip = process.env.REDIS_URL ? false : redisMissing
const single = skip ? undefined : await (process.env.REDIS_URL ? givenRedis(process.env.REDIS_URL) : startRedis())
const cluster = redisMissing ? undefined : await startRedisCluster()
after(() => Promise.all([single?.remove(), cluster?.remove()]))

const engines: [string, RedisEngine | undefined][] = [
  ['single', single],
  ['Cluster of 3 masters and 3 replicas', cluster],
]
for (const [name, engine] of engines) {
  for (const library of ['ioredis', 'node-redis'] as const) {
    describe(`Redis, ${name}, ${library}`, { skip: engine === undefined ? redisMissing : false }, () => {
      let failed = 0
      for (const rule of storeContract) {
        test(rule.name, async (t) => {
          failed++
          await rule.run({ ...redisHarness(engine!, library), note: (line) => t.diagnostic(line) })
          failed--
        })
      }
      test('told at the end of the run', (t) => {
        if (failed === 0) t.diagnostic(`engine: Redis ${engine!.version} (${name}, ${library}): contract passed`)
      })
    })
  }
}

/** Each store has a prefix of its own on the one engine; raw rows are its keys and what was appended to the files since. */
function redisHarness(engine: RedisEngine, library: Library): StoreHarness {
  const held = new WeakMap<Store, { prefix: string; sizes: number[][] }>()
  return {
    async open() {
      const prefix = `test-${randomBytes(6).toString('hex')}`
      const store = await openRedisStore(engine.url, library, { prefix })
      held.set(store, { prefix, sizes: engine.servers.map((server) => server.files().map((file) => file.length)) })
      return store
    },
    async rawRows(store) {
      const { prefix, sizes } = held.get(store)!
      const appended = engine.servers.flatMap((server, i) =>
        server.files().map((file, j) => file.subarray(sizes[i]?.[j] ?? 0)),
      )
      const nodes = 'nodes' in engine.admin ? engine.admin.nodes('master') : [engine.admin]
      const rows = await Promise.all(nodes.map((node) => readKeys(node, prefix)))
      return [...rows.flat(), ...appended]
    },
  }
}

async function readKeys(node: Redis, prefix: string): Promise<(string | Buffer)[]> {
  const rows: (string | Buffer)[] = []
  for (const key of await node.keys(`${prefix}:*`)) {
    rows.push(key)
    if ((await node.type(key)) === 'string') rows.push((await node.getBuffer(key))!)
    else rows.push(...(await node.zrange(key, 0, '-1', 'WITHSCORES')))
  }
  return rows
}
