// What does the client do about each fault at /refresh? Only `invalid_grant` ends a session.

import assert from 'node:assert/strict'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { isOffline } from '../../src/client/index.ts'
import { refused, reply, type Script, startSignedIn } from './scripted-server.ts'

const error =
  (status: number, error = 'server_error', code = 'ERR_INTERNAL', headers = {}): Script =>
  (_, response) =>
    reply(response, refused(status, error, code), headers)

const raw =
  (status: number, type: string, text: string): Script =>
  (_, response) => {
    response.writeHead(status, { 'content-type': type })
    response.end(text)
  }

const html = '<!doctype html><title>Bad gateway</title>'

function halfABody(response: ServerResponse, body: string) {
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': body.length })
  response.write(body.slice(0, body.length / 2), () => response.destroy())
}

const asDate = () => ({ date: new Date(1e12).toUTCString(), 'retry-after': new Date(1e12 + 7000).toUTCString() })

/**
 * What the client does about a fault that comes once:
 * - `again` = asks again by itself, and the call goes through; with the milliseconds it waits, at least and at most.
 * - `offline` = the call fails with ERR_OFFLINE, the session is kept, and the next call goes through.
 * - `out` = signed out; the call gets the 401 that it had.
 */
const table: [fault: string, script: Script, then: 'again' | 'offline' | 'out', waits?: [number, number]][] = [
  ['401 invalid_grant', error(401, 'invalid_grant', 'ERR_SESSION_REVOKED'), 'out'],
  ['401 from a proxy, no JSON', raw(401, 'text/html', html), 'again', [150, 300]],
  ['401 with another error', error(401, 'invalid_client'), 'again', [150, 300]],
  ['400', error(400, 'invalid_request', 'ERR_REQUEST_INVALID'), 'again', [150, 300]],
  ['400 with invalid_grant', error(400, 'invalid_grant', 'ERR_SESSION_REVOKED'), 'again', [150, 300]],
  ['403, refused by CSRF', error(403, 'access_denied', 'ERR_ORIGIN_REFUSED'), 'again', [150, 300]],
  ['404', raw(404, 'text/plain', 'Not found'), 'again', [150, 300]],
  ['405', error(405), 'again', [150, 300]],
  ['408', error(408), 'again', [150, 300]],
  ['409, a race lost', error(409, 'superseded', 'ERR_REFRESH_SUPERSEDED'), 'again', [150, 300]],
  ['413', error(413), 'again', [150, 300]],
  ['415', error(415), 'again', [150, 300]],
  ['425', error(425), 'again', [150, 300]],
  ['429', error(429, 'rate_limited', 'ERR_RATE_LIMITED'), 'again', [150, 300]],
  ['429, Retry-After 3', error(429, 'rate_limited', 'ERR_RATE_LIMITED', { 'retry-after': '3' }), 'again', [3000, 3000]],
  ['429, Retry-After a day', error(429, 'rate_limited', 'ERR_RATE_LIMITED', { 'retry-after': '86400' }), 'offline'],
  ['500', error(500), 'again', [150, 300]],
  ['501', error(501), 'again', [150, 300]],
  ['502 in HTML', raw(502, 'text/html', html), 'again', [150, 300]],
  ['503', error(503, 'temporarily_unavailable'), 'again', [150, 300]],
  ['503, Retry-After 0', error(503, 'temporarily_unavailable', 'ERR_X', { 'retry-after': '0' }), 'again', [0, 0]],
  ['503, Retry-After a date, by the server’s clock', error(503, 'x', 'ERR_X', asDate()), 'again', [7000, 7000]],
  ['504 with invalid_grant in it', error(504, 'invalid_grant'), 'again', [150, 300]],
  ['200 in HTML (a captive portal)', raw(200, 'text/html', html), 'again', [150, 300]],
  ['200, empty', raw(200, 'application/json', ''), 'again', [150, 300]],
  ['200, null', raw(200, 'application/json', 'null'), 'again', [150, 300]],
  ['200, no token in it', raw(200, 'application/json', '{"ok":true}'), 'again', [150, 300]],
  ['200, half a body, committed', (_, r, commit) => halfABody(r, JSON.stringify(commit().body)), 'again', [150, 300]],
  ['204', raw(204, 'application/json', ''), 'again', [150, 300]],
  ['302 to another origin', (_, r) => r.writeHead(302, { location: 'http://localhost:9/' }).end(), 'again', [150, 300]],
  ['307 to itself', (_, r) => r.writeHead(307, { location: '/auth/refresh' }).end(), 'again', [150, 300]],
  ['reset before the server committed', (_, r) => r.destroy(), 'again', [150, 300]],
  ['reset after the server committed', (_, r, commit) => commit() && r.destroy(), 'again', [150, 300]],
  ['no answer within the time', () => {}, 'again', [150, 300]],
  ['no answer within the time, committed', (_, __, commit) => commit(), 'again', [150, 300]],
]

