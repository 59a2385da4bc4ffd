// Trades a refresh token for new tokens.

import { isDeepStrictEqual } from 'node:util'
import { DaypassError } from '../errors.ts'
import { checkConditions, checkOptions, type OptionNames } from '../known-options.ts'
import { type Adoption, isOldToken, type OldToken } from './adoption.ts'
import type { RefreshedTokens, RefreshOptions } from './api.ts'
import type { EndSession } from './end-session.ts'
import type { RequestOrigin } from './events.ts'
import type { Parts } from './parts.ts'
import {
  childSalt,
  hashIdempotencyKey,
  isTagged,
  maxGeneration,
  type RefreshToken,
  readRefreshToken,
} from './refresh-token.ts'
import { decide, isLive, type Presented } from './rotation.ts'
import type { Claims, Current, Session } from './session.ts'
import type { Advance, Advanced } from './store.ts'
import { lookUp } from './subject.ts'
import { toIp } from './text.ts'

const refreshOptions: OptionNames<RefreshOptions> = {
  idempotencyKey: true,
  previousKey: true,
  clientId: true,
  signal: true,
  ip: true,
  userAgent: true,
}

/**
 * The result of an advance or an adoption. The user of an adopted session is looked up, and its access token is signed,
 * before the session is written.
 */
type Adoptable = Advanced & { user?: unknown; accessToken?: string }

/** The result of the checks before anything changes. */
interface Examined {
  /** The claims that the app gave; undefined for those of the row, which may change until the token is redeemed. */
  claims: Claims | undefined
  user: unknown
  /** The access token that an external signer made, and the session that it was made of. */
  signed: { accessToken: string; of: Session } | undefined
}

