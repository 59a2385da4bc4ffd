// The types of a sign-in over HTTP.

import type { IssueOptions } from '../core/api.ts'
import type { Claims } from '../core/session.ts'

/** How the refresh token travels: in a cookie that script cannot read (browsers), or in JSON (everything else). */
export type Transport = 'cookie' | 'body'

/** The person who signed in, and what the session should know. */
export interface SignIn<C = Claims, User = unknown> extends IssueOptions<C> {
  subject: string
  /** Returned to the caller beside the tokens, as `user`. */
  user?: User
}

/** The request of a sign-in, as `authenticate` sees it. */
export interface SignInRequest {
  ip?: string | undefined
  userAgent?: string | undefined
  /** The value of a header, by its name in lower case. */
  header(name: string): string | undefined
}
