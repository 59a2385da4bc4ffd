// Soak test: puts the server application under a steady load and reports whether anything grows.
//
// `npm run soak -- --minutes 60 --engine sqlite`. The server runs in a process of its own, and the load goes over real
// sockets: refreshes with lost responses and races, calls, bad requests, sign-outs. Memory, event loop, handles and files are
// sampled. In the end it prints whether the second half of the run was flat, and the slopes.

import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { availableParallelism, loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { freePort } from '../test/engines/free-port.ts'

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    seconds: { type: 'string' },
    engine: { type: 'string', default: 'sqlite' },
    rate: { type: 'string', default: '200' },
    clients: { type: 'string', default: '16' },
    every: { type: 'string', default: '5' },
  },
})
const seconds = Number(values.seconds ?? Number(values.minutes) * 60)
const [rate, clients, every] = [Number(values.rate), Number(values.clients), Number(values.every)]
if (![seconds, rate, clients, every].every((number) => number > 0)) {
  console.error(
    'npm run soak -- [--minutes 10 | --seconds 600] [--engine sqlite|memory|URL] [--rate 200] [--clients 16] [--every 5]',
  )
  process.exit(2)
}

const folder = mkdtempSync(join(tmpdir(), 'daypass-soak-'))
const stores: Record<string, string> = { sqlite: `sqlite:${join(folder, 'daypass.db')}`, memory: 'memory:' }
const apiKey = randomBytes(32).toString('base64url')
const port = await freePort()
const { PATH = '', HOME = '' } = process.env
const server = spawn(
  process.execPath,
  [
    '--expose-gc',
    // Let the young generation reach its full size within seconds. By default it doubles for minutes, like a leak.
    '--max-semi-space-size=8',
    '--import',
    join(import.meta.dirname, 'soak-probe.ts'),
    join(import.meta.dirname, '../server/src/cli.ts'),
    'serve',
  ],
  {
    env: {
      PATH,
      HOME,
      PORT: String(port),
      DAYPASS_STORE: stores[values.engine] ?? values.engine,
      DAYPASS_SECRET: randomBytes(48).toString('base64url'),
      DAYPASS_API_KEY: apiKey,
      DAYPASS_LOG: 'error',
    },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  },
)
const ended = once(server, 'exit')
// The server ends with this process, however this process ends.
process.on('exit', () => server.kill('SIGKILL'))

interface Response {
  status: number
  json: { accessToken?: string; refreshToken?: string; code?: string } | undefined
}

const agent = new Agent({ keepAlive: true, maxSockets: clients })
const counts = { refreshes: 0, lost: 0, calls: 0, refusals: 0, 'sign-ins': 0, 'sign-outs': 0, errors: 0 }
const wrong = new Map<string, number>()

/** Sends one request. With `isLost` it hangs up before the response, and the status is 0. */
function send(line: string, headers: Record<string, string> = {}, body?: unknown, isLost = false): Promise<Response> {
  const [method, path] = line.split(' ')
  const payload = body === undefined ? undefined : JSON.stringify(body)
  return new Promise((resolve, reject) => {
    const all =
      payload === undefined
        ? headers
        : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload), ...headers }
    const sent = request({ host: '127.0.0.1', port, method, path, headers: all, agent }, (res) => {
      if (isLost) {
        res.destroy()
        return resolve({ status: 0, json: undefined })
      }
      const chunks: Buffer[] = []
      res.on('data', (chunk) => chunks.push(chunk))
      res.once('error', reject)
      res.once('end', () => {
        const text = Buffer.concat(chunks).toString()
        resolve({ status: res.statusCode ?? 0, json: text === '' ? undefined : JSON.parse(text) })
      })
    })
    sent.once('error', reject)
    sent.end(payload)
  })
}

/** Counts a response that has another status than it must have. */
function expect(what: string, response: Response, status: number): boolean {
  if (response.status === status) return true
  counts.errors++
  const line = `${what}: ${response.status} ${response.json?.code ?? ''}`
  wrong.set(line, (wrong.get(line) ?? 0) + 1)
  return false
}

const newKey = () => `"${randomBytes(16).toString('base64url')}"`

