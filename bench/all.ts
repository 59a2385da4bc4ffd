// The benchmark: prints figures, ratios and which targets are met. A missed target does not fail it.
//
// `npm run bench`, or `npm run bench -- --only NAME --seconds 5` with the name of one part.
// `--huge` adds ten million sessions to the part `sessions`: minutes, and some GB of the disk.

import { execFileSync } from 'node:child_process'
import { availableParallelism, cpus } from 'node:os'
import { parseArgs } from 'node:util'
import { fixed, printTable, type Target } from './measure.ts'

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '7' },
    only: { type: 'string' },
    huge: { type: 'boolean', default: false },
  },
})
const seconds = Number(values.seconds)
const targets: Target[] = []

/** In this order. Each prints its tables. */
const parts: Record<string, () => Promise<unknown>> = {
  async refresh() {
    const { benchRefresh } = await import('./refresh.ts')
    const { targets: found, costs } = await benchRefresh(seconds)
    targets.push(...found)
    const { benchBreakdown } = await import('./breakdown.ts')
    await benchBreakdown(costs, seconds)
  },
  async 'http-stores'() {
    const { benchHttpStores } = await import('./http-stores.ts')
    targets.push(...(await benchHttpStores(seconds)))
  },
  guard: async () => (await import('./guard.ts')).benchGuard(seconds),
  client: async () => (await import('./client.ts')).benchClient(seconds),
  store: async () => (await import('./store.ts')).benchStore(seconds),
  sessions: async () => (await import('./sessions.ts')).benchSessions(seconds, values.huge),
  'find-session': async () => (await import('./find-session.ts')).benchFindSession(seconds),
  async verify() {
    const { benchVerify } = await import('./verify.ts')
    targets.push(...(await benchVerify(seconds)))
  },
  memory: async () => (await import('./memory.ts')).benchMemory(),
  'cold-start': async () => (await import('./cold-start.ts')).benchColdStart(seconds),
}

if (!(seconds > 0) || (values.only !== undefined && parts[values.only] === undefined)) {
  console.error(`npm run bench -- [--seconds N] [--only ${Object.keys(parts).join('|')}] [--huge]`)
  process.exit(2)
}

console.log(`Node ${process.versions.node}, ${availableParallelism()} × ${cpus()[0]?.model}, ${commit()}`)
for (const [name, run] of Object.entries(parts)) if (values.only === undefined || values.only === name) await run()

if (targets.length > 0) {
  const rows = targets.map(({ name, least, figure }) => [
    name,
    fixed(figure, 2),
    `≥ ${least}`,
    figure >= least ? 'met' : 'MISSED',
  ])
  printTable('Targets', [['', 'ratio', 'target', ''], ...rows])
}

function commit(): string {
  try {
    return `commit ${execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim()}`
  } catch {
    return 'no commit'
  }
}
