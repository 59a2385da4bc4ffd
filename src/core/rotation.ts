// THE PROTOCOL: what happens to a refresh token that is presented. A pure decision without I/O and without a clock.
// docs/protocol.md has it in words. Every store's `advance` does atomically what `advance` here does.

import type { Session } from './session.ts'
import type { Advance } from './store.ts'

/** What was presented: the parsed token and the keys that came with it. */
export interface Presented {
  generation: number
  salt: Uint8Array
  /** The hash of the Idempotency-Key, or null where none came. */
  key: Uint8Array | null
  /** The hash of the key of the last refresh that the caller completed, or null. */
  previousKey: Uint8Array | null
}

/**
 * - `rotated`: the token is the session's newest (or newer than a store that lost writes knows): a child is due.
 * - `replayed`: the last refresh asked again, however late: the same child.
 * - `retried`: a refresh without a key asked again: a sibling of the child, good until one of them is redeemed.
 * - `superseded`: a race lost; no token, nothing changes.
 * - `reused`: a copy of a token is about: the session ends.
 */
export type Decision =
  | { kind: 'rotated' | 'retried' | 'superseded' | 'reused' | 'revoked' | 'expired' }
  /** With what the child is made of. */
  | { kind: 'replayed'; parentKey: Uint8Array; parentSalt: Uint8Array }

/** How long a token that was overtaken is forgiven, in milliseconds. */
export interface Intervals {
  /** A race: two requests with one token, sent at about the same time. */
  reuseInterval: number
  /** A refresh without a key, asked again because its response was lost. */
  retryInterval: number
}

/**
 * Decides what a presented token is to a session. `now` is milliseconds since the epoch. Nothing is written for a token
 * that is not `rotated`: whatever a caller gains by asking again, asking again never extends it.
 *
 * The token's proof and tag must have been checked: a token of another session never gets here.
 */
export function decide(
  session: Session,
  presented: Presented,
  now: number,
  { reuseInterval, retryInterval }: Intervals,
): Decision {
  if (session.revokedAt !== null) return { kind: session.revokedReason === 'expired' ? 'expired' : 'revoked' }
  if (isExpired(session, now)) return { kind: 'expired' }
  if (presented.generation >= session.generation) return { kind: 'rotated' }

  const { parentKey, parentSalt } = session
  // Whoever knows the key of the last refresh is who asked for it: with its parent in hand, or with an older token that a
  // late Set-Cookie put back into the jar.
  if (parentKey !== null && parentSalt !== null) {
    const isKnown = equal(presented.key, parentKey) || equal(presented.previousKey, parentKey)
    if (isKnown) return { kind: 'replayed', parentKey, parentSalt }
  }
  const isParent = presented.generation === session.generation - 1 && equal(presented.salt, parentSalt)
  if (isParent && parentKey === null && presented.key === null) {
    // Both ways, so that a clock that was set back does not extend the interval.
    if (Math.abs(now - session.rotatedAt) < retryInterval) return { kind: 'retried' }
  }
  // Whoever was overtaken less than an interval ago lost no more than a race. A row cannot know when each token was, but
  // it can know enough: docs/protocol.md shows that none of those is missed, and none of three intervals ago is let off.
  const { burstGeneration, prevBurstGeneration } = session
  const first = isBurst(session, now, reuseInterval) ? prevBurstGeneration : burstGeneration
  const isRace = presented.generation >= first && now - session.rotatedAt < reuseInterval
  return { kind: isRace ? 'superseded' : 'reused' }
}

/** Whether a rotation at `now` still belongs to the run of close rotations that began at `burstAt`. */
export function isBurst(session: Session, now: number, reuseInterval: number): boolean {
  return now - session.burstAt < reuseInterval
}

/** Whether a session is over its idle or its absolute time. An instant reached is an instant passed. */
export function isExpired(session: Session, now: number): boolean {
  return now >= session.expiresAt || now >= session.idleExpiresAt
}

/** The row after {@link Advance}, or null where it does not match: the store contract's compare-and-set, as a function. */
export function advance(session: Session, step: Advance): Session | null {
  if (session.generation > step.generation || session.revokedAt !== null || isExpired(session, step.now)) return null
  return afterAdvance(session, step)
}

/** The row after {@link Advance}, for an engine that has matched it. */
export function afterAdvance(session: Session, step: Advance): Session {
  return {
    ...session,
    ...nextBurst(session, step.now, step.reuseInterval),
    rotatedAt: step.now,
    generation: step.generation + 1,
    parentSalt: step.salt,
    parentKey: step.key,
    idleExpiresAt: Math.min(step.idleExpiresAt, session.expiresAt),
    device: step.ip === undefined ? session.device : { ...session.device, ip: step.ip },
  }
}

/** The burst that a rotation at `now` belongs to: the one that is on, or one that it begins. */
function nextBurst(session: Session, now: number, reuseInterval: number) {
  if (isBurst(session, now, reuseInterval)) return undefined
  // Until this rotation the row's parent could be asked for again, and a replay writes nothing. So a new burst begins
  // with the parent's generation. It is the row's own parent: where the store lost writes, it lost them just now.
  const burstGeneration = session.generation - 1
  const isClose = now - session.rotatedAt < reuseInterval
  return {
    burstAt: now,
    burstGeneration,
    prevBurstGeneration: isClose ? session.burstGeneration : burstGeneration,
  }
}

/** Equal bytes; a null equals nothing. What is compared here is stored beside it: no secret to guard against timing. */
function equal(a: Uint8Array | null, b: Uint8Array | null): boolean {
  return a !== null && b !== null && a.length === b.length && a.every((byte, index) => byte === b[index])
}
