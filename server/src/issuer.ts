// Opens the sessions for an issuer: the one of the settings, or the one of this machine that the database has.

import { DaypassError, isDaypassError, type Store } from 'daypass'
import { type Config, isThisMachine } from './config.ts'
import type { LogError } from './log.ts'

/**
 * Returns the issuer that the database's sessions are open for. A database that does not respond is used later.
 *
 * @throws DaypassError `ERR_OPTION_INVALID` where the sessions belong to another issuer.
 */
export async function openForIssuer(
  sessions: Store,
  { issuer, port }: Pick<Config, 'issuer' | 'port'>,
  logError: LogError,
): Promise<string> {
  const wanted = issuer ?? `http://localhost:${port}`
  try {
    await sessions.open(wanted)
    return wanted
  } catch (error) {
    const found = isDaypassError(error, 'ERR_STORE_ISSUER') && (error.cause as { issuer: unknown }).issuer
    if (typeof found !== 'string') {
      logError('the database cannot be used yet', error)
      return wanted
    }
    if (issuer !== undefined) {
      throw new DaypassError(
        'ERR_OPTION_INVALID',
        `DAYPASS_ISSUER is ${issuer}, and the sessions in this database belong to ${found}. Set it back, or give the new issuer tables of its own, such as DAYPASS_PREFIX=daypass2: accounts stay, and everybody signs in again.`,
      )
    }
    // The port of a trial has changed.
    if (isThisMachine(found)) return found
    throw new DaypassError(
      'ERR_OPTION_INVALID',
      `DAYPASS_ISSUER is not set, and the sessions in this database belong to ${found}. Set DAYPASS_ISSUER to it.`,
    )
  }
}
