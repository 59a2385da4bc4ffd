// The whole contract through MongoDB clients, with each option that apps can set. Compatible options are
// set together, because the contract takes long on this engine.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { type DbOptions, type MongoClientOptions, ReadConcern } from 'mongodb'
import mongoose from 'mongoose'
import { isDaypassError } from '../../src/errors.ts'
import { createMongoStore } from '../../src/stores/mongodb.ts'
import { storeContract } from '../../src/testing/index.ts'
import { issuer } from '../../src/testing/store-harness.ts'
import { type MongoEngine, type MongoSource, mongoHarness, newClient, noMongo, startMongo } from '../engines/mongodb.ts'

let engine: MongoEngine

/** All BSON options, except two that the driver rejects together with these. */
const bson = {
  promoteValues: false,
  promoteLongs: false,
  promoteBuffers: false,
  bsonRegExp: true,
  serializeFunctions: true,
  ignoreUndefined: true,
  enableUtf8Validation: false,
  fieldsAsRaw: { secret: true, claims: true },
}

function throughDriver(onClient: MongoClientOptions, onDb: DbOptions = {}): MongoSource {
  return {
    open(database) {
      const client = newClient(engine.url, onClient)
      return { store: createMongoStore(client.db(database, onDb)), end: () => client.close() }
    },
  }
}

function throughMongoose(options: mongoose.ConnectOptions): MongoSource {
  return {
    open(database) {
      const connection = mongoose.createConnection(engine.url, { dbName: database, ...options })
      return { store: createMongoStore(connection), end: () => connection.close() }
    },
  }
}

const sources: Record<string, MongoSource> = {
  'promote…, bsonRegExp, serializeFunctions, ignoreUndefined, fieldsAsRaw and timeoutMS of the client, concerns of the database':
    throughDriver(
      { ...bson, timeoutMS: 20_000 },
      { writeConcern: { w: 0 }, readConcern: new ReadConcern('majority'), readPreference: 'secondaryPreferred' },
    ),
  'useBigInt64, w 0, no journal, readConcern, readPreference, no retries and a strict server API of the client, raw of the database':
    throughDriver(
      {
        useBigInt64: true,
        w: 0,
        journal: false,
        readConcernLevel: 'majority',
        readPreference: 'secondaryPreferred',
        retryWrites: false,
        retryReads: false,
        serverApi: { version: '1', strict: true, deprecationErrors: true },
        monitorCommands: true,
        maxPoolSize: 2,
      },
      { raw: true },
    ),
  'bufferCommands, autoIndex, autoCreate and BSON options of a Mongoose connection, with a plugin for every schema':
    throughMongoose({ bufferCommands: false, autoIndex: false, autoCreate: false, ...bson }),
}

describe('options of a MongoDB client', noMongo === undefined ? {} : { skip: noMongo }, () => {
  before(
    async () => {
      engine = await startMongo()
      // The plugin applies to every Mongoose schema. The store uses none.
      mongoose.plugin((schema) => {
        schema.add({ deletedAt: Date })
        schema.pre(/^find/, () => {
          throw new Error('a plugin ran')
        })
      })
      mongoose.set({ strictQuery: 'throw', strict: 'throw', sanitizeFilter: true, runValidators: true })
    },
    { timeout: 60_000 },
  )
  after(() => engine?.remove())

  for (const [name, source] of Object.entries(sources)) {
    // Run several rules at a time. The engine is slow, and each rule has its own database.
    describe(`the whole contract, with ${name}`, { concurrency: 4 }, () => {
      for (const rule of storeContract) {
        test(rule.name, (t) => rule.run({ ...mongoHarness(engine, source), note: (line) => t.diagnostic(line) }))
      }
    })
  }

  test('with any options, every write is acknowledged by a majority and every read goes to the primary', async () => {
    const seen: Record<string, any>[] = []
    const client = newClient(engine.url, { w: 0, readPreference: 'secondary', monitorCommands: true })
    client.on('commandStarted', ({ command }) => seen.push(command))
    const store = createMongoStore(client.db(engine.database(), { writeConcern: { w: 0 } }))
    await store.open(issuer)
    await store.find('AAAAAAAAAAAAAAAAAAAAAA')
    await store.revoke('AAAAAAAAAAAAAAAAAAAAAA', 0, 'admin')
    await store.revokeSubject('nobody', 0, 'admin')
    await store.check()
    await client.close()
    const writes = seen.filter(({ update, findAndModify, createIndexes }) => update ?? findAndModify ?? createIndexes)
    assert.ok(writes.length >= 5)
    for (const { writeConcern } of writes) assert.equal(writeConcern.w, 'majority')
    for (const { $readPreference } of seen.filter(({ find }) => find)) {
      assert.ok(['primary', 'primaryPreferred', undefined].includes($readPreference?.mode))
    }
    // The driver sends no maxTimeMS with createIndexes. The store makes indexes only when it opens.
    for (const command of seen.filter(
      ({ hello, endSessions, createIndexes }) => !(hello ?? endSessions ?? createIndexes),
    )) {
      assert.ok(command.maxTimeMS > 0, Object.keys(command)[0])
    }
  })
})

test('the error names autoEncryption, before anything is sent', async () => {
  const client = { connect: () => assert.fail('it connected'), options: { autoEncryption: {} } }
  const db: any = { client, command: () => assert.fail('it asked'), collection: () => assert.fail('it asked') }
  for (const source of [db, { asPromise: async () => {}, db }]) {
    await assert.rejects(
      createMongoStore(source).open(issuer),
      (error) => isDaypassError(error, 'ERR_OPTION_INVALID') && error.message.includes('autoEncryption'),
    )
  }
})

test('a wrong source, prefix or timeout is rejected at once', () => {
  const db: any = { command() {}, collection() {} }
  for (const source of [{}, null, 'mongodb://localhost', { collectionName: 'x' }] as any[]) {
    assert.throws(() => createMongoStore(source), { code: 'ERR_OPTION_INVALID' })
  }
  for (const options of [{ prefix: 'a.b' }, { prefix: '' }, { prefix: '$x' }, { timeout: 0 }, { timeout: 10_001 }]) {
    assert.throws(() => createMongoStore(db, options), { code: 'ERR_OPTION_INVALID' })
  }
})