for (const [fault, script, then, [least, most] = [0, 0]] of table) {
  const refreshTimeout = fault.startsWith('no answer') ? 400 : 10_000
  const says = {
    again: 'asks again, the call goes through',
    offline: 'says so and keeps the session',
    out: 'signs out',
  }
  test(`${fault}: ${says[then]}`, async (t) => {
    const { server, client, api, time, storage } = await startSignedIn(t, { refreshTimeout })
    server.expireTokens()
    server.script.push(script)
    const call = client.fetch(api)

    if (then === 'out') {
      assert.equal((await call).status, 401)
      assert.equal(client.getSession().status, 'signed-out')
      assert.deepEqual(storage.memory(), { out: true })
      return
    }
    if (then === 'again') {
      assert.equal((await call).status, 200)
      const waited = time.sleeps.reduce((sum, sleep) => sum + sleep, 0)
      assert.ok(waited >= least && waited <= most, `waited ${waited} ms`)
    } else {
      await assert.rejects(call, isOffline)
      assert.equal(client.getSession().status, 'offline')
      assert.equal(client.getSession().session!.subject, 'ada')
      assert.equal(storage.memory().token, 'refresh-1')
      time.now += 300_000
      assert.equal((await client.fetch(api)).status, 200)
    }
    assert.equal(client.getSession().status, 'signed-in')
    assert.equal(server.refreshes(), 2)
    const keys = server.requests('/auth/refresh').map(({ headers }) => headers['idempotency-key'])
    assert.equal(new Set(keys).size, 1, 'the same key each time')
  })

  if (then === 'out') continue
  test(`${fault}, while the token is still good: the call goes through at once`, async (t) => {
    const { server, client, api, time } = await startSignedIn(t, { refreshTimeout })
    server.script.push(script)
    time.now += 895_000
    assert.equal((await client.fetch(api)).status, 200)
    assert.equal(server.refreshes(), 1)
    assert.deepEqual(time.sleeps, [])
    assert.equal(client.getSession().status, 'signed-in')
  })

  test(`${fault}, again and again: a few tries, then the call fails and the session is kept`, async (t) => {
    const { server, client, api, time, storage } = await startSignedIn(t, { refreshTimeout })
    server.expireTokens()
    for (let i = 0; i < 20; i++) server.script.push(script)
    const start = time.now
    await assert.rejects(client.fetch(api), isOffline)
    assert.ok(server.refreshes() <= 4 && time.now - start <= 15_000)
    assert.equal(client.getSession().status, 'offline')
    assert.match(String(storage.memory().token), /^refresh-/)
    server.script.length = 0
    time.now += 300_000
    assert.equal((await client.fetch(api)).status, 200)
  })
}

async function closedPort() {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return `127.0.0.1:${port}`
}

test('no server there, no such name: kept, and resumed when it is back', async (t) => {
  for (const host of [await closedPort(), 'nowhere.invalid']) {
    let isDown = false
    const send: typeof fetch = (input, init) => fetch(isDown ? String(input).replace(/127[^/]+/, host) : input, init)
    const { client, time } = await startSignedIn(t, { fetch: send })
    isDown = true
    time.now += 900_000
    await assert.rejects(client.getAccessToken(), (error) => isOffline(error) && /^E[A-Z_]+$/.test(error.reason!))
    assert.equal(client.getSession().status, 'offline')
    isDown = false
    await client.getAccessToken()
    assert.equal(client.getSession().status, 'signed-in')
  }
})

test('waits grow, and no two clients wait the same', async (t) => {
  const all: number[][] = []
  for (const chance of [0, 255]) {
    const random = (size: number) => new Uint8Array(size).fill(chance)
    const { server, client, api, time } = await startSignedIn(t, { random })
    server.expireTokens()
    for (let i = 0; i < 4; i++) server.script.push(error(500))
    await assert.rejects(client.fetch(api), isOffline)
    all.push(time.sleeps.map(Math.round))
  }
  assert.deepEqual(all, [
    [150, 450, 1350],
    [299, 898, 2695],
  ])
})

test('nothing secret in errors, states or the debug log, whatever comes', async (t) => {
  const log: unknown[] = []
  const { server, client, api, storage } = await startSignedIn(t, {
    refreshTimeout: 400,
    debug: (...event) => log.push(event),
  })
  const secrets = /access-\d|refresh-\d|right/
  for (const [, script] of table.slice(1)) {
    server.expireTokens()
    for (let i = 0; i < 4; i++) server.script.push(script)
    await client.fetch(api).catch((error) => log.push(error, String(error.stack), JSON.stringify(error)))
    server.script.length = 0
    log.push(client.getSession())
    const { key, last } = storage.memory()
    const { inspect } = await import('node:util')
    const text = inspect(log, { depth: 9 })
    assert.doesNotMatch(text, secrets)
    for (const one of [key, last]) assert.ok(!one || !text.includes(String(one)))
  }
})
