// Sessions survive faults of Redis: cuts, freezes, restarts, failovers, full memory, interrupted writes.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { type Cluster, Redis } from 'ioredis'
import { createSentinel } from 'redis'
import { openRedis } from '../../server/src/open-redis.ts'
import { createDaypass } from '../../src/core/daypass.ts'
import { isDaypassError } from '../../src/errors.ts'
import { createRedisStore, type RedisStoreOptions } from '../../src/stores/redis.ts'
import type { RedisClient } from '../../src/stores/redis-client.ts'
import {
  createSeededRandom,
  type KitReport,
  runConcurrencyKit,
  runCrashKit,
  startFaultyProxy,
} from '../../src/testing/index.ts'
import { freshSeed } from '../../src/testing/random.ts'
import { makeSession, makeStep } from '../../src/testing/store-harness.ts'
import {
  connect,
  type Library,
  openRedisStore,
  redisMissing,
  startRedis,
  startRedisCluster,
  startRedisSentinel,
  waitUntil,
} from '../engines/redis.ts'

const libraries: Library[] = ['ioredis', 'node-redis']
const newKey = () => randomBytes(24).toString('base64url')
const newPrefix = () => `test-${randomBytes(6).toString('hex')}`
const summarize = (report: KitReport) =>
  Object.entries(report)
    .map(([name, value]) => `${name} ${value}`)
    .join(', ')
const unavailable = { status: 503, code: 'ERR_STORE_UNAVAILABLE', retryAfter: 1 }

