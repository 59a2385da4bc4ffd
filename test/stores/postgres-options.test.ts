// The whole contract through a `pg` client, with each option that apps can set.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import pg from 'pg'
import { createPostgresStore } from '../../src/stores/postgres.ts'
import { issuer } from '../../src/testing/store-harness.ts'
import { once } from '../engines/postgres.ts'
import {
  contract,
  type Driver,
  fastDatabase,
  newPool,
  spoiled,
  throughPool,
  until,
  usePostgres,
} from './postgres-setup.ts'

let url = ''
const server = usePostgres(async (engine) => {
  url = await fastDatabase(engine)
})

/** Settings of the server's session that change the format of values or the isolation of transactions. */
const serverOptions = [
  'bytea_output=escape',
  'datestyle=German',
  'timezone=Asia/Kathmandu',
  'extra_float_digits=0',
  'standard_conforming_strings=off',
  'default_transaction_isolation=repeatable\\ read',
]
  .map((setting) => `-c ${setting}`)
  .join(' ')

// postgres.test.ts tests clients without options. Independent options share a line.
const pgOptions: Record<string, Driver> = {
  '`types` that parse everything otherwise, binary: true': (url) =>
    throughPool(url, { types: { getTypeParser: () => () => 'spoiled' }, binary: true } as never),
  'pipeline: true': (url) => throughPool(url, { pipeline: true } as pg.PoolConfig),
  'max: 1, maxUses, keepAlive, time-outs and a name': (url) =>
    throughPool(url, {
      max: 1,
      maxUses: 20,
      keepAlive: true,
      idleTimeoutMillis: 1,
      allowExitOnIdle: true,
      statement_timeout: 20_000,
      query_timeout: 20_000,
      lock_timeout: 20_000,
      application_name: 'ADayInTheLife',
    }),
  'options of the server session': (url) => throughPool(url, { options: serverOptions }),
  'a single Client': async (url) => {
    const client = new pg.Client({ connectionString: url })
    await client.connect()
    return { client, end: () => client.end() }
  },
}

describe('pg', () => {
  for (const [option, driver] of Object.entries(pgOptions)) contract(option, () => url, driver)

  describe('parsers that are set for the whole process', () => {
    const before_ = new Map(spoiled.map((type) => [type, pg.types.getTypeParser(type as never)]))
    before(() => {
      for (const type of spoiled) pg.types.setTypeParser(type as never, () => 'spoiled')
      pg.types.setTypeParser(20, BigInt)
    })
    after(() => {
      for (const [type, parser] of before_) pg.types.setTypeParser(type as never, parser)
    })
    contract(
      'setTypeParser',
      () => url,
      (url) => throughPool(url),
    )
  })
})

test('a pool whose idle connections break continues to work without an error listener of the app', async () => {
  const own = await server.engine.database()
  const pool = new pg.Pool({ connectionString: own, max: 2 })
  const store = createPostgresStore(pool)
  await store.open(issuer)
  const others = 'FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()'
  assert.ok(pool.idleCount > 0)
  assert.equal(pool.listenerCount('error'), 1, 'only the store listens')
  await once(own, `SELECT pg_terminate_backend(pid) ${others}`)
  await until(() => pool.totalCount === 0)
  await store.check()
  await pool.end()
})

test('options of the store are checked', () => {
  const pool = newPool('postgres://nobody@127.0.0.1:1/nothing')
  for (const timeout of [0, -1, 10_001, Number.NaN]) {
    assert.throws(() => createPostgresStore(pool, { timeout }), { code: 'ERR_OPTION_INVALID', message: /timeout/ })
  }
  assert.throws(() => createPostgresStore(pool, { prefix: 'A b' }), { code: 'ERR_OPTION_INVALID', message: /prefix/ })
})
