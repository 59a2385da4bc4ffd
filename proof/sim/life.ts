// One simulated life: its plan, its clock, its random numbers, and the state that servers, network, owner and thief share.

import type { FetchAuth } from '../../src/adapters/fetch.ts'
import type { Store } from '../../src/core/store.ts'
import type { SeededRandom } from '../../src/testing/random.ts'
import { createDatabase, type Database } from './database.ts'
import { createDevice, type Device } from './device.ts'
import { createLoop, type Loop } from './loop.ts'
import { type Plan, randomFor, type ServerPlan, type Settings } from './plan.ts'
import { type Checker, createChecker } from './properties.ts'
import type { Realm } from './realm.ts'
import { formatInstant, second, startOfLife } from './time.ts'

/** What a test breaks on purpose, to see whether the simulation finds it. */
export interface Sabotage {
  store?: (store: Store, loop: Loop) => Store
  /** Changes the text that a client stores. */
  memory?: (text: string) => string
  /** Changes the responses that clients receive. */
  response?: (response: TextResponse) => TextResponse
}

export interface TextResponse {
  status: number
  headers: Record<string, string>
  body: string
}

/** A request on its way to a server. */
export interface TextRequest {
  method: string
  path: string
  headers: Record<string, string>
  body: string
  /** The name of the device that sent it, or `thief`. */
  from: string
  /** Aborts when the caller has closed the connection. */
  gone: AbortController
}

/** The machine that a server runs on. It stays when the server crashes. */
export interface Host {
  readonly number: number
  readonly plan: ServerPlan
  settings: Settings
  /** How far its clock was off when it was last set, in milliseconds. */
  clock: { offset: number; since: number }
}

/** A server, until it crashes. */
export interface Server {
  readonly host: Host
  readonly realm: Realm
  readonly web: FetchAuth
  isDead: boolean
  dieBeforeCommit: boolean
  dieAfterCommit: boolean
  die(): void
}

export interface Thief {
  readonly session: string
  readonly device: Device
  readonly keyless: boolean
  /** His newest token. */
  token: string
  /** The pending key that he copied, until he has used it. */
  stolenKey: string | undefined
  /** How many keys of his own he has made. */
  keysMade: number
  /** The token and key of his last successful refresh. */
  completed: { token: string; key: string | undefined } | undefined
  /** Whether a response of the server has said that the session is over. */
  isDone: boolean
}

export interface Life {
  readonly plan: Plan
  readonly sabotage: Sabotage
  readonly loop: Loop
  readonly database: Database
  readonly checker: Checker
  /** Random numbers for the network, the owner and the thief. */
  readonly chance: SeededRandom
  /** Random bytes of the servers. */
  readonly serverRandom: SeededRandom
  /** The longest reuse interval of any server at any time, in milliseconds. */
  readonly longestInterval: number
  readonly hosts: Host[]
  /** The server on each host, in the order of the hosts. */
  readonly servers: Server[]
  readonly devices: Device[]
  readonly thieves: Thief[]
  /** How many clients of Daypass were made: each has random bytes of its own. */
  clientsMade: number
  readonly story: string[]
  /** Adds a line to the story, if a story is wanted. */
  tell(text: string): void
}

export function createLife(plan: Plan, sabotage: Sabotage, wantsStory: boolean): Life {
  const loop = createLoop(startOfLife)
  const longestInterval = longestIntervalOf(plan) * second
  const engine = { timeout: plan.storeTimeout, deadline: plan.storeDeadline, hasClock: plan.storeHasClock }
  const database: Database = createDatabase(loop, randomFor(plan.seed, 2), engine, () =>
    checker.countFault('the store is away'),
  )
  const { largestSkew } = plan
  const rowOf = (id: string) => database.rows.get(id)
  const checker: Checker = createChecker({ now: loop.now, rowOf, largestSkew, longestInterval })
  const story: string[] = []
  return {
    plan,
    sabotage,
    loop,
    database,
    checker,
    chance: randomFor(plan.seed, 1),
    serverRandom: randomFor(plan.seed, 3),
    longestInterval,
    hosts: plan.servers.map((server, number) => ({
      number,
      plan: server,
      settings: server.settings,
      clock: { offset: server.offset, since: startOfLife },
    })),
    servers: [],
    devices: plan.devices.map((device) => createDevice(device, loop)),
    thieves: [],
    clientsMade: 0,
    story,
    tell: wantsStory ? (text) => story.push(`${formatInstant(loop.now())}  ${text}`) : () => {},
  }
}

/** Seconds. */
function longestIntervalOf({ servers, happenings }: Plan): number {
  const deployed = happenings.map((each) => (each.what === 'deploy' && each.change.reuseInterval) || 0)
  return Math.max(...servers.map(({ settings }) => settings.reuseInterval), ...deployed)
}
