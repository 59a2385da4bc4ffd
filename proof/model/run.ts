// `npm run model`: explores all questions and mutants, and prints the states of each question and any violation.
//
// `npm run model -- --help` lists its options.

import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { isMainThread, parentPort, Worker } from 'node:worker_threads'
import { at } from '../at.ts'
import { type Explored, explore } from './explore.ts'
import { protocol } from './protocol.ts'
import { findQuestion, mutants, whole } from './questions.ts'

const help = `npm run model -- [options]

  --only TEXT   only the questions and mutants whose name contains TEXT
  --stories     prints how each mutant is caught
  --help        this
`

interface Done extends Explored {
  seconds: number
}

const jobs = [...whole.map(({ name }) => name), ...mutants.map(({ name }) => name)]

function work(job: number): Done {
  const began = performance.now()
  const mutant = mutants[job - whole.length]
  const { bounds } = mutant ? findQuestion(mutant.question) : at(whole, job)
  const found = explore(bounds, { ...protocol, ...mutant?.change })
  return { ...found, seconds: (performance.now() - began) / 1000 }
}

async function run(only: string, stories: boolean): Promise<void> {
  const began = performance.now()
  const count = (n: number) => n.toLocaleString('en').padStart(11)
  const total = { states: 0, steps: 0, wrong: 0 }
  console.log('     states       steps  deepest     time')

  function tell(job: number, { states, steps, depth, seconds, broken }: Done): void {
    const isMutant = job >= whole.length
    if ((broken !== undefined) !== isMutant) total.wrong++
    if (isMutant) console.log(`${broken ? 'caught' : 'MISSED'}  ${jobs[job]}`)
    else {
      total.states += states
      total.steps += steps
      const time = `${seconds.toFixed(1)} s`.padStart(8)
      console.log(`${count(states)} ${count(steps)} ${String(depth).padStart(8)} ${time}  ${jobs[job]}`)
    }
    if (broken && (!isMutant || stories)) console.log(`\n${broken.story.join('\n')}\n`)
  }

  const wanted = jobs.map((_, job) => job).filter((job) => at(jobs, job).includes(only))
  if (wanted.length === 0) {
    console.error(`No question or mutant has a name that contains "${only}".`)
    process.exit(2)
  }
  await Promise.all(
    Array.from({ length: Math.min(4, availableParallelism()) }, async () => {
      const worker = new Worker(new URL(import.meta.url))
      for (let job = wanted.shift(); job !== undefined; job = wanted.shift()) {
        worker.postMessage(job)
        tell(job, await new Promise<Done>((resolve, reject) => worker.once('message', resolve).once('error', reject)))
        worker.removeAllListeners('error')
      }
      await worker.terminate()
    }),
  )
  console.log(`\n${count(total.states)} states and ${count(total.steps).trim()} steps in all`)
  const verdict =
    total.wrong === 0 ? 'All properties hold, and every mutant is caught' : `${total.wrong} unexpected results`
  console.log(`${verdict}: ${Math.round((performance.now() - began) / 1000)} s`)
  process.exitCode = total.wrong === 0 ? 0 : 1
}

if (isMainThread) {
  const { values } = parseArgs({
    options: { only: { type: 'string' }, stories: { type: 'boolean' }, help: { type: 'boolean' } },
  })
  if (values.help) console.log(help)
  else await run(values.only ?? '', values.stories ?? false)
} else parentPort?.on('message', (job: number) => parentPort?.postMessage(work(job)))
