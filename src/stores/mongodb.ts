// Sessions in MongoDB, through the app's own `mongodb` client or its Mongoose connection.

import { Buffer } from 'node:buffer'
import { randomBytes } from 'node:crypto'
import { advance } from '../core/rotation.ts'
import type { RevokedReason, Session } from '../core/session.ts'
import type { Store } from '../core/store.ts'
import { DaypassError } from '../errors.ts'
import { createMongo, isDuplicateKey, type MongoCalls, type MongoDb, type MongooseConnection } from './mongodb-calls.ts'
import { checkVersion, schemaVersions } from './schema.ts'

export type { MongoCollection, MongoDb, MongooseConnection } from './mongodb-calls.ts'

/** Options of {@link createMongoStore}. */
export interface MongoStoreOptions {
  /** What the names of all collections begin with: lower-case letters, digits and underscores. Default "daypass". */
  prefix?: string
  /** Milliseconds that a call may take before the answer is 503, at most 10,000. Default 5,000. */
  timeout?: number
}

/** A row as it lies in the collection; what is null in a session is absent here, but for the parent. */
interface Row {
  _id: Uint8Array
  /** The oldest version of the program that may change the row. */
  usable_from: number
  subject: string
  client_id: string
  scope: string
  /** JSON: an app's names may begin with a dollar sign. */
  claims: string
  generation: number
  secret: Uint8Array
  parent_salt: Uint8Array | null
  parent_key: Uint8Array | null
  burst_at: number
  burst_generation: number
  prev_burst_generation: number
  rotated_at: number
  created_at: number
  auth_time: number
  amr: string[]
  idle_expires_at: Date
  expires_at: Date
  /** For the TTL index: not before the end of the session, and moved at most once an hour. */
  expire_at: Date
  jkt?: string
  user_agent?: string
  ip?: string
  label?: string
  revoked_at?: number
  revoked_reason?: RevokedReason
}

const hour = 3_600_000

const indexes = {
  session: [
    { name: 'daypass_subject', key: { subject: 1 } },
    // For rows that nobody prunes. A day: longer than an access token may outlive its session.
    { name: 'daypass_expire', key: { expire_at: 1 }, expireAfterSeconds: 86_400 },
    {
      name: 'daypass_revoked',
      key: { revoked_at: 1 },
      partialFilterExpression: { revoked_at: { $exists: true } },
    },
  ],
}

/** A row that a newer program made for newer ones alone is changed by no older one. */
const usable = { usable_from: { $lte: schemaVersions.session } }
const unusable = { usable_from: { $gt: schemaVersions.session } }

