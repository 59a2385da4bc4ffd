// A session as a sign-in makes it.

import { DaypassError } from '../errors.ts'
import type { IssueOptions } from './api.ts'
import { readClaims } from './claims.ts'
import type { Parts } from './parts.ts'
import { beginSession, type Device, type Session } from './session.ts'
import { isKeepable, isSubject, toIp, toKeepable, unkeepable } from './text.ts'

/**
 * A session as a sign-in makes it. Nothing is written.
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
  if (!isSubject(subject)) {
    throw wrong(`The subject must be a text of 1 to 255 characters, without ${unkeepable}.`)
  }
  const claims = await readClaims(given.claims, settings.claims)
  const expiresAt = now + settings.absoluteTimeout
  const secret = settings.random(16)
  const session = beginSession({ id, subject, clientId: settings.clientId, secret, createdAt: now, expiresAt })
  const { clientId = session.clientId, scope = session.scope, authTime = now, amr = session.amr, device = {} } = given
  if (!Number.isFinite(authTime)) throw wrong('`authTime` must be epoch milliseconds.')
  for (const [name, text] of Object.entries({ clientId, scope })) {
    if (!isKeepable(text)) throw wrong(`\`${name}\` must be a text without ${unkeepable}.`)
  }
  if (!Array.isArray(amr) || !amr.every(isKeepable)) {
    throw wrong(`\`amr\` must be a list of texts without ${unkeepable}.`)
  }
  const idleExpiresAt = Math.min(now + settings.idleTimeout, expiresAt)
  // Rows hold whole milliseconds; an instant of another scheme may have a fraction (RFC 7519 §2).
  return {
    ...session,
    clientId,
    scope,
    claims,
    authTime: Math.floor(authTime),
    amr,
    device: toDevice(device),
    idleExpiresAt,
  }
}

/** What is known of a device, as it is kept. */
function toDevice({ userAgent, ip, label }: Device): Device {
  const kept = { userAgent: toKeepable(userAgent), ip: toIp(ip), label: toKeepable(label) }
  return Object.fromEntries(Object.entries(kept).filter(([, text]) => text !== undefined))
}

const wrong = (message: string) => new DaypassError('ERR_OPTION_INVALID', message)
