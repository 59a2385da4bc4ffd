// Claims keep their names in stores that keep JSON, whatever the process has read before (nodejs/node#63785).

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Session } from '../../src/core/session.ts'
import { createMemoryStore } from '../../src/stores/memory.ts'
import { decodeRow, encodeRow } from '../../src/stores/redis-row.ts'
import { jsonText } from '../../src/stores/row.ts'
import { createSqliteStore } from '../../src/stores/sqlite.ts'
import { makeSession } from '../../src/testing/store-harness.ts'

/** What each way of keeping a session returns. Three of them stand for the engines that share `row.ts`. */
const ways: Record<string, (session: Session) => Promise<unknown>> = {
  memory: (session) => throughStore(createMemoryStore(), session),
  SQLite: (session) => throughStore(createSqliteStore(':memory:'), session),
  Redis: async (session) => decodeRow(session.id, encodeRow(session)).claims,
  'a column of JSON': async ({ claims }) => jsonText.decode(jsonText.encode(claims) as never),
}

async function throughStore(store: ReturnType<typeof createMemoryStore>, session: Session): Promise<unknown> {
  await store.open('test')
  await store.create(session)
  const claims = (await store.find(session.id))?.claims
  await store.close()
  return claims
}

describe('claims with names that need escapes', () => {
  Object.entries(ways).forEach(([name, keep], index) => {
    test(name, async () => {
      const first = `team${index}`
      // After this V8 takes the name below for the one here.
      JSON.parse(`{"${first}":1,"CORP\\\\\\\\ad":1}`)
      const claims = { [first]: 1, 'CORP\\ada': 2 }
      assert.deepEqual(await keep(makeSession(Date.now(), { claims })), claims)
    })
  })
})
