// Which sessions were ended while their access tokens still look good?

import { setTimeout as delay } from 'node:timers/promises'
import type { Store } from './types.ts'

/** What this process knows of ended sessions. */
export interface Revocations {
  has(sessionId: string): boolean
  add(sessionId: string, revokedAt: number): void
  /** Whether the last look at the store is recent enough to answer without another. */
  isFresh(now: number): boolean
  /** Looks at the store, once for all who ask at the same time. A store that is away leaves what was known. */
  refresh(now: number): Promise<void>
}

// Clocks of several instances may differ, and a row's instant is taken before its transaction ends.
const overlap = 10_000
const maxWait = 500

/**
 * Holds the ids of sessions revoked within the last access-token lifetime: after that no token of theirs is left.
 * What this process revokes is known at once; what others did, within `maxStaleness` (milliseconds), at the price of one
 * indexed look-up in that time however many tokens are checked.
 */
export function createRevocations(store: Store, lifetime: number, maxStaleness: number): Revocations {
  const revoked = new Map<string, number>()
  let askedAt = Number.NEGATIVE_INFINITY
  let answeredAt = Number.NEGATIVE_INFINITY
  let looking: Promise<void> | undefined

  async function look(now: number): Promise<void> {
    askedAt = now
    const since = Math.max(answeredAt, now - lifetime) - overlap
    try {
      for (const { id, revokedAt } of await store.revokedSince(since)) revoked.set(id, revokedAt)
      answeredAt = now
    } catch {
      // A verifier asks nobody: the store being away must not sign out everyone. The next look is in a second.
    }
    for (const [id, revokedAt] of revoked) if (revokedAt < now - lifetime - overlap) revoked.delete(id)
  }

  return {
    has: (sessionId) => revoked.has(sessionId),
    add: (sessionId, revokedAt) => revoked.set(sessionId, revokedAt),
    // The very first look is waited for by everyone: before it, nothing is known of what others revoked.
    isFresh: (now) => Math.abs(now - askedAt) < maxStaleness && (answeredAt > 0 || looking === undefined),
    refresh(now) {
      looking ??= look(now).finally(() => {
        looking = undefined
      })
      // A store that hangs must not hang whoever only checks a token.
      return Promise.race([looking, delay(maxWait, undefined, { ref: false })])
    },
  }
}
