// The whole contract on real Redis servers, alone and in a Cluster, through both client libraries.

import { after, describe, test } from 'node:test'
import { storeContract } from '../../src/testing/index.ts'
import {
  connect,
  givenRedis,
  type RedisEngine,
  redisHarness,
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
          await rule.run({
            ...redisHarness(engine!, () => connect(engine!.url, library)),
            note: (line) => t.diagnostic(line),
          })
          failed--
        })
      }
      test('the end of the run names the server', (t) => {
        if (failed === 0) t.diagnostic(`engine: Redis ${engine!.version} (${name}, ${library}): contract passed`)
      })
    })
  }
}

if (redisMissing)
  test('the end of the run names the engine that did not run', (t) => t.diagnostic(`engine: Redis ${redisMissing}`))
