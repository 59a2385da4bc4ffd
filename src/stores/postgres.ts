// PostgreSQL store: sessions through the app's own `pg` Pool or `postgres` client.

import { Buffer } from 'node:buffer'
import { setTimeout as delay } from 'node:timers/promises'
import { base64url, bufferOf } from '../core/bytes.ts'
import type { RevokedReason, Session } from '../core/session.ts'
import type { Advance, Advanced, Store } from '../core/store.ts'
import { DaypassError } from '../errors.ts'
import { createBoundedCalls } from './deadline.ts'
import { createGroupCommit, type Settled } from './group-commit.ts'
import {
  asPostgresError,
  checkTexts,
  createQuery,
  type PgPool,
  type PostgresJs,
  refusalOf,
} from './postgres-connection.ts'
import { openTables } from './postgres-schema.ts'
import { createSql } from './postgres-sql.ts'
import { createRowMapping, hour, jsonText, type Row } from './row.ts'
import { idBytes } from './session-id.ts'
import { readSqlOptions, type SqlStoreOptions } from './sql-options.ts'
import { unavailable } from './store-error.ts'

export type { PgPool, PostgresJs } from './postgres-connection.ts'

/** Options of {@link createPostgresStore}. */
export interface PostgresStoreOptions extends SqlStoreOptions {}

/** One refresh that waits for its batch, and until when its caller waits. */
interface Call {
  step: Advance
  until: number
}

/** One JSON of what a changing statement returns: first the engine's clock, then a row for each session. */
interface Changed {
  now?: number
  /** How many rows `prune` deleted. */
  gone?: number
  row?: Row
  healed?: boolean
  /** The id of a row that another transaction has locked. */
  busy?: string
}

/** The result of a call. `again`: another transaction holds the row, or the statement came too late. */
type Outcome = Advanced | null | 'again'

/**
 * A store in PostgreSQL (`daypass/postgres`). The first call makes the tables. A refresh takes one round
 * trip. Concurrent refreshes share one statement, and none waits for a row that another transaction has
 * locked. docs/postgres.md lists the client's options.
 *
 * @param client A `pg` Pool (or Client), or what `postgres()` gives; the app closes it. Behind PgBouncer in transaction
 *   mode give `postgres()` `prepare: false`.
 * @returns The store. Its calls fail with `ERR_STORE_UNAVAILABLE`, `ERR_STORE_READ_ONLY` or `ERR_STORE_FULL`.
 * @throws DaypassError `ERR_OPTION_INVALID`.
 * @example
 * ```ts
 * import { createDaypass } from 'daypass'
 * import { createPostgresStore } from 'daypass/postgres'
 * import pg from 'pg'
 *
 * const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL })
 * pool.on('error', console.error)
 * const store = createPostgresStore(pool)
 * const auth = createDaypass({ secret: process.env.DAYPASS_SECRET!, issuer: 'https://example.com', store })
 * ```
 */
