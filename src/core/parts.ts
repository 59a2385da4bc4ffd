// What the parts of a Daypass share: settings, store, clock, chance, keys and listeners.

import type { Tokens } from './api.ts'
import type { EmitEvent } from './events.ts'
import type { SelfOpening } from './open-store.ts'
import type { Settings } from './options.ts'
import type { Pruner } from './prune.ts'
import type { ProofKey } from './refresh-token.ts'
import type { Revocations } from './revocations.ts'
import type { Session } from './session.ts'
import type { Warn } from './warn.ts'

/** Made once by `createDaypass`, and handed to each part. */
export interface Parts<C> {
  settings: Settings<C>
  store: SelfOpening
  /** The clock of the rows, in milliseconds since the epoch. */
  clock: () => number
  proofKeys: readonly ProofKey[]
  /** Whether access tokens are signed elsewhere, which may fail or take its time. */
  isSignerExternal: boolean
  /** Signs an access token of a session. */
  sign(session: Session, now: number): string | Promise<string>
  /** What a caller gets: an access token, and the refresh token with this salt. */
  grant(session: Session, accessToken: string, salt: Uint8Array, now: number): Tokens<C>
  emit: EmitEvent
  warn: Warn
  revocations: Revocations
  pruner: Pruner
}
