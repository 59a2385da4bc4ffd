// SQLite store: sessions in a file, through Node's own node:sqlite. One machine, no server, nothing to install.

import type { DatabaseSync, SQLInputValue } from 'node:sqlite'
import type { Advanced, Store } from '../core/store.ts'
import { checkOptions, type OptionNames } from '../known-options.ts'
import { columns, createRowMapping, jsonText, type Kind } from './row.ts'
import { readPrefix } from './schema-record.ts'
import { idBytes, idText } from './session-id.ts'
import { checkDatabase, createSqlite, openSqlite, type Sqlite } from './sqlite-database.ts'

/** Options of {@link createSqliteStore}. */
export interface SqliteStoreOptions {
  /** The beginning of the name of every table: lower-case letters, digits and underscores. Default "daypass". */
  prefix?: string
}

const optionNames: OptionNames<SqliteStoreOptions> = { prefix: true }

const types: Record<Kind, string> = {
  id: 'BLOB',
  text: 'TEXT',
  json: 'TEXT',
  flag: 'INTEGER',
  integer: 'INTEGER',
  instant: 'INTEGER',
  bytes: 'BLOB',
}

const { toRow, fromValues, toChanges, toRevoked } = createRowMapping<SQLInputValue>({
  id: { encode: idBytes, decode: idText },
  json: jsonText,
  flag: { encode: Number, decode: Boolean },
})

const schema = (prefix: string) => `
  CREATE TABLE main.${prefix}_session (
    ${columns.map(({ name, kind, isNullable }) => `${name} ${types[kind]}${isNullable ? '' : ' NOT NULL'},`).join(' ')}
    PRIMARY KEY (id)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX main.${prefix}_session_subject ON ${prefix}_session (subject);
  CREATE INDEX main.${prefix}_session_idle ON ${prefix}_session (idle_expires_at);
  CREATE INDEX main.${prefix}_session_revoked ON ${prefix}_session (revoked_at) WHERE revoked_at IS NOT NULL;`

const names = columns.map(({ name }) => name)
/** The columns are named, because a newer version may have added one. Their values come in this order. */
const selected = names.join(', ')

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
  checkOptions(options, optionNames)
  const prefix = readPrefix(options.prefix)
  const isOwn = typeof database === 'string'
  if (!isOwn) checkDatabase(database)
  const db = isOwn ? openSqlite(database) : database
  const sqlite = createSqlite(db, prefix, schema)
  const { read, write } = sqlite
  let prepared: ReturnType<typeof prepareAll> | undefined
  /** Prepared at the first call, because before it there may be no tables. */
  const statements = () => {
    prepared ??= prepareAll(sqlite)
    return prepared
  }

  return {
    async open(issuer) {
      await sqlite.open(issuer)
      await read(statements)
    },
    create: (session) => write(() => void statements().insert.run(toRow(session))),
    find: (id) => read(() => readOne(statements().select.get(idBytes(id)))),
    advance: ({ id, ip = null, ...step }) =>
      write((): Advanced | null => {
        const parameters = { ...step, id: idBytes(id), ip }
        const session = readOne(statements().advanceEqual.get(parameters))
        if (session !== null) return { session, healed: false }
        const healed = readOne(statements().advanceBehind.get(parameters))
        return healed === null ? null : { session: healed, healed: true }
      }),
    update: (id, now, changes) =>
      write(() => {
        const row = toChanges(changes)
        return readOne(
          statements()
            .updateLive(Object.keys(row))
            .get({ ...row, id: idBytes(id), now }),
        )
      }),
    revoke: (id, now, reason) => write(() => readOne(statements().revokeOne.get({ id: idBytes(id), now, reason }))),
    revokeSubject: (subject, now, reason, exceptId = '') =>
      write(() =>
        statements()
          .revokeAll.all({ subject, now, reason, exceptId: idBytes(exceptId) })
          .map(readRow),
      ),
    list: (subject, now, limit) => read(() => statements().listLive.all({ subject, now, limit }).map(readRow)),
    revokedSince: (since) => read(() => statements().selectRevoked.all(since).map(toRevoked)),
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

function prepareAll({ prepare, prepareArrays, table }: Sqlite) {
  const sessions = table('session')
  const live = 'revoked_at IS NULL AND idle_expires_at > :now AND expires_at > :now'
  // Every expression reads the row before the update, so the order of these lines does not matter.
  const advanceWhere = (condition: string) =>
    prepareArrays(
      `UPDATE ${sessions} SET generation = :generation + 1, parent_salt = :salt, parent_key = :key,
         idle_expires_at = min(:now + coalesce(idle_timeout, :idleTimeout), expires_at), ip = coalesce(:ip, ip), rotated_at = :now,
         burst_at = iif(:now - burst_at < :reuseInterval, burst_at, :now),
         burst_generation = iif(:now - burst_at < :reuseInterval, burst_generation, generation - 1),
         prev_burst_generation = CASE
           WHEN :now - burst_at < :reuseInterval THEN prev_burst_generation
           WHEN :now - rotated_at < :reuseInterval THEN burst_generation
           ELSE generation - 1 END
       WHERE id = :id AND ${condition} AND ${live} RETURNING ${selected}`,
    )
  const revokeWhere = (condition: string) =>
    prepareArrays(
      `UPDATE ${sessions} SET revoked_at = :now, revoked_reason = :reason
       WHERE ${condition} AND revoked_at IS NULL RETURNING ${selected}`,
    )
  const pruneBy = (column: string) =>
    prepare(`DELETE FROM ${sessions} WHERE id IN (SELECT id FROM ${sessions} WHERE ${column} < ? LIMIT ?)`)
  return {
    insert: prepare(
      `INSERT INTO ${sessions} (${names.join(', ')}) VALUES (${names.map((name) => `:${name}`).join(', ')})`,
    ),
    select: prepareArrays(`SELECT ${selected} FROM ${sessions} WHERE id = ?`),
    advanceEqual: advanceWhere('generation = :generation'),
    advanceBehind: advanceWhere('generation < :generation'),
    updateLive: (changed: string[]) =>
      prepareArrays(
        `UPDATE ${sessions} SET ${changed.map((name) => `${name} = :${name}`).join(', ')}
         WHERE id = :id AND ${live} RETURNING ${selected}`,
      ),
    revokeOne: revokeWhere('id = :id'),
    revokeAll: revokeWhere('subject = :subject AND id IS NOT :exceptId'),
    listLive: prepareArrays(
      `SELECT ${selected} FROM ${sessions} WHERE subject = :subject AND ${live} ORDER BY created_at DESC LIMIT :limit`,
    ),
    selectRevoked: prepare(`SELECT id AS id, revoked_at AS revoked_at FROM ${sessions} WHERE revoked_at >= ?`),
    // A row's idle expiry is never after its absolute one, so it is enough for both.
    pruneExpired: pruneBy('idle_expires_at'),
    pruneRevoked: pruneBy('revoked_at'),
  }
}

/** The types of node:sqlite know rows as objects alone. */
const readRow = (row: unknown) => fromValues(row as unknown[])
/** Null if there is no row. */
const readOne = (row: unknown) => (row === undefined ? null : readRow(row))
