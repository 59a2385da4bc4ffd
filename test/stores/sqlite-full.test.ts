// SQLite on a full disk: an error says so, nothing is lost, and it works again when there is room.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { rmSync, statfsSync, writeFileSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { type TestContext, test } from 'node:test'
import type { Store } from '../../src/core/store.ts'
import { isDaypassError } from '../../src/errors.ts'
import { createSqliteStore } from '../../src/stores/sqlite.ts'
import { openSqlite } from '../../src/stores/sqlite-database.ts'
import { issuer, makeSession, makeStep, sameRow } from '../../src/testing/store-harness.ts'
import { temporaryFolder } from './harness.ts'

const t0 = Date.now()
const isFull = (error: unknown) => isDaypassError(error, 'ERR_STORE_FULL')

/** Writes sessions until the store is full. Returns those that were written. */
async function fill(store: Store) {
  const written = []
  for (let n = 0; n < 2000; n++) {
    const session = makeSession(t0, { claims: { text: 'x'.repeat(3000) } })
    try {
      await store.create(session)
      written.push(session)
    } catch (error) {
      assert.ok(isFull(error), String(error))
      return written
    }
  }
  throw new Error('the store never became full')
}

/** Checks a full store, and then the same store with room again. */
async function checkFull(store: Store, makeRoom: () => void) {
  const session = makeSession(t0, { subject: 'first' })
  await store.create(session)
  const written = await fill(store)
  // Where a large session had no room, a small one or the check's own write may still have.
  for (let n = 0; n < 2000; n++) {
    if (await store.check().then(() => false, isFull)) break
    await store.create(makeSession(t0)).catch((error) => assert.ok(isFull(error), String(error)))
  }
  await assert.rejects(store.check(), isFull)
  // Refresh until it fails. Resolved calls are stored, and the failed call has changed nothing.
  let row = session
  for (let n = 1; ; n++) {
    assert.ok(n < 5000, 'the store never became full')
    try {
      row = (await store.advance(makeStep(row, t0 + n, { ip: 'x'.repeat(1000 * n) })))!.session
    } catch (error) {
      assert.ok(isFull(error), String(error))
      break
    }
  }
  sameRow(await store.find(session.id), row)
  for (const each of written) sameRow(await store.find(each.id), each)
  makeRoom()
  await store.check()
  assert.ok(await store.advance(makeStep(row, t0 + 10_000)))
  assert.equal((await fillAtMost(store, 5)).length, 5)
}

async function fillAtMost(store: Store, count: number) {
  const sessions = Array.from({ length: count }, () => makeSession(t0, { claims: { text: 'x'.repeat(3000) } }))
  await Promise.all(sessions.map((session) => store.create(session)))
  return sessions
}

for (const [name, open] of Object.entries({
  'in memory': () => new DatabaseSync(':memory:'),
  'on a file': (t: TestContext) => {
    const folder = temporaryFolder()
    t.after(folder.remove)
    return openSqlite(`${folder.path}/x.db`)
  },
})) {
  test(`a database at its page limit (${name}) is ERR_STORE_FULL in check and refresh, and loses nothing`, async (t) => {
    const db = open(t)
    t.after(() => db.close())
    const store = createSqliteStore(db)
    await store.open(issuer)
    const { page_count } = db.prepare('PRAGMA page_count').get() as { page_count: number }
    db.prepare(`PRAGMA max_page_count = ${page_count + 20}`).get()
    await checkFull(store, () => db.prepare('PRAGMA max_page_count = 1000000').get())
    assert.equal(db.isTransaction, false)
  })
}

test('a call for which there is no room fails alone in its batch', async (t) => {
  const db = new DatabaseSync(':memory:')
  t.after(() => db.close())
  const store = createSqliteStore(db)
  await store.open(issuer)
  const { page_count } = db.prepare('PRAGMA page_count').get() as { page_count: number }
  db.prepare(`PRAGMA max_page_count = ${page_count + 10}`).get()
  const small = Array.from({ length: 6 }, () => makeSession(t0))
  const big = makeSession(t0, { claims: { text: 'x'.repeat(100_000) } })
  const results = await Promise.allSettled([...small.slice(0, 3), big, ...small.slice(3)].map((s) => store.create(s)))
  assert.deepEqual(
    results.map(({ status }) => status),
    ['fulfilled', 'fulfilled', 'fulfilled', 'rejected', 'fulfilled', 'fulfilled', 'fulfilled'],
  )
  for (const session of small) sameRow(await store.find(session.id), session)
  assert.equal(await store.find(big.id), null)
})

/** Mounts a small disk. Returns undefined if this process may not mount one. */
function makeDisk(t: TestContext, kilobytes: number): string | undefined {
  const folder = temporaryFolder()
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${kilobytes}k`, 'tmpfs', folder.path], { stdio: 'ignore' })
  } catch {
    folder.remove()
    return undefined
  }
  t.after(() => {
    execFileSync('umount', ['-l', folder.path])
    folder.remove()
  })
  return folder.path
}

test('a full disk is ERR_STORE_FULL in check and refresh, and nothing is lost', async (t) => {
  const folder = makeDisk(t, 1024)
  if (folder === undefined) return t.skip('not run: only root may mount a small disk')
  const store = createSqliteStore(`${folder}/data/daypass.db`)
  t.after(() => store.close())
  await store.open(issuer)
  const { bavail, bsize } = statfsSync(folder)
  // Another file on the disk, which can be deleted to make room.
  writeFileSync(`${folder}/ballast`, Buffer.alloc((bavail * bsize) / 2))
  await checkFull(store, () => rmSync(`${folder}/ballast`))
})

test('a disk that is full from the beginning is reported, and the store works when there is room', async (t) => {
  const folder = makeDisk(t, 256)
  if (folder === undefined) return t.skip('not run: only root may mount a small disk')
  const { bavail, bsize } = statfsSync(folder)
  writeFileSync(`${folder}/ballast`, Buffer.alloc(bavail * bsize))
  const open = async () => {
    const store = createSqliteStore(`${folder}/daypass.db`)
    try {
      await store.open(issuer)
      return store
    } catch (error) {
      await store.close()
      throw error
    }
  }
  await assert.rejects(open, isFull)
  rmSync(`${folder}/ballast`)
  const store = await open()
  await store.check()
  await store.close()
})
