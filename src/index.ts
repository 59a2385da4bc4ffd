// The public exports of `daypass`.

export type {
  Daypass,
  FoundSession,
  IssueOptions,
  RefreshedTokens,
  RefreshOptions,
  RevokeOptions,
  SessionChanges,
  SessionInfo,
  Tokens,
  UpdateOptions,
} from './core/api.ts'
export { createDaypass } from './core/daypass.ts'
export type { DaypassEvent, RequestOrigin } from './core/events.ts'
export type { Algorithm, Secret, SigningKey } from './core/keys.ts'
export type { SessionLifetimes } from './core/lifetimes.ts'
export { type ClaimsSchema, type DaypassOptions, type FindSubject, type FoundSubject, nist } from './core/options.ts'
export type { Changes, Claims, Device, RevokedReason, Session } from './core/session.ts'
export type { Advance, Advanced, Store } from './core/store.ts'
export { DaypassError, type DaypassErrorOptions, type ErrorCode, isDaypassError } from './errors.ts'
export type { AccessToken, Jwk } from './verify/index.ts'
export type { OnWarning, Warning, WarningCode } from './warn.ts'
