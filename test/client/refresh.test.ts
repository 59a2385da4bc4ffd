// The client refreshes when necessary, and once.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createClient, isOffline, isSignedOut } from '../../src/client/index.ts'
import {
  createGate,
  createJar,
  createStorage,
  credentials,
  refused,
  reply,
  startServer,
  startSignedIn,
} from './scripted-server.ts'

test('a call carries the access token, and nothing else about the session', async (t) => {
  const { server, client, api } = await startSignedIn(t)
  const response = await client.fetch(api)
  assert.equal(response.status, 200)
  assert.equal(server.seen.length, 1)
  assert.match(server.seen[0]!.headers.authorization!, /^Bearer access-/)
  assert.doesNotMatch(JSON.stringify(server.seen[0]!.headers), /refresh-/)
})

test('a token that has ended is refreshed before the call goes out, one about to end as well', async (t) => {
  const { server, client, api, time } = await startSignedIn(t)
  time.now += 900_000
  assert.equal((await client.fetch(api)).status, 200)
  assert.deepEqual([server.refreshes(), server.requests('/api').length], [1, 1])
  time.now += 900_000 - 10_001
  await client.fetch(api)
  assert.equal(server.refreshes(), 1)
  time.now += 2
  await client.fetch(api)
  assert.deepEqual([server.refreshes(), server.requests('/api').length], [2, 3])
})

test('a token of 2 seconds is refreshed in its last tenth', async (t) => {
  const { server, client, api, time } = await startSignedIn(t)
  server.expiresIn = 2
  await client.getAccessToken({ forceFresh: true })
  time.now += 1799
  await client.fetch(api)
  assert.equal(server.refreshes(), 1)
  time.now += 2
  await client.fetch(api)
  assert.equal(server.refreshes(), 2)
})

test('a refresh before the end that hangs does not delay a call whose token is still valid', async (t) => {
  const { server, client, api, time } = await startSignedIn(t)
  server.script.push(() => {})
  time.now += 899_000
  assert.equal((await client.fetch(api)).status, 200)
  assert.equal(server.refreshes(), 1)
})

test('a token that expires while its refresh is under way: the call waits for the new one', async (t) => {
  const { server, client, api, time } = await startSignedIn(t)
  server.script.push(async (_, response, commit) => {
    time.now += 1000
    await new Promise((resolve) => setTimeout(resolve, 700))
    reply(response, commit())
  })
  time.now += 899_000
  assert.equal((await client.fetch(api)).status, 200)
  assert.deepEqual([server.refreshes(), server.requests('/api').length], [1, 1])
})

test('a token that expires while its refresh fails: after another attempt the call succeeds', async (t) => {
  const { server, client, api, time } = await startSignedIn(t)
  server.script.push((_, response) => {
    time.now += 10_000
    response.destroy()
  })
  time.now += 895_000
  assert.equal((await client.fetch(api)).status, 200)
  assert.equal(server.refreshes(), 2)
})

test('the key is stored before the refresh goes out, and cleared when its answer is stored', async (t) => {
  const { server, client, storage } = await startSignedIn(t)
  server.script.push(({ headers }, response, commit) => {
    const key = storage.memory().key as string
    assert.match(key, /^\d+(\.\d+){15}$/)
    assert.equal(headers['idempotency-key'], `"${key}"`)
    reply(response, commit())
  })
  await client.getAccessToken({ forceFresh: true })
  const { token, key, last } = storage.memory()
  assert.deepEqual([token, key], ['refresh-2', undefined])
  assert.match(String(last), /^\d+(\.\d+){15}$/)
})

test('a lost response: the retry has the same key and gets the same child', async (t) => {
  const { server, client, storage } = await startSignedIn(t)
  server.script.push((_, response, commit) => {
    commit()
    response.destroy()
  })
  await client.getAccessToken({ forceFresh: true })
  const keys = server.requests('/auth/refresh').map(({ headers }) => headers['idempotency-key'])
  assert.equal(keys.length, 2)
  assert.equal(keys[0], keys[1])
  assert.equal(storage.memory().token, 'refresh-2')
})

