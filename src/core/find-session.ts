// Reads who is signed in, by a refresh token that is not redeemed: for a page that is rendered on a server.

import type { FoundSession } from './api.ts'
import { toSessionInfo } from './grant.ts'
import type { Parts } from './parts.ts'
import { isTagged, maxGeneration, readRefreshToken } from './refresh-token.ts'
import { isReadable } from './rotation.ts'
import { lookUp } from './subject.ts'

/** Makes {@link Daypass.findSession}. */
export function createFindSession<C>(parts: Parts<C>) {
  const { settings, store, clock } = parts

  return async (refreshToken: string): Promise<FoundSession<C> | null> => {
    const token = readRefreshToken(refreshToken, parts)
    if (token === null || token.generation > maxGeneration) return null
    // Open the store before reading the clock: from then on the clock follows the store's.
    await store.ready()
    const row = await store.find(token.sessionId)
    const now = clock()
    // A token that is reused is left to the next refresh, which ends the session. Reading changes nothing.
    if (row === null || !isTagged(token, row) || !isReadable(row, token, now, settings)) return null
    const current = await lookUp(parts, row)
    if (current === null) return null
    const { session, user } = current
    const createAccessToken = async () => parts.sign(session, clock())
    return { ...toSessionInfo<C>(session), user, createAccessToken }
  }
}
