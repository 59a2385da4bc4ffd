// A store in a SQLite database that takes batches of statements over a network: libSQL and Cloudflare D1.

import type { Store } from '../core/store.ts'
import { createBoundedCalls } from './deadline.ts'
import { createRowMapping, jsonText, type Row } from './row.ts'
import { runStatement } from './run-statement.ts'
import { checkSchema, checkVersion, namesIn, nameTaken, readRecord, schemaKey, schemaVersion } from './schema-record.ts'
import { idBytes, idText } from './session-id.ts'
import { readSqlOptions, type SqlStoreOptions } from './sql-options.ts'
import { createSql, createTables, type SqliteValue } from './sqlite-sql.ts'
import { createErrorTranslator, fieldsOf, idTaken, unavailable } from './store-error.ts'

/** A statement with the values of `?1`, `?2` and so on. */
export interface BatchStatement {
  sql: string
  args: SqliteValue[]
}

/**
 * Sends statements in one round trip. The database runs them in one transaction. Returns the rows of each statement, by the
 * names of the columns. Throws the driver's error.
 */
export type SendBatch = (statements: BatchStatement[], mode: 'read' | 'write') => Promise<Row[][]>

/** Drivers return bytes as an ArrayBuffer or as a list of numbers, and integers as numbers, as bigints or as texts. */
const toBytes = (value: ArrayBuffer | number[]) => new Uint8Array(value)
const number = { encode: (value: number) => value, decode: Number }

const { toRow, toSession, toChanges, toRevoked } = createRowMapping<SqliteValue>({
  id: { encode: idBytes, decode: (value: ArrayBuffer) => idText(toBytes(value)) },
  json: jsonText,
  flag: { encode: Number, decode: (value: unknown) => Number(value) === 1 },
  integer: number,
  instant: number,
  bytes: { encode: (value) => value, decode: toBytes },
})

/** The database's present time. In a batch it is read again by each statement. */
const engineNow = "CAST(round(unixepoch('subsec') * 1000) AS INTEGER)"

/** Replaces named parameters by numbers, the only kind that every driver takes. */
function bind(sql: string, values: Row<SqliteValue> = {}): BatchStatement {
  const names: string[] = []
  const numbered = sql.replaceAll(/:(\w+)/g, (_, name) => {
    if (!names.includes(name)) names.push(name)
    return `?${names.indexOf(name) + 1}`
  })
  return { sql: numbered, args: names.map((name) => values[name] ?? null) }
}

/**
 * Each call is one round trip. A write carries its deadline, and does nothing after it: its caller already got 503 and
 * retried. Calls do not share a batch, because in a Worker a request must not wait for the I/O of another one.
 *
 * @throws DaypassError `ERR_OPTION_INVALID`.
 */