test('a storage that fails when the response is stored: the session is kept, and the retry has the same key', async (t) => {
  const { server, client, storage, api } = await startSignedIn(t)
  const { set } = storage
  let failures = 1
  storage.set = async (name, value) => {
    if (JSON.parse(value).token === 'refresh-2' && failures-- > 0)
      throw Object.assign(new Error('full'), { code: 'ENOSPC' })
    return set(name, value)
  }
  server.expireTokens()
  assert.equal((await client.fetch(api)).status, 200)
  const keys = server.requests('/auth/refresh').map(({ headers }) => headers['idempotency-key'])
  assert.equal(new Set(keys).size, 1)
  assert.equal(storage.memory().token, 'refresh-2')
})

test('cookie transport: nothing in the body, the last completed key goes along, nothing secret is stored', async (t) => {
  const server = await startServer(t)
  const storage = createStorage()
  const { fetch } = createJar()
  const client = createClient({ baseUrl: `${server.url}/auth`, transport: 'cookie', storage, fetch })
  await client.signIn(credentials)
  await client.getAccessToken({ forceFresh: true })
  await client.getAccessToken({ forceFresh: true })
  const [first, second] = server.requests('/auth/refresh')
  assert.match(String(first!.headers['idempotency-key']), /^"[\d.]{31,63}"$/)
  const key = String(first!.headers['idempotency-key'])
  assert.match(String(second!.headers['idempotency-key']), /^"[\d.]{31,63}"; previous="[\d.]{31,63}"$/)
  assert.ok(String(second!.headers['idempotency-key']).endsWith(key))
  assert.equal(String(second!.body), '{}')
  assert.doesNotMatch(JSON.stringify([...storage.values]), /refresh-|access-/)
})

test('cookie transport: a page load refreshes once for all its first calls; a visitor is asked once, then never', async (t) => {
  const server = await startServer(t)
  const storage = createStorage()
  const { fetch, jar } = createJar()
  const options = { baseUrl: `${server.url}/auth`, transport: 'cookie', storage, fetch } as const
  await createClient(options).signIn(credentials)

  const reloaded = createClient(options)
  assert.equal(reloaded.getSession().status, 'unknown')
  const responses = await Promise.all([1, 2, 3].map(() => reloaded.fetch(`${server.url}/api`)))
  assert.deepEqual(
    responses.map(({ status }) => status),
    [200, 200, 200],
  )
  assert.equal(server.refreshes(), 1)

  jar.clear()
  const visitor = createClient(options)
  const response = await visitor.fetch(`${server.url}/api`)
  assert.equal(response.status, 401)
  assert.equal(server.seen.at(-1)!.headers.authorization, undefined)
  assert.deepEqual(
    [visitor.getSession().status, visitor.getSession().reason],
    ['signed-out', 'ERR_REFRESH_TOKEN_MISSING'],
  )
  const asked = server.refreshes()

  const again = createClient(options)
  await again.fetch(`${server.url}/api`)
  await assert.rejects(again.getAccessToken(), isSignedOut)
  assert.equal(server.refreshes(), asked)
})

test('cookie transport: a sign-in made by other means is picked up by forceFresh', async (t) => {
  const server = await startServer(t)
  const storage = createStorage()
  const { fetch } = createJar()
  const client = createClient({ baseUrl: `${server.url}/auth`, transport: 'cookie', storage, fetch })
  await assert.rejects(client.getAccessToken(), isSignedOut)
  const body = JSON.stringify({ ...credentials, transport: 'cookie' })
  await fetch(`${server.url}/auth/login`, { method: 'POST', body, credentials: 'include' })
  await assert.rejects(client.getAccessToken(), isSignedOut)
  await client.getAccessToken({ forceFresh: true })
  assert.equal(client.getSession().status, 'signed-in')
  assert.equal((await client.fetch(`${server.url}/api`)).status, 200)
})

test('body transport: without a stored session no request is sent', async (t) => {
  const server = await startServer(t)
  const client = createClient({ baseUrl: `${server.url}/auth` })
  assert.equal((await client.fetch(`${server.url}/api`)).status, 401)
  assert.equal(client.getSession().reason, 'no-session')
  assert.equal(server.refreshes(), 0)
})

