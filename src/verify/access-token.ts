// Reads the claims of an access token (RFC 9068 §2.2).

import { DaypassError } from '../errors.ts'
import { show } from '../option.ts'

/** A verified access token. It is frozen, because all requests with the same token share it. */
export interface AccessToken<C = Record<string, unknown>> {
  /** The person or account (`sub`). */
  readonly subject: string
  /** The id of the session (`sid`). */
  readonly sessionId: string
  /** The client that the session belongs to (`client_id`). */
  readonly clientId: string
  /** The scopes (`scope`). */
  readonly scopes: readonly string[]
  /** When the token was made, in milliseconds since the epoch. */
  readonly issuedAt: number
  /** Milliseconds since the epoch. At this instant the token has expired. */
  readonly expiresAt: number
  /** When the person proved who they are, in milliseconds since the epoch (`auth_time`). */
  readonly authTime: number | undefined
  /** The authentication methods (RFC 8176). */
  readonly amr: readonly string[]
  /** This token's own id (`jti`). */
  readonly tokenId: string
  /** The app's own claims. */
  readonly claims: Readonly<C>
}

/** The members of the payload that belong to the protocol. Custom claims cannot have these names. */
export const registeredClaims: ReadonlySet<string> = new Set(
  'iss sub aud client_id iat exp nbf jti sid scope auth_time amr acr cnf act may_act azp nonce at_hash events __proto__'.split(
    ' ',
  ),
)

/** The values that a token must match. */
export interface Expected {
  issuer: string
  audience: string
  /** Milliseconds. */
  now: number
  /** Milliseconds; bounded by the caller. */
  clockTolerance: number
  /** Called for a token with a good signature that is from another issuer or for another audience. */
  onForeign(difference: string): void
}

/** Checks the claims of RFC 9068 §4 and RFC 8725 §3. Throws `ERR_ACCESS_TOKEN_INVALID` or `ERR_ACCESS_TOKEN_EXPIRED`. */
export function readAccessToken(payload: Record<string, unknown>, expected: Expected): AccessToken {
  const { sub, client_id, iat, exp, nbf, jti, sid, scope, auth_time, amr, cnf } = payload
  const difference = findDifference(payload, expected)
  if (difference !== undefined) {
    expected.onForeign(difference)
    throw invalid(difference)
  }
  if (!isText(sub) || !isText(client_id) || !isText(jti) || !isText(sid)) throw invalid('a required claim is missing')
  if (!isInstant(iat) || !isInstant(exp)) throw invalid('iat or exp is not a number')
  if (scope !== undefined && typeof scope !== 'string') throw invalid('scope is not a string')
  if (auth_time !== undefined && !isInstant(auth_time)) throw invalid('auth_time is not a number')
  if (amr !== undefined && !isTexts(amr)) throw invalid('amr is not a list of strings')
  // Reject a token that is bound to a key (RFC 7800): the key is not checked here, so a stolen token would be accepted.
  if (cnf !== undefined) throw invalid('it is bound to a key')
  if (nbf !== undefined && (!isInstant(nbf) || nbf * 1000 > expected.now + expected.clockTolerance)) {
    throw invalid('it is not valid yet')
  }
  if (iat * 1000 > expected.now + Math.max(expected.clockTolerance, 60_000))
    throw invalid('it was issued in the future')
  if (expected.now >= exp * 1000 + expected.clockTolerance) throw new DaypassError('ERR_ACCESS_TOKEN_EXPIRED')
  const claims: Record<string, unknown> = {}
  for (const name of Object.keys(payload)) if (!registeredClaims.has(name)) claims[name] = payload[name]
  return deepFreeze({
    subject: sub,
    sessionId: sid,
    clientId: client_id,
    scopes: scope ? scope.split(' ') : [],
    issuedAt: iat * 1000,
    expiresAt: exp * 1000,
    authTime: auth_time === undefined ? undefined : auth_time * 1000,
    amr: amr ?? [],
    tokenId: jti,
    claims,
  })
}

/** How a token's issuer or audience differs from the expected one; undefined if neither does. */
function findDifference({ iss, aud }: Record<string, unknown>, { issuer, audience }: Expected): string | undefined {
  if (iss !== issuer) return `it is from the issuer ${show(iss)}, and \`issuer\` is ${show(issuer)}`
  const audiences = isTexts(aud) ? aud : [aud]
  if (audiences.includes(audience)) return undefined
  return `it is for the audience ${audiences.map(show).join(', ')}, and \`audience\` is ${show(audience)}`
}

/** Makes the error of an invalid token. `reason` is for logs; the response is the same for every reason. */
export function invalid(reason: string): DaypassError {
  return new DaypassError('ERR_ACCESS_TOKEN_INVALID', undefined, { cause: reason })
}

const isText = (value: unknown): value is string => typeof value === 'string' && value !== ''
const isTexts = (value: unknown): value is string[] =>
  Array.isArray(value) && value.every((item) => typeof item === 'string')
const isInstant = (value: unknown): value is number =>
  Number.isFinite(value) && (value as number) >= 0 && (value as number) < 8.64e12

function deepFreeze<T>(value: T): T {
  // Object.isFrozen is true for a value that is not an object.
  if (!Object.isFrozen(value)) {
    Object.freeze(value)
    for (const member of Object.values(value as object)) deepFreeze(member)
  }
  return value
}
