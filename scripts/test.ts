// How are all tests run? `npm test`, or `npm test -- test/core` for what lies under a path.
// The last line says `N passed, N failed`; before it, which engines the tests ran on.

import { globSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { run } from 'node:test'
import { spec } from 'node:test/reporters'

const root = join(import.meta.dirname, '..')
process.chdir(root)
const wanted = process.argv.slice(2).map((path) => path.replace(/\/$/, ''))
const files = globSync(['test/**/*.test.ts', 'examples/*/*.test.ts'])
  .filter((file) => wanted.length === 0 || wanted.some((path) => file === path || file.startsWith(`${path}/`)))
  .sort()
if (files.length === 0) {
  console.error(`There are no tests under ${wanted.join(', ')}.`)
  process.exit(2)
}

let passed = 0
let failed = 0
let skipped = 0
const engines = new Set<string>()
const started = performance.now()

const events = run({ files, concurrency: Math.max(2, availableParallelism()), timeout: 900_000 })
events.on('test:pass', ({ details, skip, todo }) => {
  if (details.type === 'suite') return
  if (skip !== undefined || todo !== undefined) skipped++
  else passed++
})
events.on('test:fail', ({ details }) => {
  // A file or suite that fails for its tests is not another failure; one that fails by itself is.
  const reason = (details.error as { failureType?: string }).failureType
  if (reason !== 'subtestsFailed') failed++
})
events.on('test:diagnostic', ({ message }) => {
  if (message.startsWith('engine: ')) engines.add(message.slice('engine: '.length))
})
events.compose(new spec()).pipe(process.stdout)
await new Promise((resolve) => events.once('end', resolve))
// The reporter writes its own last words first.
await new Promise((resolve) => setTimeout(resolve, 100))

for (const engine of [...engines].sort()) console.log(`engine ${engine}`)
console.log(`${Math.round((performance.now() - started) / 1000)} s`)
console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`)
process.exitCode = failed > 0 || passed === 0 ? 1 : 0
