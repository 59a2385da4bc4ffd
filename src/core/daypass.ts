// How does a session begin, go on and end? createDaypass() puts the protocol, the keys and a store together.

import { registeredClaims } from '../verify/access-token.ts'
import { type AccessToken, createVerifier, type Jwk } from '../verify/index.ts'
import { parseStrictObject } from '../verify/json.ts'
import { createAccessTokenSigner } from './access-token.ts'
import { createAdoption, type OldToken } from './adoption.ts'
import { DaypassError } from './errors.ts'
import { createEmitter, type RequestOrigin } from './events.ts'
import { createKeys } from './keys.ts'
import { openFirst } from './open-store.ts'
import { type ClaimsSchema, type DaypassOptions, readOptions } from './options.ts'
import { createPruner } from './prune.ts'
import {
  childSalt,
  hashIdempotencyKey,
  isTagged,
  maxGeneration,
  mintRefreshToken,
  namesUnknownKey,
  parseRefreshToken,
  type RefreshToken,
} from './refresh-token.ts'
import { createRevocations } from './revocations.ts'
import { decide, isExpired, type Presented } from './rotation.ts'
import { createStoreClock } from './store-clock.ts'
import type { Advanced, Claims, Device, RevokedReason, Session } from './types.ts'
import { createWarner } from './warn.ts'

/** A session as its owner may see it: the row without what tokens are made of. Instants are epoch milliseconds. */
export interface SessionInfo<C = Claims> {
  id: string
  subject: string
  clientId: string
  scope: string
  claims: C
  device: Device
  createdAt: number
  rotatedAt: number
  authTime: number
  amr: string[]
  /** The end if nothing refreshes it before. */
  idleExpiresAt: number
  /** The end whatever happens. */
  expiresAt: number
}

/** What a sign-in or a refresh gives. */
export interface Tokens<C = Claims> {
  accessToken: string
  tokenType: 'Bearer'
  /** Seconds until the access token expires. */
  expiresIn: number
  refreshToken: string
  session: SessionInfo<C>
}

/** What a refresh gives. */
export interface RefreshedTokens<C = Claims> extends Tokens<C> {
  /** `adopted`: an older scheme's token was traded. `replayed` and `retried` answer a refresh that was asked before. */
  outcome: 'rotated' | 'adopted' | 'replayed' | 'retried'
}

/** What is known at a sign-in. */
export interface IssueOptions<C = Claims> {
  /** The app's own claims: plain JSON, at most 4 kB; they go into every access token of the session. */
  claims?: C
  clientId?: string
  /** Scopes separated by spaces (RFC 6749 §3.3). */
  scope?: string
  /** When the person proved who they are, epoch milliseconds. Default now. */
  authTime?: number
  /** How they did (RFC 8176), such as `['pwd']`. */
  amr?: string[]
  device?: Device
  /**
   * Refresh tokens that the same browser or device still holds. Once the new session is there, theirs are ended
   * (`revoked`, reason `replaced`), whoever they belong to. What is no token of this server is passed over.
   */
  replaces?: readonly string[]
  /** Called where a session of `replaces` could not be ended. The sign-in goes on; that session lives until it idles out. */
  onReplaceFailed?: (error: unknown) => void
}

/** The second argument of `issue`: optional unless the claims' type has members that must be there. */
export type IssueArguments<C> =
  Partial<C> extends C ? [options?: IssueOptions<C>] : [options: IssueOptions<C> & { claims: C }]

/** What comes with a refresh token. */
export interface RefreshOptions extends RequestOrigin {
  /** The client's own key of this refresh: made and kept before sending, the same on every retry. */
  idempotencyKey?: string | undefined
  /** The key of the last refresh that the client completed (cookie transport). */
  previousKey?: string | undefined
  /** Where given, the session must belong to this client (RFC 6749 §6). */
  clientId?: string | undefined
  /** An AbortSignal, or what looks like one: where aborted before the token is redeemed, nothing is. */
  signal?: { readonly aborted: boolean } | undefined
}

