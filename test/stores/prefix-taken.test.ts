// Prefixes whose names the app uses, and incomplete schemas.

import assert from 'node:assert/strict'
import { DatabaseSync } from 'node:sqlite'
import { after, before, describe, test } from 'node:test'
import { createMongoStore } from '../../src/stores/mongodb.ts'
import { createMysqlStore, type MysqlClient } from '../../src/stores/mysql.ts'
import { createPostgresStore, type PgPool } from '../../src/stores/postgres.ts'
import { createSqliteStore } from '../../src/stores/sqlite.ts'
import { issuer, makeSession, sameRow } from '../../src/testing/store-harness.ts'
import { newClient, noMongo, startMongo } from '../engines/mongodb.ts'
import { noMysql, once as onceMysql } from '../engines/mysql.ts'
import { once, type PostgresEngine, startPostgres } from '../engines/postgres.ts'
import { temporaryFolder } from './harness.ts'
import { newPool as newMysqlPool, useMysql } from './mysql-setup.ts'
import { newPool } from './postgres-setup.ts'

/** The error names the taken name, and the option to change. */
const isTaken = (name: string) => (error: any) => {
  assert.equal(error.code, 'ERR_OPTION_INVALID')
  assert.ok(error.message.includes(`\`${name}\``) && error.message.includes('`prefix`'), error.message)
  return true
}

/** Tables of an app, and the name that the error shows. */
const foreign: [owner: 'sessions', name: string, statement: string][] = [
  ['sessions', 'app_session', 'CREATE TABLE app_session (id text PRIMARY KEY, subject text)'],
  ['sessions', 'app_session', 'CREATE VIEW app_session AS SELECT 1 AS id'],
  ['sessions', 'app_session_idle', 'CREATE TABLE app_session_idle (id text)'],
  ['sessions', 'app_schema', 'CREATE TABLE app_schema (id text PRIMARY KEY, body text)'],
]

describe('PostgreSQL', () => {
  let engine: PostgresEngine
  before(
    async () => {
      engine = await startPostgres()
    },
    { timeout: 120_000 },
  )
  after(() => engine.remove())

  const relations = (url: string) =>
    once(
      url,
      `SELECT c.relname, array_agg(a.attname ORDER BY a.attnum) AS columns FROM pg_class c
       LEFT JOIN pg_attribute a ON a.attrelid = c.oid
       WHERE relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace, 'pg_toast'::regnamespace)
       GROUP BY c.oid ORDER BY 1`,
    )

  for (const [owner, name, statement] of foreign) {
    test(`${owner} write nothing if the app uses the name: ${statement}`, async () => {
      const url = await engine.database()
      await once(url, statement)
      const found = await relations(url)
      const pool = newPool(url)
      const opened = createPostgresStore(pool, { prefix: 'app' }).open(issuer)
      await assert.rejects(opened, isTaken(name))
      assert.deepEqual(await relations(url), found)
      await pool.end()
    })
  }

  test('a table of the app on the search path is not hidden by one of Daypass', async () => {
    const url = await engine.database()
    await once(url, 'CREATE SCHEMA shop CREATE TABLE app_session (id text)')
    const pool = newPool(url, { options: '-c search_path=public,shop' })
    await assert.rejects(createPostgresStore(pool, { prefix: 'app' }).open(issuer), isTaken('app_session'))
    await pool.end()
  })

  for (const owner of ['sessions'] as const) {
    test(`${owner}: an incomplete schema is completed, wherever the process that made it died`, async () => {
      const opening = (client: PgPool) => createPostgresStore(client).open(issuer)
      let isWhole = false
      for (let statements = 1; !isWhole; statements++) {
        assert.ok(statements < 30)
        const url = await engine.database()
        const pool = newPool(url)
        let sent = 0
        const dying: PgPool = {
          async query(statement) {
            if (++sent > statements) throw new Error('the process died')
            return pool.query(statement)
          },
        }
        isWhole = await opening(dying).then(
          () => true,
          () => false,
        )
        await opening(pool)
        const made = (await relations(url)).map(({ relname }) => relname)
        if (owner === 'sessions') {
          const store = createPostgresStore(pool)
          await store.open(issuer)
          const row = makeSession(Date.now())
          await store.create(row)
          sameRow(await store.find(row.id), row)
          for (const index of ['subject', 'idle', 'revoked', 'announced']) {
            assert.ok(made.includes(`daypass_session_${index}`), `${index} after ${statements} statements`)
          }
        }
        assert.deepEqual(await once(url, 'SELECT version FROM daypass_schema'), [{ version: 1 }])
        await pool.end()
      }
    })
  }
})

