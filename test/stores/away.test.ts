// While an engine is away, HTTP clients get a temporary error within a bounded time.

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { Store } from '../../src/testing/index.ts'
import { type MongoEngine, noMongo, openMongoStore, startMongo } from '../engines/mongodb.ts'
import { noMysql, openMysqlStore, startMysql } from '../engines/mysql.ts'
import { openPostgresStore, startPostgres } from '../engines/postgres.ts'
import { openRedisStore, redisMissing, startRedis } from '../engines/redis.ts'
import {
  bearer,
  call,
  newKey,
  password,
  refreshBody,
  refreshCookie,
  serve,
  signInBody,
  signInCookie,
} from '../http/server.ts'

/** A store whose engine can be stopped and started. */
interface Away {
  store: Store
  stop(): Promise<unknown>
  start(): Promise<unknown>
}

const engines: Record<string, { skip: string | false; open(t: TestContext): Promise<Away> }> = {
  PostgreSQL: {
    skip: process.env.POSTGRES_URL ? 'not run: POSTGRES_URL names a server that is not ours to stop' : false,
    async open(t) {
      const engine = await startPostgres()
      t.after(engine.remove)
      return { store: openPostgresStore(await engine.database()), ...engine }
    },
  },
  MySQL: {
    skip: process.env.MYSQL_URL ? 'not run: MYSQL_URL names a server that is not ours to stop' : noMysql,
    async open(t) {
      const engine = await startMysql()
      t.after(engine.remove)
      return { store: openMysqlStore(await engine.database()), ...engine }
    },
  },
  Redis: {
    skip: redisMissing,
    async open(t) {
      const engine = await startRedis()
      t.after(engine.remove)
      const [server] = engine.servers
      return { store: await openRedisStore(engine.url, 'node-redis'), stop: server!.kill, start: server!.start }
    },
  },
  MongoDB: {
    skip: process.env.MONGODB_URL ? 'not run: MONGODB_URL names a server that is not ours to stop' : (noMongo ?? false),
    async open(t) {
      const engine: MongoEngine = await startMongo()
      t.after(engine.remove)
      return { store: openMongoStore(engine.url, engine.database()), ...engine }
    },
  },
}

for (const [name, { skip, open }] of Object.entries(engines)) {
  test(`${name} away: every route that needs it responds 503 with Retry-After in bounded time, and no session is lost`, {
    skip,
    timeout: 120_000,
  }, async (t) => {
    const { store, stop, start } = await open(t)
    t.after(() => store.close())
    const { origin } = await serve(t, { store })
    const inBody = await signInBody(origin)
    const inCookie = await signInCookie(origin)
    const key = newKey()
    const refreshes = [
      () => refreshBody(origin, inBody.json.refreshToken, key),
      () => refreshCookie(origin, inCookie.cookie!, key),
    ]
    const headers = bearer(inBody.json.accessToken)

    await stop()
    const calls = [
      ...refreshes.map((refresh) => refresh()),
      call(origin, 'POST /auth/login', { json: { name: 'ada', password, transport: 'body' } }),
      call(origin, 'GET /auth/sessions', { headers }),
      call(origin, 'DELETE /auth/sessions', { headers }),
      call(origin, 'POST /auth/logout', { json: { refreshToken: inBody.json.refreshToken } }),
    ]
    const began = performance.now()
    for (const answer of await Promise.all(calls)) {
      assert.equal(answer.status, 503, answer.text)
      assert.equal(answer.json.error, 'temporarily_unavailable')
      assert.ok(Number(answer.headers['retry-after']) >= 1)
      assert.equal(answer.setCookie, undefined, 'a 503 clears no cookie')
    }
    // A store call takes at most five seconds, and a route makes one or two calls.
    assert.ok(performance.now() - began < 15_000)

    await start()
    for (const refresh of refreshes) {
      let answer = await refresh()
      for (let tries = 0; answer.status === 503 && tries < 100; tries++) {
        await new Promise((resolve) => setTimeout(resolve, 100))
        answer = await refresh()
      }
      assert.equal(answer.status, 200, answer.text)
    }
  })
}
