// `daypass/react`: the session in a component.

import { useSyncExternalStore } from 'react'
import { DaypassClientError } from './errors.ts'
import type { DaypassClient, SessionSnapshot } from './types.ts'

/** The snapshot on a server, and in a page until it is hydrated. */
const unknown: SessionSnapshot<never, never> = { status: 'unknown' }
const getServerSession = () => unknown

/**
 * The session as the client knows it now. The component renders again when it changes. No provider is needed: pass the
 * client that the rest of the app uses.
 *
 * The first component that uses it sends one request to the server: `unknown` becomes `signed-in` or `signed-out`. While a
 * component uses it, the session is kept up to date, as `client.subscribe` says. There is one request even if it is mounted
 * twice (StrictMode) or used in a hundred components. On a server it is `unknown` and sends no request. Hydration begins
 * with the same snapshot, so both render the same.
 *
 * @returns The same object until something changes.
 * @throws DaypassClientError ERR_OPTION_INVALID without a client.
 * @example
 * ```ts
 * import { createElement } from 'react'
 * import { createClient } from 'daypass/client'
 * import { useSession } from 'daypass/react'
 *
 * const client = createClient({ baseUrl: '/auth' })
 *
 * export function Greeting() {
 *   const { status, session } = useSession(client)
 *   if (session) return `Hello ${session.subject}`
 *   return status === 'signed-out' ? createElement('a', { href: '/login' }, 'Sign in') : null
 * }
 * ```
 */
export function useSession<C, User>(
  client: Pick<DaypassClient<C, object, User>, 'subscribe' | 'getSession'>,
): SessionSnapshot<C, User> {
  if (!client) throw new DaypassClientError('ERR_OPTION_INVALID', { reason: 'useSession(createClient(…))' })
  return useSyncExternalStore(client.subscribe, client.getSession, getServerSession)
}
