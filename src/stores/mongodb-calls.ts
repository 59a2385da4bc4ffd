// Calls to MongoDB through a `mongodb` Db or a Mongoose connection: time limits, errors, indexes and the schema record.

import { DaypassError } from '../errors.ts'
import { wrongKind } from '../option.ts'
import { createBoundedCalls } from './deadline.ts'
import type { Row } from './row.ts'
import { checkSchema, checkVersion, nameTaken, readRecord, schemaKey, schemaVersion } from './schema-record.ts'
import { createErrorTranslator, fieldsOf, unavailable } from './store-error.ts'

/** The used part of a `mongodb` Collection (driver 6 or newer). */
export interface MongoCollection {
  findOne(filter: object, options?: object): Promise<Row | null>
  find(filter: object, options?: object): { toArray(): Promise<Row[]> }
  findOneAndUpdate(filter: object, update: object[], options: object): Promise<Row | null>
  updateOne(filter: object, update: object, options?: object): Promise<{ matchedCount: number }>
  updateMany(filter: object, update: object, options?: object): Promise<{ matchedCount: number }>
  deleteMany(filter: object, options?: object): Promise<{ deletedCount: number }>
  createIndexes(indexes: object[], options?: object): Promise<unknown>
}

/** The used part of a `mongodb` Db. */
export interface MongoDb {
  collection(name: string): MongoCollection
  command(command: object, options?: object): Promise<Row>
  readonly client?: { connect(): Promise<unknown>; readonly options?: object } | undefined
}

/** The used part of a Mongoose connection (Mongoose 8 or newer). It needs no model and no schema. */
export interface MongooseConnection {
  asPromise(): Promise<unknown>
  readonly db?: MongoDb | undefined
}

/** A collection, and the options that every call of it has. */
type Call<T> = (rows: MongoCollection, io: object) => Promise<T>

/** Calls of one method, within its deadline. */
export interface MongoCalls {
  /** Calls a collection, named without its prefix. */
  run<T>(collection: string, call: Call<T>): Promise<T>
  /**
   * Runs a command that changes rows. It is rejected after its deadline: the caller already got 503 and retried.
   *
   * @param call Gets an expression that is 0 before the deadline, and makes the whole update fail after it.
   */
  inTime<T>(collection: string, call: (rows: MongoCollection, io: object, zero: object) => Promise<T>): Promise<T>
  /** The engine's clock, milliseconds since the epoch. */
  readClock(): Promise<number>
}

/** The store's collections in a MongoDB. */
export interface Mongo {
  /** Runs a method within the time limit, and translates its errors. */
  within<T>(body: (calls: MongoCalls) => Promise<T>): Promise<T>
  /**
   * Makes the indexes and claims the collections for an issuer.
   *
   * @throws DaypassError `ERR_STORE_SCHEMA`, `ERR_STORE_ISSUER`, and `ERR_OPTION_INVALID` where a collection under the
   *   prefix holds documents that are not ours; nothing was written then.
   */
  open(issuer: string): Promise<void>
  /**
   * Reads the schema record again, because a newer program may have changed it while this one runs.
   *
   * @throws DaypassError `ERR_STORE_SCHEMA`.
   */
  checkUsable(calls: MongoCalls): Promise<void>
  /** Writes into the schema record. */
  check(): Promise<void>
  /** Resolves when nothing is in flight. */
  drain(): Promise<void>
}

/**
 * The options of every call, which override those of the client, database or connection. Writes go to a majority, so an
 * acknowledged write survives a failover. Reads go to the primary, because on a secondary that is behind a new session
 * does not exist yet. Results are documents with bytes and numbers, and not raw BSON.
 */
const fixedOptions = {
  readPreference: 'primary',
  readConcern: { level: 'local' },
  raw: false,
  fieldsAsRaw: {},
  promoteBuffers: true,
  promoteValues: true,
  promoteLongs: true,
  useBigInt64: false,
  bsonRegExp: false,
  ignoreUndefined: false,
  serializeFunctions: false,
  enableUtf8Validation: true,
  includeResultMetadata: false,
}

