// The set-up that the tests of the MongoDB store share.

import assert from 'node:assert/strict'
import { after, before, type TestContext } from 'node:test'
import type { MongoClient } from 'mongodb'
import { type MongoEngine, newClient, startMongo } from '../engines/mongodb.ts'

/** A MongoDB for one suite, with a client that prepares and reads data. */
export function useMongo() {
  let started: { engine: MongoEngine; client: MongoClient } | undefined
  before(
    async () => {
      const engine = await startMongo()
      started = { engine, client: newClient(engine.url) }
    },
    { timeout: 60_000 },
  )
  after(async () => {
    await started?.client.close()
    await started?.engine.remove()
  })
  const running = () => {
    assert.ok(started, 'MongoDB runs')
    return started
  }
  return {
    get engine(): MongoEngine {
      return running().engine
    },
    get client(): MongoClient {
      return running().client
    },
    /** Opens a client that is closed with the test. */
    open(t: TestContext, options: object = {}): MongoClient {
      const own = newClient(running().engine.url, options)
      t.after(() => own.close())
      return own
    },
  }
}
