// Does anyone get signed out by bad luck, and does any thief get by? `npm run sim` lives through thousands of lives.
//
// `npm run sim -- --help` tells what it takes.

import { randomInt } from 'node:crypto'
import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { isMainThread, parentPort, Worker } from 'node:worker_threads'
import { latestStatement, longestDelay, makePlan, type Plan } from './plan.ts'
import { type Tally, tallied } from './properties.ts'
import { shrink } from './shrink.ts'
import { duration, simulate } from './world.ts'

const help = `npm run sim -- [options]

  --seeds N    how many lives; 2,000 without it
  --from S     the first seed; without it one that chance picks, so that every run lives what nobody has lived before
  --seed N     one life, told as a story; a life that fails is shrunk to the least that fails
  --days D     how long each life is; 1 without it
  --at-once    several programs at once on one file, without a lock: more than is promised, and it fails
  --help       this
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

async function work({ from, count, days, atOnce }: Job): Promise<Done> {
  const done: Done = { tally: {}, broken: [] }
  for (let seed = from; seed < from + count; seed++) {
    const { broken, tally } = await simulate(makePlan(seed, days, atOnce))
    for (const [name, times] of Object.entries(tally)) done.tally[name] = (done.tally[name] ?? 0) + times
    if (broken) done.broken.push({ seed, property: broken.name, message: broken.message })
  }
  return done
}

const assumptions = `Assumed: a message arrives within ${duration(longestDelay)} or never, a statement is carried out within ${duration(latestStatement)} or never, and the
reuse interval is longer than both and the difference of two servers' clocks (4 s; up to 59 s where it is 90 s or more,
or where the store has a clock); a client without keys asks again within retryInterval; a failover loses neither a
sign-in nor an end that was answered; of several tabs on one jar, or at a sign-in, none dies between a Set-Cookie and its
own note of it; programs on one file take turns.
`

async function tellOne(seed: number, days: number, atOnce: boolean): Promise<void> {
  const plan = makePlan(seed, days, atOnce)
  console.log(`${assumptions}\n${describe(plan)}\n`)
  const { broken, story } = await simulate(plan, {}, true)
  console.log(story.join('\n'))
  console.log(broken ? `\n${broken.name}: ${broken.message}` : '\nEverything held.')
  if (broken) await tellShortest(plan)
}

async function tellShortest(whole: Plan): Promise<void> {
  const { plan, story, runs } = await shrink(whole)
  const [left, all] = [plan.happenings.length, whole.happenings.length]
  console.log(`\nThe least that fails: ${left} of the ${all} happenings of seed ${plan.seed} (${runs} runs)\n`)
  console.log(story.join('\n'))
  process.exitCode = 1
}

function describe({ seed, devices, servers, absoluteTimeout }: Plan): string {
  const machines = devices.map(({ name, kind, tabs, locks }) => {
    const article = name.startsWith('o') ? 'an' : 'a'
    if (kind !== 'browser') return `${article} ${name}`
    return `${article} ${name} (tabs: ${tabs}, ${locks ? 'with' : 'without'} Web Locks)`
  })
  const { accessTokenLifetime, idleTimeout, reuseInterval } = servers[0]!.settings
  const lives = [accessTokenLifetime, idleTimeout, absoluteTimeout].map((seconds) => duration(seconds * 1000))
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
  // Small enough that the last ones end together.
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
        for (const [name, times] of Object.entries(tally)) total[name] = (total[name] ?? 0) + times
        broken.push(...found)
        done += count
        if (process.stderr.isTTY) process.stderr.write(`\r${done} of ${seeds} seeds, ${broken.length} violations `)
      }
      await worker.terminate()
    }),
  )
  if (process.stderr.isTTY) process.stderr.write('\n')

  const seconds = (performance.now() - began) / 1000
  const line = (name: string, value: number) => console.log(`${value.toLocaleString('en').padStart(12)}  ${name}`)
  line('seeds', done)
  line('simulated days', done * days)
  line('simulated days a second', Math.round((done * days) / seconds))
  for (const name of tallied) line(name, total[name] ?? 0)
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
  for (const { seed, property, message } of broken) console.log(`\nseed ${seed}: ${property}: ${message}`)
  if (broken[0]) await tellShortest(makePlan(broken[0].seed, days, atOnce))
  console.log(`\n${broken.length === 0 ? 'Everything held' : 'VIOLATED'}: ${Math.round(seconds)} s`)
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
    console.error(`--${name} takes a whole number above 0.`)
    process.exit(2)
  }
  const days = read('days', 1)
  const atOnce = values['at-once'] ?? false
  if (values.seed !== undefined) await tellOne(read('seed', 1), days, atOnce)
  else await runMany(read('from', randomInt(1, 2 ** 31)), read('seeds', 2000), days, atOnce)
} else parentPort!.on('message', async (job: Job) => parentPort!.postMessage(await work(job)))
