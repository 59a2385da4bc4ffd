// The contract on MySQL itself.

import { describe, test } from 'node:test'
import { noMysql8, startMysql8 } from '../engines/mysql.ts'
import { contract, throughPool, useMysql } from './mysql-setup.ts'

if (noMysql8 && process.env.CI) throw new Error(noMysql8)
if (noMysql8)
  test('the end of the run names the engine that did not run', (t) => t.diagnostic(`engine: MySQL 8 ${noMysql8}`))

describe('MySQL 8', { skip: noMysql8 }, () => {
  let database = ''
  const server = useMysql(async (engine) => {
    database = await engine.database()
  }, startMysql8)

  contract('through mysql2/promise', () => database, throughPool)
  test('the end of the run names its version', (t) => t.diagnostic(`engine: ${server.engine.name} (mysql2)`))
})
