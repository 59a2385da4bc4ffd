// The options of `createDaypass`, and their defaults.

import { DaypassError } from '../errors.ts'
import type { Adopter } from './api.ts'
import type { DaypassEvent } from './events.ts'
import type { Secret, SigningKey } from './keys.ts'
import { randomBytes } from './random.ts'
import type { Claims } from './session.ts'
import type { Store } from './store.ts'
import { isKeepable, unkeepable } from './text.ts'
import type { OnWarning } from './warn.ts'

/** The part of Standard Schema v1 that is used: Zod, Valibot, ArkType and others have it (https://standardschema.dev). */
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

/** Options of `createDaypass`. Durations are seconds. */
export interface DaypassOptions<C = Claims> {
  /**
   * At least 32 random bytes (`openssl rand -base64 48`), or a list: the first makes tokens, all are accepted, and the
   * public keys of all are published. To rotate, deploy `[old, new]`, then `[new, old]`, then `[new]`: a new secret that
   * comes first at once signs people out at the instances that do not know it yet. docs/keys.md says how long to wait.
   */
  secret: Secret | readonly Secret[]
  /** Who signs: an https address of yours, or any text that verifiers are told (`iss`). */
  issuer: string
  /** Where sessions live: `createSqliteStore(path)` from `daypass/sqlite`, or another store. */
  store: Store
  /** Whom access tokens are for (`aud`). Default: the issuer. */
  audience?: string
  /** The `client_id` of sessions that name none (RFC 9068 §2.2). Default "first-party". */
  clientId?: string
  /** How access tokens are signed with a key made from `secret`. Default EdDSA; HS256 makes no public keys. */
  algorithm?: 'EdDSA' | 'HS256'
  /**
   * Signing keys of your own, ES256 and RS256 and external signers among them: the first signs, all are published and
   * accepted. `'secret'` stands for the keys that are made from `secret`; default: behind the others. So
   * `['secret', key]` publishes a key that does not sign yet. Rotate them as `secret` is rotated (docs/keys.md).
   */
  signingKeys?: readonly (SigningKey | 'secret')[]
  /**
   * How long an access token lives. Default 900 (15 minutes), or half of `idleTimeout` where that is less. At most 86,400
   * (a day), and shorter than `idleTimeout`.
   */
  accessTokenLifetime?: number
  /**
   * After how long without a refresh a session ends. Default 604,800 (7 days). A client refreshes when its access token
   * ends, so somebody who is there is seen once in `accessTokenLifetime`.
   */
  idleTimeout?: number
  /** After how long a session ends however much it is used. Default 2,592,000 (30 days). */
  absoluteTimeout?: number
  /**
   * For how long a token that lost a race answers 409 and is not taken for stolen. Default 30; 0 is strict.
   */
  reuseInterval?: number
  /**
   * For how long a refresh without an Idempotency-Key may be asked again, until one of its children is redeemed: a client
   * that knows no keys survives a lost response. For as long a copy of the token before the newest is as good as the
   * newest, until the owner's next refresh. Default 86,400 (a day), or 0 where `reuseInterval` is 0. Refreshes with a key
   * do not need it.
   */
  retryInterval?: number
  /** How many sessions a subject may have; the longest unused end when there are more. Default 100; `Infinity` is no limit. */
  maxSessionsPerSubject?: number
  /**
   * Asked at every refresh before anything changes: is this subject (still) allowed in? False ends the session. Where
   * it throws, the answer is 503 and the session lives on. Costs one more read of the store a refresh.
   */
  isActive?: (subject: string) => boolean | Promise<boolean>
  /**
   * Refresh tokens that the app gave out before it had Daypass: each is traded, once, for a session, so that nobody has
   * to sign in again. Made by `daypass/adopt`, or the app's own.
   */
  adopt?: Adopter<C>
  /** Checks and types the app's own claims at `issue`: any Standard Schema. */
  claims?: ClaimsSchema<C>
  /**
   * What `verify` does while the store has not been heard for 10 seconds, so that nobody knows whose session was ended:
   * `refuse` answers `ERR_STORE_UNAVAILABLE` (503), `accept` lets in whose token is good, also after a sign-out. Default
   * `refuse`.
   */
  whenStoreIsAway?: 'refuse' | 'accept'
  /** Called with everything an audit log needs; what it throws is ignored, what it returns is not waited for. */
  onEvent?: (event: DaypassEvent) => void
  /** Called with what works and will not for long, at most once a minute of each code and cause. Default `console.warn`. */
  onWarning?: OnWarning
  /**
   * Milliseconds since the epoch, as all servers on one store must see them. Default: the store's own clock where it has
   * one (PostgreSQL, Redis, MongoDB), else `Date.now`.
   */
  clock?: () => number
  /** Random bytes. Default `crypto.randomBytes`. */
  random?: (size: number) => Uint8Array
}

