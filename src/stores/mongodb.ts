// MongoDB store: sessions through the app's own `mongodb` client or Mongoose connection.

import { randomBytes } from 'node:crypto'
import { afterAdvance } from '../core/rotation.ts'
import type { Session } from '../core/session.ts'
import type { Store } from '../core/store.ts'
import { checkOptions, type OptionNames } from '../known-options.ts'
import { readTimeout } from './deadline.ts'
import { createMongo, isDuplicateKey, type MongoCalls, type MongoDb, type MongooseConnection } from './mongodb-calls.ts'
import { createRowMapping, hour, jsonText, type Row } from './row.ts'
import { checkVersion, readPrefix, schemaVersion } from './schema-record.ts'
import { idBytes, idText } from './session-id.ts'
import { idTaken } from './store-error.ts'

export type { MongoCollection, MongoDb, MongooseConnection } from './mongodb-calls.ts'

/** Options of {@link createMongoStore}. */
export interface MongoStoreOptions {
  /** The beginning of the name of every collection: lower-case letters, digits and underscores. Default "daypass". */
  prefix?: string
  /** Milliseconds that a call may take before the response is 503, at most 10,000. Default 5,000. */
  timeout?: number
}

const optionNames: OptionNames<MongoStoreOptions> = { prefix: true, timeout: true }

/**
 * A session's document. The names in an app's claims may begin with a dollar sign, so claims are JSON text. Beside the
 * columns of every engine it has:
 *
 * - `usable_from`: the oldest version of the program that may change the document.
 * - `expire_at`: for the TTL index. Not before the end of the session, and moved at most once an hour.
 */
const { toRow, toSession, toChanges, toRevoked } = createRowMapping<unknown>(
  {
    id: { encode: idBytes, decode: idText },
    json: jsonText,
    instant: { encode: (instant) => new Date(instant), decode: (date: Date) => date.getTime() },
  },
  '_id',
)

const indexes = {
  session: [
    { name: 'daypass_subject', key: { subject: 1 } },
    // TTL index: MongoDB deletes old rows even if `prune` never runs. A day is longer than an access token may outlive
    // its session.
    { name: 'daypass_expire', key: { expire_at: 1 }, expireAfterSeconds: 86_400 },
    {
      name: 'daypass_revoked',
      key: { revoked_at: 1 },
      partialFilterExpression: { revoked_at: { $exists: true } },
    },
  ],
}

/** An older program changes no row that a newer one has reserved for newer programs. */
const usable = { usable_from: { $lte: schemaVersion } }
const unusable = { usable_from: { $gt: schemaVersion } }

/** The burst that a rotation belongs to. Every expression reads the row before the update. */
function nextBurst(now: Date, reuseInterval: number) {
  const isWithin = (instant: string) => ({ $lt: [{ $subtract: [now, instant] }, reuseInterval] })
  const goesOn = isWithin('$burst_at')
  const parent = { $subtract: ['$generation', 1] }
  const prev = { $cond: [isWithin('$rotated_at'), '$burst_generation', parent] }
  return {
    rotated_at: now,
    burst_at: { $cond: [goesOn, '$burst_at', now] },
    burst_generation: { $cond: [goesOn, '$burst_generation', parent] },
    prev_burst_generation: { $cond: [goesOn, '$prev_burst_generation', prev] },
  }
}

/**
 * A store in MongoDB (`daypass/mongodb`): one `findOneAndUpdate` a refresh. It needs MongoDB 5 or newer, works on a
 * replica set and on a collection that is sharded by `{ _id: "hashed" }`, makes its indexes at the first call, and
 * writes with majority, whatever the connection's own write concern is.
 *
 * @param source A `mongodb` Db, or a Mongoose connection, which need not be connected yet. The app closes it.
 * @returns The store. Its calls fail with `ERR_STORE_UNAVAILABLE` or `ERR_STORE_FULL`.
 * @throws DaypassError `ERR_OPTION_INVALID`.
 * @example
 * ```ts
 * import { createDaypass } from 'daypass'
 * import { createMongoStore } from 'daypass/mongodb'
 * import { MongoClient } from 'mongodb'
 *
 * const client = new MongoClient(process.env.MONGODB_URL!)
 * const store = createMongoStore(client.db('app'))
 * const auth = createDaypass({ secret: process.env.DAYPASS_SECRET!, issuer: 'https://example.com', store })
 * ```
 * @example With the connection that Mongoose has:
 * ```ts
 * import { createMongoStore } from 'daypass/mongodb'
 * import mongoose from 'mongoose'
 *
 * const store = createMongoStore(mongoose.connection)
 * ```
 */
