// A log that cannot be written keeps no server from ending, and takes a bounded part of its memory.

import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, type SpawnOptions, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { freePort } from '../engines/free-port.ts'

const cli = join(import.meta.dirname, '../../server/src/cli.ts')

/** A pipe that is full, because nothing reads it yet. `output` is its end for a process. */
function openFullPipe(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), 'daypass-pipe-'))
  const path = join(folder, 'pipe')
  execFileSync('mkfifo', [path])
  const input = openSync(path, constants.O_RDWR | constants.O_NONBLOCK)
  const output = openSync(path, 'w')
  t.after(() => {
    closeSync(input)
    closeSync(output)
    rmSync(folder, { recursive: true })
  })
  const page = Buffer.alloc(4096, '\n')
  const untilBusy = (call: () => number) => {
    try {
      while (call() > 0) {}
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).code, 'EAGAIN')
    }
  }
  untilBusy(() => writeSync(input, page))
  return {
    output,
    /** What is in the pipe now. */
    take(): string {
      let text = ''
      untilBusy(() => {
        const length = readSync(input, page)
        text += page.toString('utf8', 0, length)
        return length
      })
      return text
    },
  }
}

function run(t: TestContext, args: string[], options: SpawnOptions): ChildProcess {
  const folder = mkdtempSync(join(tmpdir(), 'daypass-stuck-'))
  const child = spawn(process.execPath, args, { cwd: folder, ...options })
  t.after(async () => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL')
      await once(child, 'exit')
    }
    rmSync(folder, { recursive: true })
  })
  return child
}

/** Waits for the end of a process. Undefined if it does not end. */
async function endOf(child: ChildProcess): Promise<number | null | undefined> {
  if (child.exitCode !== null) return child.exitCode
  return Promise.race([once(child, 'exit').then(([code]) => code), delay(30_000, undefined, { ref: false })])
}

async function startServer(t: TestContext, output: number): Promise<ChildProcess> {
  const { PATH = '' } = process.env
  const port = await freePort()
  const env = { PATH, PORT: String(port), DAYPASS_STORE: 'memory:' }
  const child = run(t, [cli, 'serve'], { env, stdio: ['ignore', output, 'ignore'] })
  for (let tries = 0; tries < 600; tries++) {
    const response = await fetch(`http://127.0.0.1:${port}/healthz`).catch(() => undefined)
    if (response?.status === 200) return child
    await delay(50)
  }
  throw new Error('The server did not start.')
}

const outputs: Record<string, (t: TestContext) => number> = {
  'a full disk': (t) => {
    const output = openSync('/dev/full', 'w')
    t.after(() => closeSync(output))
    return output
  },
  'a reader that stands still': (t) => openFullPipe(t).output,
}

describe('a server whose log cannot be written ends', () => {
  for (const [name, openOutput] of Object.entries(outputs)) {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      test(`${name}: by ${signal}`, async (t) => {
        const child = await startServer(t, openOutput(t))
        child.kill(signal)
        assert.equal(await endOf(child), 0)
      })
    }

    test(`${name}: by a second signal`, async (t) => {
      const child = await startServer(t, openOutput(t))
      child.kill('SIGTERM')
      child.kill('SIGINT')
      assert.notEqual(await endOf(child), undefined)
    })
  }
})

test('lines for a reader that stands still are bounded, and the log says how many were left out', async (t) => {
  const { output, take } = openFullPipe(t)
  const module = import.meta.resolve('../../server/src/log.ts')
  const script = `
    import { openLog } from ${JSON.stringify(module)}
    const { log, close } = openLog('info')
    for (let n = 0; n < 20_000; n++) log.info({ n, text: 'x'.repeat(1000) }, 'line')
    process.on('message', async () => {
      log.info({ n: 20_000 }, 'line')
      await close()
      process.exit(0)
    })
    process.send('written')`
  const child = run(t, ['--input-type=module', '--eval', script], { stdio: ['ignore', output, 'inherit', 'ipc'] })
  await once(child, 'message')
  let text = ''
  const takeUntil = async (isEnough: () => boolean) => {
    for (let tries = 0; tries < 3000 && !isEnough(); tries++) {
      text += take()
      await delay(10)
    }
    assert.ok(isEnough(), text.slice(-2000))
  }
  await takeUntil(() => /"leftOut":\d+.*\n/.test(text))
  child.send('end')
  await takeUntil(() => child.exitCode !== null)
  const lines = text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line))
  const written = lines.filter(({ message }) => message === 'line')
  const { leftOut } = lines.find((line) => 'leftOut' in line)
  assert.equal(written.length + leftOut, 20_001)
  assert.equal(written.at(-1).n, 20_000)
  assert.ok(written.length < 10_000, `${written.length} KB were kept`)
})