describe('Redis, one server', { skip: redisMissing }, async () => {
  if (redisMissing) return
  const engine = await startRedis()
  after(engine.remove)
  const admin = engine.admin as Redis
  const server = engine.servers[0]!

  /** Opens a store with its own prefix. The client is closed with the test. */
  async function open(t: { after(body: () => void): void }, library: Library, options: RedisStoreOptions = {}) {
    const { client, close } = await connect(engine.url, library)
    t.after(close)
    const prefix = newPrefix()
    const sent = countCommands(client)
    return { client, prefix, sent, store: createRedisStore(client, { prefix, ...options }) }
  }

  const calls = async (command: string) => {
    const line = new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(await admin.info('commandstats'))
    return Number(line?.[1] ?? 0)
  }

  for (const library of libraries) {
    test(`${library}: a refresh is one command, and concurrent refreshes do not wait for each other`, async (t) => {
      const { sent, store } = await open(t, library)
      const auth = createDaypass({ secret: randomBytes(32), issuer: 'test', store })
      let all = await Promise.all(Array.from({ length: 100 }, (_, i) => auth.issue(`subject-${i}`)))
      const refreshAll = () =>
        Promise.all(all.map(({ refreshToken }) => auth.refresh(refreshToken, { idempotencyKey: newKey() })))
      // The first refresh of a session also writes its index entry again.
      all = await refreshAll()
      await store.close()
      const before = { hash: await calls('evalsha'), text: await calls('eval'), sent: sent() }
      await refreshAll()
      assert.deepEqual(
        {
          hash: (await calls('evalsha')) - before.hash,
          text: (await calls('eval')) - before.text,
          sent: sent() - before.sent,
        },
        { hash: 100, text: 0, sent: 100 },
      )
    })

    test(`${library}: scripts are sent again to a server that has forgotten them`, async (t) => {
      const { store } = await open(t, library)
      const session = makeSession(Date.now())
      await store.create(session)
      await admin.script('FLUSH')
      const answers = await Promise.all(Array.from({ length: 10 }, () => store.advance(makeStep(session, Date.now()))))
      assert.equal(answers.filter((answer) => answer !== null).length, 1)
      await admin.script('FLUSH')
      assert.equal((await store.revoke(session.id, Date.now(), 'admin'))?.revokedReason, 'admin')
    })

    test(`${library}: calls to a hanging server get 503 in bounded time, and late commands sign nobody out`, async (t) => {
      const { store, client, prefix } = await open(t, library, { timeout: 300 })
      const secret = randomBytes(32)
      const auth = createDaypass({ secret, issuer: 'test', store })
      const { refreshToken, session } = await auth.issue('ada')
      server.freeze()
      const began = performance.now()
      try {
        // Without a key, so that only the store's deadline prevents the refresh an hour later from being a reuse.
        await Promise.all([
          assert.rejects(auth.refresh(refreshToken), unavailable),
          assert.rejects(auth.issue('bob'), unavailable),
          assert.rejects(auth.sessions('ada'), unavailable),
          assert.rejects(auth.revoke(session.id), unavailable),
          assert.rejects(auth.check(), unavailable),
        ])
        assert.ok(performance.now() - began < 1500)
        await delay(300)
      } finally {
        server.thaw()
      }
      await waitUntil(() => store.check().then(() => true))
      const row = await store.find(session.id)
      assert.equal(row?.generation, 0, 'a command that arrives after its deadline changes nothing')
      assert.equal(row?.revokedAt, null)
      const later = createDaypass({
        secret,
        issuer: 'test',
        store: createRedisStore(client, { prefix }),
        clock: () => Date.now() + 3_600_000,
      })
      assert.equal((await later.refresh(refreshToken)).outcome, 'rotated')
    })

    test(`${library}: an engine whose clock is ahead can be used`, async (t) => {
      // The clock of one process cannot be set. So move the clock of the store.
      const { store, sent } = await open(t, library)
      const now = Date.now
      const session = makeSession(now())
      t.after(() => {
        Date.now = now
      })
      Date.now = () => now() - 3_600_000
      const before = sent()
      await store.create(session)
      assert.ok(sent() - before >= 3, 'the store retried with the difference of the clocks')
      const first = await store.advance(makeStep(session, now()))
      assert.equal(first?.session.generation, 1)
      await store.close()
      const learnt = sent()
      assert.ok(await store.advance(makeStep(first!.session, now())))
      assert.equal(sent() - learnt, 1, 'the store remembers the difference')
    })

    test(`${library}: killed −9 and restarted: no session and no acknowledged rotation is lost`, async (t) => {
      const { store } = await open(t, library, { timeout: 1000 })
      const auth = createDaypass({ secret: randomBytes(32), issuer: 'test', store })
      const clients = await Promise.all(
        Array.from({ length: 20 }, async () => ({ token: (await auth.issue('ada')).refreshToken, answered: 0 })),
      )
      let over = false
      const running = clients.map(async (client) => {
        while (!over) {
          const idempotencyKey = newKey()
          while (!over) {
            try {
              client.token = (await auth.refresh(client.token, { idempotencyKey })).refreshToken
              client.answered++
              break
            } catch (error) {
              assert.ok(isDaypassError(error, 'ERR_STORE_UNAVAILABLE'), String(error))
              await delay(20)
            }
          }
        }
      })
      await delay(200)
      await server.kill()
      await delay(100)
      const answered = clients.map((client) => client.answered)
      await server.start()
      await waitUntil(async () => clients.every((client, index) => client.answered > answered[index]! + 2))
      over = true
      await Promise.all(running)
      const rows = await auth.sessions('ada')
      assert.equal(rows.length, clients.length)
    })

    test(`${library}: a revoke or a sign-in that stops after any step is completed later or has done nothing`, async (t) => {
      const { client, prefix, store } = await open(t, library)
      const now = Date.now()
      // Another instance, half a minute later. A revoke that is completed then must be new to it.
      const later = createRedisStore(client, { prefix, clock: () => now + 30_000 })
      const isNews = async (id: string) => (await later.revokedSince(now + 25_000)).some((each) => each.id === id)
      for (const call of ['revoke', 'revokeSubject'] as const) {
        for (const completedBy of ['a verifier', 'a retry of the caller']) {
          for (let last = 0, isOver = false; !isOver; last++) {
            const what = `${call}, ${last} commands, completed by ${completedBy}`
            const session = makeSession(now, { subject: what })
            await store.create(session)
            await store.close()
            const broken = createRedisStore(client, { prefix })
            await dieAfter(client, last, async () => {
              const ended = broken[call](call === 'revoke' ? session.id : session.subject, now, 'sign-out')
              isOver = await ended.then(
                () => true,
                (error) => !isDaypassError(error, 'ERR_STORE_UNAVAILABLE'),
              )
              await broken.close()
            })
            assert.ok(last < 10, 'a revoke is a handful of commands')
            if (isOver) break
            if (completedBy === 'a verifier') {
              const row = await store.find(session.id)
              assert.equal(await isNews(session.id), row!.revokedAt !== null, what)
            } else if (call === 'revoke') await later.revoke(session.id, now + 30_000, 'sign-out')
            else await later.revokeSubject(session.subject, now + 30_000, 'sign-out')
            if (completedBy !== 'a verifier') assert.ok(await isNews(session.id), what)
          }
        }
      }
      for (let last = 0; last < 3; last++) {
        const session = makeSession(now, { subject: `create-${last}` })
        const broken = createRedisStore(client, { prefix })
        await dieAfter(client, last, () => broken.create(session).catch(() => {}))
        const row = await store.find(session.id)
        const listed = await store.list(session.subject, now, 100)
        assert.equal(listed.length, row === null ? 0 : 1, `after ${last} commands`)
        const ended = await store.revokeSubject(session.subject, now, 'admin')
        assert.equal(ended.length, row === null ? 0 : 1)
      }
    })
  }

  test('index entries without a row are removed, except those of a sign-in in progress', async (t) => {
    const { store, prefix } = await open(t, 'ioredis')
    const now = Date.now()
    const [young, old, kept] = [now - 1000, now - 120_000, now].map((at) => makeSession(now, { createdAt: at }))
    for (const session of [young!, old!, kept!]) await store.create(session)
    await admin.del(`${prefix}:session:{${young!.id}}`, `${prefix}:session:{${old!.id}}`)
    assert.equal((await store.list('subject-1', now, 100)).length, 1)
    const left = await admin.zrange(`${prefix}:subject:{subject-1}`, 0, '-1')
    assert.deepEqual(left.map((member) => member.slice(0, 22)).sort(), [young!.id, kept!.id].sort())
    // `list` is never called here. Each sign-in removes a few old entries.
    const past = now - 40 * 86_400_000
    for (let i = 0; i < 5; i++) {
      const session = makeSession(past)
      await store.create({ ...session, createdAt: past + i, expiresAt: past + 86_400_000, idleExpiresAt: past + 1 })
      await admin.del(`${prefix}:session:{${session.id}}`)
    }
    await store.create(makeSession(now))
    await store.close()
    assert.equal(await admin.zcard(`${prefix}:subject:{subject-1}`), 3)
  })

  test('the first refresh restores an index entry that a failover lost', async (t) => {
    const { store, prefix } = await open(t, 'ioredis')
    const session = makeSession(Date.now())
    await store.create(session)
    await admin.del(`${prefix}:subject:{subject-1}`)
    await store.advance(makeStep(session, Date.now()))
    await store.close()
    assert.equal((await store.list('subject-1', Date.now(), 100)).length, 1)
  })

  test('the engine expires rows an hour after their session ends, and every refresh postpones it', async (t) => {
    const { store, prefix } = await open(t, 'ioredis')
    const now = Date.now()
    const session = makeSession(now, { idleExpiresAt: now + 600_000, expiresAt: now + 7_200_000 })
    await store.create(session)
    const ttl = async () => Math.round((await admin.pttl(`${prefix}:session:{${session.id}}`)) / 60_000)
    assert.equal(await ttl(), 70)
    const step = makeStep(session, now + 60_000, { idleTimeout: 1_800_000 })
    const advanced = await store.advance(step)
    assert.equal(await ttl(), 90)
    await store.advance(makeStep(advanced!.session, now + 60_000, { idleTimeout: 100 * 86_400_000 }))
    assert.equal(await ttl(), 179)
    await store.revoke(session.id, now + 61_000, 'admin')
    assert.equal(await ttl(), 60)
    assert.ok((await admin.pttl(`${prefix}:subject:{subject-1}`)) > 0)
  })

  test('with `wait`, a sign-in and a revoke fail if there are no replicas; a refresh does not wait', async (t) => {
    const { store, prefix, client } = await open(t, 'ioredis')
    const waiting = createRedisStore(client, { prefix, wait: { replicas: 1, timeout: 50 } })
    const session = makeSession(Date.now())
    await store.create(session)
    await assert.rejects(waiting.create(makeSession(Date.now())), unavailable)
    assert.ok(await waiting.advance(makeStep(session, Date.now())))
    await assert.rejects(waiting.revoke(session.id, Date.now(), 'admin'), unavailable)
    await assert.rejects(waiting.revoke(session.id, Date.now(), 'admin'), unavailable)
  })

  test('a full server and a replica have their own error codes, and no error contains a secret', async (t) => {
    const { store } = await open(t, 'ioredis')
    const session = makeSession(Date.now(), { claims: { canary: 'c4n4ry' } })
    await store.create(session)
    await admin.config('SET', 'maxmemory', '1mb')
    try {
      for (const call of [
        store.create(makeSession(Date.now())),
        store.advance(makeStep(session, Date.now())),
        store.check(),
      ]) {
        await assert.rejects(call, { status: 503, code: 'ERR_STORE_FULL' })
      }
    } finally {
      await admin.config('SET', 'maxmemory', '0')
    }
    await admin.replicaof('127.0.0.1', '1')
    try {
      await assert.rejects(store.check(), (error) => {
        assert.ok(isDaypassError(error, 'ERR_STORE_READ_ONLY'))
        return true
      })
      await assert.rejects(store.create(makeSession(Date.now(), { claims: { canary: 'c4n4ry' } })), (error: Error) => {
        const { inspect } = process.getBuiltinModule('node:util')
        assert.doesNotMatch(inspect(error, { depth: 9, showHidden: true }), /c4n4ry/)
        return true
      })
    } finally {
      await admin.replicaof('NO', 'ONE')
    }
    assert.ok(await store.advance(makeStep(session, Date.now())))
  })

  test('connections cut in the middle of calls, with both libraries: nobody is signed out', async (t) => {
    const chance = createSeededRandom(freshSeed())
    t.diagnostic(`seed ${chance.seed}`)
    const proxy = await startFaultyProxy({ port: server.port, chance: chance.next })
    const prefix = newPrefix()
    const stores = [await openRedisStore(engine.url, 'ioredis', { prefix })]
    // The kit reads the rows through the first store, and sends requests through it too.
    for (const library of [...libraries, ...libraries]) {
      stores.push(await openRedisStore(`redis://${proxy.host}:${proxy.port}`, library, { prefix, timeout: 1000 }))
    }
    try {
      const report = await runConcurrencyKit({
        stores,
        requests: 3000,
        loss: 0.02,
        meanwhile: () => proxy.untilCut(10),
      })
      t.diagnostic(`${summarize(report)}, connections cut ${proxy.cuts()}`)
    } finally {
      for (const store of stores) await store.close()
      await proxy.close()
    }
  })

  for (const library of libraries) {
    test(`${library}: 3 server processes, 20 of them killed −9, and nobody is signed out`, async (t) => {
      const store = {
        module: import.meta.resolve('../engines/redis.ts'),
        export: 'openRedisStore',
        args: [engine.url, library, { prefix: newPrefix() }],
      }
      const report = await runCrashKit({ store, kills: 20 })
      t.diagnostic(summarize(report))
      assert.equal(report.caught, 2)
    })
  }
})

