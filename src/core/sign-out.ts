// Ends one session, or all sessions of a subject.

import { checkConditions, checkOptions, type OptionNames } from '../known-options.ts'
import type { Adoption } from './adoption.ts'
import type { RevokeOptions } from './api.ts'
import type { EndSession } from './end-session.ts'
import type { Parts } from './parts.ts'
import { isTagged, readRefreshToken } from './refresh-token.ts'
import { isSubject } from './text.ts'

const revokeOptions: OptionNames<RevokeOptions> = { sessionId: true, reason: true, request: true }

export type SignOut = ReturnType<typeof createSignOut>

/** Makes {@link Daypass.revoke}, {@link Daypass.revokeToken} and {@link Daypass.revokeSubject}. */
export function createSignOut<C>(parts: Parts<C>, end: EndSession, adoption: Adoption | undefined) {
  const { store, clock, emit, revocations } = parts

  return {
    end,

    async revoke(sessionId: string, options: RevokeOptions & { subject?: string } = {}): Promise<boolean> {
      checkOptions(options, { ...revokeOptions, subject: true })
      checkConditions(options, 'sessionId', 'subject')
      if (typeof sessionId !== 'string') return false
      const { reason = 'sign-out', request, subject } = options
      // A session's subject never changes, so there is no race between this read and the call below.
      if (subject !== undefined && (await store.find(sessionId))?.subject !== subject) return false
      return end(sessionId, reason, request)
    },

    async revokeToken(text: string, options: RevokeOptions = {}): Promise<boolean> {
      checkOptions(options, revokeOptions)
      checkConditions(options, 'sessionId')
      const { reason = 'sign-out', request, sessionId } = options
      const token = readRefreshToken(text, parts)
      if (token === null) {
        const old = await adoption?.read(text)
        if (!old || !adoption || (sessionId !== undefined && sessionId !== old.sessionId)) return false
        return adoption.revoke(old, reason, request)
      }
      if (sessionId !== undefined && sessionId !== token.sessionId) return false
      const session = await store.find(token.sessionId)
      if (session === null || !isTagged(token, session)) return false
      return end(session.id, reason, request)
    },

    async revokeSubject(subject: string, options: RevokeOptions & { except?: string } = {}): Promise<number> {
      checkOptions(options, { ...revokeOptions, except: true })
      checkConditions(options, 'except')
      const { reason = 'sign-out', request, except } = options
      await store.ready()
      // An engine that alters such a text would end another subject's sessions.
      if (!isSubject(subject)) return 0
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