/** One device: refreshes until the soak ends, and sometimes signs out and in again. */
async function chain(index: number, until: number): Promise<void> {
  const pause = (clients / rate) * 1000
  let refreshToken: string | undefined
  for (let step = index; performance.now() < until; step++) {
    const began = performance.now()
    try {
      if (refreshToken === undefined) {
        const signedIn = await send(
          'POST /admin/sessions',
          { authorization: `Bearer ${apiKey}` },
          { subject: `user-${index}` },
        )
        if (expect('sign-in', signedIn, 200)) refreshToken = signedIn.json?.refreshToken
        counts['sign-ins']++
      } else if (step % 500 === 499) {
        expect('sign-out', await send('POST /auth/logout', {}, { refreshToken }), 204)
        counts['sign-outs']++
        refreshToken = undefined
      } else {
        const headers = { 'idempotency-key': newKey() }
        if (step % 10 === 0) {
          // The response is lost; the same request follows below.
          await send('POST /auth/refresh', headers, { refreshToken }, true)
          counts.lost++
        }
        const response = await send('POST /auth/refresh', headers, { refreshToken })
        counts.refreshes++
        if (!expect('refresh', response, 200)) {
          refreshToken = undefined
          continue
        }
        if (step % 50 === 7) {
          // A second tab that is too late: it is rejected, and the session goes on.
          expect(
            'a race lost',
            await send('POST /auth/refresh', { 'idempotency-key': newKey() }, { refreshToken }),
            409,
          )
          expect('garbage', await send('POST /auth/refresh', {}, { refreshToken: `${refreshToken}A` }), 401)
          counts.refusals += 2
        }
        refreshToken = response.json?.refreshToken
        const bearer = { authorization: `Bearer ${response.json?.accessToken}` }
        expect('a call', await send(step % 20 === 3 ? 'GET /auth/sessions' : 'GET /auth/me', bearer), 200)
        counts.calls++
      }
    } catch (error) {
      if (performance.now() < until)
        expect(`network: ${(error as { code?: string }).code}`, { status: -1, json: undefined }, 0)
    }
    await delay(Math.max(0, pause - (performance.now() - began)))
  }
}

type Sample = Record<
  | 'at'
  | 'rss'
  | 'heap'
  | 'p50'
  | 'p99'
  | 'most'
  | 'handles'
  | 'files'
  | 'errors'
  | 'refreshes'
  | 'cpu'
  | 'each'
  | 'load',
  number
>
const samples: Sample[] = []

async function sample(at: number): Promise<void> {
  server.send('sample')
  const [{ rss, heapUsed, cpu, handles, p50, p99, most }] = await once(server, 'message')
  const last = samples.at(-1)
  const isLinux = process.platform === 'linux'
  const files = isLinux ? readdirSync(`/proc/${server.pid}/fd`).length : 0
  const mb = (bytes: number) => bytes / 2 ** 20
  const { errors, refreshes } = counts
  const done = refreshes - (last?.refreshes ?? 0)
  // The server's own processor time for each refresh. It shows whether a refresh gets slower as data grows, even where
  // other processes keep the machine busy.
  const each = last && done > 0 ? (cpu - last.cpu) / done : 0
  const [load = 0] = loadavg()
  samples.push({
    at,
    rss: mb(rss),
    heap: mb(heapUsed),
    p50,
    p99,
    most,
    handles,
    files,
    errors,
    refreshes,
    cpu,
    each,
    load,
  })
  const speed = done / (at - (last?.at ?? 0) || 1)
  console.log(
    `${at.toFixed(0).padStart(6)} s  ${speed.toFixed(0).padStart(5)} refreshes/s  rss ${mb(rss).toFixed(1)} MB  heap ${mb(heapUsed).toFixed(1)} MB  ` +
      `loop p50 ${p50.toFixed(1)} p99 ${p99.toFixed(1)} most ${most.toFixed(0)} ms  processor ${each.toFixed(2)} ms  handles ${handles}  files ${files}  errors ${errors}`,
  )
}