const isDb = (source: MongoDb | MongooseConnection): source is MongoDb => 'command' in source

/**
 * @param indexes The indexes of each collection, named without its prefix.
 * @throws DaypassError `ERR_OPTION_INVALID`.
 */
export function createMongo(
  source: MongoDb | MongooseConnection,
  { prefix, timeout }: { prefix: string; timeout: number },
  indexes: Readonly<Record<string, readonly object[]>>,
): Mongo {
  if (typeof source !== 'object' || source === null || !('command' in source || 'asPromise' in source)) {
    throw wrongKind('source', source, 'Give a Db of `mongodb`: client.db(name). Or mongoose.connection.')
  }
  const { within: bounded, drain } = createBoundedCalls(timeout, asMongoError)
  /** How far the engine's clock is ahead of this machine's, in milliseconds. Negative if it is behind. */
  let ahead = 0

  async function database(): Promise<MongoDb> {
    if (isDb(source)) return source
    // Use the driver's collections, because Mongoose's write their arguments into a debug log.
    if (source.db === undefined) await source.asPromise()
    if (source.db === undefined) throw unavailable('the Mongoose connection is not open')
    return source.db
  }

  function createCalls(until: number): MongoCalls {
    const left = () => Math.ceil(until - Date.now())
    const io = () => {
      // The engine ends commands whose caller has gone.
      const maxTimeMS = Math.min(Math.max(left(), 1), timeout)
      return { ...fixedOptions, maxTimeMS, writeConcern: { w: 'majority', wtimeoutMS: maxTimeMS } }
    }
    const collection = async (name: string) => (await database()).collection(`${prefix}_${name}`)

    async function readClock(): Promise<number> {
      const { localTime } = await (await database()).command({ hello: 1 }, { ...fixedOptions, maxTimeMS: undefined })
      if (!(localTime instanceof Date)) throw unavailable('the server returned no time')
      return localTime.getTime()
    }

    return {
      readClock,
      run: async (name, call) => call(await collection(name), io()),
      async inTime(name, call) {
        const rows = await collection(name)
        while (left() > 0) {
          try {
            return await call(rows, io(), createZero(until + ahead))
          } catch (error) {
            if (fieldsOf(error).code !== conversionFailure) throw error
            // If there is time left by this machine's clock, the engine's clock is further ahead than was known.
            if (left() > 0) ahead = Math.max(ahead, (await readClock()) - Date.now())
          }
        }
        throw unavailable('too late')
      },
    }
  }

  const within: Mongo['within'] = (body) => bounded((until) => body(createCalls(until)))

  /** The checked schema record, or null if there is none yet. */
  async function findRecord(calls: MongoCalls, issuer: string) {
    const record = await calls.run('schema', (rows, io) => rows.findOne({ _id: schemaKey }, io))
    if (record === null) return null
    const found = readRecord({ version: record.version, usableFrom: record.usable_from, issuer: record.issuer })
    checkSchema(found, issuer)
    return found
  }

  /**
   * The record is written before any row, so rows without a record are not Daypass's. An empty collection is free,
   * because it may have been made for sharding.
   */
  async function checkFree(calls: MongoCalls, issuer: string): Promise<void> {
    const candidates: [name: string, filter: object][] = [
      ['schema', { usable_from: { $exists: false } }],
      ...Object.keys(indexes).map((name): [string, object] => [name, {}]),
    ]
    for (const [name, filter] of candidates) {
      const row = await calls.run(name, (rows, io) => rows.findOne(filter, { ...io, projection: { _id: 1 } }))
      // Look for the record again, because another instance may have written it, and then the row.
      if (row !== null && (await findRecord(calls, issuer)) === null) throw nameTaken(`${prefix}_${name}`)
    }
  }

  async function claim(calls: MongoCalls, issuer: string): Promise<void> {
    await checkFree(calls, issuer)
    const version = schemaVersion
    const record = { version, usable_from: version, issuer }
    await again(() =>
      calls.run('schema', (rows, io) =>
        rows.updateOne({ _id: schemaKey }, { $setOnInsert: record }, { ...io, upsert: true }),
      ),
    )
    // Another instance may have come first, for another issuer.
    await findRecord(calls, issuer)
  }

  return {
    within,
    async open(issuer) {
      await connect(source)
      const found = await within(async (calls) => {
        ahead = (await calls.readClock()) - Date.now()
        return findRecord(calls, issuer)
      })
      if (found === null) await within((calls) => claim(calls, issuer))
      // A newer version that allows this one has made its own indexes.
      else if (found.version > schemaVersion) return
      for (const [name, wanted] of Object.entries(indexes)) {
        await within((calls) => again(() => calls.run(name, (rows, io) => rows.createIndexes([...wanted], io))))
      }
    },
    async checkUsable(calls) {
      const record = await calls.run('schema', (rows, io) => rows.findOne({ _id: schemaKey }, io))
      checkVersion(record?.usable_from)
    },
    check: () =>
      within(async (calls) => {
        const usable = { _id: schemaKey, usable_from: { $lte: schemaVersion } }
        const update = { $set: { checked_at: new Date() } }
        const { matchedCount } = await calls.run('schema', (rows, io) => rows.updateOne(usable, update, io))
        if (matchedCount === 0) throw new DaypassError('ERR_STORE_SCHEMA')
      }),
    drain,
  }

  async function connect(given: MongoDb | MongooseConnection): Promise<void> {
    const db = isDb(given) ? given : given.db
    if (db?.client?.options && 'autoEncryption' in db.client.options && db.client.options.autoEncryption) {
      throw new DaypassError(
        'ERR_OPTION_INVALID',
        'A client with `autoEncryption` cannot send the updates that the store needs; give it a client of its own.',
      )
    }
    // A client whose first connection failed stays closed until `connect` is called. A connected client ignores the call.
    if (isDb(given)) await within(async () => void (await given.client?.connect()))
  }
}

