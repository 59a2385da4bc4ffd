// Looks up the subject of a session: whether the app still knows them, and which claims they have now.

import { DaypassError } from '../errors.ts'
import { checkOptions, type OptionNames } from '../known-options.ts'
import { readClaims } from './claims.ts'
import { toSessionInfo } from './grant.ts'
import type { FoundSubject } from './options.ts'
import type { Parts } from './parts.ts'
import type { Current, Session } from './session.ts'

const foundNames: OptionNames<FoundSubject> = { claims: true, user: true }

/**
 * Calls the app's `findSubject`. Returns the session with the claims that the subject has now and the `user` for the client,
 * or null if the app does not know the subject any more. Without `findSubject`, the session is returned as it is.
 *
 * @throws DaypassError `ERR_SUBJECT_CHECK_FAILED` if `findSubject` throws, its `user` is not JSON or it returns a member that
 *   does not exist; `ERR_CLAIMS_INVALID` if its claims are invalid.
 */
export async function lookUp<C>({ settings }: Parts<C>, session: Session): Promise<Current | null> {
  const { findSubject, claims: schema } = settings
  if (findSubject === undefined) return { session, user: undefined }
  const found = await callApp(async () => {
    const found = await findSubject(session.subject, toSessionInfo<C>(session))
    // A misspelled member would leave a role that was taken away.
    if (found) checkOptions(found, foundNames, 'findSubject.')
    // Fail here if it is not JSON: the response is made after the token is redeemed.
    JSON.stringify(found?.user)
    return found
  })
  if (!found) return null
  const { claims, user } = found
  return { session: claims === undefined ? session : { ...session, claims: await readClaims<C>(claims, schema) }, user }
}

async function callApp<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call()
  } catch (cause) {
    throw new DaypassError('ERR_SUBJECT_CHECK_FAILED', undefined, { cause })
  }
}