describe('Redis Cluster', { skip: redisMissing }, async () => {
  if (redisMissing) return
  const engine = await startRedisCluster()
  after(engine.remove)
  const admin = engine.admin as Cluster

  test('a sign-in and a revoke that wait for one replica succeed', async (t) => {
    for (const library of libraries) {
      const { client, close } = await connect(engine.url, library)
      t.after(close)
      const store = createRedisStore(client, { prefix: newPrefix(), wait: { replicas: 1, timeout: 1000 } })
      const sessions = Array.from({ length: 20 }, () => makeSession(Date.now()))
      await Promise.all(sessions.map((session) => store.create(session)))
      assert.equal((await store.revokeSubject('subject-1', Date.now(), 'admin')).length, 20)
    }
  })

  test('a master is killed and another hangs during refreshes, and nobody is signed out', async (t) => {
    const prefix = newPrefix()
    const secret = randomBytes(32)
    const ioredis = await connect(engine.url, 'ioredis')
    const nodeRedis = await connect(engine.url, 'node-redis')
    const opened = await openRedis(engine.url)
    const stores = {
      ioredis: createRedisStore(ioredis.client, { prefix, timeout: 1500 }),
      'node-redis': createRedisStore(nodeRedis.client, { prefix, timeout: 1500 }),
      'redis+cluster://': opened.sessions,
    }
    t.after(async () => {
      ioredis.close()
      nodeRedis.close()
      await opened.close()
    })
    let healed = 0
    let over = false
    let laps = 0
    const clients: { name: string; lap: number; failures: number }[] = []
    const running = Object.entries(stores).flatMap(([name, store]) => {
      const onEvent = (event: { type: string; healed?: boolean }) => {
        if (event.type === 'rotated' && event.healed) healed++
      }
      const auth = createDaypass({ secret, issuer: 'test', store, onEvent })
      return Array.from({ length: 12 }, async (_, index) => {
        const client = { name, lap: -1, failures: 0 }
        let { refreshToken } = await auth.issue(`subject-${name}-${index}`)
        clients.push(client)
        while (!over) {
          const idempotencyKey = newKey()
          for (;;) {
            try {
              refreshToken = (await auth.refresh(refreshToken, { idempotencyKey })).refreshToken
              client.lap = laps
              break
            } catch (error) {
              // A session that ended would have another code, and fail the test here.
              // Compare the code, because the server's stores come from the built package with another error class.
              const { code = '' } = error as { code?: string }
              const known = code === 'ERR_STORE_UNAVAILABLE' || code === 'ERR_STORE_READ_ONLY'
              assert.ok(known, `${name}: ${error}, ${(error as Error).cause}`)
              client.failures++
              if (over) break
              await delay(50)
            }
          }
          await delay(5)
        }
      })
    })
    const failed = Promise.race(running)
    const everyoneGoesOn = async () => {
      laps++
      const went = waitUntil(
        async () => clients.length === 36 && clients.every((client) => client.lap === laps),
        20_000,
      )
      await Promise.race([went, failed]).catch((error) => {
        const stuck = clients.filter((client) => client.lap < laps).map((client) => client.name)
        throw new Error(`not going on: ${stuck.join(', ')}`, { cause: error })
      })
    }
    t.after(() => {
      over = true
    })
    await everyoneGoesOn()
    const victim = await masterOf(admin, engine.servers)
    const killed = performance.now()
    await victim.kill()
    await delay(300)
    await everyoneGoesOn()
    t.diagnostic(`killed −9: everyone refreshed again after ${Math.round(performance.now() - killed)} ms`)
    await victim.start()
    await waitUntil(async () => /cluster_state:ok/.test(String(await admin.cluster('INFO'))))
    await everyoneGoesOn()

    const frozen = await masterOf(admin, engine.servers, victim)
    const froze = performance.now()
    frozen.freeze()
    try {
      await delay(300)
      // `redis+cluster://` notices a hanging master. The drivers alone do not.
      laps++
      await waitUntil(async () => clients.every(({ name, lap }) => name !== 'redis+cluster://' || lap === laps), 20_000)
      t.diagnostic(`frozen: redis+cluster:// went on after ${Math.round(performance.now() - froze)} ms`)
    } finally {
      frozen.thaw()
    }
    await everyoneGoesOn()
    over = true
    await Promise.all(running)
    t.diagnostic(`rotations lost and healed: ${healed}`)
  })
})