/** The burst that a rotation belongs to; every expression reads the row as it was. */
function nextBurst(now: number, reuseInterval: number) {
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
 * @returns The store; what the engine refuses is `ERR_STORE_UNAVAILABLE` or `ERR_STORE_FULL`.
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
  const { within, open, check, checkUsable, drain } = createMongo(source, 'session', options, indexes)
  const isLive = (now: number) => ({
    revoked_at: null,
    idle_expires_at: { $gt: new Date(now) },
    expires_at: { $gt: new Date(now) },
  })

  return {
    open,
    create: (session) =>
      within(async (calls) => {
        // A row that is there says who may change it; a new one cannot. A sign-in is rare enough for one look more.
        await checkUsable(calls)
        const { _id, generation, ...rest } = toRow(session)
        try {
          // An upsert that finds no row of this id, and fails where there is one. An insert could not be void when late.
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
          throw new DaypassError('ERR_STORE_UNAVAILABLE', undefined, { cause: 'a session of this id is there already' })
        }
      }),
    async find(id) {
      const _id = toId(id)
      if (_id === null) return null
      return within(async ({ run }) => toSession(await run('session', (rows, io) => rows.findOne({ _id }, io))))
    },
    async advance(step) {
      const _id = toId(step.id)
      if (_id === null) return null
      const { generation, now } = step
      const idle = new Date(step.idleExpiresAt)
      const changes = {
        parent_salt: step.salt,
        parent_key: step.key,
        ...nextBurst(now, step.reuseInterval),
        idle_expires_at: { $min: [idle, '$expires_at'] },
        expire_at: { $min: [nextHour(idle), '$expires_at'] },
        // A literal: in a pipeline a text that begins with a dollar sign is the name of a field.
        ...(step.ip === undefined ? {} : { ip: { $literal: step.ip } }),
      }
      const filter = { _id, generation: { $lte: generation }, ...isLive(now), ...usable }
      // What is asked for is a copy: the caller's bytes may change before the answer comes.
      const own = { ...step, salt: new Uint8Array(step.salt), key: step.key && new Uint8Array(step.key) }
      const before = await within(({ inTime }) =>
        inTime('session', (rows, io, zero) => {
          const update = [{ $set: { ...changes, generation: { $add: [generation + 1, zero] } } }]
          return rows.findOneAndUpdate(filter, update, { ...io, returnDocument: 'before' })
        }),
      )
      if (before === null) return null
      // The row as it was tells whether it was behind; what it became is what the protocol makes of it.
      const session = advance(toSession(before)!, own)!
      return { session, healed: before.generation < generation }
    },
    async revoke(id, now, reason) {
      const _id = toId(id)
      if (_id === null) return null
      return within(async ({ run, inTime }) => {
        const ended = await inTime('session', (rows, io, zero) => {
          const update = [{ $set: { revoked_at: { $add: [now, zero] }, revoked_reason: reason } }]
          return rows.findOneAndUpdate({ _id, revoked_at: null, ...usable }, update, { ...io, returnDocument: 'after' })
        })
        if (ended !== null) return toSession(ended)
        await refuseNewer(run, { _id })
        return null
      })
    },
    async revokeSubject(subject, now, reason, exceptId) {
      const except = exceptId === undefined ? null : toId(exceptId)
      // Marked with this call's name: an update of many tells how many there were, and not which.
      const revoked_by = randomBytes(12)
      const filter = { subject, revoked_at: null, ...(except && { _id: { $ne: except } }) }
      return within(async ({ run, inTime }) => {
        await inTime('session', (rows, io, zero) => {
          const update = [{ $set: { revoked_at: { $add: [now, zero] }, revoked_reason: reason, revoked_by } }]
          return rows.updateMany({ ...filter, ...usable }, update, io)
        })
        await refuseNewer(run, filter)
        return toSessions(await run('session', (rows, io) => rows.find({ subject, revoked_by }, io).toArray()))
      })
    },
    async list(subject, now, limit) {
      // To the engine, 0 is no limit.
      if (limit < 1) return []
      return within(async ({ run }) => {
        const newest = { sort: { created_at: -1 }, limit }
        const filter = { subject, ...isLive(now) }
        return toSessions(await run('session', (rows, io) => rows.find(filter, { ...io, ...newest }).toArray()))
      })
    },
    revokedSince: (since) =>
      within(async ({ run }) => {
        const only = { projection: { revoked_at: 1, usable_from: 1 } }
        const found: Row[] = await run('session', (rows, io) =>
          rows.find({ revoked_at: { $gte: since } }, { ...io, ...only }).toArray(),
        )
        return found.map((row) => {
          checkVersion('session', row.usable_from)
          return { id: toText(row._id), revokedAt: row.revoked_at! }
        })
      }),
    prune: (before, limit) =>
      within(async ({ run }) => {
        const remove = async (condition: object, most: number) => {
          if (most < 1) return 0
          const only = { projection: { _id: 1 }, limit: most }
          const due: Row[] = await run('session', (rows, io) => rows.find(condition, { ...io, ...only }).toArray())
          if (due.length === 0) return 0
          // Asked again with the condition: what was refreshed meanwhile stays.
          const filter = { ...condition, _id: { $in: due.map(({ _id }) => _id) } }
          return (await run('session', (rows, io) => rows.deleteMany(filter, io))).deletedCount
        }
        // The hour is what the index knows; the instant decides.
        const instant = new Date(Math.ceil(before))
        const isOver = { expire_at: { $lt: new Date(instant.getTime() + hour) }, idle_expires_at: { $lt: instant } }
        const count = await remove({ ...isOver, ...usable }, limit)
        return count + (await remove({ revoked_at: { $lt: before }, ...usable }, limit - count))
      }),
    check,
    now: () => within(({ now }) => now()),
    close: drain,
  }
}

