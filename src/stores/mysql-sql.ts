// The SQL of the MySQL store.
//
// Values are written into the statements as hexadecimal literals and numbers, so nothing depends on `sql_mode`, on the
// connection's character set or on how the driver replaces placeholders. Texts are returned as bytes.
//
// A row is changed by a compare-and-set: it is read, its new values are computed, and they are written if the row's
// `stamp` is still the one that was read. A statement that changes rows does nothing after its deadline. It never waits
// for a row: a row that another transaction has locked is skipped (SKIP LOCKED).

import type { Session } from '../core/session.ts'
import { createRowMapping, columns as fields, hour, jsonText, type Kind, type Row } from './row.ts'
import { schemaKey, schemaVersion } from './schema-record.ts'
import { idBytes, idText } from './session-id.ts'

const types: Record<Kind, string> = {
  id: 'BINARY(16)',
  text: 'LONGTEXT',
  json: 'LONGTEXT',
  flag: 'TINYINT',
  integer: 'BIGINT',
  instant: 'BIGINT',
  bytes: 'VARBINARY(255)',
}

/** The columns of a session, and those that only this engine has. */
const table: readonly { name: string; kind: Kind; isNullable: boolean }[] = [
  ...fields,
  // The column that pruning reads. It changes once an hour at most, so nearly every refresh changes no index.
  { name: 'idle_hour', kind: 'integer', isNullable: false },
  // When `revokedSince` last announced the end: `revoked_at`, or when the session was ended again.
  { name: 'announced_at', kind: 'instant', isNullable: true },
  // Changes with every write.
  { name: 'stamp', kind: 'bytes', isNullable: false },
  // The stamp of the last rotation.
  { name: 'rotation', kind: 'bytes', isNullable: true },
]

const kindOf = new Map(table.map(({ name, kind }) => [name, kind]))

/** A value as it goes into a statement: texts and bytes are hexadecimal. */
export type Encoded = string | number | null

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
const textHex = (text: string) => Buffer.from(text).toString('hex')
const toText = (bytes: Buffer) => bytes.toString()
const toNumber = (bytes: Buffer) => Number(bytes.toString('latin1'))

const { toRow, fromValues, toChanges } = createRowMapping<Encoded>({
  id: { encode: (id) => hex(idBytes(id) ?? Buffer.alloc(0)), decode: idText },
  text: { encode: textHex, decode: toText },
  json: {
    encode: (value) => textHex(jsonText.encode(value)),
    decode: (bytes: Buffer) => jsonText.decode(toText(bytes) as never),
  },
  flag: { encode: Number, decode: (bytes: Buffer) => toNumber(bytes) === 1 },
  integer: { encode: (value) => value, decode: toNumber },
  instant: { encode: (value) => value, decode: toNumber },
  bytes: { encode: hex, decode: (bytes: Buffer) => new Uint8Array(bytes) },
})

export { fromValues, toChanges }

/** The row of a session, without its stamps. */
export const toRecord = (session: Session, announcedAt = session.revokedAt): Row<Encoded> => ({
  ...toRow(session),
  idle_hour: Math.floor(session.idleExpiresAt / hour),
  announced_at: announcedAt,
})

/** The columns that a rotation changes. */
export const rotated = [
  'generation',
  'parent_salt',
  'parent_key',
  'burst_at',
  'burst_generation',
  'prev_burst_generation',
  'rotated_at',
  'idle_expires_at',
  'idle_hour',
  'ip',
  'rotation',
]

/** The columns that the end of a session changes. */
export const ended = ['revoked_at', 'revoked_reason', 'announced_at']

/** The row of one {@link createSql} `write`. */
export interface Write {
  id: string
  /** The stamp that was read. */
  stamp: Buffer
  /** By the engine's clock. */
  deadline: number
  row: Row<Encoded>
}

// UTC_TIMESTAMP is when the statement began; SYSDATE is now. Their difference has no time zone.
const engineNow = `(TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) DIV 1000
  + TIMESTAMPDIFF(MICROSECOND, NOW(6), SYSDATE(6)) DIV 1000)`

const name = (column: string) => `\`${column}\``