/** Makes {@link Daypass.refresh}. */
export function createRefresh<C>(
  parts: Parts<C>,
  end: EndSession,
  endSurplus: (subject: string, now: number) => Promise<void>,
  adoption: Adoption | undefined,
) {
  const { settings, store, clock, emit, pruner } = parts
  const { random, findSubject } = settings

  async function refresh(text: string, request: RefreshOptions = {}): Promise<RefreshedTokens<C>> {
    checkOptions(request, refreshOptions)
    checkConditions(request, 'clientId')
    const token = readRefreshToken(text, parts) ?? (adoption ? await adoption.read(text) : null)
    if (token === null || token.generation > maxGeneration) throw new DaypassError('ERR_REFRESH_TOKEN_INVALID')
    const key = readIdempotencyKey(request.idempotencyKey)
    const previousKey = readIdempotencyKey(request.previousKey)
    const { generation, salt } = token
    const presented: Presented = { generation, salt, key, previousKey }
    // Open the store before reading the clock: from then on the clock follows the store's.
    await store.ready()

    // Run checks that can fail for reasons outside the session before changing state.
    let early = needsExamination(request) ? await examine(token, presented, request) : undefined
    if (request.signal?.aborted) throw new DaypassError('ERR_REQUEST_ABORTED')

    for (let attempt = 0; attempt < 3; attempt++) {
      const now = clock()
      const advanced = await advance(token, key, now, request)
      const session = advanced?.session ?? (await store.find(token.sessionId))
      if (session === null) throw new DaypassError('ERR_SESSION_UNKNOWN')
      if (!isGenuine(token, session)) throw await forged(session, request)

      if (advanced !== null) {
        await settle(token, request)
        const outcome = isOldToken(token) ? 'adopted' : 'rotated'
        emit(session, outcome === 'adopted' ? { type: outcome } : { type: outcome, healed: advanced.healed }, request)
        if (outcome === 'adopted') await endSurplus(session.subject, now)
        pruner.maybe()
        const child = key === null ? random(8) : childSalt(session, key, salt)
        const current = early ? withFound(session, early) : { session, user: advanced.user }
        const accessToken = advanced.accessToken ?? (await tokenOf(current.session, early, now))
        return { outcome, ...parts.grant(current, accessToken, child, now) }
      }

      const decision = decide(session, presented, now, settings)
      // The row changed between advance() and find(). Retry.
      if (decision.kind === 'rotated') continue
      if (decision.kind !== 'replayed' && decision.kind !== 'retried') {
        throw await refuse(session, decision.kind, generation, request)
      }
      // An old token's session may have been written by another request since the first look.
      if (needsExamination(request)) early ??= await examine(token, presented, request)
      await settle(token, request)
      emit(session, { type: decision.kind }, request)
      const child =
        decision.kind === 'replayed' ? childSalt(session, decision.parentKey, decision.parentSalt) : random(8)
      const current = withFound(session, early)
      const accessToken = await tokenOf(current.session, early, now)
      return { outcome: decision.kind, ...parts.grant(current, accessToken, child, now) }
    }
    throw new DaypassError('ERR_REFRESH_SUPERSEDED')
  }

  /** The compare-and-set: the store advances a session of ours; an older scheme's token is redeemed by writing its session. */
  async function advance(
    token: RefreshToken | OldToken,
    key: Uint8Array | null,
    now: number,
    request: RefreshOptions,
  ): Promise<Adoptable | null> {
    const { sessionId: id, generation, salt } = token
    const { idleTimeout, reuseInterval } = settings
    const step: Advance = { id, generation, salt, key, now, idleTimeout, reuseInterval, ip: toIp(request.ip) }
    if (!isOldToken(token)) return store.advance(step)
    return adoption === undefined ? null : adoption.redeem(token, step, request)
  }

  async function settle(token: RefreshToken | OldToken, request: RequestOrigin): Promise<void> {
    if (isOldToken(token)) await adoption?.settle(token, request)
  }

  const needsExamination = ({ clientId }: RefreshOptions) =>
    findSubject !== undefined || parts.isSignerExternal || clientId !== undefined

  /**
   * Reads the row and calls the app and an external signer. Changes nothing, except that it may end the session.
   *
   * @returns What the app says of the subject now, and the access token if an external signer made it.
   */
  async function examine(
    token: RefreshToken | OldToken,
    presented: Presented,
    request: RefreshOptions,
  ): Promise<Examined | undefined> {
    const session = await store.find(token.sessionId)
    const now = clock()
    // Ended sessions fall through to decide(), which picks the error code.
    if (session === null || !isLive(session, now)) return undefined
    if (!isGenuine(token, session)) throw await forged(session, request)
    if (request.clientId !== undefined && request.clientId !== session.clientId) {
      throw new DaypassError('ERR_REFRESH_TOKEN_INVALID', 'The refresh token belongs to another client.')
    }
    // A reused token falls through as well: decide() will end the session, so the app need not be called.
    if (decide(session, presented, now, settings).kind === 'reused') return undefined
    const current = await lookUp(parts, session)
    if (current === null) {
      await end(session.id, 'inactive', request)
      throw new DaypassError('ERR_SUBJECT_INACTIVE')
    }
    const { session: found, user } = current
    const claims = found === session ? undefined : found.claims
    const signed = parts.isSignerExternal ? { accessToken: await parts.sign(found, now), of: found } : undefined
    return { claims, user, signed }
  }

  /** An access token of the session as it is now: an `update` may have changed it since an external signer made one. */
  const tokenOf = (session: Session, examined: Examined | undefined, now: number) => {
    const { signed } = examined ?? {}
    return signed && saysTheSame(signed.of, session) ? signed.accessToken : parts.sign(session, now)
  }

  /** A valid proof with an invalid tag can only be made with the server's secret, so it was stolen (see SECURITY.md). */
  async function forged(session: Session, request: RequestOrigin): Promise<DaypassError> {
    await end(session.id, 'forgery', request)
    return new DaypassError('ERR_REFRESH_TOKEN_INVALID')
  }

  async function refuse(
    session: Session,
    kind: 'superseded' | 'reused' | 'revoked' | 'expired',
    presentedGeneration: number,
    request: RequestOrigin,
  ): Promise<DaypassError> {
    switch (kind) {
      case 'superseded':
        emit(session, { type: kind, presentedGeneration }, request)
        return new DaypassError('ERR_REFRESH_SUPERSEDED')
      case 'reused':
        // Several copies may arrive at once. Only the one that ends the session emits the event.
        await end(session.id, 'reuse', request, (ended) => emit(ended, { type: kind, presentedGeneration }, request))
        return new DaypassError('ERR_REFRESH_TOKEN_REUSED')
      case 'expired':
        // Record the end, so that a clock that is set back cannot revive the session.
        if ((await store.revoke(session.id, clock(), kind)) !== null) emit(session, { type: kind }, request)
        return new DaypassError('ERR_SESSION_EXPIRED')
      case 'revoked':
        return new DaypassError('ERR_SESSION_REVOKED')
    }
  }

  return refresh
}

/** The row as it is now, with what the app said of its subject. */
function withFound(session: Session, examined: Examined | undefined): Current {
  if (examined === undefined) return { session, user: undefined }
  const { claims, user } = examined
  return { session: claims === undefined ? session : { ...session, claims }, user }
}

/** Whether access tokens of both sessions say the same. Compares what `update` can change. */
const saysTheSame = (a: Session, b: Session) =>
  isDeepStrictEqual([a.claims, a.authTime, a.amr], [b.claims, b.authTime, b.amr])

/** Whether the token belongs to the session. An old token always does: the session's id is derived from it. */
const isGenuine = (token: RefreshToken | OldToken, session: Session) => isOldToken(token) || isTagged(token, session)

/** A thief could guess a shorter key, and would then get the same child as the owner. */
const idempotencyKey = /^[\x21-\x7e]{22,255}$/

function readIdempotencyKey(key: string | undefined): Uint8Array | null {
  if (key === undefined) return null
  if (typeof key !== 'string' || !idempotencyKey.test(key)) throw new DaypassError('ERR_IDEMPOTENCY_KEY_INVALID')
  return hashIdempotencyKey(key)
}
