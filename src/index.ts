// The public face of the server library: exports only.

export {
  createDaypass,
  type Daypass,
  type IssueOptions,
  type RefreshedTokens,
  type RefreshOptions,
  type RevokeOptions,
  type SessionInfo,
  type Tokens,
} from './core/daypass.ts'
export { DaypassError, type DaypassErrorOptions, type ErrorCode, isDaypassError } from './core/errors.ts'
export type { DaypassEvent, RequestOrigin } from './core/events.ts'
export type { Algorithm, Secret, SigningKey } from './core/keys.ts'
export { type ClaimsSchema, type DaypassOptions, nist } from './core/options.ts'
export type { Advance, Advanced, Claims, Device, RevokedReason, Session, Store } from './core/types.ts'
export type { OnWarning, Warning, WarningCode } from './core/warn.ts'
export type { AccessToken, Jwk } from './verify/index.ts'
