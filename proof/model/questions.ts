// The questions to the model: bounds, within which it explores everything that can happen. And the mutants it must catch.

import { isBurst } from '../../src/core/rotation.ts'
import type { Session } from '../../src/core/session.ts'
import { type Protocol, protocol } from './protocol.ts'
import type { Bounds } from './world.ts'

/** One exploration. */
export interface Question {
  name: string
  bounds: Bounds
}

const small: Bounds = {
  transport: 'body',
  tabs: 2,
  keys: 'always',
  refreshes: 3,
  lock: false,
  deaths: 0,
  inFlight: 3,
  duplicates: 0,
  failovers: 0,
  thief: 'nobody',
  thiefAsks: 0,
  signOut: false,
  twoSteps: false,
  interval: 3,
  retryInterval: Number.POSITIVE_INFINITY,
  delay: 1,
  naps: [10],
  idleTimeout: Number.POSITIVE_INFINITY,
  absoluteTimeout: Number.POSITIVE_INFINITY,
}
const cookie: Bounds = { ...small, transport: 'cookie' }
const keyless: Bounds = { ...small, keys: 'never' }
/** Strict: a second use of a token is never forgiven, so no request may arrive twice. */
const strict = { interval: 0, retryInterval: 0, delay: 0 }
const mortal = { idleTimeout: 5, absoluteTimeout: 8, naps: [2, 6] }

/** The questions that are small enough for every `npm test`. Each mutant is caught by one of them. */
export const quick: Question[] = [
  { name: 'one tab, storage of its own', bounds: { ...small, tabs: 1, duplicates: 1 } },
  { name: 'two tabs, one storage, no lock', bounds: { ...small, inFlight: 2 } },
  { name: 'two tabs, one jar, no lock', bounds: { ...cookie, inFlight: 2 } },
  { name: 'one jar, one at a time, tabs that die', bounds: { ...cookie, inFlight: 1, deaths: 2 } },
  { name: 'two tabs without keys', bounds: keyless },
  { name: 'two tabs, and a store that loses its last write', bounds: { ...small, inFlight: 2, failovers: 1 } },
  {
    name: 'a thief with a copy of the token',
    bounds: { ...small, tabs: 1, inFlight: 1, thief: 'token', thiefAsks: 2 },
  },
  {
    name: 'a thief with a copy of the token and of the pending key',
    bounds: { ...small, tabs: 1, inFlight: 1, refreshes: 2, thief: 'token and pending key', thiefAsks: 2 },
  },
  { name: 'a thief, and no keys', bounds: { ...keyless, tabs: 1, inFlight: 1, thief: 'token', thiefAsks: 2 } },
  {
    name: 'a thief, no keys, and a refresh that may be asked again for a while',
    bounds: {
      ...keyless,
      tabs: 1,
      inFlight: 1,
      refreshes: 1,
      retryInterval: 3,
      naps: [2],
      thief: 'token',
      thiefAsks: 3,
    },
  },
  { name: 'sign-out racing refresh', bounds: { ...small, inFlight: 2, refreshes: 2, signOut: true, twoSteps: true } },
  { name: 'lifetimes that end', bounds: { ...small, tabs: 1, inFlight: 1, refreshes: 2, ...mortal } },
]

