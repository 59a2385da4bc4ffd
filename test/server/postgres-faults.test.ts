// A locked table of the server's PostgreSQL: its calls fail in time, and give their connections back.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { type AddressInfo, connect, createServer } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { createDaypass } from 'daypass'
import pg from 'pg'
import { openStores } from '../../server/src/stores.ts'
import { type PostgresEngine, startPostgres } from '../engines/postgres.ts'
import { openWithout } from './open-without.ts'

describe('postgres:', () => {
  let engine: PostgresEngine
  before(async () => {
    engine = await startPostgres()
  })
  after(() => engine.remove())

  for (const [driver, hidden] of [['pg', []] as const, ['postgres', ['pg']] as const]) {
    test(`${driver}: while the accounts are locked, sessions begin as soon as the waiting calls are given up`, async (t) => {
      const url = await engine.database()
      const stores = await openWithout([...hidden], () => openStores(url))
      t.after(() => stores.close())
      await stores.accounts.open()
      const auth = createDaypass({ secret: randomBytes(32), issuer: 'test', store: stores.sessions })
      await auth.issue('ada')

      const other = new pg.Client({ connectionString: url })
      await other.connect()
      t.after(() => other.end())
      await other.query('BEGIN')
      await other.query('LOCK TABLE daypass_account')
      // As many calls as there are connections.
      const calls = Array.from({ length: 10 }, () => stores.accounts.findByEmail('ada@example.com'))
      const results = await Promise.allSettled(calls)
      assert.deepEqual(
        results.map((result) => result.status === 'rejected' && result.reason.code),
        calls.map(() => 'ERR_STORE_UNAVAILABLE'),
      )
      await auth.issue('ada')

      await other.query('ROLLBACK')
      assert.equal(await stores.accounts.findByEmail('ada@example.com'), null)
    })

    // An error that nobody handles would fail the test, and end the server.
    test(`${driver}: a late statement that cannot be cancelled fails, and that is all`, async (t) => {
      const target = new URL(await engine.database())
      const proxy = createServer((client) => {
        const server = connect(Number(target.port), target.hostname)
        for (const socket of [client, server]) socket.on('error', () => {})
        client.pipe(server).pipe(client)
        t.after(() => {
          client.destroy()
          server.destroy()
        })
      })
      await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
      const url = new URL(target)
      url.port = String((proxy.address() as AddressInfo).port)
      const stores = await openWithout([...hidden], () => openStores(url.href))
      t.after(() => stores.close())
      await stores.accounts.open()
      const auth = createDaypass({ secret: randomBytes(32), issuer: 'test', store: stores.sessions })
      await auth.issue('ada')

      const other = new pg.Client({ connectionString: target.href })
      await other.connect()
      t.after(() => other.end())
      await other.query('BEGIN')
      await other.query('LOCK TABLE daypass_account, daypass_session')
      const calls = [stores.accounts.findByEmail('ada@example.com'), auth.sessions('ada')]
      // The connections stay, and no other one is accepted.
      proxy.close()
      const results = await Promise.allSettled(calls)
      assert.deepEqual(
        results.map((result) => result.status === 'rejected' && result.reason.code),
        ['ERR_STORE_UNAVAILABLE', 'ERR_STORE_UNAVAILABLE'],
      )
      // A cancel request that fails does so at once.
      await new Promise((resolve) => setTimeout(resolve, 200))
      await other.query('ROLLBACK')
    })
  }
})
