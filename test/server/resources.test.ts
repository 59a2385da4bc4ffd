// Requests of strangers cost no disk write, and a lock of another process blocks no other request.

import assert from 'node:assert/strict'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { openStores } from '../../server/src/stores.ts'
import { startPostgres } from '../engines/postgres.ts'
import { temporaryFolder } from '../stores/harness.ts'
import { post, startServerProcess } from './process.ts'

const password = 'correct horse battery'

test('a rejected sign-in writes nothing to the database file, so it waits for no disk', async (t) => {
  const server = await startServerProcess()
  t.after(() => server.remove())
  const path = join(server.folder, 'daypass.db')
  await post(`${server.url}/auth/register`, { email: 'ada@example.com', password, transport: 'body' })
  const db = new DatabaseSync(path)
  t.after(() => db.close())
  // It changes with every commit of another connection.
  const version = () => db.prepare('PRAGMA data_version').get()!.data_version
  const before = version()
  const attempt = (email: string, secret: string, route = 'login') =>
    post(`${server.url}/auth/${route}`, { email, password: secret, transport: 'body' })
  for (let n = 0; n < 12; n++) {
    assert.ok((await attempt('ada@example.com', 'a wrong guess')).status >= 401)
    assert.ok((await attempt(`nobody-${n}@example.com`, 'a wrong guess')).status >= 401)
    assert.ok((await attempt('ada@example.com', 'a wrong guess', 'register')).status >= 401)
  }
  assert.equal(version(), before)
  await attempt('new@example.com', password, 'register')
  assert.notEqual(version(), before, 'the check sees commits')
})

test('PostgreSQL: tries are counted in an unlogged table, so a rejected sign-in waits for no disk', async (t) => {
  const engine = await startPostgres()
  // If a server does not start, a running engine would keep the test from ending.
  t.after(() => engine.remove())
  const url = await engine.database()
  const server = await startServerProcess({ DAYPASS_STORE: url })
  t.after(() => server.remove())
  await post(`${server.url}/auth/login`, { email: 'ada@example.com', password, transport: 'body' })
  const pg = (await import('pg')).default
  const client = new pg.Client(url)
  await client.connect()
  const { rows } = await client.query("SELECT relpersistence FROM pg_class WHERE relname = 'daypass_limit'")
  const counters = await client.query('SELECT * FROM daypass_limit')
  await client.end()
  assert.deepEqual(rows, [{ relpersistence: 'u' }])
  assert.ok(counters.rows.length > 0)
})

test('while another process holds the write lock, /healthz responds', async (t) => {
  const server = await startServerProcess({ DAYPASS_RATE_LIMIT: 'off' })
  t.after(() => server.remove())
  const first = await post(`${server.url}/auth/register`, { email: 'ada@example.com', password, transport: 'body' })
  const locker = new DatabaseSync(join(server.folder, 'daypass.db'))
  t.after(() => locker.close())
  locker.exec('BEGIN IMMEDIATE')
  let isOver = false
  let refused = 0
  const writes: Record<string, () => ReturnType<typeof post>> = {
    register: () =>
      post(`${server.url}/auth/register`, { email: `new-${refused}@example.com`, password, transport: 'body' }),
    login: () => post(`${server.url}/auth/login`, { email: 'ada@example.com', password, transport: 'body' }),
    refresh: () => post(`${server.url}/auth/refresh`, { refreshToken: first.body.refreshToken }),
  }
  const blocked = Object.entries(writes).map(async ([name, write]) => {
    while (!isOver) {
      const { status } = await write()
      if (!isOver) assert.equal(status, 503, name)
      refused++
    }
  })
  for (let n = 0; n < 50; n++) assert.equal((await fetch(`${server.url}/healthz`)).status, 200)
  isOver = true
  locker.exec('ROLLBACK')
  await Promise.all(blocked)
  assert.equal((await writes.login!()).status, 200)
})

test('a call of the accounts that waits for a lock blocks nothing else', async (t) => {
  const folder = temporaryFolder()
  t.after(folder.remove)
  const path = `${folder.path}/app.db`
  const stores = await openStores(`sqlite:${path}`)
  await stores.accounts.open()
  const empty = `${folder.path}/empty.db`
  const lockers = [path, empty].map((file) => new DatabaseSync(file))
  for (const locker of lockers) locker.exec('BEGIN IMMEDIATE')
  const openAt = async (file: string) => {
    const other = await openStores(`sqlite:${file}`)
    await other.accounts.open().finally(() => other.close())
  }
  let turns = 0
  const timer = setInterval(() => turns++, 1)
  t.after(() => clearInterval(timer))
  const account = { id: '1', email: 'ada@example.com', passwordHash: 'hash', createdAt: 0 }
  const calls = [
    () => stores.accounts.create(account),
    () => stores.accounts.setPassword('1', 'hash', 'other'),
    () => openAt(empty),
  ]
  for (const call of calls) {
    turns = 0
    await assert.rejects(call(), { code: 'ERR_STORE_LOCKED' })
    assert.ok(turns >= 20, `${turns} turns of the event loop meanwhile`)
    // Reads succeed meanwhile.
    assert.equal(await stores.accounts.findById('1'), null)
  }
  // To open tables that are complete takes no lock.
  await openAt(path)
  for (const locker of lockers) locker.exec('ROLLBACK')
  for (const locker of lockers) locker.close()
  assert.equal(await stores.accounts.create(account), true)
  await stores.close()
})
