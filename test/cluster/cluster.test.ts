// Is anybody signed out while servers, and a Redis master, die? A short run of `npm run cluster`.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startPostgres } from '../engines/postgres.ts'
import { runScenario, type ScenarioResult } from './scenario.ts'

function check(result: ScenarioResult): void {
  assert.deepEqual(result.signedOut, [])
  assert.deepEqual(result.sessions, Array(result.clients).fill(1))
  assert.ok(result.kills >= 3, `only ${result.kills} servers were killed`)
  assert.ok(result.refreshes > result.clients * 3, `only ${result.refreshes} refreshes`)
}

test('three servers on one PostgreSQL, killed and restarted: nobody is signed out', { timeout: 90_000 }, async (t) => {
  const engine = await startPostgres()
  try {
    const result = await runScenario({ store: await engine.database(), servers: 3, clients: 20, seconds: 8 })
    t.diagnostic(JSON.stringify(result))
    check(result)
  } finally {
    await engine.remove()
  }
})
