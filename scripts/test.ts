// `npm test`: runs all tests, or those under the paths given, and says on which engines they ran.
//
// The last line is `N passed, N failed`.

import { execFileSync } from 'node:child_process'
import { globSync, readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import { run } from 'node:test'
import { spec } from 'node:test/reporters'
import { parseArgs } from 'node:util'

const help = `npm test -- [paths] [options]

  paths          files or folders of tests; all of them without any
  --name TEXT    only the tests whose name contains TEXT, or matches it as a regular expression
  --watch        runs the tests again when a file that they import changes (npm run test:watch)
  --random       takes new random numbers, not those of a fixed seed
  --no-build     takes dist/ as it is
  --help         this

To debug one test: npx node --inspect-brk --test-isolation=none --test test/core/refresh.test.ts
`

const root = join(import.meta.dirname, '..')
process.chdir(root)
// Each test file is a process, and most of them compile the same modules.
process.env.NODE_COMPILE_CACHE ??= join(root, '.cache/node-compile')
const { values, positionals } = parseArgs({
  allowPositionals: true,
  allowNegative: true,
  options: {
    name: { type: 'string' },
    watch: { type: 'boolean' },
    random: { type: 'boolean', default: false },
    build: { type: 'boolean', default: true },
    help: { type: 'boolean' },
  },
})
if (values.help) {
  console.log(help)
  process.exit()
}

// A run must not fail by chance. A failure of a random run prints its seed.
if (!values.random) process.env.DAYPASS_TEST_SEED ??= '1'

const wanted = positionals.map((path) => path.replace(/^\.\/|\/$/g, ''))
const all = globSync(['test/**/*.test.ts', 'examples/*/*.test.ts']).sort()
/** A file, with or without `.test.ts`, or all files of a folder. */
const isUnder = (file: string, path: string) =>
  file === path || file === `${path}.test.ts` || file.startsWith(`${path}/`)
const files = all.filter((file) => wanted.length === 0 || wanted.some((path) => isUnder(file, path)))
const empty = wanted.filter((path) => !all.some((file) => isUnder(file, path)))
if (empty.length > 0) {
  console.error(`There are no tests under ${empty.join(', ')}.`)
  process.exit(2)
}

if (values.build && files.some((file) => needsBuild(file))) {
  execFileSync(process.execPath, [join(import.meta.dirname, 'build.ts')], { stdio: 'inherit' })
}

/** Whether a file, or one that it imports, uses dist/: by name, as `daypass/…`, or through the server application. */
function needsBuild(file: string, seen = new Set<string>()): boolean {
  if (seen.has(file)) return false
  seen.add(file)
  if (file.startsWith('server/')) return true
  const text = readFileSync(file, 'utf8')
  if (/^(?:import|export [*{])[^'"]*from 'daypass|['/]dist\/|server\/src\//m.test(text)) return true
  const imported = [...text.matchAll(/(?:from|import\() ?'(\.[^']+\.ts)'/g)]
  return imported.some(([, path]) => needsBuild(join(dirname(file), path ?? ''), seen))
}

let passed = 0
let failed = 0
let skipped = 0
const engines = new Set<string>()
const started = performance.now()

const events = run({
  files,
  // One more than there are cores: many files wait for a browser, an engine or a clock.
  concurrency: availableParallelism() + 1,
  timeout: values.watch ? undefined : 900_000,
  watch: values.watch ?? false,
  ...(values.name !== undefined && { testNamePatterns: values.name }),
})
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
// The reporter's last lines come first.
await new Promise((resolve) => setTimeout(resolve, 100))

for (const engine of [...engines].sort()) console.log(`engine ${engine}`)
console.log(`${Math.round((performance.now() - started) / 1000)} s`)
console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`)
process.exitCode = failed > 0 || passed === 0 ? 1 : 0