export function createPostgresStore(client: PgPool | PostgresJs, options: PostgresStoreOptions = {}): Store {
  const { prefix, timeout, clock } = readSqlOptions(options)
  const sql = createSql(prefix)
  const query = createQuery(client, timeout, clock)
  const { within, drain } = createBoundedCalls(timeout, asPostgresError, clock)
  /** How far the engine's clock is ahead of this machine's, in milliseconds; negative if it is behind. */
  let ahead = 0

  /**
   * Runs a statement that changes rows; it begins with the engine's clock. Without a clock the tables are a newer
   * version's, which this one may not change.
   */
  async function change(text: string, values: (string | null)[], until: number) {
    const [first, ...rows] = await query<Changed>(text, values, until)
    if (first?.now === undefined) throw new DaypassError('ERR_STORE_SCHEMA')
    // The answer was on its way for a while, so the engine is further ahead than this, never less: a deadline made by it
    // is early rather than late.
    ahead = first.now - clock()
    return { now: first.now, gone: first.gone ?? 0, rows }
  }

  /** Converts an instant of this machine's clock to the engine's. */
  const toEngine = (instant: number) => Math.floor(instant + ahead)

  /** Runs a statement that does nothing after its deadline: the caller already got 503 and retried. */
  async function changeInTime(text: string, values: (string | null)[], until: number): Promise<Changed[]> {
    do {
      const deadline = toEngine(until)
      const { now, rows } = await change(text, [String(deadline), ...values], until)
      if (now <= deadline) return rows
      // If there is time left by this machine's clock, the engine's clock had moved.
    } while (clock() < until)
    throw unavailable('too late')
  }

  /** Retries while other transactions hold a row. No statement waits for a row, so none holds a connection meanwhile. */
  async function untilFree<T>(until: number, attempt: () => Promise<T | 'again'>): Promise<T> {
    for (let pause = 4; ; pause = Math.min(2 * pause, 250)) {
      const outcome = await attempt()
      if (outcome !== 'again') return outcome
      if (clock() + pause >= until) throw unavailable('the row is locked by another transaction')
      await delay(pause)
    }
  }

  const advances = createGroupCommit<Call, Outcome>(async (calls) => {
    const results: Settled<Outcome>[] = []
    // Several refreshes of one session in a batch: the highest goes first, and the others are judged by what it left.
    let waiting = calls.map((call, index) => ({ call, index }))
    while (waiting.length > 0) {
      const first = new Map<string, (typeof waiting)[number]>()
      for (const entry of waiting) {
        const best = first.get(entry.call.step.id)
        if (best === undefined || entry.call.step.generation > best.call.step.generation) {
          first.set(entry.call.step.id, entry)
        }
      }
      const settled = await advanceAll([...first.values()].map(({ call }) => call))
      waiting = waiting.filter((entry) => {
        const { id } = entry.call.step
        const result = settled.get(id) ?? { error: unavailable('the batch has no result for this call') }
        const isFirst = first.get(id) === entry
        // Where the first matched nothing, the others are sent by themselves.
        if (!isFirst && ('error' in result || result.value === null)) return true
        const isPast = !isFirst && 'value' in result && result.value !== 'again'
        results[entry.index] = isPast ? { value: null } : result
        return false
      })
    }
    return results
  })

  /** The result of each session's step. If the engine rejects a value, each half is retried, so the value fails alone. */
  async function advanceAll(calls: Call[]): Promise<Map<string, Settled<Outcome>>> {
    try {
      return await advanceTogether(calls)
    } catch (error) {
      if (calls.length === 1 || !/^(22|23|54|P0)/.test(refusalOf(error))) {
        return new Map(calls.map(({ step }) => [step.id, { error }]))
      }
      const middle = calls.length >> 1
      const halves = [await advanceAll(calls.slice(0, middle)), await advanceAll(calls.slice(middle))]
      return new Map(halves.flatMap((half) => [...half]))
    }
  }

  async function advanceTogether(calls: Call[]): Promise<Map<string, Settled<Outcome>>> {
    const settled = new Map<string, Settled<Outcome>>()
    const steps = calls.map(({ step, until }) => ({ step, deadline: toEngine(until) }))
    const records = steps.map(({ step, deadline }) => toStep(step, deadline))
    const last = Math.max(...calls.map(({ until }) => until))
    const { now, rows } = await change(sql.advance, [JSON.stringify(records)], last)
    for (const { step, deadline } of steps) settled.set(step.id, { value: now > deadline ? 'again' : null })
    for (const { row, healed = false, busy } of rows) {
      if (busy !== undefined) settled.set(fromUuid(busy), { value: 'again' })
      if (row === undefined) continue
      const session = toSession(row)
      settled.set(session.id, { value: { session, healed } })
    }
    return settled
  }

  /** Ends sessions; those that this call ended. Sessions that were ended before are announced again. */
  async function end(
    text: string,
    key: string | null,
    now: number,
    reason: RevokedReason,
    more: (string | null)[] = [],
  ) {
    return within(async (until) => {
      const ended: Session[] = []
      await untilFree(until, async () => {
        const rows = await changeInTime(text, [key, String(now), reason, ...more], until)
        for (const { row } of rows) if (row !== undefined) ended.push(toSession(row))
        return rows.some(({ busy }) => busy !== undefined) ? 'again' : true
      })
      return ended
    })
  }

  return {
    open: (issuer) =>
      within(async () => {
        await checkTexts(query)
        await openTables(query, prefix, sql.tables, issuer)
      }),
    create: (session) =>
      within(async (until) => {
        await changeInTime(sql.create, [JSON.stringify(toRecord(session))], until)
      }),
    find: (id) =>
      within(async (until) => {
        const [row] = await query<Row>(sql.find, [toUuid(id)], until)
        return row === undefined ? null : toSession(row)
      }),
    advance: (step) => within((until) => untilFree(until, () => advances.run({ step, until }))),
    update: (id, now, changes) =>
      within((until) =>
        untilFree(until, async () => {
          const row = toChanges(changes)
          const values = Object.values(row).map((value) => (value === null ? null : String(value)))
          const text = sql.update(Object.keys(row))
          const answers = await changeInTime(text, [toUuid(id), String(now), ...values], until)
          if (answers.some(({ busy }) => busy !== undefined)) return 'again'
          const updated = answers.find(({ row }) => row !== undefined)?.row
          return updated === undefined ? null : toSession(updated)
        }),
      ),
    revoke: async (id, now, reason) => (await end(sql.revoke, toUuid(id), now, reason))[0] ?? null,
    revokeSubject: (subject, now, reason, exceptId) =>
      end(sql.revokeSubject, subject, now, reason, [exceptId === undefined ? null : toUuid(exceptId)]),
    list: (subject, now, limit) =>
      within(async (until) =>
        (await query<Row>(sql.list, [subject, String(now), String(limit)], until)).map(toSession),
      ),
    revokedSince: (since) =>
      within(async (until) => {
        // int8 knows no infinity.
        const instant = Math.min(Math.max(0, Math.ceil(since)), Number.MAX_SAFE_INTEGER)
        const rows = await query<Row>(sql.revokedSince, [String(instant)], until)
        return rows.map(toRevoked)
      }),
    prune: (before, limit) =>
      within(async (until) => {
        const pruneBy = async (text: string, most: number) =>
          (await change(text, [String(before), String(most)], until)).gone
        const expired = await pruneBy(sql.pruneExpired, limit)
        return expired === limit ? limit : expired + (await pruneBy(sql.pruneRevoked, limit - expired))
      }),
    check: () =>
      within(async (until) => {
        await query(sql.check, [], until)
      }),
    readClock: () =>
      within(async (until) => {
        const [now] = await query<number>(sql.now, [], until)
        if (now === undefined) throw unavailable('the server returned no time')
        ahead = now - clock()
        return now
      }),
    close: drain,
  }
}

// Rows come and go as JSON: numbers are numbers, bytes are hexadecimal.
const toUuid = (id: string) => idBytes(id)?.toString('hex') ?? null
const fromUuid = (uuid: string) => base64url(Buffer.from(uuid.replaceAll('-', ''), 'hex'))
const toHex = (bytes: Uint8Array) => `\\x${bufferOf(bytes).toString('hex')}`
const fromHex = (hex: string) => new Uint8Array(Buffer.from(hex, 'hex'))

const { toRow, toSession, toChanges, toRevoked } = createRowMapping({
  id: { encode: toUuid, decode: fromUuid },
  json: jsonText,
  bytes: { encode: toHex, decode: fromHex },
})

const toRecord = (session: Session) => ({
  ...toRow(session),
  idle_hour: Math.floor(session.idleExpiresAt / hour),
  announced_at: session.revokedAt,
})

const toStep = ({ id, generation, salt, key, now, idleTimeout, reuseInterval, ip }: Advance, deadline: number) => ({
  id: toUuid(id),
  generation,
  salt: toHex(salt),
  key: key && toHex(key),
  now,
  idle_timeout: idleTimeout,
  reuse_interval: reuseInterval,
  ip: ip ?? null,
  deadline,
})
