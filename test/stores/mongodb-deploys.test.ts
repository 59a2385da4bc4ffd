// MongoDB shared by two versions of Daypass or by two issuers.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { describe, test } from 'node:test'
import { isDaypassError } from '../../src/errors.ts'
import { createDaypass } from '../../src/index.ts'
import { createMongoStore } from '../../src/stores/mongodb.ts'
import { issuer, makeSession, makeStep, sameRow } from '../../src/testing/store-harness.ts'
import { noMongo } from '../engines/mongodb.ts'
import { useMongo } from './mongodb-setup.ts'

const t0 = Date.now()
const isRefused = (error: unknown) => isDaypassError(error, 'ERR_STORE_SCHEMA')

describe('MongoDB shared by versions and issuers', noMongo === undefined ? {} : { skip: noMongo }, () => {
  const mongo = useMongo()

  /** Changes the record as a newer version does. */
  async function migrate(database: string, usable_from: number) {
    const update = { $set: { version: 2, usable_from } }
    await mongo.client
      .db(database)
      .collection('daypass_schema')
      .updateOne({ _id: 'session' as any }, update)
  }

  test('a rolling deploy forward and back: a newer version only adds, and the older one works beside it', async () => {
    const database = mongo.engine.database()
    const db = mongo.client.db(database)
    const running = createMongoStore(db)
    await running.open(issuer)
    const session = makeSession(t0)
    await running.create(session)
    await migrate(database, 1)
    await db.collection('daypass_session').updateMany({}, { $set: { colour: 'blue' } })
    await db.collection('daypass_session').dropIndex('daypass_revoked')
    const starting = createMongoStore(db)
    await starting.open(issuer)
    let row = session
    for (const store of [running, starting, running]) {
      sameRow(await store.find(row.id), row)
      row = (await store.advance(makeStep(row, t0 + 1)))!.session
      await store.create(makeSession(t0))
      await store.check()
    }
    assert.equal((await running.list(session.subject, t0, 10)).length, 4)
    const record = await db.collection('daypass_schema').findOne({ _id: 'session' as any })
    assert.equal(record!.version, 2, 'the older one undoes no change')
    const indexes = (await db.collection('daypass_session').indexes()).map(({ name }) => name)
    assert.ok(!indexes.includes('daypass_revoked'), 'the older one makes no index that the newer one dropped')
    const { colour } = (await db.collection('daypass_session').findOne({ generation: 3 }))!
    assert.equal(colour, 'blue', 'a refresh keeps unknown fields')
  })

  test('an older program that starts on a newer schema is rejected before anything is written', async () => {
    const database = mongo.engine.database()
    const db = mongo.client.db(database)
    await db.collection('daypass_schema').insertOne({ _id: 'session' as any, version: 2, usable_from: 2, issuer })
    const dump = async () =>
      JSON.stringify([await db.listCollections().toArray(), await db.collection('daypass_schema').find().toArray()])
    const before = await dump()
    await assert.rejects(createMongoStore(db).open(issuer), isRefused)
    await assert.rejects(createMongoStore(db).open('https://other.example'), isRefused)
    assert.equal(await dump(), before)
  })

  test('a running older program changes no row of a newer one, and treats none of them as missing', async () => {
    const database = mongo.engine.database()
    const db = mongo.client.db(database)
    const older = createMongoStore(db)
    await older.open(issuer)
    const session = makeSession(t0)
    await older.create(session)
    const { session: row } = (await older.advance(makeStep(session, t0 + 1)))!
    await migrate(database, 2)
    await db.collection('daypass_session').updateMany({}, { $set: { usable_from: 2, revoked_at: null } })
    const rows = async () => JSON.stringify(await db.collection('daypass_session').find().toArray())
    const before = await rows()
    const calls = {
      find: () => older.find(row.id),
      list: () => older.list(row.subject, t0, 10),
      create: () => older.create(makeSession(t0)),
      update: () => older.update(row.id, t0, { label: 'x' }),
      revoke: () => older.revoke(row.id, t0, 'admin'),
      revokeSubject: () => older.revokeSubject(row.subject, t0, 'admin'),
      check: () => older.check(),
      open: () => older.open(issuer),
    }
    for (const [name, call] of Object.entries(calls)) await assert.rejects(call(), isRefused, name)
    assert.equal(await older.advance(makeStep(row, t0 + 2)), null)
    assert.equal(await older.prune(t0 + 1e12, 10), 0)
    assert.equal(await rows(), before)
    const auth = createDaypass({ secret: randomBytes(32), issuer, store: older })
    await assert.rejects(auth.revoke(row.id), isRefused)
  })

  test('of two issuers that open one empty database concurrently, from many instances, one gets it', async () => {
    for (let round = 0; round < 5; round++) {
      const db = mongo.client.db(mongo.engine.database())
      const stores = Array.from({ length: 6 }, () => createMongoStore(db))
      const issuers = ['https://one.example', 'https://two.example']
      const results = await Promise.allSettled(stores.map((store, n) => store.open(issuers[n % 2]!)))
      const { issuer: winner } = (await db.collection('daypass_schema').findOne({ _id: 'session' as any }))!
      for (const [n, result] of results.entries()) {
        if (issuers[n % 2] === winner) assert.equal(result.status, 'fulfilled')
        else assert.ok(result.status === 'rejected' && isDaypassError(result.reason, 'ERR_STORE_ISSUER'))
      }
    }
  })

  test('two apps with different prefixes share a database and no session', async () => {
    const db = mongo.client.db(mongo.engine.database())
    const one = createMongoStore(db, { prefix: 'one' })
    const two = createMongoStore(db, { prefix: 'two' })
    await Promise.all([one.open('https://one.example'), two.open('https://two.example')])
    const session = makeSession(t0)
    await one.create(session)
    assert.equal(await two.find(session.id), null)
    assert.deepEqual(await two.list(session.subject, t0, 10), [])
    const names = (await db.listCollections().toArray()).map(({ name }) => name).sort()
    assert.deepEqual(names, ['one_schema', 'one_session', 'two_schema', 'two_session'])
  })

  test('errors contain no row and no filter', async () => {
    const db = mongo.client.db(mongo.engine.database())
    const store = createMongoStore(db)
    await store.open(issuer)
    const session = makeSession(t0)
    await store.create(session)
    // The driver's error quotes the duplicate key.
    const error: any = await store.create(session).catch((reason: unknown) => reason)
    assert.ok(isDaypassError(error, 'ERR_STORE_UNAVAILABLE'))
    assert.equal(typeof error.cause, 'string')
    assert.doesNotMatch(String(error.cause), /dup key|Binary/)
  })
})
