// The accounts' tables on every engine: tables of the app and of newer versions stay unchanged, incomplete ones are completed.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { DatabaseSync } from 'node:sqlite'
import { after, before, describe, type TestContext, test } from 'node:test'
import { createDaypass } from 'daypass'
import type { Redis } from 'ioredis'
import { createMongoAccounts } from '../../server/src/accounts-mongodb.ts'
import { createMysqlAccounts, type Query as MysqlQuery } from '../../server/src/accounts-mysql.ts'
import { createPostgresAccounts, type Query } from '../../server/src/accounts-postgres.ts'
import { withinPatience } from '../../server/src/deadline.ts'
import { openStores } from '../../server/src/stores.ts'
import { type MongoEngine, newClient, noMongo, startMongo } from '../engines/mongodb.ts'
import { type MysqlEngine, noMysql, once as onceMysql, startMysql } from '../engines/mysql.ts'
import { once, type PostgresEngine, startPostgres } from '../engines/postgres.ts'
import { type RedisEngine, readKeys, redisMissing, startRedis, startRedisCluster } from '../engines/redis.ts'
import { temporaryFolder } from '../stores/harness.ts'
import { newPool as newMysqlPool } from '../stores/mysql-setup.ts'
import { newPool } from '../stores/postgres-setup.ts'

const account = { id: '1', email: 'a@b.c', passwordHash: 'hash', createdAt: 1_700_000_000_000 }
const isNewer = { code: 'ERR_STORE_SCHEMA' }

/** An empty database of an engine, and the actions of another program in it. */
interface Database {
  url: string
  /** Sets the version that the accounts' tables need. */
  setUsableFrom(version: number): Promise<unknown>
  /** The whole content. */
  dump(): Promise<unknown>
}

/** The error names the taken name and says what to do. */
const isTaken = (name: string) => (error: any) => {
  assert.equal(error.code, 'ERR_OPTION_INVALID')
  assert.ok(error.message.includes(`\`${name}\``) && error.message.includes('DAYPASS_STORE'), error.message)
  return true
}

/** Opens the accounts, and asserts that this fails because of the name and writes nothing. */
async function checkTaken({ url, dump }: Database, name: string): Promise<void> {
  const found = await dump()
  const stores = await openStores(url)
  await assert.rejects(stores.accounts.findById('1'), isTaken(name)).finally(() => stores.close())
  assert.deepEqual(await dump(), found)
}

/** The rules that are the same on every engine. */
function describeSchema(makeDatabase: (t: TestContext) => Promise<Database>): void {
  test('a running server reads and writes nothing after a newer version has changed the tables', async (t) => {
    const { url, setUsableFrom, dump } = await makeDatabase(t)
    const { accounts, close } = await openStores(url)
    t.after(close)
    await accounts.create(account)
    await setUsableFrom(2)
    const found = await dump()
    await assert.rejects(accounts.findById('1'), isNewer)
    await assert.rejects(accounts.findByEmail('a@b.c'), isNewer)
    await assert.rejects(accounts.findByEmail('nobody@b.c'), isNewer)
    await assert.rejects(accounts.create({ ...account, id: '2', email: 'd@e.f' }), isNewer)
    await assert.rejects(accounts.create({ ...account, id: '2' }), isNewer)
    await assert.rejects(accounts.setPassword('1', 'hash', 'other'), isNewer)
    assert.deepEqual(await dump(), found)
    await setUsableFrom(1)
    assert.deepEqual(await accounts.findById('1'), account)
    assert.equal(await accounts.setPassword('1', 'hash', 'other'), true)
  })

  test('an older server that starts with a newer version’s tables writes nothing', async (t) => {
    const { url, setUsableFrom, dump } = await makeDatabase(t)
    const newer = await openStores(url)
    t.after(() => newer.close())
    await newer.accounts.create(account)
    await setUsableFrom(2)
    const found = await dump()
    const older = await openStores(url)
    t.after(() => older.close())
    await assert.rejects(older.accounts.create({ ...account, id: '2', email: 'd@e.f' }), isNewer)
    assert.deepEqual(await dump(), found)
  })

  for (const order of ['sessions first', 'accounts first', 'both at once']) {
    test(`sessions and accounts share a database, when it is empty and later: ${order}`, async (t) => {
      const { url } = await makeDatabase(t)
      for (let start = 0; start < 2; start++) {
        const stores = await openStores(url)
        t.after(() => stores.close())
        const auth = createDaypass({ secret: randomBytes(32), issuer: 'https://one.test', store: stores.sessions })
        if (order === 'sessions first') await auth.issue('ada')
        if (order === 'both at once') await Promise.all([auth.issue('ada'), stores.accounts.open()])
        // Names that are parts of keys and tables.
        for (const id of ['1', 'schema', 'account', 'revoked', '{a}', '}', '*', ':']) {
          const made = { ...account, id, email: `${id}@b.c` }
          const again = { ...made, id: `${id} again` }
          assert.equal(await stores.accounts.create(start === 0 ? made : again), start === 0)
          await auth.issue(id)
          assert.deepEqual(await stores.accounts.findByEmail(made.email), made)
          assert.deepEqual(await stores.accounts.findById(id), made)
          assert.equal((await auth.sessions(id)).length, start + 1)
        }
        await auth.close()
      }
    })
  }
}

