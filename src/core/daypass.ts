// `createDaypass()`: puts the parts together.

import { createVerifier } from '../verify/index.ts'
import { createWarner } from '../warn.ts'
import { createAdoption } from './adoption.ts'
import type { Daypass } from './api.ts'
import { createEnd } from './end-session.ts'
import { createEmitter } from './events.ts'
import { createFindSession } from './find-session.ts'
import { createGrants } from './grant.ts'
import { createKeys } from './keys.ts'
import { createListSessions } from './list-sessions.ts'
import { openFirst } from './open-store.ts'
import { type DaypassOptions, type FindSubject, readOptions } from './options.ts'
import type { Parts } from './parts.ts'
import { createPruner } from './prune.ts'
import { createRefresh } from './refresh.ts'
import { createRevocations } from './revocations.ts'
import type { Claims } from './session.ts'
import { createSignIn } from './sign-in.ts'
import { createSignOut } from './sign-out.ts'
import { createStoreClock } from './store-clock.ts'
import { createUpdate } from './update.ts'

/**
 * Makes the server's half of Daypass.
 *
 * @throws DaypassError `ERR_OPTION_INVALID`, `ERR_KEY_WEAK`.
 * @example
 * ```ts
 * import { createDaypass } from 'daypass'
 * import { createSqliteStore } from 'daypass/sqlite'
 *
 * const auth = createDaypass<{ role: string }>({
 *   secret: process.env.DAYPASS_SECRET!,
 *   issuer: 'https://example.com',
 *   store: createSqliteStore('./daypass.db'),
 * })
 * const { accessToken, refreshToken } = await auth.issue('user-1', { claims: { role: 'admin' } })
 * const { claims } = await auth.verify(accessToken)
 * const renewed = await auth.refresh(refreshToken)
 * console.log(claims.role, renewed.expiresIn)
 * ```
 */
export function createDaypass<C = Claims, User = unknown>(
  options: DaypassOptions<C, User> & { findSubject: FindSubject<C, User> },
): Daypass<C, true, User>
export function createDaypass<C = Claims, User = unknown>(options: DaypassOptions<C, User>): Daypass<C, false, User>
export function createDaypass<C = Claims>(options: DaypassOptions<C>): Daypass<C, true> {
  const settings = readOptions(options)
  const { issuer, audience, accessTokenLifetime } = settings
  const keys = createKeys(options.secret, issuer, settings.algorithm, options.signingKeys)
  const [proofKey] = keys.proofKeys
  const warn = createWarner(settings.onWarning, settings.clock)
  const storeClock = createStoreClock(settings.store, settings.clock ?? Date.now, warn)
  const clock = settings.clock ?? storeClock
  const ahead = settings.clock === undefined ? storeClock.ahead : () => 0
  const store = openFirst(
    settings.store,
    issuer,
    async () => void (await storeClock.measure()),
    // A clock that the app provides is used as it is.
    settings.clock === undefined ? storeClock.settle : () => undefined,
  )
  const pruner = createPruner(store, clock, store.readClock && storeClock.measure)
  const revocations = createRevocations({
    store,
    clock,
    lifetime: accessTokenLifetime * 1000,
    whenStoreIsAway: settings.whenStoreIsAway,
    // Lets a server that only verifies tokens compare its clock with the store's, too.
    onRead: pruner.maybe,
  })
  const verifier = createVerifier<C>({
    issuer,
    audience,
    jwks: { keys: keys.verificationKeys },
    isRevoked: revocations.isRevoked,
    clock: settings.clock ?? Date.now,
    ...(settings.onWarning && { onWarning: settings.onWarning }),
  })
  const parts: Parts<C> = {
    settings,
    store,
    clock,
    ahead,
    proofKeys: keys.proofKeys,
    isSignerExternal: keys.signer.external,
    ...createGrants(settings, keys.signer, proofKey, ahead),
    emit: createEmitter(settings.onEvent, clock),
    warn,
    revocations,
    pruner,
  }

  const end = createEnd(parts)
  const adoption = settings.adopt && createAdoption(settings.adopt, parts, end)
  const signOut = createSignOut(parts, end, adoption)
  const { issue, endSurplus } = createSignIn(parts, signOut)

  return {
    issuer,
    audience,
    clock: verifier.clock,
    issue: (subject, ...[given]) => issue(subject, given),
    refresh: createRefresh(parts, end, endSurplus, adoption),
    findSession: createFindSession(parts),
    verify: verifier.verify,
    update: createUpdate(parts),
    revoke: signOut.revoke,
    revokeToken: signOut.revokeToken,
    revokeSubject: signOut.revokeSubject,
    sessions: createListSessions(parts),
    jwks: () => keys.jwks,
    prune: pruner.run,
    check: () => store.check(),
    async close() {
      await pruner.stop()
      await store.close()
    },
  }
}
