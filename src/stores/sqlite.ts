// Sessions in a SQLite file, through Node's own node:sqlite: one machine, no server, nothing to install.

import { Buffer } from 'node:buffer'
import type { DatabaseSync } from 'node:sqlite'
import { DaypassError } from '../core/errors.ts'
import type { Advance, Advanced, RevokedReason, Session, Store } from '../core/types.ts'
import { createGroupCommit, type Settled } from './group-commit.ts'
import { asStoreError, guard, openSqlite, transaction } from './sqlite-database.ts'

/** Each entry brings the schema one version further; entries are only ever added. */
const migrations = [
  `CREATE TABLE daypass_session (
     id BLOB PRIMARY KEY, subject TEXT NOT NULL, client_id TEXT NOT NULL, scope TEXT NOT NULL, claims TEXT NOT NULL,
     generation INTEGER NOT NULL, secret BLOB NOT NULL, parent_salt BLOB, parent_key BLOB,
     burst_at INTEGER NOT NULL, burst_generation INTEGER NOT NULL, rotated_at INTEGER NOT NULL,
     created_at INTEGER NOT NULL, auth_time INTEGER NOT NULL, amr TEXT NOT NULL,
     idle_expires_at INTEGER NOT NULL, expires_at INTEGER NOT NULL, jkt TEXT,
     user_agent TEXT, ip TEXT, label TEXT, revoked_at INTEGER, revoked_reason TEXT
   ) STRICT, WITHOUT ROWID;
   CREATE INDEX daypass_session_subject ON daypass_session (subject);
   CREATE INDEX daypass_session_idle ON daypass_session (idle_expires_at);
   CREATE INDEX daypass_session_revoked ON daypass_session (revoked_at) WHERE revoked_at IS NOT NULL;`,
  'ALTER TABLE daypass_session ADD COLUMN prev_burst_generation INTEGER NOT NULL DEFAULT 0',
]

/**
 * A store in a SQLite file (`daypass/sqlite`). An answered refresh survives a power cut: WAL, `synchronous = FULL`, and
 * refreshes in flight together share one transaction. Tables are made and brought up to date by themselves and begin
 * with `daypass_`, so the file may be the app's own.
 *
 * @param database A path (folders are made; `:memory:` works), or a `DatabaseSync` of the app's, which the app closes.
 * @throws DaypassError `ERR_STORE_READ_ONLY`, `ERR_STORE_FULL`, `ERR_STORE_LOCKED`, `ERR_STORE_CORRUPT`,
 *   `ERR_STORE_SCHEMA`, `ERR_STORE_UNAVAILABLE`.
 * @example
 * ```ts
 * import { createDaypass } from 'daypass'
 * import { createSqliteStore } from 'daypass/sqlite'
 *
 * const store = createSqliteStore('./data/daypass.db')
 * const auth = createDaypass({ secret: process.env.DAYPASS_SECRET!, issuer: 'https://example.com', store })
 * ```
 */
export function createSqliteStore(database: string | DatabaseSync): Store {
  const db = typeof database === 'string' ? openSqlite(database) : database
  return guard(() => {
    prepareSqlite(db)
    migrate(db)
    return createStore(db, typeof database === 'string')
  })
}

function prepareSqlite(db: DatabaseSync): void {
  // Named before anything else: a file that is no database says so at its first read.
  db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 1000')
}

function migrate(db: DatabaseSync): void {
  const known = readVersion(db)
  if (known > migrations.length) throw new DaypassError('ERR_STORE_SCHEMA')
  if (known === migrations.length) return
  // Several processes may start at once: the write lock decides who migrates, and the others find it done.
  transaction(db, () => {
    db.exec('CREATE TABLE IF NOT EXISTS daypass_schema (version INTEGER NOT NULL) STRICT')
    for (let next = readVersion(db); next < migrations.length; next++) {
      db.exec(migrations[next]!)
      db.prepare('INSERT INTO daypass_schema (version) VALUES (?)').run(next + 1)
    }
  })
}

function readVersion(db: DatabaseSync): number {
  const exists = db.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'daypass_schema'").get()
  if (exists === undefined) return 0
  return (db.prepare('SELECT max(version) AS version FROM daypass_schema').get()?.version as number | null) ?? 0
}

const live = 'revoked_at IS NULL AND idle_expires_at > :now AND expires_at > :now'

