// Sessions in PostgreSQL, through the app's own `pg` Pool or `postgres` client.

import { Buffer } from 'node:buffer'
import { setTimeout as delay } from 'node:timers/promises'
import type { RevokedReason, Session } from '../core/session.ts'
import type { Advance, Advanced, Store } from '../core/store.ts'
import { DaypassError } from '../errors.ts'
import { withDeadline } from './deadline.ts'
import { createGroupCommit, type Settled } from './group-commit.ts'
import { checkTexts, createQuery, type PgPool, type PostgresJs, refusalOf } from './postgres-query.ts'
import { openModule } from './postgres-schema.ts'
import { createStatements } from './postgres-statements.ts'
import { readPrefix } from './schema.ts'

export type { PgPool, PostgresJs } from './postgres-query.ts'

/** Options of {@link createPostgresStore}. */
export interface PostgresStoreOptions {
  /** What the names of all tables begin with: lower-case letters, digits and underscores. Default "daypass". */
  prefix?: string
  /** Milliseconds that a call may take before the answer is 503, at most 10,000. Default 5,000. */
  timeout?: number
  /** This machine's clock, milliseconds since the epoch. Default `Date.now`. */
  clock?: () => number
}

/** One refresh that waits for its batch, and until when its caller waits. */
interface Call {
  step: Advance
  until: number
}

/** What became of a call. `again`: another transaction holds the row, or the statement came too late. */
type Outcome = Advanced | null | 'again'

/**
 * A store in PostgreSQL (`daypass/postgres`). The tables are made by themselves at the first call. One round trip a
 * refresh; refreshes in flight together go in one statement, and none waits for a row that somebody else has locked. What
 * a client may be set up with is in docs/postgres.md.
 *
 * @param client A `pg` Pool (or Client), or what `postgres()` gives; the app closes it. Behind PgBouncer in transaction
 *   mode give `postgres()` `prepare: false`.
 * @returns The store; what the engine refuses is `ERR_STORE_UNAVAILABLE`, `ERR_STORE_READ_ONLY` or `ERR_STORE_FULL`.
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
  const { prefix, timeout, clock } = readOptions(options)
  const sql = createStatements(prefix)
  const query = createQuery(client, timeout, clock)
  const inFlight = new Set<Promise<unknown>>()
  /** How far the engine's clock was seen to be ahead of ours, in milliseconds; negative where it is behind. */
  let ahead = 0

  /** Every method goes through here: bounded in time, waited for by `close`. */
  function within<T>(body: (until: number) => Promise<T>): Promise<T> {
    const call = withDeadline(body(clock() + timeout), timeout)
    inFlight.add(call)
    const done = () => inFlight.delete(call)
    call.then(done, done)
    return call
  }

  /**
   * Runs a statement that changes rows; it begins with the engine's clock. Without a clock the tables are a newer
   * version's, which this one may not change.
   */
  async function change(text: string, values: (string | null)[], until: number) {
    const [first, ...rows] = await query(text, values, until)
    if (first === undefined) throw new DaypassError('ERR_STORE_SCHEMA')
    // The answer was on its way for a while, so the engine is further ahead than this, never less: a deadline made by it
    // is early rather than late.
    ahead = first.now - clock()
    return { ...(first as { now: number; gone?: number }), rows }
  }

  /** The instant of ours, by the engine's clock. */
  const toEngine = (instant: number) => Math.floor(instant + ahead)

  /** Runs a statement that refuses itself after its deadline: who asked was told 503, and asked again. */
  async function changeInTime(text: string, values: (string | null)[], until: number): Promise<any[]> {
    do {
      const deadline = toEngine(until)
      const { now, rows } = await change(text, [String(deadline), ...values], until)
      if (now <= deadline) return rows
      // Where there is time left by our clock, the engine's had moved.
    } while (clock() < until)
    throw unavailable('too late')
  }

  /** Asks again while others hold a row. No statement waits for one, so none holds a connection meanwhile. */
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
      waiting = waiting.filter(({ call, index }) => {
        const result = settled.get(call.step.id)!
        const isFirst = first.get(call.step.id)!.index === index
        // Where the first matched nothing, the others are asked by themselves.
        if (!isFirst && ('error' in result || result.value === null)) return true
        const isPast = !isFirst && 'value' in result && result.value !== 'again'
        results[index] = isPast ? { value: null } : result
        return false
      })
    }
    return results
  })

  /** What became of each session's step. A value that the engine refuses fails by itself: halves are asked again. */
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
    const steps = calls.map(({ step, until }) => ({ ...toRecord(step), deadline: toEngine(until) }))
    const last = Math.max(...calls.map(({ until }) => until))
    const { now, rows } = await change(sql.advance, [JSON.stringify(steps)], last)
    for (const [index, { step }] of calls.entries()) {
      settled.set(step.id, { value: now > steps[index]!.deadline ? 'again' : null })
    }
    for (const { row, healed, busy } of rows) {
      if (busy !== undefined) settled.set(fromUuid(busy), { value: 'again' })
      else settled.set(fromUuid(row.id), { value: { session: toSession(row), healed } })
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
        await openModule(query, prefix, 'session', sql.tables, issuer)
      }),
    create: (session) =>
      within(async (until) => {
        await changeInTime(sql.create, [JSON.stringify(toRow(session))], until)
      }),
    find: (id) =>
      within(async (until) => {
        const [row] = await query(sql.find, [toUuid(id)], until)
        return row === undefined ? null : toSession(row)
      }),
    advance: (step) => within((until) => untilFree(until, () => advances.run({ step, until }))),
    revoke: async (id, now, reason) => (await end(sql.revoke, toUuid(id), now, reason))[0] ?? null,
    revokeSubject: (subject, now, reason, exceptId) =>
      end(sql.revokeSubject, subject, now, reason, [exceptId === undefined ? null : toUuid(exceptId)]),
    list: (subject, now, limit) =>
      within(async (until) => (await query(sql.list, [subject, String(now), String(limit)], until)).map(toSession)),
    revokedSince: (since) =>
      within(async (until) => {
        // int8 knows no infinity.
        const instant = Math.min(Math.max(0, Math.ceil(since)), Number.MAX_SAFE_INTEGER)
        const rows = await query(sql.revokedSince, [String(instant)], until)
        return rows.map(({ id, revokedAt }) => ({ id: fromUuid(id), revokedAt }))
      }),
    prune: (before, limit) =>
      within(async (until) => {
        const pruneBy = async (text: string, most: number) =>
          (await change(text, [String(before), String(most)], until)).gone!
        const expired = await pruneBy(sql.pruneExpired, limit)
        return expired === limit ? limit : expired + (await pruneBy(sql.pruneRevoked, limit - expired))
      }),
    check: () =>
      within(async (until) => {
        await query(sql.check, [], until)
      }),
    now: () =>
      within(async (until) => {
        const [now] = await query(sql.now, [], until)
        ahead = now - clock()
        return now
      }),
    async close() {
      while (inFlight.size > 0) await Promise.allSettled(inFlight)
    },
  }
}

