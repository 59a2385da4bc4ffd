// Trades refresh tokens of an older scheme for sessions, each exactly once, even if a response is lost.
//
// An old token is treated as the token before the first one: it has generation −1 in a session whose id is derived from
// it. So the rules of rotation.ts apply: it is rotated, replayed, superseded or reused like any other token. Writing the
// row redeems the token. If two requests bring it at once, one writes the row and the other finds it.

import { hash } from 'node:crypto'
import { DaypassError } from '../errors.ts'
import { checkOptions, type OptionNames } from '../known-options.ts'
import type { Adopted, Adopter, RefreshOptions } from './api.ts'
import type { EndSession } from './end-session.ts'
import type { RequestOrigin } from './events.ts'
import { issueOptions, newSession } from './new-session.ts'
import type { Parts } from './parts.ts'
import type { RefreshToken } from './refresh-token.ts'
import { afterAdvance } from './rotation.ts'
import { beginSession, type Current, type RevokedReason, type Session } from './session.ts'
import type { Advance, Advanced } from './store.ts'
import { lookUp } from './subject.ts'

/** An old token that its scheme has recognized. */
export interface OldToken {
  sessionId: string
  generation: -1
  salt: Uint8Array
  text: string
  /** The id of the row that records the trade after the session's row was pruned. */
  markId: string
}

/** Whether a token is of the older scheme. */
export const isOldToken = (token: RefreshToken | OldToken): token is OldToken => 'text' in token

/** The operations on old tokens. */
export interface Adoption {
  /** Returns null if the text is not a token of the older scheme. */
  read(text: unknown): Promise<OldToken | null>
  /**
   * Begins the session of an old token, as {@link Store.advance} redeems one of ours. Returns null if it was begun before.
   *
   * @throws DaypassError `ERR_REFRESH_TOKEN_INVALID` if the app does not accept the token.
   */
  redeem(
    token: OldToken,
    step: Advance,
    request: RefreshOptions,
  ): Promise<(Advanced & Current & { accessToken: string }) | null>
  /** Makes sure that the token cannot be traded again once its session's row is pruned. May be called more than once. */
  settle(token: OldToken, request: RequestOrigin): Promise<void>
  /** Signs out with an old token. A token that was never traded is worthless afterwards, too. */
  revoke(token: OldToken, reason: RevokedReason, request?: RequestOrigin): Promise<boolean>
}

const adoptedNames: OptionNames<Adopted> = { ...issueOptions, subject: true, expiresAt: true }
const ourPrefix = 'dpr_'
/** How long the trade of a token that never expires is recorded: a hundred years, in milliseconds. */
const maxRecorded = 3_155_760_000_000

