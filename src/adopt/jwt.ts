// Adopts refresh tokens that are JWTs.

import { Buffer } from 'node:buffer'
import { createPublicKey, createSecretKey, KeyObject } from 'node:crypto'
import { compactVerify, type JWTPayload, jwtVerify } from 'jose'
import type { Adopter } from '../core/api.ts'
import type { Claims } from '../core/session.ts'
import { DaypassError } from '../errors.ts'
import { parseStrictObject } from '../verify/json.ts'

/** Options of {@link adoptJwt}: one of `secret` and `publicKey`. */
export interface AdoptJwtOptions<C = Claims> {
  /** The secret that `jsonwebtoken` signed refresh tokens with. */
  secret?: string | Uint8Array
  /** Says that a secret of fewer than 32 bytes is known to be guessable, and taken all the same. */
  allowWeakSecret?: boolean
  /** A PEM text or a KeyObject. */
  publicKey?: string | KeyObject
  /** Default `['HS256']` with a secret, `['RS256']` with a public key. Never more than the app used. */
  algorithms?: ('HS256' | 'HS384' | 'HS512' | 'RS256' | 'RS384' | 'RS512' | 'ES256' | 'ES384')[]
  issuer?: string
  audience?: string
  /** The subject in a payload. Default its `sub`. */
  subject?(payload: JWTPayload & Record<string, any>): string | undefined
  /** The claims of the session. Default none. */
  claims?(payload: JWTPayload & Record<string, any>): C | Promise<C>
  /**
   * Whether a payload is a refresh token's, and still wanted. Where access tokens have the same secret it must tell them
   * apart, or an old access token is worth a session.
   */
  accepts?(payload: JWTPayload & Record<string, any>): boolean | Promise<boolean>
  /** When the person signed in, epoch milliseconds, where the payload tells. */
  authTime?(payload: JWTPayload & Record<string, any>): number
  /** The app's list of good tokens, where it keeps one: a token must be in it too, and be the same person's. */
  stored?: Adopter<C>
  /** After this instant no old token is good. Needed for tokens that never expire and are not `stored`. */
  until?: Date
}

/**
 * Adopts refresh tokens that are JWTs, each once.
 *
 * @throws DaypassError `ERR_OPTION_INVALID`, `ERR_KEY_WEAK`.
 * @see RFC 7519, RFC 8725
 * @example
 * ```ts
 * import { createDaypass } from 'daypass'
 * import { adoptJwt } from 'daypass/adopt'
 * import { createSqliteStore } from 'daypass/sqlite'
 *
 * const auth = createDaypass({
 *   secret: process.env.DAYPASS_SECRET!,
 *   issuer: 'https://example.com',
 *   store: createSqliteStore('./daypass.db'),
 *   adopt: adoptJwt({ secret: process.env.REFRESH_TOKEN_SECRET!, subject: (payload) => payload.userId }),
 * })
 * ```
 */
export function adoptJwt<C = Claims>(options: AdoptJwtOptions<C>): Adopter<C> {
  const key = readKey(options)
  const { issuer, audience, stored } = options
  const algorithms: string[] = options.algorithms ?? (key.type === 'secret' ? ['HS256'] : ['RS256'])
  if (algorithms.length === 0 || !algorithms.every((name) => name.startsWith('HS') === (key.type === 'secret'))) {
    throw wrong('`algorithms` must fit the key: HS256 … a `secret`, RS256 … and ES256 … a `publicKey`.')
  }
  const until = options.until?.getTime() ?? Number.POSITIVE_INFINITY
  if (Number.isNaN(until)) throw wrong('`until` is no date.')
  const accepts = options.accepts ?? (() => true)

  return {
    async identify(token) {
      const parts = token.split('.')
      if (!parts.every(isCanonical)) return null
      try {
        const { payload, protectedHeader } = await compactVerify(token, key, { algorithms })
        // A token of another kind that has the same key: RFC 8725 §3.11.
        if (!/^(application\/)?jwt$/i.test(protectedHeader.typ ?? 'JWT')) return null
        // A payload that two parsers read differently is nobody's.
        if (parseStrictObject(payload) === undefined) return null
      } catch {
        return null
      }
      // Without the signature: of ECDSA's there are two to every token, and one is the other's copy.
      return `${parts[0]}.${parts[1]}`
    },
    async find(token, context) {
      if (context.now >= until) return null
      const expected = { algorithms, issuer, audience, currentDate: new Date(context.now) }
      const verified = await jwtVerify(token, key, expected).catch(() => undefined)
      if (verified === undefined || !(await accepts(verified.payload))) return null
      const { payload } = verified
      const subject = options.subject ? options.subject(payload) : payload.sub
      if (typeof subject !== 'string' || subject === '') return null
      const kept = stored && (await stored.find(token, context))
      if (stored && kept?.subject !== subject) return null
      const expiresAt = Math.min((payload.exp ?? Number.POSITIVE_INFINITY) * 1000, until)
      return {
        ...kept,
        subject,
        ...(options.claims && { claims: await options.claims(payload) }),
        ...(options.authTime && { authTime: options.authTime(payload) }),
        ...(expiresAt !== Number.POSITIVE_INFINITY && { expiresAt }),
      }
    },
    ...(stored?.forget && { forget: (token: string) => stored.forget!(token) }),
  }
}

function readKey({ secret, publicKey, allowWeakSecret = false }: AdoptJwtOptions<any>): KeyObject {
  if ((secret === undefined) === (publicKey === undefined)) throw wrong('adoptJwt needs a `secret` or a `publicKey`.')
  if (secret !== undefined) {
    const bytes = Buffer.from(secret as string)
    if (bytes.length === 0) throw wrong('adoptJwt: `secret` is empty.')
    if (bytes.length < 32 && !allowWeakSecret) {
      throw new DaypassError(
        'ERR_KEY_WEAK',
        'adoptJwt: `secret` is shorter than 32 bytes, so it can be guessed, and with it a token for anyone; where the app has no other, say `allowWeakSecret: true`, and `stored` or an early `until`.',
      )
    }
    return createSecretKey(bytes)
  }
  try {
    const key = publicKey instanceof KeyObject ? publicKey : createPublicKey(publicKey!)
    if (key.type === 'public') return key
  } catch {}
  throw wrong('adoptJwt: `publicKey` cannot be read; give a PEM text or a KeyObject.')
}

/** One spelling a text: what we would write ourselves. */
const isCanonical = (part: string) => Buffer.from(part, 'base64url').toString('base64url') === part
const wrong = (message: string) => new DaypassError('ERR_OPTION_INVALID', message)
