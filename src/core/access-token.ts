// Makes access tokens (RFC 9068). Signs with node:crypto directly: the signature is most of what a refresh costs.

import { Buffer } from 'node:buffer'
import { base64url } from './bytes.ts'
import type { Signer } from './keys.ts'
import type { Session } from './session.ts'

/** Makes the access tokens of one issuer. */
export type SignAccessToken = (session: Session, now: number, tokenId: string) => string | Promise<string>

/** `lifetimeOf` returns seconds; a token never outlives its session. */
export function createAccessTokenSigner(
  signer: Signer,
  issuer: string,
  audience: string,
  lifetimeOf: (session: Session) => number,
): SignAccessToken {
  const header = `${encode({ alg: signer.algorithm, typ: 'at+jwt', kid: signer.kid })}.`
  return (session, now, tokenId) => {
    const iat = Math.floor(now / 1000)
    const input =
      header +
      encode({
        ...session.claims,
        iss: issuer,
        sub: session.subject,
        aud: audience,
        client_id: session.clientId,
        iat,
        // Round up: the token must not end before `expiresIn` of the response says so.
        exp: Math.min(Math.ceil(now / 1000) + lifetimeOf(session), Math.ceil(session.expiresAt / 1000)),
        jti: tokenId,
        sid: session.id,
        scope: session.scope === '' ? undefined : session.scope,
        auth_time: Math.floor(session.authTime / 1000),
        amr: session.amr.length === 0 ? undefined : session.amr,
      })
    const signature = signer.sign(input)
    return signature instanceof Promise
      ? signature.then((bytes) => `${input}.${base64url(bytes)}`)
      : `${input}.${base64url(signature)}`
  }
}

const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
