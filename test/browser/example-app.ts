// Builds an example app as a user does, with the package as it is now, and starts it behind a proxy that holds and loses responses.

import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { cpSync, existsSync, mkdtempSync, rmSync } from 'node:fs'
import { type IncomingHttpHeaders, type IncomingMessage, request, type ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { freePort } from '../engines/free-port.ts'
import { listen } from '../http/server.ts'

const root = join(import.meta.dirname, '../..')

/** An app of examples/ that has a package folder of its own. */
export interface Example {
  name: string
  folder: string
  /** The framework's own commands. They also check the types. */
  builds: string[][]
  start(port: number): { args: string[]; env?: Record<string, string> }
}

const folders = { next: join(root, 'examples/next'), sveltekit: join(root, 'examples/sveltekit') }
export const examples: Example[] = [
  {
    name: 'Next.js',
    folder: folders.next,
    builds: [[join(folders.next, 'node_modules/next/dist/bin/next'), 'build']],
    start: (port) => ({
      args: [join(folders.next, 'node_modules/next/dist/bin/next'), 'start', '-H', '127.0.0.1', '-p', `${port}`],
    }),
  },
  {
    name: 'SvelteKit',
    folder: folders.sveltekit,
    builds: [
      [join(folders.sveltekit, 'node_modules/vite/bin/vite.js'), 'build'],
      [join(folders.sveltekit, 'node_modules/svelte-check/bin/svelte-check')],
    ],
    start: (port) => ({
      args: [join(folders.sveltekit, 'build')],
      env: { HOST: '127.0.0.1', PORT: `${port}`, PROTOCOL_HEADER: 'x-forwarded-proto' },
    }),
  },
]

/** The reason why an app is not tested, or false. In CI a missing app is a failure. */
export function findMissing({ name, folder }: Example): string | false {
  if (existsSync(join(folder, 'node_modules/daypass'))) return false
  const notRun = `not run: ${name} is not installed (npm install --prefix ${relative(root, folder)})`
  if (process.env.CI) throw new Error(notRun)
  return notRun
}

/** A request that the proxy has read, and what may be done with it. */
export interface Passing {
  method: string
  path: string
  headers: IncomingHttpHeaders
  /** Sends it to the app, and waits for the response. */
  commit(): Promise<{ status: number; body: string }>
  /** Sends the app's response to the browser. */
  respond(): Promise<void>
  /** Closes the connection. The browser gets no response. */
  lose(): void
}

/** An example that runs. */
export interface RunningExample {
  origin: string
  /** Decides about each request that it is set for. Null for the usual: commit and respond. */
  rule: ((passing: Passing) => Promise<void> | undefined) | null
  /** The access token of the newest sign-in or refresh. */
  accessToken: string
  /** The sessions in the app's database, the oldest first. */
  sessions(): { generation: number; revoked_reason: string | null }[]
  /** Makes all sessions older, as if so much time had passed without a refresh. */
  age(milliseconds: number): void
  stop(): Promise<void>
}

/** Stops the apps of a test that fails or is terminated. */
const running = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

/** Builds and starts an example. `accessTokenLifetime` in seconds. */
export async function startExample(example: Example, accessTokenLifetime: number): Promise<RunningExample> {
  const { folder } = example
  // The package was packed when the app was installed. These are its files now.
  for (const file of ['dist', 'package.json']) {
    rmSync(join(folder, 'node_modules/daypass', file), { recursive: true, force: true })
    cpSync(join(root, file), join(folder, 'node_modules/daypass', file), { recursive: true })
  }
  // A build has neither a secret nor a database.
  const { DAYPASS_SECRET: _, ...inherited } = process.env
  const env = { ...inherited, NEXT_TELEMETRY_DISABLED: '1', NODE_ENV: 'production' }
  for (const args of example.builds) {
    await promisify(execFile)(process.execPath, args, { cwd: folder, env, timeout: 400_000 })
  }

  const data = mkdtempSync(join(tmpdir(), 'daypass-example-'))
  const port = await freePort()
  const { args, env: more } = example.start(port)
  const child = spawn(process.execPath, args, {
    cwd: folder,
    env: {
      ...env,
      ...more,
      DAYPASS_SECRET: 'a secret that the examples share, thirty-two bytes and more',
      DATABASE_PATH: join(data, 'daypass.db'),
      ACCESS_TOKEN_LIFETIME: `${accessTokenLifetime}`,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  running.add(child)
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (output += text))
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()))

  const proxy = await listen((req, res) => pass(req, res).catch(() => res.destroy()))
  const app: RunningExample = {
    origin: `http://localhost:${proxy.port}`,
    rule: null,
    accessToken: '',
    sessions: () => query('SELECT generation, revoked_reason FROM daypass_session ORDER BY created_at'),
    age: (milliseconds) =>
      void query('UPDATE daypass_session SET rotated_at = rotated_at - ?1, burst_at = burst_at - ?1', milliseconds),
    async stop() {
      await proxy.close()
      child.kill('SIGKILL')
      await gone
      running.delete(child)
      rmSync(data, { recursive: true, force: true })
    },
  }

  function query(sql: string, ...values: number[]) {
    const database = new DatabaseSync(join(data, 'daypass.db'))
    try {
      database.exec('PRAGMA busy_timeout = 5000')
      return database.prepare(sql).all(...values) as any[]
    } finally {
      database.close()
    }
  }

  async function pass(req: IncomingMessage, res: ServerResponse) {
    const body = Buffer.concat(await req.toArray())
    let answer: Promise<{ status: number; headers: IncomingHttpHeaders; content: Buffer }> | undefined
    const send = () => {
      answer ??= new Promise((resolve, reject) => {
        const headers = { ...req.headers, 'x-forwarded-proto': 'http', 'accept-encoding': 'identity' }
        const options = { host: '127.0.0.1', port, method: req.method!, path: req.url!, headers }
        const onward = request(options, async (response) => {
          const content = Buffer.concat(await response.toArray())
          resolve({ status: response.statusCode!, headers: response.headers, content })
        })
        onward.once('error', reject).end(body)
      })
      return answer
    }
    const passing: Passing = {
      method: req.method!,
      path: new URL(req.url!, app.origin).pathname,
      headers: req.headers,
      async commit() {
        const { status, content } = await send()
        const text = content.toString()
        if (status === 200 && text.startsWith('{"accessToken":')) app.accessToken = JSON.parse(text).accessToken
        return { status, body: text }
      },
      async respond() {
        await passing.commit()
        const { status, headers, content } = await send()
        const { 'transfer-encoding': _, ...kept } = headers
        // Chromium itself sends a request again that is lost on a connection that it has used before.
        res.writeHead(status, { ...kept, 'content-length': content.length, connection: 'close' }).end(content)
      },
      lose: () => void res.destroy(),
    }
    await (app.rule?.(passing) ?? passing.respond())
  }

  try {
    for (const end = Date.now() + 60_000; ; await delay(50)) {
      if (child.exitCode !== null || Date.now() > end) throw new Error('It does not respond.')
      if (
        await fetch(`http://127.0.0.1:${port}/`).then(
          ({ ok }) => ok,
          () => false,
        )
      )
        return app
    }
  } catch (error) {
    await app.stop()
    throw new Error(`${example.name} does not start:\n${output}`, { cause: error })
  }
}
