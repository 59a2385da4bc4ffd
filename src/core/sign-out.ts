// A session ends, or all sessions of a subject do.

import type { Adoption } from './adoption.ts'
import type { RevokeOptions } from './api.ts'
import type { RequestOrigin } from './events.ts'
import type { Parts } from './parts.ts'
import { isTagged, readRefreshToken } from './refresh-token.ts'
import type { RevokedReason, Session } from './session.ts'

/** Ends one session. True where this call ended it; `before` is called then, ahead of the event `revoked`. */
export type EndSession = (
  sessionId: string,
  reason: RevokedReason,
  request?: RequestOrigin,
  before?: (session: Session) => void,
) => Promise<boolean>

export type SignOut = ReturnType<typeof createSignOut>

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

/** Makes {@link Daypass.revoke}, {@link Daypass.revokeToken} and {@link Daypass.revokeSubject}. */
export function createSignOut<C>(parts: Parts<C>, end: EndSession, adoption: Adoption | undefined) {
  const { store, clock, emit, revocations } = parts

  return {
    end,

    async revoke(
      sessionId: string,
      { reason = 'sign-out', request, subject }: RevokeOptions & { subject?: string } = {},
    ): Promise<boolean> {
      // A session's subject never changes, so there is no race between this look and the call below.
      if (subject !== undefined && (await store.find(sessionId))?.subject !== subject) return false
      return end(sessionId, reason, request)
    },

    async revokeToken(text: string, { reason = 'sign-out', request, sessionId }: RevokeOptions = {}): Promise<boolean> {
      const token = readRefreshToken(text, parts)
      if (token === null) {
        const old = adoption === undefined ? null : await adoption.read(text)
        return old !== null && adoption !== undefined && adoption.revoke(old, reason, request)
      }
      if (sessionId !== undefined && sessionId !== token.sessionId) return false
      const session = await store.find(token.sessionId)
      if (session === null || !isTagged(token, session)) return false
      return end(session.id, reason, request)
    },

    async revokeSubject(
      subject: string,
      { reason = 'sign-out', request, except }: RevokeOptions & { except?: string } = {},
    ): Promise<number> {
      await store.ready()
      const now = clock()
      const ended = await store.revokeSubject(subject, now, reason, except)
      for (const session of ended) {
        revocations.add(session.id, now)
        emit(session, { type: 'revoked', reason }, request)
      }
      return ended.length
    },
  }
}
