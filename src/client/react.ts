// daypass/react: how does a component know who is signed in?

import { useSyncExternalStore } from 'react'
import type { DaypassClient, SessionSnapshot } from './types.ts'

/** What is known where nobody can be asked: on a server, and in a page until it is hydrated. */
const unknown: SessionSnapshot<any> = { status: 'unknown' }
const getServerSession = () => unknown

/**
 * The session as the client knows it now; the component renders again when that changes. No provider: give it the client
 * that the rest of the app calls with.
 *
 * The first component that uses it asks the server, once: `unknown` becomes `signed-in` or `signed-out`. While any uses it
 * the session is kept up to date, as `client.subscribe` says. Mounted twice (StrictMode), in a hundred components or on
 * many pages, it is one question all the same. Rendered on a server it is `unknown` and asks nobody, and hydration begins
 * with just that, so what both render is the same.
 *
 * @returns The same object until something changes.
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
 *   if (status === 'unknown') return null
 *   return session ? `Hello ${session.subject}` : createElement('a', { href: '/login' }, 'Sign in')
 * }
 * ```
 */
export function useSession<C>(client: Pick<DaypassClient<C>, 'subscribe' | 'getSession'>): SessionSnapshot<C> {
  return useSyncExternalStore(client.subscribe, client.getSession, getServerSession)
}