test('two clients on one storage, both refreshing at once: the same key, nobody is signed out', async (t) => {
  const { server, client, storage, api } = await startSignedIn(t)
  const other = createClient({ baseUrl: `${server.url}/auth`, storage })
  const gate = createGate()
  const hold = async (_: unknown, response: any, commit: () => any) => {
    const answer = commit()
    await gate.opened
    reply(response, answer)
  }
  server.script.push(hold, hold)
  server.expireTokens()
  const calls = Promise.all([client.fetch(api), other.fetch(api)])
  while (server.refreshes() < 2) await new Promise((resolve) => setTimeout(resolve, 5))
  gate.open()
  assert.deepEqual(
    (await calls).map(({ status }) => status),
    [200, 200],
  )
  assert.equal(storage.memory().token, 'refresh-2')
  assert.equal(storage.memory().key, undefined)
  assert.equal(server.refreshes(), 2)
})

test('a response is used only if the presented token is still the stored one', async (t) => {
  const { server, client, storage } = await startSignedIn(t)
  server.script.push(async (_, response, commit) => {
    const answer = commit()
    const [name] = storage.values.keys()
    storage.values.set(name!, JSON.stringify({ token: 'refresh-2', key: 'another-pending-key-00' }))
    // A copy that knows better: this answer's child is not what is stored any more.
    reply(response, { ...answer, body: { ...answer.body, refreshToken: 'refresh-old' } })
  })
  await client.getAccessToken({ forceFresh: true })
  assert.equal(server.refreshes(), 2)
  assert.match(String(server.seen.at(-1)!.body), /refresh-2/)
  assert.equal(storage.memory().token, 'refresh-3')
})

test('attempts for one call end after 15 seconds', async (t) => {
  const { server, client, api, time } = await startSignedIn(t)
  const busy = (_: unknown, response: any) =>
    reply(response, refused(503, 'temporarily_unavailable', 'ERR_OVERLOADED'), { 'retry-after': '10' })
  server.script.push(busy, busy)
  server.expireTokens()
  const start = time.now
  await assert.rejects(client.fetch(api), (error) => isOffline(error) && error.retryAfter === 10)
  assert.ok(time.now - start <= 15_000)
  assert.equal(server.refreshes(), 2)
  // The next call waits as Retry-After says, and goes through.
  assert.equal((await client.fetch(api)).status, 200)
})

test('a Retry-After longer than the maximum wait fails the next calls at once, without a request', async (t) => {
  const { server, client, api, time } = await startSignedIn(t)
  server.script.push((_, response) =>
    reply(response, refused(429, 'rate_limited', 'ERR_RATE_LIMITED'), { 'retry-after': '60' }),
  )
  server.expireTokens()
  await assert.rejects(
    client.fetch(api),
    (error) => isOffline(error) && error.retryAfter === 60 && error.status === 429,
  )
  await assert.rejects(client.fetch(api), isOffline)
  assert.equal(server.refreshes(), 1)
  assert.equal(client.getSession().status, 'offline')
  time.now += 60_000
  assert.equal((await client.fetch(api)).status, 200)
})

test('listeners get the states, as objects that stay the same until something changes', async (t) => {
  const { client, server } = await startSignedIn(t)
  const seen: string[] = []
  const unsubscribe = client.subscribe(() => seen.push(client.getSession().status))
  assert.equal(client.getSession(), client.getSession())
  assert.equal(client.getSession().session!.subject, 'ada')
  assert.equal(client.getSession().expiresAt, 1000 + 900_000)
  server.expireTokens()
  await client.fetch(`${server.url}/api`)
  await client.signOut()
  assert.deepEqual(seen, ['refreshing', 'signed-in', 'signed-out'])
  assert.deepEqual([client.getSession().reason, client.getSession().session], ['sign-out', undefined])
  unsubscribe()
  await client.signIn(credentials)
  assert.equal(seen.length, 3)
})

