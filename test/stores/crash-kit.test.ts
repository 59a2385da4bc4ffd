// The crash kit on SQLite: no session is lost when servers are killed, and thefts are detected.

import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { isDaypassError } from '../../src/errors.ts'
import { createMemoryStore } from '../../src/stores/memory.ts'
import { createSqliteStore } from '../../src/stores/sqlite.ts'
import { type KitReport, runConcurrencyKit, runCrashKit } from '../../src/testing/index.ts'
import { temporaryFolder } from './harness.ts'

const summarize = (report: KitReport) =>
  Object.entries(report)
    .map(([name, value]) => `${name} ${value}`)
    .join(', ')

test('SQLite on a file: 3 server processes, 100 of them killed −9, and nobody is signed out', async (t) => {
  const folder = temporaryFolder()
  t.after(folder.remove)
  const store = {
    module: import.meta.resolve('../../src/stores/sqlite.ts'),
    export: 'createSqliteStore',
    args: [join(folder.path, 'kit.db')],
  }
  const kills = Number(process.env.DAYPASS_TEST_KILLS ?? 100)
  const report = await runCrashKit({ store, kills })
  t.diagnostic(summarize(report))
  assert.equal(report.kills, kills)
  assert.ok(report.lost >= kills / 4, 'killing loses responses')
  assert.ok(report.refreshes > kills, 'refreshes happen between the kills')
  assert.equal(report.caught, 2)
})

test('memory: 24 tabs on one server, a tenth of requests and responses lost, and nobody is signed out', async (t) => {
  const report = await runConcurrencyKit({ stores: [createMemoryStore()] })
  t.diagnostic(summarize(report))
  assert.ok(report.lost > 100 && report.superseded > 0 && report.thefts > 0)
})

test('SQLite on a file: 3 connections in one process, responses lost, and nobody is signed out', async (t) => {
  const folder = temporaryFolder()
  t.after(folder.remove)
  const stores = Array.from({ length: 3 }, () => createSqliteStore(join(folder.path, 'kit.db')))
  const report = await runConcurrencyKit({ stores })
  t.diagnostic(summarize(report))
  for (const store of stores) await store.close()
})

test('the kits reject a run without a store', async () => {
  const isInvalid = (error: unknown) => isDaypassError(error, 'ERR_OPTION_INVALID')
  const module = import.meta.resolve('../../src/stores/sqlite.ts')
  await assert.rejects(runConcurrencyKit({ stores: [] }), isInvalid)
  await assert.rejects(runCrashKit({ store: { module, export: 'createStore' } }), isInvalid)
})
