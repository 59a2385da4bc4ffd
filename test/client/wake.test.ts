// The timer that renews the token without a call.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { request } from 'node:http'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type ClientOptions, createClient } from '../../src/client/index.ts'
import { createStorage, credentials, refused, reply, type Script, startServer } from './scripted-server.ts'

/** As much of fetch as a refresh needs, over a real socket, but with no timer: Node's own fetch would run on the fake ones. */
const fetchWithoutTimers: typeof fetch = (url, init) =>
  new Promise((resolve, reject) => {
    const { method, headers, body, signal } = init!
    const call = request(String(url), { method, headers, signal } as object, async (incoming) => {
      const { statusCode: status, headers } = incoming
      const chunks = await incoming.toArray().catch(reject)
      const body = chunks?.length ? Buffer.concat(chunks) : null
      resolve(new Response(body, { status, headers: headers as Record<string, string> }))
    })
    call.on('error', reject).end(body)
  })

/** setTimeout as a test moves it. */
function fakeTimers(t: TestContext) {
  const { setTimeout, clearTimeout } = globalThis
  const timers = new Map<object, { at: number; work: () => void }>()
  let now = 0
  const fakes = {
    setTimeout(work: () => void, milliseconds = 0) {
      assert.ok(milliseconds < 2 ** 31, 'a timer that long fires at once')
      const timer = {}
      timers.set(timer, { at: now + Math.max(0, milliseconds), work })
      return timer
    },
    clearTimeout: (timer: object) => timers.delete(timer),
  }
  Object.assign(globalThis, fakes)
  t.after(() => Object.assign(globalThis, { setTimeout, clearTimeout }))
  return {
    /** Runs what is due by then, in order, each at its time. */
    tick(milliseconds: number) {
      const end = now + milliseconds
      for (;;) {
        const [next] = [...timers].sort(([, a], [, b]) => a.at - b.at)
        if (!next || next[1].at > end) break
        timers.delete(next[0])
        now = next[1].at
        next[1].work()
      }
      now = end
    },
  }
}

/**
 * A server, a client that is signed in to it for 100 seconds at a time, and a clock that moves all timers. With `page`,
 * what a page's script finds around it.
 */
async function start(t: TestContext, options: Partial<ClientOptions> & { page?: boolean } = {}) {
  const { page = false, ...given } = options
  const server = await startServer(t, { expiresIn: 100 })
  const timers = fakeTimers(t)
  let now = 5000
  const events = new EventTarget()
  const fakes = {
    document: { hidden: false },
    addEventListener: events.addEventListener.bind(events),
    removeEventListener: events.removeEventListener.bind(events),
  }
  if (page) {
    Object.assign(globalThis, fakes)
    t.after(() => {
      for (const name of Object.keys(fakes)) delete (globalThis as Record<string, unknown>)[name]
    })
  }
  const client = createClient({
    ...{ baseUrl: `${server.url}/auth`, transport: 'body', storage: createStorage(), clock: () => now },
    fetch: fetchWithoutTimers,
    sleep: async (milliseconds) => {
      now += milliseconds
    },
    random: (size) => new Uint8Array(size),
    ...given,
  })
  await client.signIn(credentials)
  server.seen.length = 0
  const settle = async () => {
    for (let i = 0; i < 40; i++) await new Promise((resolve) => setImmediate(resolve))
  }
  return {
    server,
    client,
    document: fakes.document,
    /** Lets so many seconds pass, timers and all; what is due goes over a real socket, and is waited for. */
    async pass(seconds: number) {
      now += seconds * 1000
      timers.tick(seconds * 1000)
      await settle()
    },
    /** The clock moves and no timer runs: a sleeping laptop, a frozen tab. */
    freeze: (seconds: number) => {
      now += seconds * 1000
    },
    async tell(event: string | Event) {
      events.dispatchEvent(typeof event === 'string' ? new Event(event) : event)
      timers.tick(0)
      await settle()
    },
  }
}

/** Waits for what comes over a socket. */
async function until(holds: () => boolean) {
  for (const end = performance.now() + 15_000; !holds(); await new Promise((resolve) => setImmediate(resolve))) {
    assert.ok(performance.now() < end, 'It never came to this.')
  }
}

