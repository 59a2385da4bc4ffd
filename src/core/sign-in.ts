// Begins a session at a sign-in.

import { DaypassError } from '../errors.ts'
import { checkOptions } from '../known-options.ts'
import type { IssueOptions, Tokens } from './api.ts'
import { base64url } from './bytes.ts'
import { issueOptions, newSession } from './new-session.ts'
import type { Parts } from './parts.ts'
import type { Session } from './session.ts'
import type { SignOut } from './sign-out.ts'
import { lookUp } from './subject.ts'

/**
 * When a session was last used. A sign-in counts as a minute later than it was: its instant was read before the app checked
 * the claims and a signer signed. Refreshes of other sessions meanwhile must not end the session that is just beginning.
 */
const lastUse = ({ generation, rotatedAt }: Session) => (generation === 0 ? rotatedAt + 60_000 : rotatedAt)

/** Makes {@link Daypass.issue}. */
export function createSignIn<C>(parts: Parts<C>, { end, revokeToken }: SignOut) {
  const { store, clock, emit, pruner } = parts
  const { random, maxSessionsPerSubject } = parts.settings

  async function issue(subject: string, given: IssueOptions<C> = {}): Promise<Tokens<C>> {
    checkOptions(given, issueOptions)
    await store.ready()
    const now = clock()
    const begun = await newSession(parts, base64url(random(16)), subject, now, given)
    const current = given.claims === undefined ? await lookUp(parts, begun) : { session: begun, user: undefined }
    if (current === null) throw new DaypassError('ERR_SUBJECT_INACTIVE')
    const { session } = current
    // Sign before writing the row: if the signer fails, there must be no session without a holder.
    const accessToken = await parts.sign(session, now)
    await store.create(session)
    emit(session, { type: 'issued' }, session.device)
    // End replaced sessions after the new one is written, so that a failed sign-in keeps the old session. End them before
    // the surplus is counted, so that a replaced session does not displace one of another device.
    await Promise.all((given.replaces ?? []).map((token) => endReplaced(token, session, given.onReplaceFailed)))
    await endSurplus(subject, now)
    pruner.maybe()
    return parts.grant(current, accessToken, random(8), now)
  }

  async function endReplaced(token: string, { device }: Session, onFailed?: (error: unknown) => void): Promise<void> {
    try {
      await revokeToken(token, { reason: 'replaced', request: device })
    } catch (error) {
      onFailed?.(error)
    }
  }

  /**
   * Ends the longest unused sessions above `maxSessionsPerSubject`. Called after the new session is written, so that
   * simultaneous sign-ins count the same rows and end the same ones. Errors are ignored: the caller must get the tokens of
   * the session that is already written. The next sign-in ends the rest.
   */
  async function endSurplus(subject: string, now: number): Promise<void> {
    if (maxSessionsPerSubject === Number.POSITIVE_INFINITY) return
    try {
      // Allow for 100 rows of simultaneous sign-ins. If the limit was lowered, several sign-ins bring the number down.
      const sessions = await store.list(subject, now, maxSessionsPerSubject + 100)
      sessions.sort((a, b) => lastUse(b) - lastUse(a) || (a.id < b.id ? -1 : 1))
      for (const { id } of sessions.slice(maxSessionsPerSubject)) await end(id, 'limit')
    } catch {}
  }

  return { issue, endSurplus }
}