export function createAdoption<C>(adopter: Adopter<C>, parts: Parts<C>, end: EndSession): Adoption {
  const { store, clock } = parts

  /** Calls the app's adopter. An error of the app becomes a 503, because it says nothing about the token. */
  async function callApp<T>(call: () => T | Promise<T>): Promise<T> {
    try {
      return await call()
    } catch (cause) {
      if (cause instanceof DaypassError) throw cause
      throw new DaypassError('ERR_ADOPT_FAILED', undefined, { cause })
    }
  }

  async function find({ text }: OldToken, now: number, { ip, userAgent }: RequestOrigin): Promise<Adopted<C> | null> {
    const found = (await callApp(() => adopter.find(text, { now, ip, userAgent }))) ?? null
    if (found !== null) checkOptions(found, adoptedNames, 'adopt.find.')
    return found
  }

  /** The owner of a token that was never traded. Null if it has no owner, or was traded and its row is pruned. */
  async function findUntraded(token: OldToken, request: RequestOrigin): Promise<Adopted<C> | null> {
    const now = clock()
    const found = await find(token, now, request)
    if (found === null || adopter.forget !== undefined) return found
    // Compare with the instant that the app was given: the token may expire while the app looks it up.
    if (!((found.expiresAt ?? 0) > now)) {
      throw new DaypassError(
        'ERR_OPTION_INVALID',
        'An adopter without `forget` must say when a token `expiresAt`: adoptJwt with `until`, where tokens never expire.',
      )
    }
    return (await store.find(token.markId)) === null ? found : null
  }

  /** Writes a row. Returns false if the row exists already. */
  async function create(session: Session): Promise<boolean> {
    try {
      await store.create(session)
      return true
    } catch (error) {
      // The row exists, or it was just written and the response was lost. Without a row, the store really failed.
      if ((await store.find(session.id)) === null) throw error
      return false
    }
  }

  function begin(token: OldToken, now: number, { subject, ...given }: Adopted<C>, { ip, userAgent }: RequestOrigin) {
    // `authTime` is 0 and not `now`: the person did not sign in just now, so a check for a recent sign-in must fail.
    const { authTime = 0, device = { ip, userAgent } } = given
    return newSession(parts, token.sessionId, subject, now, { ...given, authTime, device })
  }

  async function settle(token: OldToken, request: RequestOrigin): Promise<void> {
    if (adopter.forget !== undefined) return callApp(() => adopter.forget?.(token.text))
    // An expired token needs no record.
    const now = clock()
    const found = await find(token, now, request)
    if (found === null) return
    // Round up: rows hold whole milliseconds, and the old token is valid to its last fraction of a second.
    const expiresAt = Math.ceil(Math.min(found.expiresAt ?? now, now + maxRecorded))
    const { markId: id } = token
    const { clientId, random } = parts.settings
    const mark = { id, subject: `adopted ${id}`, clientId, secret: random(16), createdAt: now, expiresAt }
    await create(beginSession(mark))
  }

  return {
    async read(text) {
      if (typeof text !== 'string' || text.length < 16 || text.length > 8192 || text.startsWith(ourPrefix)) return null
      const name = await callApp(() => (adopter.identify ? adopter.identify(text) : text))
      if (name === null) return null
      const digest = hash('sha256', `daypass adopt\0${name}`, 'buffer')
      const markId = hash('sha256', `daypass adopted\0${name}`, 'buffer').toString('base64url', 0, 16)
      const sessionId = digest.toString('base64url', 0, 16)
      return { sessionId, generation: -1, salt: digest.subarray(16, 24), text, markId }
    },

    async redeem(token, step, request) {
      if ((await store.find(token.sessionId)) !== null) return null
      const adopted = await findUntraded(token, request)
      if (adopted === null) {
        // Either no owner, or traded since the first look: the row is written before `forget` is called.
        if ((await store.find(token.sessionId)) !== null) return null
        throw new DaypassError('ERR_REFRESH_TOKEN_INVALID')
      }
      const begun = await begin(token, step.now, adopted, request)
      if (request.clientId !== undefined && request.clientId !== begun.clientId) {
        throw new DaypassError('ERR_REFRESH_TOKEN_INVALID', 'The refresh token belongs to another client.')
      }
      const known = await lookUp(parts, begun)
      if (known === null) throw new DaypassError('ERR_SUBJECT_INACTIVE')
      const { generation } = token
      const session = afterAdvance({ ...known.session, generation, burstGeneration: generation }, step)
      // Sign before writing the row: if the signer fails, there must be no session without a holder.
      const accessToken = await parts.sign(session, step.now)
      return (await create(session)) ? { session, user: known.user, healed: false, accessToken } : null
    },

    settle,

    async revoke(token, reason, request = {}) {
      const isThere = async () => (await store.find(token.sessionId)) !== null
      let ended = await end(token.sessionId, reason, request)
      if (!ended && !(await isThere())) {
        const adopted = await findUntraded(token, request)
        // Write the session as revoked: a trade under way then finds it ended.
        if (adopted !== null) {
          const now = clock()
          const begun = await begin(token, now, adopted, request)
          ended = await create({ ...begun, revokedAt: now, revokedReason: reason })
        }
      }
      // A concurrent trade may have begun the session since.
      if (!ended) ended = await end(token.sessionId, reason, request)
      if (ended || (await isThere())) await settle(token, request)
      return ended
    },
  }
}
