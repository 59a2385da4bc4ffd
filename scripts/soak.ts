// Does a server that runs for long stay as it was? `npm run soak -- --minutes 60 --engine sqlite`.
//
// A steady load on the server application in a process of its own, over real sockets: chains of refreshes with lost answers,
// races, calls, garbage, sign-outs. Every so often its memory, event loop, handles and files; in the end, whether the second
// half of the run was flat, and the slopes.

import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { createServer } from 'node:net'
import { availableParallelism, loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'

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
    // A young generation that is as large as it gets after seconds; else it doubles for minutes, and looks like a leak.
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
// Whatever becomes of this process, the server goes with it.
process.on('exit', () => server.kill('SIGKILL'))

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as { port: number }
      probe.close(() => resolve(port))
    })
  })
}

const agent = new Agent({ keepAlive: true, maxSockets: clients })
const counts = { refreshes: 0, lost: 0, calls: 0, refusals: 0, 'sign-ins': 0, 'sign-outs': 0, errors: 0 }
const wrong = new Map<string, number>()

/** One request; status 0 where `isLost` hung up before the answer. */
function send(
  line: string,
  headers: Record<string, string> = {},
  body?: unknown,
  isLost = false,
): Promise<{ status: number; json: any }> {
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
        resolve({ status: res.statusCode!, json: text === '' ? undefined : JSON.parse(text) })
      })
    })
    sent.once('error', reject)
    sent.end(payload)
  })
}

/** Counts what came otherwise than it must. */
function expect(what: string, answer: { status: number; json: any }, status: number): boolean {
  if (answer.status === status) return true
  counts.errors++
  const line = `${what}: ${answer.status} ${answer.json?.code ?? ''}`
  wrong.set(line, (wrong.get(line) ?? 0) + 1)
  return false
}

const newKey = () => `"${randomBytes(16).toString('base64url')}"`

/** One device: refreshes for as long as the soak goes on, and now and then signs out and in again. */
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
        if (expect('sign-in', signedIn, 200)) refreshToken = signedIn.json.refreshToken
        counts['sign-ins']++
      } else if (step % 500 === 499) {
        expect('sign-out', await send('POST /auth/logout', {}, { refreshToken }), 204)
        counts['sign-outs']++
        refreshToken = undefined
      } else {
        const headers = { 'idempotency-key': newKey() }
        if (step % 10 === 0) {
          // An answer that is lost, and asked for again.
          await send('POST /auth/refresh', headers, { refreshToken }, true)
          counts.lost++
        }
        const answer = await send('POST /auth/refresh', headers, { refreshToken })
        counts.refreshes++
        if (!expect('refresh', answer, 200)) {
          refreshToken = undefined
          continue
        }
        if (step % 50 === 7) {
          // A second tab that comes too late: refused, and nothing is the worse for it.
          expect(
            'a race lost',
            await send('POST /auth/refresh', { 'idempotency-key': newKey() }, { refreshToken }),
            409,
          )
          expect('garbage', await send('POST /auth/refresh', {}, { refreshToken: `${refreshToken}A` }), 401)
          counts.refusals += 2
        }
        refreshToken = answer.json.refreshToken
        const bearer = { authorization: `Bearer ${answer.json.accessToken}` }
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
  // The server's own time on the processor for a refresh and all that goes with it: what grows as its data does, however
  // busy the machine is.
  const each = last && done > 0 ? (cpu - last.cpu) / done : 0
  const load = loadavg()[0]!
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

/** Least squares: the change in an hour. */
function slope(rows: Sample[], name: keyof Sample): number {
  const mean = (pick: (row: Sample) => number) => rows.reduce((sum, row) => sum + pick(row), 0) / rows.length
  const [at, value] = [mean((row) => row.at), mean((row) => row[name])]
  const spread = rows.reduce((sum, row) => sum + (row.at - at) ** 2, 0)
  return (rows.reduce((sum, row) => sum + (row.at - at) * (row[name] - value), 0) / spread) * 3600
}

/** What grows by less than this over the half of a run that is looked at is flat: it comes and goes by as much. */
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
  // In the first half memory fills: the verifier remembers up to 10,000 tokens, the engine its pages.
  const rows = samples.slice(Math.floor(samples.length / 2))
  const hours = (rows.at(-1)!.at - rows[0]!.at) / 3600
  const isLong = rows.length >= 6
  const total = samples.at(-1)!
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
    const grows = perHour * hours > Math.max(least, name === 'errors' ? 0 : Math.abs(rows[0]![name]) * 0.05)
    // A loop that waits for a processor that others have says nothing of the server.
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
      `| ${titles[name] ?? name} | ${show(samples[0]![name])} | ${show(rows[0]![name])} | ${show(total[name])} | ${isLong ? `${perHour >= 0 ? '+' : ''}${show(perHour)}` : '–'} | ${verdict} |`,
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
// The last one, where the one before it was not a moment ago.
const at = (performance.now() - start) / 1000
if (at - samples.at(-1)!.at > every / 2) await sample(at)
agent.destroy()
server.kill('SIGTERM')
const [code] = await ended
rmSync(folder, { recursive: true, force: true })
const verdict = report()
if (code !== 0) console.log(`The server ended with ${code}.`)
console.log(`\nThe second half was ${verdict}.`)
process.exitCode = verdict !== 'not flat' && counts.errors === 0 && code === 0 ? 0 : 1
