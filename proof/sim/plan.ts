// The plan of one life: its devices, servers and settings, and the list of everything that will happen.

import { createSeededRandom } from '../../src/testing/random.ts'
import { second } from './time.ts'

/** The longest time that a message is under way. */
export const longestDelay = 20 * second
/** The longest time after its call that a statement may still be carried out. */
export const latestStatement = 4 * second

/**
 * - `browser`: tabs that share a cookie and localStorage, with or without Web Locks.
 * - `phone`: one program with its own storage, which survives a crash. Tokens travel in bodies.
 * - `shell`: commands that run one after another on one file. A command ends when it has its response, even if something
 *   is still under way.
 * - `keyless`: a program with an OAuth library that sends no Idempotency-Key.
 */
export type DeviceKind = 'browser' | 'phone' | 'shell' | 'keyless'

/** The settings of one server. Durations are seconds. */
export interface Settings {
  /** The names of its secrets. The first one signs new tokens. */
  secrets: readonly string[]
  accessTokenLifetime: number
  idleTimeout: number
  reuseInterval: number
}

export interface ServerPlan {
  /** How far its clock is off at the start, in milliseconds. */
  offset: number
  /** How many milliseconds its clock gains or loses each second, up to the largest skew. */
  drift: number
  settings: Settings
}

export interface DevicePlan {
  name: string
  kind: DeviceKind
  tabs: number
  /** Whether the browser has Web Locks. */
  locks: boolean
  /** The speed of its clock; 1 is right. */
  rate: number
  /** Whether its clock stops during sleep, as performance.now() does on some systems. */
  stopsAsleep: boolean
}

export const networkFaults = [
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
] as const
export type NetworkFault = (typeof networkFaults)[number]

/**
 * One planned event; `at` is milliseconds from the start of the life. Network faults wait for the next message that they
 * apply to.
 */
export type Happening = { at: number } & (
  | { what: 'use'; device: number; tab: number }
  | { what: 'die'; device: number; tab: number; when: 'now' | MomentOfDeath }
  | { what: 'sleep'; device: number; for: number }
  | { what: 'offline'; device: number; for: number }
  | { what: 'net'; device: number; fault: NetworkFault; delay: number }
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

/** The moment in a refresh at which a tab dies. */
export type MomentOfDeath = 'sent' | 'answered' | 'before storing' | 'stored'

/** A thief repeats his last successful refresh. Milliseconds. */
export interface Repeats {
  every: number
  for: number
}

export interface Plan {
  seed: number
  days: number
  /** Whether several programs run at once on the file of a `shell`. Daypass does not promise that this works. */
  atOnce: boolean
  devices: DevicePlan[]
  servers: ServerPlan[]
  /** The most that a server's clock is off, in either direction, in milliseconds. */
  largestSkew: number
  /** Whether the store has a clock. If it has, the servers follow it. */
  storeHasClock: boolean
  /** Milliseconds after which callers of the store get a 503. */
  storeTimeout: number
  /** Milliseconds after which their statement is not carried out any more. */
  storeDeadline: number
  algorithm: 'HS256' | 'EdDSA'
  /** Seconds. */
  absoluteTimeout: number
  happenings: Happening[]
}

/** A random source for one purpose: removing happenings from the plan does not change the numbers of the others. */
export const randomFor = (seed: number, purpose: number) =>
  createSeededRandom(Math.imul(seed ^ Math.imul(purpose + 1, 0x9e3779b1), 0x85ebca6b))
