// A session: one row, stored from sign-in to pruning, the first values of its members, and what may change of them.

/** The app's own claims in an access token: plain JSON. */
export type Claims = Record<string, unknown>

/**
 * The device of a session, shown to its owner in the list of sessions. Strings are cut to 255 characters, an `ip` to 60.
 * Characters that not every engine can store (NUL, U+FFFE, U+FFFF and unpaired surrogates) are replaced by U+FFFD.
 */
export interface Device {
  /** The `User-Agent` of the sign-in. */
  userAgent?: string | undefined
  /** The address of the last request that rotated the session. */
  ip?: string | undefined
  /** A name given by the app or the person. */
  label?: string | undefined
}

/**
 * The row of a session: the only state, from sign-in to pruning. Instants are milliseconds since the epoch.
 * No token can be made from it without the server's secret.
 */
export interface Session {
  /** 128 random bits, base64url (22 characters). */
  id: string
  subject: string
  clientId: string
  /** Scopes separated by spaces (RFC 6749 §3.3); empty for none. */
  scope: string
  claims: Claims
  /** The generation of the newest refresh token: 0 at sign-in, plus one at every rotation. */
  generation: number
  /** 16 random bytes that key the tags of this session's tokens. */
  secret: Uint8Array
  /** The salt of the token that the last rotation redeemed. */
  parentSalt: Uint8Array | null
  /** The hash of the last rotation's Idempotency-Key; null if it had none. */
  parentKey: Uint8Array | null
  /** When the current burst (a run of close rotations) began; 0 before the first. */
  burstAt: number
  /** One less than the row's generation before the first rotation of the current burst. */
  burstGeneration: number
  /** The {@link burstGeneration} of the burst before, if the current one followed it closely; else of the current one. */
  prevBurstGeneration: number
  /** When the last rotation was; at first, the sign-in. */
  rotatedAt: number
  createdAt: number
  /** When the person proved who they are (OpenID Connect `auth_time`). */
  authTime: number
  /** The authentication methods (RFC 8176). */
  amr: string[]
  idleExpiresAt: number
  /** The absolute end; no rotation moves it. */
  expiresAt: number
  /** The session's own idle timeout in milliseconds; null for the option's. */
  idleTimeout: number | null
  /** The session's own lifetime of an access token in seconds; null for the option's. */
  accessTokenLifetime: number | null
  /** Whether the browser keeps the cookie when it is closed. */
  persistent: boolean
  /**
   * The thumbprint of the key that the session is bound to (DPoP, RFC 9449). Always null so far: sessions are not bound yet,
   * and the column exists so that no migration is needed then.
   */
  jkt: string | null
  device: Device
  revokedAt: number | null
  revokedReason: RevokedReason | null
}

/** A session with what the app says of its subject now. */
export interface Current {
  session: Session
  /** For the client; undefined if the app gave none. */
  user: unknown
}

/** Why a session ended before its time. */
export type RevokedReason =
  /** The person signed out, here or from another device. */
  | 'sign-out'
  /** A copy of a refresh token was presented. */
  | 'reuse'
  /** A token was made with the server's secret, but not by the server. */
  | 'forgery'
  /** `findSubject` does not know the subject any more. */
  | 'inactive'
  /** A token was presented after the session's end. */
  | 'expired'
  /** The subject had more than `maxSessionsPerSubject` sessions. */
  | 'limit'
  /** Given by the app: the password was changed. */
  | 'password'
  /** Given by the app: an administrator ended it. */
  | 'admin'
  /** The same browser signed in again. */
  | 'replaced'

/** The members that differ between sessions that have just begun. */
type Beginning = Pick<Session, 'id' | 'subject' | 'clientId' | 'secret' | 'createdAt' | 'expiresAt'>

/** A session as it begins: without claims, device or rotation. Its idle end is its absolute end. */
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
  idleTimeout: null,
  accessTokenLifetime: null,
  persistent: true,
  jkt: null,
  device: {},
  revokedAt: null,
  revokedReason: null,
})

/** What `Store.update` changes. Members that are absent stay as they are. */
export interface Changes {
  claims?: Claims
  authTime?: number
  amr?: string[]
  /** The label of the device; null removes it. */
  label?: string | null
}

/** A session after `Store.update`: the store contract's change as a function. */
export function applyChanges(session: Session, { label, ...changes }: Changes): Session {
  const { label: before, ...device } = session.device
  const named = label === undefined ? before : (label ?? undefined)
  return { ...session, ...changes, device: named === undefined ? device : { ...device, label: named } }
}
