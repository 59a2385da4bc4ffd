// Servers and a Redis master are killed, and nobody is signed out. A short run of `npm run cluster`.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { redisMissing } from '../engines/redis.ts'
import { clusterEngines } from './engines.ts'
import { runScenario } from './scenario.ts'

for (const [name, start] of Object.entries(clusterEngines)) {
  const options = { timeout: 120_000, skip: name === 'redis' && redisMissing }
  test(`three servers on one ${name}, killed and restarted: nobody is signed out`, options, async (t) => {
    const { store, disturb, remove } = await start()
    try {
      const result = await runScenario({ store, disturb, servers: 3, clients: 20, seconds: 8 })
      t.diagnostic(JSON.stringify(result))
      assert.deepEqual(result.signedOut, [])
      assert.deepEqual(result.sessions, Array(result.clients).fill(1))
      assert.ok(result.kills >= 2, `only ${result.kills} servers were killed`)
      assert.ok(result.refreshes > result.clients * 3, `only ${result.refreshes} refreshes`)
    } finally {
      await remove()
    }
  })
}
