// Refreshes over HTTP: the library on node:http and the server application, beside a bare server that does the same
// cryptography.

import { type ChildProcess, fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { LoadJob, LoadResult } from './load.ts'
import { type Figure, figureOf, fixed, percent, printTable, ratioOf, rounds, type Target, whole } from './measure.ts'

const chains = 32
const roundCount = 15
const apiKey = 'an-api-key-of-a-benchmark-that-guards-nothing'
const cli = join(import.meta.dirname, '../server/src/cli.ts')
const rawServer = join(import.meta.dirname, 'raw-server.ts')
const nodeServer = join(import.meta.dirname, 'node-server.ts')

interface Server {
  port: number
  process: ChildProcess
}

/** Microseconds of CPU time: what a refresh costs the server, and what HTTP alone does. */
export interface RefreshCosts {
  http: number
  EdDSA: number
  HS256: number
}

/** Runs and prints the comparison; `seconds` is for each server in all, over its rounds. */
export async function benchRefresh(seconds: number): Promise<{ targets: Target[]; costs: RefreshCosts }> {
  const folder = mkdtempSync(join(tmpdir(), 'daypass-bench-'))
  const load = fork(join(import.meta.dirname, 'load.ts'))
  const processes: ChildProcess[] = [load]
  const start = (args: string[], env: Record<string, string> = {}) => {
    const { PATH = '', HOME = '' } = process.env
    const stdio = ['ignore', 'pipe', 'inherit'] as const
    const child = spawn(process.execPath, args, { cwd: folder, env: { PATH, HOME, ...env }, stdio: [...stdio] })
    processes.push(child)
    return listening(child)
  }
  try {
    const things: Record<string, () => Promise<LoadResult>> = {}
    for (const algorithm of ['EdDSA', 'HS256'] as const) {
      const kinds = {
        raw: await start([rawServer, algorithm]),
        memory: await start([nodeServer, algorithm]),
        sqlite: await start([nodeServer, algorithm, join(folder, `${algorithm}.db`)]),
        server: await start([cli, 'serve'], settings(algorithm)),
      }
      for (const keyed of [false, true]) {
        for (const [kind, server] of Object.entries(kinds)) {
          const time = (seconds / roundCount) * 1000
          things[name(algorithm, keyed, kind)] = () => measure(load, server, '/auth/refresh', keyed, time)
        }
      }
      if (algorithm === 'HS256') things.http = () => measure(load, kinds.raw, '/fixed', false, 1000)
    }
    const results = await rounds(roundCount, things)
    return report(results)
  } finally {
    for (const child of processes) {
      if (child.exitCode === null && child.kill()) await once(child, 'exit')
    }
    rmSync(folder, { recursive: true, force: true })
  }
}

const name = (algorithm: string, keyed: boolean, kind: string) => `${algorithm} ${keyed ? 'key' : 'no key'} ${kind}`

const labels: Record<string, string> = {
  raw: 'raw node:http, Map',
  memory: 'daypass/node, memory',
  sqlite: 'daypass/node, SQLite FULL',
  server: 'daypass-server (Fastify), memory:',
}

function report(results: Record<string, LoadResult[]>): { targets: Target[]; costs: RefreshCosts } {
  const of = (key: string, what: keyof LoadResult): Figure => figureOf(results[key]!.map((result) => result[what]))
  const cpuRatio = (key: string, base: string) =>
    ratioOf(
      results[base]!.map((result) => result.cpu),
      results[key]!.map((result) => result.cpu),
    )
  const rates = (key: string) => results[key]!.map((result) => result.perSecond)
  const ratio = (key: string, base: string) => ratioOf(rates(key), rates(base))
  const targets: Target[] = []
  for (const algorithm of ['EdDSA', 'HS256'] as const) {
    const rows = [
      ['', 'refresh/s', 'spread', 'of raw', 'of memory', 'CPU µs each', 'of raw', 'server busy', 'p50 ms', 'p99 ms'],
    ]
    for (const keyed of [false, true]) {
      const raw = name(algorithm, keyed, 'raw')
      const memory = name(algorithm, keyed, 'memory')
      for (const kind of ['raw', 'memory', 'sqlite', 'server']) {
        const key = name(algorithm, keyed, kind)
        const rate = of(key, 'perSecond')
        rows.push([
          `${labels[kind]}${keyed ? ', Idempotency-Key' : ''}`,
          whole(rate.median),
          `±${percent(rate.spread / 2)}`,
          kind === 'raw' ? '1' : fixed(ratio(key, raw).median, 2),
          kind === 'sqlite' || kind === 'server' ? fixed(ratio(key, memory).median, 2) : '',
          fixed(of(key, 'cpu').median, 1),
          kind === 'raw' ? '1' : fixed(cpuRatio(key, raw).median, 2),
          percent(of(key, 'busy').median),
          fixed(of(key, 'p50').median, 2),
          fixed(of(key, 'p99').median, 2),
        ])
      }
      const words = `${algorithm}${keyed ? ', Idempotency-Key' : ''}`
      targets.push(
        { name: `refresh, ${words}: daypass/node of raw`, least: 0.8, figure: ratio(memory, raw).median },
        {
          name: `refresh, ${words}: SQLite FULL of memory`,
          least: 0.6,
          figure: ratio(name(algorithm, keyed, 'sqlite'), memory).median,
        },
      )
    }
    printTable(
      `Refreshes over HTTP, ${algorithm}: ${chains} chains, keep-alive, body transport; medians of ${roundCount} rounds in turn`,
      rows,
    )
  }
  const cost = (algorithm: string) => of(name(algorithm, false, 'memory'), 'cpu').median
  return { targets, costs: { http: of('http', 'cpu').median, EdDSA: cost('EdDSA'), HS256: cost('HS256') } }
}

async function measure(
  load: ChildProcess,
  server: Server,
  path: string,
  idempotencyKeys: boolean,
  time: number,
): Promise<LoadResult> {
  const tokens = await Promise.all(Array.from({ length: chains }, (_, index) => signIn(server, `subject-${index}`)))
  const { port, process } = server
  const job: LoadJob = { port, path, pid: process.pid!, tokens, idempotencyKeys, warmUp: time / 4, time }
  load.send(job)
  const [result] = (await once(load, 'message')) as [LoadResult | { failed: string }]
  if ('failed' in result) throw new Error(`A refresh failed: ${result.failed}`)
  return result
}

async function signIn({ port }: Server, subject: string): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${port}/admin/sessions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' },
    body: JSON.stringify({ subject }),
  })
  if (!response.ok) throw new Error(`No session could be made: ${response.status}`)
  return ((await response.json()) as { refreshToken: string }).refreshToken
}

function settings(algorithm: string): Record<string, string> {
  return {
    PORT: '0',
    DAYPASS_STORE: 'memory:',
    DAYPASS_ALGORITHM: algorithm,
    DAYPASS_ISSUER: 'http://localhost:12345',
    DAYPASS_RATE_LIMIT: 'off',
    DAYPASS_API_KEY: apiKey,
    DAYPASS_SECRET: 'a secret of a benchmark that guards nothing 0123456789',
  }
}

/** Waits for the line in which a server says where it listens. */
function listening(child: ChildProcess): Promise<Server> {
  return new Promise((resolve, reject) => {
    let text = ''
    child.stdout!.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk
      const port = /"url":"[^"]+:(\d+)"/.exec(text)?.[1]
      if (port !== undefined) resolve({ port: Number(port), process: child })
    })
    child.once('exit', (code) => reject(new Error(`${child.spawnargs.join(' ')} ended with ${code}`)))
  })
}
