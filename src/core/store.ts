// The contract of every store.

import type { Changes, RevokedReason, Session } from './session.ts'

/** One compare-and-set: redeems the token with this `generation` and `salt`. */
export interface Advance {
  id: string
  generation: number
  salt: Uint8Array
  /** The hash of the Idempotency-Key, or null. */
  key: Uint8Array | null
  /** Milliseconds since the epoch. */
  now: number
  /** Milliseconds until the idle expiry, where the row has no idle timeout of its own. */
  idleTimeout: number
  /** Milliseconds. */
  reuseInterval: number
  /** The address of the request, stored in the row's device. */
  ip?: string | undefined
}

/** The result of a successful {@link Store.advance}. */
export interface Advanced {
  /** The row as it is now. */
  session: Session
  /** Whether the row was behind the token, because the store had lost writes. The row is up to date now. */
  healed: boolean
}

/**
 * The contract of every store. It is small enough to add an engine in an afternoon; `daypass/testing` checks all of it.
 * Each call is atomic by itself. A store that cannot do a call throws `ERR_STORE_…` (503) and never returns an empty result.
 *
 * Strings contain no NUL, U+FFFE, U+FFFF or unpaired surrogate, with two exceptions. `claims` are JSON, which escapes NUL and
 * unpaired surrogates. An id may be any string that a caller invented; it then matches no row.
 */
export interface Store {
  /**
   * Called before any other call, and again if it failed. Creates tables and indexes, and records that they belong to
   * `issuer`: each issuer has its own rows. Many instances may call it at once, and again on an open store.
   *
   * @throws DaypassError `ERR_STORE_SCHEMA` if a newer version made the tables and this one cannot use them;
   *   `ERR_STORE_ISSUER` if they belong to another issuer. In both cases nothing is written.
   */
  open(issuer: string): Promise<void>
  /** Writes a new row. */
  create(session: Session): Promise<void>
  /** Reads a row, even if it is revoked or expired. */
  find(id: string): Promise<Session | null>
  /**
   * Redeems a token, in one round trip where the engine can do so. The row matches if its generation ≤ `generation`, it is not revoked and both its
   * expiries are after `now`. Returns null if it does not match; then nothing is changed. Otherwise it sets:
   *
   * - generation to `generation + 1`, and parentSalt, parentKey and rotatedAt;
   * - idleExpiresAt to `now` plus the row's own idleTimeout, or else the step's; expiresAt caps it;
   * - if no burst is in progress (`now − burstAt ≥ reuseInterval`): burstAt to `now`, burstGeneration to the row's
   *   generation − 1, and prevBurstGeneration to the row's burstGeneration if `now − rotatedAt < reuseInterval`, else to the
   *   new burstGeneration. The values of the row are those before the call.
   */
  advance(step: Advance): Promise<Advanced | null>
  /**
   * Changes a session that is not revoked and whose expiries are both after `now`. Returns the row as it is now, or null if
   * there is no such session. Changes nothing but the given members, so a concurrent advance, revoke or update of other
   * members is not lost.
   */
  update(id: string, now: number, changes: Changes): Promise<Session | null>
  /** Ends a session. Returns the row as it is now if this call ended it, or null if it was ended before or does not exist. */
  revoke(id: string, now: number, reason: RevokedReason): Promise<Session | null>
  /** Ends all sessions of a subject except `exceptId`. Returns the rows that this call ended. */
  revokeSubject(subject: string, now: number, reason: RevokedReason, exceptId?: string): Promise<Session[]>
  /** The subject's sessions that are neither revoked nor expired, newest sign-in first, at most `limit`. */
  list(subject: string, now: number, limit: number): Promise<Session[]>
  /**
   * The sessions revoked at or after `since`, in any order. It may also contain a session that was ended before, if a
   * `revoke` of it came again since: the first end may have become visible late.
   */
  revokedSince(since: number): Promise<{ id: string; revokedAt: number }[]>
  /**
   * Deletes at most `limit` rows that expired or were revoked before `before`, and returns how many. Called again while it
   * returns `limit`, so that no step takes long.
   */
  prune(before: number, limit: number): Promise<number>
  /**
   * Checks the store for `/readyz`. Writes a meaningless value, so that a full disk or a read-only replica is noticed.
   *
   * @throws DaypassError `ERR_STORE_…` if the store does not respond or cannot write.
   */
  check(): Promise<void>
  /**
   * Reads the engine's own clock, milliseconds since the epoch. Absent if the engine uses the clock of this process's machine
   * (memory, a file).
   */
  readClock?(): Promise<number>
  /** Closes what the store itself opened, after the calls in flight have finished. */
  close(): Promise<void>
}