test('behind a Sentinel: the master dies, and all clients continue with its successor', {
  skip: redisMissing,
}, async (t) => {
  const engine = await startRedisSentinel()
  t.after(engine.remove)
  const ioredis = new Redis({ name: 'main', sentinels: [engine.sentinel] })
  const nodeRedis = createSentinel({ name: 'main', sentinelRootNodes: [engine.sentinel] })
  for (const client of [ioredis, nodeRedis]) client.on('error', () => {})
  t.after(() => {
    ioredis.disconnect()
    nodeRedis.destroy()
  })
  await nodeRedis.connect()
  const wait = { replicas: 1, timeout: 1000 }
  const people = await Promise.all(
    [ioredis, nodeRedis].map(async (client, index) => {
      const options = { prefix: newPrefix(), timeout: 2000 }
      const signIn = createRedisStore(client, { ...options, wait })
      const secret = randomBytes(32)
      const { refreshToken } = await createDaypass({ secret, issuer: 'test', store: signIn }).issue('ada')
      const auth = createDaypass({ secret, issuer: 'test', store: createRedisStore(client, options) })
      return { name: ['ioredis', 'node-redis'][index], auth, refreshToken }
    }),
  )
  const refresh = async (person: (typeof people)[number]) => {
    person.refreshToken = (await person.auth.refresh(person.refreshToken, { idempotencyKey: newKey() })).refreshToken
    return true
  }
  await Promise.all(people.map(refresh))
  await engine.master.kill()
  const died = performance.now()
  for (const person of people) {
    await waitUntil(() => refresh(person))
    t.diagnostic(`${person.name} went on after ${Math.round(performance.now() - died)} ms`)
  }
})