test('forceFresh beside a call that asks nobody: it asks, after a sign-in by other means', async (t) => {
  for (const order of ['fetch first', 'forceFresh first']) {
    const server = await startServer(t)
    const storage = createStorage()
    const { fetch } = createJar()
    const options = { baseUrl: `${server.url}/auth`, transport: 'cookie', storage, fetch } as const
    await createClient(options).signOut()
    const body = JSON.stringify({ ...credentials, transport: 'cookie' })
    await fetch(`${server.url}/auth/login`, { method: 'POST', body, credentials: 'include' })
    const page = createClient(options)
    const calls = [() => page.fetch(`${server.url}/api`), () => page.getAccessToken({ forceFresh: true })]
    if (order === 'forceFresh first') calls.reverse()
    await Promise.all(calls.map((call) => call()))
    assert.equal(page.getSession().status, 'signed-in', order)
    assert.equal((await page.fetch(`${server.url}/api`)).status, 200)
    assert.equal(server.refreshes(), 1)
  }
})

for (const transport of ['body', 'cookie'] as const) {
  test(`${transport}: a refused token is not renewed by a visitor's question, which asks nobody after a sign-in`, async (t) => {
    const server = await startServer(t)
    const storage = createStorage()
    const { get } = storage
    const asked = createGate()
    const answered = createGate()
    // The visitor's question hangs at its first look into the storage.
    storage.get = async (name) => {
      storage.get = get
      asked.open()
      await answered.opened
      return get(name)
    }
    const jar = createJar()
    const send: typeof fetch = async (input, init) => {
      const response = await jar.fetch(input, init)
      // By then the call that was refused waits for that question.
      if (response.status === 401) setImmediate(answered.open)
      return response
    }
    const client = createClient({ baseUrl: `${server.url}/auth`, transport, storage, fetch: send })
    const first = client.fetch(`${server.url}/api`)
    await asked.opened
    await client.signIn(credentials)
    server.expireTokens()
    assert.equal((await client.fetch(`${server.url}/api`)).status, 200)
    assert.equal((await first).status, 200)
    assert.equal(await client.getAccessToken(), 'access-2')
    assert.equal(server.refreshes(), 1)
  })
}

test('forceFresh beside a refresh that brings a token: one refresh for both', async (t) => {
  const { server, client, api, time } = await startSignedIn(t)
  time.now += 900_000
  const [response, token] = await Promise.all([client.fetch(api), client.getAccessToken({ forceFresh: true })])
  assert.deepEqual([response.status, token, server.refreshes()], [200, 'access-2', 1])
})

test('an endpoint that always says 401, while refreshes fail: the others go on with their token', async (t) => {
  const { server, client, api, time } = await startSignedIn(t)
  const { api: answer } = server
  server.api = (one) => (one.path === '/api/broken' ? refused(401, 'nope', 'ERR_X') : answer(one))
  server.script.push(
    ...Array.from(
      { length: 50 },
      () => (_: unknown, response: any) =>
        reply(response, refused(503, 'temporarily_unavailable', 'ERR_OVERLOADED'), { 'retry-after': '60' }),
    ),
  )
  for (let minute = 0; minute < 10; minute++) {
    await assert.rejects(client.fetch(`${api}/broken`), isOffline)
    const before = server.refreshes()
    for (let call = 0; call < 5; call++) assert.equal((await client.fetch(api)).status, 200)
    assert.equal(await client.getAccessToken(), 'access-1')
    assert.equal(server.refreshes(), before, 'the server is left alone, as it asked')
    time.now += 61_000
  }
  server.script.length = 0
  assert.equal((await client.fetch(api)).status, 200)
  assert.equal(await client.getAccessToken(), 'access-2')
  assert.equal(client.getSession().status, 'signed-in')
})

test('a refused token whose refresh hangs: a call with it waits a little, and goes out', async (t) => {
  const { server, client, api } = await startSignedIn(t)
  const { api: answer } = server
  server.api = (one) => (one.path === '/api/broken' ? refused(401, 'nope', 'ERR_X') : answer(one))
  const asked = createGate()
  server.script.push(() => asked.open())
  const broken = client.fetch(`${api}/broken`).catch(() => {})
  await asked.opened
  // Not until the refresh ends, which would take ten seconds.
  assert.equal((await client.fetch(api)).status, 200)
  assert.equal(server.refreshes(), 1)
  await client.signOut()
  await broken
})
