// daypass/adopt: whose are the refresh tokens that an app gave out before it had Daypass?

import { Buffer } from 'node:buffer'
import { createPublicKey, createSecretKey, KeyObject } from 'node:crypto'
import { compactVerify, type JWTPayload, jwtVerify } from 'jose'
import { parseStrictObject } from '../verify/json.ts'
import type { IssueOptions } from './daypass.ts'
import { DaypassError } from './errors.ts'
import type { RequestOrigin } from './events.ts'
import type { Claims } from './types.ts'

/** Whose an old token is: the session that it is traded for begins with this. */
export interface Adopted<C = Claims> extends Omit<IssueOptions<C>, 'authTime'> {
  subject: string
  /**
   * When the person proved who they are, epoch milliseconds. Default 0: it is not known, so what asks for a recent
   * sign-in asks for one.
   */
  authTime?: number
  /** When the old token would have ended, epoch milliseconds: it is remembered so long. Needed without `forget`. */
  expiresAt?: number
}

/** What is known when an old token is looked at. */
export interface AdoptContext extends RequestOrigin {
  /** Milliseconds since the epoch. */
  now: number
}

/**
 * Knows the tokens of an older scheme: the `adopt` option of `createDaypass`. What a method throws is told as 503
 * `ERR_ADOPT_FAILED`, and the token stays good.
 *
 * Each token is traded once, whatever is lost on the way: the session is written under a name made from the token, so a
 * second trade finds the first. Only then is the old token forgotten.
 */
export interface Adopter<C = Claims> {
  /**
   * One name for all spellings of a token, or null for what is none of this scheme's. Asked first, so that garbage costs
   * no I/O; it does none. Default: the token is its own name.
   */
  identify?(token: string): string | null | Promise<string | null>
  /** Whose token is this, now? Null for nobody's. It changes nothing: the answer may be lost yet. */
  find(token: string, context: AdoptContext): Adopted<C> | null | Promise<Adopted<C> | null>
  /**
   * Takes the token out of the app's own store. Called when the session is written, and again where that was not heard
   * of; so it must not matter how often. Where a scheme stores nothing, leave it out: then Daypass remembers the token
   * until its `expiresAt`.
   */
  forget?(token: string): void | Promise<void>
}

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

/** What is used of a Mongoose model. */
export interface MongooseModel {
  findById(id: any): PromiseLike<any>
  /** Looked at once: a field of another name or kind would never be found. */
  readonly schema?: { path(name: string): any; eachPath(call: (name: string, type: any) => void): unknown }
  /** The collection itself: a filter by a field that the schema does not have (any more) is still a filter there. */
  collection: {
    findOne(filter: any, options?: any): Promise<any>
    updateOne(filter: any, update: any): Promise<unknown>
  }
}

/** A model's documents. */
export type MongooseDocument<Model extends MongooseModel> = Model extends new (
  ...args: any[]
) => infer Document
  ? Document
  : NonNullable<Awaited<ReturnType<Model['findById']>>>

/** Options of {@link adoptMongoose}. */
export interface AdoptMongooseOptions<User, C = Claims> {
  /** The field, an array of texts: `refreshTokens: [String]`. Default "refreshTokens". The schema need not have it. */
  field?: string
  /** The subject of a user. Default the text of its `_id`. */
  subject?(user: User): string
  /** The claims of the session. Default none. */
  claims?(user: User): C | Promise<C>
}

/**
 * Adopts refresh tokens, UUIDs or anything else, that lie in an array of a Mongoose model. Each is taken out of the array
 * when it is traded, so the array empties itself.
 *
 * @throws DaypassError `ERR_OPTION_INVALID` where the schema shows that nothing would be found: the field is no array of
 *   texts, or none was named and the tokens seem to be in another.
 * @example
 * ```ts
 * import { adoptMongoose } from 'daypass/adopt'
 * import mongoose from 'mongoose'
 *
 * const User = mongoose.model('User', new mongoose.Schema({ role: String, refreshTokens: [String] }))
 * const adopt = adoptMongoose(User, { claims: (user) => ({ role: user.role }) })
 * ```
 */
export function adoptMongoose<Model extends MongooseModel, C = Claims>(
  model: Model,
  options: AdoptMongooseOptions<MongooseDocument<Model>, C> = {},
): Adopter<C> {
  const { field = 'refreshTokens', claims } = options
  if (!/^[A-Za-z_][\w.]*$/.test(field)) throw wrong('adoptMongoose: `field` must be a field of the model.')
  checkField(model, field, options.field !== undefined)
  const subject = options.subject ?? ((user: any) => String(user._id))
  return {
    async find(token) {
      const holder = await model.collection.findOne({ [field]: token }, { projection: { _id: 1 } })
      if (holder === null) return null
      const user = await model.findById(holder._id)
      return user && { subject: subject(user), ...(claims && { claims: await claims(user) }) }
    },
    async forget(token) {
      await model.collection.updateOne({ [field]: token }, { $pull: { [field]: token } })
    },
  }
}

/** A schema need not have the field any more. But where it shows that the tokens lie elsewhere, somebody should know. */
function checkField({ schema }: MongooseModel, field: string, isNamed: boolean): void {
  if (schema === undefined) return
  const type = schema.path(field)
  if (type !== undefined && type !== null) {
    if (mayHoldTexts(type)) return
    throw wrong(`adoptMongoose: \`${field}\` is no array of texts in the schema; write an \`Adopter\` of your own.`)
  }
  if (isNamed) return
  const others: string[] = []
  schema.eachPath((name, other) => {
    if (/token/i.test(name)) others.push(other.instance === 'Array' ? `${name}: [ … ]` : name)
  })
  if (others.length === 0) return
  throw wrong(
    `adoptMongoose: the schema has no \`refreshTokens\`, but ${others.join(', ')}. Say where the tokens are with \`field\`.`,
  )
}

/** An array of texts, or of anything. Mongoose 8 and 9 name the type of its elements differently. */
function mayHoldTexts({ instance, embeddedSchemaType, caster }: any): boolean {
  if (instance === 'Mixed') return true
  const element = embeddedSchemaType ?? caster
  return instance === 'Array' && ['String', 'Mixed', undefined].includes(element?.instance)
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
