// `npm run sim`: simulates thousands of lives, and reports sign-outs by bad luck and thieves that were not caught.
//
// `npm run sim -- --help` lists the options.

import { randomInt } from 'node:crypto'
import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { isMainThread, parentPort, Worker } from 'node:worker_threads'
import { at } from '../at.ts'
import { makePlan } from './make-plan.ts'
import { latestStatement, longestDelay, type Plan } from './plan.ts'
import { counterNames, type Tally } from './properties.ts'
import { shrink } from './shrink.ts'
import { simulate } from './simulate.ts'
import { formatDuration } from './time.ts'

const help = `npm run sim -- [options]

  --seeds N    the number of lives (default 2,000)
  --from S     the first seed (default: a random one, so that each run simulates new lives)
  --seed N     print the story of one life; if the life fails, also print the shortest story that fails
  --days D     the length of each life in days (default 1)
  --at-once    run several programs at once on one file without a lock; this is not supported, and lives fail
  --help       print this help
`

interface Job {
  from: number
  count: number
  days: number
  atOnce: boolean
}

interface Done {
  tally: Tally
  broken: { seed: number; property: string; message: string }[]
}

function addTo(total: Tally, tally: Tally): void {
  for (const [name, times] of Object.entries(tally)) total[name] = (total[name] ?? 0) + times
}

async function simulateAll({ from, count, days, atOnce }: Job): Promise<Done> {
  const done: Done = { tally: {}, broken: [] }
  for (let seed = from; seed < from + count; seed++) {
    const { broken, tally } = await simulate(makePlan(seed, days, atOnce))
    addTo(done.tally, tally)
    if (broken) done.broken.push({ seed, property: broken.name, message: broken.message })
  }
  return done
}

const assumptions = `Assumptions:
- A message arrives within ${formatDuration(longestDelay)} or never. A statement is carried out within ${formatDuration(latestStatement)} or never.
- The reuse interval is longer than both together with the difference of two servers' clocks. That difference is 4 s, or up
  to 59 s if the interval is at least 90 s or the store has a clock.
- A client without keys repeats a refresh within retryInterval.
- A failover loses no sign-in and no end of a session that was answered.
- Where tabs share a cookie, and at a sign-in, no tab dies between receiving a Set-Cookie and storing its note of it.
- Programs that share a file take turns.
`

async function printLife(seed: number, days: number, atOnce: boolean): Promise<void> {
  const plan = makePlan(seed, days, atOnce)
  console.log(`${assumptions}\n${describe(plan)}\n`)
  const { broken, story } = await simulate(plan, {}, true)
  console.log(story.join('\n'))
  console.log(broken ? `\n${broken.name}: ${broken.message}` : '\nEverything held.')
  if (broken) await printShortest(plan)
}

async function printShortest(whole: Plan): Promise<void> {
  const { plan, story, runs } = await shrink(whole)
  const [left, all] = [plan.happenings.length, whole.happenings.length]
  console.log(`\nThe shortest life that fails: ${left} of the ${all} happenings of seed ${plan.seed} (${runs} runs)\n`)
  console.log(story.join('\n'))
  process.exitCode = 1
}

function describe({ seed, devices, servers, absoluteTimeout }: Plan): string {
  const machines = devices.map(({ name, kind, tabs, locks }) => {
    const article = name.startsWith('o') ? 'an' : 'a'
    if (kind !== 'browser') return `${article} ${name}`
    return `${article} ${name} (tabs: ${tabs}, ${locks ? 'with' : 'without'} Web Locks)`
  })
  const { accessTokenLifetime, idleTimeout, reuseInterval } = at(servers, 0).settings
  const lives = [accessTokenLifetime, idleTimeout, absoluteTimeout].map((seconds) => formatDuration(seconds * 1000))
  return `Seed ${seed}: ${machines.join(', ')}; servers: ${servers.length}. Access tokens live ${lives[0]}, sessions ${lives[1]} idle and ${lives[2]} at most; the reuse interval is ${reuseInterval} s.`
}

