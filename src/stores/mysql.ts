// MySQL store: sessions through the app's own `mysql2` Pool, in MySQL or MariaDB.

import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { advance, isLive } from '../core/rotation.ts'
import { applyChanges, type Changes, type RevokedReason, type Session } from '../core/session.ts'
import type { Advance, Advanced, Store } from '../core/store.ts'
import { parseJson } from '../json.ts'
import { createBoundedCalls } from './deadline.ts'
import { createGroupCommit, type Settled } from './group-commit.ts'
import {
  asMysqlError,
  checkServer,
  createQuery,
  isRowRefused,
  type MysqlCallbackClient,
  type MysqlClient,
  refusalOf,
} from './mysql-connection.ts'
import type { Value } from './mysql-driver.ts'
import { openTables } from './mysql-schema.ts'
import {
  createSql,
  ended,
  fromValues,
  idLiteral,
  isOfSubject,
  isOneOf,
  rotated,
  toChanges,
  toRecord,
  type Write,
} from './mysql-sql.ts'
import { announceEvery } from './row.ts'
import { checkVersion } from './schema-record.ts'
import { idBytes, idText } from './session-id.ts'
import { readSqlOptions, type SqlStoreOptions } from './sql-options.ts'
import { idTaken, unavailable } from './store-error.ts'

export type { MysqlCallbackClient, MysqlClient, MysqlStatement } from './mysql-driver.ts'

/** Options of {@link createMysqlStore}. */
export interface MysqlStoreOptions extends SqlStoreOptions {}

/** One refresh that waits for its batch, and until when its caller waits. */
interface Call {
  step: Advance
  until: number
}

/** The result of a call. `again`: another write came first, another transaction holds the row, or the statement was late. */
type Outcome = Advanced | null | 'again'

/** A row as it was read. */
interface Found {
  session: Session
  stamp: Buffer
  announcedAt: number | null
}

/** The most rows that one statement changes, so that it stays far below `max_allowed_packet`. */
const maxRows = 500

/**
 * A store in MySQL or MariaDB (`daypass/mysql`). The first call makes the tables. A refresh takes two round trips: one
 * reads the row, and one writes it if it has not changed since. Concurrent refreshes share both statements, and none
 * waits for a row that another transaction has locked. docs/mysql.md lists the client's options.
 *
 * @param client A Pool (or Connection) of `mysql2` or `mysql2/promise`; the app closes it.
 * @returns The store. Its calls fail with `ERR_STORE_UNAVAILABLE`, `ERR_STORE_READ_ONLY` or `ERR_STORE_FULL`.
 * @throws DaypassError `ERR_OPTION_INVALID`.
 * @example
 * ```ts
 * import { createDaypass } from 'daypass'
 * import { createMysqlStore } from 'daypass/mysql'
 * import mysql from 'mysql2/promise'
 *
 * const pool = mysql.createPool(process.env.DATABASE_URL!)
 * const store = createMysqlStore(pool)
 * const auth = createDaypass({ secret: process.env.DAYPASS_SECRET!, issuer: 'https://example.com', store })
 * ```
 */
