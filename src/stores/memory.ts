// Memory store: sessions in this process, for tests, demos and single processes that may forget.

import { advance, isLive } from '../core/rotation.ts'
import { applyChanges, type Claims, type RevokedReason, type Session } from '../core/session.ts'
import type { Store } from '../core/store.ts'
import { parseJson } from '../json.ts'
import { otherIssuer } from './schema-record.ts'
import { idTaken } from './store-error.ts'

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
  const bySubject = new Map<string, Set<string>>()
  /** When each revoked session that is still there ended. */
  const revoked = new Map<string, number>()

  let claimedBy: string | undefined

  const idsOf = (subject: string) => [...(bySubject.get(subject) ?? [])]

  function revoke(id: string, now: number, reason: RevokedReason): Session | null {
    const row = rows.get(id)
    if (row === undefined || row.revokedAt !== null) return null
    const ended: Session = { ...row, revokedAt: now, revokedReason: reason }
    rows.set(id, ended)
    revoked.set(id, now)
    return copy(ended)
  }

  function remove(row: Session): void {
    rows.delete(row.id)
    revoked.delete(row.id)
    const ids = bySubject.get(row.subject)
    ids?.delete(row.id)
    if (ids?.size === 0) bySubject.delete(row.subject)
  }

  return {
    async open(issuer) {
      claimedBy ??= issuer
      if (claimedBy !== issuer) throw otherIssuer(claimedBy, issuer)
    },
    async create(session) {
      if (rows.has(session.id)) throw idTaken()
      rows.set(session.id, copy(session))
      if (session.revokedAt !== null) revoked.set(session.id, session.revokedAt)
      const ids = bySubject.get(session.subject)
      if (ids) ids.add(session.id)
      else bySubject.set(session.subject, new Set([session.id]))
    },
    async find(id) {
      const row = rows.get(id)
      return row === undefined ? null : copy(row)
    },
    async advance(step) {
      const row = rows.get(step.id)
      const session = row && advance(row, step)
      if (!session) return null
      rows.set(step.id, copy(session))
      // Made of the row before, which nothing else holds now.
      return { session, healed: row.generation < step.generation }
    },
    async update(id, now, changes) {
      const row = rows.get(id)
      if (row === undefined || !isLive(row, now)) return null
      const session = copy(applyChanges(row, changes))
      rows.set(id, session)
      return copy(session)
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
    async list(subject, now, limit) {
      return idsOf(subject)
        .map((id) => rows.get(id))
        .filter((row) => row !== undefined)
        .filter((row) => isLive(row, now))
        .sort((a, b) => b.createdAt - a.createdAt)
        .slice(0, limit)
        .map(copy)
    },
    async revokedSince(since) {
      const found: { id: string; revokedAt: number }[] = []
      for (const [id, revokedAt] of revoked) if (revokedAt >= since) found.push({ id, revokedAt })
      return found
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
      return pruned
    },
    async check() {},
    async close() {},
  }
}

/** Rows are copied on the way in and out, so an app that changes a session's claims changes no row. */
function copy(row: Session): Session {
  return {
    ...row,
    claims: copyClaims(row.claims),
    secret: new Uint8Array(row.secret),
    parentSalt: row.parentSalt && new Uint8Array(row.parentSalt),
    parentKey: row.parentKey && new Uint8Array(row.parentKey),
    amr: [...row.amr],
    device: { ...row.device },
  }
}

function copyClaims(claims: Claims): Claims {
  for (const _ in claims) return parseJson(JSON.stringify(claims)) as Claims
  return {}
}
