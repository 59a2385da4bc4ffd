// The cost of a refresh by the number of sessions in the store: memory, SQLite FULL and PostgreSQL.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { createDaypass } from '../src/core/daypass.ts'
import { randomBytes } from '../src/core/random.ts'
import type { Store } from '../src/core/store.ts'
import { columns } from '../src/stores/row.ts'
import { makeSession } from '../src/testing/store-harness.ts'
import { once } from '../test/engines/postgres.ts'
import { startEngines } from './engines.ts'
import { figureOf, fixed, percent, printTable, ratioOf, rounds, whole } from './measure.ts'
import { openStore } from './open-store.ts'
import type { ServerSettings } from './settings.ts'
import { issuer } from './tokens.ts'

const inFlight = 32
const roundCount = 9
/** Each refresh is of another session, until each of these has had its turn. */
const refreshed = 10_000

/** Makes a store with so many sessions. */
type Fill = (count: number) => Promise<Store>

/** Runs and prints the comparison; `seconds` is for each store in all. */
export async function benchSessions(seconds: number, isHuge: boolean): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'daypass-bench-'))
  const engines = await startEngines('PostgreSQL')
  const stores: Store[] = []
  try {
    const fills: Record<string, Fill> = { memory: fillMemory, 'SQLite FULL': (count) => fillSqlite(folder, count) }
    for (const { name, database } of engines) fills[name] = async (count) => fillPostgres(await database(), count)
    const counts = [1000, 100_000, ...(isHuge ? [10_000_000] : [])]
    const time = (seconds / roundCount) * 1000
    const things: Record<string, () => Promise<number>> = {}
    const rowOf = new Map<string, { engine: string; count: number }>()
    for (const [engine, fill] of Object.entries(fills)) {
      for (const count of counts) {
        if (engine === 'memory' && count > 1e6) continue
        const store = await fill(count)
        stores.push(store)
        const refresh = await createRefreshes(store, Math.min(count, refreshed))
        const name = `${engine}, ${count.toLocaleString('en')} sessions`
        rowOf.set(name, { engine, count })
        things[name] = () => measure(refresh, time)
      }
    }
    await rounds(1, things)
    const results = await rounds(roundCount, things)
    const rows = Object.entries(results).map(([name, values]) => {
      const { median, spread } = figureOf(values)
      const { engine } = rowOf.get(name)!
      const fewest = results[`${engine}, ${counts[0]!.toLocaleString('en')} sessions`]!
      return [
        name,
        whole(median),
        `±${percent(spread / 2)}`,
        fixed(1e6 / median, 1),
        fixed(ratioOf(fewest, values).median, 2),
      ]
    })
    if (isHuge) console.log('memory: not run with 10,000,000 sessions, which need a heap of many GB')
    const title = `A refresh by the number of sessions, in one process, HS256: ${inFlight} in flight, each of another session; medians of ${roundCount} rounds in turn`
    printTable(title, [['', 'refresh/s', 'spread', 'µs each', 'cost, of 1,000’s'], ...rows])
  } finally {
    for (const store of stores) await store.close()
    for (const engine of engines) await engine.remove()
    rmSync(folder, { recursive: true, force: true })
  }
}

async function measure(refresh: () => Promise<void>, time: number): Promise<number> {
  let count = 0
  const started = performance.now()
  const deadline = started + time
  const chain = async () => {
    while (performance.now() < deadline) {
      await refresh()
      count++
    }
  }
  await Promise.all(Array.from({ length: inFlight }, chain))
  return (count * 1000) / (performance.now() - started)
}

/** Signs in so many people, beside all that are there, and refreshes one after the other. */
async function createRefreshes(store: Store, count: number): Promise<() => Promise<void>> {
  const auth = createDaypass({ secret: randomBytes(32), issuer, algorithm: 'HS256', store })
  const tokens: string[] = []
  while (tokens.length < count) {
    const more = Array.from({ length: 100 }, (_, index) => auth.issue(`person-${tokens.length + index}`))
    tokens.push(...(await Promise.all(more)).map(({ refreshToken }) => refreshToken))
  }
  let next = 0
  return async () => {
    const index = next++ % count
    tokens[index] = (await auth.refresh(tokens[index]!)).refreshToken
  }
}

const end = Date.now() + 30 * 86_400_000
const newSession = (subject: string) => makeSession(Date.now(), { subject, idleExpiresAt: end, expiresAt: end })

async function fillMemory(count: number): Promise<Store> {
  const store = await openStore({ store: 'memory:' })
  for (let index = 0; index < count; index++) await store.create(newSession(`subject-${index}`))
  return store
}

/** One session through the store, and copies of it with ids and subjects of their own. */
async function fillSqlite(folder: string, count: number): Promise<Store> {
  const path = join(folder, `${count}.db`)
  const store = await openStore({ store: path })
  await store.open(issuer)
  await store.create(newSession('subject'))
  const own: Record<string, string> = { id: 'randomblob(16)', subject: "'subject-' || n" }
  const names = columns.map(({ name }) => name)
  const db = new DatabaseSync(path)
  // In the order of the key: a random order would take a page of the disk for each row.
  db.exec(`WITH RECURSIVE series (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM series WHERE n < ${count})
    INSERT INTO daypass_session (${names.join(', ')})
    SELECT ${names.map((name) => own[name] ?? name).join(', ')} FROM series, daypass_session ORDER BY 1`)
  db.close()
  return store
}

async function fillPostgres(settings: Pick<ServerSettings, 'store'>, count: number): Promise<Store> {
  const store = await openStore(settings)
  await store.open(issuer)
  await store.create(newSession('subject'))
  const own = `jsonb_build_object('id', gen_random_uuid(), 'subject', 'subject-' || n)`
  await once(
    settings.store,
    `INSERT INTO daypass_session
     SELECT r.* FROM daypass_session s, generate_series(1, ${count}) n, LATERAL jsonb_populate_record(s, ${own}) r`,
  )
  await once(settings.store, 'VACUUM ANALYZE daypass_session')
  return store
}
