// Calls: their session, their own Authorization, and a token that cannot be renewed.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isOffline } from '../../src/client/index.ts'
import { createGate, credentials, refused, startSignedIn } from './scripted-server.ts'

test('a request with its own Authorization is sent unchanged', async (t) => {
  const { server, client, api } = await startSignedIn(t)
  assert.equal((await client.fetch(api, { headers: { authorization: 'Basic eDp5' } })).status, 401)
  assert.equal(server.seen.length, 1)
  assert.equal(server.seen[0]!.headers.authorization, 'Basic eDp5')
})

test('a call with a 401 whose token cannot be renewed now fails with ERR_OFFLINE, not as signed out', async (t) => {
  const { server, client, api } = await startSignedIn(t)
  server.expireTokens()
  for (let i = 0; i < 4; i++) server.script.push((_, response) => response.destroy())
  await assert.rejects(client.fetch(api), isOffline)
})

test('a call of one person is never sent again with the token of the next', async (t) => {
  const { server, client, api } = await startSignedIn(t)
  const { api: answer } = server
  const held = createGate()
  const gate = createGate()
  server.api = async (seen) => {
    if (seen.headers['x-slow']) {
      held.open()
      await gate.opened
      return refused(401, 'invalid_token', 'ERR_ACCESS_TOKEN_REVOKED')
    }
    return answer(seen)
  }
  const call = client.fetch(api, { headers: { 'x-slow': '1' } })
  await held.opened
  await client.signIn(credentials)
  gate.open()
  assert.equal((await call).status, 401)
  assert.equal(server.requests('/api').length, 1)
})

test('a hundred calls wait for one refresh without a warning', async (t) => {
  const warnings: Error[] = []
  const listen = (warning: Error) => warnings.push(warning)
  process.on('warning', listen)
  t.after(() => process.off('warning', listen))
  const { server, client, time } = await startSignedIn(t)
  time.now += 900_000
  await Promise.all(Array.from({ length: 100 }, () => client.getAccessToken({ signal: t.signal })))
  assert.equal(server.refreshes(), 1)
  assert.deepEqual(warnings, [])
})
