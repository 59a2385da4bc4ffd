// Contract harnesses for the memory and SQLite stores.

import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { createMemoryStore } from '../../src/stores/memory.ts'
import { createSqliteStore } from '../../src/stores/sqlite.ts'
import type { Store, StoreHarness } from '../../src/testing/index.ts'

/** Makes a temporary folder that the test removes. */
export function temporaryFolder(): { path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), 'daypass-test-'))
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) }
}

/** The memory store. Its raw rows are the rows that `find` returns, for the ids that were created. */
export function memoryHarness(): StoreHarness {
  const idsOf = new WeakMap<Store, string[]>()
  return {
    async open() {
      const store = createMemoryStore()
      const ids: string[] = []
      const create = store.create
      store.create = (session) => {
        ids.push(session.id)
        return create(session)
      }
      idsOf.set(store, ids)
      return store
    },
    async rawRows(store) {
      const rows = await Promise.all((idsOf.get(store) ?? []).map((id) => store.find(id)))
      return rows.flatMap((row) => [
        JSON.stringify(row),
        ...[row?.secret, row?.parentSalt, row?.parentKey].filter((bytes) => bytes instanceof Uint8Array),
      ])
    },
  }
}

/** SQLite on a real file. Raw rows are the bytes of the file and its log, including free pages. */
export function sqliteFileHarness(): StoreHarness {
  const folders: ReturnType<typeof temporaryFolder>[] = []
  const pathOf = new WeakMap<Store, string>()
  return {
    async open() {
      const folder = temporaryFolder()
      folders.push(folder)
      const store = createSqliteStore(join(folder.path, 'sub', 'daypass.db'))
      pathOf.set(store, join(folder.path, 'sub'))
      return store
    },
    async rawRows(store) {
      const folder = pathOf.get(store)!
      return readdirSync(folder).map((name) => readFileSync(join(folder, name)))
    },
    async cleanup() {
      for (const folder of folders.splice(0)) folder.remove()
    },
  }
}

/** SQLite in memory, on a DatabaseSync of the app. */
export function sqliteMemoryHarness(): StoreHarness {
  const databases = new Map<Store, DatabaseSync>()
  return {
    async open() {
      const database = new DatabaseSync(':memory:')
      const store = createSqliteStore(database)
      databases.set(store, database)
      return store
    },
    async rawRows(store) {
      return databases
        .get(store)!
        .prepare('SELECT * FROM daypass_session')
        .all()
        .flatMap((row) => Object.values(row))
        .map((value) => (value instanceof Uint8Array ? value : String(value)))
    },
    async cleanup() {
      for (const database of databases.values()) database.close()
      databases.clear()
    },
  }
}
