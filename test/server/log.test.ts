// Does the log say why a request failed?

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MongoClient } from 'mongodb'
import pg from 'pg'
import { errorFields } from '../../src/server/log.ts'
import { createMongoStore } from '../../src/stores/mongodb.ts'
import { createPostgresStore } from '../../src/stores/postgres.ts'
import { freePort } from './process.ts'

test('what an engine said reaches the log, through every store that tells it as a text', async (t) => {
  const port = await freePort()
  const pool = new pg.Pool({ host: '127.0.0.1', port, password: 'canary' })
  const client = new MongoClient(`mongodb://u:canary@127.0.0.1:${port}`, { serverSelectionTimeoutMS: 200 })
  t.after(() => Promise.all([pool.end(), client.close()]))
  for (const store of [createPostgresStore(pool), createMongoStore(client.db('app'))]) {
    const error = await store.open('https://issuer.example').catch((error) => error)
    assert.equal(typeof error.cause, 'string')
    const fields = errorFields(error) as { code: string; cause: { reason: string } }
    assert.equal(fields.code, 'ERR_STORE_UNAVAILABLE')
    assert.match(fields.cause.reason, /ECONNREFUSED/)
    assert.ok(!JSON.stringify(fields).includes('canary'))
  }
})
