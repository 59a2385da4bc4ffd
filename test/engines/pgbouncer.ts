// A PgBouncer for tests: Debian's, in transaction mode, in front of the tests' PostgreSQL.

import { execFileSync, spawn } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '../server/process.ts'
import { once } from './postgres.ts'

const notRun = 'not run: pgbouncer is not installed (apt-get install pgbouncer)'

/** Debian's path, which is not in every PATH. */
const path = `${process.env.PATH}:/usr/sbin`

/** Its version, or the reason why there is none. In CI a missing one is a failure. */
export const pgbouncer: { version: string } | { missing: string } = (() => {
  try {
    const told = execFileSync('pgbouncer', ['--version'], { encoding: 'utf8', env: { ...process.env, PATH: path } })
    return { version: /PgBouncer (\S+)/.exec(told)![1]! }
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
  const child = spawn('pgbouncer', ['-q', ...user, file], { stdio: 'ignore', env: { ...process.env, PATH: path } })
  process.once('exit', () => child.kill('SIGKILL'))
  const through = (database: string) => {
    const address = new URL(database)
    address.host = `127.0.0.1:${port}`
    return address.href
  }
  for (const until = Date.now() + 10_000; ; ) {
    try {
      await once(through(url), 'SELECT 1')
      break
    } catch (error) {
      if (Date.now() > until || child.exitCode !== null) throw error
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
  return {
    through,
    async remove() {
      const gone = new Promise((resolve) => child.once('exit', resolve))
      child.kill('SIGKILL')
      await gone
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
