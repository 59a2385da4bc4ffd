// The store contract: the rules that every store must keep. It works with any test runner.

import type { StoreRule } from './store-harness.ts'
import { advanceRules } from './store-rules-advance.ts'
import { chanceRules } from './store-rules-chance.ts'
import { openRules } from './store-rules-open.ts'
import { raceRules } from './store-rules-races.ts'
import { rowRules } from './store-rules-rows.ts'
import { secretRules } from './store-rules-secrets.ts'
import { updateRules } from './store-rules-update.ts'

/**
 * The whole contract of a store. Every rule opens a store of its own on an empty database. No rule may be skipped.
 *
 * @example
 * ```ts
 * import { test } from 'node:test'
 * import { createMemoryStore } from 'daypass/memory'
 * import { storeContract, type StoreHarness } from 'daypass/testing'
 *
 * const harness: StoreHarness = {
 *   open: async () => createMemoryStore(),
 *   rawRows: async () => [],
 * }
 * for (const rule of storeContract) test(rule.name, () => rule.run(harness))
 * ```
 */
export const storeContract: readonly StoreRule[] = [
  ...openRules,
  ...rowRules,
  ...advanceRules,
  ...updateRules,
  ...raceRules,
  ...chanceRules,
  ...secretRules,
]
