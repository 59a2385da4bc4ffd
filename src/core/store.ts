// The contract of a store.

import type { RevokedReason, Session } from './session.ts'

/** One compare-and-set: redeem the token of `generation` with `salt`. */
export interface Advance {
  id: string
  generation: number
  salt: Uint8Array
  /** The hash of the Idempotency-Key, or null. */
  key: Uint8Array | null
  /** Milliseconds since the epoch. */
  now: number
  /** What the session's idle expiry becomes; the store caps it at the absolute expiry. */
  idleExpiresAt: number
  /** Milliseconds. */
  reuseInterval: number
  /** The address it came from, kept in the row's device. */
  ip?: string | undefined
}

/** What a successful {@link Store.advance} found: the row as it is now. */
export interface Advanced {
  session: Session
  /** The row was behind the token: the store had lost writes, and is mended now. */
  healed: boolean
}

/**
 * The contract of every store, kept so small that a new engine is an afternoon; `daypass/testing` checks all of it.
 * Each call is atomic by itself. A store that cannot answer throws `ERR_STORE_…` (503), never an empty result.
 *
 * No text has U+FFFE, U+FFFF, NUL or half a surrogate pair, with two exceptions: `claims`, as JSON, escape the last two; and
 * an id may be anything that a stranger made up, which is not there.
 */
export interface Store {
  /**
   * Called before any other call, and again where it failed. Makes what the store needs (tables, indexes), and claims it
   * for `issuer`: one issuer, one set of rows. Safe to call by many instances at once, and again on an open store.
   *
   * @throws DaypassError `ERR_STORE_SCHEMA` where a newer version made what is there and this one cannot use it;
   *   `ERR_STORE_ISSUER` where another issuer has claimed it. Nothing is written in either case.
   */
  open(issuer: string): Promise<void>
  /** Writes a new row. */
  create(session: Session): Promise<void>
  /** Reads a row, revoked and expired ones too. */
  find(id: string): Promise<Session | null>
  /**
   * Where the row's generation ≤ `generation`, it is not revoked and both its expiries are after `now`: sets generation
   * to `generation + 1`, parentSalt, parentKey, rotatedAt and idleExpiresAt, and where no burst is on
   * (`now − burstAt ≥ reuseInterval`) burstAt to `now`, burstGeneration to the row's generation − 1, and
   * prevBurstGeneration to burstGeneration as it was if `now − rotatedAt < reuseInterval`, else to the new burstGeneration
   * (all as they were before). One round trip. Null where nothing matched; then nothing was changed.
   */
  advance(step: Advance): Promise<Advanced | null>
  /** Ends a session; the row as it is now where this call ended it, null where it was ended before or is not there. */
  revoke(id: string, now: number, reason: RevokedReason): Promise<Session | null>
  /** Ends all sessions of a subject but one; the rows that this call ended. */
  revokeSubject(subject: string, now: number, reason: RevokedReason, exceptId?: string): Promise<Session[]>
  /** The subject's sessions that are neither revoked nor expired, newest sign-in first, at most `limit` of them. */
  list(subject: string, now: number, limit: number): Promise<Session[]>
  /**
   * The sessions revoked at or after `since`, in any order. A session that was ended before may be among them, where its
   * end was asked for again since: the first end may have become visible late.
   */
  revokedSince(since: number): Promise<{ id: string; revokedAt: number }[]>
  /**
   * Deletes rows that expired or were revoked before `before`, at most `limit`; how many went. Called again while the
   * answer is `limit`, so that no step is long.
   */
  prune(before: number, limit: number): Promise<number>
  /**
   * What `/readyz` asks. Writes something of no meaning, so that a full disk and a server that became a replica show.
   *
   * @throws DaypassError `ERR_STORE_…` where the store cannot answer or cannot write.
   */
  check(): Promise<void>
  /**
   * The engine's own clock, milliseconds since the epoch. Absent where the engine has the clock of this process's machine
   * (memory, a file).
   */
  now?(): Promise<number>
  /** Lets go of what the store itself opened; what is in flight finishes first. */
  close(): Promise<void>
}
