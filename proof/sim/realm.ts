// What does a tab's code find around it? Its own timers, page, storage, locks and channels, instead of this process's.

import { AsyncLocalStorage } from 'node:async_hooks'

/** The globals of one tab, of one program that is no page (which has timers alone), or of one server. */
export interface Realm {
  setTimeout(work: () => void, milliseconds?: number): object
  clearTimeout(timer: any): void
  /** What Date.now tells. */
  clock?(): number
  fetch?: unknown
  console?: unknown
  document?: { readonly hidden: boolean; readonly baseURI: string }
  localStorage?: Record<string, string>
  navigator?: unknown
  BroadcastChannel?: unknown
  addEventListener?: (type: string, listener: (event: unknown) => void) => void
}

const here = new AsyncLocalStorage<Realm>()

/** Runs code as if in that tab, and all that it awaits. */
export const runIn = <T>(realm: Realm, work: () => T): T => here.run(realm, work)

let isInstalled = false

/** Puts the realms' globals before this process's own, which stay what they are outside of any realm. */
export function installRealms(): void {
  if (isInstalled) return
  isInstalled = true
  const own: Record<string, PropertyDescriptor | undefined> = {}
  for (const name of ['document', 'localStorage', 'navigator', 'BroadcastChannel', 'addEventListener'] as const) {
    own[name] = Object.getOwnPropertyDescriptor(globalThis, name)
    const outside = () => (own[name]?.get ? own[name]!.get!.call(globalThis) : own[name]?.value)
    const get = () => {
      const realm = here.getStore()
      return realm ? realm[name] : outside()
    }
    Object.defineProperty(globalThis, name, { get, configurable: true })
  }
  const { setTimeout, clearTimeout, fetch, console } = globalThis
  for (const [name, outside] of Object.entries({ fetch, console })) {
    const get = () => here.getStore()?.[name as 'fetch' | 'console'] ?? outside
    Object.defineProperty(globalThis, name, { get, configurable: true })
  }
  const { now } = Date
  Date.now = () => here.getStore()?.clock?.() ?? now()
  Object.assign(globalThis, {
    setTimeout: Object.assign((work: () => void, ...rest: any[]) => {
      const realm = here.getStore()
      return realm ? realm.setTimeout(work, rest[0]) : setTimeout(work, ...rest)
    }, setTimeout),
    clearTimeout: (timer: any) => {
      const realm = here.getStore()
      return realm ? realm.clearTimeout(timer) : clearTimeout(timer)
    },
  })
}
