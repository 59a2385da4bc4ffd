// Every sign-out reaches the server: at once, also when the page closes, or at the next start if the server was unavailable.

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { createClient, type DaypassClient, isOffline, isSignedOut } from '../../src/client/index.ts'
import { startDaypass } from './daypass-server.ts'
import { createGate, createStorage } from './scripted-server.ts'
import { withWebLocks } from './web-locks.ts'

/** fetch with a browser's cookie jar, which may be cut off from the network. */
function createNetwork() {
  const jar = new Map<string, string>()
  const sent: { path: string; keepalive: boolean | undefined; body: any }[] = []
  const network = {
    jar,
    sent,
    isDown: false,
    /** Holds what was answered at this path. */
    hold: async (_path: string) => {},
    fetch: (async (input, init) => {
      const url = new URL(String((input as Request).url ?? input))
      sent.push({ path: url.pathname, keepalive: init?.keepalive, body: init?.body && JSON.parse(String(init.body)) })
      if (network.isDown) throw new TypeError('fetch failed')
      const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ')
      const headers = { ...(init?.headers as object), 'sec-fetch-site': 'same-origin', ...(cookie && { cookie }) }
      const response = await fetch(input, init?.credentials === 'include' ? { ...init, headers } : init)
      await network.hold(url.pathname)
      for (const line of response.headers.getSetCookie()) {
        const [, name, value] = /^([^=]+)=([^;]*)/.exec(line)!
        if (value) jar.set(name!, value)
        else jar.delete(name!)
      }
      return response
    }) as typeof fetch,
  }
  return network
}

/** A person's app, signed in, and how it starts again with what it remembers. */
async function start(t: TestContext, transport: 'cookie' | 'body', refreshTimeout = 10_000) {
  const server = await startDaypass(t)
  const network = createNetwork()
  const storage = createStorage()
  const open = () =>
    createClient({ baseUrl: `${server.url}/auth`, transport, storage, fetch: network.fetch, refreshTimeout })
  const client = open()
  await client.signIn({ password: 'right' })
  const living = async () =>
    server.events.filter(({ type }) => type === 'issued').length -
    server.events.filter(({ type }) => type === 'revoked').length
  return { server, network, storage, client, open, living }
}

async function until(holds: () => boolean | Promise<boolean>) {
  for (const end = Date.now() + 10_000; !(await holds()); await new Promise((resolve) => setTimeout(resolve, 5)))
    assert.ok(Date.now() < end, 'It never came to this.')
}

const signOutOffline = async (client: DaypassClient) => {
  await assert.rejects(client.signOut(), isOffline)
  assert.equal(client.getSession().status, 'signed-out')
}

