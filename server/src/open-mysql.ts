// DAYPASS_STORE=mysql://…: finds the driver and sets it up.

import { DaypassError } from 'daypass'
import { createMysqlStore } from 'daypass/mysql'
import { RateLimiterMySQL } from 'rate-limiter-flexible'
import { createMysqlAccounts, type Query } from './accounts-mysql.ts'
import { withinPatience } from './deadline.ts'
import { importPeer } from './peer.ts'
import type { Stores } from './stores.ts'

/** Opens sessions, accounts and limits in one MySQL or MariaDB. Throws `ERR_OPTION_INVALID` if the driver is missing. */
export async function openMysql(url: string): Promise<Stores> {
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
      try {
        const [result] = await pool.promise().execute(text, values)
        return Array.isArray(result) ? { rows: result, matched: 0 } : { rows: [], matched: result.affectedRows }
      } catch (error) {
        // Without the server's message, which may quote a value.
        const { code } = error as { code?: string }
        throw Object.assign(new Error(code), { code })
      }
    })
  return {
    sessions: createMysqlStore(pool),
    accounts: createMysqlAccounts(query),
    createLimiter: (options) =>
      new RateLimiterMySQL({
        ...options,
        storeClient: pool,
        storeType: 'pool',
        dbName,
        tableName: 'daypass_limit',
        // The accounts create the table.
        tableCreated: true,
      }),
    close: () => pool.promise().end(),
  }
}
