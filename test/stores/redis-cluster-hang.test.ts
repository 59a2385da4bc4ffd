// While one master of a Redis Cluster hangs, the sessions on the others continue.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import type { Cluster } from 'ioredis'
import { createDaypass } from '../../src/core/daypass.ts'
import { createRedisStore } from '../../src/stores/redis.ts'
import { connect, type Library, redisMissing, startRedisCluster, waitUntil } from '../engines/redis.ts'

const libraries: Library[] = ['ioredis', 'node-redis']
const newKey = () => randomBytes(24).toString('base64url')
const unavailable = { status: 503, code: 'ERR_STORE_UNAVAILABLE' }

describe('one master of a Redis Cluster hangs', { skip: redisMissing, timeout: 180_000 }, async () => {
  if (redisMissing) return
  // Allow no failover during the test.
  const engine = await startRedisCluster(120_000)
  after(engine.remove)
  const admin = engine.admin as Cluster

  /** The port of the master that has a matching key, or undefined if none has. */
  async function portOf(pattern: string): Promise<number | undefined> {
    for (const node of admin.nodes('master')) {
      if ((await node.keys(pattern)).length > 0) return node.options.port
    }
  }

  for (const library of libraries) {
    for (const hasFeed of [true, false]) {
      const name = `${library}, ${hasFeed ? 'with' : 'without'} the feed of ended sessions`
      test(`${name}: its sessions get 503 and continue later, and the others never stop`, async (t) => {
        const { client, close } = await connect(engine.url, library)
        t.after(close)
        const prefix = `test-${randomBytes(6).toString('hex')}`
        const store = createRedisStore(client, { prefix, timeout: 2500 })
        const auth = createDaypass({ secret: randomBytes(32), issuer: 'test', store })

        const ended = await auth.issue('ended')
        await auth.revoke(ended.session.id)
        const feed = await portOf(`${prefix}:revoked`)
        const people: { token: string; port: number | undefined }[] = []
        const isThere = (on: boolean) => people.filter(({ port }) => (port === feed) === on).length >= 5
        while (!isThere(true) || !isThere(false)) {
          const { refreshToken, session } = await auth.issue(`subject-${people.length}`)
          people.push({ token: refreshToken, port: await portOf(`${prefix}:session:{${session.id}}`) })
        }
        const refresh = async (person: (typeof people)[number], idempotencyKey = newKey()) => {
          const { refreshToken, outcome } = await auth.refresh(person.token, { idempotencyKey })
          person.token = refreshToken
          return outcome
        }
        // The first refresh of a session also writes its index entry, which may be on another master.
        for (const person of people) await refresh(person)
        await store.check()

        const hung = hasFeed ? feed : people.find(({ port }) => port !== feed)!.port
        const server = engine.servers.find(({ port }) => port === hung)!
        const there = people.filter(({ port }) => port === hung).map((person) => ({ person, key: newKey() }))
        const others = people.filter(({ port }) => port !== hung)
        server.freeze()
        try {
          // The server hangs until SIGCONT below, so each of these calls ends by the store's deadline.
          let pending = there.length
          const refused = there.map(async ({ person, key }) => {
            await assert.rejects(refresh(person, key), unavailable)
            pending--
          })
          let rounds = 0
          do {
            for (const outcome of await Promise.all(others.map((person) => refresh(person)))) {
              assert.equal(outcome, 'rotated')
            }
            await delay(20)
          } while (++rounds < 20 || pending > 0)
          await Promise.all(refused)
          // Once more, now that the driver has noticed.
          const again = there.map(({ person, key }) => assert.rejects(refresh(person, key), unavailable))
          await Promise.all([...again, ...others.map((person) => refresh(person))])
          // Let the engine's clock pass every deadline.
          await delay(50)
        } finally {
          server.thaw()
        }
        const outcomes = new Set<string>()
        for (const { person, key } of there) {
          await waitUntil(async () => Boolean(outcomes.add(await refresh(person, key))))
        }
        assert.deepEqual([...outcomes], ['rotated'], 'no step was taken that came late')
        for (const person of people) assert.equal(await refresh(person), 'rotated')
        await auth.close()
      })
    }
  }
})
