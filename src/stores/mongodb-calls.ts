// How is a MongoDB asked, whichever way the app has it open?

import { DaypassError, type ErrorCode } from '../core/errors.ts'
import { withDeadline } from './deadline.ts'

/** What is used of a `mongodb` Collection (driver 6 or newer). */
export interface MongoCollection {
  readonly collectionName: string
  insertOne(row: any, options?: any): Promise<unknown>
  findOne(filter: any, options?: any): Promise<any>
  find(filter: any, options?: any): { toArray(): Promise<any[]> }
  findOneAndUpdate(filter: any, update: any, options?: any): Promise<any>
  updateOne(filter: any, update: any, options?: any): Promise<{ matchedCount: number }>
  updateMany(filter: any, update: any, options?: any): Promise<unknown>
  deleteOne(filter: any, options?: any): Promise<unknown>
  deleteMany(filter: any, options?: any): Promise<{ deletedCount: number }>
  createIndexes(indexes: any[], options?: any): Promise<unknown>
}

/** What is used of a `mongodb` Db. */
export interface MongoDb {
  collection(name: string): MongoCollection
  readonly client?: { connect(): Promise<unknown> } | undefined
}

/** What is used of a Mongoose connection (Mongoose 8 or newer): no model, no schema. */
export interface MongooseConnection {
  asPromise(): Promise<unknown>
  readonly db?: MongoDb | undefined
}

/** One call of a collection, with the options that every call has. */
type Call<T> = (rows: MongoCollection, io: object) => Promise<T>

/**
 * Calls within a deadline, told in Daypass's words; the indexes are made before the first one.
 *
 * Majority and primary are asked for in every call: what was answered survives a failover, and nobody is told by a
 * secondary that is behind that a session does not exist.
 */
export function createMongoCalls(
  source: MongoDb | MongoCollection | MongooseConnection,
  name: string,
  indexes: object[],
  timeout = 5000,
) {
  if (!('collectionName' in source || 'collection' in source || 'asPromise' in source)) {
    throw new DaypassError('ERR_OPTION_INVALID', 'Give a `mongodb` Db or Collection, or a Mongoose connection.')
  }
  const io = {
    maxTimeMS: timeout,
    writeConcern: { w: 'majority', wtimeoutMS: timeout },
    readPreference: 'primary',
    // Whatever the connection is set to: bytes as bytes, numbers as numbers.
    promoteBuffers: true,
    promoteValues: true,
    promoteLongs: true,
    useBigInt64: false,
    includeResultMetadata: false,
  }
  const inFlight = new Set<Promise<unknown>>()
  let ready: Promise<unknown> | undefined

  async function collection(): Promise<MongoCollection> {
    if ('collectionName' in source) return source
    // Mongoose's own collections write what they are given into a debug log; the driver's do not.
    if ('asPromise' in source) {
      if (source.db === undefined) await source.asPromise()
      if (source.db === undefined) throw unavailable('the Mongoose connection is not open')
      return source.db.collection(name)
    }
    return source.collection(name)
  }

  async function makeIndexes(): Promise<void> {
    // A client whose first connection failed stays closed until it is told to connect; one that is connected stays so.
    if ('client' in source) await source.client?.connect()
    const rows = await collection()
    for (let tries = 0; ; tries++) {
      try {
        return void (await rows.createIndexes(indexes, { maxTimeMS: timeout }))
      } catch (error) {
        // NamespaceExists: another instance made the collection at this very moment.
        if (tries === 5 || (error as { code?: number }).code !== 48) throw error
      }
    }
  }

  async function guarded<T>(call: () => Promise<T>): Promise<T> {
    const running = withDeadline(call(), timeout)
    inFlight.add(running)
    try {
      return await running
    } catch (error) {
      throw asStoreError(error)
    } finally {
      inFlight.delete(running)
    }
  }

  return {
    async run<T>(call: Call<T>): Promise<T> {
      return guarded(async () => {
        ready ??= makeIndexes()
        try {
          await ready
        } catch (error) {
          // Away at the first call: the next one tries again.
          ready = undefined
          throw error
        }
        return call(await collection(), io)
      })
    },
    /** Resolves when nothing is in flight. */
    async drain(): Promise<void> {
      while (inFlight.size > 0) await Promise.allSettled(inFlight)
    },
  }
}

/** E11000: a document of this name is there already. */
export const isDuplicateKey = (error: unknown): boolean =>
  ((error as DaypassError).cause as { code?: unknown } | undefined)?.code === 11000

// https://github.com/mongodb/mongo/blob/master/src/mongo/base/error_codes.yml
const errorCodes: Record<number, ErrorCode> = { 14031: 'ERR_STORE_FULL' }
const notImplemented = 238

function asStoreError(cause: unknown): DaypassError {
  if (cause instanceof DaypassError) return cause
  const { code } = (cause ?? {}) as { code?: number }
  const message =
    code === notImplemented
      ? 'This server lacks what the store needs; use MongoDB 5 or newer (see docs/mongodb.md).'
      : undefined
  return new DaypassError(errorCodes[code!] ?? 'ERR_STORE_UNAVAILABLE', message, { cause })
}

const unavailable = (cause: string) => new DaypassError('ERR_STORE_UNAVAILABLE', undefined, { cause })