/** What `createDaypass` makes. Every method may throw `ERR_STORE_…` (503) where the store is away. */
export interface Daypass<C = Claims> {
  /**
   * Begins a session for a subject whose identity the app has proved.
   *
   * @throws DaypassError `ERR_CLAIMS_INVALID`, `ERR_OPTION_INVALID`.
   */
  issue(subject: string, ...options: IssueArguments<C>): Promise<Tokens<C>>
  /**
   * Trades a refresh token for new tokens, exactly once.
   *
   * @throws DaypassError with `error: "invalid_grant"` where the session is over (`ERR_REFRESH_TOKEN_INVALID`,
   *   `ERR_REFRESH_TOKEN_REUSED`, `ERR_SESSION_REVOKED`, `ERR_SESSION_EXPIRED`, `ERR_SESSION_UNKNOWN`,
   *   `ERR_SUBJECT_INACTIVE`); `ERR_REFRESH_SUPERSEDED` where a race was lost; `ERR_IDEMPOTENCY_KEY_INVALID`.
   * @see RFC 6749 §6, RFC 9700 §4.14.2, docs/protocol.md
   */
  refresh(refreshToken: string, options?: RefreshOptions): Promise<RefreshedTokens<C>>
  /**
   * Checks an access token; no I/O but one look at the revoked sessions a second. What others ended is known within a
   * second. While the store is slow or away, what is known counts for 10 seconds; then `whenStoreIsAway` says what happens.
   * It never waits longer than 2 seconds for the store.
   *
   * @throws DaypassError `ERR_ACCESS_TOKEN_INVALID`, `ERR_ACCESS_TOKEN_EXPIRED`, `ERR_ACCESS_TOKEN_REVOKED`,
   *   `ERR_STORE_UNAVAILABLE`.
   */
  verify(accessToken: string): Promise<AccessToken<C>>
  /** Ends one session, where `subject` is given only if it is theirs. True where this call ended it. */
  revoke(sessionId: string, options?: RevokeOptions & { subject?: string }): Promise<boolean>
  /** Ends the session of a refresh token, also of an old one of it. True where this call ended it (RFC 7009 §2.1). */
  revokeToken(refreshToken: string, options?: RevokeOptions): Promise<boolean>
  /** Ends all sessions of a subject, but one where named. How many this call ended. */
  revokeSubject(subject: string, options?: RevokeOptions & { except?: string }): Promise<number>
  /** The subject's live sessions, newest sign-in first; the 1,000 newest where there are more. */
  sessions(subject: string): Promise<SessionInfo<C>[]>
  /** The public keys, to be served at `/.well-known/jwks.json` (RFC 7517 §5). */
  jwks(): { keys: Jwk[] }
  /** Deletes rows long over, in small steps. It happens by itself now and then; how many went. */
  prune(): Promise<number>
  /** Throws where the store cannot answer. */
  check(): Promise<void>
  /** Ends background work and closes the store. */
  close(): Promise<void>
  readonly issuer: string
  readonly audience: string
  /** For types alone, such as those of `createClient<typeof auth>()`; nothing is there when it runs. */
  readonly '~types'?: { claims: C }
}

/** How a session is ended. */
export interface RevokeOptions {
  /** `revokeToken`: only if the token is of the session with this id. */
  sessionId?: string | undefined
  /** Kept in the row and told in the event. Default "sign-out". */
  reason?: RevokedReason
  request?: RequestOrigin
}

/**
 * Makes the server's half of Daypass.
 *
 * @throws DaypassError `ERR_OPTION_INVALID`, `ERR_KEY_WEAK`.
 * @example
 * ```ts
 * import { createDaypass } from 'daypass'
 * import { createSqliteStore } from 'daypass/sqlite'
 *
 * const auth = createDaypass<{ role: string }>({
 *   secret: process.env.DAYPASS_SECRET!,
 *   issuer: 'https://example.com',
 *   store: createSqliteStore('./daypass.db'),
 * })
 * const { accessToken, refreshToken } = await auth.issue('user-1', { claims: { role: 'admin' } })
 * const { claims } = await auth.verify(accessToken)
 * const renewed = await auth.refresh(refreshToken)
 * console.log(claims.role, renewed.expiresIn)
 * ```
 */
