// The whole contract through Redis clients, with each option that apps can set.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, describe, test } from 'node:test'
import { Cluster, Redis, type RedisOptions } from 'ioredis'
import { createClient, createClientPool, createCluster, createSentinel, type RedisClientOptions } from 'redis'
import { createDaypass } from '../../src/core/daypass.ts'
import { createRedisStore } from '../../src/stores/redis.ts'
import type { RedisClient } from '../../src/stores/redis-client.ts'
import { storeContract } from '../../src/testing/index.ts'
import { makeSession } from '../../src/testing/store-harness.ts'
import {
  redisHarness,
  redisMissing,
  startRedis,
  startRedisCluster,
  startRedisSentinel,
  waitUntil,
} from '../engines/redis.ts'

interface Opened {
  client: RedisClient
  close(): void
}

const [engine, cluster, sentinel] = redisMissing
  ? []
  : await Promise.all([startRedis('--appendfsync', 'no'), startRedisCluster(), startRedisSentinel()])
after(() => Promise.all([engine?.remove(), cluster?.remove(), sentinel?.remove()]))
const port = Number(new URL(engine?.url ?? 'redis://localhost:0').port)
const url = engine?.url

async function ioredis(options: RedisOptions): Promise<Opened> {
  const client = new Redis({ port, ...options })
  client.on('error', () => {})
  // Such a client rejects commands before it is connected, so the app waits.
  if (options.enableOfflineQueue === false) await new Promise((resolve) => client.once('ready', resolve))
  return { client, close: () => client.disconnect() }
}

async function ioredisCluster(options: ConstructorParameters<typeof Cluster>[1]): Promise<Opened> {
  const client = new Cluster([{ port: cluster!.servers[0]!.port }], options)
  client.on('error', () => {})
  return { client, close: () => client.disconnect() }
}

async function nodeRedis(options: RedisClientOptions<any, any, any, any, any>): Promise<Opened> {
  const client = createClient({ url: url!, ...options })
  client.on('error', () => {})
  await client.connect()
  return { client, close: () => client.destroy() }
}

async function pool(options: RedisClientOptions<any, any, any, any, any>, poolOptions = {}): Promise<Opened> {
  const client = createClientPool({ url: url!, ...options }, poolOptions)
  client.on('error', () => {})
  await client.connect()
  return { client, close: () => client.destroy() }
}

async function nodeCluster(options: object): Promise<Opened> {
  const client = createCluster({ rootNodes: [{ url: `redis://127.0.0.1:${cluster!.servers[0]!.port}` }], ...options })
  client.on('error', () => {})
  await client.connect()
  return { client, close: () => client.destroy() }
}

async function nodeSentinel(options: object): Promise<Opened> {
  const client = createSentinel({ name: 'main', sentinelRootNodes: [sentinel!.sentinel], ...options })
  client.on('error', () => {})
  await client.connect()
  return { client, close: () => client.destroy() }
}

const everyTypeChanged = {
  commandOptions: { typeMapping: { 58: String, 43: Buffer, 36: String, 44: String, 42: Set } },
}

