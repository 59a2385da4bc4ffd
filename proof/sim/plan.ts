// What is going to happen to whom? A list, made of a seed; a failing run is shrunk by crossing things off it.

import { createSeededRandom, type SeededRandom } from '../../src/testing/random.ts'

export const second = 1000
export const minute = 60 * second
export const hour = 60 * minute
export const day = 24 * hour

/** For how long a message may be under way. */
export const longestDelay = 20 * second
/** For how long after its call began a statement may still be carried out. */
export const latestStatement = 4 * second
/** The reuse interval is longer than all that may lie between two requests that race, clocks' differences included. */
const leastInterval = (apart: number) => (longestDelay + latestStatement + apart) / second + 1

/**
 * - `browser`: tabs on one cookie jar and one localStorage. With Web Locks or without.
 * - `phone`: one program with storage of its own, which survives it; tokens in bodies.
 * - `shell`: commands, one after another on one file; each ends when it has its answer, whatever is still under way.
 * - `library`: a program with an OAuth library that knows no Idempotency-Key.
 */
export type Kind = 'browser' | 'phone' | 'shell' | 'library'

/** What a server is set up with. Durations are seconds. */
export interface Settings {
  /** The names of its secrets; the first makes tokens. */
  secrets: readonly string[]
  accessTokenLifetime: number
  idleTimeout: number
  reuseInterval: number
}

export interface ServerPlan {
  /** How far its clock is off at first, in milliseconds. */
  offset: number
  /** By how much it goes wrong in a second, in milliseconds, up to the largest skew. */
  drift: number
  settings: Settings
}

export interface DevicePlan {
  name: string
  kind: Kind
  tabs: number
  locks: boolean
  /** How fast its clock goes. */
  rate: number
  /** Whether its clock stands still while it sleeps, as performance.now() does on some systems. */
  stopsAsleep: boolean
}

export type NetFault =
  | 'request lost'
  | 'answer lost'
  | 'request twice'
  | 'request late'
  | 'answer late'
  | 'connection refused'
  | 'connection reset'
  | 'a 502 of a proxy, before'
  | 'a 502 of a proxy, after'
  | 'half an answer'
  | 'a 429 of a proxy'
  | 'told late'

export const netFaults: readonly NetFault[] = [
  'request lost',
  'answer lost',
  'request twice',
  'request late',
  'answer late',
  'connection refused',
  'connection reset',
  'a 502 of a proxy, before',
  'a 502 of a proxy, after',
  'half an answer',
  'a 429 of a proxy',
  'told late',
]

/** One thing that is going to happen; `at` is milliseconds from the beginning. Faults wait for the next message that they fit. */
export type Happening = { at: number } & (
  | { what: 'use'; device: number; tab: number }
  | { what: 'die'; device: number; tab: number; when: 'now' | 'sent' | 'answered' | 'before storing' | 'stored' }
  | { what: 'sleep'; device: number; for: number }
  | { what: 'offline'; device: number; for: number }
  | { what: 'net'; device: number; fault: NetFault; delay: number }
  | { what: 'sign out'; device: number; tab: number }
  | { what: 'sign out elsewhere'; device: number; tab: number }
  | { what: 'store away'; for: number; how: 'before' | 'after' }
  | { what: 'store slow'; for: number }
  | { what: 'failover'; lag: number }
  | { what: 'restart'; server: number; when: 'now' | 'before a commit' | 'after a commit' }
  | { what: 'clock set'; server: number; to: number }
  | { what: 'deploy'; pause: number; change: Partial<Omit<Settings, 'secrets'>> }
  | { what: 'rotate secret'; pause: number; dropAfter: number }
  | { what: 'insist'; device: number; tab: number }
  | { what: 'theft'; device: number; withKey: boolean; keyless: boolean; asks: number[]; repeats: Repeats }
)

/** A thief sends the last refresh that he completed again and again. Milliseconds. */
export interface Repeats {
  every: number
  for: number
}

export interface Plan {
  seed: number
  days: number
  /** Whether a `shell` runs several programs at once on its file: more than is promised, see run.ts. */
  atOnce: boolean
  devices: DevicePlan[]
  servers: ServerPlan[]
  /** How far a server's clock may be off, either way, in milliseconds. */
  largestSkew: number
  /** Whether the store has a clock, which the servers then follow. */
  storeHasClock: boolean
  /** After how long the store's callers are told 503, and until when a statement of theirs may be carried out. */
  storeTimeout: number
  storeDeadline: number
  algorithm: 'HS256' | 'EdDSA'
  /** Seconds. */
  absoluteTimeout: number
  happenings: Happening[]
}

