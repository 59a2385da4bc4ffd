// A second process on the same SQLite file, for sqlite.test.ts. Its arguments name an action.

import { DatabaseSync } from 'node:sqlite'
import { createSqliteStore } from '../../src/stores/sqlite.ts'
import { issuer, makeSession } from '../../src/testing/store-harness.ts'

const [action, path, ...rest] = process.argv.slice(2) as [string, string, ...string[]]

if (action === 'create') {
  const store = createSqliteStore(path)
  await store.open(issuer)
  const sessions = Array.from({ length: Number(rest[0]) }, () => makeSession(Date.now(), { subject: 'shared' }))
  await Promise.all(sessions.map((session) => store.create(session)))
  await store.close()
} else if (action === 'lock') {
  // Hold the write lock until the parent process sends a message.
  const db = new DatabaseSync(path)
  db.exec('BEGIN IMMEDIATE')
  process.send!('locked')
  process.on('message', () => {
    db.exec('ROLLBACK')
    db.close()
    process.disconnect()
  })
}
