// Adopts refresh tokens that lie in an array of a Mongoose model.

import type { Adopter } from '../core/api.ts'
import type { Claims } from '../core/session.ts'
import { DaypassError } from '../errors.ts'

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

const wrong = (message: string) => new DaypassError('ERR_OPTION_INVALID', message)
