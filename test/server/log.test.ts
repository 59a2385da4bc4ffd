// The log contains no secrets, does not repeat errors too often, and survives a reader that ends.

import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { DaypassError } from 'daypass'
import { createMongoStore } from 'daypass/mongodb'
import { createPostgresStore } from 'daypass/postgres'
import type { Redis } from 'ioredis'
import { MongoClient } from 'mongodb'
import pg from 'pg'
import { createErrorLog, createLog } from '../../server/src/log.ts'
import { freePort } from '../engines/free-port.ts'
import { type RedisEngine, redisMissing, startRedis } from '../engines/redis.ts'
import { post, startServerProcess } from './process.ts'

const cli = join(import.meta.dirname, '../../server/src/cli.ts')

describe('a typo in a URL prints no password', () => {
  for (const url of [
    'redis://u:s3cret@host:port',
    'redis://u:s3cret@s3cret@host',
    'redis://u:s3cret%zz@host',
    'redis+cluster://u:s3cret@a:1,b:99999',
    'postgres://u:s3cret@host:54x/db',
    'postgres://u:s3cret%zz@host/db',
    'postgres://u:s3cret/x@host/db',
    'postgress://u:s3cret@host/db',
    'mysql://u:s3cret@host:54x/db',
    'mysql://u:s3cret%zz@host/db',
    'mysql://u:s3cret@host/%zz',
    'mongodb://u:s3cret@',
    'mongodb://u:s3cret@s3cret@host',
    'mongodb://u:s3cret@host/%zz',
    'mongodb://u:s3cret@host/?directConnection=s3cret',
  ]) {
    test(url, async () => {
      const { PATH = '' } = process.env
      const env = { PATH, PORT: '0', DAYPASS_SECRET: 'a secret of a test, thirty-two bytes long', DAYPASS_STORE: url }
      const { code, stdout, stderr } = await promisify(execFile)(process.execPath, [cli, 'serve'], {
        env,
        cwd: tmpdir(),
        timeout: 20_000,
      }).then(
        () => assert.fail('it started'),
        (error: { code: number; stdout: string; stderr: string }) => error,
      )
      assert.equal(code, 1, stderr)
      assert.match(stderr, /^daypass-server: DAYPASS_STORE /)
      assert.doesNotMatch(stdout + stderr, /s3cret/)
    })
  }
})

test('a reader of the log that ends does not end the server', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'daypass-epipe-'))
  const port = await freePort()
  const { PATH = '' } = process.env
  const env = { PATH, PORT: String(port), DAYPASS_LOG: 'debug' }
  const child = spawn(process.execPath, [cli, 'serve'], { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'] })
  t.after(() => {
    child.kill('SIGKILL')
    rmSync(folder, { recursive: true, force: true })
  })
  await once(child.stdout, 'data')
  child.stdout.destroy()
  child.stderr.destroy()
  const url = `http://localhost:${port}`
  for (let n = 0; n < 20; n++) {
    const credentials = { email: 'ada@example.com', password: 'correct horse battery', transport: 'body' }
    const { status, body } = await post(`${url}/auth/register`, credentials)
    assert.equal(status, 200)
    assert.equal((await post(`${url}/auth/refresh`, { refreshToken: body.refreshToken })).status, 200)
    if (n === 18) break
  }
  assert.equal(child.exitCode, null)
  child.kill('SIGTERM')
  const [code] = await once(child, 'exit')
  assert.equal(code, 0)
})

test('each kind of error is logged once a minute, with the number of repeats', () => {
  const lines: any[] = []
  const time = { now: 1_000_000 }
  const log = createLog('info', { write: (line: string) => void lines.push(JSON.parse(line)) })
  const logError = createErrorLog(log, () => time.now)
  const refused = (port: number) => Object.assign(new Error(`connect ECONNREFUSED 127.0.0.1:${port}`), {})
  for (let n = 0; n < 50; n++) {
    logError('the database’s driver failed', refused(n))
    logError('request failed', new DaypassError('ERR_STORE_UNAVAILABLE', undefined, { cause: refused(n) }))
    logError('request failed', new DaypassError('ERR_STORE_UNAVAILABLE', undefined, { cause: 'ENOTFOUND' }))
  }
  assert.equal(lines.length, 2)
  assert.equal(lines[0].reason, 'connect ECONNREFUSED 127.0.0.1:0')
  time.now += 60_000
  logError('the database’s driver failed', refused(1))
  assert.deepEqual([lines.length, lines[2].repeated], [3, 99])
  lines.length = 0
  // A stranger can send as many of these as of requests, and choose their texts.
  const failed = (path: string) => new DaypassError('ERR_INTERNAL', undefined, { cause: new SyntaxError(path) })
  const alsoFailed = (path: string) => new DaypassError('ERR_INTERNAL', undefined, { cause: new SyntaxError(path) })
  for (let n = 0; n < 200; n++) {
    logError('request failed', new DaypassError('ERR_OVERLOADED'))
    logError('request failed', failed(`/path-${randomUUID()}`))
    logError('request failed', alsoFailed('/'))
  }
  assert.deepEqual(
    lines.map(({ code }) => code),
    ['ERR_OVERLOADED', 'ERR_INTERNAL', 'ERR_INTERNAL'],
  )
})