async function runMany(from: number, seeds: number, days: number, atOnce: boolean): Promise<void> {
  console.log(assumptions)
  const more = `${days === 1 ? '' : ` --days ${days}`}${atOnce ? ' --at-once' : ''}`
  console.log(`Seeds ${from} to ${from + seeds - 1}; again: npm run sim -- --from ${from} --seeds ${seeds}${more}\n`)
  const began = performance.now()
  const total: Tally = {}
  const broken: Done['broken'] = []
  let next = from
  let done = 0
  // Small jobs, so that all workers end at about the same time.
  const size = Math.min(20, Math.ceil(seeds / availableParallelism()))
  await Promise.all(
    Array.from({ length: availableParallelism() }, async () => {
      const worker = new Worker(new URL(import.meta.url))
      while (next < from + seeds && broken.length < 3) {
        const count = Math.min(size, from + seeds - next)
        worker.postMessage({ from: next, count, days, atOnce } satisfies Job)
        next += count
        const { promise, resolve, reject } = Promise.withResolvers<Done>()
        worker.once('message', resolve).once('error', reject)
        const { tally, broken: found } = await promise
        worker.off('error', reject)
        addTo(total, tally)
        broken.push(...found)
        done += count
        if (process.stderr.isTTY) process.stderr.write(`\r${done} of ${seeds} seeds, ${broken.length} violations `)
      }
      await worker.terminate()
    }),
  )
  if (process.stderr.isTTY) process.stderr.write('\n')

  const seconds = (performance.now() - began) / 1000
  printTotals(total, broken, done, done * days, seconds)
  for (const { seed, property, message } of broken) console.log(`\nseed ${seed}: ${property}: ${message}`)
  if (broken[0]) await printShortest(makePlan(broken[0].seed, days, atOnce))
  console.log(`\n${broken.length === 0 ? 'Everything held' : 'VIOLATED'}: ${Math.round(seconds)} s`)
}

function printTotals(total: Tally, broken: Done['broken'], seeds: number, days: number, seconds: number): void {
  const line = (name: string, value: number) => console.log(`${value.toLocaleString('en').padStart(12)}  ${name}`)
  line('seeds', seeds)
  line('simulated days', days)
  line('simulated days per second', Math.round(days / seconds))
  for (const name of counterNames) line(name, total[name] ?? 0)
  const faults = Object.entries(total).filter(([name]) => name.startsWith('fault: '))
  line(
    'faults, of which',
    faults.reduce((sum, [, times]) => sum + times, 0),
  )
  for (const [name, times] of faults.sort((a, b) => b[1] - a[1])) line(`  ${name.slice(7)}`, times)
  const count = (wanted: string) => broken.filter(({ property }) => property === wanted).length
  line('sign-outs by bad luck', count('NO BAD LUCK'))
  line('thieves undetected', count('NO LOCK-STEP'))
  line('other violations', broken.length - count('NO BAD LUCK') - count('NO LOCK-STEP'))
}

if (isMainThread) {
  const whole = { type: 'string' } as const
  const { values } = parseArgs({
    options: {
      seeds: whole,
      from: whole,
      seed: whole,
      days: whole,
      'at-once': { type: 'boolean' },
      help: { type: 'boolean' },
    },
  })
  if (values.help) {
    console.log(help)
    process.exit()
  }
  const read = (name: keyof typeof values, fallback: number) => {
    const number = Number(values[name] ?? fallback)
    if (Number.isInteger(number) && number > 0) return number
    console.error(`--${name} must be a whole number above 0.`)
    process.exit(2)
  }
  const days = read('days', 1)
  const atOnce = values['at-once'] ?? false
  if (values.seed !== undefined) await printLife(read('seed', 1), days, atOnce)
  else await runMany(read('from', randomInt(1, 2 ** 31)), read('seeds', 2000), days, atOnce)
} else parentPort?.on('message', async (job: Job) => parentPort?.postMessage(await simulateAll(job)))
