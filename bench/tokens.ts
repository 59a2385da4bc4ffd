// Makes access tokens of many sessions, as a server signs them.

import { createAccessTokenSigner } from '../src/core/access-token.ts'
import { createKeys } from '../src/core/keys.ts'
import { randomBytes } from '../src/core/random.ts'
import type { Claims, Session } from '../src/core/session.ts'
import type { Algorithm } from './settings.ts'

export const issuer = 'http://localhost:12345'

export function createTokenMaker(algorithm: Algorithm) {
  const keys = createKeys(randomBytes(32), issuer, algorithm)
  const sign = createAccessTokenSigner(keys.signer, issuer, issuer, () => 900)
  const now = Date.now()
  const id = () => Buffer.from(randomBytes(16)).toString('base64url')
  const session = { subject: 'subject', clientId: 'first-party', scope: '', amr: [], authTime: now }
  return {
    /** The key that verifies them. */
    jwk: keys.verificationKeys[0]!,
    /** A token of a new session. */
    make: async (claims: Claims = {}) =>
      sign({ ...session, claims, id: id(), expiresAt: now + 900_000 } as unknown as Session, now, id()),
  }
}
