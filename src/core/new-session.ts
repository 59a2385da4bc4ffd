// A session as it is at the sign-in.

import { DaypassError } from '../errors.ts'
import type { IssueOptions } from './api.ts'
import { readClaims } from './claims.ts'
import type { Parts } from './parts.ts'
import type { Session } from './session.ts'

/** A session of which nothing is known but its subject. `expiresAt` is its absolute end. */
export function blankSession<C>(
  { settings: { clientId, random } }: Parts<C>,
  id: string,
  subject: string,
  now: number,
  expiresAt: number,
): Session {
  return {
    id,
    subject,
    clientId,
    scope: '',
    claims: {},
    generation: 0,
    secret: random(16),
    parentSalt: null,
    parentKey: null,
    burstAt: 0,
    burstGeneration: 0,
    prevBurstGeneration: 0,
    rotatedAt: now,
    createdAt: now,
    authTime: now,
    amr: [],
    idleExpiresAt: expiresAt,
    expiresAt,
    jkt: null,
    device: {},
    revokedAt: null,
    revokedReason: null,
  }
}

/**
 * A session as it is at the sign-in; nothing is written.
 *
 * @throws DaypassError `ERR_OPTION_INVALID`, `ERR_CLAIMS_INVALID`.
 */
export async function newSession<C>(
  parts: Parts<C>,
  id: string,
  subject: string,
  now: number,
  given: IssueOptions<C>,
): Promise<Session> {
  const { settings } = parts
  // Half a surrogate pair or a NUL is no text to every engine: two subjects could become one.
  if (typeof subject !== 'string' || !/^[^\0\p{Surrogate}]{1,255}$/u.test(subject)) {
    throw new DaypassError('ERR_OPTION_INVALID', 'The subject must be a text of 1 to 255 characters.')
  }
  const claims = await readClaims(given.claims, settings.claims)
  const session = blankSession(parts, id, subject, now, now + settings.absoluteTimeout)
  const { clientId = session.clientId, scope = session.scope, authTime = now, amr = session.amr, device = {} } = given
  if (!Number.isFinite(authTime)) {
    throw new DaypassError('ERR_OPTION_INVALID', '`authTime` must be epoch milliseconds.')
  }
  const idleExpiresAt = Math.min(now + settings.idleTimeout, session.expiresAt)
  // Rows hold whole milliseconds; an instant of another scheme may have a fraction (RFC 7519 §2).
  return { ...session, clientId, scope, claims, authTime: Math.floor(authTime), amr, device, idleExpiresAt }
}
