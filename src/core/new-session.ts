// Makes the session of a sign-in.

import { DaypassError } from '../errors.ts'
import { wrongKind } from '../option.ts'
import type { IssueOptions } from './api.ts'
import { readClaims } from './claims.ts'
import { readLifetimes } from './lifetimes.ts'
import type { Parts } from './parts.ts'
import { beginSession, type Device, type Session } from './session.ts'
import { isStorable, isSubject, toIp, toStorable, unstorable } from './text.ts'

/**
 * Makes the session of a sign-in. Writes nothing.
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
    throw wrongKind(
      'subject',
      subject,
      `Give a string of 1 to 255 characters, without ${unstorable}, such as \`String(user.id)\`.`,
    )
  }
  // Without claims, `findSubject` provides them.
  const isFound = given.claims === undefined && settings.findSubject !== undefined
  const claims = isFound ? {} : await readClaims(given.claims, settings.claims)
  const { absoluteTimeout, ...lifetimes } = readLifetimes(given, settings)
  const expiresAt = now + absoluteTimeout
  const secret = settings.random(16)
  const session = beginSession({ id, subject, clientId: settings.clientId, secret, createdAt: now, expiresAt })
  const { clientId = session.clientId, scope = session.scope, authTime = now, amr = session.amr, device = {} } = given
  for (const [name, text] of Object.entries({ clientId, scope })) {
    if (!isStorable(text)) throw wrong(`\`${name}\` must be a string without ${unstorable}.`)
  }
  const idleExpiresAt = Math.min(now + (lifetimes.idleTimeout ?? settings.idleTimeout), expiresAt)
  return {
    ...session,
    ...lifetimes,
    clientId,
    scope,
    claims,
    authTime: readAuthTime(authTime),
    amr: readAmr(amr),
    device: toDevice(device),
    idleExpiresAt,
  }
}

/** The stored form of `authTime`. Rows hold whole milliseconds; an instant from a JWT may have a fraction (RFC 7519 §2). */
export function readAuthTime(authTime: number): number {
  if (Number.isFinite(authTime)) return Math.floor(authTime)
  throw wrong('`authTime` must be epoch milliseconds.')
}

/** The stored form of `amr`. */
export function readAmr(amr: string[]): string[] {
  if (Array.isArray(amr) && amr.every(isStorable)) return amr
  throw wrong(`\`amr\` must be a list of strings without ${unstorable}.`)
}

/** The stored form of a device. */
function toDevice({ userAgent, ip, label }: Device): Device {
  const stored = { userAgent: toStorable(userAgent), ip: toIp(ip), label: toStorable(label) }
  return Object.fromEntries(Object.entries(stored).filter(([, text]) => text !== undefined))
}

const wrong = (message: string) => new DaypassError('ERR_OPTION_INVALID', message)
