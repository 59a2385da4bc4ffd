// The client works on a platform with missing, throwing or hanging features, and holds no resources.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { createClient, isOffline } from '../../src/client/index.ts'
import { createJar, createStorage, credentials, startServer } from './scripted-server.ts'

/** Puts another value where the platform has one, until the test is over. */
function replace(t: TestContext, target: object, name: string, descriptor: PropertyDescriptor) {
  const before = Object.getOwnPropertyDescriptor(target, name)
  Object.defineProperty(target, name, { configurable: true, ...descriptor })
  t.after(() => {
    if (before) Object.defineProperty(target, name, before)
    else delete (target as Record<string, unknown>)[name]
  })
}

const forbid = () => {
  throw new DOMException('The operation is insecure.', 'SecurityError')
}
class Forbidden {
  constructor() {
    forbid()
  }
}
const never = () => new Promise<never>(() => {})

const page = { document: { value: { hidden: false } } }
/** The variants of each part. A getter that throws is how browsers forbid it. */
const table: Record<string, Record<string, PropertyDescriptor>> = {
  'BroadcastChannel missing': { BroadcastChannel: { value: undefined } },
  'BroadcastChannel forbidden, as in Firefox without cookies': { BroadcastChannel: { value: Forbidden } },
  'BroadcastChannel that cannot post': {
    BroadcastChannel: {
      value: class {
        postMessage = forbid
      },
    },
  },
  'navigator missing': { navigator: { value: undefined } },
  'navigator.locks missing': { navigator: { value: {} } },
  'navigator.locks forbidden': {
    navigator: {
      value: {
        get locks() {
          return forbid()
        },
      },
    },
  },
  'navigator.locks that throws': { navigator: { value: { locks: { request: forbid } } } },
  'navigator.locks that rejects': { navigator: { value: { locks: { request: async () => forbid() } } } },
  'navigator.locks that hangs, signal and all': { navigator: { value: { locks: { request: never } } } },
  'localStorage missing': { localStorage: { value: undefined } },
  'localStorage forbidden': { localStorage: { get: forbid } },
  'localStorage full': { localStorage: { value: new Proxy({}, { set: forbid }) } },
  'document forbidden': { document: { get: forbid } },
  'performance missing': { performance: { value: undefined } },
  'performance forbidden': { performance: { get: forbid } },
  'addEventListener missing': { addEventListener: { value: undefined }, removeEventListener: { value: undefined } },
  'addEventListener that throws': { addEventListener: { value: forbid }, removeEventListener: { value: forbid } },
  'crypto.randomUUID missing': { crypto: { value: { getRandomValues: (bytes: Uint8Array) => bytes.fill(7) } } },
}

for (const [what, parts] of Object.entries(table)) {
  test(`${what}: a page signs in, calls, refreshes and signs out`, { timeout: 30_000 }, async (t) => {
    const server = await startServer(t)
    const { fetch } = createJar()
    for (const [name, descriptor] of Object.entries({ ...page, ...parts })) replace(t, globalThis, name, descriptor)
    const client = createClient({
      baseUrl: `${server.url}/auth`,
      transport: 'cookie',
      tabs: true,
      fetch,
      refreshTimeout: 1500,
    })
    const unsubscribe = client.subscribe(() => {})
    await client.signIn(credentials)
    assert.equal((await client.fetch(`${server.url}/api`)).status, 200)
    server.expireTokens()
    assert.equal((await client.fetch(`${server.url}/api`)).status, 200)
    assert.equal(server.refreshes() > 0, true)
    await client.signOut()
    assert.equal(server.hasSession(), false)
    unsubscribe()
  })
}

test('without random bytes the error is typed, and nobody is signed out', async (t) => {
  const server = await startServer(t)
  const client = createClient({ baseUrl: `${server.url}/auth`, sleep: async () => {} })
  await client.signIn(credentials)
  replace(t, globalThis, 'crypto', { value: undefined })
  await assert.rejects(client.getAccessToken({ forceFresh: true }), isOffline)
  assert.equal((await client.fetch(`${server.url}/api`)).status, 200)
})

