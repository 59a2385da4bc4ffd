// Does the PostgreSQL store keep the whole contract, however the owner of the client has set it up?

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import pg from 'pg'
import postgres from 'postgres'
import { createPostgresStore } from '../../src/stores/postgres.ts'
import { storeContract } from '../../src/testing/index.ts'
import { issuer } from '../../src/testing/store-harness.ts'
import { once, type PostgresEngine, startPostgres } from '../engines/postgres.ts'
import { type Driver, newPool, prefixHarness, throughPool, throughPostgresJs, until } from './postgres-setup.ts'

let engine: PostgresEngine
let url: string
before(
  async () => {
    engine = await startPostgres()
    url = await engine.database()
    // Thousands of calls: what a disk costs is not what these tests ask.
    await once(url, `ALTER DATABASE ${new URL(url).pathname.slice(1)} SET synchronous_commit = off`)
  },
  { timeout: 120_000 },
)
after(() => engine.remove())

/** Types that Daypass's columns or statements could have, turned into something else. */
const spoiled = [16, 17, 20, 21, 23, 25, 114, 701, 1043, 1700, 1184, 2950, 3802]

/** Settings of a session of the server that change how values are written or what a transaction sees. */
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

// Without any option: postgres.test.ts. Options that do not touch one another share a row.
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

const reverse = (text: unknown) => (typeof text === 'string' ? [...text].reverse().join('') : text)

const postgresJsOptions: Record<string, postgres.Options<any>> = {
  'fetch_types: false, prepare: false, max: 1': { fetch_types: false, prepare: false, max: 1 },
  'transform: postgres.camel, types: bigint': { transform: postgres.camel, types: { bigint: postgres.BigInt } },
  'transform: postgres.pascal, fetch_types: false': { transform: postgres.pascal, fetch_types: false },
  'transform: postgres.kebab, max_pipeline: 1 and short lives': {
    transform: postgres.kebab,
    max: 2,
    ...{ max_pipeline: 1 },
    idle_timeout: 1,
    max_lifetime: 1,
    keep_alive: 1,
    connection: { application_name: 'ADayInTheLife', statement_timeout: 20_000 },
  },
  'transforms, undefined and types of one’s own': {
    transform: {
      undefined: null,
      column: { from: (name) => `x_${name}` },
      value: { from: () => 'spoiled' },
      row: (row: object) => ({ ...row }),
    },
    types: {
      other: { to: 20, from: spoiled, serialize: () => '7', parse: () => 'spoiled' },
    },
  },
  'debug and parameters of the server session': {
    debug: () => {},
    connection: {
      bytea_output: 'escape',
      DateStyle: 'German',
      TimeZone: 'Asia/Kathmandu',
      default_transaction_isolation: 'serializable',
    } as never,
  },
}

describe('pg', () => {
  for (const [option, driver] of Object.entries(pgOptions)) contract(option, driver)

  describe('parsers that are set for the whole process', () => {
    const before_ = new Map(spoiled.map((type) => [type, pg.types.getTypeParser(type as never)]))
    before(() => {
      for (const type of spoiled) pg.types.setTypeParser(type as never, () => 'spoiled')
      pg.types.setTypeParser(20, BigInt)
    })
    after(() => {
      for (const [type, parser] of before_) pg.types.setTypeParser(type as never, parser)
    })
    contract('setTypeParser', (url) => throughPool(url))
  })
})

describe('postgres.js', () => {
  for (const [option, options] of Object.entries(postgresJsOptions)) {
    contract(option, (url) => throughPostgresJs(url, options))
  }
})

function contract(option: string, driver: Driver): void {
  describe(option, () => {
    for (const rule of storeContract) {
      test(rule.name, (t) => rule.run({ ...prefixHarness(url, driver), note: (line) => t.diagnostic(line) }))
    }
  })
}

const refused: Record<string, [option: string, driver: Driver]> = {
  'postgres.js: a serializer for text': [
    '`types`',
    (url) =>
      throughPostgresJs(url, {
        types: { text: { to: 25, from: [], serialize: reverse, parse: (text: unknown) => text } },
      }),
  ],
  'postgres.js: rows that go': [
    '`transform.row`',
    (url) => throughPostgresJs(url, { transform: { row: () => undefined } }),
  ],
  'postgres.js: another encoding': [
    '`client_encoding`',
    (url) => throughPostgresJs(url, { connection: { client_encoding: 'LATIN1' } as never }),
  ],
  'pg: another encoding': ['`client_encoding`', (url) => throughPool(url, { client_encoding: 'LATIN1' })],
}

for (const [name, [option, driver]] of Object.entries(refused)) {
  test(`what changes texts is refused at the first call, by its name, and nothing is written: ${name}`, async () => {
    const own = await engine.database()
    const { client, end } = await driver(own)
    const store = createPostgresStore(client)
    await assert.rejects(store.open(issuer), (error: any) => {
      assert.equal(error.code, 'ERR_OPTION_INVALID')
      assert.ok(error.message.includes(option), error.message)
      return true
    })
    assert.deepEqual(await once(own, "SELECT 1 FROM pg_tables WHERE tablename LIKE 'daypass%'"), [])
    await end()
  })
}

test('a pool whose idle connections break goes on, though nobody listens to its errors', async () => {
  const own = await engine.database()
  const pool = new pg.Pool({ connectionString: own, max: 2 })
  const store = createPostgresStore(pool)
  await store.open(issuer)
  const broken = new Promise((resolve) => pool.once('error', resolve))
  await once(
    own,
    'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()',
  )
  await broken
  // By now the test would be over, if the pool had no listener but this test's.
  await once(
    own,
    'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()',
  )
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
