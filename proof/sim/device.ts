// A device of the owner: tabs or programs that share a storage, a clock that may be wrong, and a sleep mode.

import type { Loop } from './loop.ts'
import type { DevicePlan, MomentOfDeath, NetworkFault } from './plan.ts'
import { type Realm, runIn } from './realm.ts'

/** The parts of a client that the simulation uses: Daypass's own client, or a client without keys. */
export interface Client {
  getSession(): Snapshot
  subscribe(listener: () => void): unknown
  signIn(credentials: object): Promise<unknown>
  signOut(): Promise<void>
  getAccessToken(options?: { forceFresh?: boolean }): Promise<string>
  fetch(url: string, init?: RequestInit): Promise<Response>
}

export interface Snapshot {
  status: string
  session?: { id: string; createdAt: number } | undefined
  reason?: string | undefined
}

/** A tab of a browser, or a program: one client. The code of a dead tab has no effect any more. */
export interface Tab {
  readonly name: string
  readonly device: Device
  readonly realm: Realm
  readonly client: Client
  isDead: boolean
  isHidden: boolean
  /** The moment at which it will die. */
  diesWhen: MomentOfDeath | undefined
  die(): void
}

export interface Device {
  plan: DevicePlan
  /** The newest tab of each number. */
  tabs: (Tab | undefined)[]
  isAsleep: boolean
  /** Work that waits until the device wakes up. */
  onWake: (() => void)[]
  /** How long it has slept, in milliseconds. */
  slept: number
  offlineUntil: number
  cookie: { value: string; until: number } | undefined
  /** localStorage, or the file. */
  storage: Map<string, string>
  /** The faults of its next messages. */
  faults: { fault: NetworkFault; delay: number }[]
  /** The session that the owner is in. */
  session: string | undefined
  /** Whether the owner has signed out, or has not signed in yet. */
  isOut: boolean
  /** The tab with which the owner is signing in or out. */
  busy: Tab | undefined
  /** The requests for the Web Lock, in order. The first one holds it. */
  locks: { tab: Tab; begin: () => void }[]
  channels: { tab: Tab; channel: { onmessage?: (event: { data: unknown }) => void } }[]
  listeners: { tab: Tab; type: string; listener: (event: unknown) => void }[]
  /** Milliseconds on its own clock. */
  clock(): number
}

export function createDevice(plan: DevicePlan, loop: Loop): Device {
  const start = loop.now()
  const device: Device = {
    plan,
    tabs: [],
    isAsleep: false,
    onWake: [],
    slept: 0,
    offlineUntil: 0,
    cookie: undefined,
    storage: new Map(),
    faults: [],
    session: undefined,
    isOut: true,
    busy: undefined,
    locks: [],
    channels: [],
    listeners: [],
    clock: () => (loop.now() - start - (plan.stopsAsleep ? device.slept : 0)) * plan.rate,
  }
  return device
}

/** Whether the owner is signing in or out with a tab that is still alive. */
export const isBusy = ({ busy }: Device): boolean => busy !== undefined && !busy.isDead

/** Runs a tab's code as soon as its device is awake, unless the tab is dead by then. */
export function deliver(tab: Tab, work: () => void): void {
  if (tab.isDead) return
  if (tab.device.isAsleep) tab.device.onWake.push(() => deliver(tab, work))
  else runIn(tab.realm, work)
}

/** Calls the listeners of a device's tabs, such as those of `online`. */
export function dispatchEvent(device: Device, loop: Loop, type: string): void {
  for (const each of device.listeners) {
    if (each.type === type) loop.after(0, () => deliver(each.tab, () => each.listener({ type })))
  }
}

/** Writes to a tab's storage, unless the tab dies at this moment. Returns whether it was written. */
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

/** What the client has stored on a device. */
export function memoryOf({ storage }: Device): { token?: string; key?: string } {
  const [text = '{}'] = storage.values()
  return JSON.parse(text)
}

/** The refresh token that a device holds. */
export function tokenOf(device: Device, now: number): string | undefined {
  if (device.plan.kind !== 'browser') return memoryOf(device).token
  return device.cookie && device.cookie.until > now ? device.cookie.value : undefined
}
