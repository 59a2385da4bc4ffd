// Makes a plan from a seed: the same seed, the same plan.

import type { SeededRandom } from '../../src/testing/random.ts'
import { at } from '../at.ts'
import {
  type DeviceKind,
  type DevicePlan,
  type Happening,
  latestStatement,
  longestDelay,
  networkFaults,
  type Plan,
  randomFor,
  type ServerPlan,
  type Settings,
} from './plan.ts'
import { day, hour, minute, second } from './time.ts'

const names: Record<DeviceKind, string[]> = {
  browser: ['laptop', 'office computer'],
  phone: ['phone', 'tablet'],
  shell: ['shell', 'build machine'],
  keyless: ['mail program', 'calendar'],
}

/** The reuse interval must exceed the time that may pass between two racing requests, with the difference of the clocks. */
const shortestReuseInterval = (apart: number) => (longestDelay + latestStatement + apart) / second + 1

/** A whole number from 1 to `most`, more often small than large. */
const upTo = (chance: SeededRandom, most: number) => 1 + Math.floor(chance.next() ** 2 * most)

export function makePlan(seed: number, days: number, atOnce = false): Plan {
  const chance = randomFor(seed, 0)
  const devices = drawDevices(chance, atOnce)
  const largestSkew = chance.pick([2 * second, 2 * second, 30 * second - 500])
  const storeHasClock = chance.next() < 0.5
  // A server that follows the store's clock is off by no more than it drifts between two readings of that clock.
  const apart = storeHasClock ? Math.min(2 * largestSkew, 4 * second) : 2 * largestSkew
  const absoluteTimeout = chance.pick([13 * 3600, 30 * 86_400, 30 * 86_400])
  const lifetimes = createLifetimes(chance, absoluteTimeout, shortestReuseInterval(apart))
  const servers = drawServers(chance, largestSkew, lifetimes)
  const storeTimeout = 1000 + chance.below(2000)
  const plan: Plan = {
    seed,
    days,
    atOnce,
    devices,
    servers,
    largestSkew,
    storeHasClock,
    storeTimeout,
    // Either the statement refuses itself when it is late, or the engine counts from when the statement arrives.
    storeDeadline: chance.next() < 0.5 ? storeTimeout : latestStatement,
    algorithm: chance.next() < 0.25 ? 'EdDSA' : 'HS256',
    absoluteTimeout,
    happenings: [],
  }
  for (const device of devices.keys()) {
    for (let visits = Math.ceil(days * (1 + chance.below(3))); visits > 0; visits--) {
      addVisit(chance, plan, device, drawMoment(chance, days))
    }
  }
  addServerTrouble(chance, plan, lifetimes)
  plan.happenings.sort((a, b) => a.at - b.at)
  return plan
}

const drawMoment = (chance: SeededRandom, days: number) => Math.floor(chance.next() * days * day)

function drawDevices(chance: SeededRandom, atOnce: boolean): DevicePlan[] {
  const devices: DevicePlan[] = []
  for (let count = 1 + chance.below(3); count > 0; count--) {
    const kind = chance.pick<DeviceKind>(['browser', 'browser', 'browser', 'phone', 'shell', 'keyless'])
    const name = names[kind].find((each) => !devices.some((device) => device.name === each))
    if (name === undefined) continue
    const tabs = kind === 'browser' || (kind === 'shell' && atOnce) ? 1 + chance.below(3) : 1
    const locks = kind === 'browser' && chance.next() < 0.8
    devices.push({ name, kind, tabs, locks, rate: 1 + (chance.next() - 0.5) / 100, stopsAsleep: chance.next() < 0.5 })
  }
  return devices
}

/** Draws the settings of a server, each by itself or all of them. */
interface Lifetimes {
  settings(): Settings
  /** One setting that changes. */
  change(): Partial<Omit<Settings, 'secrets'>>
}

/** Few lives have lifetimes of hours: nothing goes wrong any more in a session that has expired. */
function createLifetimes(chance: SeededRandom, absoluteTimeout: number, shortestInterval: number): Lifetimes {
  const draw = {
    accessTokenLifetime: () => chance.pick([300, 900, 900, 3600]),
    idleTimeout: () => Math.min(chance.pick([3 * 3600, 12 * 3600, 7 * 86_400]), absoluteTimeout),
    reuseInterval: () => chance.pick([30, 30, 60, 90, 120].filter((each) => each >= shortestInterval)),
  }
  return {
    settings: () => ({
      secrets: ['old'],
      accessTokenLifetime: draw.accessTokenLifetime(),
      idleTimeout: draw.idleTimeout(),
      reuseInterval: draw.reuseInterval(),
    }),
    change() {
      const name = chance.pick(['accessTokenLifetime', 'idleTimeout', 'reuseInterval'] as const)
      return { [name]: draw[name]() }
    },
  }
}

const drawSkew = (chance: SeededRandom, largestSkew: number) => chance.below(2 * largestSkew) - largestSkew

function drawServers(chance: SeededRandom, largestSkew: number, lifetimes: Lifetimes): ServerPlan[] {
  const settings = lifetimes.settings()
  return Array.from({ length: 1 + chance.below(3) }, (_, number) => ({
    offset: drawSkew(chance, largestSkew),
    drift: chance.next() < 0.5 ? (chance.next() - 0.5) / 25 : 0,
    // Two versions side by side.
    settings: number > 0 && chance.next() < 0.2 ? { ...settings, ...lifetimes.change() } : settings,
  }))
}

