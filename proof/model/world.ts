// The model's world: the state of an owner, a server, a network and a thief at one moment, and the bounds of an exploration.

import type { Decision } from '../../src/core/rotation.ts'
import type { Session } from '../../src/core/session.ts'
import { mint, randomSalt } from './tokens.ts'

export type Outcome = Decision['kind']

/** What may happen in one exploration, and how often. Instants and durations are ticks. */
export interface Bounds {
  transport: 'body' | 'cookie'
  tabs: number
  /** Whether refreshes carry a key. */
  keys: 'always' | 'never' | 'either'
  /** How many different refreshes the owner starts. */
  refreshes: number
  /** Whether one tab refreshes at a time, as with Web Locks. A tab that stops waiting frees the lock. */
  lock: boolean
  /** How often a tab dies after the browser stored a cookie and before the tab stored its note of it. */
  deaths: number
  /** How many messages may be under way at once. */
  inFlight: number
  /** How often a request arrives twice. */
  duplicates: number
  /** How often the store loses its last write. */
  failovers: number
  /** What a thief copies, once, at any time. */
  thief: 'nobody' | 'token' | 'token and pending key'
  /** How many new requests he sends. He may repeat a request with a key of his own without limit. */
  thiefAsks: number
  /** Whether the owner may sign out. */
  signOut: boolean
  /** Whether reading the row after a compare-and-set that did not match is a step of its own. */
  twoSteps: boolean
  /** The reuse interval, in which a lost race is forgiven. */
  interval: number
  /** How long a refresh without a key may be repeated. */
  retryInterval: number
  /** A message arrives within so many ticks, or never. */
  delay: number
  /** How long the owner may be away. Everything under way is lost then. */
  naps: readonly number[]
  idleTimeout: number
  absoluteTimeout: number
}

/** A request on its way to the server, or a response on its way back. Tokens and keys are numbers; 0 is none. */
export interface Message {
  /** The tab that sent it; −1 if it has stopped waiting. */
  tab: number
  token: number
  key: number
  previous: number
  sentAt: number
  /**
   * `ask`: a request under way. `judge`: the compare-and-set did not match, and the row is not read yet. `answer`: a
   * response under way.
   */
  kind: 'ask' | 'judge' | 'answer'
  child: number
  outcome: Outcome | 'none'
}

/** The state at one moment. It is never changed: each step creates a new one. */
export interface World {
  now: number
  row: Session
  /** The state before the last write, if a failover can still restore it. */
  before: Pick<World, 'row' | 'child' | 'rotatedAt'> | null
  /** What the owner's storage (and cookie) holds. */
  token: number
  pending: number
  last: number
  /** Whether the owner is signed out, by the server or by a sign-out. */
  over: boolean
  /** The key and token of each tab's request; null if it waits for nothing. */
  tabs: readonly ({ token: number; key: number } | null)[]
  net: readonly Message[]
  /** The thief's tokens, and the key that he copied. */
  loot: readonly number[]
  lootKey: number
  stolen: boolean
  /** The tokens that he has sent with keys of his own, in the order of these keys. */
  asked: readonly number[]
  /** How much of the bounds is used up. */
  used: {
    refreshes: number
    deaths: number
    duplicates: number
    failovers: number
    asks: number
    salts: number
  }
  /** For the properties: who got which token, whether a revoke has returned, the child with a key, the last rotation. */
  toOwner: readonly { generation: number; key: number; previous: number }[]
  toThief: readonly number[]
  revoked: boolean
  child: number
  rotatedAt: number
  /** When the owner, who keeps asking, got the first and the last 409 of an unbroken series. */
  refused: { since: number; last: number } | null
}

/** One thing that happens, and the world after it. */
export interface Step {
  story: string
  world: World
  /** The property that this step breaks. */
  broken?: string | undefined
}

const blank: Session = {
  id: Buffer.alloc(16, 3).toString('base64url'),
  subject: 'owner',
  clientId: '',
  scope: '',
  claims: {},
  generation: 0,
  secret: new Uint8Array(16).fill(5),
  parentSalt: null,
  parentKey: null,
  burstAt: -1e6,
  burstGeneration: 0,
  prevBurstGeneration: 0,
  rotatedAt: 0,
  createdAt: 0,
  authTime: 0,
  amr: [],
  idleExpiresAt: 0,
  expiresAt: 0,
  idleTimeout: null,
  accessTokenLifetime: null,
  persistent: true,
  jkt: null,
  device: {},
  revokedAt: null,
  revokedReason: null,
}

/** The world at the beginning: a session at generation 0, and its owner. */
export function begin(bounds: Bounds): World {
  const row = { ...blank, idleExpiresAt: bounds.idleTimeout, expiresAt: bounds.absoluteTimeout }
  return {
    now: 0,
    row,
    before: null,
    token: mint(row, 0, randomSalt(0)),
    pending: 0,
    last: 0,
    over: false,
    tabs: Array.from({ length: bounds.tabs }, () => null),
    net: [],
    loot: [],
    lootKey: 0,
    stolen: false,
    asked: [],
    used: { refreshes: 0, deaths: 0, duplicates: 0, failovers: 0, asks: 0, salts: 1 },
    toOwner: [],
    toThief: [],
    revoked: false,
    child: 0,
    rotatedAt: 0,
    refused: null,
  }
}
