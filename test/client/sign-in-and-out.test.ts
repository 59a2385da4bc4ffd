// Sign-in with its errors, and sign-out.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createClient, isOffline, isSignedOut, isSignInFailed } from '../../src/client/index.ts'
import {
  createGate,
  createJar,
  createStorage,
  credentials,
  reply,
  startServer,
  startSignedIn,
} from './scripted-server.ts'
import { withWebLocks } from './web-locks.ts'

test('sign-in returns the server’s response without the tokens', async (t) => {
  const server = await startServer(t)
  const client = createClient({ baseUrl: `${server.url}/auth` })
  const answer = await client.signIn(credentials)
  assert.equal(answer.session!.subject, 'ada')
  assert.doesNotMatch(JSON.stringify(answer), /access-|refresh-/)
  assert.deepEqual(JSON.parse(String(server.seen[0]!.body)), { ...credentials, transport: 'body' })
  assert.equal(client.getSession().status, 'signed-in')
})

test('a rejected sign-in says why, and changes nothing', async (t) => {
  const server = await startServer(t)
  const client = createClient({ baseUrl: `${server.url}/auth` })
  await assert.rejects(client.signIn({ password: 'wrong' }), (error) => {
    assert.ok(isSignInFailed(error))
    assert.deepEqual([error.status, error.reason, error.body!.error], [401, 'ERR_CREDENTIALS_INVALID', 'invalid_grant'])
    return true
  })
  assert.equal(client.getSession().status, 'unknown')
})

test('a rejected sign-in keeps the previous session', async (t) => {
  const { client, api } = await startSignedIn(t)
  await assert.rejects(client.signIn({ password: 'wrong' }), isSignInFailed)
  assert.equal((await client.fetch(api)).status, 200)
})

test('sign-in by another route; without a server: offline; without tokens in the answer: failed', async (t) => {
  const server = await startServer(t)
  const client = createClient({ baseUrl: `${server.url}/auth/` })
  await client.signIn(credentials, { path: `${server.url}/auth/login` })
  server.api = () => ({ status: 200, body: { mfa: true } })
  await assert.rejects(
    client.signIn(credentials, { path: 'register' }),
    (error) => isSignInFailed(error) && error.body!.mfa === true,
  )
  assert.equal(server.seen.at(-1)!.path, '/auth/register')
  await assert.rejects(client.signIn(credentials, { path: 'http://127.0.0.1:1/login' }), isOffline)
})

test('paths are resolved as links are: below baseUrl, from the root of its origin, or whole', async (t) => {
  const server = await startServer(t)
  server.api = () => ({ status: 404, body: {} })
  const resolve = async (baseUrl: string, path: string, loginPath?: string) => {
    const client = createClient({ baseUrl, ...(loginPath && { loginPath }) })
    await assert.rejects(client.signIn(credentials, path ? { path } : {}), isSignInFailed)
    return server.seen.at(-1)!.path
  }
  for (const [base, path, expected] of [
    ['/v1/auth', 'register', '/v1/auth/register'],
    ['/v1/auth/', 'register', '/v1/auth/register'],
    ['/v1/auth', '/api/login', '/api/login'],
    ['/v1/auth', '../login', '/v1/login'],
    ['', 'register', '/register'],
    ['', '/register', '/register'],
    ['/v1/auth', `${server.url}/whole`, '/whole'],
  ] as const) {
    assert.equal(await resolve(server.url + base, path), expected, `${path} at ${base}`)
    assert.equal(await resolve(server.url + base, '', path), expected, `loginPath ${path} at ${base}`)
  }
  assert.equal(await resolve(`${server.url}/v1/auth`, ''), '/v1/auth/login')

  // The other two options go the same way, from the sign-in to the sign-out.
  const paths = { loginPath: '/auth/login', refreshPath: '/auth/refresh', logoutPath: '/auth/logout' }
  const client = createClient({ baseUrl: `${server.url}/elsewhere`, ...paths })
  await client.signIn(credentials)
  await client.getAccessToken({ forceFresh: true })
  await client.signOut()
  assert.deepEqual(
    server.seen.slice(-3).map(({ path }) => path),
    ['/auth/login', '/auth/refresh', '/auth/logout'],
  )
})

test('signing in as another person: calls that wait in the name of the first fail, none goes out as the second', async (t) => {
  const { server, client, api } = await startSignedIn(t)
  const asked = createGate()
  server.script.push(() => asked.open())
  server.expireTokens()
  const call = client.fetch(api)
  await asked.opened
  const signIn = client.signIn(credentials)
  assert.equal((await call).status, 401)
  await signIn
  assert.equal(server.requests('/api').length, 1)
  assert.equal((await client.fetch(api)).status, 200)
})

test('sign-out: the request is sent, and later calls are sent without a token', async (t) => {
  const { server, client, api, storage } = await startSignedIn(t)
  await client.signOut()
  assert.equal(server.hasSession(), false)
  assert.deepEqual(JSON.parse(String(server.seen[0]!.body)), { refreshToken: 'refresh-1' })
  assert.deepEqual(Object.keys(storage.memory()), ['out'])
  assert.equal((await client.fetch(api)).status, 401)
  assert.equal(server.seen.at(-1)!.headers.authorization, undefined)
  await assert.rejects(client.getAccessToken(), isSignedOut)
  assert.equal(server.refreshes(), 0)
})