test('while there is a listener, the token is renewed shortly before it expires, again and again', async (t) => {
  const { server, client, pass } = await start(t)
  client.subscribe(() => {})
  await pass(89)
  assert.equal(server.refreshes(), 0)
  await pass(2)
  await until(() => client.getSession().expiresAt === 5000 + 191_000)
  assert.equal(server.refreshes(), 1)
  for (let i = 2; i < 6; i++) {
    await pass(91)
    await until(() => server.refreshes() === i)
    await until(() => client.getSession().status === 'signed-in')
  }
})

test('a client without listeners has no timer, also after the last listener was removed', async (t) => {
  const { server, client, pass } = await start(t)
  await pass(1000)
  assert.equal(server.refreshes(), 0)
  const unsubscribe = client.subscribe(() => {})
  await pass(0.001)
  await until(() => server.refreshes() === 1)
  await until(() => client.getSession().status === 'signed-in')
  unsubscribe()
  await pass(1000)
  assert.equal(server.refreshes(), 1)
})

test('the first subscriber has the server asked, once; where nobody is signed in that is all', async (t) => {
  const { server, client, pass } = await start(t)
  await client.signOut()
  server.seen.length = 0
  const storage = createStorage()
  storage.values.set(`daypass:${server.url}/auth/refresh`, '{"token":"refresh-of-old"}')
  const other = createClient({ baseUrl: `${server.url}/auth`, storage, fetch: fetchWithoutTimers })
  const statuses: string[] = []
  const leave = other.subscribe(() => statuses.push(other.getSession().status))
  leave()
  for (let i = 0; i < 3; i++) other.subscribe(() => statuses.push(other.getSession().status))
  assert.equal(other.getSession().status, 'unknown')
  await pass(0.001)
  await until(() => other.getSession().status === 'signed-out')
  await pass(5000)
  assert.equal(server.refreshes(), 1)
  assert.deepEqual([...new Set(statuses)], ['signed-out'])
})

test('a timer that is late by hours renews once', async (t) => {
  const { server, client, pass, freeze } = await start(t)
  client.subscribe(() => {})
  freeze(8 * 3600)
  await pass(91)
  await until(() => server.refreshes() === 1)
  await until(() => client.getSession().status === 'signed-in')
  assert.equal(server.refreshes(), 1)
})

test('a timer that is early, and a token that outlives the longest timer, are looked at again', async (t) => {
  const { server, client, pass, freeze } = await start(t)
  client.subscribe(() => {})
  freeze(-0.4)
  await pass(90)
  assert.equal(server.refreshes(), 0)
  await pass(0.5)
  await until(() => server.refreshes() === 1)

  server.expiresIn = 40 * 86_400
  await client.getAccessToken({ forceFresh: true })
  for (let day = 0; day < 39; day++) await pass(86_400)
  assert.equal(server.refreshes(), 2)
  for (let hour = 0; hour < 24; hour++) await pass(3600)
  await until(() => server.refreshes() === 3)
})

for (const event of ['visibilitychange', 'focus', 'online', 'pageshow']) {
  test(`${event}: a page whose timers were frozen is up to date at once`, async (t) => {
    const { server, client, freeze, tell } = await start(t, { page: true })
    client.subscribe(() => {})
    await tell(event)
    assert.equal(server.refreshes(), 0)
    freeze(3600)
    await tell(event)
    await until(() => server.refreshes() === 1)
    await until(() => client.getSession().status === 'signed-in')
    await tell(event)
    assert.equal(server.refreshes(), 1)
  })
}

test('pageshow from the back/forward cache: no session is shown before the server responds again', async (t) => {
  const { server, client, tell } = await start(t, { page: true })
  const shown: [string, string | undefined][] = []
  client.subscribe(() => {
    const { status, session } = client.getSession()
    shown.push([status, session?.subject])
  })
  const back = Object.assign(new Event('pageshow'), { persisted: true })
  await tell(back)
  await until(() => client.getSession().status === 'signed-in')
  assert.deepEqual(shown, [
    ['unknown', undefined],
    ['signed-in', 'ada'],
  ])
  assert.equal(server.refreshes(), 1)

  // Signed out elsewhere meanwhile.
  server.endSession()
  await tell(Object.assign(new Event('pageshow'), { persisted: true }))
  await until(() => client.getSession().status === 'signed-out')
  assert.deepEqual(shown.slice(2), [
    ['unknown', undefined],
    ['signed-out', undefined],
  ])
})

