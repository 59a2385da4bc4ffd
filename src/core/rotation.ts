// THE PROTOCOL: decides what happens to a presented refresh token. Pure functions without I/O and without a clock.
// docs/protocol.md describes it in words. Every store's `advance` does atomically what `advance` here does.

import type { Session } from './session.ts'
import type { Advance } from './store.ts'

/** The parsed token of a request, and the keys that came with it. */
export interface Presented {
  generation: number
  salt: Uint8Array
  /** The hash of the Idempotency-Key, or null if there was none. */
  key: Uint8Array | null
  /** The hash of the key of the last refresh that the caller completed, or null. */
  previousKey: Uint8Array | null
}

/**
 * - `rotated`: the token is the session's newest, or newer than the row of a store that lost writes. It gets a child.
 * - `replayed`: the last refresh was sent again, however late. It gets the same child.
 * - `retried`: a refresh without a key was sent again. It gets a sibling of the child, valid until a sibling is redeemed.
 * - `superseded`: another refresh came first. No token, and nothing changes.
 * - `reused`: the token was copied. The session ends.
 */
export type Decision =
  | { kind: 'rotated' | 'retried' | 'superseded' | 'reused' | 'revoked' | 'expired' }
  /** The members are the input of `childSalt`. */
  | { kind: 'replayed'; parentKey: Uint8Array; parentSalt: Uint8Array }

/** How long a token that was overtaken is tolerated, in milliseconds. */
export interface Intervals {
  /** For a race: two requests with the same token, sent at about the same time. */
  reuseInterval: number
  /** For a refresh without a key that is sent again because its response was lost. */
  retryInterval: number
}

/**
 * Decides what happens to a token that is presented at `now` (milliseconds since the epoch). Only `rotated` and the end of
 * a session are written to the store. So a caller cannot extend any tolerance by sending a request again.
 *
 * The caller has checked the token's proof and tag, so the token belongs to this session.
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
  // A caller that knows the key of the last refresh is the one that sent it. It may hold the parent, or an older token that
  // a late Set-Cookie put back into the browser.
  if (parentKey !== null && parentSalt !== null) {
    const isKnown = equal(presented.key, parentKey) || equal(presented.previousKey, parentKey)
    if (isKnown) return { kind: 'replayed', parentKey, parentSalt }
  }
  const isParent = presented.generation === session.generation - 1 && equal(presented.salt, parentSalt)
  if (isParent && parentKey === null && presented.key === null) {
    // Compare the absolute value, so that a clock that was set back does not extend the interval.
    if (Math.abs(now - session.rotatedAt) < retryInterval) return { kind: 'retried' }
  }
  // A token that was overtaken less than an interval ago only lost a race. The row does not store when each token was
  // overtaken, but it stores enough: docs/protocol.md proves that no such token is called reused, and that no token that was
  // overtaken three intervals ago or earlier is called superseded.
  const { burstGeneration, prevBurstGeneration } = session
  const first = isBurst(session, now, reuseInterval) ? prevBurstGeneration : burstGeneration
  const isRace = presented.generation >= first && now - session.rotatedAt < reuseInterval
  return { kind: isRace ? 'superseded' : 'reused' }
}

/** Whether a token may read its session without being redeemed: the session is live, and the token is no copy. */
export function isReadable(
  session: Session,
  { generation, salt }: Pick<Presented, 'generation' | 'salt'>,
  now: number,
  intervals: Intervals,
): boolean {
  const { kind } = decide(session, { generation, salt, key: null, previousKey: null }, now, intervals)
  return kind === 'rotated' || kind === 'retried' || kind === 'superseded'
}

/** Whether a rotation at `now` still belongs to the run of close rotations that began at `burstAt`. */
export function isBurst(session: Session, now: number, reuseInterval: number): boolean {
  return now - session.burstAt < reuseInterval
}

/** Whether a session has reached its idle or its absolute end. */
export function isExpired(session: Session, now: number): boolean {
  return now >= session.expiresAt || now >= session.idleExpiresAt
}

/** Whether a session is neither revoked nor expired. */
export const isLive = (session: Session, now: number): boolean => session.revokedAt === null && !isExpired(session, now)

/** The row after {@link Advance}, or null if the row does not match: the store contract's compare-and-set as a function. */
export function advance(session: Session, step: Advance): Session | null {
  if (session.generation > step.generation || !isLive(session, step.now)) return null
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
    idleExpiresAt: Math.min(step.now + (session.idleTimeout ?? step.idleTimeout), session.expiresAt),
    device: step.ip === undefined ? session.device : { ...session.device, ip: step.ip },
  }
}

/** The burst fields after a rotation at `now`; undefined if the current burst goes on. */
function nextBurst(session: Session, now: number, reuseInterval: number) {
  if (isBurst(session, now, reuseInterval)) return undefined
  // Until this rotation, a refresh with the row's parent could be replayed, and a replay writes nothing. So the new burst
  // begins with the parent's generation. Use the row's parent also if the store lost writes: it lost them just now.
  const burstGeneration = session.generation - 1
  const isClose = now - session.rotatedAt < reuseInterval
  return {
    burstAt: now,
    burstGeneration,
    prevBurstGeneration: isClose ? session.burstGeneration : burstGeneration,
  }
}

/** Whether two arrays have equal bytes; null equals nothing. The values are no secrets, so timing does not matter. */
function equal(a: Uint8Array | null, b: Uint8Array | null): boolean {
  return a !== null && b !== null && a.length === b.length && a.every((byte, index) => byte === b[index])
}
