// Exports of `daypass/testing`.

export type { Changes, Session } from '../core/session.ts'
export type { Advance, Advanced, Store } from '../core/store.ts'
export { createFakeClock, type FakeClock } from './clock.ts'
export { type ConcurrencyKitOptions, runConcurrencyKit } from './concurrency-kit.ts'
export { type CrashKitOptions, runCrashKit } from './crash-kit.ts'
export { type FaultyProxy, type FaultyProxyOptions, startFaultyProxy } from './faulty-proxy.ts'
export type { KitLoad, KitReport } from './kit-clients.ts'
export { createSeededRandom, type SeededRandom } from './random.ts'
export { storeContract } from './store-contract.ts'
export type { StoreHarness, StoreRule } from './store-harness.ts'
export type { StoreSource } from './store-source.ts'
