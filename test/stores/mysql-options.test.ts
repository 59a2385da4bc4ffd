// The whole contract through a `mysql2` client, with each option that apps can set; and the options that are rejected.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import callbacks from 'mysql2'
import mysql from 'mysql2/promise'
import { createMysqlStore, type MysqlClient } from '../../src/stores/mysql.ts'
import { issuer, makeSession, makeStep, sameRow } from '../../src/testing/store-harness.ts'
import { noMysql, once } from '../engines/mysql.ts'
import {
  contract,
  type Driver,
  isRefused,
  newPool,
  throughCallbacks,
  throughPool,
  until,
  useMysql,
} from './mysql-setup.ts'

/** A pool whose connections begin with these statements, as apps set up their session. */
const withSession =
  (...statements: string[]): Driver =>
  (url) => {
    const pool = callbacks.createPool({ uri: url, connectionLimit: 5 })
    pool.on('connection', (connection) => {
      for (const statement of statements) connection.query(statement)
    })
    return { client: pool, end: () => pool.promise().end() }
  }

// mysql.test.ts tests clients without options. Independent options share a line.
const clients: Record<string, Driver> = {
  'every option that changes results': (url) =>
    throughPool(url, {
      rowsAsArray: true,
      nestTables: '_',
      dateStrings: true,
      supportBigNumbers: true,
      bigNumberStrings: true,
      decimalNumbers: true,
      jsonStrings: true,
      typeCast: () => 'spoiled',
    } as mysql.PoolOptions),
  'every option that changes statements': (url) =>
    throughPool(url, {
      namedPlaceholders: true,
      multipleStatements: true,
      stringifyObjects: true,
      timezone: '+05:45',
      queryFormat: (sql: string, values: Record<string, unknown>) =>
        sql.replace(/:(\w+)|\?/g, (_, name) => mysql.escape(String(values?.[name]))),
      flags: ['-FOUND_ROWS'],
    } as mysql.PoolOptions),
  'charset latin1, disableEval, typeCast: false, connectionLimit: 1': (url) =>
    throughCallbacks(url, { charset: 'LATIN1_SWEDISH_CI', disableEval: true, typeCast: false, connectionLimit: 1 }),
  'settings of the server session: sql_mode, serializable': withSession(
    "SET sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT,PAD_CHAR_TO_FULL_LENGTH,IGNORE_SPACE'",
    'SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE',
    "SET time_zone = '+05:45', sql_select_limit = 1000",
    'SET NAMES latin1',
  ),
  'settings of the server session: no sql_mode, read uncommitted': withSession(
    "SET sql_mode = ''",
    'SET SESSION TRANSACTION ISOLATION LEVEL READ UNCOMMITTED',
    'SET NAMES utf8mb4 COLLATE utf8mb4_general_ci',
  ),
  'settings of the server session: read committed': withSession(
    'SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED',
  ),
  'a single connection': async (url) => {
    const connection = await mysql.createConnection(url)
    return { client: connection, end: () => connection.end() }
  },
}

describe('MySQL', { skip: noMysql }, () => {
  let url = ''
  const server = useMysql(async (engine) => {
    url = await engine.database()
    // Thousands of calls need no disk.
    if (!process.env.MYSQL_URL) await once(engine.url, 'SET GLOBAL innodb_flush_log_at_trx_commit = 0')
  })

  for (const [option, driver] of Object.entries(clients)) contract(option, () => url, driver)

  test('a pool whose idle connections break continues to work', async () => {
    const own = await server.engine.database()
    const pool = callbacks.createPool({ uri: own, connectionLimit: 2 })
    const store = createMysqlStore(pool)
    await store.open(issuer)
    const others = await once(
      own,
      'SELECT ID AS id FROM information_schema.PROCESSLIST WHERE DB = DATABASE() AND ID <> CONNECTION_ID()',
    )
    assert.ok(others.length > 0)
    for (const { id } of others) await once(own, `KILL ${id}`)
    await until(() =>
      store.check().then(
        () => true,
        () => false,
      ),
    )
    await pool.promise().end()
  })

  test('a wrapped pool that only passes statements on works', async () => {
    const pool = newPool(await server.engine.database())
    const store = createMysqlStore({ query: (statement) => pool.query(statement) })
    await store.open(issuer)
    const row = makeSession(Date.now())
    await store.create(row)
    sameRow(await store.find(row.id), row)
    assert.ok(await store.advance(makeStep(row, Date.now())))
    await pool.end()
  })

  const rejected: [string, Driver, RegExp][] = [
    ['autocommit that is off', withSession('SET autocommit = 0'), /autocommit/],
    ['safe updates', withSession('SET sql_safe_updates = 1'), /sql_safe_updates/],
    [
      'a wrapped pool that drops options',
      (url) => {
        const pool = newPool(url)
        const client: MysqlClient = { query: ({ sql }) => pool.query(sql) }
        return { client, end: () => pool.end() }
      },
      /changes results/,
    ],
  ]
  for (const [what, driver, text] of rejected) {
    test(`${what}: rejected before anything is written`, async () => {
      await isRefused(await server.engine.database(), driver, text)
    })
  }

  test('a client without a database is rejected', async () => {
    const address = new URL(server.engine.url)
    address.pathname = '/'
    const { client, end } = throughPool(address.href)
    await assert.rejects(createMysqlStore(client).open(issuer), { code: 'ERR_OPTION_INVALID', message: /`database`/ })
    await end()
  })

  for (const [version, isAccepted] of [
    ['5.7.44-log', false],
    ['10.5.29-MariaDB', false],
    ['8.0.36', true],
    ['9.5.0', true],
    ['11.8.3-MariaDB-ubu2404', true],
  ] as const) {
    test(`version ${version} is ${isAccepted ? 'accepted' : 'rejected'}`, async () => {
      const pool = newPool(await server.engine.database())
      const client: MysqlClient = {
        query: ({ sql, ...rest }) => pool.query({ ...rest, sql: sql.replace('VERSION()', `'${version}'`) }),
      }
      const opened = createMysqlStore(client).open(issuer)
      if (isAccepted) await opened
      else await assert.rejects(opened, { code: 'ERR_OPTION_INVALID', message: /MySQL 8\.0 or MariaDB 10\.6/ })
      await pool.end()
    })
  }
})

test('what is no client, and wrong options, are rejected', () => {
  for (const given of [null, undefined, 'mysql://u:secret@host/db', {}, 7]) {
    assert.throws(
      () => createMysqlStore(given as never),
      (error: any) => error.code === 'ERR_OPTION_INVALID' && !error.message.includes('secret'),
    )
  }
  const client: MysqlClient = { query: async () => [[], []] }
  for (const timeout of [0, -1, 10_001, Number.NaN]) {
    assert.throws(() => createMysqlStore(client, { timeout }), { code: 'ERR_OPTION_INVALID', message: /timeout/ })
  }
  assert.throws(() => createMysqlStore(client, { prefix: 'A b' }), { code: 'ERR_OPTION_INVALID', message: /prefix/ })
})