function createStore(db: DatabaseSync, own: boolean): Store {
  const columns = `id, subject, client_id, scope, claims, generation, secret, parent_salt, parent_key, burst_at,
    burst_generation, rotated_at, created_at, auth_time, amr, idle_expires_at, expires_at, jkt, user_agent, ip, label,
    revoked_at, revoked_reason, prev_burst_generation`
  const insert = db.prepare(`INSERT INTO daypass_session (${columns}) VALUES (${columns.replaceAll(/\w+/g, '?')})`)
  const select = db.prepare('SELECT * FROM daypass_session WHERE id = ?')
  // Every expression reads the row as it was: the order of these lines does not matter.
  const advanceWhere = (condition: string) =>
    db.prepare(
      `UPDATE daypass_session SET generation = :generation + 1, parent_salt = :salt, parent_key = :key,
         idle_expires_at = min(:idleExpiresAt, expires_at), ip = coalesce(:ip, ip), rotated_at = :now,
         burst_at = iif(:now - burst_at < :reuseInterval, burst_at, :now),
         burst_generation = iif(:now - burst_at < :reuseInterval, burst_generation, generation - 1),
         prev_burst_generation = CASE
           WHEN :now - burst_at < :reuseInterval THEN prev_burst_generation
           WHEN :now - rotated_at < :reuseInterval THEN burst_generation
           ELSE generation - 1 END
       WHERE id = :id AND ${condition} AND ${live} RETURNING *`,
    )
  const advanceEqual = advanceWhere('generation = :generation')
  const advanceBehind = advanceWhere('generation < :generation')
  const revokeOne = db.prepare(
    `UPDATE daypass_session SET revoked_at = :now, revoked_reason = :reason
     WHERE id = :id AND revoked_at IS NULL RETURNING *`,
  )
  const revokeAll = db.prepare(
    `UPDATE daypass_session SET revoked_at = :now, revoked_reason = :reason
     WHERE subject = :subject AND revoked_at IS NULL AND id IS NOT :exceptId RETURNING *`,
  )
  const listLive = db.prepare(
    `SELECT * FROM daypass_session WHERE subject = :subject AND ${live} ORDER BY created_at DESC`,
  )
  const selectRevoked = db.prepare('SELECT id, revoked_at FROM daypass_session WHERE revoked_at >= ?')
  const pruneOne = (column: string) =>
    db.prepare(`DELETE FROM daypass_session WHERE id IN (SELECT id FROM daypass_session WHERE ${column} < ? LIMIT ?)`)
  // A row's idle expiry is never after its absolute one, so it tells for both.
  const pruneExpired = pruneOne('idle_expires_at')
  const pruneRevoked = pruneOne('revoked_at')

  const writes = createGroupCommit<() => unknown, unknown>((calls) =>
    guard(() =>
      transaction(db, () =>
        calls.map((call): Settled<unknown> => {
          try {
            return { value: call() }
          } catch (error) {
            // Most failures undo their own statement alone; those that undo all of it leave no transaction.
            if (!db.isTransaction) throw error
            return { error: asStoreError(error) }
          }
        }),
      ),
    ),
  )
  const write = <T>(call: () => T) => writes.run(call) as Promise<T>
  const read = async <T>(call: () => T) => guard(call)

  return {
    async open() {},
    create: (session) => write(() => void insert.run(...toRow(session))),
    find: (id) => read(() => toSession(select.get(toId(id)))),
    advance: (step) =>
      write((): Advanced | null => {
        const parameters = { ...toParameters(step) }
        const session = toSession(advanceEqual.get(parameters))
        if (session !== null) return { session, healed: false }
        const healed = toSession(advanceBehind.get(parameters))
        return healed === null ? null : { session: healed, healed: true }
      }),
    revoke: (id, now, reason) => write(() => toSession(revokeOne.get({ id: toId(id), now, reason }))),
    revokeSubject: (subject, now, reason, exceptId) =>
      write(() => {
        const parameters = { subject, now, reason, exceptId: exceptId === undefined ? null : toId(exceptId) }
        return revokeAll.all(parameters).map((row) => toSession(row)!)
      }),
    list: (subject, now) => read(() => listLive.all({ subject, now }).map((row) => toSession(row)!)),
    revokedSince: (since) =>
      read(() => selectRevoked.all(since).map((row) => ({ id: toText(row.id), revokedAt: row.revoked_at as number }))),
    prune: (before, limit) =>
      write(() => {
        const expired = Number(pruneExpired.run(before, limit).changes)
        return expired + Number(pruneRevoked.run(before, limit - expired).changes)
      }),
    // A write, for a disk that is full or a file that became read-only; it changes nothing.
    check: () => write(() => void db.exec('UPDATE daypass_schema SET version = version')),
    async close() {
      await writes.drain()
      if (own && db.isOpen) db.close()
    },
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
    session.prevBurstGeneration,
  ]
}

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
