// Lists the live sessions of a subject.

import type { SessionInfo } from './api.ts'
import { toSessionInfo } from './grant.ts'
import type { Parts } from './parts.ts'
import { isSubject } from './text.ts'

/** The maximum length of the list. */
const maxListed = 1000

/** Makes {@link Daypass.sessions}. */
export function createListSessions<C>({ store, clock }: Parts<C>) {
  return async (subject: string): Promise<SessionInfo<C>[]> => {
    await store.ready()
    // An engine that alters such a text would list another subject's sessions.
    if (!isSubject(subject)) return []
    return (await store.list(subject, clock(), maxListed)).map((session) => toSessionInfo<C>(session))
  }
}
