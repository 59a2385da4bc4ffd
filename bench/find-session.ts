// `findSession` beside `refresh` and `verify`, as calls of the library in one process, 32 at the same time.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createDaypass } from '../src/core/daypass.ts'
import { randomBytes } from '../src/core/random.ts'
import type { Store } from '../src/core/store.ts'
import { createMemoryStore } from '../src/stores/memory.ts'
import { createSqliteStore } from '../src/stores/sqlite.ts'
import { figureOf, fixed, percent, printTable, ratioOf, rounds, whole } from './measure.ts'

const chains = 32
const roundCount = 9

/** Makes the next call of one session. */
type Chain = () => Promise<unknown>

/** Runs and prints the comparison; `seconds` is for each call in all. */
export async function benchFindSession(seconds: number): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'daypass-bench-'))
  const stores: Record<string, Store> = {
    memory: createMemoryStore(),
    'SQLite FULL': createSqliteStore(join(folder, 'sessions.db')),
  }
  const time = (seconds / roundCount) * 1000
  const things: Record<string, () => Promise<number>> = {}
  const bases = new Map<string, string>()
  try {
    for (const [name, store] of Object.entries(stores)) {
      const base = `${name}: refresh`
      for (const [call, chainsOfCall] of Object.entries(await makeChains(store))) {
        things[`${name}: ${call}`] = () => measure(chainsOfCall, time)
        bases.set(`${name}: ${call}`, base)
      }
    }
    await rounds(1, things)
    const results = await rounds(roundCount, things)
    const rows = Object.entries(results).map(([name, values]) => {
      const { median, spread } = figureOf(values)
      const base = results[bases.get(name) ?? name] ?? values
      return [
        name,
        whole(median),
        `±${percent(spread / 2)}`,
        fixed(1e6 / median, 1),
        fixed(ratioOf(values, base).median, 2),
      ]
    })
    const title = `Reading, refreshing and verifying in one process, EdDSA: ${chains} in flight; medians of ${roundCount} rounds in turn`
    printTable(title, [['', 'per second', 'spread', 'µs each', 'of refresh'], ...rows])
  } finally {
    for (const store of Object.values(stores)) await store.close()
    rmSync(folder, { recursive: true, force: true })
  }
}

async function makeChains(store: Store): Promise<Record<string, Chain[]>> {
  const setUp = { secret: randomBytes(32), issuer: 'http://localhost:12345', store }
  const auth = createDaypass(setUp)
  const finding = createDaypass({ ...setUp, findSubject: () => ({ claims: { role: 'admin' } }) })
  const issued = await Promise.all(Array.from({ length: 3 * chains }, (_, index) => auth.issue(`subject-${index}`)))
  const read = issued.slice(0, chains)
  const refreshWith = (daypass: Pick<typeof auth, 'refresh'>, sessions: typeof issued): Chain[] =>
    sessions.map(({ refreshToken: first }) => {
      let token = first
      return async () => {
        token = (await daypass.refresh(token)).refreshToken
      }
    })
  return {
    refresh: refreshWith(auth, issued.slice(chains, 2 * chains)),
    'refresh with findSubject': refreshWith(finding, issued.slice(2 * chains)),
    findSession: read.map(
      ({ refreshToken }) =>
        () =>
          auth.findSession(refreshToken),
    ),
    'findSession with findSubject': read.map(
      ({ refreshToken }) =>
        () =>
          finding.findSession(refreshToken),
    ),
    'verify, token seen before': read.map(
      ({ accessToken }) =>
        () =>
          auth.verify(accessToken),
    ),
  }
}

async function measure(calls: Chain[], time: number): Promise<number> {
  let count = 0
  const started = performance.now()
  const deadline = started + time
  await Promise.all(
    calls.map(async (call) => {
      while (performance.now() < deadline) {
        // The clock is read once in a while: a verification is as short as a look at it.
        for (let index = 0; index < 16; index++) await call()
        count += 16
      }
    }),
  )
  return (count * 1000) / (performance.now() - started)
}
