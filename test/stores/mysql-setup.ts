// The set-up that the tests of the MySQL store share.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import callbacks from 'mysql2'
import mysql from 'mysql2/promise'
import {
  createMysqlStore,
  type MysqlCallbackClient,
  type MysqlClient,
  type MysqlStoreOptions,
} from '../../src/stores/mysql.ts'
import { type Store, type StoreHarness, storeContract } from '../../src/testing/index.ts'
import { issuer } from '../../src/testing/store-harness.ts'
import { type MysqlEngine, once, startMysql } from '../engines/mysql.ts'

export interface Connected {
  client: MysqlClient | MysqlCallbackClient
  end(): Promise<void>
}

/** Makes a client as an app does. */
export type Driver = (url: string) => Connected | Promise<Connected>

export const newPool = (url: string, options: mysql.PoolOptions = {}): mysql.Pool =>
  mysql.createPool({ uri: url, connectionLimit: 5, ...options })

export function throughPool(url: string, options: mysql.PoolOptions = {}): Connected {
  const pool = newPool(url, options)
  return { client: pool, end: () => pool.end() }
}

export function throughCallbacks(url: string, options: mysql.PoolOptions = {}): Connected {
  const pool = callbacks.createPool({ uri: url, connectionLimit: 5, ...options })
  return { client: pool, end: () => pool.promise().end() }
}

/** A MySQL for one test file. @param prepare Runs before the tests. */
export function useMysql(prepare = async (_engine: MysqlEngine) => {}, start = startMysql) {
  let engine: MysqlEngine | undefined
  before(
    async () => {
      engine = await start()
      await prepare(engine)
    },
    { timeout: 120_000 },
  )
  after(() => engine?.remove())
  return {
    get engine(): MysqlEngine {
      assert.ok(engine, 'MySQL runs')
      return engine
    },
  }
}

let prefixes = 0
export const freshPrefix = () => `t${prefixes++}`

/** Runs the contract on one database. Each store has its own prefix. */
export function prefixHarness(url: string, driver: Driver, options: MysqlStoreOptions = {}): StoreHarness {
  const opened = new Map<Store, { prefix: string; end(): Promise<void> }>()
  return {
    async open() {
      const { client, end } = await driver(url)
      const prefix = freshPrefix()
      const store = createMysqlStore(client, { ...options, prefix })
      opened.set(store, { prefix, end })
      return store
    },
    async rawRows(store) {
      const rows = await once(url, `SELECT * FROM ${opened.get(store)!.prefix}_session`)
      return rows.flatMap((row) => Object.values(row)).map((value) => (Buffer.isBuffer(value) ? value : String(value)))
    },
    async cleanup() {
      for (const [store, { prefix, end }] of opened) {
        opened.delete(store)
        await end()
        await once(url, `DROP TABLE IF EXISTS ${prefix}_session, ${prefix}_schema`)
      }
    },
  }
}

/** Runs the whole contract through a driver. */
export function contract(option: string, url: () => string, driver: Driver): void {
  describe(option, () => {
    for (const rule of storeContract) {
      test(rule.name, (t) => rule.run({ ...prefixHarness(url(), driver), note: (line) => t.diagnostic(line) }))
    }
  })
}

/** Runs statements in another transaction, which holds their locks until `release`. */
export async function holdLock(url: string, ...statements: string[]) {
  const connection = await mysql.createConnection(url)
  await connection.query('START TRANSACTION')
  for (const statement of statements) await connection.query(statement)
  let isHeld = true
  return {
    async release() {
      if (!isHeld) return
      isHeld = false
      await connection.query('COMMIT')
      await connection.query('UNLOCK TABLES')
      await connection.end()
    },
  }
}

/** Counts the statements of the database that wait for a lock of the table or of a row. */
export async function countWaiting(url: string): Promise<number> {
  const [row] = await once(
    url,
    `SELECT COUNT(*) AS n FROM information_schema.PROCESSLIST WHERE DB = DATABASE() AND COMMAND = 'Query'
     AND ID <> CONNECTION_ID() AND (STATE LIKE 'Waiting for%' OR TIME > 0)`,
  )
  return Number(row!.n)
}

export async function until(isSo: () => Promise<boolean> | boolean, milliseconds = 20_000): Promise<void> {
  for (const end = Date.now() + milliseconds; Date.now() < end; await delay(20)) if (await isSo()) return
  throw new Error(`not so after ${milliseconds} ms: ${isSo}`)
}

/** Asserts that `open` fails with this text, and leaves the database empty. */
export async function isRefused(url: string, driver: Driver, text: RegExp): Promise<void> {
  const { client, end } = await driver(url)
  await assert.rejects(createMysqlStore(client).open(issuer), { code: 'ERR_OPTION_INVALID', message: text })
  assert.deepEqual(await once(url, "SHOW TABLES LIKE 'daypass%'"), [])
  await end()
}
