// The properties that must hold in every life: checks each response and event, and counts what happened.

import type { DaypassEvent } from '../../src/core/events.ts'
import { isExpired } from '../../src/core/rotation.ts'
import type { Session } from '../../src/core/session.ts'
import { minute, second } from './time.ts'

/** The counters that every run prints, in this order. Faults are counted besides. */
export const counterNames = [
  'refreshes',
  'replayed',
  'retried',
  'superseded',
  'healed',
  'sign-ins',
  'sign-outs',
  'calls of the app',
  'thefts tried',
  'repetitions of thieves',
  'thieves caught',
  'thieves too late',
  'owners who never returned',
] as const
export type Tally = Record<string, number>

/** What the checker remembers of a session besides its row. Instants are milliseconds. */
export interface KnownSession {
  id: string
  device: string
  expiresAt: number
  /** How often a thief copied one of its tokens. */
  thefts: number
  /** Whether its thief was caught. */
  isCaught: boolean
  /** When the owner, who keeps asking, got the first and the last 409 of an unbroken series. */
  refused: { since: number; last: number } | undefined
  /** When a call that ended the session returned. From then on nobody may get a token. */
  endedAt: number
  /** How many writes of its row the store has lost. */
  lostWrites: number
  /** The pending keys that a thief has copied. */
  stolenKeys: Set<string>
  /** The generations given to the owner, each with the keys of every request that got it. */
  toOwner: Map<number, string[][]>
  /** The generations given to the thief. */
  toThief: Set<number>
}

/** A property that does not hold; `name` is the property. */
export class Violation extends Error {
  constructor(name: string, message: string) {
    super(message)
    this.name = name
  }
}

export const noBadLuck = 'NO BAD LUCK'
export const noLockStep = 'NO LOCK-STEP'
export const noResurrection = 'NO RESURRECTION'
export const goodTokens = 'GOOD TOKENS'

export interface Checker {
  readonly tally: Tally
  /** The first violation; a life ends there. */
  readonly broken: Violation | undefined
  count(name: string): void
  countFault(name: string): void
  fail(property: string, message: string): void
  /** The session with that id, if the server has reported its sign-in. */
  findSession(id: string): KnownSession | undefined
  /** The same, for a session that must be known. */
  getSession(id: string): KnownSession
  /** Whether a session can still be used. */
  isLive(row: Session | undefined): boolean
  /** Checks an event of a server's audit log. */
  onEvent(event: DaypassEvent): void
  /** Checks a response with tokens before it leaves the server. The request arrived at `askedAt`. */
  checkGrant(grant: { session: { id: string; expiresAt: number } }, askedAt: number): void
  /** Records that the owner, or a thief, received the token of that generation, and the keys of the request. */
  noteReceived(id: string, who: 'owner' | 'thief', generation: number, keys: string[]): void
  /** Records that a request of the owner was answered with 409, or with another definite response. */
  noteOwnerResponse(id: string, isSuperseded: boolean): void
  /** Records that a call which ended the session has returned. */
  noteEnd(id: string): void
  /** Records that all calls which ended sessions by sign-out have returned. */
  noteSignOuts(): void
}

export interface CheckerOptions {
  /** Milliseconds since the epoch. */
  now(): number
  rowOf(id: string): Session | undefined
  /** Milliseconds. */
  largestSkew: number
  /** The longest reuse interval of any server at any time, in milliseconds. */
  longestInterval: number
}

