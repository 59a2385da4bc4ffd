// Starts servers in processes of their own, and measures them under the load of bench/load.ts.

import { type ChildProcess, execFileSync, fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import type { LoadJob, LoadResult } from './load.ts'
import type { ServerSettings } from './settings.ts'

/** How many requests are in flight. */
export const chains = 32

const apiKey = 'an-api-key-of-a-benchmark-that-guards-nothing'
const root = join(import.meta.dirname, '..')

export interface Server {
  port: number
  process: ChildProcess
  /** One session for each chain, once there are any. */
  sessions?: Tokens[]
}

interface Tokens {
  refreshToken: string
  accessToken: string
}

export interface Servers {
  /** For the files of stores; it is removed in the end. */
  folder: string
  /** The raw twin. */
  raw(settings: ServerSettings): Promise<Server>
  /** The library in an app. */
  app(settings: ServerSettings): Promise<Server>
  /** The server application, with its store in memory. */
  application(algorithm: string): Promise<Server>
  /** A script that says where it listens, with these arguments. */
  script(file: string, args: string[], env?: Record<string, string>): Promise<Server>
  /** Loads a server for `time` milliseconds. */
  measure(server: Server, path: string, request: LoadJob['request'], time: number): Promise<LoadResult>
}

/** Runs `body`, and ends all servers that it started. `pinned` gives them one core, and the load the others. */
export async function withServers<T>(body: (servers: Servers) => Promise<T>, pinned = false): Promise<T> {
  const last = availableParallelism() - 1
  if (pinned) pin(process.pid, `0-${last - 1}`)
  const folder = mkdtempSync(join(tmpdir(), 'daypass-bench-'))
  const load = fork(join(import.meta.dirname, 'load.ts'))
  const processes: ChildProcess[] = [load]
  const start = (args: string[], env: Record<string, string> = {}) => {
    const { PATH = '', HOME = '' } = process.env
    const stdio = ['ignore', 'pipe', 'inherit'] as const
    const child = spawn(process.execPath, args, { cwd: folder, env: { PATH, HOME, ...env }, stdio: [...stdio] })
    processes.push(child)
    if (pinned) pin(child.pid!, String(last))
    return listening(child)
  }
  const own = (file: string) => (settings: ServerSettings) =>
    start([join(import.meta.dirname, file), JSON.stringify(settings)])
  try {
    return await body({
      folder,
      raw: own('raw-server.ts'),
      app: own('app-server.ts'),
      application: (algorithm) => start([join(root, 'server/src/cli.ts'), 'serve'], settingsOf(algorithm)),
      script: (file, args, env) => start([file, ...args], env),
      measure: (server, path, request, time) => measure(load, server, path, request, time),
    })
  } finally {
    for (const child of processes) {
      if (child.exitCode === null && child.kill()) await once(child, 'exit')
    }
    if (pinned) pin(process.pid, `0-${last}`)
    rmSync(folder, { recursive: true, force: true })
  }
}

async function measure(
  load: ChildProcess,
  server: Server,
  path: string,
  request: LoadJob['request'],
  time: number,
): Promise<LoadResult> {
  const { port, process } = server
  server.sessions ??= await Promise.all(
    Array.from({ length: chains }, (_, index) => signIn(server, `subject-${index}`)),
  )
  const { sessions } = server
  const tokens = sessions.map(({ refreshToken, accessToken }) => (request === 'get' ? accessToken : refreshToken))
  load.send({ port, path, request, pid: process.pid!, tokens, warmUp: time / 4, time } satisfies LoadJob)
  const [result] = (await once(load, 'message')) as [LoadResult | { failed: string }]
  if ('failed' in result) throw new Error(`A request failed: ${result.failed}`)
  if (request !== 'get') for (const [index, token] of result.tokens.entries()) sessions[index]!.refreshToken = token
  return result
}

async function signIn({ port }: Server, subject: string): Promise<Tokens> {
  const response = await fetch(`http://127.0.0.1:${port}/admin/sessions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' },
    body: JSON.stringify({ subject }),
  })
  if (!response.ok) throw new Error(`No session could be made: ${response.status}`)
  return (await response.json()) as Tokens
}

/** Whether servers can be given a core of their own. */
export function canPin(): boolean {
  if (availableParallelism() < 2) return false
  try {
    execFileSync('taskset', ['--version'])
    return true
  } catch {
    return false
  }
}

/** Keeps all threads of a process, and the processes that it starts later, on these cores. */
function pin(pid: number, cores: string): void {
  execFileSync('taskset', ['--all-tasks', '--cpu-list', '--pid', cores, String(pid)])
}

function settingsOf(algorithm: string): Record<string, string> {
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