test('a hidden page rests, and is up to date as soon as it is looked at', async (t) => {
  const { server, client, document, pass, tell } = await start(t, { page: true })
  client.subscribe(() => {})
  document.hidden = true
  await tell('visibilitychange')
  await pass(3600)
  await tell('online')
  assert.equal(server.refreshes(), 0)
  document.hidden = false
  await tell('visibilitychange')
  await until(() => server.refreshes() === 1)
})

const down: Script = (_, response) => response.destroy()
const busy: Script = (_, response) =>
  reply(response, refused(503, 'temporarily_unavailable', 'ERR_OVERLOADED'), { 'retry-after': '120' })

test('an unavailable server gets fewer and fewer requests, and one at once when the network is back', async (t) => {
  const { server, client, pass, tell } = await start(t, { page: true })
  server.script.push(...Array.from({ length: 1000 }, () => down))
  client.subscribe(() => {})
  await pass(101)
  await until(() => client.getSession().status === 'offline')
  const counts: number[] = []
  for (let minute = 0; minute < 30; minute++) {
    const before = server.refreshes()
    for (let second = 0; second < 60; second++) await pass(1)
    counts.push(server.refreshes() - before)
  }
  assert.ok(counts[0]! >= 2 && counts[0]! < 15, `${counts}`)
  assert.ok(counts.slice(-5).reduce((sum, count) => sum + count) <= 8, `${counts}`)
  assert.ok(counts.slice(-5).reduce((sum, count) => sum + count) >= 1, `${counts}`)
  assert.ok(client.getSession().session, 'the session is kept')

  // The network is back right after a try that failed.
  for (const before = server.refreshes(); server.refreshes() === before; ) await pass(1)
  await until(() => client.getSession().status === 'offline')
  server.script.length = 0
  await tell('online')
  await pass(3)
  await until(() => client.getSession().status === 'signed-in')

  // All that is forgotten when the server is away another time.
  server.script.push(...Array.from({ length: 4 }, () => down))
  const before = server.refreshes()
  await pass(101)
  await until(() => client.getSession().status === 'offline')
  assert.equal(server.refreshes() - before, 4)
})

test('Retry-After is respected at every event of the page', async (t) => {
  const { server, client, pass, tell } = await start(t, { page: true })
  server.script.push(busy)
  client.subscribe(() => {})
  await pass(101)
  await until(() => client.getSession().status === 'offline')
  for (let second = 0; second < 115; second++) {
    await pass(1)
    for (const event of ['visibilitychange', 'focus', 'online', 'pageshow']) await tell(event)
  }
  assert.equal(server.refreshes(), 1)
  await pass(6)
  await until(() => server.refreshes() === 2)
})

test('a sign-in and a sign-out set the timer and clear it', async (t) => {
  const { server, client, pass } = await start(t)
  client.subscribe(() => {})
  await client.signOut()
  await pass(1000)
  assert.equal(server.refreshes(), 0)
  await client.signIn(credentials)
  await pass(91)
  await until(() => server.refreshes() === 1)
})

test('in Node the timer keeps no process alive', async (t) => {
  const server = await startServer(t, { expiresIn: 3600 })
  const code = `
    import { createClient } from ${JSON.stringify(join(import.meta.dirname, '../../src/client/index.ts'))}
    const client = createClient({ baseUrl: '${server.url}/auth' })
    await client.signIn(${JSON.stringify(credentials)})
    client.subscribe(() => {})`
  const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', code], { stdio: 'inherit' })
  const timer = setTimeout(() => child.kill(), 30_000)
  t.after(() => clearTimeout(timer))
  assert.equal(await new Promise((resolve) => child.once('exit', resolve)), 0)
})
