// The values that all parts of a Daypass share: settings, store, clock, keys and listeners.

import type { Warn } from '../warn.ts'
import type { Tokens } from './api.ts'
import type { EmitEvent } from './events.ts'
import type { SelfOpening } from './open-store.ts'
import type { Settings } from './options.ts'
import type { Pruner } from './prune.ts'
import type { ProofKey } from './refresh-token.ts'
import type { Revocations } from './revocations.ts'
import type { Current, Session } from './session.ts'

/** Made once by `createDaypass` and passed to each part. */
export interface Parts<C> {
  settings: Settings<C>
  store: SelfOpening
  /** The clock of the rows: milliseconds since the epoch. */
  clock: () => number
  /**
   * How far {@link clock} is ahead of the app's, by which instants are given and access tokens are made. Milliseconds; 0 if
   * the app provides the clock of the rows.
   */
  ahead: () => number
  proofKeys: readonly ProofKey[]
  /** Whether access tokens are signed outside this process, which may fail or be slow. */
  isSignerExternal: boolean
  /** Signs an access token of a session. */
  sign(session: Session, now: number): string | Promise<string>
  /** Makes the result for the caller: the access token, and the refresh token with this salt. */
  grant(current: Current, accessToken: string, salt: Uint8Array, now: number): Tokens<C>
  emit: EmitEvent
  warn: Warn
  revocations: Revocations
  pruner: Pruner
}
