// `adoptJwt`: adopts refresh tokens that are JWTs.

import { Buffer } from 'node:buffer'
import { createPublicKey, createSecretKey, KeyObject } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import { compactVerify, type JWTPayload, jwtVerify } from 'jose'
import type { Adopter } from '../core/api.ts'
import type { Claims } from '../core/session.ts'
import { DaypassError } from '../errors.ts'
import { checkOptions, type OptionNames } from '../known-options.ts'
import { checkFunctions, optionError, requireOptions, wrongKind, wrongOption } from '../option.ts'
import { parseStrictObject } from '../verify/json.ts'

/** The payload of an old token. Its members beside the registered ones are the app's own, of whatever type the app knows. */
// biome-ignore lint/suspicious/noExplicitAny: only the app knows the types of its claims
export type OldPayload = JWTPayload & Record<string, any>

/** Options of {@link adoptJwt}: one of `secret` and `publicKey`. */
export interface AdoptJwtOptions<C = Claims> {
  /** The secret that `jsonwebtoken` signed refresh tokens with. */
  secret?: string | Uint8Array
  /** Accepts a secret of fewer than 32 bytes, although it can be guessed. */
  allowWeakSecret?: boolean
  /** A PEM string or a KeyObject. */
  publicKey?: string | KeyObject
  /** Default `['HS256']` with a secret, `['RS256']` with a public key. Never more than the app used. */
  algorithms?: ('HS256' | 'HS384' | 'HS512' | 'RS256' | 'RS384' | 'RS512' | 'ES256' | 'ES384')[]
  /** The `iss` that old tokens must have. Default: any. */
  issuer?: string
  /** The `aud` that old tokens must have. Default: any. */
  audience?: string
  /** Returns the subject of a payload. Default its `sub`. */
  subject?(payload: OldPayload): string | undefined
  /** Returns the claims of the session. Default none. */
  claims?(payload: OldPayload): C | Promise<C>
  /**
   * Returns whether a payload belongs to a refresh token that is accepted. If the app signed access tokens with the same
   * secret, it must reject them: otherwise an old access token could be traded for a session.
   */
  accepts?(payload: OldPayload): boolean | Promise<boolean>
  /** Returns when the person signed in, epoch milliseconds, if the payload says so. */
  authTime?(payload: OldPayload): number
  /** The app's list of valid tokens, if it keeps one. A token must be in it, too, with the same subject. */
  stored?: Adopter<C>
  /** After this instant no old token is accepted. Needed for tokens that never expire and are not `stored`. */
  until?: Date
}

const optionNames: OptionNames<AdoptJwtOptions> = {
  secret: true,
  allowWeakSecret: true,
  publicKey: true,
  algorithms: true,
  issuer: true,
  audience: true,
  subject: true,
  claims: true,
  accepts: true,
  authTime: true,
  stored: true,
  until: true,
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
  requireOptions(options, 'adoptJwt({ secret: process.env.REFRESH_TOKEN_SECRET })')
  checkOptions(options, optionNames)
  checkFunctions(options, 'subject', 'claims', 'accepts', 'authTime')
  const key = readKey(options)
  const { issuer, audience, stored } = options
  if (stored !== undefined && typeof stored?.find !== 'function') {
    throw wrongKind('stored', stored, 'Give adoptMongoose(User), or an object with `find`.')
  }
  const algorithms: string[] = options.algorithms ?? (key.type === 'secret' ? ['HS256'] : ['RS256'])
  if (
    !Array.isArray(algorithms) ||
    algorithms.length === 0 ||
    !algorithms.every((name) => String(name).startsWith('HS') === (key.type === 'secret'))
  ) {
    throw optionError('`algorithms` must fit the key: HS256 … for a `secret`, RS256 … and ES256 … for a `publicKey`.')
  }
  const until = options.until === undefined ? Number.POSITIVE_INFINITY : readDate(options.until)
  const accepts = options.accepts ?? (() => true)

  return {
    async identify(token) {
      const parts = token.split('.')
      if (!parts.every(isCanonical)) return null
      try {
        const { payload, protectedHeader } = await compactVerify(token, key, { algorithms })
        // Reject tokens of another kind with the same key (RFC 8725 §3.11).
        if (!/^(application\/)?jwt$/i.test(protectedHeader.typ ?? 'JWT')) return null
        // Reject a payload that two parsers could read differently.
        if (parseStrictObject(payload) === undefined) return null
      } catch {
        return null
      }
      // The signature is not part of the name: with ECDSA every token has two valid signatures.
      return `${parts[0]}.${parts[1]}`
    },
    async find(token, context) {
      if (context.now >= until) return null
      const expected = { algorithms, issuer, audience, currentDate: new Date(context.now) }
      const verified = await jwtVerify(token, key, expected).catch(() => undefined)
      const written = parseStrictObject(Buffer.from(token.split('.')[1] ?? '', 'base64url'))
      // jose has checked what JSON.parse read, which may be another name (see json.ts).
      if (verified === undefined || !isDeepStrictEqual(written, verified.payload)) return null
      const { payload } = verified
      if (!(await accepts(payload))) return null
      const subject = options.subject ? options.subject(payload) : payload.sub
      if (typeof subject !== 'string' || subject === '') return null
      const found = stored && (await stored.find(token, context))
      if (stored && found?.subject !== subject) return null
      const expiresAt = Math.min((payload.exp ?? Number.POSITIVE_INFINITY) * 1000, until)
      return {
        ...found,
        subject,
        ...(options.claims && { claims: await options.claims(payload) }),
        ...(options.authTime && { authTime: options.authTime(payload) }),
        ...(expiresAt !== Number.POSITIVE_INFINITY && { expiresAt }),
      }
    },
    ...(stored?.forget && { forget: (token: string) => stored.forget?.(token) }),
  }
}

function readDate(until: unknown): number {
  const time = until instanceof Date ? until.getTime() : Number.NaN
  if (Number.isNaN(time)) throw wrongOption('until', until, "Give a date: new Date('2027-01-31').")
  return time
}

function readKey<C>({ secret, publicKey, allowWeakSecret = false }: AdoptJwtOptions<C>): KeyObject {
  if ((secret === undefined) === (publicKey === undefined)) {
    throw optionError('adoptJwt needs either a `secret` or a `publicKey`.')
  }
  if (secret !== undefined) {
    if (typeof secret !== 'string' && !(secret instanceof Uint8Array)) {
      throw wrongKind('secret', secret, 'Give the string or the bytes that `jsonwebtoken` signed with.')
    }
    const bytes = Buffer.from(secret)
    if (bytes.length === 0) throw optionError('adoptJwt: `secret` is empty.')
    if (bytes.length < 32 && !allowWeakSecret) {
      throw new DaypassError(
        'ERR_KEY_WEAK',
        'adoptJwt: `secret` is shorter than 32 bytes. An attacker who guesses it can make tokens for anyone. If the app has no other, set `allowWeakSecret: true`, and `stored` or an early `until`.',
      )
    }
    return createSecretKey(bytes)
  }
  try {
    const key = publicKey instanceof KeyObject ? publicKey : createPublicKey(publicKey ?? '')
    if (key.type === 'public') return key
  } catch {}
  throw optionError('adoptJwt: `publicKey` cannot be read; pass a PEM string or a KeyObject.')
}

/** Whether a part of a token is encoded as we would encode it: each text has only one such encoding. */
const isCanonical = (part: string) => Buffer.from(part, 'base64url').toString('base64url') === part
