// A failure that needs a change of the set-up gives one hint. (test/browser/hints.test.ts: hints that only a page gives.)

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { createFetchAuth } from '../../src/adapters/fetch.ts'
import { type ClientOptions, createClient } from '../../src/client/index.ts'
import { createDaypass } from '../../src/index.ts'
import { createMemoryStore } from '../../src/stores/memory.ts'
import { startDaypass } from './daypass-server.ts'
import { createFakeTime, createGate, createStorage } from './scripted-server.ts'

/** Collects the console's messages from here on. */
function listen(t: TestContext): string[] {
  const lines: string[] = []
  t.mock.method(console, 'warn', (...args: unknown[]) => lines.push(args.join(' ')))
  return lines
}

async function serve(t: TestContext, answer: (response: ServerResponse) => unknown): Promise<string> {
  const server = createServer((request, response) => {
    request.resume()
    answer(response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://localhost:${(server.address() as AddressInfo).port}`
}

const open = (url: string, options: Partial<ClientOptions> = {}) =>
  createClient({ baseUrl: `${url}/auth`, refreshTimeout: 2000, ...createFakeTime(), ...options })

const noRoute: Record<string, (response: ServerResponse) => unknown> = {
  'a 404': (response) => response.writeHead(404).end('Not found'),
  'a 404 in JSON': (response) => response.writeHead(404).end('{"error":"Not found"}'),
  'a 405': (response) => response.writeHead(405).end(),
  'a redirect': (response) => response.writeHead(308, { location: '/auth/login/' }).end(),
  'a page instead of tokens': (response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<html>'),
}
for (const [what, answer] of Object.entries(noRoute)) {
  test(`${what} at the sign-in: one hint that there is no such route, and what to check`, async (t) => {
    const lines = listen(t)
    const url = await serve(t, answer)
    const client = open(url)
    for (let i = 0; i < 3; i++) {
      await assert.rejects(client.signIn({ password: 'very secret' }), { code: 'ERR_SIGN_IN_FAILED' })
    }
    assert.equal(lines.length, 1)
    assert.match(
      lines[0]!,
      /^daypass: http:\/\/localhost:\d+\/auth\/login is no route of Daypass \(HTTP \d+\): .*baseUrl/,
    )
    assert.match(lines[0]!, /docs\/errors\.md/)
    assert.doesNotMatch(lines[0]!, /secret/)
  })
}

test('a server without authenticate has no login: a hint says so', async (t) => {
  const lines = listen(t)
  const auth = createDaypass({ secret: randomBytes(32), issuer: 'x', store: createMemoryStore() })
  const web = createFetchAuth(auth)
  const send: typeof fetch = async (input, init) =>
    (await web.routes(new Request(input, init))) ?? new Response(null, { status: 404 })
  const client = open('http://localhost:1', { fetch: send, transport: 'body' })
  await assert.rejects(client.signIn({}), { status: 404 })
  assert.match(lines.join('\n'), /^daypass: .*\/auth\/login is no route of Daypass \(HTTP 404\)/)
})

test('a temporary failure, or a mistake of the person, gives no hint', async (t) => {
  const lines = listen(t)
  const server = await startDaypass(t)
  const client = open(server.url)
  await assert.rejects(client.signIn({ password: 'wrong' }), { status: 401 })
  await client.signIn({ password: 'right' })
  await client.getAccessToken({ forceFresh: true })
  for (const status of [404, 405, 302, 200, 429, 500, 503]) {
    // A deploy, a captive portal: this address has worked before.
    server.faults.push((response) => response.writeHead(status).end())
    await client.getAccessToken({ forceFresh: true })
  }
  server.setAway(true)
  await assert.rejects(client.getAccessToken({ forceFresh: true }), { code: 'ERR_OFFLINE' })
  server.setAway(false)
  await client.signOut()
  await assert.rejects(open(server.url, { transport: 'cookie' }).getAccessToken())
  const away = await serve(t, (response) => response.writeHead(503).end())
  await assert.rejects(open(away).signIn({}), { code: 'ERR_SIGN_IN_FAILED' })
  assert.deepEqual(
    lines.filter((line) => !/refuses pages/.test(line)),
    [],
  )
})

for (const [transport, body] of [
  ['body', { accessToken: 'a', expiresIn: 900 }],
  ['cookie', { accessToken: 'a', expiresIn: 900, refreshToken: 'dpr_secret' }],
] as const) {
  test(`a login that answers in the other transport than ${transport}: a hint says so, without a token`, async (t) => {
    const lines = listen(t)
    const url = await serve(t, (response) => {
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    })
    const signIn = open(url, { transport }).signIn({})
    if (transport === 'cookie') await signIn
    else
      await assert.rejects(signIn, { code: 'ERR_SIGN_IN_FAILED', message: /other transport: let it answer in "body"/ })
    assert.equal(lines.length, 1)
    assert.match(lines[0]!, new RegExp(`/auth/login answers in the other transport: let it answer in "${transport}"`))
    assert.doesNotMatch(lines[0]!, /dpr_/)
  })
}

test('a cookie that is not sent again after the sign-in: a hint at the first refresh', async (t) => {
  const lines = listen(t)
  const server = await startDaypass(t)
  // As from a page of the server's own; Node's fetch has no jar, so no cookie ever comes back.
  const send: typeof fetch = (input, init) =>
    fetch(input, { ...init, headers: { ...(init?.headers as object), origin: server.url } })
  const client = open(server.url, { transport: 'cookie', fetch: send })
  await client.signIn({ password: 'right' })
  await assert.rejects(client.getAccessToken({ forceFresh: true }), { code: 'ERR_SIGNED_OUT' })
  assert.equal(lines.length, 1)
  assert.match(lines[0]!, /^daypass: The cookie of the sign-in did not come back: use https/)
})

/** fetch of a page of the server's own, with a browser's cookies. */
function createBrowser(url: string) {
  const cookies = new Map<string, string>()
  const send: typeof fetch = async (input, init) => {
    const cookie = [...cookies].map((pair) => pair.join('=')).join('; ')
    const headers = { ...(init?.headers as object), origin: url, 'sec-fetch-site': 'same-origin', cookie }
    const response = await fetch(input, { ...init, headers })
    for (const line of response.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line)!
      if (/max-age=0/i.test(line)) cookies.delete(name!)
      else cookies.set(name!, value!)
    }
    return response
  }
  return { cookies, send }
}

test('a cookie that came back, and was cleared later by the person: no hint about the sign-in', async (t) => {
  const lines = listen(t)
  const server = await startDaypass(t)
  const { cookies, send } = createBrowser(server.url)
  const client = open(server.url, { transport: 'cookie', fetch: send })
  await client.signIn({ password: 'right' })
  await client.getAccessToken({ forceFresh: true })
  cookies.clear()
  await assert.rejects(client.getAccessToken({ forceFresh: true }), { reason: 'ERR_REFRESH_TOKEN_MISSING' })
  assert.deepEqual(lines, [])
})

test('a cookie that came back with a refresh whose response was lost: no hint about the sign-in', async (t) => {
  const lines = listen(t)
  const server = await startDaypass(t)
  const { cookies, send } = createBrowser(server.url)
  const client = open(server.url, { transport: 'cookie', fetch: send })
  await client.signIn({ password: 'right' })
  server.faults.push(async (response, commit) => {
    await commit()
    cookies.clear()
    response.destroy()
  })
  await assert.rejects(client.getAccessToken({ forceFresh: true }), { reason: 'ERR_REFRESH_TOKEN_MISSING' })
  assert.equal(server.refreshes(), 2)
  assert.deepEqual(lines, [])
})

for (const tabs of [true, false]) {
  test(`another tab signs out while the first refresh is on its way (${tabs ? 'and tells so' : 'tabs tell each other nothing'}): nothing is said of the sign-in`, async (t) => {
    const lines = listen(t)
    const server = await startDaypass(t)
    const { cookies, send } = createBrowser(server.url)
    const storage = createStorage()
    const asked = createGate()
    const signedOut = createGate()
    const page = open(server.url, {
      transport: 'cookie',
      storage,
      tabs,
      fetch: async (input, init) => {
        if (String(input).endsWith('/refresh')) {
          asked.open()
          await signedOut.opened
        }
        return send(input, init)
      },
    })
    await page.signIn({ password: 'right' })
    const refreshed = assert.rejects(page.getAccessToken({ forceFresh: true }), { code: 'ERR_SIGNED_OUT' })
    await asked.opened
    const other = open(server.url, { transport: 'cookie', storage, tabs, fetch: send })
    const left = other.signOut()
    for (const end = performance.now() + 10_000; cookies.size || storage.memory().out === undefined; ) {
      assert.ok(performance.now() < end, 'the sign-out has cleared the cookie and is written down')
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    signedOut.open()
    await Promise.all([refreshed, left])
    assert.deepEqual(lines, [])
  })
}

test('a program that asks for the cookie: a hint that it needs the other transport', async (t) => {
  const lines = listen(t)
  const server = await startDaypass(t)
  const client = open(server.url, { transport: 'cookie' })
  await assert.rejects(client.signIn({ password: 'right' }), { status: 403 })
  assert.equal(lines.length, 1)
  assert.match(lines[0]!, /\/auth\/login sets its cookie for pages alone: elsewhere use transport: "body"/)
})

test('a rejected origin gives a hint that says what to list', async (t) => {
  const lines = listen(t)
  const server = await startDaypass(t)
  const send: typeof fetch = (input, init) =>
    fetch(input, { ...init, headers: { ...(init?.headers as object), origin: 'https://app.example.com' } })
  await assert.rejects(open(server.url, { fetch: send }).signIn({ password: 'right' }), { status: 403 })
  assert.equal(lines.length, 1)
  assert.match(lines[0]!, /\/auth\/login refuses pages of .*: list that in the server's origins/)
})
