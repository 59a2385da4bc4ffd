// The behaviour of the client at each fault of /refresh. Only `invalid_grant` ends a session.

import assert from 'node:assert/strict'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, describe, type TestContext, test } from 'node:test'
import { inspect } from 'node:util'
import { type ClientOptions, isOffline, isSignedOut } from '../../src/client/index.ts'
import { type Fault, startWithClient } from './daypass-server.ts'

/** An answer as an OAuth server puts it. */
const says =
  (status: number, error = 'server_error', headers: Record<string, string> = {}): Fault =>
  (response) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers })
    response.end(JSON.stringify({ error, code: 'ERR_X', message: '…' }))
  }

/** An answer as it is. */
const sends =
  (status: number, type: string, text: string): Fault =>
  (response) =>
    response.writeHead(status, { 'content-type': type }).end(text)

const html = '<!doctype html><title>Sign in to the hotel’s Wi-Fi</title>'

function sendHalf(response: ServerResponse, body: string) {
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': body.length })
  response.write(body.slice(0, body.length / 2), () => response.destroy())
}

const in7Seconds = () => ({ date: new Date(1e12).toUTCString(), 'retry-after': new Date(1e12 + 7000).toUTCString() })

/** Where refreshes are redirected to. Nothing must ever come here. */
const abroad = { url: '', requests: 0 }
const foreigner = createServer((_, response) => {
  abroad.requests++
  response
    .writeHead(200, { 'content-type': 'application/json' })
    .end('{"accessToken":"x","expiresIn":9,"refreshToken":"y"}')
})
before(async () => {
  await new Promise<void>((resolve) => foreigner.listen(0, '127.0.0.1', resolve))
  abroad.url = `http://127.0.0.1:${(foreigner.address() as AddressInfo).port}/auth/refresh`
})
after(() => {
  assert.equal(abroad.requests, 0, 'no refresh token follows a redirect')
  foreigner.close()
})
const redirects =
  (status: number): Fault =>
  (response) =>
    response.writeHead(status, { location: abroad.url }).end()

/**
 * | then    | fault once: call, tries, state  | fault that lasts: call, tries, state | token still good                      | fault gone     |
 * |---------|---------------------------------|--------------------------------------|---------------------------------------|----------------|
 * | `again` | 200, 2, `signed-in`             | ERR_OFFLINE, 4, `offline`            | 200 at once, 1 try, `signed-in`       | 200            |
 * | `later` | ERR_OFFLINE, 1, `offline`       | the same                             | 200 at once, 1 try, `signed-in`       | 200 after that |
 * | `over`  | the 401 it had, 1, `signed-out` | the same                             | ERR_SIGNED_OUT, 1 try, `signed-out`   | 401            |
 *
 * `again` waits between its tries: the milliseconds, at least and at most. And whatever was lost, and whenever: in the end
 * the server has traded the refresh token exactly once, and has seen nothing that looks like theft.
 */
