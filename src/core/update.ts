// Changes what a live session says: its claims, when and how the person proved who they are, and the name of the device.

import { checkConditions, checkOptions, type OptionNames } from '../known-options.ts'
import { optionError } from '../option.ts'
import type { SessionChanges, SessionInfo, UpdateOptions } from './api.ts'
import { readAuthTime, shiftAuthTime } from './auth-time.ts'
import { readClaims } from './claims.ts'
import { toSessionInfo } from './grant.ts'
import { readAmr } from './new-session.ts'
import type { Parts } from './parts.ts'
import type { Changes } from './session.ts'
import { toStorable } from './text.ts'

const changeNames: OptionNames<SessionChanges> = { claims: true, authTime: true, amr: true, label: true }
const optionNames: OptionNames<UpdateOptions> = { subject: true, request: true }

/** Makes {@link Daypass.update}. */
export function createUpdate<C>({ settings, store, clock, ahead, emit }: Parts<C>) {
  return async (
    sessionId: string,
    given: SessionChanges<C>,
    options: UpdateOptions = {},
  ): Promise<SessionInfo<C> | null> => {
    checkOptions(given, changeNames)
    checkOptions(options, optionNames)
    checkConditions(options, 'subject')
    const { subject, request } = options
    const { claims, authTime, amr, label } = given
    const changes: Changes = {
      ...(claims !== undefined && { claims: await readClaims(claims, settings.claims) }),
      ...(authTime !== undefined && { authTime: readAuthTime(authTime, settings.clock?.()) }),
      ...(amr !== undefined && { amr: readAmr(amr) }),
      ...(label !== undefined && { label: readLabel(label) }),
    }
    const changed = Object.keys(changes) as (keyof Changes)[]
    if (changed.length === 0) throw optionError('Give `claims`, `authTime`, `amr` or `label`.')
    if (typeof sessionId !== 'string') return null
    // Also opens the store, from when on it is known how far its clock is ahead.
    await store.ready()
    if (changes.authTime !== undefined) changes.authTime = shiftAuthTime(changes.authTime, ahead())
    // A session's subject never changes, so there is no race between this read and the call below.
    if (subject !== undefined && (await store.find(sessionId))?.subject !== subject) return null
    const session = await store.update(sessionId, clock(), changes)
    if (session === null) return null
    emit(session, { type: 'updated', changed }, request)
    return toSessionInfo<C>(session)
  }
}

function readLabel(label: unknown): string | null {
  const stored = label === null ? null : toStorable(label)
  if (stored === undefined) throw optionError('`label` must be a string, or null.')
  return stored
}