const one: [name: string, open: () => Promise<Opened>, db?: number][] = [
  ['ioredis enableAutoPipelining', () => ioredis({ enableAutoPipelining: true })],
  ['ioredis keyPrefix', () => ioredis({ keyPrefix: 'shop:' })],
  ['ioredis stringNumbers', () => ioredis({ stringNumbers: true })],
  ['ioredis protocol 2', () => ioredis({ protocol: 2 })],
  ['ioredis replyMapping resp3', () => ioredis({ replyMapping: 'resp3' })],
  ['ioredis db', () => ioredis({ db: 3 }), 3],
  ['ioredis lazyConnect', () => ioredis({ lazyConnect: true })],
  ['ioredis enableOfflineQueue false', () => ioredis({ enableOfflineQueue: false })],
  ['ioredis maxRetriesPerRequest null', () => ioredis({ maxRetriesPerRequest: null, enableReadyCheck: false })],
  ['ioredis showFriendlyErrorStack', () => ioredis({ showFriendlyErrorStack: true })],
  [
    'ioredis, many at once',
    () => ioredis({ enableAutoPipelining: true, keyPrefix: 'a*:{b}:', stringNumbers: true, lazyConnect: true, db: 2 }),
    2,
  ],
  ['node-redis keyPrefix', () => nodeRedis({ keyPrefix: 'shop:' })],
  ['node-redis RESP 2', () => nodeRedis({ RESP: 2 })],
  ['node-redis RESP 3', () => nodeRedis({ RESP: 3 })],
  ['node-redis database', () => nodeRedis({ database: 3 }), 3],
  ['node-redis disableOfflineQueue', () => nodeRedis({ disableOfflineQueue: true })],
  ['node-redis commandOptions', () => nodeRedis(everyTypeChanged)],
  ['node-redis clientSideCache', () => nodeRedis({ RESP: 3, clientSideCache: { ttl: 0, maxEntries: 0 } })],
  ['node-redis createClientPool', () => pool({}, { minimum: 1, maximum: 5 })],
  [
    'node-redis createClientPool, keyPrefix and commandOptions',
    () => pool({ keyPrefix: 'shop:', ...everyTypeChanged }),
  ],
]
const clusters: [name: string, open: () => Promise<Opened>][] = [
  ['ioredis enableAutoPipelining', () => ioredisCluster({ enableAutoPipelining: true })],
  ['ioredis keyPrefix', () => ioredisCluster({ keyPrefix: 'shop:' })],
  ['ioredis redisOptions.keyPrefix', () => ioredisCluster({ redisOptions: { keyPrefix: 'shop:' } })],
  ['ioredis scaleReads slave', () => ioredisCluster({ scaleReads: 'slave' })],
  ['ioredis lazyConnect', () => ioredisCluster({ lazyConnect: true })],
  ['node-redis keyPrefix', () => nodeCluster({ keyPrefix: 'shop:' })],
  ['node-redis useReplicas', () => nodeCluster({ useReplicas: true })],
  ['node-redis minimizeConnections', () => nodeCluster({ minimizeConnections: true })],
  ['node-redis RESP 2, commandOptions', () => nodeCluster({ RESP: 2, ...everyTypeChanged })],
]
const sentinels: [name: string, open: () => Promise<Opened>][] = [
  ['ioredis', () => ioredis({ name: 'main', sentinels: [sentinel!.sentinel], port: undefined as never })],
  // Without `masterPoolSize`: above 1, node-redis 6.3.1 never settles some concurrent calls.
  ['node-redis keyPrefix, commandOptions', () => nodeSentinel({ keyPrefix: 'shop:', ...everyTypeChanged })],
]

for (const [kind, server, table] of [
  ['one server', engine, one],
  ['Cluster', cluster, clusters],
  ['Sentinel', sentinel, sentinels],
] as const) {
  for (const [name, open, db] of table as typeof one) {
    // Through a Sentinel, node-redis runs one command at a time.
    const concurrency = kind === 'Sentinel' ? 1 : 6
    describe(`${kind}, ${name}: the whole contract`, { skip: redisMissing, concurrency }, () => {
      for (const rule of storeContract) {
        test(rule.name, (t) => rule.run({ ...redisHarness(server!, open, db), note: (line) => t.diagnostic(line) }))
      }
    })
  }
}