/** Chance for one purpose: what is crossed off the plan changes nobody else's luck. */
export const chanceOf = (seed: number, purpose: number) =>
  createSeededRandom(Math.imul(seed ^ Math.imul(purpose + 1, 0x9e3779b1), 0x85ebca6b))

const names: Record<Kind, string[]> = {
  browser: ['laptop', 'office computer'],
  phone: ['phone', 'tablet'],
  shell: ['shell', 'build machine'],
  library: ['mail program', 'calendar'],
}

export function makePlan(seed: number, days: number, atOnce = false): Plan {
  const chance = chanceOf(seed, 0)
  const devices: DevicePlan[] = []
  for (let count = 1 + chance.below(3); count > 0; count--) {
    const kind = chance.pick<Kind>(['browser', 'browser', 'browser', 'phone', 'shell', 'library'])
    const name = names[kind].find((each) => !devices.some((device) => device.name === each))
    if (name === undefined) continue
    const tabs = kind === 'browser' || (kind === 'shell' && atOnce) ? 1 + chance.below(3) : 1
    const locks = kind === 'browser' && chance.next() < 0.8
    devices.push({ name, kind, tabs, locks, rate: 1 + (chance.next() - 0.5) / 100, stopsAsleep: chance.next() < 0.5 })
  }
  const largestSkew = chance.pick([2 * second, 2 * second, 30 * second - 500])
  const storeHasClock = chance.next() < 0.5
  // A server that follows the store's clock is not further off than it may go wrong between two looks at it.
  const apart = storeHasClock ? Math.min(2 * largestSkew, 4 * second) : 2 * largestSkew
  const absoluteTimeout = chance.pick([13 * 3600, 30 * 86_400, 30 * 86_400])
  /** What a server may be set up with. Lifetimes of hours are for few: whoever expires has no more trouble. */
  const draw = {
    accessTokenLifetime: () => chance.pick([300, 900, 900, 3600]),
    idleTimeout: () => Math.min(chance.pick([3 * 3600, 12 * 3600, 7 * 86_400]), absoluteTimeout),
    reuseInterval: () => chance.pick([30, 30, 60, 90, 120].filter((each) => each >= leastInterval(apart))),
  }
  const settings: Settings = {
    secrets: ['old'],
    accessTokenLifetime: draw.accessTokenLifetime(),
    idleTimeout: draw.idleTimeout(),
    reuseInterval: draw.reuseInterval(),
  }
  const other = () => {
    const name = chance.pick(['accessTokenLifetime', 'idleTimeout', 'reuseInterval'] as const)
    return { [name]: draw[name]() }
  }
  const skew = () => chance.below(2 * largestSkew) - largestSkew
  const servers = Array.from({ length: 1 + chance.below(3) }, (_, number) => ({
    offset: skew(),
    drift: chance.next() < 0.5 ? (chance.next() - 0.5) / 25 : 0,
    // Two versions at once.
    settings: number > 0 && chance.next() < 0.2 ? { ...settings, ...other() } : settings,
  }))
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
    // A step that is late refuses itself; or its engine counts from when it hears of it.
    storeDeadline: chance.next() < 0.5 ? storeTimeout : latestStatement,
    algorithm: chance.next() < 0.25 ? 'EdDSA' : 'HS256',
    absoluteTimeout,
    happenings: [],
  }
  const happenings: Happening[] = []
  const moment = () => Math.floor(chance.next() * days * day)
  devices.forEach((_, device) => {
    for (let visits = Math.ceil(days * (1 + chance.below(3))); visits > 0; visits--)
      visit(chance, plan, device, moment())
  })
  const some = (mostADay: number, make: () => Happening) => {
    for (let count = Math.round(chance.next() * mostADay * days); count > 0; count--) happenings.push(make())
  }
  some(2, () => ({
    at: moment(),
    what: 'store away',
    for: upTo(chance, 10 * minute),
    how: chance.pick(['before', 'after']),
  }))
  some(2, () => ({ at: moment(), what: 'store slow', for: upTo(chance, 10 * minute) }))
  some(2, () => ({ at: moment(), what: 'failover', lag: upTo(chance, 2 * second) }))
  const server = () => chance.below(servers.length)
  const when = () => chance.pick(['now', 'before a commit', 'after a commit'] as const)
  some(4, () => ({ at: moment(), what: 'restart', server: server(), when: when() }))
  some(2, () => ({ at: moment(), what: 'clock set', server: server(), to: skew() }))
  const pause = () => 5 * second + upTo(chance, 20 * minute)
  some(2, () => ({ at: moment(), what: 'deploy', pause: pause(), change: other() }))
  plan.happenings.push(...happenings)
  if (chance.next() < 0.5) plan.happenings.push(rotateSecret(plan, moment(), pause()))
  plan.happenings.sort((a, b) => a.at - b.at)
  return plan
}

