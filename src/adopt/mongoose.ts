// `adoptMongoose`: adopts refresh tokens that are stored in an array of a Mongoose model.

import type { Adopter } from '../core/api.ts'
import type { Claims } from '../core/session.ts'
import { checkOptions, type OptionNames } from '../known-options.ts'
import { checkFunctions, optionError, wrongKind, wrongOption } from '../option.ts'

// Mongoose's own types are generic in ways that no structural type without `any` accepts.
// biome-ignore lint/suspicious/noExplicitAny: see above
type Any = any

/** The part of a Mongoose model that is used. */
export interface MongooseModel {
  findById(id: Any): PromiseLike<Any>
  /** Checked once: tokens in a field of another name or type would never be found. */
  readonly schema?: { path(name: string): Any; eachPath(call: (name: string, type: Any) => void): unknown }
  /** The collection itself, because it can filter by a field that the schema does not have (any more). */
  collection: {
    findOne(filter: Any, options?: Any): Promise<Any>
    updateOne(filter: Any, update: Any): Promise<unknown>
  }
}

/** A model's documents. */
export type MongooseDocument<Model extends MongooseModel> = Model extends new (
  ...args: Any[]
) => infer Document
  ? Document
  : NonNullable<Awaited<ReturnType<Model['findById']>>>

/** Options of {@link adoptMongoose}. */
export interface AdoptMongooseOptions<User, C = Claims> {
  /** The field, an array of strings: `refreshTokens: [String]`. Default "refreshTokens". The schema need not have it. */
  field?: string
  /** Returns the subject of a user. Default its `_id` as a string. */
  subject?(user: User): string
  /** Returns the claims of the session. Default none. */
  claims?(user: User): C | Promise<C>
}

const optionNames: OptionNames<AdoptMongooseOptions<unknown>> = { field: true, subject: true, claims: true }

/**
 * Adopts refresh tokens (UUIDs or any other strings) that are stored in an array of a Mongoose model. Each token is removed
 * from the array when it is traded.
 *
 * @throws DaypassError `ERR_OPTION_INVALID` if the schema shows that no token would be found: the field is not an array of
 *   strings, or no field is named and the tokens seem to be in another one.
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
  if (typeof model?.findById !== 'function') {
    throw wrongKind('model', model, "Give the model of your users: mongoose.model('User', schema).")
  }
  checkOptions(options, optionNames)
  checkFunctions(options, 'subject', 'claims')
  const { field = 'refreshTokens', claims } = options
  if (typeof field !== 'string' || !/^[A-Za-z_][\w.]*$/.test(field)) {
    throw wrongOption('field', field, "Give the name of a field of the model, such as 'refreshTokens'.")
  }
  checkField(model, field, options.field !== undefined)
  const subject = options.subject ?? ((user: Any) => String(user._id))
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

/** Throws if the schema shows that the tokens are in another field. The schema need not have the field any more. */
function checkField({ schema }: MongooseModel, field: string, isNamed: boolean): void {
  if (schema === undefined) return
  const type = schema.path(field)
  if (type !== undefined && type !== null) {
    if (mayHoldTexts(type)) return
    throw optionError(
      `adoptMongoose: \`${field}\` is not an array of strings in the schema; write an \`Adopter\` of your own.`,
    )
  }
  if (isNamed) return
  const others: string[] = []
  schema.eachPath((name, other) => {
    if (/token/i.test(name)) others.push(other.instance === 'Array' ? `${name}: [ … ]` : name)
  })
  if (others.length === 0) return
  throw optionError(
    `adoptMongoose: the schema has no \`refreshTokens\`, but ${others.join(', ')}. Name the field of the tokens with \`field\`.`,
  )
}

/** Whether a type is an array of strings, or of anything. Mongoose 8 and 9 name the type of its elements differently. */
function mayHoldTexts({ instance, embeddedSchemaType, caster }: Any): boolean {
  if (instance === 'Mixed') return true
  const element = embeddedSchemaType ?? caster
  return instance === 'Array' && ['String', 'Mixed', undefined].includes(element?.instance)
}
