// DAYPASS_STORE=mysql://…: finds the driver and sets it up.

import { DaypassError } from 'daypass'
import { createMysqlStore } from 'daypass/mysql'
import type { Pool, PoolConnection } from 'mysql2'
import { RateLimiterMySQL } from 'rate-limiter-flexible'
import { createMysqlAccounts, type Query } from './accounts-mysql.ts'
import { patience, withinPatience } from './deadline.ts'
import { importPeer } from './peer.ts'
import type { Stores } from './stores.ts'

/** Opens sessions, accounts and limits in one MySQL or MariaDB. Throws `ERR_OPTION_INVALID` if the driver is missing. */
export async function openMysql(url: string, prefix: string): Promise<Stores> {
  const mysql = (await importPeer<{ default: typeof import('mysql2') }>('mysql2'))?.default
  if (mysql === undefined) {
    throw new DaypassError('ERR_OPTION_INVALID', 'DAYPASS_STORE names MySQL; install its driver: npm install mysql2')
  }
  const dbName = decodeURIComponent(new URL(url).pathname.slice(1))
  if (dbName === '') {
    throw new DaypassError(
      'ERR_OPTION_INVALID',
      'DAYPASS_STORE names no database: mysql://USER:PASSWORD@HOST:PORT/DATABASE.',
    )
  }
  const pool = mysql.createPool({ uri: url, connectionLimit: 10, connectTimeout: 3000 })
  // Prepared statements: some settings of a server change how the driver must quote a value in a text.
  const query: Query = (text, values = []) =>
    withinPatience(async () => {
      const { connection, end } = await lend(pool)
      try {
        const [result] = await connection.promise().execute(text, values)
        end()
        return Array.isArray(result) ? { rows: result, matched: 0 } : { rows: [], matched: result.affectedRows }
      } catch (error) {
        // A server that became a replica keeps its connections. The next one may lead to the new primary.
        connection.destroy()
        end()
        // Without the server's message, which may quote a value.
        const { code } = error as { code?: string }
        throw Object.assign(new Error(code), { code })
      }
    })
  /** As the limiter uses a pool. */
  const storeClient = {
    getConnection: (callback: (error: unknown, connection?: object) => void) =>
      lend(pool).then(
        ({ connection, end }) =>
          callback(null, {
            query: connection.query.bind(connection),
            rollback: connection.rollback.bind(connection),
            release: end,
          }),
        callback,
      ),
  }
  return {
    sessions: createMysqlStore(pool, { prefix }),
    accounts: createMysqlAccounts(query),
    createLimiter: (options) =>
      new RateLimiterMySQL({
        ...options,
        storeClient,
        storeType: 'pool',
        dbName,
        tableName: 'daypass_limit',
        // The accounts create the table.
        tableCreated: true,
      }),
    close: () => pool.promise().end(),
  }
}

/**
 * Takes a connection. It is closed if it is not given back in time: it may lead to a server that never answers again, and
 * would then be missing in the pool.
 */
function lend(pool: Pool): Promise<{ connection: PoolConnection; end(): void }> {
  return new Promise((resolve, reject) => {
    pool.getConnection((error, connection) => {
      if (error) return reject(error)
      const late = setTimeout(() => connection.destroy(), patience)
      resolve({
        connection,
        end() {
          clearTimeout(late)
          connection.release()
        },
      })
    })
  })
}
