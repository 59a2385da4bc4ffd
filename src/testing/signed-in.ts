// The headers of a request by a person who is signed in.

import type { Daypass, IssueArguments } from '../core/api.ts'

/** The headers of a person who is signed in. A type, because fetch takes no interface for its headers. */
export type SignedInHeaders = {
  /** The access token, for routes behind `requireAuth`. */
  authorization: string
  /** The refresh token in the default cookie, for pages that call `findSession`. */
  cookie: string
}

/**
 * Begins a session, and returns the headers that a request of its person has. For an app's own tests.
 *
 * @param options The options of `auth.issue`.
 * @example
 * ```ts
 * import { createDaypass } from 'daypass'
 * import { createMemoryStore } from 'daypass/memory'
 * import { createSignedInHeaders } from 'daypass/testing'
 *
 * const auth = createDaypass({ secret: 'only for tests'.repeat(3), issuer: 'https://example.com', store: createMemoryStore() })
 * const headers = await createSignedInHeaders(auth, 'ada', { claims: { role: 'admin' } })
 * const response = await fetch('http://localhost:3000/orders', { headers })
 * console.log(response.status)
 * ```
 */
export async function createSignedInHeaders<C, Finds extends boolean = false>(
  auth: Daypass<C, Finds>,
  subject: string,
  ...options: IssueArguments<C, Finds>
): Promise<SignedInHeaders> {
  const { accessToken, refreshToken } = await auth.issue(subject, ...options)
  return { authorization: `Bearer ${accessToken}`, cookie: `__Host-daypass=${refreshToken}` }
}