/** Nothing matched: where a newer program's row is the reason, that must not look like a session that is gone. */
async function refuseNewer(run: MongoCalls['run'], filter: object): Promise<void> {
  const newer = await run('session', (rows, io) => rows.findOne({ ...filter, ...unusable }, io))
  if (newer !== null) checkVersion('session', newer.usable_from)
}

/** One session, one name: null for a text that is no id as we write it. */
function toId(id: string): Buffer | null {
  const bytes = Buffer.from(id, 'base64url')
  return bytes.length === 16 && bytes.toString('base64url') === id ? bytes : null
}

const toText = (id: Uint8Array) => Buffer.from(id.buffer, id.byteOffset, id.byteLength).toString('base64url')
const nextHour = (instant: Date) => new Date(Math.ceil(instant.getTime() / hour) * hour)

function toRow(session: Session): Row {
  const { device } = session
  const idle = new Date(session.idleExpiresAt)
  const end = new Date(session.expiresAt)
  return {
    _id: toId(session.id) ?? Buffer.from(session.id, 'base64url'),
    usable_from: schemaVersions.session,
    subject: session.subject,
    client_id: session.clientId,
    scope: session.scope,
    claims: JSON.stringify(session.claims),
    generation: session.generation,
    secret: session.secret,
    parent_salt: session.parentSalt,
    parent_key: session.parentKey,
    burst_at: session.burstAt,
    burst_generation: session.burstGeneration,
    prev_burst_generation: session.prevBurstGeneration,
    rotated_at: session.rotatedAt,
    created_at: session.createdAt,
    auth_time: session.authTime,
    amr: session.amr,
    idle_expires_at: idle,
    expires_at: end,
    expire_at: new Date(Math.min(nextHour(idle).getTime(), end.getTime())),
    ...(session.jkt !== null && { jkt: session.jkt }),
    ...(device.userAgent !== undefined && { user_agent: device.userAgent }),
    ...(device.ip !== undefined && { ip: device.ip }),
    ...(device.label !== undefined && { label: device.label }),
    ...(session.revokedAt !== null && { revoked_at: session.revokedAt }),
    ...(session.revokedReason !== null && { revoked_reason: session.revokedReason }),
  }
}

const toSessions = (rows: Row[]) => rows.map((row) => toSession(row)!)

function toSession(row: Row | null): Session | null {
  if (row === null) return null
  checkVersion('session', row.usable_from)
  return {
    id: toText(row._id),
    subject: row.subject,
    clientId: row.client_id,
    scope: row.scope,
    claims: row.claims === '{}' ? {} : JSON.parse(row.claims),
    generation: row.generation,
    secret: row.secret,
    parentSalt: row.parent_salt,
    parentKey: row.parent_key,
    burstAt: row.burst_at,
    burstGeneration: row.burst_generation,
    prevBurstGeneration: row.prev_burst_generation,
    rotatedAt: row.rotated_at,
    createdAt: row.created_at,
    authTime: row.auth_time,
    amr: row.amr,
    idleExpiresAt: row.idle_expires_at.getTime(),
    expiresAt: row.expires_at.getTime(),
    jkt: row.jkt ?? null,
    device: {
      ...(row.user_agent !== undefined && { userAgent: row.user_agent }),
      ...(row.ip !== undefined && { ip: row.ip }),
      ...(row.label !== undefined && { label: row.label }),
    },
    revokedAt: row.revoked_at ?? null,
    revokedReason: row.revoked_reason ?? null,
  }
}