const literal = (kind: Kind | undefined, value: Encoded | undefined): string => {
  if (value === null || value === undefined) return 'NULL'
  if (typeof value === 'number') return String(value)
  return kind === 'text' || kind === 'json' ? `_utf8mb4 X'${value}'` : `X'${value}'`
}

export const idLiteral = (id: string): string => literal('id', hex(idBytes(id) ?? Buffer.alloc(0)))

/** Selects the columns of a session in the order of `fromValues`. */
const session = fields
  .map(({ name: column, kind }) =>
    kind === 'text' || kind === 'json' ? `CAST(s.${name(column)} AS BINARY)` : `s.${name(column)}`,
  )
  .join(', ')

const isLive = (now: number) => `s.revoked_at IS NULL AND s.idle_expires_at > ${now} AND s.expires_at > ${now}`

/** The collation ignores spaces at the end of a text; the bytes do not. */
export const isOfSubject = (subject: string) => {
  const text = literal('text', textHex(subject))
  return `s.subject = ${text} COLLATE utf8mb4_bin AND CAST(s.subject AS BINARY) = X'${textHex(subject)}'`
}

/** A list as the table `c`. MySQL locks no table function, so it is in a table of its own, and `LIMIT` keeps it there. */
const listed = (list: readonly unknown[], parts: string) =>
  `(SELECT * FROM JSON_TABLE(_utf8mb4'${JSON.stringify(list)}', '$[*]' COLUMNS (${parts})) j LIMIT ${all}) c`

/** A null text in a list. Of a null in JSON, MySQL 8.0.15 makes the text 'null'. Numbers that change are not null. */
const nothing = '-'

/** More rows than a statement has. */
const all = 1_000_000

