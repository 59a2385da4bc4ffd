// An older scheme's token becomes a session, once, whatever is lost on the way.
//
// As if it had been the token before the first: an old token has generation −1 in a session whose id is made from it, so
// that it is redeemed, replayed, superseded or caught by the same rules as any other (rotation.ts). Writing the row is
// the redemption: of two that come at once one writes it, and the other finds it.

import { hash } from 'node:crypto'
import { DaypassError } from '../errors.ts'
import type { Adopted, Adopter, RefreshOptions } from './api.ts'
import type { EndSession } from './end-session.ts'
import type { RequestOrigin } from './events.ts'
import { newSession } from './new-session.ts'
import type { Parts } from './parts.ts'
import type { RefreshToken } from './refresh-token.ts'
import { advance } from './rotation.ts'
import { beginSession, type RevokedReason, type Session } from './session.ts'
import type { Advance, Advanced } from './store.ts'
import { isAllowed } from './subject.ts'

/** An old token that its scheme knows for one of its own. */
export interface OldToken {
  sessionId: string
  generation: -1
  salt: Uint8Array
  text: string
  /** The id of the row that remembers the token when its session is gone. */
  markId: string
}

/** Whether a token is of the older scheme. */
export const isOldToken = (token: RefreshToken | OldToken): token is OldToken => 'text' in token

/** The old tokens' half of a Daypass. */
export interface Adoption {
  /** Null for what is no token of the older scheme. */
  read(text: unknown): Promise<OldToken | null>
  /**
   * Does for an old token what {@link Store.advance} does for ours: begins its session; null where that was begun before.
   *
   * @throws DaypassError `ERR_REFRESH_TOKEN_INVALID` where the app says that it is nobody's.
   */
  redeem(token: OldToken, step: Advance, request: RefreshOptions): Promise<(Advanced & { accessToken: string }) | null>
  /** Sees to it that the token is not traded again when its session is gone. It may be asked more than once. */
  settle(token: OldToken, request: RequestOrigin): Promise<void>
  /** Signs out with an old token: also where it was never traded, it is worth nothing any more. */
  revoke(token: OldToken, reason: RevokedReason, request?: RequestOrigin): Promise<boolean>
}

const ourPrefix = 'dpr_'
/** For how long a token is remembered that never expires: a hundred years, in milliseconds. */
const longest = 3_155_760_000_000

export function createAdoption<C>(adopter: Adopter<C>, parts: Parts<C>, end: EndSession): Adoption {
  const { store, clock } = parts

  /** Asks the app; what it throws is not the token's fault. */
  async function ask<T>(question: () => T | Promise<T>): Promise<T> {
    try {
      return await question()
    } catch (cause) {
      if (cause instanceof DaypassError) throw cause
      throw new DaypassError('ERR_ADOPT_FAILED', undefined, { cause })
    }
  }

  const find = ({ text }: OldToken, now: number, { ip, userAgent }: RequestOrigin) =>
    ask(() => adopter.find(text, { now, ip, userAgent }))

  /** Whose a token is that was never traded; null for nobody's, and where it was and its session is gone. */
  async function findUntraded(token: OldToken, request: RequestOrigin): Promise<Adopted<C> | null> {
    const now = clock()
    const found = await find(token, now, request)
    if (found === null || adopter.forget !== undefined) return found
    // Against the instant that the app was asked about: its answer may take longer than the token has left.
    if (!((found.expiresAt ?? 0) > now)) {
      throw new DaypassError(
        'ERR_OPTION_INVALID',
        'An adopter without `forget` must say when a token `expiresAt`: adoptJwt with `until`, where tokens never expire.',
      )
    }
    return (await store.find(token.markId)) === null ? found : null
  }

  /** Writes a row; false where it is there. */
  async function create(session: Session): Promise<boolean> {
    try {
      await store.create(session)
      return true
    } catch (error) {
      // Refused because the row is there, or written and not heard of: the row tells. Else the store is away.
      if ((await store.find(session.id)) === null) throw error
      return false
    }
  }

  function begin(token: OldToken, now: number, { subject, ...given }: Adopted<C>, { ip, userAgent }: RequestOrigin) {
    // Not the instant of this call: whatever asks for a recent sign-in must ask for one.
    const defaults = { authTime: 0, device: { ip, userAgent } }
    return newSession(parts, token.sessionId, subject, now, { ...defaults, ...given })
  }

  async function settle(token: OldToken, request: RequestOrigin): Promise<void> {
    if (adopter.forget !== undefined) return ask(() => adopter.forget!(token.text))
    // A token that is over needs no remembering.
    const now = clock()
    const found = await find(token, now, request)
    if (found === null) return
    // Rounded up, because rows hold whole milliseconds and the old token is good to its last fraction of a second.
    const expiresAt = Math.ceil(Math.min(found.expiresAt ?? now, now + longest))
    const { markId: id } = token
    const { clientId, random } = parts.settings
    const mark = { id, subject: `adopted ${id}`, clientId, secret: random(16), createdAt: now, expiresAt }
    await create(beginSession(mark))
  }

  return {
    async read(text) {
      if (typeof text !== 'string' || text.length < 16 || text.length > 8192 || text.startsWith(ourPrefix)) return null
      const name = await ask(() => (adopter.identify ? adopter.identify(text) : text))
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
        // Nobody's, or traded since we looked: the row is written before the token is forgotten.
        if ((await store.find(token.sessionId)) !== null) return null
        throw new DaypassError('ERR_REFRESH_TOKEN_INVALID')
      }
      const begun = await begin(token, step.now, adopted, request)
      if (request.clientId !== undefined && request.clientId !== begun.clientId) {
        throw new DaypassError('ERR_REFRESH_TOKEN_INVALID', 'The refresh token belongs to another client.')
      }
      if (!(await isAllowed(parts, begun.subject))) throw new DaypassError('ERR_SUBJECT_INACTIVE')
      const { generation } = token
      const session = advance({ ...begun, generation, burstGeneration: generation }, step)
      // A lifetime of less than a millisecond: it is over before it begins.
      if (session === null) throw new DaypassError('ERR_SESSION_EXPIRED')
      // Signed before it is written: a signer that is away leaves no session that nobody holds.
      const accessToken = await parts.sign(session, step.now)
      return (await create(session)) ? { session, healed: false, accessToken } : null
    },

    settle,

    async revoke(token, reason, request = {}) {
      const isThere = async () => (await store.find(token.sessionId)) !== null
      let ended = await end(token.sessionId, reason, request)
      if (!ended && !(await isThere())) {
        const adopted = await findUntraded(token, request)
        // A session that is over before it begins: a trade that is on its way finds it so.
        if (adopted !== null) {
          const now = clock()
          const begun = await begin(token, now, adopted, request)
          ended = await create({ ...begun, revokedAt: now, revokedReason: reason })
        }
      }
      // It may have begun since.
      if (!ended) ended = await end(token.sessionId, reason, request)
      if (ended || (await isThere())) await settle(token, request)
      return ended
    },
  }
}
