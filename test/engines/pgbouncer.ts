// A PgBouncer for tests: Debian's, in transaction mode, in front of the tests' PostgreSQL.

import { execFileSync } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { env, startEngine } from './engine-process.ts'
import { freePort } from './free-port.ts'
import { once } from './postgres.ts'

const notRun = 'not run: pgbouncer is not installed (apt-get install pgbouncer)'

/** Its version, or the reason why there is none. In CI a missing one is a failure. */
export const pgbouncer: { version: string } | { missing: string } = (() => {
  try {
    const output = execFileSync('pgbouncer', ['--version'], { encoding: 'utf8', env })
    return { version: /PgBouncer (\S+)/.exec(output)![1]! }
  } catch (error) {
    if (process.env.CI) throw new Error(notRun, { cause: error })
    return { missing: notRun }
  }
})()

/** Starts one in front of the server of a URL. `through` returns the URL of a database by way of it. */
export async function startPgBouncer(url: string) {
  const { hostname, port: serverPort, username, password } = new URL(url)
  const folder = mkdtempSync(join(tmpdir(), 'daypass-pgbouncer-'))
  chmodSync(folder, 0o755)
  const port = await freePort()
  const settings = {
    listen_addr: '127.0.0.1',
    listen_port: port,
    unix_socket_dir: '',
    auth_type: 'any',
    pool_mode: 'transaction',
    // Fewer connections than clients, so that clients change connections all the time.
    default_pool_size: 3,
  }
  const file = join(folder, 'pgbouncer.ini')
  const lines = Object.entries(settings).map(([name, value]) => `${name} = ${value}\n`)
  const server = `host=${hostname} port=${serverPort || 5432} user=${username} password=${decodeURIComponent(password)}`
  writeFileSync(file, `[databases]\n* = ${server}\n[pgbouncer]\n${lines.join('')}`)
  // It refuses to run as root; any other user may run it.
  const user = process.getuid?.() === 0 ? ['--user', 'nobody'] : []
  const through = (database: string) => {
    const address = new URL(database)
    address.host = `127.0.0.1:${port}`
    return address.href
  }
  const isUp = async () => (await once(through(url), 'SELECT 1')).length > 0
  const bouncer = await startEngine('pgbouncer', ['-q', ...user, file], isUp)
  return {
    through,
    async remove() {
      await bouncer.stop('SIGKILL')
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