for (const transport of ['cookie', 'body'] as const) {
  test(`${transport}: a sign-out is sent before anything is waited for, and with keepalive`, async (t) => {
    const { network, client, storage } = await start(t, transport, 1500)
    await client.getAccessToken({ forceFresh: true })
    storage.get = () => new Promise(() => {})
    storage.set = () => new Promise(() => {})
    network.sent.length = 0
    const signedOut = client.signOut()
    // Nothing has had a turn yet.
    assert.deepEqual(
      network.sent.map(({ path, keepalive }) => [path, keepalive]),
      [['/auth/logout', true]],
    )
    await signedOut
  })

  test(`${transport}: a sign-out while a refresh hangs, which holds the lock, is sent at once`, async (t) => {
    const { server, network, client, living } = await start(t, transport)
    const held = server.holdRefresh()
    const refresh = assert.rejects(client.getAccessToken({ forceFresh: true }), isSignedOut)
    await held.asked
    network.sent.length = 0
    const signedOut = client.signOut()
    assert.equal(network.sent[0]!.path, '/auth/logout')
    await signedOut
    await refresh
    held.answer()
    assert.equal(await living(), 0)
  })

  test(`${transport}: signed out offline: sent again at the next start until it is confirmed, and then no more`, async (t) => {
    const { server, network, client, storage, open, living } = await start(t, transport)
    network.isDown = true
    await signOutOffline(client)
    // A start without a network, and one where the server fails.
    for (let starts = 0; starts < 2; starts++) {
      network.sent.length = 0
      const next = open()
      await next.fetch(`${server.url}/api`).catch(() => {})
      await until(() => network.sent.some(({ path }) => path === '/auth/logout'))
      assert.equal(await living(), 1)
    }
    network.isDown = false
    const next = open()
    assert.equal((await next.fetch(`${server.url}/api`)).status, 401)
    await until(async () => (await living()) === 0)
    await until(() => Object.keys(storage.memory()).join() === 'out')
    network.sent.length = 0
    await open().fetch(`${server.url}/api`)
    await next.fetch(`${server.url}/api`)
    assert.deepEqual(
      network.sent.map(({ path }) => path),
      ['/api', '/api'],
    )
  })

  test(`${transport}: signed out offline, and again: calling again tries again`, async (t) => {
    const { network, client, living } = await start(t, transport)
    network.isDown = true
    await signOutOffline(client)
    await signOutOffline(client)
    network.isDown = false
    await client.signOut()
    assert.equal(await living(), 0)
  })

  test(`${transport}: a sign-in that follows at once does not take a sign-out back that is under way`, async (t) => {
    const { client, server, living } = await start(t, transport)
    const signedOut = client.signOut()
    const signedIn = client.signIn({ password: 'right' })
    await signedOut
    await signedIn
    assert.equal(server.events.filter(({ type }) => type === 'revoked').length, 1)
    assert.equal(await living(), 1)
    assert.equal((await client.fetch(`${server.url}/api`)).status, 200)
    server.expireTokens()
    assert.equal((await client.fetch(`${server.url}/api`)).status, 200)
  })

  test(`${transport}: a sign-in under way when somebody signs out is ended at the server`, async (t) => {
    const { client, network, living } = await start(t, transport)
    const [asked, gate] = [createGate(), createGate()]
    network.hold = async (path) => {
      if (path !== '/auth/login') return
      asked.open()
      await gate.opened
    }
    const signedIn = assert.rejects(client.signIn({ password: 'right' }), isSignedOut)
    await asked.opened
    const signedOut = client.signOut()
    gate.open()
    await signedOut
    await signedIn
    assert.equal(client.getSession().status, 'signed-out')
    assert.equal(await living(), 0)
  })
}

for (const transport of ['cookie', 'body'] as const) {
  test(`${transport}: a program that goes on running repeats each sign-out until it arrives, however often the network fails`, async (t) => {
    const { server, network, client, storage, living } = await start(t, transport)
    const time = { now: 0 }
    const daemon = createClient({
      ...{ baseUrl: `${server.url}/auth`, transport, storage, fetch: network.fetch },
      clock: () => time.now,
    })
    await client.signOut()
    for (let person = 0; person < 3; person++) {
      await daemon.signIn({ password: 'right' })
      network.isDown = true
      await signOutOffline(daemon)
      // Each call is an occasion, but not each one is used.
      network.sent.length = 0
      for (let calls = 0; calls < 5; calls++) await daemon.fetch(`${server.url}/api`).catch(() => {})
      await until(() => network.sent.some(({ path }) => path === '/auth/logout'))
      assert.equal(network.sent.filter(({ path }) => path === '/auth/logout').length, 1)
      network.isDown = false
      time.now += 60_000
      await daemon.fetch(`${server.url}/api`)
      await until(async () => (await living()) === 0)
    }
  })

  test(`${transport}: a token that came shows that the network works: pending sign-outs are sent at once`, async (t) => {
    const { network, client, storage, living } = await start(t, transport)
    network.isDown = true
    await signOutOffline(client)
    await client.fetch('http://127.0.0.1:1/').catch(() => {})
    network.isDown = false
    await client.signIn({ password: 'right' })
    await until(async () => (await living()) === 1)
    await until(() => storage.memory().pending === undefined)
  })
}

test('body: fifty pending sign-outs are all sent when the network is back', async (t) => {
  const { server, network, storage, living } = await start(t, 'body')
  const { fetch: send } = network
  network.fetch = (async (input, init) => {
    if (String(input).endsWith('/logout')) throw new TypeError('fetch failed')
    return send(input, init)
  }) as typeof fetch
  const open = () => createClient({ baseUrl: `${server.url}/auth`, storage, fetch: network.fetch })
  for (let person = 0; person < 50; person++) {
    const client = open()
    await client.signIn({ password: 'right' })
    await signOutOffline(client)
  }
  assert.equal(await living(), 51)
  network.fetch = send
  const client = open()
  await client.signIn({ password: 'right' })
  await until(async () => (await living()) === 2)
})

