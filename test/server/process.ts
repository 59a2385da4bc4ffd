// Runs the server application for tests, as a separate process on its own port.

import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { freePort } from '../engines/free-port.ts'

const cli = join(import.meta.dirname, '../../server/src/cli.ts')

export interface ServerProcess {
  url: string
  folder: string
  /** The parsed lines of the log so far. */
  log: Record<string, unknown>[]
  /** The whole output, to search for secrets. */
  output(): string
  /** Ends it by a signal, waits for its end and returns the exit code. */
  stop(signal?: NodeJS.Signals): Promise<number | null>
  /** Starts it again on the same port and folder. */
  start(): Promise<void>
  /** Ends it and removes its folder. */
  remove(): Promise<void>
}

/** Servers on a shared database need a given secret. */
const secret = randomBytes(48).toString('base64')
const isShared = (store = '') => /^(postgres|mysql|redis|mongodb)/.test(store)

/** Starts the server. If it does not start, its process and folder are removed. */
export async function startServerProcess(env: Record<string, string> = {}): Promise<ServerProcess> {
  const folder = mkdtempSync(join(tmpdir(), 'daypass-server-'))
  const port = await freePort()
  const url = `http://localhost:${port}`
  const log: Record<string, unknown>[] = []
  let output = ''
  let child: ChildProcess

  async function start(): Promise<void> {
    const { PATH = '', HOME = '' } = process.env
    const ownEnv = { PATH, HOME, PORT: String(port), DAYPASS_STORE: `sqlite:${join(folder, 'daypass.db')}` }
    child = spawn(process.execPath, [cli, 'serve'], {
      cwd: folder,
      env: { ...ownEnv, ...(isShared(env.DAYPASS_STORE) && { DAYPASS_SECRET: secret }), ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const hasEnded = once(child, 'close')
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
    let isOver = false
    hasEnded.then(() => {
      isOver = true
    })
    for (let tries = 0; tries < 600; tries++) {
      if (log.slice(began).some((line) => line.message === 'listening')) return
      if (isOver) throw new Error(`The server ended: ${output}`)
      await Promise.race([hasEnded, delay(50)])
    }
    throw new Error(`The server did not start: ${output}`)
  }

  async function stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    if (child.exitCode !== null || child.signalCode !== null) return child.exitCode
    const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
    child.kill(signal)
    return ended
  }

  async function remove(): Promise<void> {
    await stop('SIGKILL')
    rmSync(folder, { recursive: true, force: true })
  }

  try {
    await start()
  } catch (error) {
    // A remaining process would keep the test from ending.
    await remove()
    throw error
  }
  return {
    url,
    folder,
    log,
    output: () => output,
    stop,
    start,
    remove,
  }
}

/** Posts JSON as a command line does, without Origin and Sec-Fetch-Site. */
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
