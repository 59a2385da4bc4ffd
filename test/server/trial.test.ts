// Throw-away sessions: without an account, for a while, limited, and for themselves alone.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { readConfig } from '../../server/src/config.ts'
import { post, type ServerProcess, startServerProcess } from './process.ts'

const secret = randomBytes(48).toString('base64')
const bearer = (token: string) => ({ authorization: `Bearer ${token}` })
const key = () => ({ 'idempotency-key': `"${randomBytes(24).toString('base64url')}"` })

describe('the setting', () => {
  const trial = (env: Record<string, string>) => readConfig({ DAYPASS_SECRET: secret, ...env }).trial

  test('is on by default for people of this machine alone', () => {
    assert.equal(trial({}), true)
    assert.equal(trial({ HOST: '::1', DAYPASS_ISSUER: 'http://[::1]:3000' }), true)
    assert.equal(trial({ HOST: '0.0.0.0' }), false)
    assert.equal(trial({ HOST: '::' }), false)
    assert.equal(trial({ DAYPASS_ISSUER: 'https://example.com' }), false)
    assert.equal(trial({ DAYPASS_ISSUER: 'https://localhost.example.com' }), false)
    assert.equal(trial({ DAYPASS_ISSUER: 'example' }), false)
    assert.equal(trial({ NODE_ENV: 'production' }), false)
    assert.equal(trial({ DAYPASS_REGISTRATION: 'off' }), false)
  })

  test('is what it is set to', () => {
    assert.equal(trial({ DAYPASS_TRY: 'off' }), false)
    assert.equal(trial({ DAYPASS_TRY: 'on', HOST: '0.0.0.0', DAYPASS_ISSUER: 'https://demo.example.com' }), true)
    assert.throws(() => trial({ DAYPASS_TRY: 'yes' }), { code: 'ERR_OPTION_INVALID', message: /DAYPASS_TRY/ })
  })
})

describe('a server without them', () => {
  test('has none of their routes', async () => {
    const server = await startServerProcess({ DAYPASS_TRY: 'off' })
    try {
      for (const path of ['/auth/try', '/auth/try/phone', '/auth/try/refresh', '/auth/try/lost-response']) {
        assert.equal((await post(server.url + path, { transport: 'body' })).status, 404, path)
      }
      const { paths } = (await (await fetch(`${server.url}/docs/json`)).json()) as any
      assert.deepEqual(
        Object.keys(paths).filter((path) => path.startsWith('/auth/try')),
        [],
      )
    } finally {
      await server.remove()
    }
  })
})

