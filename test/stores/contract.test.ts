// The whole contract on the memory and SQLite stores.

import { describe, test } from 'node:test'
import { type StoreHarness, storeContract } from '../../src/testing/index.ts'
import { memoryHarness, sqliteFileHarness, sqliteMemoryHarness } from './harness.ts'

const engines: [string, () => StoreHarness][] = [
  ['memory', memoryHarness],
  ['SQLite on a file', sqliteFileHarness],
  ['SQLite in memory, on the app’s own database', sqliteMemoryHarness],
]

for (const [name, createHarness] of engines) {
  describe(name, () => {
    for (const rule of storeContract) {
      test(rule.name, (t) => rule.run({ ...createHarness(), note: (line) => t.diagnostic(line) }))
    }
  })
}

test('the end of the run names the engines that ran', (t) => {
  t.diagnostic('engine: memory')
  t.diagnostic(`engine: SQLite ${process.versions.sqlite} (node:sqlite, file and :memory:)`)
})