/** An app's own tables with the names of the accounts' tables. */
const foreign = [
  ['daypass_account', 'CREATE TABLE daypass_account (id text PRIMARY KEY, email text)'],
  ['daypass_account', 'CREATE VIEW daypass_account AS SELECT 1 AS id'],
  ['daypass_account_schema', 'CREATE TABLE daypass_account_schema (module text, version text)'],
] as const

describe('SQLite', () => {
  async function makeDatabase(t: TestContext) {
    const folder = temporaryFolder()
    t.after(folder.remove)
    const path = `${folder.path}/app.db`
    const db = new DatabaseSync(path, { timeout: 5000 })
    t.after(() => db.close())
    const dump = async () => {
      const tables = db.prepare("SELECT name, sql FROM sqlite_schema WHERE type IN ('table', 'view')").all()
      return tables.map(({ name, sql }) => [name, sql, db.prepare(`SELECT * FROM "${name}"`).all()])
    }
    const setUsableFrom = async (n: number) => db.exec(`UPDATE daypass_account_schema SET usable_from = ${n}`)
    return { url: `sqlite:${path}`, db, dump, setUsableFrom }
  }
  describeSchema(makeDatabase)

  for (const [name, statement] of foreign) {
    test(`nothing is written if the app has its own table or view: ${statement}`, async (t) => {
      const database = await makeDatabase(t)
      database.db.exec(statement)
      await checkTaken(database, name)
    })
  }
})

describe('PostgreSQL', () => {
  let engine: PostgresEngine
  before(async () => {
    engine = await startPostgres()
  })
  after(() => engine.remove())

  async function makeDatabase() {
    const url = await engine.database()
    const dump = async () => {
      const names = await once(
        url,
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v') ORDER BY 1",
      )
      return Promise.all(names.map(async ({ relname }) => [relname, await once(url, `SELECT * FROM ${relname}`)]))
    }
    const setUsableFrom = (n: number) => once(url, `UPDATE daypass_account_schema SET usable_from = ${n}`)
    return { url, dump, setUsableFrom }
  }
  describeSchema(makeDatabase)

  for (const [name, statement] of [...foreign, ['daypass_limit', 'CREATE TABLE daypass_limit (key text)'] as const]) {
    test(`nothing is written if the app has its own table or view: ${statement}`, async () => {
      const database = await makeDatabase()
      await once(database.url, statement)
      await checkTaken(database, name)
    })
  }

  test('incomplete tables are completed, wherever the program that created them died', async () => {
    let isWhole = false
    for (let statements = 1; !isWhole; statements++) {
      assert.ok(statements < 30)
      const { url } = await makeDatabase()
      const pool = newPool(url)
      let sent = 0
      const query: Query = (text, values = []) => withinPatience(async () => (await pool.query({ text, values })).rows)
      const dying: Query = async (text, values) => {
        if (++sent > statements) throw new Error('the process died')
        return query(text, values)
      }
      isWhole = await createPostgresAccounts(dying)
        .open()
        .then(
          () => true,
          () => false,
        )
      const accounts = createPostgresAccounts(query)
      await accounts.open()
      assert.equal(await accounts.create(account), true)
      assert.deepEqual(await once(url, 'SELECT * FROM daypass_limit'), [])
      assert.deepEqual(await once(url, 'SELECT version, usable_from FROM daypass_account_schema'), [
        { version: 1, usable_from: 1 },
      ])
      await pool.end()
    }
  })

  test('a role that may not create tables uses the existing ones', async () => {
    const { url } = await makeDatabase()
    const stores = await openStores(url)
    await stores.accounts.create(account)
    await stores.close()
    const name = `app_${randomBytes(4).toString('hex')}`
    await once(url, `CREATE ROLE ${name} LOGIN PASSWORD 'app'`)
    await once(url, `GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO ${name}`)
    const limited = new URL(url)
    limited.username = name
    limited.password = 'app'
    const app = await openStores(limited.href)
    assert.deepEqual(await app.accounts.findById('1'), account)
    await app.close()
  })
})

