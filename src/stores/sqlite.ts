// SQLite store: sessions in a file, through Node's own node:sqlite. One machine, no server, nothing to install.

import type { DatabaseSync } from 'node:sqlite'
import type { Advanced, Store } from '../core/store.ts'
import { checkOptions, type OptionNames } from '../known-options.ts'
import { idBytes } from './session-id.ts'
import { checkDatabase, createSqlite, openSqlite, type Sqlite } from './sqlite-database.ts'
import { createSql, mapping } from './sqlite-sql.ts'

/** Options of {@link createSqliteStore}. */
export interface SqliteStoreOptions {
  /** The beginning of the name of every table: lower-case letters, digits and underscores. Default "daypass". */
  prefix?: string
}

const optionNames: OptionNames<SqliteStoreOptions> = { prefix: true }
const { toRow, fromValues, toChanges, toRevoked } = mapping

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
  const isOwn = typeof database === 'string'
  if (!isOwn) checkDatabase(database)
  const db = isOwn ? openSqlite(database) : database
  const sqlite = createSqlite(db, options.prefix)
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
    find: (id) => read(() => readOne(statements().select.get({ id: idBytes(id) }))),
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
    revokedSince: (since) => read(() => statements().selectRevoked.all({ since }).map(toRevoked)),
    prune: (before, limit) => write(() => Number(statements().prune.run({ before, limit }).changes)),
    check: sqlite.check,
    async close() {
      await sqlite.drain()
      if (isOwn && db.isOpen) db.close()
    },
  }
}

function prepareAll({ prepare, prepareArrays, table }: Sqlite) {
  const sql = createSql(table('session'))
  return {
    insert: prepare(sql.insert),
    select: prepareArrays(sql.select),
    advanceEqual: prepareArrays(sql.advanceEqual),
    advanceBehind: prepareArrays(sql.advanceBehind),
    updateLive: (changed: string[]) => prepareArrays(sql.updateLive(changed)),
    revokeOne: prepareArrays(sql.revokeOne),
    revokeAll: prepareArrays(sql.revokeAll),
    listLive: prepareArrays(sql.listLive),
    selectRevoked: prepare(sql.selectRevoked),
    prune: prepare(sql.prune),
  }
}

/** The types of node:sqlite know rows as objects alone. */
const readRow = (row: unknown) => fromValues(row as unknown[])
/** Null if there is no row. */
const readOne = (row: unknown) => (row === undefined ? null : readRow(row))
