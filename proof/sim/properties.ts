// What must hold, whatever happens? One book of all sessions, in which every answer and event is looked up.

import type { DaypassEvent } from '../../src/core/events.ts'
import { isExpired } from '../../src/core/rotation.ts'
import type { Session } from '../../src/core/session.ts'
import { minute, second } from './plan.ts'

/** What was tried, and what came of it. */
export const tallied = [
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

/** What of a session is remembered besides its row. */
export interface Known {
  id: string
  device: string
  expiresAt: number
  /** Whether a thief has, or had, a copy of a token of it. */
  isRobbed: boolean
  /** Whether its thief was caught. */
  isCaught: boolean
  /** Since when its owner, who goes on asking, hears nothing but 409; and when that was last. */
  refused: { since: number; last: number } | undefined
  /** When a call that ended it had returned; from then on nobody gets anything. */
  endedAt: number
  /** How often the store lost a write of its row. */
  lost: number
  /** The keys that a thief knows of. */
  lootKeys: Set<string>
  /** Which generations were given to the owner, with which keys, and to the thief. */
  toOwner: Map<number, (string | undefined)[][]>
  toThief: Set<number>
}

/** Thrown, and the run is over. `name` is the property. */
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

export interface Book {
  readonly sessions: ReadonlyMap<string, Known>
  readonly tally: Tally
  count(what: string): void
  /** The first thing that went wrong. */
  readonly broken: Violation | undefined
  fail(name: string, message: string): void
  /** What the server's audit log is told. */
  onEvent(event: DaypassEvent): void
  /** Looks at an answer with tokens before it leaves the server; the question came at `askedAt`. */
  checkAnswer(answered: { session: { id: string; expiresAt: number } }, askedAt: number): void
  /** An owner's machine, or a thief, got the token of that generation, having asked with those keys. */
  give(id: string, who: 'owner' | 'thief', generation: number, keys: (string | undefined)[]): void
  /** The owner of a session was answered: with a 409, or with anything else that says how the session is. */
  noteOwner(id: string, isRefused: boolean): void
  isLive(row: Session | undefined): boolean
}

/** What the book is kept by. Milliseconds. */
export interface Rules {
  now(): number
  rowOf(id: string): Session | undefined
  largestSkew: number
  /** The longest reuse interval of any server at any time. */
  longestInterval: number
}

export function createBook({ now, rowOf, largestSkew, longestInterval }: Rules): Book {
  const sessions = new Map<string, Known>()
  const tally: Tally = Object.fromEntries(tallied.map((name) => [name, 0]))
  let broken: Violation | undefined

  const fail = (name: string, message: string) => {
    broken ??= new Violation(name, message)
  }
  const count = (what: string) => {
    tally[what] = (tally[what] ?? 0) + 1
  }

  function checkLockStep(known: Known): void {
    if (known.toThief.size === 0) return
    // With the pending key too, the refresh that it is of is the thief's as well, and the next, whose `previous` it is.
    const isShared = ([generation, asked]: [number, (string | undefined)[][]]) =>
      known.toThief.has(generation) &&
      !asked.some((keys) => keys.some((key) => key !== undefined && known.lootKeys.has(key)))
    const shared = [...known.toOwner].filter(isShared)
    // Without keys, the children of one refresh are siblings: one generation, once.
    const isKeyless = [...known.toOwner.values()].some((asked) => asked.some((keys) => keys[0] === undefined))
    if (shared.length > known.lost + (isKeyless ? 1 : 0))
      fail(noLockStep, `owner and thief were both given generation ${shared.at(-1)![0]}`)
  }

  return {
    sessions,
    tally,
    count,
    get broken() {
      return broken
    },
    fail,
    // A cookie's Max-Age is whole seconds by a server's clock: it may go a little before the row.
    isLive: (row) => row !== undefined && row.revokedAt === null && !isExpired(row, now() + 2 * largestSkew + 2000),
    onEvent(event) {
      const known = sessions.get(event.sessionId)
      switch (event.type) {
        case 'issued': {
          count('sign-ins')
          const row = rowOf(event.sessionId)!
          sessions.set(event.sessionId, {
            id: event.sessionId,
            device: event.device.userAgent!,
            expiresAt: row.expiresAt,
            isRobbed: false,
            isCaught: false,
            refused: undefined,
            endedAt: Number.POSITIVE_INFINITY,
            lost: 0,
            lootKeys: new Set(),
            toOwner: new Map(),
            toThief: new Set(),
          })
          break
        }
        case 'rotated':
          count('refreshes')
          if (event.healed) count('healed')
          break
        case 'replayed':
          count('refreshes')
          count('replayed')
          break
        case 'retried':
          count('refreshes')
          count('retried')
          break
        case 'superseded':
          count('superseded')
          break
        case 'reused':
          if (!known!.isRobbed)
            fail(noBadLuck, `the session of the ${known!.device} is ended as stolen, and nobody stole it`)
          else if (!known!.isCaught) {
            known!.isCaught = true
            count('thieves caught')
          }
          break
        case 'expired': {
          const row = rowOf(event.sessionId)!
          const isDue = isExpired(row, now() + largestSkew)
          if (!isDue) fail(noBadLuck, `the session of the ${known!.device} expires before its time`)
          break
        }
        case 'revoked':
          if (event.reason === 'forgery') fail(noBadLuck, `the session of the ${known!.device} is ended as forged`)
      }
    },
    checkAnswer({ session }, askedAt) {
      const known = sessions.get(session.id)!
      if (askedAt > known.endedAt) fail(noResurrection, 'a session that was ended goes on')
      if (session.expiresAt !== known.expiresAt) fail(noResurrection, 'the absolute expiry has moved')
      if (now() - largestSkew - minute > known.expiresAt)
        fail(noResurrection, 'a session goes on after its absolute expiry')
    },
    give(id, who, generation, keys) {
      const known = sessions.get(id)!
      if (who === 'thief') known.toThief.add(generation)
      else known.toOwner.set(generation, [...(known.toOwner.get(generation) ?? []), keys])
      checkLockStep(known)
    },
    noteOwner(id, isRefused) {
      const known = sessions.get(id)!
      const { refused } = known
      if (!isRefused) {
        known.refused = undefined
        return
      }
      const goesOn = refused !== undefined && now() - refused.last <= longestInterval
      const since = goesOn ? refused.since : now()
      known.refused = { since, last: now() }
      // Two clocks may measure one interval.
      const bound = 4 * (longestInterval + 2 * largestSkew) + second
      if (now() - since > bound) fail(noLockStep, 'an owner who goes on asking hears 409 for more than four intervals')
    },
  }
}