describe('a server with them', () => {
  let server: ServerProcess
  before(async () => {
    server = await startServerProcess({ DAYPASS_LOG: 'debug' })
  })
  after(() => server.remove())
  const ask = (path: string, body: object, headers = {}) => post(server.url + path, body, headers)
  const begin = async () => (await ask('/auth/try', { transport: 'body' })).body
  const beginAccount = async (email: string) =>
    (await ask('/auth/register', { email, password: 'correct horse battery', transport: 'body' })).body

  test('begins one of 10-second tokens that ends after an hour, with a client of its own and no account', async () => {
    const { status, body } = await ask('/auth/try', { transport: 'body' })
    const { expiresIn, session, accessToken } = body
    assert.deepEqual([status, expiresIn, session.persistent], [200, 10, false])
    assert.equal(session.expiresAt - session.createdAt, 3_600_000)
    assert.equal(session.idleExpiresAt - session.createdAt, 600_000)
    const { client_id, sub } = JSON.parse(Buffer.from(accessToken.split('.')[1], 'base64url').toString())
    assert.equal(client_id, 'try')
    assert.match(sub, /^guest-/)
    const me = (await (await fetch(`${server.url}/auth/me`, { headers: bearer(accessToken) })).json()) as any
    assert.equal(me.email, undefined)
    const change = { current: 'a', next: 'correct horse battery' }
    assert.equal((await ask('/auth/password', change, bearer(accessToken))).status, 400)
  })

  test('a page of another origin begins none', async () => {
    const refused = await ask('/auth/try', {}, { origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' })
    assert.deepEqual([refused.status, refused.body.code], [403, 'ERR_ORIGIN_REFUSED'])
  })

  test('people with an account get neither a phone nor a lost response', async () => {
    const { accessToken } = await beginAccount('ada@example.com')
    for (const path of ['/auth/try/phone', '/auth/try/lost-response']) {
      const refused = await ask(path, { label: 'Phone' }, bearer(accessToken))
      assert.deepEqual([refused.status, refused.body.code], [403, 'ERR_CLAIMS_INSUFFICIENT'], path)
      assert.equal((await ask(path, { label: 'Phone' })).status, 401, path)
    }
  })

  test('a lost response: the session is rotated, no answer comes, and the same request gets the same token', async () => {
    const { accessToken, refreshToken, session } = await begin()
    assert.equal((await ask('/auth/try/lost-response', {}, bearer(accessToken))).status, 204)
    const sameKey = key()
    let answer: Awaited<ReturnType<typeof post>> | undefined
    let lost = 0
    for (let tries = 0; answer === undefined && tries < 100; tries++) {
      answer = await ask('/auth/refresh', { refreshToken }, sameKey).catch(() => undefined)
      if (answer === undefined) lost++
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    assert.ok(lost > 0, 'a response was lost')
    const again = await ask('/auth/refresh', { refreshToken }, sameKey)
    assert.equal(again.body.refreshToken, answer?.body.refreshToken)
    const names = () => server.log.filter(({ sessionId }) => sessionId === session.id).map(({ message }) => message)
    // The log comes through a pipe.
    for (let tries = 0; names().length < lost + 3 && tries < 100; tries++) {
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    assert.deepEqual(names(), ['issued', 'rotated', ...Array.from({ length: lost + 1 }, () => 'replayed')])
  })

  test('a phone: a copy of its token ends its session at the first use, and no other session', async () => {
    const guest = await begin()
    const phone = (await ask('/auth/try/phone', { label: 'Phone' }, bearer(guest.accessToken))).body
    assert.equal(phone.session.subject, guest.session.subject)
    const refresh = (refreshToken: string) => ask('/auth/try/refresh', { refreshToken }, key())
    assert.equal((await refresh(phone.refreshToken)).status, 200)
    assert.equal((await refresh(phone.refreshToken)).body.code, 'ERR_REFRESH_TOKEN_REUSED')
    assert.equal((await refresh(guest.refreshToken)).body.code, 'ERR_REFRESH_TOKEN_INVALID')
    assert.equal((await ask('/auth/refresh', { refreshToken: guest.refreshToken }, key())).status, 200)
  })

  test('the strict refresh leaves the sessions of people alone', async () => {
    const account = await beginAccount('grace@example.com')
    const refused = await ask('/auth/try/refresh', { refreshToken: account.refreshToken }, key())
    assert.deepEqual([refused.status, refused.body.code], [401, 'ERR_REFRESH_TOKEN_INVALID'])
    assert.equal((await ask('/auth/refresh', { refreshToken: account.refreshToken }, key())).status, 200)
  })

  test('no token is in the log', () => {
    assert.doesNotMatch(server.output(), /dpr_|eyJ/)
  })
})

test('throw-away sessions and their phones are 60 an hour from one network', async () => {
  const server = await startServerProcess()
  try {
    const begin = () => post(`${server.url}/auth/try`, { transport: 'body' })
    const first = await begin()
    for (let n = 1; n < 60; n++) assert.equal((await begin()).status, 200)
    const limited = await begin()
    assert.deepEqual([limited.status, limited.body.code], [429, 'ERR_RATE_LIMITED'])
    const phone = await post(`${server.url}/auth/try/phone`, { label: 'Phone' }, bearer(first.body.accessToken))
    assert.equal(phone.status, 429)
    // Accounts have limits of their own.
    const account = { email: 'ada@example.com', password: 'correct horse battery', transport: 'body' }
    assert.equal((await post(`${server.url}/auth/register`, account)).status, 200)
  } finally {
    await server.remove()
  }
})
