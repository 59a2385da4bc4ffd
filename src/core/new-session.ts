// Makes the session of a sign-in.

import { Buffer } from 'node:buffer'
import { checkOptions, type OptionNames } from '../known-options.ts'
import { optionError, wrongKind } from '../option.ts'
import type { IssueOptions } from './api.ts'
import { readAuthTime, shiftAuthTime } from './auth-time.ts'
import { readClaims } from './claims.ts'
import { readLifetimes } from './lifetimes.ts'
import type { Parts } from './parts.ts'
import { beginSession, type Device, type Session } from './session.ts'
import { isStorable, isSubject, toIp, toStorable, unstorable } from './text.ts'

/** The names of the options of a sign-in. */
export const issueOptions: OptionNames<IssueOptions> = {
  claims: true,
  clientId: true,
  scope: true,
  authTime: true,
  amr: true,
  device: true,
  replaces: true,
  onReplaceFailed: true,
  idleTimeout: true,
  absoluteTimeout: true,
  accessTokenLifetime: true,
  persistent: true,
}

const deviceNames: OptionNames<Device> = { userAgent: true, ip: true, label: true }

/**
 * The most bytes of JSON of a `scope` and of an `amr`. They are in each access token, and verifiers reject tokens of more
 * than 16 kB.
 */
const maxLength = 1024

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
  const { clientId = session.clientId, scope = session.scope, authTime, amr = session.amr, device = {} } = given
  if (!isSubject(clientId)) {
    throw optionError(`\`clientId\` must be a string of 1 to 255 characters, without ${unstorable}.`)
  }
  if (!isStorable(scope) || !isShort(scope)) {
    throw optionError(`\`scope\` must be a string without ${unstorable}, at most ${maxLength} bytes of JSON.`)
  }
  checkOptions(device, deviceNames, 'device.')
  const idleExpiresAt = Math.min(now + (lifetimes.idleTimeout ?? settings.idleTimeout), expiresAt)
  return {
    ...session,
    ...lifetimes,
    clientId,
    scope,
    claims,
    authTime: authTime === undefined ? now : shiftAuthTime(readAuthTime(authTime, settings.clock?.()), parts.ahead()),
    amr: readAmr(amr),
    device: toDevice(device),
    idleExpiresAt,
  }
}

/** The stored form of `amr`. */
export function readAmr(amr: string[]): string[] {
  if (Array.isArray(amr) && amr.every(isStorable) && isShort(amr)) return amr
  throw optionError(`\`amr\` must be a list of strings without ${unstorable}, at most ${maxLength} bytes of JSON.`)
}

const isShort = (value: unknown) => Buffer.byteLength(JSON.stringify(value)) <= maxLength

/** The stored form of a device. */
function toDevice({ userAgent, ip, label }: Device): Device {
  const stored = { userAgent: toStorable(userAgent), ip: toIp(ip), label: toStorable(label) }
  return Object.fromEntries(Object.entries(stored).filter(([, text]) => text !== undefined))
}