type Then = 'again' | 'later' | 'over'
const soon: [number, number] = [150, 300]
const table: [fault: string, answer: Fault, then: Then, waits?: [number, number]][] = [
  ['401 invalid_grant', says(401, 'invalid_grant'), 'over'],
  ['401 bare', sends(401, 'text/plain', ''), 'again', soon],
  ['401 invalid_token', says(401, 'invalid_token'), 'again', soon],
  ['401 invalid_client', says(401, 'invalid_client'), 'again', soon],
  ['401 in HTML, from a proxy', sends(401, 'text/html', html), 'again', soon],
  ['400', says(400, 'invalid_request'), 'again', soon],
  ['400 with invalid_grant in it', says(400, 'invalid_grant'), 'again', soon],
  ['402', says(402), 'again', soon],
  ['403, refused by CSRF', says(403, 'access_denied'), 'again', soon],
  ['403 with invalid_grant in it', says(403, 'invalid_grant'), 'again', soon],
  ['404', sends(404, 'text/plain', 'Not found'), 'again', soon],
  ['405', says(405), 'again', soon],
  ['408', says(408), 'again', soon],
  ['409, a race lost', says(409, 'superseded'), 'again', soon],
  ['410', says(410), 'again', soon],
  ['413', says(413), 'again', soon],
  ['415', says(415), 'again', soon],
  ['422', says(422), 'again', soon],
  ['425', says(425), 'again', soon],
  ['426', says(426), 'again', soon],
  ['429', says(429, 'rate_limited'), 'again', soon],
  ['429, Retry-After 3', says(429, 'rate_limited', { 'retry-after': '3' }), 'again', [3000, 3000]],
  ['429, Retry-After a day', says(429, 'rate_limited', { 'retry-after': '86400' }), 'later'],
  ['429, Retry-After nonsense', says(429, 'rate_limited', { 'retry-after': 'soon' }), 'again', soon],
  ['431', says(431), 'again', soon],
  ['451', says(451), 'again', soon],
  ['500', says(500), 'again', soon],
  ['500 with invalid_grant in it', says(500, 'invalid_grant'), 'again', soon],
  ['501', says(501), 'again', soon],
  ['502 in HTML', sends(502, 'text/html', html), 'again', soon],
  ['503', says(503, 'temporarily_unavailable'), 'again', soon],
  ['503, Retry-After 0', says(503, 'temporarily_unavailable', { 'retry-after': '0' }), 'again', soon],
  ['429, Retry-After -1', says(429, 'rate_limited', { 'retry-after': '-1' }), 'again', soon],
  ['503, Retry-After a date gone by', says(503, 'x', { 'retry-after': new Date(0).toUTCString() }), 'again', soon],
  ['503, Retry-After next to nothing', says(503, 'x', { 'retry-after': '0.001' }), 'again', soon],
  ['503, Retry-After a date, by the server’s clock', says(503, 'x', in7Seconds()), 'again', [7000, 7000]],
  ['503, Retry-After an hour', says(503, 'temporarily_unavailable', { 'retry-after': '3600' }), 'later'],
  ['504 with invalid_grant in it', says(504, 'invalid_grant'), 'again', soon],
  ['505', says(505), 'again', soon],
  ['507', says(507), 'again', soon],
  ['511 in HTML (a captive portal)', sends(511, 'text/html', html), 'again', soon],
  ['200 in HTML (a captive portal)', sends(200, 'text/html', html), 'again', soon],
  ['200, HTML that says it is JSON', sends(200, 'application/json', html), 'again', soon],
  ['200, empty', sends(200, 'application/json', ''), 'again', soon],
  ['200, null', sends(200, 'application/json', 'null'), 'again', soon],
  ['200, an array', sends(200, 'application/json', '[1]'), 'again', soon],
  ['200, no token in it', sends(200, 'application/json', '{"ok":true}'), 'again', soon],
  ['200, invalid_grant in it', says(200, 'invalid_grant'), 'again', soon],
  ['200, an access token alone', sends(200, 'application/json', '{"accessToken":"x","expiresIn":9}'), 'again', soon],
  ['200, half a body, done', async (r, commit) => sendHalf(r, await (await commit()).text()), 'again', soon],
  ['204', sends(204, 'application/json', ''), 'again', soon],
  ['301 to another origin', redirects(301), 'again', soon],
  ['302 to another origin', redirects(302), 'again', soon],
  ['303 to another origin', redirects(303), 'again', soon],
  ['307 to another origin', redirects(307), 'again', soon],
  ['308 to another origin', redirects(308), 'again', soon],
  ['307 to itself', (r) => r.writeHead(307, { location: '/auth/refresh' }).end(), 'again', soon],
  ['connection reset before the server did it', (r) => r.destroy(), 'again', soon],
  ['connection reset after the server did it', async (r, commit) => (await commit()) && r.destroy(), 'again', soon],
  ['no answer within refreshTimeout', () => {}, 'again', soon],
  ['no answer within refreshTimeout, done', (_, commit) => commit(), 'again', soon],
]

/** Someone who is signed in, what a call of theirs comes to, and how the client says that it is. */
async function start(t: TestContext, options: Partial<ClientOptions> = {}) {
  const all = await startWithClient(t, options)
  const call = () =>
    all.client.fetch(all.api).then(
      ({ status }) => status,
      (error) => error.code,
    )
  return { ...all, call, status: () => all.client.getSession().status }
}

const waited = ({ sleeps }: { sleeps: number[] }) => sleeps.reduce((sum, sleep) => sum + sleep, 0)

describe('a fault at /refresh', { concurrency: 4 }, () => {
  for (const [fault, answer, then, [least, most] = [0, 0]] of table) {
    const options = { refreshTimeout: fault.startsWith('no answer') ? 1000 : 10_000 }

    test(`${fault}, once: ${then}`, async (t) => {
      const { server, client, call, status, time, storage } = await start(t, options)
      const { token } = storage.memory()
      server.expireTokens()
      server.faults.push(answer)
      const outcome = await call()
      const expected = {
        again: [200, 2, 'signed-in'],
        later: ['ERR_OFFLINE', 1, 'offline'],
        over: [401, 1, 'signed-out'],
      }
      assert.deepEqual([outcome, server.refreshes(), status()], expected[then])

      if (then === 'over') {
        assert.deepEqual(Object.keys(storage.memory()), ['out'])
        assert.equal(await call(), 401)
        assert.equal(server.refreshes(), 1)
        return
      }
      if (then === 'again') assert.ok(waited(time) >= least && waited(time) <= most, `waited ${waited(time)} ms`)
      else {
        assert.equal(client.getSession().session!.subject, 'ada')
        assert.equal(storage.memory().token, token)
        time.now += 300_000
      }
      assert.equal(await call(), 200)
      assert.deepEqual([server.refreshes(), server.rotations(), status()], [2, 1, 'signed-in'])
      assert.equal(server.happened('reused', 'revoked'), false)
      const keys = server.requests('/auth/refresh').map(({ headers }) => headers['idempotency-key'])
      assert.equal(new Set(keys).size, 1, 'the same key each time')
    })

    test(`${fault}, again and again: ${then}`, async (t) => {
      const { server, call, status, time, storage } = await start(t, options)
      server.expireTokens()
      server.faults.push(...Array(20).fill(answer))
      const begin = time.now
      const outcome = await call()
      const tries = server.refreshes()
      if (then === 'over') return assert.deepEqual([outcome, tries, status()], [401, 1, 'signed-out'])
      // Where the server asks for time, four tries may not fit into the 15 seconds that a call is made to wait.
      assert.deepEqual([outcome, status()], ['ERR_OFFLINE', 'offline'])
      assert.equal(tries, then === 'later' ? 1 : Math.min(4, 1 + Math.floor(15_000 / least)))
      assert.ok(time.now - begin <= 15_000)
      assert.match(String(storage.memory().token), /^dpr_/)
      server.faults.length = 0
      time.now += 300_000
      assert.deepEqual([await call(), status(), server.rotations()], [200, 'signed-in', 1])
      assert.equal(server.happened('reused', 'revoked'), false)
    })

    test(`${fault}, with a token that is still good: ${then === 'over' ? 'over' : 'the call goes through at once'}`, async (t) => {
      const { server, call, status, time } = await start(t, options)
      server.faults.push(answer)
      time.now += 895_000
      const outcome = await call()
      const expected = then === 'over' ? ['ERR_SIGNED_OUT', 1, 'signed-out'] : [200, 1, 'signed-in']
      assert.deepEqual([outcome, server.refreshes(), status()], expected)
      assert.deepEqual(time.sleeps, [])
    })
  }
})

