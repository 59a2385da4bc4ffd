// A session begins.

import type { IssueOptions, Tokens } from './api.ts'
import { base64url } from './bytes.ts'
import { newSession } from './new-session.ts'
import type { Parts } from './parts.ts'
import type { Session } from './session.ts'
import type { SignOut } from './sign-out.ts'

/**
 * A sign-in outranks the refreshes of the same minute. Its instant was read before the app checked the claims and a
 * signer signed; a refresh elsewhere meanwhile must not end the session that the person is about to get.
 */
const lastUse = ({ generation, rotatedAt }: Session) => (generation === 0 ? rotatedAt + 60_000 : rotatedAt)

/** Makes {@link Daypass.issue}. */
export function createSignIn<C>(parts: Parts<C>, { end, revokeToken }: SignOut) {
  const { store, clock, emit, pruner } = parts
  const { random, maxSessionsPerSubject } = parts.settings

  async function issue(subject: string, given: IssueOptions<C> = {}): Promise<Tokens<C>> {
    await store.ready()
    const now = clock()
    const session = await newSession(parts, base64url(random(16)), subject, now, given)
    // Signed before it is written: a signer that is away leaves no session that nobody holds.
    const accessToken = await parts.sign(session, now)
    await store.create(session)
    emit(session, { type: 'issued' }, session.device)
    // After the new one is written: a sign-in that fails leaves the old one. Before the surplus is counted: the session
    // that is replaced must not push out one of another device.
    await Promise.all((given.replaces ?? []).map((token) => endReplaced(token, session, given.onReplaceFailed)))
    await endSurplus(subject, now)
    pruner.maybe()
    return parts.grant(session, accessToken, random(8), now)
  }

  async function endReplaced(token: string, { device }: Session, onFailed?: (error: unknown) => void): Promise<void> {
    try {
      await revokeToken(token, { reason: 'replaced', request: device })
    } catch (error) {
      onFailed?.(error)
    }
  }

  /**
   * Ends the longest unused sessions above `maxSessionsPerSubject`. Called after the new session is written: whoever
   * signs in at the same time counts the same rows and ends the same ones. A store that fails now must not lose the
   * tokens of the session that is there already, so the next sign-in ends what is left over.
   */
  async function endSurplus(subject: string, now: number): Promise<void> {
    if (maxSessionsPerSubject === Number.POSITIVE_INFINITY) return
    try {
      // The rows of sign-ins that run at the same time come on top; a limit that was lowered is reached step by step.
      const sessions = await store.list(subject, now, maxSessionsPerSubject + 100)
      sessions.sort((a, b) => lastUse(b) - lastUse(a) || (a.id < b.id ? -1 : 1))
      for (const { id } of sessions.slice(maxSessionsPerSubject)) await end(id, 'limit')
    } catch {}
  }

  return { issue, endSurplus }
}
