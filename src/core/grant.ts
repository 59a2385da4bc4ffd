// The tokens that a sign-in or a refresh returns.

import { createAccessTokenSigner } from './access-token.ts'
import type { SessionInfo, Tokens } from './api.ts'
import { shiftAuthTime } from './auth-time.ts'
import { base64url } from './bytes.ts'
import type { Signer } from './keys.ts'
import { accessTokenLifetimeOf } from './lifetimes.ts'
import type { Settings } from './options.ts'
import { mintRefreshToken, type ProofKey } from './refresh-token.ts'
import type { Current, Session } from './session.ts'

/** Makes {@link Parts.sign} and {@link Parts.grant}. `aheadNow` is {@link Parts.ahead}. */
export function createGrants<C>(settings: Settings<C>, signer: Signer, proofKey: ProofKey, aheadNow: () => number) {
  const { issuer, audience, clock, random } = settings
  const lifetimeOf = (session: Session) => accessTokenLifetimeOf(session, settings)
  const signAccessToken = createAccessTokenSigner(signer, issuer, audience, lifetimeOf)

  return {
    /** Access tokens use this machine's clock: the APIs that verify them use their own clocks and know no store. */
    sign(session: Session, now: number): string | Promise<string> {
      const tokenId = base64url(random(16))
      if (clock !== undefined) return signAccessToken(session, now, tokenId)
      const ahead = aheadNow()
      if (ahead === 0) return signAccessToken(session, Date.now(), tokenId)
      const { authTime, expiresAt } = session
      const shifted = { ...session, authTime: shiftAuthTime(authTime, -ahead), expiresAt: expiresAt - ahead }
      // Do not compute `now - ahead`: `ahead` may have been measured again since `now` was read.
      return signAccessToken(shifted, Date.now(), tokenId)
    },

    grant({ session, user }: Current, accessToken: string, salt: Uint8Array, now: number): Tokens<C> {
      return {
        accessToken,
        tokenType: 'Bearer',
        expiresIn: Math.min(lifetimeOf(session), Math.ceil((session.expiresAt - now) / 1000)),
        refreshToken: mintRefreshToken(session, session.generation, salt, proofKey),
        session: toSessionInfo<C>(session),
        user,
      }
    },
  }
}

/** The part of a row that its owner may see. */
export function toSessionInfo<C>(session: Session): SessionInfo<C> {
  const { id, subject, clientId, scope, device, createdAt, rotatedAt, authTime, amr } = session
  const { idleExpiresAt, expiresAt, persistent } = session
  const claims = session.claims as C
  return {
    id,
    subject,
    clientId,
    scope,
    claims,
    device,
    createdAt,
    rotatedAt,
    authTime,
    amr,
    idleExpiresAt,
    expiresAt,
    persistent,
  }
}
