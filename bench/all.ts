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
const parts = [
  'refresh',
  'http-stores',
  'guard',
  'client',
  'store',
  'sessions',
  'find-session',
  'verify',
  'memory',
  'cold-start',
]
if (!(seconds > 0) || (values.only !== undefined && !parts.includes(values.only))) {
  console.error(`npm run bench -- [--seconds N] [--only ${parts.join('|')}] [--huge]`)
  process.exit(2)
}

const isWanted = (part: string) => values.only === undefined || values.only === part
const targets: Target[] = []
console.log(`Node ${process.versions.node}, ${availableParallelism()} × ${cpus()[0]?.model}, ${commit()}`)

if (isWanted('refresh')) {
  const { benchRefresh } = await import('./refresh.ts')
  const { targets: found, costs } = await benchRefresh(seconds)
  targets.push(...found)
  const { benchBreakdown } = await import('./breakdown.ts')
  await benchBreakdown(costs, seconds)
}
if (isWanted('http-stores')) {
  const { benchHttpStores } = await import('./http-stores.ts')
  targets.push(...(await benchHttpStores(seconds)))
}
if (isWanted('guard')) {
  const { benchGuard } = await import('./guard.ts')
  await benchGuard(seconds)
}
if (isWanted('client')) {
  const { benchClient } = await import('./client.ts')
  await benchClient(seconds)
}
if (isWanted('store')) {
  const { benchStore } = await import('./store.ts')
  await benchStore(seconds)
}
if (isWanted('sessions')) {
  const { benchSessions } = await import('./sessions.ts')
  await benchSessions(seconds, values.huge)
}
if (isWanted('find-session')) {
  const { benchFindSession } = await import('./find-session.ts')
  await benchFindSession(seconds)
}
if (isWanted('verify')) {
  const { benchVerify } = await import('./verify.ts')
  targets.push(...(await benchVerify(seconds)))
}
if (isWanted('memory')) {
  const { benchMemory } = await import('./memory.ts')
  await benchMemory()
}
if (isWanted('cold-start')) {
  const { benchColdStart } = await import('./cold-start.ts')
  await benchColdStart(seconds)
}
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
