// Bytes that a session takes in the memory store, and a token in a verifier's cache: processes of their own count them.

import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { figureOf, percent, printTable, rounds, whole } from './measure.ts'
import type { MemoryJob, MemoryResult } from './memory-child.ts'

const roundCount = 3
const count = 100_000

const things: Record<string, MemoryJob> = {
  'a session, new': { what: 'session', count },
  'a session, refreshed once': { what: 'refreshed session', count },
  'a session, with claims and device': { what: 'session with claims', count },
  'a cached token, HS256': { what: 'token', count },
  'a cached token, HS256, with claims': { what: 'token with claims', count },
  'a verifier': { what: 'verifier', count: 1000 },
}

/** Measures and prints. */
export async function benchMemory(): Promise<void> {
  const measured = Object.entries(things).map(([name, job]) => [name, () => measure(job)] as const)
  const results = await rounds(roundCount, Object.fromEntries(measured))
  const rows = Object.entries(results).map(([name, values]) => {
    const { median, spread } = figureOf(values.map(({ bytes }) => bytes))
    const { length } = values[0]!
    return [
      name,
      whole(things[name]!.count),
      whole(median),
      `±${percent(spread / 2)}`,
      length === 0 ? '' : whole(length),
    ]
  })
  const title = `Memory after garbage collection: heap and buffers; medians of ${roundCount} processes`
  printTable(title, [['', 'entries', 'bytes each', 'spread', 'token’s characters'], ...rows])
}

async function measure(job: MemoryJob): Promise<MemoryResult> {
  const child = fork(join(import.meta.dirname, 'memory-child.ts'), [JSON.stringify(job)], { execArgv: ['--expose-gc'] })
  const [result] = (await once(child, 'message')) as [MemoryResult]
  return result
}