const unavailable = (cause: string) => new DaypassError('ERR_STORE_UNAVAILABLE', undefined, { cause })

function readOptions({ prefix, timeout = 5000, clock = Date.now }: PostgresStoreOptions) {
  // Verifiers look back ten seconds: a revoke must not happen longer than that after its instant.
  if (!(timeout >= 1 && timeout <= 10_000)) {
    throw new DaypassError('ERR_OPTION_INVALID', '`timeout` must be 1 to 10,000 milliseconds.')
  }
  return { prefix: readPrefix(prefix), timeout, clock }
}

/** Bytes as JSON brings them to a bytea. */
function toHex(bytes: Uint8Array | null): string | null {
  return bytes && `\\x${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')}`
}
const fromHex = (hex: string) => new Uint8Array(Buffer.from(hex, 'hex'))

/** Null, which equals nothing, for what is no id as `issue` makes them. */
const toUuid = (id: string) => {
  const bytes = Buffer.from(id, 'base64url')
  return bytes.length === 16 && bytes.toString('base64url') === id ? bytes.toString('hex') : null
}
const fromUuid = (uuid: string) => Buffer.from(uuid.replaceAll('-', ''), 'hex').toString('base64url')

const toRecord = ({ id, generation, salt, key, now, idleExpiresAt, reuseInterval, ip }: Advance) => ({
  id: toUuid(id),
  generation,
  salt: toHex(salt),
  key: toHex(key),
  now,
  idle_expires_at: idleExpiresAt,
  reuse_interval: reuseInterval,
  ip: ip ?? null,
})

const hour = 3_600_000

/** A row by its columns' names, as {@link createStatements} takes it. */
function toRow(session: Session) {
  const { device } = session
  return {
    id: toUuid(session.id),
    subject: session.subject,
    client_id: session.clientId,
    scope: session.scope,
    claims: JSON.stringify(session.claims),
    generation: session.generation,
    secret: toHex(session.secret),
    parent_salt: toHex(session.parentSalt),
    parent_key: toHex(session.parentKey),
    burst_at: session.burstAt,
    burst_generation: session.burstGeneration,
    prev_burst_generation: session.prevBurstGeneration,
    rotated_at: session.rotatedAt,
    created_at: session.createdAt,
    auth_time: session.authTime,
    amr: JSON.stringify(session.amr),
    idle_expires_at: session.idleExpiresAt,
    idle_hour: Math.floor(session.idleExpiresAt / hour),
    expires_at: session.expiresAt,
    jkt: session.jkt,
    user_agent: device.userAgent ?? null,
    ip: device.ip ?? null,
    label: device.label ?? null,
    revoked_at: session.revokedAt,
    revoked_reason: session.revokedReason,
    announced_at: session.revokedAt,
  }
}

/** Numbers are numbers in JSON, bytes are hexadecimal. */
function toSession(row: any): Session {
  return {
    id: fromUuid(row.id),
    subject: row.subject,
    clientId: row.client_id,
    scope: row.scope,
    claims: JSON.parse(row.claims),
    generation: row.generation,
    secret: fromHex(row.secret),
    parentSalt: row.parent_salt === null ? null : fromHex(row.parent_salt),
    parentKey: row.parent_key === null ? null : fromHex(row.parent_key),
    burstAt: row.burst_at,
    burstGeneration: row.burst_generation,
    prevBurstGeneration: row.prev_burst_generation,
    rotatedAt: row.rotated_at,
    createdAt: row.created_at,
    authTime: row.auth_time,
    amr: JSON.parse(row.amr),
    idleExpiresAt: row.idle_expires_at,
    expiresAt: row.expires_at,
    jkt: row.jkt,
    device: {
      ...(row.user_agent !== null && { userAgent: row.user_agent }),
      ...(row.ip !== null && { ip: row.ip }),
      ...(row.label !== null && { label: row.label }),
    },
    revokedAt: row.revoked_at,
    revokedReason: row.revoked_reason,
  }
}
