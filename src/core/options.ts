// The options of `createDaypass`, and their defaults.

import { checkOptions, type OptionNames } from '../known-options.ts'
import { checkFunctions, isObject, optionError, requireOptions, wrongKind, wrongOption } from '../option.ts'
import type { OnWarning } from '../warn.ts'
import type { Adopter, SessionInfo } from './api.ts'
import type { DaypassEvent } from './events.ts'
import type { Secret, SigningKey } from './keys.ts'
import { checkOrder, maxAccessTokenLifetime, minIdleTimeout, readDuration } from './lifetimes.ts'
import { randomBytes } from './random.ts'
import type { Claims } from './session.ts'
import type { Store } from './store.ts'
import { isStorable, isSubject, unstorable } from './text.ts'

/** The part of Standard Schema v1 that is used. Zod, Valibot, ArkType and others have it (https://standardschema.dev). */
export interface ClaimsSchema<C> {
  readonly '~standard': {
    readonly version: 1
    readonly vendor: string
    readonly validate: (value: unknown) => SchemaResult<C> | Promise<SchemaResult<C>>
    readonly types?: { readonly input: unknown; readonly output: C } | undefined
  }
}

type SchemaResult<C> =
  | { readonly value: C; readonly issues?: undefined }
  | { readonly issues: readonly { readonly message: string }[] }

/** A user as the app knows them now. Claims are required if their type has required members. */
export type FoundSubject<C = Claims, User = unknown> = (Partial<C> extends C ? { claims?: C } : { claims: C }) & {
  /** For the client alone, such as a name and a picture: plain JSON. The client receives it as it is, so choose its members. */
  user?: User
}

/** Finds the user of a session. `undefined`, as from `Map.get` or `Array.find`, means the same as `null`. */
export type FindSubject<C = Claims, User = unknown> = (
  subject: string,
  session: SessionInfo<C>,
) => FoundSubject<C, User> | null | undefined | Promise<FoundSubject<C, User> | null | undefined>

/** Options of `createDaypass`. Durations are seconds. A sign-in may bring lifetimes of its own (`IssueOptions`). */
export interface DaypassOptions<C = Claims, User = unknown> {
  /**
   * At least 32 random bytes (`openssl rand -base64 48`), or a list of secrets. The first one makes tokens, tokens of all
   * are accepted, and the public keys of all are published. To rotate, deploy `[old, new]`, then `[new, old]`, then
   * `[new]`. If the new secret comes first at once, instances that do not know it yet sign people out. docs/keys.md says
   * how long to wait.
   */
  secret: Secret | readonly Secret[]
  /** The issuer of the tokens (`iss`): an https address of yours, or another string that verifiers are configured with. */
  issuer: string
  /** The store of the sessions: `createSqliteStore(path)` from `daypass/sqlite`, or another one. */
  store: Store
  /** The audience of the access tokens (`aud`). Default: the issuer. */
  audience?: string
  /** The `client_id` of sessions that name none (RFC 9068 §2.2). Default "first-party". */
  clientId?: string
  /** The algorithm of the signing key that is derived from `secret`. Default EdDSA. HS256 has no public key. */
  algorithm?: 'EdDSA' | 'HS256'
  /**
   * Signing keys of your own; ES256, RS256 and external signers are possible. The first key signs; all are published and
   * accepted. `'secret'` stands for the keys derived from `secret`; by default they come last. `['secret', key]` publishes
   * a key that does not sign yet. Rotate signing keys in the same way as `secret` (docs/keys.md).
   */
  signingKeys?: readonly (SigningKey | 'secret')[]
  /**
   * The lifetime of an access token. Default 900 (15 minutes), or half of `idleTimeout` if that is less. At most 86,400
   * (a day), and shorter than `idleTimeout`.
   */
  accessTokenLifetime?: number
  /**
   * A session ends after this time without a refresh. Default 604,800 (7 days). A client in use refreshes whenever its
   * access token expires, so activity is seen once per `accessTokenLifetime`.
   */
  idleTimeout?: number
  /** A session ends after this time, however much it is used. Default 2,592,000 (30 days). */
  absoluteTimeout?: number
  /**
   * A token that was overtaken by another refresh within this time gets 409 and is not treated as stolen. Default 30; with
   * 0 every such token ends the session.
   */
  reuseInterval?: number
  /**
   * A refresh without an Idempotency-Key may be sent again within this time, until one of its children is redeemed. So a
   * client without keys survives a lost response. The price: until the owner's next refresh, a copy of the token before the
   * newest is worth as much as the newest. Default 86,400 (a day), or 0 if `reuseInterval` is 0. Refreshes with a key do
   * not depend on it.
   */
  retryInterval?: number
  /** The maximum number of sessions per subject. Above it, the longest unused end. Default 100; `Infinity`: no limit. */
  maxSessionsPerSubject?: number
  /**
   * Finds the user, as the app knows them now. Called at every refresh, before anything changes, and at a sign-in without
   * claims. The claims that it returns are those of the new access token, so a role that was taken away is gone at the next
   * refresh; without them, the claims of the sign-in stay. The client receives the `user` that it returns. `null` ends the
   * session (`inactive`). If it throws, the response is 503 and the session stays. Costs one more read of the store per
   * refresh.
   */
  findSubject?: FindSubject<C, User>
  /**
   * Accepts refresh tokens that the app issued before it used Daypass. Each is traded once for a session, so that nobody
   * has to sign in again. Made by `daypass/adopt`, or written by the app.
   */
  adopt?: Adopter<C>
  /** Checks and types the app's own claims at `issue`: any Standard Schema. */
  claims?: ClaimsSchema<C>
  /**
   * The behaviour of `verify` when the list of revoked sessions could not be read for 10 seconds. `refuse`: it throws
   * `ERR_STORE_UNAVAILABLE` (503). `accept`: it accepts valid tokens, even those of a session that was signed out. Default
   * `refuse`.
   */
  whenStoreIsAway?: 'refuse' | 'accept'
  /** Called with each audit event. Errors that it throws are ignored, and a promise that it returns is not awaited. */
  onEvent?: (event: DaypassEvent) => void
  /** Called with each warning, at most once a minute for each code and cause. Default `console.warn`. */
  onWarning?: OnWarning
  /**
   * Milliseconds since the epoch; all servers on one store must agree. Default: the store's own clock if it has one
   * (PostgreSQL, MySQL, Redis, MongoDB, libSQL, D1), else `Date.now`.
   */
  clock?: () => number
  /** Random bytes. Default `crypto.randomBytes`. */
  random?: (size: number) => Uint8Array
}