/** The statements on the tables of one prefix. */
export function createSql(prefix: string) {
  const sessions = `${prefix}_session`
  const record = `${prefix}_schema`
  /** A newer version may own the tables. Nothing is written where it would not be committed. */
  const gate = `g.module = '${schemaKey}' AND g.usable_from <= ${schemaVersion} AND @@autocommit = 1`

  // Without the index, a small table would be scanned, and a scan waits for every row.
  const byId = `${sessions} s FORCE INDEX (PRIMARY)`
  const join = `STRAIGHT_JOIN ${byId} ON s.id = n.id STRAIGHT_JOIN ${record} g ON ${gate}`

  /** Rows of `s` that a write may change. None of them is waited for. Its `LIMIT` keeps the list a table of its own. */
  const locked = (columns: string, source: string, condition: string) => `
    SELECT ${columns} FROM ${source} STRAIGHT_JOIN ${byId} ON s.id = UNHEX(c.id)
    WHERE ${condition} LIMIT ${all} FOR UPDATE SKIP LOCKED`

  return {
    tables: `CREATE TABLE IF NOT EXISTS ${sessions} (
      ${table.map((column) => `${name(column.name)} ${types[column.kind]}${column.isNullable ? '' : ' NOT NULL'},`).join(' ')}
      PRIMARY KEY (id), KEY ${sessions}_subject (subject(191)), KEY ${sessions}_idle (idle_hour),
      KEY ${sessions}_revoked (revoked_at), KEY ${sessions}_announced (announced_at)
    ) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin`,

    /** Only where the server's clock is not past the deadline. */
    create: (row: Row<Encoded>, stamp: Buffer, deadline: number) => {
      const whole: Row<Encoded> = { ...row, stamp: hex(stamp), rotation: null }
      return `INSERT INTO ${sessions} (${table.map((column) => name(column.name)).join(', ')})
        SELECT ${table.map((column) => literal(column.kind, whole[column.name])).join(', ')} FROM ${record} g
        WHERE ${gate} AND ${engineNow} <= ${deadline}`
    },

    /** The server's clock and the oldest version that may use the tables. */
    gate: `SELECT ${engineNow}, g.usable_from FROM ${record} g WHERE g.module = '${schemaKey}'`,

    /** As `gate`, with each row that matches, its stamp and when its end was announced. A row of nulls if none does. */
    read: (which: string) => `SELECT ${engineNow}, g.usable_from, s.stamp, s.announced_at, ${session}
      FROM ${record} g LEFT JOIN ${sessions} s ON ${which} WHERE g.module = '${schemaKey}'`,

    /** Changes each row whose stamp is still the one that was read. */
    write(columns: readonly string[], writes: readonly Write[], stamp: Buffer) {
      const list = writes.map(({ id, stamp: was, deadline, row }) => [
        idBytes(id)?.toString('hex'),
        hex(was),
        deadline,
        ...columns.map((column) => row[column] ?? nothing),
      ])
      const parts = [
        'id CHAR(32)',
        'was CHAR(16)',
        'deadline BIGINT',
        ...columns.map((column, index) => `c${index} ${jsonTypeOf(column)}`),
      ]
      const paths = parts.map((part, index) => `${part} PATH '$[${index}]'`)
      const source = listed(list, paths.join(', '))
      const values = ['s.id', ...columns.map((_, index) => `c.c${index}`)].join(', ')
      const condition = `s.stamp = UNHEX(c.was) AND ${engineNow} <= c.deadline`
      const set = columns.map((column, index) => `s.${name(column)} = ${decoded(column, `n.c${index}`)}`)
      return `UPDATE (${locked(values, source, condition)}) n
        ${join}
        SET ${[`s.stamp = X'${hex(stamp)}'`, ...set].join(', ')}`
    },

    /** The ids of the rows that a batch wrote. A rotation is known by its own stamp, if another write followed it. */
    writtenBy: (ids: readonly string[], stamp: Buffer) =>
      `SELECT s.id FROM ${byId}
      WHERE ${isOneOf(ids)} AND (s.stamp = X'${hex(stamp)}' OR s.rotation = X'${hex(stamp)}')`,

    find: (id: string) => `SELECT ${session} FROM ${sessions} s WHERE s.id = ${idLiteral(id)}`,

    list: (subject: string, now: number, limit: number) =>
      `SELECT ${session} FROM ${sessions} s WHERE ${isOfSubject(subject)} AND ${isLive(now)}
      ORDER BY s.created_at DESC LIMIT ${limit}`,

    revokedSince: (since: number) => `SELECT s.id, s.revoked_at FROM ${sessions} s WHERE s.announced_at >= ${since}`,

    /** The ids of rows that ended before. The hour is what the index knows; the instant decides. */
    expired: (before: number, limit: number) => `SELECT HEX(s.id) FROM ${sessions} s
      WHERE ${isExpired(before)} LIMIT ${limit}`,
    revoked: (before: number, limit: number) => `SELECT HEX(s.id) FROM ${sessions} s
      WHERE s.revoked_at < ${before} LIMIT ${limit}`,

    /** Deletes those of these rows that still match. */
    remove(ids: readonly string[], before: number) {
      const source = listed(ids, "id CHAR(32) PATH '$'")
      const condition = `(${isExpired(before)} OR s.revoked_at < ${before})`
      return `DELETE s FROM (${locked('s.id', source, condition)}) n
        ${join}`
    },

    // A write, for a server that is full or became a replica. In a row of its own, which no other statement reads.
    check: `INSERT INTO ${record} (module, version, usable_from, checked_at) VALUES ('check', 0, 0, ${engineNow})
      ON DUPLICATE KEY UPDATE checked_at = ${engineNow}`,

    now: `SELECT ${engineNow}`,
  }
}

const isExpired = (before: number) => `(s.idle_hour <= ${Math.floor(before / hour)} AND s.idle_expires_at < ${before})`

export const isOneOf = (ids: readonly string[]): string => `s.id IN (${ids.map(idLiteral).join(', ')})`
const isNumber = (column: string) => ['flag', 'integer', 'instant'].includes(kindOf.get(column) ?? '')

/** The type of a column in JSON_TABLE, where texts and bytes are hexadecimal. */
const jsonTypeOf = (column: string) => (isNumber(column) ? 'BIGINT' : 'LONGTEXT')

const decoded = (column: string, value: string) => {
  const kind = kindOf.get(column)
  if (isNumber(column)) return value
  const bytes = `UNHEX(NULLIF(${value}, '${nothing}'))`
  return kind === 'text' || kind === 'json' ? `CONVERT(${bytes} USING utf8mb4)` : bytes
}