async function closedPort() {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return `127.0.0.1:${port}`
}

for (const [fault, host, reason] of [
  ['nothing listens there', await closedPort(), 'ECONNREFUSED'],
  ['DNS knows no such name', 'nowhere.invalid', /^E[A-Z_]+$/],
] as const) {
  test(`${fault}: four tries, kept, and resumed when it is back`, async (t) => {
    let tries = 0
    let isDown = false
    const send: typeof fetch = (input, init) => {
      if (!isDown) return fetch(input, init)
      tries++
      return fetch(String(input).replace(/localhost:\d+/, host), init)
    }
    const { client, call, status, time, server } = await start(t, { fetch: send })
    isDown = true
    time.now += 900_000
    await assert.rejects(client.getAccessToken(), (error) => {
      assert.ok(isOffline(error))
      assert.equal(error.status, 0)
      assert.match(error.reason!, new RegExp(reason))
      return true
    })
    assert.deepEqual([tries, status()], [4, 'offline'])
    isDown = false
    assert.deepEqual([await call(), status(), server.rotations()], [200, 'signed-in', 1])
  })
}

for (const [which, days] of [
  ['slow', -1],
  ['fast', 1],
] as const) {
  test(`a clock a day ${which}: no refresh too many, none too few`, async (t) => {
    t.mock.timers.enable({ apis: ['Date'], now: Date.now() + days * 86_400_000 })
    const { server, client, call, time } = await start(t)
    assert.deepEqual([await call(), server.refreshes()], [200, 0])
    time.now += 900_000
    assert.deepEqual([await call(), server.refreshes()], [200, 1])
    server.expireTokens()
    assert.deepEqual([await call(), server.refreshes()], [200, 2])
    // Also where the clock is set in the middle of everything.
    t.mock.timers.setTime(0)
    assert.deepEqual([await call(), server.refreshes()], [200, 2])
    server.expireTokens()
    assert.deepEqual([await call(), server.refreshes()], [200, 3])
    assert.equal(client.getSession().status, 'signed-in')
    assert.equal(server.happened('reused', 'revoked', 'superseded'), false)
  })
}

test('waits grow, and no two clients wait the same', async (t) => {
  const all: number[][] = []
  for (const chance of [0, 255]) {
    const random = (size: number) => new Uint8Array(size).fill(chance)
    const { server, call, time } = await start(t, { random })
    server.expireTokens()
    server.faults.push(...Array(4).fill(says(500)))
    assert.equal(await call(), 'ERR_OFFLINE')
    all.push(time.sleeps.map(Math.round))
  }
  assert.deepEqual(all, [
    [150, 450, 1350],
    [299, 898, 2695],
  ])
})

test('no secret in errors, states or the debug log at any fault', async (t) => {
  const log: unknown[] = []
  const { server, client, time, storage } = await start(t, {
    refreshTimeout: 2000,
    debug: (...event) => log.push(event),
  })
  for (const [, answer, then] of table) {
    if (then === 'over') continue
    server.expireTokens()
    time.now += 300_000
    server.faults.push(answer, answer, answer, answer)
    await client
      .fetch(`${server.url}/api`)
      .catch((error) => log.push(error, String(error.stack), JSON.stringify(error)))
    server.faults.length = 0
    log.push(client.getSession())
    const { key, last } = storage.memory()
    for (const one of [key, last]) assert.ok(!one || !inspect(log, { depth: 9 }).includes(String(one)))
  }
  server.faults.push(says(401, 'invalid_grant'))
  await assert.rejects(
    client.getAccessToken({ forceFresh: true }),
    (error) => isSignedOut(error) && log.push(error) > 0,
  )
  assert.doesNotMatch(inspect(log, { depth: 9 }), /dpr_|eyJ|right/)
})
