// What is a person's machine? Tabs or programs that share a storage, a clock that is not quite right, and a lid.

import type { Due, Loop } from './loop.ts'
import type { DevicePlan, Happening, NetFault } from './plan.ts'
import { type Realm, runIn } from './realm.ts'

/** A tab of a browser, or a program: one client. Once dead, nothing that its code does has any effect. */
export interface Tab {
  name: string
  number: number
  device: Device
  realm: Realm
  isDead: boolean
  isHidden: boolean
  /** The moment at which it will die. */
  diesWhen?: (Happening & { what: 'die' })['when'] | undefined
  client: any
  die(): void
}

export interface Device {
  plan: DevicePlan
  number: number
  tabs: (Tab | undefined)[]
  isAsleep: boolean
  /** What waits for it to wake up. */
  onWake: (() => void)[]
  /** How long it has slept, by the world's clock. */
  slept: number
  offlineUntil: number
  /** The cookie. */
  jar: { value: string; until: number } | undefined
  /** localStorage, or the file. */
  storage: Map<string, string>
  /** What is to befall its next messages. */
  faults: { fault: NetFault; delay: number }[]
  /** The session that its owner is in; whether they have left it; the tab that they sign in or out with just now. */
  session: string | undefined
  isOut: boolean
  busy: Tab | undefined
  /** Milliseconds on its own clock. */
  clock(): number
}

export function createDevice(plan: DevicePlan, number: number, loop: Loop): Device {
  const start = loop.now()
  const device: Device = {
    plan,
    number,
    tabs: [],
    isAsleep: false,
    onWake: [],
    slept: 0,
    offlineUntil: 0,
    jar: undefined,
    storage: new Map(),
    faults: [],
    session: undefined,
    isOut: true,
    busy: undefined,
    clock: () => (loop.now() - start - (plan.stopsAsleep ? device.slept : 0)) * plan.rate,
  }
  return device
}

/** Whether the owner is at a sign-in or -out; if its tab has died, they are at nothing any more. */
export const isBusy = ({ busy }: Device): boolean => busy !== undefined && !busy.isDead

/** Runs a tab's code, as soon as its machine is awake; never, if it is dead by then. */
export function deliver(tab: Tab, work: () => void): void {
  if (tab.isDead) return
  if (tab.device.isAsleep) tab.device.onWake.push(() => deliver(tab, work))
  else runIn(tab.realm, work)
}

/** What tabs of one browser have in common beside the storage. */
export interface Shared {
  locks: { tab: Tab; begin: () => void }[]
  channels: { tab: Tab; channel: { onmessage?: (event: { data: unknown }) => void } }[]
  listeners: { tab: Tab; type: string; listener: (event: unknown) => void }[]
}

/** The globals of a new tab or program. */
export function createRealm(tab: Tab, shared: Shared, loop: Loop): Realm {
  const { device } = tab
  const timers: Realm = {
    // Hints for developers.
    console: { warn() {} },
    // As everywhere: whole milliseconds, one at the least.
    setTimeout: (work, milliseconds = 0) =>
      loop.after(Math.max(1, Math.trunc(milliseconds)) / device.plan.rate, () => deliver(tab, work)),
    clearTimeout(timer: Due | undefined) {
      if (timer) timer.work = undefined
    },
  }
  if (device.plan.kind !== 'browser') return timers

  const never = new Promise<never>(() => {})
  const page = {
    get hidden() {
      return tab.isHidden
    },
    baseURI: 'https://app.example/',
  }
  const localStorage = new Proxy({} as Record<string, string>, {
    get: (_, name) => device.storage.get(String(name)),
    set(_, name, value) {
      if (!tab.isDead) write(tab, String(name), String(value))
      return true
    },
  })
  /** One holder at a time; a dead one's turn is over. */
  const grant = () => {
    shared.locks = shared.locks.filter(({ tab }) => !tab.isDead)
    shared.locks[0]?.begin()
  }
  const locks = {
    request(_name: string, { signal }: { signal: AbortSignal }, work: () => Promise<unknown>): Promise<unknown> {
      if (tab.isDead) return never
      return new Promise((resolve, reject) => {
        let isBegun = false
        const turn = {
          tab,
          begin() {
            if (isBegun) return
            isBegun = true
            deliver(tab, () =>
              work()
                .then(resolve, reject)
                .finally(() => {
                  shared.locks = shared.locks.filter((each) => each !== turn)
                  grant()
                }),
            )
          },
        }
        signal.addEventListener('abort', () => {
          if (isBegun) return
          shared.locks = shared.locks.filter((each) => each !== turn)
          reject(signal.reason)
        })
        shared.locks.push(turn)
        loop.after(0, grant)
      })
    },
  }
  tab.die = () => {
    tab.isDead = true
    loop.after(0, grant)
  }
  class Channel {
    onmessage?: (event: { data: unknown }) => void
    constructor() {
      shared.channels.push({ tab, channel: this })
    }
    postMessage(message: unknown) {
      if (tab.isDead) return
      const data = structuredClone(message)
      for (const other of shared.channels) {
        if (other.channel !== this) loop.after(2, () => deliver(other.tab, () => other.channel.onmessage?.({ data })))
      }
    }
  }
  return {
    ...timers,
    // Whether the server can be reached at all, for a hint.
    fetch: () => Promise.reject(new TypeError('fetch failed')),
    document: page,
    localStorage,
    navigator: device.plan.locks ? { locks } : {},
    BroadcastChannel: Channel,
    addEventListener: (type, listener) => shared.listeners.push({ tab, type, listener }),
  }
}

/** Writes what a client remembers, unless this is the moment at which it dies. */
export function write(tab: Tab, name: string, value: string): boolean {
  if (tab.isDead) return false
  const { diesWhen } = tab
  if (diesWhen === 'before storing') {
    tab.die()
    return false
  }
  tab.device.storage.set(name, value)
  if (diesWhen === 'stored') tab.die()
  return true
}
