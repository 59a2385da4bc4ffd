// A database belongs to one issuer: what a server does where its port, its address or its secret has changed.

import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { freePort } from '../engines/free-port.ts'
import { post, type ServerProcess, startServerProcess } from './process.ts'

const credentials = { email: 'ada@example.com', password: 'correct horse battery', transport: 'body' }
const secret = 'a secret of a test that is long enough for a server'

/** Starts a server, and ends it with the test. */
async function start(t: TestContext, env: Record<string, string>): Promise<ServerProcess> {
  const server = await startServerProcess(env)
  t.after(() => server.remove())
  return server
}

/** The settings of another server on the same database. */
const besides = (server: ServerProcess, env: Record<string, string> = {}) => ({
  DAYPASS_STORE: `sqlite:${join(server.folder, 'daypass.db')}`,
  ...env,
})

test('another port: the database and its accounts can be used, without any setting', async (t) => {
  const first = await start(t, {})
  const registered = await post(`${first.url}/auth/register`, credentials)
  await first.stop()
  const second = await start(t, besides(first))
  assert.notEqual(second.url, first.url)
  const { refreshToken } = registered.body
  assert.equal((await post(`${second.url}/auth/refresh`, { refreshToken })).status, 200)
  assert.equal((await post(`${second.url}/auth/login`, credentials)).status, 200)
  assert.equal((await post(`${second.url}/auth/try`, { transport: 'body' })).status, 200)
  const { servers } = (await (await fetch(`${second.url}/docs/json`)).json()) as { servers: { url: string }[] }
  assert.deepEqual(servers, [{ url: first.url }])
})

for (const issuer of ['https://auth.example.com', 'http://localhost:3000/']) {
  test(`the address of people, ${issuer}, after a trial: the server ends and says what to do, which works`, async (t) => {
    const trial = await start(t, { DAYPASS_SECRET: secret })
    const { refreshToken } = (await post(`${trial.url}/auth/register`, credentials)).body
    await trial.stop()
    const env = { DAYPASS_SECRET: secret, DAYPASS_ISSUER: issuer }
    await assert.rejects(startServerProcess(besides(trial, env)), ({ message }: Error) => {
      assert.ok(
        message.includes(`DAYPASS_ISSUER is ${issuer}, and the sessions in this database belong to ${trial.url}.`),
      )
      assert.match(message, /DAYPASS_PREFIX=daypass2/)
      return true
    })
    const moved = await start(t, besides(trial, { ...env, DAYPASS_PREFIX: 'daypass2' }))
    const refreshed = await post(`${moved.url}/auth/refresh`, { refreshToken })
    assert.deepEqual([refreshed.status, refreshed.body.error], [401, 'invalid_grant'])
    assert.equal((await post(`${moved.url}/auth/login`, credentials)).status, 200, 'the accounts stay')
    await moved.stop()
    await trial.start()
    assert.equal((await post(`${trial.url}/auth/refresh`, { refreshToken })).status, 200, 'the way back is open')
  })
}

test('the address of people is no longer set: the server ends and names it', async (t) => {
  const first = await start(t, { DAYPASS_ISSUER: 'https://auth.example.com' })
  await first.stop()
  await assert.rejects(startServerProcess(besides(first)), /DAYPASS_ISSUER is not set, .* https:\/\/auth\.example\.com/)
})

test('a database that does not respond is logged at the start, and not only at the first request', async (t) => {
  const store = `postgres://nobody:hunter2@127.0.0.1:${await freePort()}/none`
  const server = await start(t, { DAYPASS_STORE: store, DAYPASS_SECRET: secret })
  assert.ok(server.log.some(({ message }) => message === 'the database cannot be used yet'))
  assert.ok(!server.output().includes('hunter2'))
  assert.equal((await fetch(`${server.url}/readyz`)).status, 503)
})

test('a prefix that no table can have, or that the accounts have, is an error at the start', async () => {
  await assert.rejects(startServerProcess({ DAYPASS_PREFIX: 'Day pass' }), /DAYPASS_PREFIX must be/)
  await assert.rejects(startServerProcess({ DAYPASS_PREFIX: 'daypass_account' }), /DAYPASS_PREFIX is the beginning/)
})

test('a lost secret: the server says that its database is older', async (t) => {
  const server = await start(t, {})
  assert.match(server.output(), /A secret was made and kept in .*secret: back it up, or set DAYPASS_SECRET\.\n/)
  await server.stop()
  const before = server.output().length
  await server.start()
  assert.doesNotMatch(server.output().slice(before), /secret/)
  await server.stop()
  rmSync(join(server.folder, 'secret'))
  await server.start()
  assert.match(server.output().slice(before), /daypass\.db is older: .* Restore it, or everybody signs in again/)
})
