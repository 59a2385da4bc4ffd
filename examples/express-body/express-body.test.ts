// The first tutorial done right: it does what the tutorial promised.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { createApi } from './client.ts'
import { createApp } from './server.ts'

async function start() {
  const folder = mkdtempSync(join(tmpdir(), 'daypass-example-'))
  const secret = randomBytes(32).toString('base64url')
  const { app, auth, users } = createApp({ secret, database: join(folder, 'sessions.db') })
  const server = app.listen(0)
  await new Promise((resolve) => server.once('listening', resolve))
  const url = `http://localhost:${(server.address() as AddressInfo).port}`
  return {
    url,
    users,
    async stop() {
      server.close()
      server.closeAllConnections()
      await auth.close()
      rmSync(folder, { recursive: true })
    },
  }
}

const post = async (url: string, body: unknown) => {
  const headers = { 'content-type': 'application/json' }
  const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) })
  return { status: response.status, body: (await response.json()) as any }
}

test('login gives 15 minutes and 7 days; /refresh-token gives the next; the old one is rejected', async () => {
  const { url, stop } = await start()
  try {
    assert.equal((await post(`${url}/login`, { name: 'ada', password: 'wrong' })).status, 401)
    const { body: login } = await post(`${url}/login`, { name: 'ada', password: 'correct horse' })
    assert.equal(login.expiresIn, 15 * 60)
    assert.equal(login.session.idleExpiresAt - login.session.createdAt, 7 * 24 * 60 * 60 * 1000)
    const protectedRoute = (token: string) =>
      fetch(`${url}/protected`, { headers: { authorization: `Bearer ${token}` } })
    assert.deepEqual(await (await protectedRoute(login.accessToken)).json(), { hello: '1', role: 'admin' })
    assert.equal((await protectedRoute('nonsense')).status, 401)

    const { body: next } = await post(`${url}/refresh-token`, { refreshToken: login.refreshToken })
    assert.equal((await protectedRoute(next.accessToken)).status, 200)
    assert.equal((await post(`${url}/refresh-token`, { refreshToken: next.refreshToken })).status, 200)
    const stolen = await post(`${url}/refresh-token`, { refreshToken: login.refreshToken })
    assert.notEqual(stolen.status, 200)
  } finally {
    await stop()
  }
})

test('a person who is not to be remembered is, for a day', async () => {
  const { url, stop } = await start()
  try {
    const credentials = { name: 'ada', password: 'correct horse', rememberMe: false }
    const { body: login } = await post(`${url}/login`, credentials)
    const { body: next } = await post(`${url}/refresh-token`, { refreshToken: login.refreshToken })
    for (const { session } of [login, next]) {
      assert.equal(session.idleExpiresAt - session.rotatedAt, 24 * 60 * 60 * 1000)
    }
  } finally {
    await stop()
  }
})

test('a user who was disabled gets no new token', async () => {
  const { url, users, stop } = await start()
  try {
    const { body: login } = await post(`${url}/login`, { name: 'ada', password: 'correct horse' })
    users[0]!.active = false
    const refused = await post(`${url}/refresh-token`, { refreshToken: login.refreshToken })
    assert.deepEqual([refused.status, refused.body.error], [401, 'invalid_grant'])
  } finally {
    users[0]!.active = true
    await stop()
  }
})

test('the fetch client signs in, calls and signs out', async () => {
  const { url, stop } = await start()
  try {
    const api = createApi(url)
    await api.signIn({ name: 'ada', password: 'correct horse' })
    assert.equal((await api.fetch(`${url}/protected`)).status, 200)
    await api.signOut()
    assert.equal((await api.fetch(`${url}/protected`)).status, 401)
  } finally {
    await stop()
  }
})
