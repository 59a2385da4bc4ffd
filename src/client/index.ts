// daypass/client: how does a browser, an app or a script stay signed in?

export type { ClientSession } from './answer.ts'
export { createClient } from './client.ts'
export {
  type ClientErrorCode,
  type ClientErrorDetails,
  DaypassClientError,
  isBodyNotReplayable,
  isOffline,
  isSignedOut,
  isSignInFailed,
} from './errors.ts'
export type { CallOptions, Pass } from './fetch-with-token.ts'
export type { ClientStorage } from './storage.ts'
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
