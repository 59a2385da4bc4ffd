// The stores of the raw twin: bare compare-and-sets with the driver, the statement and the grouping of the library's stores,
// and nothing else.
//
// The tables are the library's own, and so are sign-ins, which are not measured. The statements of Redis and MongoDB are
// those that the store sends: the driver is watched once.

import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { randomBytes } from '../src/core/random.ts'
import type { Store } from '../src/core/store.ts'
import { decodeRow } from '../src/stores/redis-row.ts'
import { createSqliteStore } from '../src/stores/sqlite.ts'
import { makeSession, makeStep } from '../src/testing/store-harness.ts'
import type { ServerSettings } from './settings.ts'

/** The part of a row that a refresh needs; its generation is the one after the refresh. */
export interface RawRow {
  subject: string
  generation: number
  secret: Uint8Array
}

export interface RawStep {
  id: Uint8Array
  generation: number
  salt: Uint8Array
  key: Uint8Array | null
}

export interface RawStore {
  create(id: Uint8Array, row: RawRow): void | Promise<void>
  /** Undefined where nothing matches. */
  advance(step: RawStep): RawRow | undefined | Promise<RawRow | undefined>
}

/** An instant far enough for every run. */
const lifetime = 86_400_000
const reuseInterval = 30_000
const timeout = 5000
const ip = '127.0.0.1'
const issuer = 'http://localhost:12345'

export async function openRawStore({ store, database }: ServerSettings): Promise<RawStore> {
  switch (/^(\w{2,}):/.exec(store)?.[1]) {
    case undefined:
      return openSqlite(store)
    case 'memory':
      return openMemory()
    case 'postgres':
    case 'postgresql':
      return openPostgres(store)
    case 'redis':
    case 'rediss':
      return openRedis(store)
    default:
      return openMongo(store, database!)
  }
}

const toText = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64url')

/** A Map, whose rows are changed in place. */
function openMemory(): RawStore {
  const rows = new Map<string, RawRow>()
  return {
    create: (id, row) => void rows.set(toText(id), row),
    advance({ id, generation }) {
      const row = rows.get(toText(id))
      if (row?.generation !== generation) return undefined
      row.generation++
      return row
    },
  }
}

async function createThrough(store: Store): Promise<RawStore['create']> {
  await store.open(issuer)
  return (id, { subject, secret }) => store.create(newSession({ id: toText(id), subject, secret }))
}

function newSession(members: { id?: string; subject: string; secret?: Uint8Array }) {
  const end = Date.now() + lifetime
  return makeSession(Date.now(), { ...members, idleExpiresAt: end, expiresAt: end })
}

/** Collects the calls of one turn of the event loop, and those that come during the batch before. */
function group<Call, Result>(commit: (calls: Call[]) => Result[] | Promise<Result[]>) {
  let waiting: { call: Call; resolve(result: Result): void }[] = []
  let isRunning = false
  async function run(): Promise<void> {
    while (waiting.length > 0) {
      const batch = waiting
      waiting = []
      const results = await commit(batch.map(({ call }) => call))
      for (const [index, { resolve }] of batch.entries()) resolve(results[index]!)
    }
    isRunning = false
  }
  return (call: Call) =>
    new Promise<Result>((resolve) => {
      waiting.push({ call, resolve })
      if (isRunning) return
      isRunning = true
      setImmediate(run)
    })
}

async function openSqlite(path: string): Promise<RawStore> {
  const create = await createThrough(createSqliteStore(path))
  const db = new DatabaseSync(path)
  const update = prepareAdvance(db)
  const advance = group<RawStep, RawRow | undefined>((steps) => {
    db.exec('BEGIN IMMEDIATE')
    const rows = steps.map((step) => advanceSqlite(update, step))
    db.exec('COMMIT')
    return rows
  })
  return { create, advance }
}

/** The lean statement: it keeps no bursts, and returns three values. */
export function prepareAdvance(db: DatabaseSync): StatementSync {
  db.exec('PRAGMA synchronous = FULL')
  const update = db.prepare(
    `UPDATE daypass_session SET generation = :generation + 1, parent_salt = :salt, parent_key = :key,
       rotated_at = :now, idle_expires_at = min(:now + ${lifetime}, expires_at)
     WHERE id = :id AND generation = :generation AND revoked_at IS NULL AND expires_at > :now AND idle_expires_at > :now
     RETURNING subject, generation, secret`,
  )
  return update
}

export const advanceSqlite = (update: StatementSync, { id, generation, salt, key }: RawStep) =>
  update.get({ id, generation, salt, key, now: Date.now() }) as unknown as RawRow | undefined