describe('SQLite', () => {
  const all = (db: DatabaseSync) =>
    [...db.prepare('SELECT name, sql FROM sqlite_schema').all(), db.prepare('PRAGMA journal_mode').get()].map(
      (row) => ({
        ...row,
      }),
    )

  for (const [owner, name, statement] of [
    ...foreign,
    ['sessions', 'app_session', 'CREATE TABLE App_Session (id text)'] as const,
  ]) {
    test(`${owner} write nothing if the app uses the name: ${statement}`, async (t) => {
      const folder = temporaryFolder()
      t.after(folder.remove)
      const path = `${folder.path}/app.db`
      const db = new DatabaseSync(path)
      t.after(() => db.close())
      db.exec(statement)
      const found = all(db)
      if (owner === 'sessions') {
        const store = createSqliteStore(path, { prefix: 'app' })
        t.after(() => store.close())
        await assert.rejects(store.open(issuer), isTaken(name))
      }
      assert.deepEqual(all(db), found)
    })
  }
})

describe('MySQL', { skip: noMysql }, () => {
  const mysql = useMysql()
  const all = (url: string) =>
    onceMysql(
      url,
      'SELECT TABLE_NAME, COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() ORDER BY 1, 2',
    )

  for (const [name, statement] of [
    ['app_session', 'CREATE TABLE app_session (id INT PRIMARY KEY)'],
    ['app_session', 'CREATE VIEW app_session AS SELECT 1 AS id'],
    ['app_schema', 'CREATE TABLE app_schema (id INT PRIMARY KEY, body LONGTEXT)'],
  ] as const) {
    test(`sessions write nothing if the app uses the name: ${statement}`, async () => {
      const url = await mysql.engine.database()
      await onceMysql(url, statement)
      const found = await all(url)
      const pool = newMysqlPool(url)
      await assert.rejects(createMysqlStore(pool, { prefix: 'app' }).open(issuer), isTaken(name))
      assert.deepEqual(await all(url), found)
      await pool.end()
    })
  }

  test('an incomplete schema is completed, wherever the process that made it died', async () => {
    let isWhole = false
    for (let statements = 1; !isWhole; statements++) {
      assert.ok(statements < 30)
      const pool = newMysqlPool(await mysql.engine.database())
      let sent = 0
      const dying: MysqlClient = {
        async query(statement) {
          if (++sent > statements) throw new Error('the process died')
          return pool.query(statement)
        },
      }
      isWhole = await createMysqlStore(dying)
        .open(issuer)
        .then(
          () => true,
          () => false,
        )
      const store = createMysqlStore(pool)
      await store.open(issuer)
      const row = makeSession(Date.now())
      await store.create(row)
      sameRow(await store.find(row.id), row)
      await pool.end()
    }
  })
})

describe('MongoDB', noMongo === undefined ? {} : { skip: noMongo }, () => {
  let engine: Awaited<ReturnType<typeof startMongo>>
  before(
    async () => {
      engine = await startMongo()
    },
    { timeout: 60_000 },
  )
  after(() => engine?.remove())

  for (const [owner, name] of [
    ['sessions', 'app_session'],
    ['sessions', 'app_schema'],
  ] as const) {
    test(`${owner} write nothing if the app keeps its own documents in ${name}`, async (t) => {
      const client = newClient(engine.url)
      t.after(() => client.close())
      const db = client.db(engine.database())
      await db.collection(name).insertOne({ body: 'of the app' })
      const all = async () => {
        const names = (await db.listCollections({}, { nameOnly: true }).toArray()).map((each) => each.name).sort()
        return Promise.all(names.map(async (each) => [each, await db.collection(each).find().toArray()]))
      }
      const found = await all()
      const indexes = await db.collection(name).indexes()
      const opened = createMongoStore(db, { prefix: 'app' }).open(issuer)
      await assert.rejects(opened, isTaken(name))
      assert.deepEqual(await all(), found)
      assert.deepEqual(await db.collection(name).indexes(), indexes)
    })
  }

  test('an empty collection that was made beforehand is used, and missing indexes are made', async (t) => {
    const client = newClient(engine.url)
    t.after(() => client.close())
    const db = client.db(engine.database())
    await db.createCollection('daypass_session')
    const store = createMongoStore(db)
    await store.open(issuer)
    const row = makeSession(Date.now())
    await store.create(row)
    await db.collection('daypass_session').dropIndexes()
    const next = createMongoStore(db)
    await next.open(issuer)
    sameRow(await next.find(row.id), row)
    assert.ok((await db.collection('daypass_session').indexes()).length > 1)
  })
})