const ofAdapters = '`createExpressAuth` and the other adapters take it.'

/** Options of the adapters, and the names that other libraries have. */
const advice = {
  ...{ authenticate: ofAdapters, basePath: ofAdapters, cookie: ofAdapters, origins: ofAdapters, paths: ofAdapters },
  ...{ routes: ofAdapters, transport: ofAdapters, trustedProxies: ofAdapters },
  findUser: 'It is called `findSubject`.',
  expiresIn: 'Set `accessTokenLifetime`, in seconds.',
  refreshTokenLifetime: 'Set `idleTimeout` and `absoluteTimeout`, in seconds.',
}

const daypassOptions: OptionNames<DaypassOptions> = {
  secret: true,
  issuer: true,
  store: true,
  audience: true,
  clientId: true,
  algorithm: true,
  signingKeys: true,
  accessTokenLifetime: true,
  idleTimeout: true,
  absoluteTimeout: true,
  reuseInterval: true,
  retryInterval: true,
  maxSessionsPerSubject: true,
  findSubject: true,
  adopt: true,
  claims: true,
  whenStoreIsAway: true,
  onEvent: true,
  onWarning: true,
  clock: true,
  random: true,
}

/** The result of {@link readOptions}. */
export type Settings<C> = ReturnType<typeof readOptions<C>>

