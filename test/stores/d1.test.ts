// The D1 store on Miniflare, Cloudflare's own simulator.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { createD1Store, type D1Client } from '../../src/stores/d1.ts'
import { runConcurrencyKit } from '../../src/testing/index.ts'
import { noD1, startD1 } from '../engines/d1.ts'
import { type BatchDatabase, contract, describeBatches } from './batch-kit.ts'

if (noD1) test('the end of the run names the engine that did not run', (t) => t.diagnostic(`engine: D1 ${noD1}`))

describe('D1', { skip: noD1 }, () => {
  let engine: Awaited<ReturnType<typeof startD1>>
  before(
    async () => {
      engine = await startD1()
    },
    { timeout: 60_000 },
  )
  after(() => engine.remove())

  const run = async (sql: string) => (await engine.client.batch([engine.client.prepare(sql)]))[0]!.results as any[]

  /** There is one database, which each test finds empty. */
  async function emptied(): Promise<BatchDatabase> {
    const found = await run(
      "SELECT name, type FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE '\\_cf%' ESCAPE '\\'",
    )
    for (const { name, type } of found) await run(`DROP ${type} ${name}`)
    return {
      open(options, intercept = (send) => send()) {
        const client: D1Client = {
          prepare: engine.client.prepare,
          batch: (statements) => intercept(() => engine.client.batch(statements)),
        }
        return createD1Store(client, options)
      },
      run,
      remove: async () => {},
    }
  }

  test('the end of the run names it', (t) => t.diagnostic('engine: Cloudflare D1 (Miniflare)'))
  contract('the contract', emptied)
  describeBatches(emptied)

  test('24 tabs on three instances, responses lost, and nobody is signed out', { timeout: 120_000 }, async (t) => {
    await emptied()
    const stores = Array.from({ length: 3 }, () => createD1Store(engine.client, { prefix: 'kit' }))
    const report = await runConcurrencyKit({ stores, requests: 400 })
    t.diagnostic(JSON.stringify(report))
    assert.equal(report.caught, 2)
  })
})
