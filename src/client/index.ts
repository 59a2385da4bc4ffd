// `daypass/client`: keeps a browser, an app or a script signed in.

export { createClient } from './client.ts'
export {
  type ClientErrorCode,
  type ClientErrorDetails,
  DaypassClientError,
  isAccessInsufficient,
  isBodyNotReplayable,
  isOffline,
  isSignedOut,
  isSignInFailed,
} from './errors.ts'
export type { CallOptions, Pass } from './fetch-with-token.ts'
export type { ClientStorage } from './storage.ts'
export type { ClientSession } from './token-response.ts'
export type {
  ClaimsOf,
  ClientOptions,
  CredentialsOf,
  DaypassClient,
  SessionSnapshot,
  SessionStatus,
  SignedIn,
  UserOf,
} from './types.ts'