const upTo = (chance: SeededRandom, most: number) => 1 + Math.floor(chance.next() ** 2 * most)

/** The old secret stays for as long as a token of it may be good: the parent of the newest is, for an idle timeout more. */
function rotateSecret({ servers, happenings }: Plan, at: number, pause: number): Happening {
  const deployed = happenings.map((each) => (each.what === 'deploy' && each.change.idleTimeout) || 0)
  const longestIdle = Math.max(...servers.map(({ settings }) => settings.idleTimeout), ...deployed)
  return { at, what: 'rotate secret', pause, dropAfter: 2 * longestIdle * second + minute }
}

/** Somebody uses a device for a while: now often, now seldom; trouble comes where things are under way. */
function visit(chance: SeededRandom, plan: Plan, device: number, from: number): void {
  const { kind, tabs, locks } = plan.devices[device]!
  const { happenings } = plan
  let at = from
  const pace = chance.pick([2 * second, 30 * second, 3 * minute, 12 * minute])
  const tab = () => chance.below(tabs)
  for (let uses = 2 + chance.below(10); uses > 0; uses--) {
    happenings.push({ at, what: 'use', device, tab: tab() })
    // Trouble a moment before somebody does something, or the moment it is due anyway.
    const near = Math.max(0, at - chance.below(100))
    if (chance.next() < 0.5) {
      const count = chance.next() < 0.3 ? 2 : 1
      for (let index = 0; index < count; index++) {
        const fault = chance.pick(netFaults)
        happenings.push({ at: near, what: 'net', device, fault, delay: 1 + chance.below(longestDelay) })
      }
    }
    if (chance.next() < 0.12) {
      // In a jar no tab dies between Set-Cookie and its own note of it, but for one that is alone.
      const isAlone = kind !== 'browser' || (tabs === 1 && locks)
      const when = chance.pick(
        isAlone
          ? (['now', 'sent', 'answered', 'before storing', 'stored'] as const)
          : (['now', 'sent', 'stored'] as const),
      )
      happenings.push({ at: near, what: 'die', device, tab: tab(), when })
    }
    if (chance.next() < 0.06) {
      happenings.push({
        at: at + chance.below(2 * second),
        what: 'sleep',
        device,
        for: upTo(chance, chance.pick([minute, 9 * hour])),
      })
    }
    if (chance.next() < 0.06) happenings.push({ at: near, what: 'offline', device, for: upTo(chance, 20 * minute) })
    if (chance.next() < 0.03) happenings.push({ at: at + 1, what: 'sign out', device, tab: tab() })
    if (chance.next() < 0.01) happenings.push({ at: at + 1, what: 'sign out elsewhere', device, tab: tab() })
    if (chance.next() < 0.03) {
      const asks = Array.from({ length: 1 + chance.below(5) }, () =>
        upTo(chance, chance.pick([second, minute, 6 * hour])),
      )
      const [withKey, keyless] = [chance.next() < 0.4, chance.next() < (kind === 'library' ? 0.7 : 0.2)]
      const repeats = { every: 3 * second + chance.below(25 * second), for: upTo(chance, 20 * minute) }
      happenings.push({
        at: at + chance.below(5 * second),
        what: 'theft',
        device,
        withKey,
        keyless,
        asks: asks.sort((a, b) => a - b),
        repeats,
      })
      // The owner goes on asking.
      if (chance.next() < 0.5)
        happenings.push({ at: at + upTo(chance, 10 * minute), what: 'insist', device, tab: tab() })
    }
    at += 1 + Math.floor(chance.next() * 2 * pace)
  }
}