export function createChecker(options: CheckerOptions): Checker {
  const { now, rowOf, largestSkew, longestInterval } = options
  const sessions = new Map<string, KnownSession>()
  const tally: Tally = Object.fromEntries(counterNames.map((name) => [name, 0]))
  let broken: Violation | undefined

  const fail = (property: string, message: string) => {
    broken ??= new Violation(property, message)
  }
  const count = (name: string) => {
    tally[name] = (tally[name] ?? 0) + 1
  }
  const getSession = (id: string) => required(sessions.get(id), id)
  const noteEnd = (id: string) => {
    const known = sessions.get(id)
    if (known) known.endedAt = Math.min(known.endedAt, now())
  }

  const checker: Checker = {
    tally,
    get broken() {
      return broken
    },
    count,
    countFault: (name) => count(`fault: ${name}`),
    fail,
    findSession: (id) => sessions.get(id),
    getSession,
    // A cookie's Max-Age is whole seconds on a server's clock, so the cookie may end a little before the row.
    isLive: (row) => row !== undefined && row.revokedAt === null && !isExpired(row, now() + 2 * largestSkew + 2000),
    onEvent(event) {
      const { sessionId: id } = event
      if (event.type === 'issued') sessions.set(id, createKnownSession(required(rowOf(id), id), event))
      countEvent(checker, event)
      checkEndOfSession(checker, options, event)
    },
    checkGrant({ session }, askedAt) {
      const known = getSession(session.id)
      if (askedAt > known.endedAt) fail(noResurrection, 'a session that was ended goes on')
      if (session.expiresAt !== known.expiresAt) fail(noResurrection, 'the absolute expiry has moved')
      if (now() - largestSkew - minute > known.expiresAt)
        fail(noResurrection, 'a session goes on after its absolute expiry')
    },
    noteReceived(id, who, generation, keys) {
      const known = getSession(id)
      if (who === 'thief') known.toThief.add(generation)
      else known.toOwner.set(generation, [...(known.toOwner.get(generation) ?? []), keys])
      const shared = sharedGenerations(known)
      // Without keys, the children of one refresh are siblings: each theft may share one generation, once.
      const isKeyless = [...known.toOwner.values()].some((requests) => requests.some(([key]) => key === undefined))
      if (shared.length > known.lostWrites + (isKeyless ? known.thefts : 0))
        fail(noLockStep, `owner and thief were both given generation ${shared.at(-1)}`)
    },
    noteOwnerResponse(id, isSuperseded) {
      const known = getSession(id)
      const { refused } = known
      if (!isSuperseded) {
        known.refused = undefined
        return
      }
      const isUnbroken = refused !== undefined && now() - refused.last <= longestInterval
      const since = isUnbroken ? refused.since : now()
      known.refused = { since, last: now() }
      // Two clocks may measure one interval.
      const bound = 4 * (longestInterval + 2 * largestSkew) + second
      if (now() - since > bound) fail(noLockStep, 'an owner who goes on asking hears 409 for more than four intervals')
    },
    noteEnd,
    noteSignOuts() {
      for (const id of sessions.keys()) if (rowOf(id)?.revokedReason === 'sign-out') noteEnd(id)
    },
  }
  return checker
}

function countEvent({ count }: Checker, event: DaypassEvent): void {
  switch (event.type) {
    case 'issued':
      count('sign-ins')
      break
    case 'rotated':
      count('refreshes')
      if (event.healed) count('healed')
      break
    case 'replayed':
    case 'retried':
      count('refreshes')
      count(event.type)
      break
    case 'superseded':
      count('superseded')
  }
}

/** A server may end a session as stolen only if it was stolen, as expired only in time, and as forged never. */
function checkEndOfSession(checker: Checker, { now, rowOf, largestSkew }: CheckerOptions, event: DaypassEvent): void {
  const { fail, count } = checker
  const { sessionId: id } = event
  if (event.type === 'reused') {
    const known = checker.getSession(id)
    if (known.thefts === 0)
      fail(noBadLuck, `the session of the ${known.device} is ended as stolen, and nobody stole it`)
    else if (!known.isCaught) {
      known.isCaught = true
      count('thieves caught')
    }
  }
  if (event.type === 'expired' && !isExpired(required(rowOf(id), id), now() + largestSkew)) {
    fail(noBadLuck, `the session of the ${checker.getSession(id).device} expires before its time`)
  }
  if (event.type === 'revoked' && event.reason === 'forgery') {
    fail(noBadLuck, `the session of the ${checker.getSession(id).device} is ended as forged`)
  }
}

function createKnownSession({ id, expiresAt }: Session, { device }: DaypassEvent): KnownSession {
  return {
    id,
    device: device.userAgent ?? '',
    expiresAt,
    thefts: 0,
    isCaught: false,
    refused: undefined,
    endedAt: Number.POSITIVE_INFINITY,
    lostWrites: 0,
    stolenKeys: new Set(),
    toOwner: new Map(),
    toThief: new Set(),
  }
}

/**
 * The generations that both the owner and the thief were given. A thief with the pending key also gets the refresh of that
 * key, and the next refresh, which names that key as its previous one: these do not count.
 */
function sharedGenerations({ toOwner, toThief, stolenKeys }: KnownSession): number[] {
  if (toThief.size === 0) return []
  const isByStolenKey = (requests: string[][]) => requests.some((keys) => keys.some((key) => stolenKeys.has(key)))
  return [...toOwner]
    .filter(([generation, requests]) => toThief.has(generation) && !isByStolenKey(requests))
    .map(([generation]) => generation)
}

function required<T>(found: T | undefined, id: string): T {
  if (found === undefined) throw new Error(`There is no session ${id}`)
  return found
}