export function createMysqlStore(client: MysqlClient | MysqlCallbackClient, options: MysqlStoreOptions = {}): Store {
  const { prefix, timeout, clock } = readSqlOptions(options)
  const sql = createSql(prefix)
  const query = createQuery(client, timeout, clock)
  const { within, drain } = createBoundedCalls(timeout, asMysqlError, clock)
  /** How far the engine's clock is ahead of this machine's, in milliseconds; negative if it is behind. */
  let ahead = 0

  /** Converts an instant of this machine's clock to the engine's. */
  const toEngine = (instant: number) => Math.floor(instant + ahead)

  /**
   * Checks the version of the tables in the first row, and sets the engine's clock. The answer was on its way for a
   * while, so the engine is further ahead than this, never less: a deadline made by it is early rather than late.
   */
  function readGate([row]: Value[][]): void {
    const [now, usableFrom] = row ?? []
    if (now) ahead = Number(now) - clock()
    checkVersion(usableFrom ? Number(usableFrom) : undefined)
  }

  /** The rows that match this condition, for a write. */
  async function read(which: string, until: number): Promise<Found[]> {
    const { rows } = await query(sql.read(which), until)
    readGate(rows)
    return rows.flatMap(([, , stamp, announcedAt, ...values]) =>
      stamp ? { session: fromValues(values), stamp, announcedAt: announcedAt ? Number(announcedAt) : null } : [],
    )
  }

  /** Retries while other transactions hold or change a row. No statement waits for a row, so none holds a connection. */
  async function untilDone<T>(until: number, attempt: () => Promise<T | 'again'>): Promise<T> {
    for (let pause = 2; ; pause = Math.min(2 * pause, 250)) {
      const outcome = await attempt()
      if (outcome !== 'again') return outcome
      if (clock() + pause >= until)
        throw unavailable('the row is locked by another transaction, or the server was late')
      await delay(pause)
    }
  }

  /** Writes rows in one statement. Returns which of them had not changed since they were read. */
  async function writeAll(
    columns: readonly string[],
    changes: readonly { found: Found; row: Write['row']; until: number }[],
    stamp = randomBytes(8),
  ): Promise<(id: string) => boolean> {
    const writes = changes.map(({ found, row, until }) => ({
      id: found.session.id,
      stamp: found.stamp,
      deadline: toEngine(until),
      row,
    }))
    const until = Math.max(...changes.map((change) => change.until))
    const { affected } = await query(sql.write(columns, writes, stamp), until)
    if (affected === writes.length) return () => true
    if (affected === 0) return () => false
    const ids = writes.map(({ id }) => id)
    const { rows } = await query(sql.writtenBy(ids, stamp), until)
    const written = new Set(rows.map(([id]) => id && idText(id)))
    return (id) => written.has(id)
  }

  const advances = createGroupCommit<Call, Outcome>(async (calls) => {
    const ids = [...new Set(calls.map(({ step }) => step.id))].filter((id) => idBytes(id) !== null)
    const until = Math.max(...calls.map((call) => call.until))
    const rows = ids.length === 0 ? [] : await read(isOneOf(ids), until)
    const rowOf = new Map(rows.map((row) => [row.session.id, row]))
    // Several refreshes of one session in a batch: the highest goes first, and the others come too late.
    const rotations = new Map<string, Rotation>()
    for (const call of calls.toSorted((a, b) => b.step.generation - a.step.generation)) {
      const { step } = call
      const found = rowOf.get(step.id)
      if (found === undefined || rotations.has(step.id)) continue
      const session = advance(found.session, step)
      if (session !== null) rotations.set(step.id, { call, found, session })
    }
    const settled = await rotate([...rotations.values()])
    return calls.map((call) => {
      const result = settled.get(call.step.id)
      if (result === undefined) return { value: null }
      const isFirst = rotations.get(call.step.id)?.call === call
      // The others are judged again if the first failed.
      return isFirst ? result : { value: 'value' in result && result.value !== 'again' ? null : 'again' }
    })
  }, maxRows)

  /** One refresh that its row allows, and the session after it. */
  interface Rotation {
    call: Call
    found: Found
    session: Session
  }

  /** The results by the sessions' ids. If the engine rejects a value, each half is retried, so the value fails alone. */
  async function rotate(rotations: Rotation[]): Promise<Map<string, Settled<Outcome>>> {
    if (rotations.length === 0) return new Map()
    try {
      return await rotateTogether(rotations)
    } catch (error) {
      if (rotations.length === 1 || !isRowRefused(error)) {
        return new Map(rotations.map(({ session }) => [session.id, { error }]))
      }
      const middle = rotations.length >> 1
      const halves = [await rotate(rotations.slice(0, middle)), await rotate(rotations.slice(middle))]
      return new Map(halves.flatMap((half) => [...half]))
    }
  }

  async function rotateTogether(rotations: Rotation[]): Promise<Map<string, Settled<Outcome>>> {
    const stamp = randomBytes(8)
    const rotation = stamp.toString('hex')
    const changes = rotations.map(({ call, found, session }) => ({
      found,
      row: { ...toRecord(session), rotation },
      until: call.until,
    }))
    const isWritten = await writeAll(rotated, changes, stamp)
    return new Map(
      rotations.map(({ found, session }) => {
        const healed = found.session.generation < session.generation - 1
        return [session.id, { value: isWritten(session.id) ? { session, healed } : 'again' }]
      }),
    )
  }

  /** Ends sessions; those that this call ended. Sessions that were ended before are announced again. */
  async function end(which: string, now: number, revokedReason: RevokedReason): Promise<Session[]> {
    return within(async (until) => {
      const gone: Session[] = []
      await untilDone(until, async () => {
        const due = (await read(which, until)).filter(
          ({ announcedAt }) => announcedAt === null || announcedAt < now - announceEvery,
        )
        const changes = due.slice(0, maxRows).map((found) => {
          const { session } = found
          const over: Session = session.revokedAt === null ? { ...session, revokedAt: now, revokedReason } : session
          return { found, over, row: toRecord(over, now), until }
        })
        if (changes.length === 0) return true
        const isWritten = await writeAll(ended, changes)
        const written = changes.filter(({ over }) => isWritten(over.id))
        for (const { found, over } of written) if (found.session.revokedAt === null) gone.push(over)
        return written.length === due.length || 'again'
      })
      return gone
    })
  }

  async function prune(find: string, before: number, until: number): Promise<number> {
    const { rows } = await query(find, until)
    return rows.length === 0 ? 0 : (await query(sql.remove(rows.map(String), before), until)).affected
  }

  return {
    open: (issuer) =>
      within(async () => {
        await checkServer(query)
        await openTables(query, prefix, sql.tables, issuer)
        readGate((await query(sql.gate)).rows)
      }),
    create: (session) =>
      within((until) =>
        untilDone(until, async () => {
          const insert = sql.create(toRecord(session), randomBytes(8), toEngine(until))
          const { affected } = await query(insert, until).catch((error) => {
            throw refusalOf(error) === duplicateEntry ? idTaken() : error
          })
          if (affected === 1) return true
          readGate((await query(sql.gate, until)).rows)
          return 'again'
        }).then(() => {}),
      ),
    find: (id) =>
      within(async (until) => {
        if (idBytes(id) === null) return null
        const { rows } = await query(sql.find(id), until)
        return rows[0] === undefined ? null : fromValues(rows[0])
      }),
    advance: (step) => within((until) => untilDone(until, () => advances.run({ step, until }))),
    update: (id, now, changes) =>
      within((until) =>
        untilDone(until, async () => {
          if (idBytes(id) === null) return null
          const [found] = await read(`s.id = ${idLiteral(id)}`, until)
          if (found === undefined || !isLive(found.session, now)) return null
          // As it is stored: JSON.
          const session = applyChanges(found.session, parseJson(JSON.stringify(changes)) as Changes)
          const isWritten = await writeAll(Object.keys(toChanges(changes)), [{ found, row: toRecord(session), until }])
          return isWritten(id) ? session : 'again'
        }),
      ),
    revoke: async (id, now, reason) => {
      if (idBytes(id) === null) return null
      return (await end(`s.id = ${idLiteral(id)}`, now, reason))[0] ?? null
    },
    revokeSubject: (subject, now, reason, exceptId) => {
      const isOther = exceptId !== undefined && idBytes(exceptId) !== null ? ` AND s.id <> ${idLiteral(exceptId)}` : ''
      return end(`${isOfSubject(subject)}${isOther}`, now, reason)
    },
    list: (subject, now, limit) =>
      within(async (until) => (await query(sql.list(subject, now, limit), until)).rows.map(fromValues)),
    revokedSince: (since) =>
      within(async (until) => {
        // BIGINT knows no infinity.
        const instant = Math.min(Math.max(0, Math.ceil(since)), Number.MAX_SAFE_INTEGER)
        const { rows } = await query(sql.revokedSince(instant), until)
        return rows.flatMap(([id, revokedAt]) => (id ? { id: idText(id), revokedAt: Number(revokedAt) } : []))
      }),
    prune: (before, limit) =>
      within(async (until) => {
        readGate((await query(sql.gate, until)).rows)
        const expired = await prune(sql.expired(before, limit), before, until)
        return expired === limit ? limit : expired + (await prune(sql.revoked(before, limit - expired), before, until))
      }),
    check: () =>
      within(async (until) => {
        await query(sql.check, until)
      }),
    readClock: () =>
      within(async (until) => {
        const now = (await query(sql.now, until)).rows[0]?.[0]
        if (!now) throw unavailable('the server returned no time')
        ahead = Number(now) - clock()
        return Number(now)
      }),
    close: drain,
  }
}

/** ER_DUP_ENTRY. */
const duplicateEntry = 1062
