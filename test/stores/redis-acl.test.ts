// The Redis user of docs/redis.md has the rights that Daypass needs, and no more.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, describe, test } from 'node:test'
import { Cluster, Redis } from 'ioredis'
import { createClient, createCluster } from 'redis'
import type { RedisClient } from '../../src/stores/redis-client.ts'
import { storeContract } from '../../src/testing/index.ts'
import { redisHarness, redisMissing, startRedis, startRedisCluster } from '../engines/redis.ts'

const line = /^ACL SETUSER daypass .*$/m.exec(readFileSync('docs/redis.md', 'utf8'))![0]
// The contract's stores have prefixes of their own.
const rights = line.replace('ACL SETUSER daypass ', '').replace('>PASSWORD', '>pw').replace('~daypass:*', '~test-*:*')
const credentials = { username: 'daypass', password: 'pw' }

describe('the documented Redis user', { skip: redisMissing }, async () => {
  if (redisMissing) return
  const [engine, cluster] = await Promise.all([startRedis('--appendfsync', 'no'), startRedisCluster()])
  after(() => Promise.all([engine.remove(), cluster.remove()]))
  const { port } = engine.servers[0]!
  const clusterPort = cluster.servers[0]!.port
  for (const server of [...engine.servers, ...cluster.servers]) {
    const admin = new Redis(server.port)
    await admin.call('ACL', 'SETUSER', 'daypass', ...rights.split(' ')).finally(() => admin.disconnect())
  }

  const clients: [string, typeof engine, () => Promise<{ client: RedisClient; close(): void }>][] = [
    [
      'ioredis',
      engine,
      async () => {
        const client = new Redis({ port, ...credentials })
        return { client, close: () => client.disconnect() }
      },
    ],
    [
      'node-redis',
      engine,
      async () => {
        const client = createClient({ url: engine.url, ...credentials })
        client.on('error', () => {})
        await client.connect()
        return { client, close: () => client.destroy() }
      },
    ],
    [
      'ioredis Cluster',
      cluster,
      async () => {
        const client = new Cluster([{ port: clusterPort }], { redisOptions: credentials })
        return { client, close: () => client.disconnect() }
      },
    ],
    [
      'node-redis Cluster',
      cluster,
      async () => {
        const client = createCluster({
          rootNodes: [{ url: `redis://127.0.0.1:${clusterPort}` }],
          defaults: credentials,
        })
        client.on('error', () => {})
        await client.connect()
        return { client, close: () => client.destroy() }
      },
    ],
  ]
  for (const [name, server, open] of clients) {
    describe(name, { concurrency: 6 }, () => {
      for (const rule of storeContract) test(rule.name, () => rule.run(redisHarness(server, open)))
    })
  }

  test('the user may neither touch other keys nor administer the server', async (t) => {
    const client = new Redis({ port, ...credentials })
    t.after(() => client.disconnect())
    for (const command of [['get', 'other'], ['keys', '*'], ['config', 'get', '*'], ['flushall'], ['acl', 'list']]) {
      await assert.rejects(client.call(...(command as [string])), /NOPERM/, command.join(' '))
    }
  })
})