async function openPostgres(url: string): Promise<RawStore> {
  const { default: pg } = await import('pg')
  const { createPostgresStore } = await import('../src/stores/postgres.ts')
  const { createSql } = await import('../src/stores/postgres-sql.ts')
  const pool = new pg.Pool({ connectionString: url, max: 4 })
  const create = await createThrough(createPostgresStore(pool, { prefix: 'raw' }))
  const text = createSql('raw').advance
  const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
  const types = { getTypeParser: () => (value: string) => value }
  const advance = group<RawStep, RawRow | undefined>(async (steps) => {
    const now = Date.now()
    const times = { now, idle_timeout: lifetime, reuse_interval: reuseInterval, deadline: now + timeout }
    const records = steps.map(({ id, generation, salt, key }) => ({
      ...{ id: hex(id), generation, salt: `\\x${hex(salt)}`, key: key && `\\x${hex(key)}`, ip },
      ...times,
    }))
    const { rows } = await pool.query<[string]>({
      text,
      values: [JSON.stringify(records)],
      rowMode: 'array',
      types,
    } as any)
    const found = new Map<string, RawRow>()
    for (const [json] of rows.slice(1)) {
      const { row } = JSON.parse(json)
      const { subject, generation } = row
      found.set(row.id.replaceAll('-', ''), { subject, generation, secret: Buffer.from(row.secret, 'hex') })
    }
    return records.map(({ id }) => found.get(id))
  })
  return { create, advance }
}

async function openRedis(url: string): Promise<RawStore> {
  const { Redis } = await import('ioredis')
  const { createRedisStore } = await import('../src/stores/redis.ts')
  const client = new Redis(url)
  const sent: unknown[][] = []
  const createCommand = client.createBuiltinCommand.bind(client)
  const evalsha: CallableFunction = createCommand('evalsha').buffer
  client.createBuiltinCommand = (name: string) => {
    if (name !== 'evalsha') return createCommand(name)
    const buffer = (...args: unknown[]) => {
      sent.push(args)
      return Reflect.apply(evalsha, client, args)
    }
    return { ...createCommand(name), buffer }
  }
  const store = createRedisStore(client, { prefix: 'raw' })
  const create = await createThrough(store)
  const key = await watchAdvance(store, () => sent.splice(0))
  const [sha, , firstKey, , , , idleTimeout, reuse, retention] = sent[0]!
  if (sent[0]!.length !== 12 || !String(firstKey).includes(key)) throw new Error('The script of the store has changed.')
  const empty = Buffer.alloc(0)
  return {
    create,
    async advance(step) {
      const id = toText(step.id)
      const now = Date.now()
      const [, row] = await Reflect.apply(evalsha, client, [
        ...[sha, 1, `raw:session:{${id}}`, String(now + timeout), String(step.generation), String(now)],
        ...[idleTimeout, reuse, retention, step.salt, step.key ?? empty, ip],
      ])
      return row === undefined ? undefined : decodeRow(id, row)
    },
  }
}

async function openMongo(url: string, database: string): Promise<RawStore> {
  const { MongoClient } = await import('mongodb')
  const { createMongoStore } = await import('../src/stores/mongodb.ts')
  const client = new MongoClient(url)
  const db = client.db(database)
  const rows = db.collection('raw_session')
  const sent: any[][] = []
  const openCollection = db.collection.bind(db)
  db.collection = ((name: string) => {
    const collection = openCollection(name)
    const update = collection.findOneAndUpdate.bind(collection) as CallableFunction
    collection.findOneAndUpdate = ((...args: unknown[]) => {
      sent.push(args)
      return Reflect.apply(update, collection, args)
    }) as any
    return collection
  }) as typeof db.collection
  const store = createMongoStore(db, { prefix: 'raw' })
  const create = await createThrough(store)
  await watchAdvance(store, () => sent.splice(0))
  const [filter, [{ $set }], options] = sent[0]! as [any, [any], object]
  return {
    create,
    async advance({ id, generation, salt, key }) {
      const now = Date.now()
      const live = { $gt: new Date(now) }
      const inTime = { $toInt: { $cond: [{ $lt: [{ $toLong: '$$NOW' }, now + timeout] }, '0', 'late'] } }
      const set = { ...$set, parent_salt: salt, parent_key: key, generation: { $add: [generation + 1, inTime] } }
      const due = { ...filter, _id: id, generation: { $lte: generation }, idle_expires_at: live, expires_at: live }
      const before = (await rows.findOneAndUpdate(due, [{ $set: set }], options)) as unknown as RawRow | null
      if (before === null) return undefined
      return { subject: before.subject, generation: generation + 1, secret: before.secret }
    },
  }
}

/** Lets a store advance a session of its own, so that its statement is seen; the id of that session. */
async function watchAdvance(store: Store, forget: () => void): Promise<string> {
  const session = newSession({ subject: `watched-${toText(randomBytes(8))}` })
  await store.create(session)
  forget()
  await store.advance(makeStep(session, Date.now(), { idleTimeout: lifetime, reuseInterval, ip }))
  return session.id
}