/**
 * 0 before a deadline by the engine's clock, and an error after it. `$toLong` makes it a comparison of numbers: in an
 * update SecantusDB knows `$$NOW` without its time zone.
 */
function createZero(deadline: number): object {
  return { $toInt: { $cond: [{ $lt: [{ $toLong: '$$NOW' }, deadline] }, '0', 'late'] } }
}

/** Retries a call that failed because another instance made the same collection or document at the same time. */
async function again<T>(call: () => Promise<T>): Promise<T> {
  for (let tries = 0; ; tries++) {
    try {
      return await call()
    } catch (error) {
      const { code } = fieldsOf(error)
      if (tries === 5 || (code !== namespaceExists && !isDuplicateKey(error))) throw error
    }
  }
}

/** E11000: a document with this `_id` exists. Call it inside `within`, which translates errors. */
export const isDuplicateKey = (error: unknown): boolean => fieldsOf(error).code === 11000

// https://github.com/mongodb/mongo/blob/master/src/mongo/base/error_codes.yml
const namespaceExists = 48
const notImplemented = 238
const conversionFailure = 241
const outOfDiskSpace = 14_031

const asMongoError = createErrorTranslator((error) => {
  const { code, name, message } = fieldsOf(error)
  // The driver's errors hold rows and filters. Their text contains at most the value of a key, which is removed.
  const text = String(message).replace(/ dup key:.*$/s, '')
  return {
    code: code === outOfDiskSpace ? 'ERR_STORE_FULL' : undefined,
    message:
      code === notImplemented
        ? 'This server lacks what the store needs; use MongoDB 5 or newer (see docs/mongodb.md).'
        : undefined,
    cause: `${name}${code === undefined ? '' : ` ${code}`}: ${text}`,
  }
})