/** Finds a server that is a master now, and is not `other`. */
async function masterOf<T extends { port: number }>(admin: Cluster, servers: T[], other?: T): Promise<T> {
  const nodes = String(await admin.cluster('NODES'))
  const masters = nodes
    .split('\n')
    .filter((line) => /\bmaster\b/.test(line) && !/fail/.test(line) && /\d+-\d+/.test(line))
  return servers.find((server) => server !== other && masters.some((line) => line.includes(`:${server.port}@`)))!
}

/** The method that sends commands in both libraries, and the object that it belongs to. */
function sender(client: RedisClient): [Record<string, any>, string] {
  const { _self } = client as { _self?: Record<string, any> }
  return [_self ?? client, 'sendCommand']
}

/** Counts the commands that a client sends from now on. */
function countCommands(client: RedisClient): () => number {
  let count = 0
  const [object, name] = sender(client)
  const original = object[name]
  object[name] = function (this: unknown, ...args: unknown[]) {
    count++
    return original.apply(this, args)
  }
  return () => count
}

/** Rejects all but the first commands while the body runs. To other processes this looks like a crash. */
async function dieAfter<T>(client: RedisClient, commands: number, body: () => Promise<T>): Promise<T> {
  let left = commands
  const [object, name] = sender(client)
  const original = object[name]
  object[name] = function (this: unknown, ...args: unknown[]) {
    return left-- <= 0 ? Promise.reject(new Error('the process has died')) : original.apply(this, args)
  }
  try {
    return await body()
  } finally {
    object[name] = original
  }
}
