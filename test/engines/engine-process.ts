// Runs the program of an engine for tests, as a separate process.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'

export interface EngineProcess {
  /** Starts it again, and waits until it responds. */
  start(): Promise<void>
  /** Sends a signal and waits for the end. After 15 seconds it sends SIGKILL. */
  stop(signal?: 'SIGTERM' | 'SIGKILL'): Promise<void>
  /** Freezes it, with all requests that were sent to it, until it is thawed. */
  freeze(): void
  thaw(): void
}

/** An engine ends with its test, also with one that fails or is terminated. */
const running = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})
process.once('SIGTERM', () => process.exit(143))

/** Debian keeps some servers in a folder that is not on every user's path. */
export const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` }

/**
 * Starts a program and waits until it responds.
 *
 * @param isUp Resolves to false, or rejects, as long as the engine does not respond.
 */
export async function startEngine(
  program: string,
  args: string[],
  isUp: () => Promise<boolean>,
): Promise<EngineProcess> {
  let child: ChildProcess

  async function start(): Promise<void> {
    let output = ''
    const started = spawn(program, args, { env, stdio: ['ignore', 'pipe', 'pipe'] })
    child = started
    running.add(started)
    // A test that failed before it stopped its engine still ends.
    started.unref()
    started.once('close', () => running.delete(started))
    for (const stream of [started.stdout, started.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        output = (output + text).slice(-4000)
      })
      if (stream instanceof Socket) stream.unref()
    }
    await once(started, 'spawn')
    let cause: unknown
    for (const until = Date.now() + 60_000; hasNotEnded(started) && Date.now() < until; await delay(20)) {
      try {
        if (await isUp()) return
      } catch (error) {
        cause = error
      }
    }
    await stop('SIGKILL')
    throw new Error(`${program} does not start (exit code ${started.exitCode}):\n${output}`, { cause })
  }

  async function stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    if (!hasNotEnded(child)) return
    const gone = once(child, 'exit')
    child.kill(signal)
    const late = setTimeout(() => child.kill('SIGKILL'), 15_000)
    await gone
    clearTimeout(late)
  }

  await start()
  return {
    start,
    stop,
    freeze: () => void child.kill('SIGSTOP'),
    thaw: () => void child.kill('SIGCONT'),
  }
}

const hasNotEnded = ({ exitCode, signalCode }: ChildProcess) => exitCode === null && signalCode === null
