// Shared by the tests of the core: a Daypass with a settable clock, on each store that needs no server.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import type { Daypass } from '../../src/core/api.ts'
import { createDaypass } from '../../src/core/daypass.ts'
import type { DaypassEvent } from '../../src/core/events.ts'
import type { DaypassOptions } from '../../src/core/options.ts'
import type { Store } from '../../src/core/store.ts'
import { type ErrorCode, isDaypassError } from '../../src/errors.ts'
import { createMemoryStore } from '../../src/stores/memory.ts'
import { createSqliteStore } from '../../src/stores/sqlite.ts'
import { createFakeClock, type FakeClock } from '../../src/testing/index.ts'

export const minute = 60
export const hour = 3600
export const day = 86_400

/** One Daypass under test. Durations are seconds. */
export interface Rig {
  auth: Daypass
  store: Store
  time: FakeClock
  events: DaypassEvent[]
  secret: Buffer
  /** Another instance with other options on the same store, secret and clock. */
  another(options?: Partial<DaypassOptions>): Daypass
}

/** Makes a Daypass with a fake clock that collects its events. */
export function createRig(store: Store, options: Partial<DaypassOptions> = {}): Rig {
  const time = createFakeClock()
  const events: DaypassEvent[] = []
  const secret = randomBytes(48)
  const another = (more: Partial<DaypassOptions> = {}) =>
    createDaypass({
      secret,
      issuer: 'https://id.example',
      store,
      clock: time.clock,
      onEvent: (event) => events.push(event),
      ...options,
      ...more,
    })
  return { auth: another(), store, time, events, secret, another }
}

/** A test that runs on every store. */
export function onEachStore(
  name: string,
  options: Partial<DaypassOptions>,
  body: (rig: Rig, t: TestContext) => Promise<void>,
): void {
  const stores = { memory: createMemoryStore, SQLite: () => createSqliteStore(':memory:') }
  for (const [engine, createStore] of Object.entries(stores)) {
    test(`${name} (${engine})`, async (t) => {
      const rig = createRig(createStore(), options)
      await body(rig, t)
      await rig.auth.close()
    })
  }
}

/** A fresh Idempotency-Key, as a client makes it. */
export const newKey = () => randomBytes(24).toString('base64url')

/** Asserts that a call is rejected with this code, and with this HTTP status and `error` if given. */
export async function refused(call: Promise<unknown>, code: ErrorCode, error?: string): Promise<void> {
  await assert.rejects(call, (thrown) => {
    assert.ok(isDaypassError(thrown), String((thrown as Error)?.stack ?? thrown))
    assert.equal(thrown.code, code)
    if (error !== undefined) assert.equal(thrown.error, error)
    return true
  })
}

/** The generation of a refresh token. */
export const generationOf = (token: string) => Buffer.from(token.slice(4), 'base64url').readUInt32BE(18)

/** A store whose calls can be watched and made to fail. */
export function spyOn(store: Store): { store: Store; calls: string[]; before(hook: (call: string) => unknown): void } {
  const calls: string[] = []
  let hook: (call: string) => unknown = () => {}
  const watched = Object.fromEntries(
    Object.entries(store).map(([name, call]) => [
      name,
      async (...given: unknown[]) => {
        // Every Daypass opens its store once, before its first call.
        if (name !== 'open') calls.push(name)
        await hook(name)
        return (call as (...given: unknown[]) => unknown)(...given)
      },
    ]),
  ) as unknown as Store
  return {
    store: watched,
    calls,
    before(next) {
      hook = next
    },
  }
}