test('body: signed out offline, in as somebody else, out again: no session stays at the server', async (t) => {
  const { network, client, storage, living } = await start(t, 'body')
  network.isDown = true
  await signOutOffline(client)
  network.isDown = false
  await client.signIn({ password: 'right' })
  await client.signOut()
  assert.equal(await living(), 0)
  assert.deepEqual(Object.keys(storage.memory()), ['out'])
})

test('cookie: a sign-out that is sent again ends nobody who has signed in since by other means', async (t) => {
  const { server, network, client, open } = await start(t, 'cookie')
  network.isDown = true
  await signOutOffline(client)
  network.isDown = false
  const body = JSON.stringify({ password: 'right', transport: 'cookie' })
  const headers = { 'content-type': 'application/json' }
  const login = await network.fetch(`${server.url}/auth/login`, {
    method: 'POST',
    credentials: 'include',
    headers,
    body,
  })
  assert.equal(login.status, 200)
  const page = open()
  const [call] = await Promise.all([page.fetch(`${server.url}/api`), page.getAccessToken({ forceFresh: true })])
  assert.ok([200, 401].includes(call.status))
  await until(() => network.sent.filter(({ path }) => path === '/auth/logout').length > 1)
  server.expireTokens()
  assert.equal((await page.fetch(`${server.url}/api`)).status, 200)
})

test('cookie: a session that was signed out of is not picked up again', async (t) => {
  const { network, client, open } = await start(t, 'cookie')
  network.isDown = true
  await signOutOffline(client)
  network.isDown = false
  const page = open()
  await assert.rejects(page.getAccessToken({ forceFresh: true }), isSignedOut)
  assert.equal(page.getSession().status, 'signed-out')
})

test('a sign-in that waits its turn is not sent after another tab’s sign-out', withWebLocks, async (t) => {
  const server = await startDaypass(t)
  const network = createNetwork()
  const options = {
    ...{
      baseUrl: `${server.url}/auth`,
      transport: 'cookie' as const,
      storage: createStorage(),
      fetch: network.fetch,
      tabs: true,
    },
  }
  const first = createClient(options)
  const second = createClient(options)
  await first.signIn({ password: 'right' })
  await until(() => second.getSession().status === 'signed-in')
  const gate = createGate()
  const isHeld = navigator.locks.request(`daypass:${server.url}/auth/refresh`, () => gate.opened)
  const signIn = assert.rejects(second.signIn({ password: 'right' }), isSignedOut)
  await new Promise((resolve) => setTimeout(resolve, 20))
  const signedOut = first.signOut()
  await until(() => second.getSession().status === 'signed-out')
  gate.open()
  await Promise.all([isHeld, signIn, signedOut])
  assert.equal(server.requests('/auth/login').length, 1)
})

test('a sign-in does not wait for another tab’s refresh that hangs', async (t) => {
  const server = await startDaypass(t)
  const network = createNetwork()
  const options = {
    ...{
      baseUrl: `${server.url}/auth`,
      transport: 'cookie' as const,
      storage: createStorage(),
      fetch: network.fetch,
      tabs: true,
    },
    refreshTimeout: 60_000,
  } as const
  const [first, second] = [createClient(options), createClient(options)]
  await first.signIn({ password: 'right' })
  const asked = createGate()
  server.faults.push(() => asked.open())
  const refresh = first.getAccessToken({ forceFresh: true })
  await asked.opened
  // With the sixty seconds of the other tab to wait for, this test would not end in time.
  await second.signIn({ password: 'right' })
  assert.equal(typeof (await refresh.catch(() => '')), 'string')
  await until(() => first.getSession().status === 'signed-in')
  assert.equal(first.getSession().session!.id, second.getSession().session!.id)
})

test('a clock that was set back delays neither a sign-in nor a sign-out', async (t) => {
  const server = await startDaypass(t)
  const network = createNetwork()
  const options = {
    ...{
      baseUrl: `${server.url}/auth`,
      transport: 'cookie' as const,
      storage: createStorage(),
      fetch: network.fetch,
      tabs: true,
    },
  }
  const first = createClient(options)
  await first.signIn({ password: 'right' })
  const { now } = Date
  t.mock.method(Date, 'now', () => now() - 3_600_000)
  const second = createClient(options)
  await second.signOut()
  await until(() => first.getSession().status === 'signed-out')
  const third = createClient(options)
  await third.signIn({ password: 'right' })
  assert.equal((await third.fetch(`${server.url}/api`)).status, 200)
  await until(() => first.getSession().status === 'signed-in')
})
