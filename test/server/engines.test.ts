// The server application on every engine that DAYPASS_STORE takes and with each driver, from an empty database: a person
// registers, refreshes, is listed, signs out, and is known after a restart.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { after, before, describe, type TestContext, test } from 'node:test'
import { Redis } from 'ioredis'
import { type MongoEngine, noMongo, startMongo } from '../engines/mongodb.ts'
import { type MysqlEngine, noMysql, startMysql } from '../engines/mysql.ts'
import { type PostgresEngine, startPostgres } from '../engines/postgres.ts'
import { type RedisEngine, redisMissing, startRedis, startRedisCluster } from '../engines/redis.ts'
import { post, type ServerProcess, startServerProcess } from './process.ts'

const newKey = () => `"${randomBytes(16).toString('base64url')}"`
const password = 'correct horse battery'
const hideModules = `--import=${import.meta.resolve('./hide-modules.ts')}`

/** Runs through a person's first day on a server with an empty database. */
async function live(t: TestContext, store: string | undefined, { hide = '', forgets = false } = {}): Promise<void> {
  const server = await startServerProcess({
    DAYPASS_SECRET: randomBytes(48).toString('base64'),
    // Both drivers use the Cluster, one after the other, and its rows belong to one issuer.
    DAYPASS_ISSUER: 'https://id.example',
    DAYPASS_TRY: 'on',
    ...(store !== undefined && { DAYPASS_STORE: store }),
    ...(hide !== '' && { NODE_OPTIONS: hideModules, HIDE_MODULES: hide }),
  })
  t.after(() => server.remove())
  try {
    await liveAt(server, forgets)
  } catch (error) {
    throw new Error(`${(error as Error).message}\n${server.output().slice(-4000)}`, { cause: error })
  }
}

async function liveAt(server: ServerProcess, forgets: boolean): Promise<void> {
  const credentials = { email: `ada-${randomBytes(4).toString('hex')}@example.com`, password, transport: 'body' }
  const get = (path: string, token: string) =>
    fetch(server.url + path, { headers: { authorization: `Bearer ${token}` } })
  const refresh = (refreshToken: string, key = newKey()) =>
    post(`${server.url}/auth/refresh`, { refreshToken }, { 'idempotency-key': key })

  await isReady(server)
  const registered = await post(`${server.url}/auth/register`, credentials)
  assert.equal(registered.status, 200)
  const key = newKey()
  const first = await refresh(registered.body.refreshToken, key)
  assert.equal(first.status, 200)
  assert.equal((await refresh(registered.body.refreshToken, key)).body.refreshToken, first.body.refreshToken)
  assert.equal((await get('/auth/me', first.body.accessToken)).status, 200)

  const phone = await post(`${server.url}/auth/login`, credentials)
  assert.equal(phone.status, 200)
  const { sessions } = (await (await get('/auth/sessions', first.body.accessToken)).json()) as { sessions: unknown[] }
  assert.equal(sessions.length, 2)

  assert.equal((await post(`${server.url}/auth/logout`, { refreshToken: phone.body.refreshToken })).status, 204)
  assert.equal((await refresh(phone.body.refreshToken)).status, 401)
  assert.equal((await get('/auth/me', phone.body.accessToken)).status, 401)

  const guest = await post(`${server.url}/auth/try`, { transport: 'body' })
  const asGuest = { authorization: `Bearer ${guest.body.accessToken}` }
  const pretend = await post(`${server.url}/auth/try/phone`, { label: 'Phone' }, asGuest)
  const copied = { refreshToken: pretend.body.refreshToken }
  const owner = await post(`${server.url}/auth/try/refresh`, copied, { 'idempotency-key': newKey() })
  const thief = await post(`${server.url}/auth/try/refresh`, copied, { 'idempotency-key': newKey() })
  assert.deepEqual(
    [guest, pretend, owner, thief].map(({ status }) => status),
    [200, 200, 200, 401],
  )
  assert.equal(thief.body.code, 'ERR_REFRESH_TOKEN_REUSED')

  assert.equal(await server.stop(), 0)
  await server.start()
  await isReady(server)
  if (forgets) return
  const second = await refresh(first.body.refreshToken)
  assert.equal(second.status, 200, 'the session outlives the process')
  const next = { current: password, next: 'another horse battery' }
  const bearer = { authorization: `Bearer ${second.body.accessToken}` }
  assert.equal((await post(`${server.url}/auth/password`, next, bearer)).status, 204)
  assert.equal((await post(`${server.url}/auth/login`, credentials)).status, 401)
  assert.equal((await post(`${server.url}/auth/login`, { ...credentials, password: next.next })).status, 200)
}