/** Seconds. What was issued before a deploy with other settings lives no longer, so nothing is kept longer for it. */
export const maxAccessTokenLifetime = 86_400

/** What {@link readOptions} gives. */
export type Settings<C> = ReturnType<typeof readOptions<C>>

/** Options as everything inside reads them: checked, with defaults, in milliseconds but for `accessTokenLifetime`. */
export function readOptions<C>(options: DaypassOptions<C>) {
  const { issuer, store, audience = issuer, clientId = 'first-party', algorithm = 'EdDSA' } = options
  if (typeof issuer !== 'string' || issuer === '') {
    throw wrong("`issuer` is missing: give your server's address, such as 'https://example.com'.")
  }
  if (!isKeepable(issuer)) throw wrong(`\`issuer\` must be a text without ${unkeepable}.`)
  if (typeof store?.advance !== 'function') {
    throw wrong("`store` is missing: give createSqliteStore('./daypass.db') from 'daypass/sqlite', or another store.")
  }
  // `audience` is read by createVerifier.
  if (!isKeepable(clientId) || clientId === '') throw wrong('`clientId` must be a text.')
  if (algorithm !== 'EdDSA' && algorithm !== 'HS256') {
    throw wrong('`algorithm` is EdDSA or HS256; for ES256 and RS256 give `signingKeys`.')
  }
  const idleTimeout = duration('idleTimeout', options.idleTimeout, 604_800, 1)
  const accessTokenLifetime = duration(
    'accessTokenLifetime',
    options.accessTokenLifetime,
    // Whoever is there shows it by a refresh, so there must be one before the idle time is over.
    Math.min(900, Math.ceil(idleTimeout / 2)),
    1,
    maxAccessTokenLifetime,
  )
  const absoluteTimeout = duration('absoluteTimeout', options.absoluteTimeout, Math.max(2_592_000, idleTimeout), 1)
  const reuseInterval = duration('reuseInterval', options.reuseInterval, 30, 0)
  const retryInterval = duration('retryInterval', options.retryInterval, reuseInterval === 0 ? 0 : 86_400, 0)
  if (accessTokenLifetime >= idleTimeout) {
    throw wrong(
      '`accessTokenLifetime` must be shorter than `idleTimeout`, best by half: only a refresh shows that somebody is there.',
    )
  }
  if (idleTimeout > absoluteTimeout) throw wrong('`idleTimeout` must not be longer than `absoluteTimeout`.')
  const { clock, whenStoreIsAway = 'refuse' } = options
  if (whenStoreIsAway !== 'refuse' && whenStoreIsAway !== 'accept') {
    throw wrong("`whenStoreIsAway` is 'refuse' or 'accept'.")
  }
  const max = options.maxSessionsPerSubject ?? 100
  if (!(max >= 1)) throw wrong('`maxSessionsPerSubject` must be 1 or more.')
  return {
    issuer,
    store,
    audience,
    clientId,
    algorithm,
    accessTokenLifetime: Math.ceil(accessTokenLifetime),
    idleTimeout: Math.round(idleTimeout * 1000),
    absoluteTimeout: Math.round(absoluteTimeout * 1000),
    reuseInterval: Math.round(reuseInterval * 1000),
    retryInterval: Math.round(retryInterval * 1000),
    maxSessionsPerSubject: max,
    isActive: options.isActive,
    adopt: options.adopt,
    claims: options.claims,
    whenStoreIsAway,
    onEvent: options.onEvent,
    onWarning: options.onWarning,
    // Rows hold whole milliseconds, and `performance.timeOrigin + performance.now()` does not give them.
    clock: clock && (() => Math.floor(clock())),
    random: options.random ?? randomBytes,
  }
}

/**
 * Lifetimes that meet an authentication assurance level, to spread into the options: `createDaypass({ ...nist.aal2, … })`.
 *
 * @see NIST SP 800-63B-4 §2.1.3, §2.2.3, §2.3.3
 */
export const nist = {
  /** 30 days. */
  aal1: { absoluteTimeout: 2_592_000, idleTimeout: 2_592_000 },
  /** 24 hours, 1 hour idle. */
  aal2: { absoluteTimeout: 86_400, idleTimeout: 3_600 },
  /** 12 hours, 15 minutes idle; access tokens of 5 minutes, so that activity shows in time. */
  aal3: { absoluteTimeout: 43_200, idleTimeout: 900, accessTokenLifetime: 300 },
} as const

function duration(
  name: string,
  value: number | undefined,
  fallback: number,
  least: number,
  most = 3_155_760_000,
): number {
  const seconds = value ?? fallback
  if (typeof seconds === 'number' && seconds >= least && seconds <= most) return seconds
  throw wrong(`\`${name}\` must be a number of seconds, ${least} to ${most}.`)
}

const wrong = (message: string) => new DaypassError('ERR_OPTION_INVALID', message)
