// A session: the one row that is kept from sign-in to pruning, and its members' first values.

/** The app's own claims in an access token: plain JSON. */
export type Claims = Record<string, unknown>

/**
 * Where a session lives: shown to its owner in the list of devices. Texts are kept to 255 characters, an `ip` to 60. What
 * not every engine can keep is replaced by U+FFFD: NUL, U+FFFE, U+FFFF and half a surrogate pair.
 */
export interface Device {
  userAgent?: string | undefined
  /** The address of the last request that moved the session. */
  ip?: string | undefined
  /** A name that the app or the person gave. */
  label?: string | undefined
}

/**
 * The only state: one row a session, from sign-in to pruning. Instants are milliseconds since the epoch.
 * Nothing in it can be turned into a token without the server's secret.
 */
export interface Session {
  /** 128 random bits, base64url (22 characters). */
  id: string
  subject: string
  clientId: string
  /** Scopes separated by spaces (RFC 6749 §3.3); empty for none. */
  scope: string
  claims: Claims
  /** The generation of the refresh token that is good now: 0 at sign-in, one more at every rotation. */
  generation: number
  /** 16 random bytes that key the tags of this session's tokens. */
  secret: Uint8Array
  /** The salt of the token that the last rotation redeemed. */
  parentSalt: Uint8Array | null
  /** The hash of the Idempotency-Key that the last rotation was asked with; null where it came without one. */
  parentKey: Uint8Array | null
  /** When the present run of close rotations began; 0 before the first. */
  burstAt: number
  /** The generation with which that run began. */
  burstGeneration: number
  /** The generation with which the run before began, where this one followed it closely; else {@link burstGeneration}. */
  prevBurstGeneration: number
  /** When the last rotation was; at first, the sign-in. */
  rotatedAt: number
  createdAt: number
  /** When the person proved who they are (OpenID Connect `auth_time`). */
  authTime: number
  /** How they did (RFC 8176). */
  amr: string[]
  idleExpiresAt: number
  /** The absolute end; no rotation moves it. */
  expiresAt: number
  /** The thumbprint of the key that the session is bound to (RFC 9449); null for none. */
  jkt: string | null
  device: Device
  revokedAt: number | null
  revokedReason: RevokedReason | null
}

/** Why a session ended before its time. */
export type RevokedReason =
  | 'sign-out'
  | 'reuse'
  | 'forgery'
  | 'inactive'
  | 'expired'
  | 'limit'
  | 'password'
  | 'admin'
  /** The same browser signed in again. */
  | 'replaced'

/** What differs between sessions that have just begun. */
type Beginning = Pick<Session, 'id' | 'subject' | 'clientId' | 'secret' | 'createdAt' | 'expiresAt'>

/** A session as it begins: without claims, device or rotation. It is idle until its absolute end. */
export const beginSession = ({ id, subject, clientId, secret, createdAt, expiresAt }: Beginning): Session => ({
  id,
  subject,
  clientId,
  scope: '',
  claims: {},
  generation: 0,
  secret,
  parentSalt: null,
  parentKey: null,
  burstAt: 0,
  burstGeneration: 0,
  prevBurstGeneration: 0,
  rotatedAt: createdAt,
  createdAt,
  authTime: createdAt,
  amr: [],
  idleExpiresAt: expiresAt,
  expiresAt,
  jkt: null,
  device: {},
  revokedAt: null,
  revokedReason: null,
})
