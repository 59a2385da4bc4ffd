// MongoDB: commands that arrive after their deadline change nothing.

import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import type { Store } from '../../src/core/store.ts'
import { isDaypassError } from '../../src/errors.ts'
import { createMongoStore } from '../../src/stores/mongodb.ts'
import { issuer, makeSession, makeStep, sameRow } from '../../src/testing/store-harness.ts'
import { newClient, noMongo } from '../engines/mongodb.ts'
import { useMongo } from './mongodb-setup.ts'

const isAway = (error: unknown) => isDaypassError(error, 'ERR_STORE_UNAVAILABLE')

describe('MongoDB, late', noMongo === undefined ? {} : { skip: noMongo }, () => {
  const mongo = useMongo()

  /** Opens a store. `settled` waits until the engine has responded to every command. */
  async function open(t: TestContext, database: string, timeout = 1000) {
    let underWay = 0
    const client = newClient(mongo.engine.url, { monitorCommands: true })
    t.after(() => client.close())
    client.on('commandStarted', () => underWay++)
    client.on('commandSucceeded', () => underWay--)
    client.on('commandFailed', () => underWay--)
    const store = createMongoStore(client.db(database), { timeout })
    await store.open(issuer)
    const settled = async () => {
      for (let n = 0; underWay > 0; n++) {
        assert.ok(n < 500, `${underWay} commands got no response`)
        await delay(20)
      }
    }
    return { client, store, settled }
  }

  /** Sends calls to a frozen engine, until all of them have failed. */
  async function whileFrozen(calls: () => Promise<unknown>[]): Promise<void> {
    mongo.engine.freeze()
    try {
      const results = await Promise.allSettled(calls())
      for (const result of results) {
        assert.equal(result.status, 'rejected')
        assert.ok(isAway(result.reason), String(result.reason))
      }
      await delay(300)
    } finally {
      mongo.engine.thaw()
    }
  }

  test('a command that the engine runs late changes nothing; its retry succeeds and is announced', async (t) => {
    if (!mongo.engine.own) return t.skip('not run: the test cannot freeze the server of MONGODB_URL')
    const database = mongo.engine.database()
    const { store, settled } = await open(t, database)
    const { store: other } = await open(t, database, 5000)
    const t0 = Date.now()
    const [refreshing, leaving, ...everywhere] = Array.from({ length: 4 }, (_, n) =>
      makeSession(t0, { subject: n < 2 ? `s${n}` : 'all' }),
    )
    for (const session of [refreshing!, leaving!, ...everywhere]) await store.create(session)
    const born = makeSession(t0)
    const calls = (store: Store) => [
      () => store.create(born),
      () => store.advance(makeStep(refreshing!, Date.now())),
      () => store.update(refreshing!.id, Date.now(), { authTime: t0 }),
      () => store.revoke(leaving!.id, Date.now(), 'sign-out'),
      () => store.revokeSubject('all', Date.now(), 'password'),
    ]
    await whileFrozen(() => calls(store).map((call) => call()))
    await settled()
    assert.equal(await other.find(born.id), null)
    for (const session of [refreshing!, leaving!, ...everywhere]) sameRow(await other.find(session.id), session)
    assert.deepEqual(await other.revokedSince(0), [])

    const asked = Date.now()
    const [, advanced, , revoked, all] = (await Promise.all(calls(store).map((call) => call()))) as any[]
    sameRow(await other.find(born.id), born)
    assert.equal(advanced.session.generation, 1)
    assert.equal(revoked.id, leaving!.id)
    assert.equal(all.length, 2)
    // Another instance that reads the feed gets each of them.
    assert.deepEqual(
      (await other.revokedSince(asked)).map(({ id }) => id).sort(),
      [leaving!, ...everywhere].map(({ id }) => id).sort(),
    )
  })

  for (const [name, shift] of Object.entries({ 'a minute ahead': -60_000, 'a minute behind': 60_000 })) {
    test(`an engine whose clock is ${name} runs commands in time and rejects late ones`, async (t) => {
      if (!mongo.engine.own) return t.skip('not run: the test cannot freeze the server of MONGODB_URL')
      const real = Date.now
      // Moving this process's clock has the same effect as an engine whose clock is wrong.
      const mock = t.mock.method(Date, 'now', () => real() + shift)
      const { store, settled } = await open(t, mongo.engine.database())
      const session = makeSession(Date.now())
      await store.create(session)
      const { session: row } = (await store.advance(makeStep(session, Date.now())))!
      await whileFrozen(() => [store.advance(makeStep(row, Date.now())), store.revoke(row.id, Date.now(), 'admin')])
      await settled()
      sameRow(await store.find(session.id), row)
      const now = await store.readClock!()
      assert.ok(Math.abs(now - real()) < 30_000, 'now returns the engine’s clock')
      mock.mock.restore()
    })
  }

  test('the next call allows for a clock that was set while the app runs', async (t) => {
    const real = Date.now
    const { store } = await open(t, mongo.engine.database())
    const session = makeSession(real())
    await store.create(session)
    t.mock.method(Date, 'now', () => real() - 60_000)
    const { session: row } = (await store.advance(makeStep(session, real())))!
    assert.equal(row.generation, 1)
    assert.ok(await store.revoke(session.id, real(), 'admin'))
  })
})
