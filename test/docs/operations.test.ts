// docs/operations.md: a copy of the database that was made as the page says, and the sessions after it was restored.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { createDaypass } from '../../src/core/daypass.ts'
import type { DaypassEvent } from '../../src/core/events.ts'
import { createSqliteStore } from '../../src/stores/sqlite.ts'
import { newKey, refused } from '../core/setup.ts'

test('after a restore a refresh heals, a newer session is unknown, and an ended one is live again', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'daypass-operations-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const page = readFileSync(join(import.meta.dirname, '../../docs/operations.md'), 'utf8')
  const [, statement = ''] = /sqlite3 data\/daypass\.db "(VACUUM INTO 'backup\.db')"/.exec(page) ?? []
  const secret = randomBytes(48)
  const events: DaypassEvent[] = []
  const open = (file: string) =>
    createDaypass({
      secret,
      issuer: 'https://id.example',
      store: createSqliteStore(join(folder, file)),
      onEvent: (event) => events.push(event),
    })
  const refresh = (auth: ReturnType<typeof open>, token: string) => auth.refresh(token, { idempotencyKey: newKey() })

  const before = open('daypass.db')
  const refreshed = await before.issue('refreshed')
  const ended = await before.issue('ended')

  const database = new DatabaseSync(join(folder, 'daypass.db'))
  database.exec(statement.replace('backup.db', join(folder, 'backup.db')))
  database.close()

  const { refreshToken } = await refresh(before, refreshed.refreshToken)
  const newer = await before.issue('newer')
  await before.revoke(ended.session.id)
  await refused(refresh(before, ended.refreshToken), 'ERR_SESSION_REVOKED')
  await before.close()

  const after = open('backup.db')
  events.length = 0
  assert.equal((await refresh(after, refreshToken)).session.id, refreshed.session.id)
  assert.deepEqual(
    events.map((event) => event.type === 'rotated' && event.healed),
    [true],
  )
  await refused(refresh(after, newer.refreshToken), 'ERR_SESSION_UNKNOWN', 'invalid_grant')
  await refresh(after, ended.refreshToken)
  await after.close()
})