test('a client listens to the page only while it has a listener', (t) => {
  let count = 0
  replace(t, globalThis, 'addEventListener', { value: () => count++ })
  replace(t, globalThis, 'removeEventListener', { value: () => count-- })
  const clients = Array.from({ length: 100 }, () => createClient({ baseUrl: 'https://api.example.com/auth' }))
  assert.equal(count, 0)
  const subscriptions = clients.flatMap((client) => [client.subscribe(() => {}), client.subscribe(() => {})])
  assert.equal(count, 400)
  for (const unsubscribe of subscriptions) unsubscribe()
  assert.equal(count, 0)
})

test('a client that nobody holds is released, also where the platform has events', async () => {
  const code = `
    // As Deno and Bun have it.
    const events = new EventTarget()
    globalThis.addEventListener = events.addEventListener.bind(events)
    globalThis.removeEventListener = events.removeEventListener.bind(events)
    const { createClient } = await import(${JSON.stringify(join(import.meta.dirname, '../../src/client/index.ts'))})
    let released = 0
    const registry = new FinalizationRegistry(() => released++)
    for (let i = 0; i < 200; i++) {
      // What the client holds, and nobody else: it goes when all of the client is gone.
      const storage = new Map()
      createClient({ baseUrl: 'https://api.example.com/auth', storage }).subscribe(() => {})()
      registry.register(storage, i)
    }
    for (let i = 0; i < 50 && released < 150; i++) {
      await new Promise((resolve) => setTimeout(resolve, 20))
      gc()
    }
    console.log(released >= 150)`
  const child = spawn(process.execPath, ['--expose-gc', '--input-type=module', '-e', code], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  assert.equal(String(Buffer.concat(await child.stdout.toArray())).trim(), 'true')
})

test('all spellings of one server share one memory, one lock and one channel', async (t) => {
  const server = await startServer(t)
  const { origin } = new URL(server.url)
  replace(t, globalThis, 'document', { value: { hidden: false, baseURI: `${origin}/app/page` } })
  const storage = createStorage()
  const spellings: [baseUrl: string, more?: object][] = [
    ['/auth'],
    ['/auth/'],
    ['../auth'],
    [`${origin}/auth`],
    [`${origin}/auth//`],
    [`HTTP://${new URL(origin).host}/auth`],
    ['/auth', { refreshPath: `${origin}/auth/refresh` }],
  ]
  const { fetch } = createJar()
  const clients = spellings.map(([baseUrl, more]) =>
    createClient({ baseUrl, transport: 'cookie', storage, tabs: true, fetch, ...more }),
  )
  await clients[0]!.signIn(credentials)
  for (const end = Date.now() + 10_000; clients.some((client) => client.getSession().status !== 'signed-in'); ) {
    assert.ok(Date.now() < end, 'one of them did not hear of it')
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  await Promise.all(clients.map((client) => client.getAccessToken({ forceFresh: true }).catch(() => {})))
  assert.deepEqual([...storage.values.keys()], [`daypass:${origin}/auth/refresh`])
})

for (const [what, steadyStops] of [
  ['the steady clock stands still', true],
  ['the wall clock stands still', false],
] as const) {
  test(`eight hours asleep, in which ${what}: the token has ended`, async (t) => {
    const server = await startServer(t)
    const client = createClient({ baseUrl: `${server.url}/auth` })
    await client.signIn(credentials)
    const { now } = Date
    const steady = performance.now.bind(performance)
    const night = 8 * 3_600_000
    if (steadyStops) t.mock.method(Date, 'now', () => now() + night)
    else t.mock.method(performance, 'now', () => steady() + night)
    server.expireTokens()
    const token = await client.getAccessToken()
    assert.deepEqual([token, server.refreshes()], ['access-2', 1])
    // What cannot be sent twice goes through, too: the ended token was never sent.
    const body = new Blob(['bytes']).stream()
    const upload = await client.fetch(`${server.url}/api`, { method: 'POST', body, duplex: 'half' } as RequestInit)
    assert.equal(upload.status, 200)
  })
}

test('a wall clock that is set back or corrected costs nothing', async (t) => {
  const server = await startServer(t)
  const client = createClient({ baseUrl: `${server.url}/auth` })
  await client.signIn(credentials)
  const { now } = Date
  let set = 0
  t.mock.method(Date, 'now', () => now() + set)
  for (set of [-3_600_000, -3_599_500, -7_200_000, 400]) {
    if (set > 0) set -= 7_200_000
    await client.getAccessToken()
  }
  assert.equal(server.refreshes(), 0)
  // Asleep after it was set back.
  set += 1_800_000
  await client.getAccessToken()
  assert.equal(server.refreshes(), 1)
})
