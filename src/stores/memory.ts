// Sessions in this process's memory: for tests, demos and single processes that may forget.

import { advance, isBurst } from '../core/rotation.ts'
import type { RevokedReason, Session, Store } from '../core/types.ts'

/**
 * A store that forgets everything when the process ends. For anything that people sign in to, use a store on disk.
 *
 * @example
 * ```ts
 * import { createDaypass } from 'daypass'
 * import { createMemoryStore } from 'daypass/memory'
 *
 * const auth = createDaypass({ secret: process.env.DAYPASS_SECRET!, issuer: 'test', store: createMemoryStore() })
 * ```
 */
export function createMemoryStore(): Store {
  const rows = new Map<string, Session>()
  // Rows are replaced, never changed, so what was handed out stays what it was.
  const bySubject = new Map<string, Set<string>>()
  // In the order they were revoked: the newest are read from the end.
  const revoked: { id: string; revokedAt: number }[] = []

  const idsOf = (subject: string) => [...(bySubject.get(subject) ?? [])]

  function revoke(id: string, now: number, reason: RevokedReason): Session | null {
    const row = rows.get(id)
    if (row === undefined || row.revokedAt !== null) return null
    const ended: Session = { ...row, revokedAt: now, revokedReason: reason }
    rows.set(id, ended)
    revoked.push({ id, revokedAt: now })
    return ended
  }

  function remove(row: Session): void {
    rows.delete(row.id)
    const ids = bySubject.get(row.subject)
    ids?.delete(row.id)
    if (ids?.size === 0) bySubject.delete(row.subject)
  }

  return {
    async create(session) {
      rows.set(session.id, session)
      const ids = bySubject.get(session.subject)
      if (ids) ids.add(session.id)
      else bySubject.set(session.subject, new Set([session.id]))
    },
    async find(id) {
      return rows.get(id) ?? null
    },
    async advance(step) {
      const row = rows.get(step.id)
      const session = row === undefined ? null : advance(row, step)
      if (session === null) return null
      rows.set(step.id, session)
      return { session, healed: row!.generation < step.generation }
    },
    async renewBurst(id, generation, now, reuseInterval) {
      const row = rows.get(id)
      if (row === undefined || row.revokedAt !== null || row.generation !== generation + 1) return false
      if (!isBurst(row, now, reuseInterval)) rows.set(id, { ...row, burstAt: now, burstGeneration: generation })
      return true
    },
    async revoke(id, now, reason) {
      return revoke(id, now, reason)
    },
    async revokeSubject(subject, now, reason, exceptId) {
      return idsOf(subject)
        .filter((id) => id !== exceptId)
        .map((id) => revoke(id, now, reason))
        .filter((row) => row !== null)
    },
    async list(subject, now) {
      return idsOf(subject)
        .map((id) => rows.get(id)!)
        .filter((row) => row.revokedAt === null && row.expiresAt > now && row.idleExpiresAt > now)
        .sort((a, b) => b.createdAt - a.createdAt)
    },
    async revokedSince(since) {
      return revoked.filter(({ revokedAt }) => revokedAt >= since)
    },
    async prune(before, limit) {
      let pruned = 0
      for (const row of rows.values()) {
        if (pruned === limit) break
        const over = Math.min(row.expiresAt, row.idleExpiresAt, row.revokedAt ?? Number.POSITIVE_INFINITY)
        if (over >= before) continue
        remove(row)
        pruned++
      }
      while (revoked.length > 0 && revoked[0]!.revokedAt < before) revoked.shift()
      return pruned
    },
    async check() {},
    async close() {},
  }
}