describe('MySQL', { skip: noMysql }, () => {
  let engine: MysqlEngine
  before(async () => {
    engine = await startMysql()
  })
  after(() => engine.remove())

  async function makeDatabase() {
    const url = await engine.database()
    const dump = async () => {
      const names = await onceMysql(
        url,
        'SELECT TABLE_NAME AS name FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() ORDER BY 1',
      )
      return Promise.all(names.map(async ({ name }) => [name, await onceMysql(url, `SELECT * FROM ${name}`)]))
    }
    const setUsableFrom = (n: number) => onceMysql(url, `UPDATE daypass_account_schema SET usable_from = ${n}`)
    return { url, dump, setUsableFrom }
  }
  describeSchema(makeDatabase)

  for (const [name, statement] of [
    ['daypass_account', 'CREATE TABLE daypass_account (id int PRIMARY KEY, email text)'],
    ['daypass_account', 'CREATE VIEW daypass_account AS SELECT 1 AS id'],
    ['daypass_account_schema', 'CREATE TABLE daypass_account_schema (module int, body text)'],
    ['daypass_limit', 'CREATE TABLE daypass_limit (id int)'],
  ] as const) {
    test(`nothing is written if the app has its own table or view: ${statement}`, async () => {
      const database = await makeDatabase()
      await onceMysql(database.url, statement)
      await checkTaken(database, name)
    })
  }

  test('an error that quotes a value is rethrown without the value', async () => {
    const { url } = await makeDatabase()
    const stores = await openStores(url)
    await stores.accounts.create(account)
    await onceMysql(
      url,
      "CREATE TRIGGER t BEFORE INSERT ON daypass_account FOR EACH ROW SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'ada'",
    )
    const error: any = await stores.accounts
      .create({ ...account, id: '2', email: 'ada@b.c' })
      .catch((reason: unknown) => reason)
    assert.equal(error.code, 'ERR_STORE_UNAVAILABLE')
    assert.doesNotMatch(`${error.message} ${error.cause?.message}`, /ada/)
    await stores.close()
  })

  test('incomplete tables are completed, wherever the program that created them died', async () => {
    let isWhole = false
    for (let statements = 1; !isWhole; statements++) {
      assert.ok(statements < 30)
      const { url } = await makeDatabase()
      let sent = 0
      const pool = newMysqlPool(url)
      const query: MysqlQuery = (text, values = []) =>
        withinPatience(async () => {
          const [result] = await pool.execute(text, values)
          return Array.isArray(result) ? { rows: result, matched: 0 } : { rows: [], matched: result.affectedRows }
        })
      const dying: MysqlQuery = async (text, values) => {
        if (++sent > statements) throw new Error('the process died')
        return query(text, values)
      }
      isWhole = await createMysqlAccounts(dying)
        .open()
        .then(
          () => true,
          () => false,
        )
      const accounts = createMysqlAccounts(query)
      await accounts.open()
      assert.equal(await accounts.create(account), true)
      assert.deepEqual(await onceMysql(url, 'SELECT * FROM daypass_limit'), [])
      await pool.end()
    }
  })
})