export function createBatchStore(send: SendBatch, options: SqlStoreOptions): Store {
  const { prefix, timeout, clock } = readSqlOptions(options)
  const record = `${prefix}_schema`
  const isUsable = `EXISTS (SELECT 1 FROM ${record} WHERE module = '${schemaKey}' AND usable_from <= ${schemaVersion})`
  const sql = createSql(`${prefix}_session`, `${isUsable} AND ${engineNow} <= :deadline`)
  const gate = bind(
    `SELECT ${engineNow} AS now, usable_from AS usable_from FROM ${record} WHERE module = '${schemaKey}'`,
  )
  const { within, drain } = createBoundedCalls(timeout, asSqliteError, clock)
  /** How far the database's clock is ahead of this machine's, in milliseconds; negative if it is behind. */
  let ahead = 0

  const run = (statements: BatchStatement[], mode: 'read' | 'write', until: number): Promise<Row[][]> =>
    runStatement(() => ({ answer: send(statements, mode), cancel() {} }), until, clock, isConflict)

  /** The rows of one statement that reads. */
  const read = (text: string, values: Row<SqliteValue>) =>
    within(async (until) => (await run([bind(text, values)], 'read', until))[0] ?? [])

  /** Runs statements that write. Returns the rows of each. */
  const write = (values: Row<SqliteValue>, ...texts: string[]) =>
    within(async (until) => {
      do {
        // The answer was on its way for a while, so the database is further ahead than this, never less: a deadline made
        // by it is early rather than late.
        const deadline = Math.floor(until + ahead)
        const statements = texts.map((text) => bind(text, { ...values, deadline }))
        // The clock is read last. If it is not past the deadline, no statement was.
        const results = await run([...statements, gate], 'write', until)
        const now = readGate(results.pop())
        if (now <= deadline || results.some((rows) => rows.length > 0)) return results
        // If there is time left by this machine's clock, the database's clock had moved.
      } while (clock() < until)
      throw unavailable('too late')
    })

  /** Checks the version of the tables, and sets and returns the database's clock. */
  function readGate([row]: Row[] = []): number {
    const now = Number(row?.now)
    if (row !== undefined) ahead = now - clock()
    checkVersion(row && Number(row.usable_from))
    return now
  }

  const tables = createTables(prefix)

  /**
   * Whether the tables are there, and may be used by this program and for this issuer. They are made in one transaction
   * with their record, so a table without a record is not ours.
   */
  async function isReady(issuer: string, until: number): Promise<boolean> {
    const known = namesIn(tables.join(';'))
    const list = known.map((name) => `'${name}'`).join(', ')
    const find = bind(`SELECT lower(name) AS name FROM sqlite_schema WHERE lower(name) IN (${list})`)
    const found = (await run([find], 'read', until))[0]?.map(({ name }) => String(name)) ?? []
    if (found.length === 0) return false
    if (!found.includes(record)) throw nameTaken(String(found[0]))
    // All columns, because an app's own table has others.
    const [records = []] = await run([bind(`SELECT * FROM ${record} LIMIT 9`)], 'read', until)
    const ours = records.find(({ module, usable_from }) => module === schemaKey && usable_from !== undefined)
    if (ours === undefined) throw nameTaken(record)
    const [version, usableFrom] = [Number(ours.version), Number(ours.usable_from)]
    checkSchema(readRecord({ version, usableFrom, issuer: ours.issuer }), issuer)
    return true
  }

  async function make(issuer: string, until: number): Promise<void> {
    const insert = `INSERT INTO ${record} VALUES (:module, :version, :version, :issuer)`
    const values = { module: schemaKey, version: schemaVersion, issuer }
    try {
      await run([...tables.map((table) => bind(table)), bind(insert, values)], 'write', until)
    } catch (error) {
      // Another instance may have made them first.
      if (!(await isReady(issuer, until))) throw error
    }
  }

  return {
    open: (issuer) =>
      within(async (until) => {
        if (!(await isReady(issuer, until))) await make(issuer, until)
        readGate((await run([gate], 'read', until))[0])
      }),
    async create(session) {
      const [made = []] = await write(toRow(session), `${sql.insert} ON CONFLICT DO NOTHING RETURNING id`)
      if (made.length === 0) throw idTaken()
    },
    find: async (id) => readOne(await read(sql.select, { id: idBytes(id) })),
    async advance({ id, ip = null, ...step }) {
      const values = { ...step, id: idBytes(id), ip }
      const [equal, behind] = await write(values, sql.advanceEqual, sql.advanceBehind)
      const session = readOne(equal)
      if (session !== null) return { session, healed: false }
      const healed = readOne(behind)
      return healed === null ? null : { session: healed, healed: true }
    },
    async update(id, now, changes) {
      const row = toChanges(changes)
      return readOne((await write({ ...row, id: idBytes(id), now }, sql.updateLive(Object.keys(row))))[0])
    },
    revoke: async (id, now, reason) => readOne((await write({ id: idBytes(id), now, reason }, sql.revokeOne))[0]),
    async revokeSubject(subject, now, reason, exceptId = '') {
      const [ended = []] = await write({ subject, now, reason, exceptId: idBytes(exceptId) }, sql.revokeAll)
      return ended.map(toSession)
    },
    list: async (subject, now, limit) => (await read(sql.listLive, { subject, now, limit })).map(toSession),
    async revokedSince(since) {
      // Not every driver takes infinity.
      const instant = Math.min(Math.max(0, since), Number.MAX_SAFE_INTEGER)
      return (await read(sql.selectRevoked, { since: instant })).map(toRevoked)
    },
    prune: async (before, limit) => (await write({ before, limit }, `${sql.prune} RETURNING id`))[0]?.length ?? 0,
    // What needs a page of its own, and is taken back.
    check: () =>
      within(async (until) => {
        const insert = `INSERT INTO ${record} VALUES ('check', 0, 0, printf('%10000s', '')) ON CONFLICT DO NOTHING`
        await run([bind(insert), bind(`DELETE FROM ${record} WHERE module = 'check'`)], 'write', until)
      }),
    readClock: () =>
      within(async (until) => Number((await run([bind(`SELECT ${engineNow} AS now`)], 'read', until))[0]?.[0]?.now)),
    close: drain,
  }
}

/** Null if there is no row. */
const readOne = (rows: Row[] | undefined) => (rows?.[0] === undefined ? null : toSession(rows[0]))

// https://sqlite.org/rescode.html
const errorCodes = {
  SQLITE_BUSY: 'ERR_STORE_LOCKED',
  SQLITE_LOCKED: 'ERR_STORE_LOCKED',
  SQLITE_READONLY: 'ERR_STORE_READ_ONLY',
  SQLITE_FULL: 'ERR_STORE_FULL',
  SQLITE_CORRUPT: 'ERR_STORE_CORRUPT',
  SQLITE_NOTADB: 'ERR_STORE_CORRUPT',
} as const

/** SQLite's code of an error. libSQL has it in `code`, and D1 in the message. */
function codeOf(error: unknown): (typeof errorCodes)[keyof typeof errorCodes] | undefined {
  const { code, message } = fieldsOf(error)
  const [name] = /SQLITE_[A-Z]+/.exec(`${code} ${message}`) ?? []
  return name !== undefined && name in errorCodes ? errorCodes[name as keyof typeof errorCodes] : undefined
}

/** Another connection holds the lock: nothing was changed, and the same statements may be sent again. */
const isConflict = (error: unknown) => codeOf(error) === 'ERR_STORE_LOCKED'

// All values are parameters, which these messages do not quote.
const asSqliteError = createErrorTranslator((error) => {
  const { code, message } = fieldsOf(error)
  return { code: codeOf(error), cause: message || code }
})