describe('options of clients', { skip: redisMissing }, () => {
  const openers: [string, (keyPrefix: string) => Promise<Opened>][] = [
    ['ioredis', (keyPrefix) => ioredis({ keyPrefix })],
    ['node-redis', (keyPrefix) => nodeRedis({ keyPrefix })],
    ['node-redis createClientPool', (keyPrefix) => pool({ keyPrefix })],
    ['ioredis Cluster', (keyPrefix) => ioredisCluster({ keyPrefix })],
    ['node-redis Cluster', (keyPrefix) => nodeCluster({ keyPrefix })],
    ['node-redis Sentinel', (keyPrefix) => nodeSentinel({ keyPrefix })],
  ]
  for (const [name, open] of openers) {
    test(`${name}: two apps with a keyPrefix each share nothing, and each prunes its own rows`, async (t) => {
      const prefix = `test-${randomBytes(6).toString('hex')}`
      const opened = await Promise.all([open('shop:'), open('blog:')])
      for (const { close } of opened) t.after(close)
      const stores = opened.map(({ client }) => createRedisStore(client, { prefix }))
      const [shop, blog] = stores.map((store, index) =>
        createDaypass({ secret: randomBytes(32), issuer: `https://${index}.example`, store }),
      )
      const { refreshToken } = await shop!.issue('1')
      await blog!.issue('1')
      assert.equal((await shop!.sessions('1')).length, 1)
      assert.equal(await blog!.revokeSubject('1'), 1)
      const far = Date.now() + 400 * 86_400_000
      assert.equal(await stores[1]!.prune(far, 100), 1)
      await shop!.refresh(refreshToken)
      assert.equal(await stores[0]!.prune(far, 100), 1)
    })
  }

  for (const [name, open] of [
    ['ioredis enableAutoPipelining', () => ioredisCluster({ enableAutoPipelining: true })],
    ['node-redis', () => nodeCluster({})],
  ] as const) {
    test(`${name}, in a Cluster: concurrent calls on many sessions reach the right masters`, async (t) => {
      const { client, close } = await open()
      t.after(close)
      const store = createRedisStore(client, { prefix: `test-${randomBytes(6).toString('hex')}` })
      const auth = createDaypass({ secret: randomBytes(32), issuer: 'test', store })
      const subjects = Array.from({ length: 60 }, (_, i) => `subject-${i}`)
      const all = await Promise.all(subjects.map((subject) => auth.issue(subject)))
      await Promise.all(all.map(({ refreshToken }) => auth.refresh(refreshToken)))
      assert.deepEqual(
        await Promise.all(subjects.map((subject) => auth.revokeSubject(subject))),
        subjects.map(() => 1),
      )
    })
  }

  for (const [name, open] of [
    ['node-redis createClientPool', () => pool({}, { minimum: 3 })],
    ['node-redis keyPrefix', () => nodeRedis({ keyPrefix: 'shop:' })],
    ['ioredis enableAutoPipelining, keyPrefix', () => ioredis({ enableAutoPipelining: true, keyPrefix: 'shop:' })],
  ] as const) {
    test(`${name}: \`wait\` waits for the write, on the connection that wrote`, async (t) => {
      const { client, close } = await open()
      t.after(close)
      const prefix = `test-${randomBytes(6).toString('hex')}`
      const store = createRedisStore(client, { prefix, wait: { replicas: 1, timeout: 30 } })
      // There are no replicas.
      for (let i = 0; i < 5; i++) {
        await assert.rejects(store.create(makeSession(Date.now())), { code: 'ERR_STORE_UNAVAILABLE' })
      }
    })
  }

  for (const [name, open] of [
    ['node-redis Sentinel', () => nodeSentinel({})],
    ['node-redis Sentinel keyPrefix', () => nodeSentinel({ keyPrefix: 'shop:' })],
    ['node-redis Cluster keyPrefix', () => nodeCluster({ keyPrefix: 'shop:' })],
    ['ioredis Cluster keyPrefix, scaleReads', () => ioredisCluster({ keyPrefix: 'shop:', scaleReads: 'slave' })],
  ] as const) {
    test(`${name}: \`wait\` succeeds if there is a replica`, async (t) => {
      const { client, close } = await open()
      t.after(close)
      const prefix = `test-${randomBytes(6).toString('hex')}`
      const store = createRedisStore(client, { prefix, wait: { replicas: 1, timeout: 1000 } })
      const session = makeSession(Date.now())
      await waitUntil(() => store.create({ ...session, id: randomBytes(16).toString('base64url') }).then(() => true))
      await store.create(session)
      assert.equal((await store.revokeSubject(session.subject, Date.now(), 'admin')).length >= 2, true)
    })
  }

  test('ioredis: a transformer that changes arguments or replies is rejected, and nothing is written', async (t) => {
    const { client, close } = await ioredis({})
    t.after(close)
    const transformers = (Redis.Command as unknown as { _transformer: Record<string, Record<string, unknown>> })
      ._transformer
    const prefix = `test-${randomBytes(6).toString('hex')}`
    for (const set of [
      () => Redis.Command.setReplyTransformer('evalsha', (reply: unknown) => ({ reply })),
      () => Redis.Command.setReplyTransformer('evalsha', (reply: unknown) => String(reply)),
      () => Redis.Command.setArgumentTransformer('evalsha', (args) => args.map(String)),
    ]) {
      set()
      try {
        await assert.rejects(createRedisStore(client, { prefix }).open('test'), {
          code: 'ERR_OPTION_INVALID',
          message: /setArgumentTransformer or setReplyTransformer/,
        })
      } finally {
        delete transformers.reply!.evalsha
        delete transformers.argument!.evalsha
      }
      assert.deepEqual(await engine!.admin.keys(`*${prefix}*`), [])
    }
    await createRedisStore(client, { prefix }).open('test')
  })

  test('node-redis: the error for `legacy()` names it', async (t) => {
    const { client, close } = await nodeRedis({})
    t.after(close)
    const legacy = (client as ReturnType<typeof createClient>).legacy()
    assert.throws(() => createRedisStore(legacy as unknown as RedisClient), {
      code: 'ERR_OPTION_INVALID',
      message: /legacy\(\)/,
    })
  })
})