/** The questions of `npm run model`. */
export const whole: Question[] = [
  ...quick,
  { name: 'two tabs, four refreshes, three messages under way', bounds: { ...small, refreshes: 4 } },
  {
    name: 'two tabs, read apart from written, one request twice',
    bounds: { ...small, inFlight: 2, twoSteps: true, duplicates: 1 },
  },
  { name: 'three tabs, one storage, no lock', bounds: { ...small, tabs: 3 } },
  { name: 'two tabs, one jar, three messages under way', bounds: cookie },
  { name: 'two tabs, one jar, one failover', bounds: { ...cookie, inFlight: 2, failovers: 1, lock: true } },
  { name: 'strict: one tab, and whatever is lost', bounds: { ...small, tabs: 1, inFlight: 1, ...strict } },
  {
    name: 'a thief with both, who asks three different things',
    bounds: { ...small, tabs: 1, inFlight: 1, refreshes: 2, thief: 'token and pending key', thiefAsks: 3 },
  },
  {
    name: 'a thief, no keys, and two messages under way',
    bounds: { ...keyless, tabs: 1, inFlight: 2, thief: 'token', thiefAsks: 3 },
  },
  { name: 'a thief of the jar', bounds: { ...cookie, tabs: 1, inFlight: 2, thief: 'token', thiefAsks: 2 } },
  {
    name: 'a thief of the jar and the pending key',
    bounds: { ...cookie, tabs: 1, inFlight: 1, refreshes: 3, thief: 'token and pending key', thiefAsks: 3 },
  },
  { name: 'two tabs without keys, who may ask again for a while', bounds: { ...keyless, retryInterval: 5, naps: [2] } },
  {
    name: 'two tabs without keys, and a store that loses its last write',
    bounds: { ...keyless, inFlight: 2, failovers: 1 },
  },
  { name: 'a thief among two tabs', bounds: { ...small, inFlight: 2, thief: 'token', thiefAsks: 2 } },
  {
    name: 'a thief, and a store that loses its last write',
    bounds: { ...small, tabs: 1, inFlight: 1, failovers: 1, thief: 'token', thiefAsks: 2 },
  },
  {
    name: 'a thief and a sign-out',
    bounds: { ...small, tabs: 1, inFlight: 2, signOut: true, thief: 'token', thiefAsks: 2 },
  },
  {
    name: 'a thief, and lifetimes that end',
    bounds: { ...small, tabs: 1, inFlight: 2, refreshes: 2, ...mortal, thief: 'token', thiefAsks: 2 },
  },
]

export function findQuestion(name: string): Question {
  const question = whole.find((each) => each.name === name)
  if (question === undefined) throw new Error(`There is no question '${name}'`)
  return question
}

/** A protocol with one weakness. */
export interface Mutant {
  name: string
  /** The name of the question that catches it. */
  question: string
  change: Partial<Protocol>
}

const { decide, advance, childSalt, isReadable } = protocol

/** An earlier rule: a replay counted as a redemption. */
function renewBurst(row: Session, now: number, interval: number): Session {
  if (isBurst(row, now, interval)) return { ...row, rotatedAt: now }
  const burstGeneration = row.generation - 1
  const prevBurstGeneration = now - row.rotatedAt < interval ? row.burstGeneration : burstGeneration
  return { ...row, rotatedAt: now, burstAt: now, burstGeneration, prevBurstGeneration }
}

