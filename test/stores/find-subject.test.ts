// `findSubject` on every engine: the claims of each token are those of now.

import assert from 'node:assert/strict'
import { after, describe, type TestContext, test } from 'node:test'
import type { Store } from '../../src/core/store.ts'
import { createDaypass } from '../../src/index.ts'
import { createMemoryStore } from '../../src/stores/memory.ts'
import { createSqliteStore } from '../../src/stores/sqlite.ts'
import { noMongo, openMongoStore } from '../engines/mongodb.ts'
import { noMysql, openMysqlStore } from '../engines/mysql.ts'
import { openPostgresStore } from '../engines/postgres.ts'
import { openRedisStore, redisMissing, startRedis } from '../engines/redis.ts'
import { useMongo } from './mongodb-setup.ts'
import { useMysql } from './mysql-setup.ts'
import { usePostgres } from './postgres-setup.ts'

const secret = 'a secret that the tests share, thirty-two bytes and more'
const issuer = 'https://id.test'

/** Takes a role away between a sign-in and the refreshes. */
async function losesRole(t: TestContext, store: Store): Promise<void> {
  t.after(() => store.close())
  let role = 'admin'
  const auth = createDaypass({ secret, issuer, store, findSubject: () => ({ claims: { role } }) })
  const { refreshToken, session } = await auth.issue('ada')
  assert.equal(session.claims.role, 'admin')

  role = 'member'
  const idempotencyKey = '0123456789abcdef0123456789abcdef'
  const rotated = await auth.refresh(refreshToken, { idempotencyKey })
  role = 'guest'
  const replayed = await auth.refresh(refreshToken, { idempotencyKey })
  const read = await auth.findSession(replayed.refreshToken)

  assert.deepEqual([rotated.outcome, rotated.session.claims], ['rotated', { role: 'member' }])
  assert.deepEqual([replayed.outcome, replayed.session.claims], ['replayed', { role: 'guest' }])
  assert.deepEqual((await auth.verify(replayed.accessToken)).claims, { role: 'guest' })
  assert.deepEqual(read?.claims, { role: 'guest' })
}

const title = 'who loses a role has lost it at the next refresh, in a replay and on a rendered page'

describe('memory', () => test(title, (t) => losesRole(t, createMemoryStore())))

describe('SQLite', () => test(title, (t) => losesRole(t, createSqliteStore(':memory:'))))

describe('PostgreSQL', () => {
  const postgres = usePostgres()
  test(title, async (t) => losesRole(t, openPostgresStore(await postgres.engine.database())))
})

describe('MySQL', { skip: noMysql }, () => {
  const mysql = useMysql()
  test(title, async (t) => losesRole(t, openMysqlStore(await mysql.engine.database())))
})

describe('Redis', { skip: redisMissing }, async () => {
  if (redisMissing) return
  const engine = await startRedis()
  after(engine.remove)
  for (const library of ['ioredis', 'node-redis'] as const) {
    test(`${library}: ${title}`, async (t) => losesRole(t, await openRedisStore(engine.url, library)))
  }
})

describe('MongoDB', noMongo === undefined ? {} : { skip: noMongo }, () => {
  const mongo = useMongo()
  test(title, (t) => losesRole(t, openMongoStore(mongo.engine.url, 'find_subject')))
})