/** Adds what happens to the store and to the servers. */
function addServerTrouble(chance: SeededRandom, plan: Plan, lifetimes: Lifetimes): void {
  const { days, servers, largestSkew } = plan
  const moment = () => drawMoment(chance, days)
  const server = () => chance.below(servers.length)
  const pause = () => 5 * second + upTo(chance, 20 * minute)
  const some = (mostADay: number, make: () => Happening) => {
    for (let count = Math.round(chance.next() * mostADay * days); count > 0; count--) plan.happenings.push(make())
  }
  some(2, () => ({
    at: moment(),
    what: 'store away',
    for: upTo(chance, 10 * minute),
    how: chance.pick(['before', 'after']),
  }))
  some(2, () => ({ at: moment(), what: 'store slow', for: upTo(chance, 10 * minute) }))
  some(2, () => ({ at: moment(), what: 'failover', lag: upTo(chance, 2 * second) }))
  some(4, () => ({
    at: moment(),
    what: 'restart',
    server: server(),
    when: chance.pick(['now', 'before a commit', 'after a commit']),
  }))
  some(2, () => ({ at: moment(), what: 'clock set', server: server(), to: drawSkew(chance, largestSkew) }))
  some(2, () => ({ at: moment(), what: 'deploy', pause: pause(), change: lifetimes.change() }))
  if (chance.next() < 0.5) plan.happenings.push(rotateSecret(plan, moment(), pause()))
}

/**
 * The old secret stays until no token of it can be good any more: two idle timeouts, because the parent of the newest token
 * may still be used as long as the newest.
 */
function rotateSecret({ servers, happenings }: Plan, at: number, pause: number): Happening {
  const deployed = happenings.map((each) => (each.what === 'deploy' && each.change.idleTimeout) || 0)
  const longestIdle = Math.max(...servers.map(({ settings }) => settings.idleTimeout), ...deployed)
  return { at, what: 'rotate secret', pause, dropAfter: 2 * longestIdle * second + minute }
}

/** Adds a period in which the owner uses a device, quickly or slowly. Trouble is placed close to the uses. */
function addVisit(chance: SeededRandom, plan: Plan, device: number, from: number): void {
  const { happenings } = plan
  const { tabs } = at(plan.devices, device)
  const pace = chance.pick([2 * second, 30 * second, 3 * minute, 12 * minute])
  const tab = () => chance.below(tabs)
  let now = from
  for (let uses = 2 + chance.below(10); uses > 0; uses--) {
    happenings.push({ at: now, what: 'use', device, tab: tab() })
    addDeviceTrouble(chance, plan, device, now)
    if (chance.next() < 0.03) happenings.push({ at: now + 1, what: 'sign out', device, tab: tab() })
    if (chance.next() < 0.01) happenings.push({ at: now + 1, what: 'sign out elsewhere', device, tab: tab() })
    if (chance.next() < 0.03) addTheft(chance, plan, device, now)
    now += 1 + Math.floor(chance.next() * 2 * pace)
  }
}

/** Adds what goes wrong with the network and with the device around one use, just before it or during it. */
function addDeviceTrouble(chance: SeededRandom, plan: Plan, device: number, now: number): void {
  const { happenings } = plan
  const { kind, tabs, locks } = at(plan.devices, device)
  const near = Math.max(0, now - chance.below(100))
  if (chance.next() < 0.5) {
    const count = chance.next() < 0.3 ? 2 : 1
    for (let index = 0; index < count; index++) {
      const fault = chance.pick(networkFaults)
      happenings.push({ at: near, what: 'net', device, fault, delay: 1 + chance.below(longestDelay) })
    }
  }
  if (chance.next() < 0.12) {
    // Assumed: where tabs share a cookie, no tab dies between receiving a Set-Cookie and storing its note of it.
    const isAlone = kind !== 'browser' || (tabs === 1 && locks)
    const when = chance.pick(
      isAlone
        ? (['now', 'sent', 'answered', 'before storing', 'stored'] as const)
        : (['now', 'sent', 'stored'] as const),
    )
    happenings.push({ at: near, what: 'die', device, tab: chance.below(tabs), when })
  }
  if (chance.next() < 0.06) {
    happenings.push({
      at: now + chance.below(2 * second),
      what: 'sleep',
      device,
      for: upTo(chance, chance.pick([minute, 9 * hour])),
    })
  }
  if (chance.next() < 0.06) happenings.push({ at: near, what: 'offline', device, for: upTo(chance, 20 * minute) })
}

function addTheft(chance: SeededRandom, { devices, happenings }: Plan, device: number, now: number): void {
  const { kind, tabs } = at(devices, device)
  const asks = Array.from({ length: 1 + chance.below(5) }, () => upTo(chance, chance.pick([second, minute, 6 * hour])))
  const [withKey, keyless] = [chance.next() < 0.4, chance.next() < (kind === 'keyless' ? 0.7 : 0.2)]
  const repeats = { every: 3 * second + chance.below(25 * second), for: upTo(chance, 20 * minute) }
  happenings.push({
    at: now + chance.below(5 * second),
    what: 'theft',
    device,
    withKey,
    keyless,
    asks: asks.sort((a, b) => a - b),
    repeats,
  })
  // The owner keeps asking.
  if (chance.next() < 0.5) {
    happenings.push({ at: now + upTo(chance, 10 * minute), what: 'insist', device, tab: chance.below(tabs) })
  }
}
