// The stores alone: compare-and-sets a second, 32 at the same time.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { randomBytes } from '../src/core/random.ts'
import type { Session } from '../src/core/session.ts'
import type { Store } from '../src/core/store.ts'
import { createMemoryStore } from '../src/stores/memory.ts'
import { createSqliteStore } from '../src/stores/sqlite.ts'
import { makeSession } from '../src/testing/store-harness.ts'
import { figureOf, fixed, percent, printTable, rounds, whole } from './measure.ts'
import { advanceSqlite, prepareAdvance } from './raw-stores.ts'

const chains = 32
const roundCount = 7

/** Redeems a session's token of this generation; null where it did not match. */
type AdvanceOne = (id: string, generation: number) => Promise<unknown>

/** Runs and prints the comparison; `seconds` is for each store in all. */
export async function benchStore(seconds: number): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'daypass-bench-'))
  const autocommitFile = join(folder, 'autocommit.db')
  const memory = createMemoryStore()
  const grouped = createSqliteStore(join(folder, 'grouped.db'))
  // The table is the store's. Its statement runs bare, each in a transaction of its own.
  const autocommit = createSqliteStore(autocommitFile)
  const db = new DatabaseSync(autocommitFile)
  try {
    const ids = Array.from({ length: chains }, () => randomId())
    for (const store of [memory, grouped, autocommit]) await store.open('https://example.com')
    for (const store of [memory, grouped, autocommit]) for (const id of ids) await store.create(newSession(id))
    const time = (seconds / roundCount) * 1000
    const moveGrouped = mover(through(grouped))
    const moveMemory = mover(through(memory))
    const moveBare = mover(bare(db))
    const results = await rounds(roundCount, {
      'memory:': () => measure(moveMemory, ids, time),
      'SQLite FULL, group commit': () => measure(moveGrouped, ids, time),
      'SQLite FULL, group commit, one at a time': () => measure(moveGrouped, ids.slice(0, 1), time),
      'SQLite FULL, bare UPDATE, autocommit': () => measure(moveBare, ids, time),
    })
    const base = figureOf(results['SQLite FULL, bare UPDATE, autocommit']!).median
    const rows = Object.entries(results).map(([name, values]) => {
      const { median, spread } = figureOf(values)
      return [name, whole(median), `±${percent(spread / 2)}`, fixed(median / base, 1)]
    })
    const title = `Store alone: compare-and-set of a session, ${chains} in flight; medians of ${roundCount} rounds in turn`
    printTable(title, [['', 'per second', 'spread', 'of autocommit'], ...rows])
  } finally {
    db.close()
    for (const store of [memory, grouped, autocommit]) await store.close()
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Moves a session from where it is to the next generation. */
function mover(advance: AdvanceOne): (id: string) => Promise<void> {
  const generations = new Map<string, number>()
  return async (id) => {
    const generation = generations.get(id) ?? 0
    if ((await advance(id, generation)) == null) throw new Error('The session did not move.')
    generations.set(id, generation + 1)
  }
}

async function measure(move: (id: string) => Promise<void>, ids: string[], time: number): Promise<number> {
  let count = 0
  const started = performance.now()
  const deadline = started + time
  await Promise.all(
    ids.map(async (id) => {
      while (performance.now() < deadline) {
        await move(id)
        count++
      }
    }),
  )
  return (count * 1000) / (performance.now() - started)
}

const lifetime = 86_400_000

function through(store: Store): AdvanceOne {
  return (id, generation) => {
    const times = { now: Date.now(), idleTimeout: lifetime, reuseInterval: 30_000 }
    return store.advance({ id, generation, salt: randomBytes(8), key: null, ...times })
  }
}

function bare(db: DatabaseSync): AdvanceOne {
  const update = prepareAdvance(db)
  return async (id, generation) =>
    advanceSqlite(update, { id: Buffer.from(id, 'base64url'), generation, salt: randomBytes(8), key: null })
}

const randomId = () => Buffer.from(randomBytes(16)).toString('base64url')

const newSession = (id: string): Session =>
  makeSession(Date.now(), { id, idleExpiresAt: Date.now() + lifetime, expiresAt: Date.now() + lifetime })
