// `npm run model`: explores all questions and mutants, and prints the states of each question and any violation.
//
// `npm run model -- --stories` also prints how each mutant is caught.

import { availableParallelism } from 'node:os'
import { isMainThread, parentPort, Worker } from 'node:worker_threads'
import { at } from '../at.ts'
import { type Explored, explore } from './explore.ts'
import { protocol } from './protocol.ts'
import { findQuestion, mutants, whole } from './questions.ts'

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

async function run(): Promise<void> {
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
    if (broken && (!isMutant || process.argv.includes('--stories'))) console.log(`\n${broken.story.join('\n')}\n`)
  }

  let next = 0
  await Promise.all(
    Array.from({ length: Math.min(4, availableParallelism()) }, async () => {
      const worker = new Worker(new URL(import.meta.url))
      while (next < jobs.length) {
        const job = next++
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

if (isMainThread) await run()
else parentPort?.on('message', (job: number) => parentPort?.postMessage(work(job)))