export function createMongoStore(source: MongoDb | MongooseConnection, options: MongoStoreOptions = {}): Store {
  checkOptions(options, optionNames)
  const settings = { prefix: readPrefix(options.prefix), timeout: readTimeout(options.timeout) }
  const { within, open, check, checkUsable, drain } = createMongo(source, settings, indexes)
  const isLive = (now: number) => ({
    revoked_at: null,
    idle_expires_at: { $gt: new Date(now) },
    expires_at: { $gt: new Date(now) },
  })

  return {
    open,
    create: (session) =>
      within(async (calls) => {
        // A new row has no version to check, so read the record. Sign-ins are rare.
        await checkUsable(calls)
        const { _id, generation, ...rest } = toDocument(session)
        try {
          // An upsert that fails if the id exists. An insert cannot carry a deadline.
          await calls.inTime('session', (rows, io, zero) => {
            const row = {
              $mergeObjects: [{ $literal: { _id, ...rest } }, { generation: { $add: [generation, zero] } }],
            }
            return rows.updateOne({ _id, subject: { $exists: false } }, [{ $replaceWith: row }], {
              ...io,
              upsert: true,
            })
          })
        } catch (error) {
          if (!isDuplicateKey(error)) throw error
          throw idTaken()
        }
      }),
    async find(id) {
      const _id = idBytes(id)
      if (_id === null) return null
      return within(async ({ run }) => readOne(await run('session', (rows, io) => rows.findOne({ _id }, io))))
    },
    async advance(step) {
      const _id = idBytes(step.id)
      if (_id === null) return null
      const { generation, now } = step
      const idle = { $add: [new Date(now), { $ifNull: ['$idle_timeout', step.idleTimeout] }] }
      const changes = {
        parent_salt: step.salt,
        parent_key: step.key,
        ...nextBurst(new Date(now), step.reuseInterval),
        idle_expires_at: { $min: [idle, '$expires_at'] },
        expire_at: {
          $min: [{ $add: [idle, { $subtract: [hour, { $mod: [{ $toLong: idle }, hour] }] }] }, '$expires_at'],
        },
        // A literal, because in a pipeline a text that begins with a dollar sign is the name of a field.
        ...(step.ip === undefined ? {} : { ip: { $literal: step.ip } }),
      }
      const filter = { _id, generation: { $lte: generation }, ...isLive(now), ...usable }
      // Copy the step, because the caller's bytes may change before the response comes.
      const own = { ...step, salt: new Uint8Array(step.salt), key: step.key && new Uint8Array(step.key) }
      const before = await within(({ inTime }) =>
        inTime('session', (rows, io, zero) => {
          const update = [{ $set: { ...changes, generation: { $add: [generation + 1, zero] } } }]
          return rows.findOneAndUpdate(filter, update, { ...io, returnDocument: 'before' })
        }),
      )
      if (before === null) return null
      // The row before the update shows whether it was behind. The protocol's own function makes the row after it.
      const row = readSession(before)
      return { session: afterAdvance(row, own), healed: row.generation < generation }
    },
    async update(id, now, changes) {
      const _id = idBytes(id)
      if (_id === null) return null
      // Literals, because in a pipeline a text that begins with a dollar sign is the name of a field.
      const values = Object.entries(toChanges(changes)).map(([name, value]) => [name, { $literal: value }])
      return within(async ({ run, inTime }) => {
        const updated = await inTime('session', (rows, io, zero) => {
          const update = [{ $set: { ...Object.fromEntries(values), generation: { $add: ['$generation', zero] } } }]
          const filter = { _id, ...isLive(now), ...usable }
          return rows.findOneAndUpdate(filter, update, { ...io, returnDocument: 'after' })
        })
        if (updated !== null) return readOne(updated)
        await refuseNewer(run, { _id })
        return null
      })
    },
    async revoke(id, now, reason) {
      const _id = idBytes(id)
      if (_id === null) return null
      return within(async ({ run, inTime }) => {
        const ended = await inTime('session', (rows, io, zero) => {
          const update = [{ $set: { revoked_at: { $add: [new Date(now), zero] }, revoked_reason: reason } }]
          return rows.findOneAndUpdate({ _id, revoked_at: null, ...usable }, update, { ...io, returnDocument: 'after' })
        })
        if (ended !== null) return readOne(ended)
        await refuseNewer(run, { _id })
        return null
      })
    },
    async revokeSubject(subject, now, reason, exceptId) {
      const except = exceptId === undefined ? null : idBytes(exceptId)
      // Mark the rows with an id of this call, because updateMany returns their number but not the rows.
      const revoked_by = randomBytes(12)
      const filter = { subject, revoked_at: null, ...(except && { _id: { $ne: except } }) }
      return within(async ({ run, inTime }) => {
        await inTime('session', (rows, io, zero) => {
          const update = [{ $set: { revoked_at: { $add: [new Date(now), zero] }, revoked_reason: reason, revoked_by } }]
          return rows.updateMany({ ...filter, ...usable }, update, io)
        })
        await refuseNewer(run, filter)
        const ended = await run('session', (rows, io) => rows.find({ subject, revoked_by }, io).toArray())
        return ended.map(readSession)
      })
    },
    async list(subject, now, limit) {
      // To the engine, 0 is no limit.
      if (limit < 1) return []
      return within(async ({ run }) => {
        const newest = { sort: { created_at: -1 }, limit }
        const filter = { subject, ...isLive(now) }
        const live = await run('session', (rows, io) => rows.find(filter, { ...io, ...newest }).toArray())
        return live.map(readSession)
      })
    },
    revokedSince: (since) =>
      within(async ({ run }) => {
        const only = { projection: { revoked_at: 1, usable_from: 1 } }
        const filter = { revoked_at: { $gte: toDate(since) } }
        const found = await run('session', (rows, io) => rows.find(filter, { ...io, ...only }).toArray())
        return found.map((document) => {
          checkVersion(document.usable_from)
          return toRevoked(document)
        })
      }),
    prune: (before, limit) =>
      within(async ({ run }) => {
        const remove = async (condition: object, most: number) => {
          if (most < 1) return 0
          const only = { projection: { _id: 1 }, limit: most }
          const due = await run('session', (rows, io) => rows.find(condition, { ...io, ...only }).toArray())
          if (due.length === 0) return 0
          // Repeat the condition, so that sessions that were refreshed meanwhile stay.
          const filter = { ...condition, _id: { $in: due.map(({ _id }) => _id) } }
          return (await run('session', (rows, io) => rows.deleteMany(filter, io))).deletedCount
        }
        // The index holds the hour. The instant decides.
        const instant = toDate(before)
        const isOver = { expire_at: { $lt: new Date(instant.getTime() + hour) }, idle_expires_at: { $lt: instant } }
        const count = await remove({ ...isOver, ...usable }, limit)
        return count + (await remove({ revoked_at: { $lt: instant }, ...usable }, limit - count))
      }),
    check,
    readClock: () => within(({ readClock }) => readClock()),
    close: drain,
  }
}

/** Throws if a newer program's row is the reason that nothing matched. It must not look like a missing session. */
async function refuseNewer(run: MongoCalls['run'], filter: object): Promise<void> {
  const newer = await run('session', (rows, io) => rows.findOne({ ...filter, ...unusable }, io))
  if (newer !== null) checkVersion(newer.usable_from)
}

/** An instant as the documents hold it, in whole milliseconds. There are no sessions before 1970. */
const toDate = (instant: number) => new Date(Math.min(Math.max(0, Math.ceil(instant)), 8.64e15))
const nextHour = (instant: number) => instant + hour - (instant % hour)

/** Fields that are null in a session are absent from its document. */
function toDocument(session: Session): Row {
  const { idleExpiresAt, expiresAt } = session
  const expireAt = Math.min(nextHour(idleExpiresAt), expiresAt)
  const fields = Object.entries(toRow(session)).filter(([, value]) => value !== null)
  return { ...Object.fromEntries(fields), usable_from: schemaVersion, expire_at: new Date(expireAt) }
}

const readOne = (document: Row | null) => (document === null ? null : readSession(document))

function readSession(document: Row): Session {
  checkVersion(document.usable_from)
  return toSession(document)
}
