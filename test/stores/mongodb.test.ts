// The MongoDB store on a real server: the contract, and the tests of this store alone.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { describe, type TestContext, test } from 'node:test'
import mongoose from 'mongoose'
import { createDaypass } from '../../src/index.ts'
import { createMongoStore } from '../../src/stores/mongodb.ts'
import { runConcurrencyKit, runCrashKit, startFaultyProxy, storeContract } from '../../src/testing/index.ts'
import { issuer } from '../../src/testing/store-harness.ts'
import { type MongoSource, mongoHarness, newClient, noMongo, openMongoStore } from '../engines/mongodb.ts'
import { useMongo } from './mongodb-setup.ts'
import { raceThrough } from './two-instances.ts'

const options = noMongo === undefined ? {} : { skip: noMongo }

describe('the MongoDB store', options, () => {
  const mongo = useMongo()

  const sources: Record<string, MongoSource> = {
    'a mongodb Db': {
      open(database) {
        const own = newClient(mongo.engine.url)
        return { store: createMongoStore(own.db(database)), end: () => own.close() }
      },
    },
    // Do not wait, because an app makes its store while Mongoose is still connecting.
    'a Mongoose connection': {
      open(database) {
        const connection = mongoose.createConnection(mongo.engine.url, { dbName: database })
        return { store: createMongoStore(connection), end: () => connection.close() }
      },
    },
  }

  for (const [name, source] of Object.entries(sources)) {
    describe(`through ${name}`, () => {
      let passed = 0
      for (const rule of storeContract) {
        test(rule.name, async (t) => {
          await rule.run({ ...mongoHarness(mongo.engine, source), note: (line) => t.diagnostic(line) })
          passed++
        })
      }
      test('the end of the run names the server', (t) => {
        assert.equal(passed, storeContract.length)
        t.diagnostic(`engine: ${mongo.engine.name}, through ${name}: contract passed`)
      })
    })
  }

  /** A Daypass on a client whose commands are counted. */
  function counted(t: TestContext) {
    const commands: string[] = []
    const own = mongo.open(t, { monitorCommands: true })
    own.on('commandStarted', ({ commandName }) => commands.push(commandName))
    const auth = createDaypass({
      secret: randomBytes(32),
      issuer: 'test',
      store: createMongoStore(own.db(mongo.engine.database())),
    })
    return { auth, commands }
  }
  const key = () => randomBytes(16).toString('base64url')

  test('a refresh is one round trip, in a burst and out of it', async (t) => {
    const { auth, commands } = counted(t)
    let { refreshToken } = await auth.issue('ada')
    for (let round = 0; round < 3; round++) {
      commands.length = 0
      refreshToken = (await auth.refresh(refreshToken, { idempotencyKey: key() })).refreshToken
      assert.deepEqual(commands, ['findAndModify'])
    }
  })

  test('a hundred concurrent refreshes of one token through two instances: one lineage, no error but 409', async (t) => {
    const database = mongo.engine.database()
    const openStore = () => createMongoStore(mongo.open(t).db(database))
    await raceThrough([openStore(), openStore()])
    assert.equal(await mongo.client.db(database).collection('daypass_session').countDocuments(), 1)
  })

  test('3 server processes, 15 of them killed −9, and nobody is signed out', { timeout: 60_000 }, async (t) => {
    const store = {
      module: import.meta.resolve('../engines/mongodb.ts'),
      export: 'openMongoStore',
      args: [mongo.engine.url, mongo.engine.database()],
    }
    const report = await runCrashKit({ store, kills: Number(process.env.DAYPASS_TEST_KILLS ?? 15) })
    t.diagnostic(JSON.stringify(report))
    assert.equal(report.caught, 2)
    assert.ok(report.refreshes > report.kills)
  })

  test('2 instances, a tenth of requests and responses lost, and nobody is signed out', async (t) => {
    const database = mongo.engine.database()
    const stores = [openMongoStore(mongo.engine.url, database), openMongoStore(mongo.engine.url, database)]
    const report = await runConcurrencyKit({ stores, requests: 1200 })
    t.diagnostic(JSON.stringify(report))
    for (const store of stores) await store.close()
  })

  test('connections cut and delayed in the middle of calls: nobody is signed out', { timeout: 60_000 }, async (t) => {
    const address = new URL(mongo.engine.url)
    const proxy = await startFaultyProxy({ host: address.hostname, port: Number(address.port || 27017) })
    address.host = `${proxy.host}:${proxy.port}`
    address.searchParams.set('directConnection', 'true')
    const database = mongo.engine.database()
    const stores = [openMongoStore(mongo.engine.url, database), openMongoStore(address.href, database)]
    try {
      const report = await runConcurrencyKit({
        stores,
        requests: 500,
        patience: 30,
        meanwhile: () => proxy.untilCut(10),
      })
      t.diagnostic(JSON.stringify({ ...report, cuts: proxy.cuts() }))
    } finally {
      for (const store of stores) await store.close()
      await proxy.close()
    }
  })

  test('list, revoke and prune use their indexes', async (t) => {
    if (mongo.engine.own)
      return t.skip('not run: the planner of the tests’ own server is not MongoDB’s (set MONGODB_URL)')
    const db = mongo.open(t).db(mongo.engine.database())
    const store = createMongoStore(db)
    await store.open(issuer)
    const rows = db.collection('daypass_session')
    const now = Date.now()
    for (let at = 0; at < 200_000; at += 10_000) {
      await rows.insertMany(
        Array.from({ length: 10_000 }, (_, n) => ({
          subject: `subject-${(at + n) >> 1}`,
          idle_expires_at: new Date(now + (at + n) * 3000),
          expires_at: new Date(now + 1e9),
          expire_at: new Date(now + (at + n) * 3000),
          ...(n % 100 === 0 && { revoked_at: new Date(now) }),
        })),
      )
    }
    const hour = new Date(now + 3_600_000)
    for (const filter of [
      { subject: 'subject-77', revoked_at: null, idle_expires_at: { $gt: new Date(now) } },
      { revoked_at: { $gte: new Date(now + 1) } },
      { expire_at: { $lt: hour }, idle_expires_at: { $lt: new Date(now) } },
    ]) {
      const { executionStats } = (await rows.find(filter).explain('executionStats')) as any
      assert.ok(executionStats.totalDocsExamined < 2000, JSON.stringify(executionStats))
    }
  })

  test('eight instances that start together on an empty database make the indexes once', async (t) => {
    const database = mongo.engine.database()
    const clients = Array.from({ length: 8 }, () => mongo.open(t))
    await Promise.all(clients.map((own) => createMongoStore(own.db(database)).open(issuer)))
    const made = await mongo.client.db(database).collection('daypass_session').indexes()
    const byName = new Map(made.map((index) => [index.name, index]))
    assert.deepEqual([...byName.keys()].sort(), ['_id_', 'daypass_expire', 'daypass_revoked', 'daypass_subject'])
    assert.equal(byName.get('daypass_expire')!.expireAfterSeconds, 86_400)
    assert.deepEqual(byName.get('daypass_revoked')!.partialFilterExpression, { revoked_at: { $exists: true } })
  })

  test('every call of one session names it by _id, as a sharded collection needs', async (t) => {
    const seen: Record<string, any>[] = []
    const own = mongo.open(t, { monitorCommands: true })
    own.on('commandStarted', ({ command }) => seen.push(command))
    const store = createMongoStore(own.db(mongo.engine.database()))
    const auth = createDaypass({ secret: randomBytes(32), issuer: 'test', store })
    const first = await auth.issue('ada')
    seen.length = 0
    const second = await auth.refresh(first.refreshToken, { idempotencyKey: key() })
    await auth.refresh(first.refreshToken).catch(() => {})
    await auth.revokeToken(second.refreshToken)
    const filters = seen.map((each) => each.query ?? each.filter ?? each.updates[0].q)
    assert.ok(filters.length >= 5)
    for (const { _id } of filters) assert.equal((Buffer.isBuffer(_id) ? _id : _id.buffer).length, 16)
  })

  test('an IP address that looks like a field of the row is stored as text', async (t) => {
    const { auth } = counted(t)
    const { refreshToken } = await auth.issue('ada')
    const { session } = await auth.refresh(refreshToken, { ip: '$secret' })
    assert.equal(session.device.ip, '$secret')
    assert.equal((await auth.sessions('ada'))[0]!.device.ip, '$secret')
  })

  test('while the server is away each call fails in bounded time as unavailable; later all clients continue', {
    timeout: 60_000,
  }, async (t) => {
    if (!mongo.engine.own) return t.skip('not run: the server of MONGODB_URL is not ours to stop')
    const apps = await Promise.all(
      Object.values(sources).map(async (source) => {
        const { store, end } = source.open(mongo.engine.database())
        t.after(end)
        const auth = createDaypass({ secret: randomBytes(32), issuer: 'test', store })
        return { auth, first: await auth.issue('ada'), idempotencyKey: key() }
      }),
    )
    await mongo.engine.stop()
    const impatient = newClient(mongo.engine.url, { serverSelectionTimeoutMS: 300 })
    t.after(() => impatient.close())
    const late = createMongoStore(impatient.db(mongo.engine.database()), { timeout: 1000 })
    const began = performance.now()
    const asked = apps.flatMap(({ auth, first, idempotencyKey }) => [
      auth.refresh(first.refreshToken, { idempotencyKey }),
      auth.check(),
      auth.sessions('ada'),
      auth.issue('b'),
    ])
    for (const answer of await Promise.allSettled([...asked, late.open(issuer)])) {
      assert.equal(answer.status, 'rejected')
      assert.equal(answer.reason.status, 503)
      assert.equal(answer.reason.code, 'ERR_STORE_UNAVAILABLE')
      assert.equal(answer.reason.retryAfter, 1)
    }
    assert.ok(performance.now() - began < 6000)
    await mongo.engine.start()
    for (const { auth, first, idempotencyKey } of apps) {
      const second = await auth.refresh(first.refreshToken, { idempotencyKey })
      assert.equal(second.session.id, first.session.id)
    }
    // Also if the server was away when the client started. The driver alone does not recover from that.
    await late.open(issuer)
    await late.check()
  })

  test('a call to a hanging server fails after the timeout', async (t) => {
    const own = mongo.open(t)
    const db = own.db(mongo.engine.database())
    const hanging = {
      command: db.command.bind(db),
      collection: (name: string) => Object.assign(db.collection(name), { findOne: () => new Promise(() => {}) }),
    }
    const store = createMongoStore(hanging as any, { timeout: 200 })
    const began = performance.now()
    await assert.rejects(store.find('AAAAAAAAAAAAAAAAAAAAAA'), { code: 'ERR_STORE_UNAVAILABLE' })
    assert.ok(performance.now() - began < 1000)
  })
})

test('the end of the run says if there is no server', (t) => {
  if (noMongo !== undefined) t.diagnostic(`engine: MongoDB ${noMongo}`)
})

test('a wrong source is rejected at once', () => {
  assert.throws(() => createMongoStore({} as any), { code: 'ERR_OPTION_INVALID' })
})