describe('Redis', { skip: redisMissing }, () => {
  for (const [name, start] of [
    ['one server', startRedis],
    ['a Cluster', startRedisCluster],
  ] as const) {
    describe(name, () => {
      let engine: RedisEngine
      before(async () => {
        engine = await start()
      })
      after(() => engine.remove())
      const schemaKey = 'daypass:schema:account'

      async function makeDatabase() {
        const admin = engine.admin as Redis
        const nodes: Redis[] = 'nodes' in admin ? (admin as any).nodes('master') : [admin]
        await Promise.all(nodes.map((node) => node.flushall()))
        const dump = async () => (await Promise.all(nodes.map((node) => readKeys(node, 'daypass')))).flat().map(String)
        return {
          url: engine.url,
          admin,
          dump: async () => (await dump()).sort(),
          setUsableFrom: (version: number) => admin.hset(schemaKey, 'usable_from', version),
        }
      }
      describeSchema(makeDatabase)

      const others: [string, string, (admin: Redis, key: string) => Promise<unknown>][] = [
        ['a string', schemaKey, (admin, key) => admin.set(key, 'x')],
        ['a hash', schemaKey, (admin, key) => admin.hset(key, 'theirs', 'x')],
      ]
      for (const [kind, key, make] of others) {
        test(`${key} is a key of the app (${kind}): the error names it, and it stays unchanged`, async () => {
          const database = await makeDatabase()
          await make(database.admin, key)
          await checkTaken(database, key)
        })
      }

      test('a key of the app in place of an account: the error of the call names it', async (t) => {
        const { url, admin } = await makeDatabase()
        await admin.set('daypass:account:{a@b.c}', 'x')
        const { accounts, close } = await openStores(url)
        t.after(close)
        await assert.rejects(accounts.findByEmail('a@b.c'), isTaken('daypass:account:{a@b.c}'))
        await assert.rejects(accounts.create(account), isTaken('daypass:account:{a@b.c}'))
        assert.equal(await admin.get('daypass:account:{a@b.c}'), 'x')
      })
    })
  }
})

describe('MongoDB', { skip: noMongo }, () => {
  let engine: MongoEngine
  before(async () => {
    engine = await startMongo()
  })
  after(() => engine.remove())

  async function makeDatabase(t: TestContext) {
    const client = newClient(engine.url)
    t.after(() => client.close())
    const name = engine.database()
    const db = client.db(name)
    const url = new URL(engine.url)
    url.pathname = `/${name}`
    const dump = async () => {
      const names = (await db.listCollections({}, { nameOnly: true }).toArray()).map((each) => each.name).sort()
      return Promise.all(names.map(async (each) => [each, await db.collection(each).find().toArray()]))
    }
    const setUsableFrom = (version: number) =>
      db.collection('daypass_account_schema').updateOne({}, { $set: { usable_from: version } })
    return { url: url.href, db, dump, setUsableFrom }
  }
  describeSchema(makeDatabase)

  for (const name of ['daypass_account', 'daypass_account_schema', 'daypass_limit']) {
    test(`nothing is written if the app has its own documents in ${name}`, async (t) => {
      const database = await makeDatabase(t)
      await database.db.collection(name).insertOne({ body: 'of the app' })
      await checkTaken(database, name)
    })
  }

  test('an existing empty collection is used, and missing indexes are created', async (t) => {
    const { db } = await makeDatabase(t)
    await db.createCollection('daypass_account')
    for (let start = 0; start < 2; start++) {
      const accounts = createMongoAccounts(db as any)
      await accounts.open()
      assert.equal(await accounts.create(account), start === 0)
      assert.equal(await accounts.create({ ...account, id: '2' }), false, 'one account an address')
      await db.collection('daypass_account').dropIndexes()
    }
  })

  test('an error that quotes a value is rethrown without the value', async (t) => {
    const { db } = await makeDatabase(t)
    const accounts = createMongoAccounts(db as any)
    await accounts.open()
    await db.collection('daypass_account').dropIndexes()
    await db.collection<any>('daypass_account').insertMany(['1', '2'].map((_id) => ({ _id, email: 'ada@example.com' })))
    const error: any = await createMongoAccounts(db as any)
      .open()
      .catch((reason: unknown) => reason)
    assert.equal(error.code, 'ERR_STORE_UNAVAILABLE')
    assert.doesNotMatch(`${error.message} ${error.cause?.message}`, /ada@example|dup key/)
  })
})
