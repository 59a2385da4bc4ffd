// One session ends: in the store, in what this process knows, and in an event.

import type { RequestOrigin } from './events.ts'
import type { Parts } from './parts.ts'
import type { RevokedReason, Session } from './session.ts'

/** Ends one session. True where this call ended it; `before` is called then, ahead of the event `revoked`. */
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
    // The row's own spelling of its id, which is the one in its access tokens.
    revocations.add(session?.id ?? sessionId, now)
    if (session === null) return false
    before?.(session)
    emit(session, { type: 'revoked', reason }, request)
    return true
  }
}
