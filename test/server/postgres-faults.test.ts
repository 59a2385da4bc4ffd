// A locked table of the server's PostgreSQL: its calls fail in time, and give their connections back.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
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
  }
})
