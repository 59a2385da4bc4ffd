// The pools of docs/orm.md serve an app's Kysely, Drizzle or Prisma and the sessions at once.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { describe, test } from 'node:test'
import { PrismaPg } from '@prisma/adapter-pg'
import { sql as drizzleSql } from 'drizzle-orm'
import { drizzle as drizzleMysql } from 'drizzle-orm/mysql2'
import { drizzle as drizzlePg } from 'drizzle-orm/node-postgres'
import { drizzle as drizzleJs } from 'drizzle-orm/postgres-js'
import { Kysely, sql as kyselySql, MysqlDialect, PostgresDialect } from 'kysely'
import callbacks from 'mysql2'
import mysql from 'mysql2/promise'
import pg from 'pg'
import postgres from 'postgres'
import { createDaypass, type Store } from '../../src/index.ts'
import { createMysqlStore } from '../../src/stores/mysql.ts'
import { createPostgresStore } from '../../src/stores/postgres.ts'
import { noMysql } from '../engines/mysql.ts'
import { useMysql } from './mysql-setup.ts'
import { usePostgres } from './postgres-setup.ts'

/** An app's library on a pool, and a store on the same pool. */
interface App {
  store: Store
  /** Counts the rows of the sessions with the app's library. */
  count(): Promise<number>
  end(): Promise<unknown>
}

const countSessions = 'SELECT COUNT(*) AS n FROM daypass_session'

/** Signs in and refreshes while the app queries through its library, and at last in a transaction. */
async function useBoth({ store, count, end }: App): Promise<void> {
  const auth = createDaypass({ secret: randomBytes(32), issuer: 'test', store })
  let tokens = [await auth.issue('ada')]
  assert.equal(await count(), 1)
  tokens.push(...(await Promise.all(['bob', 'eve'].map((subject) => auth.issue(subject)))))
  const refresh = () => Promise.all(tokens.map(({ refreshToken }) => auth.refresh(refreshToken)))
  for (let round = 0; round < 3; round++) {
    const [next, rows] = await Promise.all([refresh(), count()])
    assert.equal(rows, 3)
    tokens = next
  }
  assert.equal((await auth.verify(tokens[0]!.accessToken)).subject, 'ada')
  await auth.close()
  // Closing the sessions leaves the app's pool open.
  assert.equal(await count(), 3)
  await end()
}

async function countIn(db: Kysely<any>): Promise<number> {
  const { rows } = await db
    .transaction()
    .execute((trx) => kyselySql<{ n: unknown }>`${kyselySql.raw(countSessions)}`.execute(trx))
  return Number(rows[0]!.n)
}

describe('PostgreSQL', () => {
  const server = usePostgres()
  const database = () => server.engine.database()

  test('Kysely', async () => {
    const pool = new pg.Pool({ connectionString: await database() })
    const db = new Kysely<any>({ dialect: new PostgresDialect({ pool }) })
    await useBoth({ store: createPostgresStore(pool), count: () => countIn(db), end: () => db.destroy() })
  })

  test('Drizzle, through pg', async () => {
    const pool = new pg.Pool({ connectionString: await database() })
    const db = drizzlePg(pool)
    const count = async () =>
      Number((await db.transaction((tx) => tx.execute(drizzleSql.raw(countSessions)))).rows[0]!.n)
    await useBoth({ store: createPostgresStore(pool), count, end: () => pool.end() })
  })

  test('Drizzle, through postgres', async () => {
    const sql = postgres(await database(), { onnotice: () => {} })
    const db = drizzleJs(sql)
    const count = async () => Number((await db.transaction((tx) => tx.execute(drizzleSql.raw(countSessions))))[0]!.n)
    await useBoth({ store: createPostgresStore(sql), count, end: () => sql.end({ timeout: 1 }) })
  })

  test('Drizzle that made its client', async () => {
    const db = drizzlePg(await database())
    const count = async () => Number((await db.execute(drizzleSql.raw(countSessions))).rows[0]!.n)
    await useBoth({ store: createPostgresStore(db.$client), count, end: () => db.$client.end() })
  })

  test('Prisma’s adapter', async () => {
    const pool = new pg.Pool({ connectionString: await database() })
    const adapter = await new PrismaPg(pool).connect()
    async function count() {
      const transaction = await adapter.startTransaction()
      const { rows } = await transaction.queryRaw({ sql: countSessions, args: [], argTypes: [] })
      // As PrismaClient does it: `commit` alone returns the connection.
      await transaction.executeRaw({ sql: 'COMMIT', args: [], argTypes: [] })
      await transaction.commit()
      return Number(rows[0]![0])
    }
    await useBoth({ store: createPostgresStore(pool), count, end: () => pool.end() })
  })
})

describe('MySQL', { skip: noMysql }, () => {
  const server = useMysql()
  const database = () => server.engine.database()

  test('Kysely', async () => {
    const pool = callbacks.createPool(await database())
    const db = new Kysely<any>({ dialect: new MysqlDialect({ pool }) })
    await useBoth({ store: createMysqlStore(pool), count: () => countIn(db), end: () => db.destroy() })
  })

  for (const [name, create] of [
    ['promises', mysql.createPool],
    ['callbacks', callbacks.createPool],
  ] as const) {
    test(`Drizzle, through mysql2 with ${name}`, async () => {
      const pool = create(await database())
      const db = drizzleMysql(pool as mysql.Pool)
      const count = async () => {
        const [rows] = await db.transaction((tx) => tx.execute(drizzleSql.raw(countSessions)))
        return Number((rows as unknown as { n: number }[])[0]!.n)
      }
      await useBoth({ store: createMysqlStore(pool), count, end: async () => pool.end() })
    })
  }
})
