// Globals per tab, program and server: code that runs in a realm sees that realm's timers, page and storage.

import { AsyncLocalStorage } from 'node:async_hooks'
import type { Timer } from './loop.ts'

/** The globals of one tab, program or server. Only a tab has those of a page. */
export interface Realm {
  setTimeout(work: () => void, milliseconds?: number): Timer
  clearTimeout(timer: Timer | undefined): void
  /** What Date.now returns. */
  clock(): number
  /** What performance.now returns. */
  monotonic(): number
  /** Stops simulated time until work of a real thread is done. */
  hold<T>(promise: Promise<T>): Promise<T>
  fetch?: unknown
  console?: unknown
  document?: { readonly hidden: boolean; readonly baseURI: string }
  localStorage?: Record<string, string>
  navigator?: unknown
  BroadcastChannel?: unknown
  addEventListener?: (type: string, listener: (event: unknown) => void) => void
}

const current = new AsyncLocalStorage<Realm>()

/** Runs code in a realm, with everything that it awaits. */
export const runIn = <T>(realm: Realm, work: () => T): T => current.run(realm, work)

let isInstalled = false

/**
 * Web Crypto works in real threads. How long they take must not show in a life, or a seed would have another story on a
 * busy machine.
 */
function holdWebCrypto(): void {
  const { subtle } = crypto
  const { sign, verify, digest, importKey } = subtle
  for (const [name, method] of Object.entries({ sign, verify, digest, importKey })) {
    const held = (...args: unknown[]) => {
      const result: Promise<unknown> = Reflect.apply(method, subtle, args)
      return current.getStore()?.hold(result) ?? result
    }
    Object.defineProperty(subtle, name, { value: held, configurable: true, writable: true })
  }
}

/** Replaces this process's globals by ones that depend on the realm. Outside of any realm they are what they were. */
export function installRealms(): void {
  if (isInstalled) return
  isInstalled = true
  // Absent in a realm that does not have them, even where this process has them.
  for (const name of ['document', 'localStorage', 'navigator', 'BroadcastChannel', 'addEventListener'] as const) {
    const own = Object.getOwnPropertyDescriptor(globalThis, name)
    const outside = () => (own?.get ? own.get.call(globalThis) : own?.value)
    const get = () => {
      const realm = current.getStore()
      return realm ? realm[name] : outside()
    }
    Object.defineProperty(globalThis, name, { get, configurable: true })
  }
  // A realm that does not have these shares this process's.
  for (const name of ['fetch', 'console'] as const) {
    const outside = globalThis[name]
    const get = () => current.getStore()?.[name] ?? outside
    Object.defineProperty(globalThis, name, { get, configurable: true })
  }
  const { now } = Date
  Date.now = () => current.getStore()?.clock() ?? now()
  const monotonic = performance.now.bind(performance)
  performance.now = () => current.getStore()?.monotonic() ?? monotonic()
  const { setTimeout, clearTimeout } = globalThis
  Object.assign(globalThis, {
    setTimeout: Object.assign((work: () => void, milliseconds?: number, ...rest: unknown[]) => {
      const realm = current.getStore()
      return realm ? realm.setTimeout(work, milliseconds) : setTimeout(work, milliseconds, ...rest)
    }, setTimeout),
    clearTimeout: (timer: unknown) => {
      const realm = current.getStore()
      return realm ? realm.clearTimeout(timer as Timer) : clearTimeout(timer as NodeJS.Timeout)
    },
  })
  holdWebCrypto()
}