/** The change in an hour, by least squares. */
function slope(rows: Sample[], name: keyof Sample): number {
  const mean = (pick: (row: Sample) => number) => rows.reduce((sum, row) => sum + pick(row), 0) / rows.length
  const [at, value] = [mean((row) => row.at), mean((row) => row[name])]
  const spread = rows.reduce((sum, row) => sum + (row.at - at) ** 2, 0)
  return (rows.reduce((sum, row) => sum + (row.at - at) * (row[name] - value), 0) / spread) * 3600
}

/** A value that grows by less than this over the second half of a run counts as flat: it varies by as much. */
const noise: [name: keyof Sample, unit: string, least: number][] = [
  ['rss', 'MB', 5],
  ['heap', 'MB', 2],
  ['each', 'ms', 0.2],
  ['p50', 'ms', 2],
  ['p99', 'ms', 20],
  ['handles', '', clients],
  ['files', '', clients],
  ['errors', '', 0.5],
]

const titles: Partial<Record<keyof Sample, string>> = { each: 'processor a refresh', p50: 'loop p50', p99: 'loop p99' }

function report(): 'flat' | 'not flat' | 'too short to say' {
  // In the first half memory fills: the verifier remembers up to 10,000 tokens, and the engine caches its pages.
  const rows = samples.slice(Math.floor(samples.length / 2))
  const [start, total] = [samples[0], samples.at(-1)]
  const [halfway] = rows
  if (start === undefined || halfway === undefined || total === undefined) return 'too short to say'
  const hours = (total.at - halfway.at) / 3600
  const isLong = rows.length >= 6
  console.log(
    `\n${values.engine.replace(/:.*/, '')}, ${Math.round(total.at)} s, ${process.version}: ${Object.entries(counts)
      .map(([name, count]) => `${count} ${name}`)
      .join(', ')}`,
  )
  for (const [line, count] of wrong) console.log(`  ${count} × ${line}`)
  console.log('\n| | at the start | half-way | at the end | an hour makes | |\n|---|--:|--:|--:|--:|---|')
  let isFlat = true
  for (const [name, unit, least] of noise) {
    const perHour = isLong ? slope(rows, name) : 0
    const grows = perHour * hours > Math.max(least, name === 'errors' ? 0 : Math.abs(halfway[name]) * 0.05)
    // A loop that waits for a busy processor says nothing about the server.
    const isElsewhere =
      grows && (name === 'p50' || name === 'p99') && rows.some(({ load }) => load > availableParallelism())
    if (grows && !isElsewhere) isFlat = false
    const show = (value: number) => `${value.toFixed(name === 'each' ? 2 : 1)} ${unit}`.trim()
    const verdict = !isLong
      ? 'too short to say'
      : isElsewhere
        ? 'others keep the machine busy'
        : grows
          ? '**grows**'
          : 'flat'
    console.log(
      `| ${titles[name] ?? name} | ${show(start[name])} | ${show(halfway[name])} | ${show(total[name])} | ${isLong ? `${perHour >= 0 ? '+' : ''}${show(perHour)}` : '–'} | ${verdict} |`,
    )
  }
  return isLong ? (isFlat ? 'flat' : 'not flat') : 'too short to say'
}

while (true) {
  const health = await send('GET /healthz').catch(() => undefined)
  if (health?.status === 200) break
  if (server.exitCode !== null) process.exit(1)
  await delay(50)
}
const start = performance.now()
const until = start + seconds * 1000
const chains = Array.from({ length: clients }, (_, index) => chain(index, until))
while (performance.now() < until) {
  await sample((performance.now() - start) / 1000)
  await delay(Math.min(every * 1000, Math.max(0, until - performance.now())))
}
await Promise.all(chains)
// A last sample, unless one was just taken.
const at = (performance.now() - start) / 1000
if (at - (samples.at(-1)?.at ?? 0) > every / 2) await sample(at)
agent.destroy()
server.kill('SIGTERM')
const [code] = await ended
rmSync(folder, { recursive: true, force: true })
const verdict = report()
if (code !== 0) console.log(`The server ended with ${code}.`)
console.log(`\nThe second half was ${verdict}.`)
process.exitCode = verdict !== 'not flat' && counts.errors === 0 && code === 0 ? 0 : 1
