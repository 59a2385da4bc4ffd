// A sign-in that ends with a look at the password that it began with.

import { type Daypass, DaypassError, type IssueOptions } from 'daypass'
import type { Accounts } from './accounts.ts'
import type { PasswordSignIn } from './routes.ts'

/**
 * Checks after a session was written that the password is still the one that was checked. A password change ends the
 * sessions that are there; a sign-in with the old password that is under way at that moment must not outlive it.
 */
export function withPasswordCheck(auth: Daypass, accounts: Pick<Accounts, 'isCurrent'>): Daypass {
  async function issue(
    subject: string,
    { passwordHash, ...options }: IssueOptions & Partial<Pick<PasswordSignIn, 'passwordHash'>> = {},
  ) {
    if (passwordHash === undefined) return auth.issue(subject, options)
    // Sessions are replaced after the check: a sign-in that fails ends none.
    const { replaces = [], onReplaceFailed, ...begun } = options
    const tokens = await auth.issue(subject, begun)
    try {
      if (!(await accounts.isCurrent(subject, passwordHash))) throw new DaypassError('ERR_CREDENTIALS_INVALID')
    } catch (error) {
      await auth.revoke(tokens.session.id, { reason: 'password' })
      throw error
    }
    const ended = { reason: 'replaced', request: tokens.session.device } as const
    await Promise.all(
      replaces.map((token) => auth.revokeToken(token, ended).catch((error) => onReplaceFailed?.(error))),
    )
    return tokens
  }
  return { ...auth, issue }
}
