// A MySQL for tests: the one that `MYSQL_URL` names (MySQL or MariaDB), or MariaDB as Debian packages it, in a new folder.
// Beside it MySQL 8, where scripts/install-mysql.sh has put it.

import { execFile, execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import mysql from 'mysql2/promise'
import { createMysqlStore } from '../../src/stores/mysql.ts'
import type { Store } from '../../src/testing/index.ts'
import { env, startEngine } from './engine-process.ts'
import { freePort } from './free-port.ts'

export interface MysqlEngine {
  url: string
  /** The name and version of the server, for the output. */
  name: string
  /** The URL of an empty database in it. */
  database(): Promise<string>
  stop(): Promise<void>
  start(): Promise<void>
  remove(): Promise<void>
}

const notRun = 'not run: no MySQL server (set MYSQL_URL, or apt-get install mariadb-server)'

/** The reason why there is no server, or false. In CI a missing server is a failure. */
export const noMysql: string | false = (() => {
  if (process.env.MYSQL_URL) return false
  try {
    execFileSync('mariadbd', ['--version'], { env })
    return false
  } catch (error) {
    if (process.env.CI) throw new Error(notRun, { cause: error })
    return notRun
  }
})()

const mysqld8 = join(import.meta.dirname, '../../.cache/mysql/bin/mysqld')

/** The reason why there is no MySQL 8, or false. In CI a missing one is a failure. */
export const noMysql8: string | false = !existsSync(mysqld8) && 'not run: no MySQL 8 (scripts/install-mysql.sh)'

export async function startMysql(): Promise<MysqlEngine> {
  const given = process.env.MYSQL_URL
  if (given) {
    const nothing = async () => {}
    return createEngine(given, { stop: nothing, start: nothing, remove: nothing })
  }
  return startServer('mariadbd', async (common) => {
    await promisify(execFile)(
      'mariadb-install-db',
      [...common, '--auth-root-authentication-method=normal', '--skip-test-db'],
      { env },
    )
    return []
  })
}

export function startMysql8(): Promise<MysqlEngine> {
  return startServer(mysqld8, async (common) => {
    await promisify(execFile)(mysqld8, [...common, '--initialize-insecure'], { env })
    return ['--mysqlx=OFF', '--skip-log-bin', '--default-authentication-plugin=mysql_native_password']
  })
}

/** @param install Makes the folder of the data. Returns more flags of the server. */
async function startServer(program: string, install: (common: string[]) => Promise<string[]>): Promise<MysqlEngine> {
  const folder = mkdtempSync(join(tmpdir(), 'daypass-mysql-'))
  const user = process.getuid?.() === 0 ? ['--user=root'] : []
  // A server that starts removes the temporary tables of its folder, also those of another server.
  const temporary = join(folder, 'tmp')
  mkdirSync(temporary)
  const common = ['--no-defaults', `--datadir=${join(folder, 'data')}`, `--tmpdir=${temporary}`, ...user]
  const more = await install(common)
  const rights = join(folder, 'rights.sql')
  // One statement a line.
  const account = "daypass@'%'"
  writeFileSync(
    rights,
    `CREATE USER IF NOT EXISTS ${account} IDENTIFIED BY 'daypass';\nGRANT ALL ON *.* TO ${account} WITH GRANT OPTION;\n`,
  )
  const port = await freePort()
  const url = `mysql://daypass:daypass@127.0.0.1:${port}/mysql`
  const address = [`--port=${port}`, '--bind-address=127.0.0.1', `--socket=${join(folder, 'socket')}`]
  const files = [`--pid-file=${join(folder, 'pid')}`, `--init-file=${rights}`, '--skip-name-resolve']
  const args = [...common, ...address, ...files, ...more]
  const server = await startEngine(program, args, async () => (await once(url, 'SELECT 1')).length > 0)
  return createEngine(url, {
    stop: server.stop,
    start: server.start,
    async remove() {
      await server.stop()
      rmSync(folder, { recursive: true, force: true })
    },
  })
}

let databases = 0

async function createEngine(url: string, rest: Pick<MysqlEngine, 'stop' | 'start' | 'remove'>): Promise<MysqlEngine> {
  const [row] = await once(url, 'SELECT VERSION() AS version')
  const [version] = row!.version.split('-')
  return {
    url,
    name: `${/mariadb/i.test(row!.version) ? 'MariaDB' : 'MySQL'} ${version}`,
    async database() {
      const name = `daypass_${process.pid}_${databases++}`
      await once(url, `CREATE DATABASE ${name}`)
      const made = new URL(url)
      made.pathname = `/${name}`
      return made.href
    },
    ...rest,
  }
}

/** A store that closes its own pool, for the processes of the crash kit. */
export function openMysqlStore(url: string): Store {
  const pool = mysql.createPool({ uri: url, connectionLimit: 4, connectTimeout: 3000 })
  const store = createMysqlStore(pool)
  return {
    ...store,
    async close() {
      await store.close()
      await pool.end()
    },
  }
}

export async function once(url: string, sql: string, values: unknown[] = []): Promise<Record<string, any>[]> {
  const connection = await mysql.createConnection(url)
  // The server may end the connection after the answer.
  connection.on('error', () => {})
  try {
    const [rows] = await connection.query(sql, values)
    return rows as Record<string, any>[]
  } finally {
    connection.destroy()
  }
}
