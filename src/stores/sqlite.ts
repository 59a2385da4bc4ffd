// Sessions in a SQLite file, through Node's own node:sqlite: one machine, no server, nothing to install.

import { Buffer } from 'node:buffer'
import type { DatabaseSync } from 'node:sqlite'
import type { RevokedReason, Session } from '../core/session.ts'
import type { Advance, Advanced, Store } from '../core/store.ts'
import { readPrefix } from './schema.ts'
import { createSqlite, openSqlite, type Sqlite } from './sqlite-database.ts'

/** Options of {@link createSqliteStore}. */
export interface SqliteStoreOptions {
  /** What the names of all tables begin with: lower-case letters, digits and underscores. Default "daypass". */
  prefix?: string
}

const schema = (prefix: string) => `
  CREATE TABLE main.${prefix}_session (
    id BLOB PRIMARY KEY, subject TEXT NOT NULL, client_id TEXT NOT NULL, scope TEXT NOT NULL, claims TEXT NOT NULL,
    generation INTEGER NOT NULL, secret BLOB NOT NULL, parent_salt BLOB, parent_key BLOB,
    burst_at INTEGER NOT NULL, burst_generation INTEGER NOT NULL, prev_burst_generation INTEGER NOT NULL,
    rotated_at INTEGER NOT NULL, created_at INTEGER NOT NULL, auth_time INTEGER NOT NULL, amr TEXT NOT NULL,
    idle_expires_at INTEGER NOT NULL, expires_at INTEGER NOT NULL, jkt TEXT,
    user_agent TEXT, ip TEXT, label TEXT, revoked_at INTEGER, revoked_reason TEXT
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX main.${prefix}_session_subject ON ${prefix}_session (subject);
  CREATE INDEX main.${prefix}_session_idle ON ${prefix}_session (idle_expires_at);
  CREATE INDEX main.${prefix}_session_revoked ON ${prefix}_session (revoked_at) WHERE revoked_at IS NOT NULL;`

/** Named one by one: a newer version may add a column while this one runs. */
const columns = `id, subject, client_id, scope, claims, generation, secret, parent_salt, parent_key, burst_at,
  burst_generation, prev_burst_generation, rotated_at, created_at, auth_time, amr, idle_expires_at, expires_at, jkt,
  user_agent, ip, label, revoked_at, revoked_reason`
/** Each under its own name, however the app's database is set to name columns. */
const asNamed = columns.replaceAll(/\w+/g, '$& AS $&')

/**
 * A store in a SQLite file (`daypass/sqlite`). An answered refresh survives a power cut, and refreshes in flight together
 * share one transaction. Its tables are made at the first call and begin with `daypass_`, so the file may be the app's
 * own (docs/sqlite.md).
 *
 * @param database A path (`:memory:` works), or a `DatabaseSync` of the app's, which the app closes. A file and folders
 *   that are not there are made, for their owner alone.
 * @throws DaypassError `ERR_OPTION_INVALID`, and where the file cannot be opened `ERR_STORE_READ_ONLY`, `ERR_STORE_FULL`,
 *   `ERR_STORE_UNAVAILABLE`. Its calls throw these, `ERR_STORE_LOCKED`, `ERR_STORE_CORRUPT`, and as every store's
 *   `ERR_STORE_SCHEMA` and `ERR_STORE_ISSUER`.
 * @example
 * ```ts
 * import { createDaypass } from 'daypass'
 * import { createSqliteStore } from 'daypass/sqlite'
 *
 * const store = createSqliteStore('./data/daypass.db')
 * const auth = createDaypass({ secret: process.env.DAYPASS_SECRET!, issuer: 'https://example.com', store })
 * ```
 */
export function createSqliteStore(database: string | DatabaseSync, options: SqliteStoreOptions = {}): Store {
  const prefix = readPrefix(options.prefix)
  const isOwn = typeof database === 'string'
  const db = isOwn ? openSqlite(database) : database
  const sqlite = createSqlite(db, 'session', prefix, schema)
  const { read, write } = sqlite
  let prepared: ReturnType<typeof prepareAll> | undefined
  /** At the first call, not before: until then there may be no tables. */
  const statements = () => {
    prepared ??= prepareAll(sqlite)
    return prepared
  }

  return {
    async open(issuer) {
      await sqlite.open(issuer)
      await read(statements)
    },
    create: (session) => write(() => void statements().insert.run(...toRow(session))),
    find: (id) => read(() => toSession(statements().select.get(toId(id)))),
    advance: (step) =>
      write((): Advanced | null => {
        const parameters = { ...toParameters(step) }
        const session = toSession(statements().advanceEqual.get(parameters))
        if (session !== null) return { session, healed: false }
        const healed = toSession(statements().advanceBehind.get(parameters))
        return healed === null ? null : { session: healed, healed: true }
      }),
    revoke: (id, now, reason) => write(() => toSession(statements().revokeOne.get({ id: toId(id), now, reason }))),
    revokeSubject: (subject, now, reason, exceptId) =>
      write(() => {
        const parameters = { subject, now, reason, exceptId: exceptId === undefined ? null : toId(exceptId) }
        return toSessions(statements().revokeAll.all(parameters))
      }),
    list: (subject, now, limit) => read(() => toSessions(statements().listLive.all({ subject, now, limit }))),
    revokedSince: (since) =>
      read(() =>
        statements()
          .selectRevoked.all(since)
          .map(({ id, revoked_at }) => ({ id: toText(id), revokedAt: revoked_at as number })),
      ),
    prune: (before, limit) =>
      write(() => {
        const expired = Number(statements().pruneExpired.run(before, limit).changes)
        return expired + Number(statements().pruneRevoked.run(before, limit - expired).changes)
      }),
    check: sqlite.check,
    async close() {
      await sqlite.drain()
      if (isOwn && db.isOpen) db.close()
    },
  }
}