/** Checks the options and adds the defaults. Durations become milliseconds, except `accessTokenLifetime`. */
export function readOptions<C>(options: DaypassOptions<C>) {
  requireOptions(options, 'createDaypass({ secret, issuer, store })')
  checkOptions(options, daypassOptions, '', advice)
  const { issuer, store, audience = issuer, clientId = 'first-party', algorithm = 'EdDSA' } = options
  if (typeof issuer !== 'string' || issuer === '') {
    throw wrongOption('issuer', issuer, "Give your server's address, such as 'https://example.com'.")
  }
  if (!isStorable(issuer)) throw optionError(`\`issuer\` must be a string without ${unstorable}.`)
  if (typeof store?.advance !== 'function') {
    throw wrongKind('store', store, "Give createSqliteStore('./daypass.db') from 'daypass/sqlite', or another store.")
  }
  // createVerifier checks `audience`.
  if (!isSubject(clientId)) {
    throw wrongOption('clientId', clientId, "Give a name of 1 to 255 characters, such as 'web'.")
  }
  if (algorithm !== 'EdDSA' && algorithm !== 'HS256') {
    throw wrongOption('algorithm', algorithm, "Give 'EdDSA' or 'HS256'; for ES256 and RS256 set `signingKeys`.")
  }
  const { adopt, claims } = options
  if (adopt !== undefined && typeof adopt?.find !== 'function') {
    throw wrongKind('adopt', adopt, 'Give adoptJwt(…) or adoptMongoose(…), or an object with `find`.')
  }
  if (claims !== undefined && typeof claims?.['~standard']?.validate !== 'function') {
    throw wrongKind('claims', claims, 'Give a Standard Schema, such as one of Zod or Valibot.')
  }
  if (options.signingKeys !== undefined && !(Array.isArray(options.signingKeys) && options.signingKeys.every(isKey))) {
    throw wrongKind('signingKeys', options.signingKeys, "Give a list of { algorithm, privateKey } and 'secret'.")
  }
  checkFunctions(options, 'findSubject', 'onEvent', 'onWarning', 'clock', 'random')
  const idleTimeout = readDuration('idleTimeout', options.idleTimeout ?? 604_800, minIdleTimeout)
  const accessTokenLifetime = readDuration(
    'accessTokenLifetime',
    // Only a refresh shows activity, so there must be one before the idle timeout ends.
    options.accessTokenLifetime ?? Math.min(900, Math.ceil(idleTimeout / 2)),
    1,
    maxAccessTokenLifetime,
  )
  const absoluteTimeout = readDuration(
    'absoluteTimeout',
    options.absoluteTimeout ?? Math.max(2_592_000, idleTimeout),
    1,
  )
  const reuseInterval = readDuration('reuseInterval', options.reuseInterval ?? 30, 0)
  const retryInterval = readDuration('retryInterval', options.retryInterval ?? (reuseInterval === 0 ? 0 : 86_400), 0)
  checkOrder({ accessTokenLifetime, idleTimeout, absoluteTimeout })
  const { clock, whenStoreIsAway = 'refuse' } = options
  if (whenStoreIsAway !== 'refuse' && whenStoreIsAway !== 'accept') {
    throw wrongOption('whenStoreIsAway', whenStoreIsAway, "Give 'refuse' or 'accept'.")
  }
  const max = options.maxSessionsPerSubject ?? 100
  if (!(typeof max === 'number' && max >= 1)) {
    throw wrongOption('maxSessionsPerSubject', max, 'Give a number, 1 or more, or Infinity.')
  }
  return {
    issuer,
    store,
    audience,
    clientId,
    algorithm,
    accessTokenLifetime: Math.ceil(accessTokenLifetime),
    idleTimeout: Math.round(idleTimeout * 1000),
    absoluteTimeout: Math.round(absoluteTimeout * 1000),
    isAbsoluteTimeoutGiven: options.absoluteTimeout !== undefined,
    reuseInterval: Math.round(reuseInterval * 1000),
    retryInterval: Math.round(retryInterval * 1000),
    maxSessionsPerSubject: max,
    findSubject: options.findSubject,
    adopt,
    claims,
    whenStoreIsAway,
    onEvent: options.onEvent,
    onWarning: options.onWarning,
    // Rows hold whole milliseconds; a clock such as `performance.timeOrigin + performance.now()` returns fractions.
    clock: clock && (() => Math.floor(clock())),
    random: options.random ?? randomBytes,
  }
}

/**
 * Lifetimes that meet an authentication assurance level. Spread them into the options: `createDaypass({ ...nist.aal2, … })`.
 *
 * @see NIST SP 800-63B-4 §2.1.3, §2.2.3, §2.3.3
 */
export const nist = {
  /** 30 days. */
  aal1: { absoluteTimeout: 2_592_000, idleTimeout: 2_592_000 },
  /** 24 hours, 1 hour idle. */
  aal2: { absoluteTimeout: 86_400, idleTimeout: 3_600 },
  /** 12 hours, 15 minutes idle; access tokens live 5 minutes, so that activity is seen in time. */
  aal3: { absoluteTimeout: 43_200, idleTimeout: 900, accessTokenLifetime: 300 },
} as const

const isKey = (key: unknown) => key === 'secret' || isObject(key)
