// How do tests run the standalone server? As what it is: a process of its own, on a port of its own.

import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const cli = join(import.meta.dirname, '../../server/src/cli.ts')

export interface ServerProcess {
  url: string
  folder: string
  /** Lines of the log so far, parsed. */
  log: Record<string, unknown>[]
  /** All it wrote, to look for what must not be there. */
  output(): string
  /** Ends it by a signal and waits for its end; the exit code. */
  stop(signal?: NodeJS.Signals): Promise<number | null>
  /** Starts it again on the same port and folder. */
  start(): Promise<void>
  /** Ends it and removes its folder. */
  remove(): Promise<void>
}

/** A port that was free a moment ago. */
export function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number }
      server.close(() => resolve(port))
    })
  })
}

export async function startServerProcess(env: Record<string, string> = {}): Promise<ServerProcess> {
  const folder = mkdtempSync(join(tmpdir(), 'daypass-server-'))
  const port = await freePort()
  const url = `http://localhost:${port}`
  const log: Record<string, unknown>[] = []
  let output = ''
  let child: ChildProcess

  async function start(): Promise<void> {
    const { PATH = '', HOME = '' } = process.env
    child = spawn(process.execPath, [cli, 'serve'], {
      cwd: folder,
      env: { PATH, HOME, PORT: String(port), DAYPASS_STORE: `sqlite:${join(folder, 'daypass.db')}`, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let rest = ''
    child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      output += text
      const lines = (rest + text).split('\n')
      rest = lines.pop()!
      log.push(...lines.map((line) => JSON.parse(line)))
    })
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      output += text
    })
    const began = log.length
    for (let tries = 0; tries < 200; tries++) {
      if (log.slice(began).some((line) => line.message === 'listening')) return
      if (child.exitCode !== null) throw new Error(`The server ended: ${output}`)
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    throw new Error(`The server did not start: ${output}`)
  }

  async function stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    if (child.exitCode !== null || child.signalCode !== null) return child.exitCode
    const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
    child.kill(signal)
    return ended
  }

  await start()
  return {
    url,
    folder,
    log,
    output: () => output,
    stop,
    start,
    async remove() {
      await stop('SIGKILL')
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** Posts JSON as a command line does: no Origin, no Sec-Fetch-Site. */
export async function post(
  url: string,
  body: unknown,
  headers: Record<string, string> = {},
): Promise<{ status: number; headers: Headers; body: any }> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  })
  const text = await response.text()
  return { status: response.status, headers: response.headers, body: text === '' ? undefined : JSON.parse(text) }
}