function prepareAll({ prepare, table }: Sqlite) {
  const sessions = table('session')
  const live = 'revoked_at IS NULL AND idle_expires_at > :now AND expires_at > :now'
  // Every expression reads the row as it was: the order of these lines does not matter.
  const advanceWhere = (condition: string) =>
    prepare(
      `UPDATE ${sessions} SET generation = :generation + 1, parent_salt = :salt, parent_key = :key,
         idle_expires_at = min(:idleExpiresAt, expires_at), ip = coalesce(:ip, ip), rotated_at = :now,
         burst_at = iif(:now - burst_at < :reuseInterval, burst_at, :now),
         burst_generation = iif(:now - burst_at < :reuseInterval, burst_generation, generation - 1),
         prev_burst_generation = CASE
           WHEN :now - burst_at < :reuseInterval THEN prev_burst_generation
           WHEN :now - rotated_at < :reuseInterval THEN burst_generation
           ELSE generation - 1 END
       WHERE id = :id AND ${condition} AND ${live} RETURNING ${asNamed}`,
    )
  const revokeWhere = (condition: string) =>
    prepare(
      `UPDATE ${sessions} SET revoked_at = :now, revoked_reason = :reason
       WHERE ${condition} AND revoked_at IS NULL RETURNING ${asNamed}`,
    )
  const pruneBy = (column: string) =>
    prepare(`DELETE FROM ${sessions} WHERE id IN (SELECT id FROM ${sessions} WHERE ${column} < ? LIMIT ?)`)
  return {
    insert: prepare(`INSERT INTO ${sessions} (${columns}) VALUES (${columns.replaceAll(/\w+/g, '?')})`),
    select: prepare(`SELECT ${asNamed} FROM ${sessions} WHERE id = ?`),
    advanceEqual: advanceWhere('generation = :generation'),
    advanceBehind: advanceWhere('generation < :generation'),
    revokeOne: revokeWhere('id = :id'),
    revokeAll: revokeWhere('subject = :subject AND id IS NOT :exceptId'),
    listLive: prepare(
      `SELECT ${asNamed} FROM ${sessions} WHERE subject = :subject AND ${live} ORDER BY created_at DESC LIMIT :limit`,
    ),
    selectRevoked: prepare(`SELECT id AS id, revoked_at AS revoked_at FROM ${sessions} WHERE revoked_at >= ?`),
    // A row's idle expiry is never after its absolute one, so it tells for both.
    pruneExpired: pruneBy('idle_expires_at'),
    pruneRevoked: pruneBy('revoked_at'),
  }
}

// One session, one name: what a decoder would pass over makes another name, of a session that is not there.
const toId = (id: string) => {
  const bytes = Buffer.from(id, 'base64url')
  return bytes.toString('base64url') === id ? bytes : Buffer.alloc(0)
}
const toText = (id: unknown) => {
  const bytes = id as Uint8Array
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64url')
}

function toParameters({ id, generation, salt, key, now, idleExpiresAt, reuseInterval, ip }: Advance) {
  return { id: toId(id), generation, salt, key, now, idleExpiresAt, reuseInterval, ip: ip ?? null }
}

function toRow(session: Session) {
  const { device } = session
  return [
    toId(session.id),
    session.subject,
    session.clientId,
    session.scope,
    JSON.stringify(session.claims),
    session.generation,
    session.secret,
    session.parentSalt,
    session.parentKey,
    session.burstAt,
    session.burstGeneration,
    session.prevBurstGeneration,
    session.rotatedAt,
    session.createdAt,
    session.authTime,
    JSON.stringify(session.amr),
    session.idleExpiresAt,
    session.expiresAt,
    session.jkt,
    device.userAgent ?? null,
    device.ip ?? null,
    device.label ?? null,
    session.revokedAt,
    session.revokedReason,
  ]
}

const toSessions = (rows: Record<string, unknown>[]) => rows.map((row) => toSession(row)!)

function toSession(row: Record<string, unknown> | undefined): Session | null {
  if (row === undefined) return null
  return {
    id: toText(row.id),
    subject: row.subject as string,
    clientId: row.client_id as string,
    scope: row.scope as string,
    claims: row.claims === '{}' ? {} : JSON.parse(row.claims as string),
    generation: row.generation as number,
    secret: row.secret as Uint8Array,
    parentSalt: row.parent_salt as Uint8Array | null,
    parentKey: row.parent_key as Uint8Array | null,
    burstAt: row.burst_at as number,
    burstGeneration: row.burst_generation as number,
    prevBurstGeneration: row.prev_burst_generation as number,
    rotatedAt: row.rotated_at as number,
    createdAt: row.created_at as number,
    authTime: row.auth_time as number,
    amr: row.amr === '[]' ? [] : JSON.parse(row.amr as string),
    idleExpiresAt: row.idle_expires_at as number,
    expiresAt: row.expires_at as number,
    jkt: row.jkt as string | null,
    device: {
      ...(row.user_agent === null ? {} : { userAgent: row.user_agent as string }),
      ...(row.ip === null ? {} : { ip: row.ip as string }),
      ...(row.label === null ? {} : { label: row.label as string }),
    },
    revokedAt: row.revoked_at as number | null,
    revokedReason: row.revoked_reason as RevokedReason | null,
  }
}