export function createDaypass<C = Claims>(options: DaypassOptions<C>): Daypass<C> {
  const { random, isActive, ...settings } = readOptions(options)
  const warn = createWarner(settings.onWarning, settings.clock)
  const storeClock = createStoreClock(settings.store, settings.clock ?? Date.now, warn)
  const clock = settings.clock ?? storeClock
  const store = openFirst(settings.store, settings.issuer, async () => void (await storeClock.measure()))
  const { proofKeys, signer, verificationKeys, jwks } = createKeys(
    options.secret,
    settings.issuer,
    settings.algorithm,
    options.signingKeys,
  )
  const { issuer, audience, accessTokenLifetime, reuseInterval } = settings
  const signAccessToken = createAccessTokenSigner(signer, issuer, audience, accessTokenLifetime)
  const emit = createEmitter(settings.onEvent, clock)
  const pruner = createPruner(store, clock, store.now && storeClock.measure)
  const revocations = createRevocations({
    store,
    clock,
    lifetime: accessTokenLifetime * 1000,
    whenStoreIsAway: settings.whenStoreIsAway,
    // A server that only checks tokens compares its clock now and then as well.
    onHeard: pruner.maybe,
  })
  const verifier = createVerifier<C>({
    issuer,
    audience,
    jwks: { keys: verificationKeys },
    isRevoked: revocations.isRevoked,
    clock: settings.clock ?? Date.now,
  })

  /** An access token tells the time of this machine: APIs elsewhere check it by theirs, and know no store. */
  function sign(session: Session, now: number, tokenId: string): string | Promise<string> {
    if (settings.clock !== undefined) return signAccessToken(session, now, tokenId)
    const ahead = storeClock.ahead()
    if (ahead === 0) return signAccessToken(session, Date.now(), tokenId)
    const { authTime, expiresAt } = session
    // Not `now` less the difference: it may have been measured anew since `now` was read.
    return signAccessToken(
      { ...session, authTime: authTime - ahead, expiresAt: expiresAt - ahead },
      Date.now(),
      tokenId,
    )
  }

  const adoption =
    settings.adopt &&
    createAdoption<C>(settings.adopt, {
      store,
      clock,
      newSession,
      blankSession,
      sign: (session, now) => sign(session, now, newTokenId()),
      isAllowed: (subject) => isActive === undefined || askIsActive(subject),
      end,
    })

  /** A session of which nothing is known but whose it is. */
  function blankSession(id: string, subject: string, now: number, expiresAt: number): Session {
    return {
      id,
      subject,
      clientId: settings.clientId,
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

  async function newSession(id: string, subject: string, now: number, given: IssueOptions<C>): Promise<Session> {
    // Half a surrogate pair or a NUL is no text to every engine: two subjects could become one.
    if (typeof subject !== 'string' || !/^[^\0\p{Surrogate}]{1,255}$/u.test(subject)) {
      throw new DaypassError('ERR_OPTION_INVALID', 'The subject must be a text of 1 to 255 characters.')
    }
    const claims = await readClaims(given.claims, settings.claims)
    const session = blankSession(id, subject, now, now + settings.absoluteTimeout)
    const { clientId = session.clientId, scope = session.scope, authTime = now, amr = session.amr, device = {} } = given
    if (!Number.isFinite(authTime))
      throw new DaypassError('ERR_OPTION_INVALID', '`authTime` must be epoch milliseconds.')
    const idleExpiresAt = Math.min(now + settings.idleTimeout, session.expiresAt)
    // Rows hold whole milliseconds; an instant of another scheme may have a fraction (RFC 7519 §2).
    return { ...session, clientId, scope, claims, authTime: Math.floor(authTime), amr, device, idleExpiresAt }
  }

  async function issue(subject: string, given: IssueOptions<C> = {}): Promise<Tokens<C>> {
    await store.ready()
    const now = clock()
    const session = await newSession(base64url(random(16)), subject, now, given)
    // Signed before it is written: a signer that is away leaves no session that nobody holds.
    const accessToken = await sign(session, now, newTokenId())
    await store.create(session)
    emit(session, { type: 'issued' }, session.device)
    // After the new one is written: a sign-in that fails leaves the old one. Before the surplus is counted: the session
    // that is replaced must not push out one of another device.
    await Promise.all((given.replaces ?? []).map((token) => endReplaced(token, session, given.onReplaceFailed)))
    // The session is there: a store that fails now must not lose its tokens. The next sign-in ends what is left over.
    await endSurplus(subject, now).catch(() => {})
    pruner.maybe()
    return tokens(session, accessToken, random(8), now)
  }

  async function endReplaced(token: string, { device }: Session, onFailed?: (error: unknown) => void): Promise<void> {
    try {
      await revokeToken(token, { reason: 'replaced', request: device })
    } catch (error) {
      onFailed?.(error)
    }
  }

  /** Created first and counted after: whoever signs in at the same time counts the same rows and ends the same ones. */
  async function endSurplus(subject: string, now: number): Promise<void> {
    if (settings.maxSessionsPerSubject === Number.POSITIVE_INFINITY) return
    // The rows of sign-ins that run at the same time come on top; a limit that was lowered is reached step by step.
    const sessions = await store.list(subject, now, settings.maxSessionsPerSubject + 100)
    sessions.sort((a, b) => b.rotatedAt - a.rotatedAt || (a.id < b.id ? -1 : 1))
    for (const { id } of sessions.slice(settings.maxSessionsPerSubject)) await end(id, 'limit')
  }

  function parse(text: string): RefreshToken | null {
    const token = parseRefreshToken(text, proofKeys)
    if (token === null && namesUnknownKey(text, proofKeys)) {
      warn(
        'DAYPASS_SECRET_UNKNOWN',
        'A refresh token came that was made with a secret which this server does not have, so it was refused. While a new secret is rolled out it must stand last first, `secret: [old, new]`, until every server has it.',
      )
    }
    return token
  }

  async function refresh(text: string, request: RefreshOptions = {}): Promise<RefreshedTokens<C>> {
    const token = parse(text) ?? (adoption ? await adoption.read(text) : null)
    if (token === null || token.generation > maxGeneration) throw new DaypassError('ERR_REFRESH_TOKEN_INVALID')
    const key = readIdempotencyKey(request.idempotencyKey)
    const previousKey = readIdempotencyKey(request.previousKey)
    const { generation, salt, sessionId } = token
    const presented: Presented = { generation, salt, key, previousKey }
    // The clock is the store's once the store is open, and an instant that was read before is not.
    await store.ready()

    // Whatever can fail or refuse without the session being to blame is asked before anything changes.
    const early =
      isActive !== undefined || signer.external || request.clientId !== undefined
        ? await examine(token, presented, request)
        : undefined
    if (request.signal?.aborted) throw new DaypassError('ERR_REQUEST_ABORTED')

    for (let attempt = 0; attempt < 3; attempt++) {
      const now = clock()
      const idleExpiresAt = now + settings.idleTimeout
      const step = { id: sessionId, generation, salt, key, now, idleExpiresAt, reuseInterval, ip: request.ip }
      const advanced: Adoptable | null = isOld(token)
        ? await adoption!.redeem(token, step, request)
        : await store.advance(step)
      const session = advanced?.session ?? (await store.find(sessionId))
      if (session === null) throw new DaypassError('ERR_SESSION_UNKNOWN')
      if (!isGenuine(token, session)) throw await forged(session, request)
      const decision = advanced ? 'rotated' : decide(session, presented, now, settings)
      const isGranted = decision === 'rotated' || decision === 'replayed' || decision === 'retried'
      if (isOld(token) && isGranted) await adoption!.settle(token, request)

      switch (decision) {
        case 'rotated': {
          // Moved between the two calls: a find that was behind, or a store that just lost writes. Ask again.
          if (advanced === null) continue
          const { healed, accessToken = early } = advanced
          const outcome = isOld(token) ? 'adopted' : decision
          emit(session, outcome === 'adopted' ? { type: outcome } : { type: outcome, healed }, request)
          if (outcome === 'adopted') await endSurplus(session.subject, now).catch(() => {})
          pruner.maybe()
          const child = key === null ? random(8) : childSalt(session, key, salt)
          return { outcome, ...tokens(session, await accessTokenFor(session, now, accessToken), child, now) }
        }
        case 'replayed': {
          emit(session, { type: 'replayed' }, request)
          const child = childSalt(session, session.parentKey!, session.parentSalt!)
          return { outcome: decision, ...tokens(session, await accessTokenFor(session, now, early), child, now) }
        }
        case 'retried':
          emit(session, { type: 'retried' }, request)
          return { outcome: decision, ...tokens(session, await accessTokenFor(session, now, early), random(8), now) }
        default:
          throw await refuse(session, decision, generation, request)
      }
    }
    throw new DaypassError('ERR_REFRESH_SUPERSEDED')
  }

  /** Reads the row and asks the app, the client's name and an external signer; changes nothing but to end a session. */
  async function examine(
    token: RefreshToken | OldToken,
    presented: Presented,
    request: RefreshOptions,
  ): Promise<string | undefined> {
    const session = await store.find(token.sessionId)
    const now = clock()
    // What is not live is told by the protocol, in its own words.
    if (session === null || session.revokedAt !== null || isExpired(session, now)) return undefined
    if (!isGenuine(token, session)) throw await forged(session, request)
    if (request.clientId !== undefined && request.clientId !== session.clientId) {
      throw new DaypassError('ERR_REFRESH_TOKEN_INVALID', 'The refresh token belongs to another client.')
    }
    // A copy of an old token is caught here as well, before the app is bothered with it.
    if (decide(session, presented, now, settings) === 'reused') return undefined
    if (isActive !== undefined && !(await askIsActive(session.subject))) {
      await end(session.id, 'inactive', request)
      throw new DaypassError('ERR_SUBJECT_INACTIVE')
    }
    return signer.external ? await sign(session, now, newTokenId()) : undefined
  }

  async function askIsActive(subject: string): Promise<boolean> {
    try {
      return await isActive!(subject)
    } catch (cause) {
      throw new DaypassError('ERR_SUBJECT_CHECK_FAILED', undefined, { cause })
    }
  }

  /** A good proof over a bad tag: only somebody with the server's key makes that (see SECURITY.md). */
  async function forged(session: Session, request: RequestOrigin): Promise<DaypassError> {
    await end(session.id, 'forgery', request)
    return new DaypassError('ERR_REFRESH_TOKEN_INVALID')
  }

  async function refuse(
    session: Session,
    decision: 'superseded' | 'reused' | 'revoked' | 'expired',
    presentedGeneration: number,
    request: RequestOrigin,
  ): Promise<DaypassError> {
    switch (decision) {
      case 'superseded':
        emit(session, { type: 'superseded', presentedGeneration }, request)
        return new DaypassError('ERR_REFRESH_SUPERSEDED')
      case 'reused':
        // Several copies may come at once: one of them ends the session, and one event tells it.
        await end(session.id, 'reuse', request, (ended) =>
          emit(ended, { type: 'reused', presentedGeneration }, request),
        )
        return new DaypassError('ERR_REFRESH_TOKEN_REUSED')
      case 'expired':
        // Written down, so that a clock set back brings nothing to life again.
        if ((await store.revoke(session.id, clock(), 'expired')) !== null) emit(session, { type: 'expired' }, request)
        return new DaypassError('ERR_SESSION_EXPIRED')
      case 'revoked':
        return new DaypassError('ERR_SESSION_REVOKED')
    }
  }

  async function end(
    sessionId: string,
    reason: RevokedReason,
    request?: RequestOrigin,
    before?: (session: Session) => void,
  ): Promise<boolean> {
    await store.ready()
    const now = clock()
    const session = await store.revoke(sessionId, now, reason)
    // The row's own spelling of its id, which is the one in its access tokens.
    revocations.add(session?.id ?? sessionId, now)
    if (session === null) return false
    before?.(session)
    emit(session, { type: 'revoked', reason }, request)
    return true
  }

  async function revokeToken(
    text: string,
    { reason = 'sign-out', request, sessionId }: RevokeOptions = {},
  ): Promise<boolean> {
    const token = parse(text)
    if (token === null) {
      const old = adoption ? await adoption.read(text) : null
      return old !== null && adoption!.revoke(old, reason, request)
    }
    if (sessionId !== undefined && sessionId !== token.sessionId) return false
    const session = await store.find(token.sessionId)
    if (session === null || !isTagged(token, session)) return false
    return end(session.id, reason, request)
  }

  function accessTokenFor(session: Session, now: number, early: string | undefined): string | Promise<string> {
    return early ?? sign(session, now, newTokenId())
  }

  function tokens(session: Session, accessToken: string, salt: Uint8Array, now: number): Tokens<C> {
    return {
      accessToken,
      tokenType: 'Bearer',
      expiresIn: Math.min(accessTokenLifetime, Math.ceil((session.expiresAt - now) / 1000)),
      refreshToken: mintRefreshToken(session, session.generation, salt, proofKeys[0]!),
      session: toSessionInfo<C>(session),
    }
  }

  const newTokenId = () => base64url(random(16))

  return {
    issuer,
    audience,
    issue: (subject, ...[given]) => issue(subject, given),
    refresh,
    verify: verifier.verify,
    async revoke(sessionId, { reason = 'sign-out', request, subject } = {}) {
      // A session's subject never changes, so there is no race between this look and the call below.
      if (subject !== undefined && (await store.find(sessionId))?.subject !== subject) return false
      return end(sessionId, reason, request)
    },
    revokeToken,
    async revokeSubject(subject, { reason = 'sign-out', request, except } = {}) {
      await store.ready()
      const now = clock()
      const ended = await store.revokeSubject(subject, now, reason, except)
      for (const session of ended) {
        revocations.add(session.id, now)
        emit(session, { type: 'revoked', reason }, request)
      }
      return ended.length
    },
    async sessions(subject) {
      await store.ready()
      return (await store.list(subject, clock(), maxListed)).map((session) => toSessionInfo<C>(session))
    },
    jwks: () => jwks,
    prune: pruner.run,
    check: () => store.check(),
    async close() {
      await pruner.stop()
      await store.close()
    },
  }
}

/** What an advance or an adoption found; an adopted session's access token is signed before the session is written. */
type Adoptable = Advanced & { accessToken?: string }

const isOld = (token: RefreshToken | OldToken): token is OldToken => 'text' in token

/** A token of ours has the session's tag; an old one made the session's name. */
const isGenuine = (token: RefreshToken | OldToken, session: Session) => isOld(token) || isTagged(token, session)

function toSessionInfo<C>(session: Session): SessionInfo<C> {
  const { id, subject, clientId, scope, device, createdAt, rotatedAt, authTime, amr, idleExpiresAt, expiresAt } =
    session
  return {
    id,
    subject,
    clientId,
    scope,
    claims: session.claims as C,
    device,
    createdAt,
    rotatedAt,
    authTime,
    amr,
    idleExpiresAt,
    expiresAt,
  }
}

const maxListed = 1000
const maxClaimsLength = 4096

async function readClaims<C>(given: C | undefined, schema: ClaimsSchema<C> | undefined): Promise<Claims> {
  let claims: unknown = given ?? {}
  if (schema !== undefined) {
    const result = await schema['~standard'].validate(claims)
    if (result.issues) {
      const reasons = result.issues.map((issue) => issue.message).join('; ')
      throw new DaypassError('ERR_CLAIMS_INVALID', `The claims do not fit their schema: ${reasons}`)
    }
    claims = result.value
  }
  if (typeof claims !== 'object' || claims === null || Array.isArray(claims)) {
    throw new DaypassError('ERR_CLAIMS_INVALID', 'The claims must be a plain object.')
  }
  const reserved = Object.keys(claims).find((name) => registeredClaims.has(name))
  if (reserved !== undefined) {
    throw new DaypassError(
      'ERR_CLAIMS_INVALID',
      `The claim "${reserved}" belongs to the protocol; name yours otherwise.`,
    )
  }
  const json = toJson(claims)
  const bytes = Buffer.from(json)
  if (bytes.length > maxClaimsLength) {
    throw new DaypassError('ERR_CLAIMS_INVALID', `The claims are over ${maxClaimsLength} bytes of JSON.`)
  }
  // What no verifier would accept must not get into a token: every refresh of the session would give a dead one.
  if (parseStrictObject(bytes) === undefined) {
    throw new DaypassError(
      'ERR_CLAIMS_INVALID',
      'The claims are nested too deeply, or have a member named "__proto__".',
    )
  }
  // A copy that is what every store will give back, dates and undefined members included.
  return JSON.parse(json)
}

function toJson(claims: object): string {
  try {
    return JSON.stringify(claims)
  } catch (cause) {
    throw new DaypassError('ERR_CLAIMS_INVALID', 'The claims must be plain JSON.', { cause })
  }
}

/** A key too short to be random would let a thief guess it, and share the owner's step. */
const idempotencyKey = /^[\x21-\x7e]{22,255}$/

function readIdempotencyKey(key: string | undefined): Uint8Array | null {
  if (key === undefined) return null
  if (typeof key !== 'string' || !idempotencyKey.test(key)) throw new DaypassError('ERR_IDEMPOTENCY_KEY_INVALID')
  return hashIdempotencyKey(key)
}

const base64url = (bytes: Uint8Array) =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64url')