/** The model must catch each of these. */
export const mutants: Mutant[] = [
  {
    name: 'a sibling counts as the parent: no parentSalt check',
    question: 'a thief, and no keys',
    change: {
      decide: (session, presented, now, interval) =>
        decide(session, { ...presented, salt: session?.parentSalt ?? presented.salt }, now, interval),
    },
  },
  {
    name: 'the parent gets the same successor with any key, or without a key',
    question: 'a thief with a copy of the token',
    change: {
      decide(session, presented, now, interval) {
        const isParent = session && presented.generation === session.generation - 1 && session.parentKey !== null
        return decide(session, isParent ? { ...presented, key: session.parentKey } : presented, now, interval)
      },
    },
  },
  {
    name: 'a replay makes a child of its own',
    question: 'one tab, storage of its own',
    change: { replaySalt: (row) => childSalt(row, row.parentKey ?? new Uint8Array(), new Uint8Array(8)) },
  },
  {
    name: 'a replay renews the burst: the window is measured from the last use (the first rule of Daypass)',
    question: 'a thief with a copy of the token',
    change: { replay: renewBurst },
  },
  {
    name: 'no generation check in the compare-and-set',
    question: 'two tabs, one storage, no lock',
    change: {
      advance: (row, step) => advance(row, { ...step, generation: Math.max(step.generation, row.generation) }),
    },
  },
  {
    name: 'a revoke is not final',
    question: 'sign-out racing refresh',
    change: { advance: (row, step) => advance({ ...row, revokedAt: null }, step) },
  },
  {
    name: 'an expired session continues',
    question: 'lifetimes that end',
    change: {
      advance(row, step) {
        const next = advance({ ...row, idleExpiresAt: step.now + 1, expiresAt: step.now + 1 }, step)
        return next && { ...next, idleExpiresAt: step.now + step.idleTimeout, expiresAt: row.expiresAt }
      },
    },
  },
  {
    name: 'a rotation moves the absolute expiry',
    question: 'lifetimes that end',
    change: {
      advance(row, step) {
        const next = advance(row, step)
        return next && { ...next, expiresAt: next.expiresAt + 1 }
      },
    },
  },
  {
    name: 'a lost race is a theft: nothing is superseded',
    question: 'two tabs, one storage, no lock',
    change: {
      decide(...asked) {
        const decision = decide(...asked)
        return decision.kind === 'superseded' ? { kind: 'reused' } : decision
      },
    },
  },
  {
    name: 'one burst only: the generation at which the previous burst began is forgotten',
    question: 'one tab, storage of its own',
    change: {
      decide: (session, presented, now, interval) =>
        decide(session && { ...session, prevBurstGeneration: session.burstGeneration }, presented, now, interval),
    },
  },
  {
    name: 'a copy is forgiven for ever: every old token is a lost race',
    question: 'a thief with a copy of the token',
    change: {
      decide(...asked) {
        const decision = decide(...asked)
        return decision.kind === 'reused' ? { kind: 'superseded' } : decision
      },
    },
  },
  {
    name: 'a burst begins with the generation of the row: its parent, which may just have been replayed, is forgotten',
    question: 'one tab, storage of its own',
    change: {
      advance(row, step) {
        const next = advance(row, step)
        if (next === null || isBurst(row, step.now, step.reuseInterval)) return next
        const isClose = step.now - row.rotatedAt < step.reuseInterval
        const { generation } = row
        return { ...next, burstGeneration: generation, prevBurstGeneration: isClose ? row.burstGeneration : generation }
      },
    },
  },
  {
    name: 'a retry without a key moves rotatedAt: it may be repeated for ever',
    question: 'a thief, no keys, and a refresh that may be asked again for a while',
    change: { retry: (row, now) => ({ ...row, rotatedAt: now }) },
  },
  {
    name: 'a lost write is not healed: only the exact generation is redeemed',
    question: 'two tabs, and a store that loses its last write',
    change: { advance: (row, step) => (step.generation > row.generation ? null : advance(row, step)) },
  },
  {
    name: 'a healed row treats the tokens of lost writes as copies',
    question: 'two tabs, and a store that loses its last write',
    change: {
      advance(row, step) {
        const next = advance(row, step)
        const began = next && next.burstAt === step.now && row.burstAt !== step.now
        return began ? { ...next, burstGeneration: step.generation, prevBurstGeneration: step.generation } : next
      },
    },
  },
  {
    name: 'reading redeems the token',
    question: 'one tab, storage of its own',
    change: {
      read: (row, { generation, salt }, now) =>
        advance(row, { id: row.id, generation, salt, key: null, now, idleTimeout: 1, reuseInterval: 1 }) ?? row,
    },
  },
  {
    name: 'reading with a copy ends the session',
    question: 'a thief with a copy of the token',
    change: {
      read: (row, { generation }, now) =>
        generation < row.generation ? { ...row, revokedAt: now, revokedReason: 'reuse' } : row,
    },
  },
  {
    name: 'reading finds a session that has ended',
    question: 'sign-out racing refresh',
    change: { isReadable: (row, ...asked) => isReadable({ ...row, revokedAt: null }, ...asked) },
  },
  {
    name: 'reading finds the session by any old token',
    question: 'a thief with a copy of the token',
    change: {
      isReadable: (row, { salt }, ...asked) => isReadable(row, { salt, generation: row.generation }, ...asked),
    },
  },
  {
    name: 'client: a response is stored even if the client holds another token by now',
    question: 'two tabs, one storage, no lock',
    change: { applies: () => true },
  },
  {
    name: 'client: the key is sent before it is stored',
    question: 'one tab, storage of its own',
    change: { persistsKey: false },
  },
  {
    name: 'client: the last key of the cookie is not sent',
    question: 'two tabs, one jar, no lock',
    change: { sendsPrevious: false },
  },
  {
    name: 'server: an older token with the last key is refused',
    question: 'two tabs, one jar, no lock',
    change: {
      decide(session, presented, now, interval) {
        const isOlder = session !== null && presented.generation < session.generation - 1
        return decide(session, isOlder ? { ...presented, key: null, previousKey: null } : presented, now, interval)
      },
    },
  },
]