test('sign-out is a fence: waiting calls fail at once, and a late response restores nothing', async (t) => {
  const { server, client, api, storage } = await startSignedIn(t)
  const asked = createGate()
  const gate = createGate()
  const answered = createGate()
  server.script.push(async (_, response, commit) => {
    const answer = commit()
    asked.open()
    await gate.opened
    reply(response, answer)
    answered.open()
  })
  server.expireTokens()
  const calls = [client.fetch(api), client.fetch(api), client.getAccessToken({ forceFresh: true })]
  await asked.opened
  const signedOut = client.signOut()
  for (const call of calls) await assert.rejects(call, (error) => isSignedOut(error) && error.reason === 'sign-out')
  gate.open()
  await answered.opened
  await signedOut
  assert.equal(client.getSession().status, 'signed-out')
  assert.deepEqual(Object.keys(storage.memory()), ['out'])
  assert.equal((await client.fetch(api)).status, 401)
})

test('sign-out while the client waits to ask again: waiting calls fail at once', async (t) => {
  const sleep = () => new Promise(() => {})
  const { server, client, api } = await startSignedIn(t, { sleep })
  server.script.push((_, response) => response.destroy())
  server.expireTokens()
  const call = assert.rejects(client.fetch(api), isSignedOut)
  while (server.refreshes() === 0) await new Promise((resolve) => setTimeout(resolve, 5))
  await new Promise((resolve) => setTimeout(resolve, 20))
  await client.signOut()
  await call
  await client.signIn(credentials)
  assert.equal((await client.fetch(api)).status, 200)
})

test('a session ended by the server: the call that found out gets its 401, one not sent yet fails', async (t) => {
  const { server, client, api, time } = await startSignedIn(t)
  server.endSession()
  assert.equal((await client.fetch(api)).status, 401)
  assert.equal(client.getSession().reason, 'ERR_SESSION_REVOKED')
  await client.signIn(credentials)
  server.endSession()
  time.now += 900_000
  await assert.rejects(client.fetch(api), (error) => isSignedOut(error) && error.reason === 'ERR_SESSION_REVOKED')
})

test('sign-out while the server is unavailable: signed out here, ERR_OFFLINE, and sent again later', async (t) => {
  const { server, client } = await startSignedIn(t)
  const { fetch } = globalThis
  globalThis.fetch = async () => Promise.reject(new TypeError('fetch failed'))
  try {
    await assert.rejects(client.signOut(), isOffline)
  } finally {
    globalThis.fetch = fetch
  }
  assert.equal(client.getSession().status, 'signed-out')
  assert.equal(server.hasSession(), true)
  await client.signOut()
  assert.equal(server.hasSession(), false)
})

test(
  'two tabs: one refresh for both, sign-out in one ends the other at once, sign-in brings it back',
  withWebLocks,
  async (t) => {
    const server = await startServer(t)
    const storage = createStorage()
    const { fetch } = createJar()
    const options = { baseUrl: `${server.url}/auth`, transport: 'cookie', storage, fetch, tabs: true } as const
    const tabs = Array.from({ length: 5 }, () => createClient(options))
    const has = async (status: string) => {
      for (const deadline = Date.now() + 10_000; ; ) {
        if (tabs.every((tab) => tab.getSession().status === status)) return
        assert.ok(Date.now() < deadline, `not all ${status} within ten seconds`)
        await new Promise((resolve) => setTimeout(resolve, 5))
      }
    }
    await tabs[0]!.signIn(credentials)
    await has('signed-in')
    assert.equal((await tabs[4]!.fetch(`${server.url}/api`)).status, 200)
    assert.equal(server.refreshes(), 0)

    server.expireTokens()
    const responses = await Promise.all(tabs.map((tab) => tab.fetch(`${server.url}/api`)))
    assert.deepEqual(
      responses.map(({ status }) => status),
      Array(5).fill(200),
    )
    assert.equal(server.refreshes(), 1)

    const opened = Array.from({ length: 3 }, () => createClient(options))
    tabs.push(...opened)
    await Promise.all(opened.map((tab) => tab.getAccessToken()))
    assert.equal(server.refreshes(), 2)

    const asked = createGate()
    server.script.push(() => asked.open())
    server.expireTokens()
    const waiting = assert.rejects(tabs[3]!.fetch(`${server.url}/api`), isSignedOut)
    await asked.opened
    await tabs[1]!.signOut()
    await waiting
    await has('signed-out')
    await tabs[2]!.signIn(credentials)
    await has('signed-in')
  },
)

test('two tabs: a session that the server still knows is found after a sign-out that was broadcast but never stored', async (t) => {
  const server = await startServer(t)
  const { fetch } = createJar()
  const options = {
    baseUrl: `${server.url}/auth`,
    transport: 'cookie',
    storage: createStorage(),
    fetch,
    tabs: true,
  } as const
  const [first, second] = [createClient(options), createClient(options)]
  await first.signIn(credentials)
  // A tab tells of its sign-out and dies before it writes it down. A later sign-in looks older: the clock was set back.
  const dying = new BroadcastChannel(`daypass:${server.url}/auth/refresh`)
  dying.postMessage({ out: Date.now() + 60_000, reason: 'sign-out' })
  for (const tab of [first, second]) while (tab.getSession().status !== 'signed-out') await new Promise(setImmediate)
  dying.close()

  await first.getAccessToken({ forceFresh: true })
  assert.equal((await first.fetch(`${server.url}/api`)).status, 200)
  while (second.getSession().status !== 'signed-in') await new Promise(setImmediate)
  // The next tab, which received no sign-out, agrees on when the session began.
  const third = createClient(options)
  await third.getAccessToken()
  await first.signOut()
  for (const tab of [second, third]) while (tab.getSession().status !== 'signed-out') await new Promise(setImmediate)
})
