// The SQL of the stores that speak SQLite's: node:sqlite, libSQL and Cloudflare D1.

import { columns, createRowMapping, jsonText, type Kind } from './row.ts'
import { idBytes, idText } from './session-id.ts'

const types: Record<Kind, string> = {
  id: 'BLOB',
  text: 'TEXT',
  json: 'TEXT',
  flag: 'INTEGER',
  integer: 'INTEGER',
  instant: 'INTEGER',
  bytes: 'BLOB',
}

/** A value that a statement takes. */
export type SqliteValue = string | number | Uint8Array | null

/** The mapping of a driver that returns numbers as numbers and bytes as Uint8Array. */
export const mapping = createRowMapping<SqliteValue>({
  id: { encode: idBytes, decode: idText },
  json: jsonText,
  flag: { encode: Number, decode: Boolean },
})

/** @param schema The schema that has the tables, with a dot, or nothing for the driver's own. */
export const createTables = (prefix: string, schema: '' | 'main.' = ''): string[] => [
  `CREATE TABLE ${schema}${prefix}_schema (
    module TEXT PRIMARY KEY, version INTEGER NOT NULL, usable_from INTEGER NOT NULL, issuer TEXT
  ) STRICT, WITHOUT ROWID`,
  `CREATE TABLE ${schema}${prefix}_session (
    ${columns.map(({ name, kind, isNullable }) => `${name} ${types[kind]}${isNullable ? '' : ' NOT NULL'},`).join(' ')}
    PRIMARY KEY (id)
  ) STRICT, WITHOUT ROWID`,
  `CREATE INDEX ${schema}${prefix}_session_subject ON ${prefix}_session (subject)`,
  `CREATE INDEX ${schema}${prefix}_session_idle ON ${prefix}_session (idle_expires_at)`,
  `CREATE INDEX ${schema}${prefix}_session_revoked ON ${prefix}_session (revoked_at) WHERE revoked_at IS NOT NULL`,
]

const names = columns.map(({ name }) => name)
/** The columns are named, because a newer version may have added one. Their values come in this order. */
const selected = names.join(', ')
const live = 'revoked_at IS NULL AND idle_expires_at > :now AND expires_at > :now'

/**
 * The statements on the table of the sessions, with named parameters.
 *
 * @param sessions The name of the table.
 * @param allowed A condition of every write.
 */
export function createSql(sessions: string, allowed = 'TRUE') {
  // Every expression reads the row before the update, so the order of these lines does not matter.
  const advanceWhere = (condition: string) =>
    `UPDATE ${sessions} SET generation = :generation + 1, parent_salt = :salt, parent_key = :key,
       idle_expires_at = min(:now + coalesce(idle_timeout, :idleTimeout), expires_at), ip = coalesce(:ip, ip), rotated_at = :now,
       burst_at = iif(:now - burst_at < :reuseInterval, burst_at, :now),
       burst_generation = iif(:now - burst_at < :reuseInterval, burst_generation, generation - 1),
       prev_burst_generation = CASE
         WHEN :now - burst_at < :reuseInterval THEN prev_burst_generation
         WHEN :now - rotated_at < :reuseInterval THEN burst_generation
         ELSE generation - 1 END
     WHERE id = :id AND ${condition} AND ${live} AND ${allowed} RETURNING ${selected}`
  const revokeWhere = (condition: string) =>
    `UPDATE ${sessions} SET revoked_at = :now, revoked_reason = :reason
     WHERE ${condition} AND revoked_at IS NULL AND ${allowed} RETURNING ${selected}`
  return {
    insert: `INSERT INTO ${sessions} (${selected}) SELECT ${names.map((name) => `:${name}`).join(', ')} WHERE ${allowed}`,
    select: `SELECT ${selected} FROM ${sessions} WHERE id = :id`,
    advanceEqual: advanceWhere('generation = :generation'),
    /** Matches nothing after `advanceEqual` has matched. */
    advanceBehind: advanceWhere('generation < :generation'),
    updateLive: (changed: readonly string[]) =>
      `UPDATE ${sessions} SET ${changed.map((name) => `${name} = :${name}`).join(', ')}
       WHERE id = :id AND ${live} AND ${allowed} RETURNING ${selected}`,
    revokeOne: revokeWhere('id = :id'),
    revokeAll: revokeWhere('subject = :subject AND id IS NOT :exceptId'),
    listLive: `SELECT ${selected} FROM ${sessions} WHERE subject = :subject AND ${live} ORDER BY created_at DESC LIMIT :limit`,
    selectRevoked: `SELECT id AS id, revoked_at AS revoked_at FROM ${sessions} WHERE revoked_at >= :since`,
    // A row's idle expiry is never after its absolute one, so it is enough for both.
    prune: `DELETE FROM ${sessions} WHERE ${allowed} AND id IN (
      SELECT id FROM ${sessions} WHERE idle_expires_at < :before
      UNION ALL SELECT id FROM ${sessions} WHERE revoked_at < :before AND idle_expires_at >= :before LIMIT :limit)`,
  }
}