test('the log contains only the name, code, message and stack of an error', () => {
  const lines: string[] = []
  const log = createLog('info', { write: (line: string) => void lines.push(line) })
  const url = Object.assign(new TypeError('Invalid URL'), { input: 'redis://:s3cret@host:x', code: 'ERR_INVALID_URL' })
  createErrorLog(log)('request failed', new DaypassError('ERR_STORE_UNAVAILABLE', undefined, { cause: url }))
  assert.match(lines.join(''), /ERR_INVALID_URL/)
  assert.doesNotMatch(lines.join(''), /s3cret/)
})

describe('connection errors of drivers are in the log, once a minute at most', { concurrency: 2 }, () => {
  const check = (name: string, expected: RegExp, store: () => Promise<string> | string) =>
    test(name, { skip: name === 'WRONGPASS' ? redisMissing : false }, async (t) => {
      const server = await startServerProcess({ DAYPASS_STORE: await store() })
      t.after(() => server.remove())
      const seen = () => server.log.filter((line) => expected.test(JSON.stringify(line)))
      for (const end = Date.now() + 30_000; Date.now() < end && seen().length === 0; ) {
        await fetch(`${server.url}/readyz`)
        await delay(20)
      }
      // More tries to connect, and more failing calls.
      for (let n = 0; n < 5; n++) assert.equal((await fetch(`${server.url}/readyz`)).status, 503)
      const errors = server.log.filter((line) => line.level === 'error')
      assert.ok(seen().length >= 1, JSON.stringify(errors))
      // One error of a driver, and a few of the waiting calls, which have another text.
      const texts = errors.map((line) => JSON.stringify([line.reason, line.cause]).replaceAll(/\d+/g, '0'))
      assert.equal(new Set(texts).size, texts.length, texts.join('\n'))
      assert.ok(texts.length <= 5, texts.join('\n'))
      assert.doesNotMatch(server.output(), /s3cret/)
    })
  check('ENOTFOUND, Redis', /ENOTFOUND|EAI_AGAIN/, () => 'redis://u:s3cret@nowhere.invalid')
  check('ENOTFOUND, PostgreSQL', /ENOTFOUND|EAI_AGAIN/, () => 'postgres://u:s3cret@nowhere.invalid/db')
  check('ENOTFOUND, MySQL', /ENOTFOUND|EAI_AGAIN/, () => 'mysql://u:s3cret@nowhere.invalid/db')
  let engine: RedisEngine
  before(async () => {
    if (redisMissing) return
    engine = await startRedis()
    // A Redis without a password runs the commands that a driver sends together with an AUTH that fails.
    await (engine.admin as Redis).config('SET', 'requirepass', 'another')
  })
  after(() => engine?.remove())
  check('WRONGPASS', /WRONGPASS/, () => `redis://u:s3cret@127.0.0.1:${engine.servers[0]!.port}`)
})

test('an engine’s error text reaches the log through every store', async (t) => {
  const port = await freePort()
  const pool = new pg.Pool({ host: '127.0.0.1', port, password: 'canary' })
  const client = new MongoClient(`mongodb://u:canary@127.0.0.1:${port}`, { serverSelectionTimeoutMS: 200 })
  t.after(() => Promise.all([pool.end(), client.close()]))
  for (const store of [createPostgresStore(pool), createMongoStore(client.db('app'))]) {
    const lines: any[] = []
    const log = createLog('info', { write: (line: string) => void lines.push(JSON.parse(line)) })
    createErrorLog(log)('request failed', await store.open('https://issuer.example').catch((error) => error))
    assert.equal(lines[0].code, 'ERR_STORE_UNAVAILABLE')
    assert.match(lines[0].cause.reason, /ECONNREFUSED/)
    assert.ok(!JSON.stringify(lines).includes('canary'))
  }
})
