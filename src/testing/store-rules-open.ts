// Rules of the store contract for opening a store and claiming it for an issuer.

import assert from 'node:assert/strict'
import { isDaypassError } from '../errors.ts'
import { issuer, minute, rule, type StoreRule, sameRow } from './store-harness.ts'

/** The rules of `open`, `check` and `now`. */
export const openRules: readonly StoreRule[] = [
  rule('open may be called again and concurrently, and changes no row', async ({ store, create }) => {
    const session = await create()
    await store.open(issuer)
    await Promise.all(Array.from({ length: 10 }, () => store.open(issuer)))
    sameRow(await store.find(session.id), session)
  }),

  rule(
    'a store that belongs to one issuer rejects another issuer, and writes nothing',
    async ({ store, create, t0 }) => {
      const session = await create()
      for (const other of ['https://other.example', `${issuer}/`, issuer.toUpperCase(), '']) {
        await assert.rejects(store.open(other), (error) => isDaypassError(error, 'ERR_STORE_ISSUER'), other)
      }
      await store.open(issuer)
      sameRow(await store.find(session.id), session)
      assert.equal((await store.list(session.subject, t0, 10)).length, 1)
    },
  ),

  rule('check resolves and changes no row', async ({ store, create }) => {
    const session = await create()
    await store.check()
    await Promise.all([store.check(), store.check()])
    sameRow(await store.find(session.id), session)
  }),

  rule('now returns the engine’s clock in milliseconds, if the engine has a clock', async ({ store }) => {
    if (store.readClock === undefined) return
    const now = await store.readClock()
    // The test's engine is on this machine, or on one with a correct clock.
    assert.ok(Math.abs(now - Date.now()) < 5 * minute, `${now}`)
  }),
]