/** Waits for the engine: a server listens before its driver has connected. */
async function isReady(server: ServerProcess): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    if ((await fetch(`${server.url}/readyz`)).status === 200) return
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  throw new Error('The server is not ready after ten seconds.')
}

test('sqlite:', (t) => live(t, undefined))
test('memory:', (t) => live(t, 'memory:', { forgets: true }))

describe('postgres:', () => {
  let engine: PostgresEngine
  before(async () => {
    engine = await startPostgres()
  })
  after(() => engine.remove())
  test('through pg', async (t) => live(t, await engine.database(), { hide: 'postgres' }))
  test('through postgres', async (t) => live(t, await engine.database(), { hide: 'pg' }))
})

describe('mysql:', { skip: noMysql }, () => {
  let engine: MysqlEngine
  before(async () => {
    engine = await startMysql()
  })
  after(() => engine.remove())
  test('through mysql2', async (t) => live(t, await engine.database()))
})

describe('redis:', { skip: redisMissing }, () => {
  let engine: RedisEngine
  before(async () => {
    engine = await startRedis()
  })
  after(() => engine.remove())
  for (const [driver, hide] of Object.entries({ redis: 'ioredis', ioredis: 'redis' })) {
    test(`through ${driver}`, async (t) => {
      await engine.admin.flushall()
      await live(t, engine.url, { hide })
    })
  }
})

describe('redis+cluster:', { skip: redisMissing }, () => {
  let engine: RedisEngine
  before(async () => {
    engine = await startRedisCluster()
  })
  after(() => engine.remove())
  for (const [driver, hide] of Object.entries({ redis: 'ioredis', ioredis: 'redis' })) {
    test(`through ${driver}`, (t) => live(t, engine.url, { hide }))
  }
})

describe('the documented Redis user (docs/redis.md)', { skip: redisMissing }, () => {
  const [, rights = ''] = /^ACL SETUSER daypass (.*)$/m.exec(readFileSync('docs/redis.md', 'utf8')) ?? []
  for (const [name, start] of Object.entries({ 'one server': startRedis, 'a Cluster': startRedisCluster })) {
    describe(name, () => {
      let engine: RedisEngine
      before(async () => {
        engine = await start()
        for (const { port } of engine.servers) {
          const admin = new Redis(port)
          await admin.call('ACL', 'SETUSER', 'daypass', ...rights.split(' ')).finally(() => admin.disconnect())
        }
      })
      after(() => engine.remove())
      for (const [driver, hide] of Object.entries({ redis: 'ioredis', ioredis: 'redis' })) {
        test(`has all the rights that the server needs, through ${driver}`, (t) =>
          live(t, engine.url.replace('://', '://daypass:PASSWORD@'), { hide }))
      }
    })
  }
})

describe('mongodb:', { skip: noMongo }, () => {
  let engine: MongoEngine
  before(async () => {
    engine = await startMongo()
  })
  after(() => engine.remove())
  test('through mongodb', async (t) => {
    const url = new URL(engine.url)
    url.pathname = `/${engine.database()}`
    await live(t, url.href)
  })
})
