// Ends one session: in the store, in this process's list of revoked sessions, and with an event.

import type { RequestOrigin } from './events.ts'
import type { Parts } from './parts.ts'
import type { RevokedReason, Session } from './session.ts'

/** Ends one session. Returns true if this call ended it; `before` is then called ahead of the event `revoked`. */
export type EndSession = (
  sessionId: string,
  reason: RevokedReason,
  request?: RequestOrigin,
  before?: (session: Session) => void,
) => Promise<boolean>

export function createEnd<C>({ store, clock, emit, revocations }: Parts<C>): EndSession {
  return async (sessionId, reason, request, before) => {
    await store.ready()
    const now = clock()
    const session = await store.revoke(sessionId, now, reason)
    // Use the row's spelling of the id, because access tokens contain that one.
    revocations.add(session?.id ?? sessionId, now)
    if (session === null) return false
    before?.(session)
    emit(session, { type: 'revoked', reason }, request)
    return true
  }
}
