// No secret leaks: each secret contains a canary, and no log, error, event or file contains a canary after any request.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { inspect } from 'node:util'
import { createDaypass, isDaypassError } from '../../src/index.ts'
import { createMemoryStore } from '../../src/stores/memory.ts'
import { createFakeClock } from '../../src/testing/index.ts'
import { spyOn } from '../core/setup.ts'
import { type Answer, bearer, call, ownPage, type Sent } from '../http/server.ts'
import { startServerProcess } from '../server/process.ts'

/** The secrets so far, and the places that must contain none of them. */
function createAviary() {
  const secrets = new Map<string, string>()
  const places: [name: string, text: string][] = []
  return {
    /** A part of a token is a secret too: its end authenticates it. */
    secret(name: string, text: unknown) {
      if (typeof text !== 'string' || text.length < 20) return
      const label = `${name} ${secrets.size}`
      secrets.set(label, text)
      if (text.length < 60) return
      secrets.set(`the end of ${label}`, text.slice(-24))
      secrets.set(`the middle of ${label}`, text.slice(-60, -30))
    },
    say: (name: string, text: string) => void places.push([name, text]),
    /** All texts of an error. */
    tell(name: string, error: unknown) {
      places.push([name, inspect(error, { depth: Infinity, showHidden: true })])
      for (let each = error as any; each instanceof Error; each = each.cause) {
        places.push([name, `${each} ${each.message} ${each.stack} ${JSON.stringify(each)} ${each.cause}`])
      }
    },
    check(expected: string[], atLeast: number) {
      const heard = new Set(places.map(([name]) => name))
      assert.deepEqual(
        expected.filter((name) => !heard.has(name)),
        [],
        'the place has no text',
      )
      assert.ok(secrets.size >= atLeast, `only ${secrets.size} secrets`)
      for (const [name, secret] of secrets) {
        for (const [place, text] of places)
          assert.ok(!text.includes(secret), `${name} is in ${place}: ${text.slice(0, 2000)}`)
      }
    },
  }
}

const canary = (what: string) => `canary-${what}-${randomBytes(16).toString('base64url')}`

test('the server application: no secret is in its log, error responses, metrics, URLs or files', async (t) => {
  const { secret, say, check } = createAviary()
  const keep = (name: string, text: string) => {
    secret(name, text)
    return text
  }
  const apiKey = keep('the API key', canary('api-key'))
  const password = keep('the password', canary('password'))
  const server = await startServerProcess({
    DAYPASS_SECRET: keep('the server’s secret', canary('secret')),
    DAYPASS_API_KEY: apiKey,
    DAYPASS_LOG: 'debug',
    DAYPASS_REUSE_INTERVAL: '1',
    DAYPASS_ACCESS_TOKEN_LIFETIME: '6',
  })
  t.after(() => server.remove())

  const statuses: number[] = []
  async function send(line: string, sent: Sent = {}): Promise<Answer> {
    const response = await call(server.url, line, sent)
    statuses.push(response.status)
    for (const name of ['refreshToken', 'accessToken']) secret(name, response.json?.[name])
    for (const cookie of response.headers['set-cookie'] ?? []) secret('a cookie', cookie.split(/[=;]/)[1])
    // The response without its tokens, and the whole of an error response.
    const { refreshToken: _r, accessToken: _a, ...rest } = response.json ?? {}
    const { 'set-cookie': _c, ...headers } = response.headers
    say(
      response.status < 300 ? 'a response' : 'an error response',
      JSON.stringify([headers, response.json ? rest : response.text]),
    )
    return response
  }
  const newKey = () => keep('an Idempotency-Key', canary('key'))
  const refresh = (refreshToken: unknown, key = newKey()) =>
    send('POST /auth/refresh', { json: { refreshToken }, headers: { 'idempotency-key': `"${key}"` } })
  const body = { email: 'ada@example.com', password, transport: 'body' }

  // Requests that succeed.
  const ada = await send('POST /auth/register', { json: body })
  const { cookie } = await send('POST /auth/login', { json: { ...body, transport: 'cookie' }, headers: ownPage })
  const key = newKey()
  const next = await refresh(ada.json.refreshToken, key)
  const expiresAt = Date.now() + 6000
  await refresh(ada.json.refreshToken, key)
  await send('POST /auth/refresh', { headers: { ...ownPage, cookie: cookie!, 'idempotency-key': newKey() } })
  await send('GET /auth/me', { headers: bearer(next.json.accessToken) })
  await send('POST /admin/sessions', { json: { subject: 'bob' }, headers: bearer(apiKey) })
  assert.deepEqual(statuses.splice(0), Array(7).fill(200))

  // Requests that fail: wrong, foreign, garbled and stolen credentials.
  const wrong = keep('a wrong password', canary('wrong'))
  // This one is first, so that the access token is still valid on a slow machine.
  await send('POST /auth/password', {
    json: { current: wrong, next: keep('a next password', canary('next')) },
    headers: bearer(next.json.accessToken),
  })
  await send('POST /auth/login', { json: { ...body, password: wrong } })
  await send('POST /auth/register', { json: { ...body, password: wrong } })
  await send('POST /auth/login', { json: { ...body, password: [password] } })
  await send('POST /auth/login', { body: `{"password":"${password}"`, headers: { 'content-type': 'application/json' } })
  await send('POST /auth/login', { body: `password=${password}`, headers: { 'content-type': 'text/plain' } })
  await send('POST /auth/login', { json: { ...body, transport: password } })
  await send('POST /admin/sessions', { json: { subject: 'bob' }, headers: bearer(`${apiKey}x`) })
  await refresh(`${next.json.refreshToken.slice(0, -8)}AAAAAAAA`)
  await refresh(next.json.accessToken)
  await refresh([next.json.refreshToken])
  await refresh(next.json.refreshToken, `${newKey()} and a space`)
  await send('POST /auth/refresh', { headers: { cookie: cookie!, origin: 'https://evil.example' } })
  await send('POST /auth/refresh', { headers: { ...ownPage, cookie: `${cookie}; ${cookie}` } })
  await send('GET /auth/me', { headers: bearer(next.json.refreshToken) })
  await send('GET /auth/me', { headers: bearer(`${next.json.accessToken.slice(0, -8)}AAAAAAAA`) })
  assert.deepEqual(statuses.splice(0), [400, 401, 401, 400, 400, 415, 400, 401, 401, 401, 400, 400, 403, 400, 401, 401])
  // A secret in the URL is the caller's own fault, and still is not logged.
  assert.equal((await send(`GET /auth/me?access_token=${next.json.accessToken}`)).status, 401)
  assert.equal((await send(`POST /auth/${next.json.refreshToken}`)).status, 404)
  await delay(expiresAt + 1000 - Date.now())
  assert.equal(
    (await send('GET /auth/me', { headers: bearer(next.json.accessToken) })).json.code,
    'ERR_ACCESS_TOKEN_EXPIRED',
  )
  assert.equal((await refresh(ada.json.refreshToken)).json.code, 'ERR_REFRESH_TOKEN_REUSED')
  assert.equal((await refresh(next.json.refreshToken)).json.code, 'ERR_SESSION_REVOKED')
  const last = await send('POST /auth/login', { json: body })

  // Another process locks the database: the engine's error is logged.
  const other = new DatabaseSync(join(server.folder, 'daypass.db'))
  for (const { hash } of other.prepare('SELECT password_hash AS hash FROM daypass_account').all())
    secret('a password’s hash', hash)
  other.exec('BEGIN IMMEDIATE')
  assert.equal((await refresh(last.json.refreshToken)).status, 503)
  assert.equal((await send('POST /auth/login', { json: body })).status, 503)
  other.exec('ROLLBACK')
  other.close()
  assert.equal((await refresh(last.json.refreshToken)).status, 200)
  assert.equal((await send('POST /auth/logout', { json: { refreshToken: last.json.refreshToken } })).status, 204)

  say('the metrics', (await send('GET /metrics')).text)
  await server.stop()
  say('the log', server.output())
  const { log } = server
  for (const message of ['issued', 'rotated', 'replayed', 'reused', 'revoked', 'request failed']) {
    assert.ok(
      log.some((line) => line.message === message),
      `${message} is not in the log`,
    )
  }
  check(['a response', 'an error response', 'the metrics', 'the log'], 60)

  // The files contain the hash, as they must, and no other secret.
  const files = createAviary()
  for (const token of [ada, next, last]) files.secret('a refresh token', token.json.refreshToken)
  for (const token of [ada, next, last]) files.secret('an access token', token.json.accessToken)
  for (const text of [key, password, wrong, apiKey]) files.secret('a text', text)
  for (const file of readdirSync(server.folder))
    files.say('a file', readFileSync(join(server.folder, file)).toString('latin1'))
  files.check(['a file'], 10)
})

test('the library: no secret is in any text of an error, nor in any event', async () => {
  const { secret, say, tell, check } = createAviary()
  const serverSecret = canary('secret')
  secret('the server’s secret', serverSecret)
  const newKey = () => {
    const key = canary('key')
    secret('an Idempotency-Key', key)
    return key
  }
  const time = createFakeClock()
  const { store, before } = spyOn(createMemoryStore())
  // An engine whose errors quote the failed command with its arguments, as some drivers' errors do.
  const quoting = Object.fromEntries(
    Object.entries(store).map(([name, run]) => [
      name,
      async (...given: unknown[]) => {
        try {
          return await (run as (...given: unknown[]) => unknown)(...given)
        } catch {
          throw new Error(`ERR in ${name} ${JSON.stringify(given)} ${inspect(given)}`)
        }
      },
    ]),
  ) as unknown as typeof store
  let findSubject: () => object | null = () => ({})
  const auth = createDaypass({
    secret: serverSecret,
    issuer: 'https://id.example',
    store: quoting,
    clock: time.clock,
    findSubject: () => findSubject(),
    onEvent: (event) => say('an event', `${JSON.stringify(event)} ${inspect(event, { depth: Infinity })}`),
  })
  const keep = <T extends { refreshToken: string; accessToken: string }>(tokens: T): T => {
    secret('a refresh token', tokens.refreshToken)
    secret('an access token', tokens.accessToken)
    return tokens
  }
  const fails = async (attempt: Promise<unknown>, code?: string) => {
    await assert.rejects(attempt, (error) => {
      tell('an error', error)
      if (code !== undefined) assert.ok(isDaypassError(error), String(error))
      return code === undefined || (error as { code?: string }).code === code
    })
  }
  const issue = async () => keep(await auth.issue('ada', { claims: { role: 'admin' } }))
  const refresh = (token: string, more: object = {}) => auth.refresh(token, { idempotencyKey: newKey(), ...more })

  const first = await issue()
  const next = keep(await refresh(first.refreshToken))
  await fails(refresh(first.refreshToken), 'ERR_REFRESH_SUPERSEDED')
  await fails(refresh(`${next.refreshToken.slice(0, -8)}AAAAAAAA`), 'ERR_REFRESH_TOKEN_INVALID')
  await fails(refresh(next.accessToken), 'ERR_REFRESH_TOKEN_INVALID')
  await fails(refresh(next.refreshToken, { clientId: 'other' }), 'ERR_REFRESH_TOKEN_INVALID')
  await fails(refresh(next.refreshToken, { idempotencyKey: `${newKey()} and a space` }), 'ERR_IDEMPOTENCY_KEY_INVALID')
  await fails(refresh(next.refreshToken, { signal: { aborted: true } }), 'ERR_REQUEST_ABORTED')
  await fails(auth.verify(next.refreshToken), 'ERR_ACCESS_TOKEN_INVALID')
  await fails(auth.verify(`${next.accessToken.slice(0, -8)}AAAAAAAA`), 'ERR_ACCESS_TOKEN_INVALID')
  await fails(auth.issue('ada', { claims: { sub: canary('claim') } }), 'ERR_CLAIMS_INVALID')
  findSubject = () => {
    throw new Error('the user table is away')
  }
  await fails(refresh(next.refreshToken), 'ERR_SUBJECT_CHECK_FAILED')
  findSubject = () => ({})

  for (const call of ['advance', 'find', 'create', 'revoke', 'revokeSubject', 'list']) {
    const fresh = await issue()
    before((name) => {
      if (name === call) throw new Error('the engine is away')
    })
    const attempts = {
      advance: () => refresh(fresh.refreshToken),
      find: () => refresh(fresh.refreshToken),
      create: () => auth.issue('ada'),
      revoke: () => auth.revokeToken(fresh.refreshToken),
      revokeSubject: () => auth.revokeSubject('ada'),
      list: () => auth.sessions('ada'),
    }
    await fails(attempts[call as keyof typeof attempts]())
    before(() => {})
  }
  await fails(
    Promise.resolve().then(() => createDaypass({ secret: [serverSecret, serverSecret], issuer: 'x', store })),
    'ERR_OPTION_INVALID',
  )
  await fails(
    Promise.resolve().then(() => createDaypass({ secret: serverSecret.slice(0, 25), issuer: 'x', store })),
    'ERR_KEY_WEAK',
  )

  time.advance(60)
  await fails(refresh(first.refreshToken), 'ERR_REFRESH_TOKEN_REUSED')
  await fails(refresh(next.refreshToken), 'ERR_SESSION_REVOKED')
  await fails(auth.verify(next.accessToken), 'ERR_ACCESS_TOKEN_REVOKED')
  const old = await issue()
  findSubject = () => null
  await fails(refresh(old.refreshToken), 'ERR_SUBJECT_INACTIVE')
  findSubject = () => ({})
  const late = await issue()
  time.advance(8 * 86_400)
  await fails(refresh(late.refreshToken), 'ERR_SESSION_EXPIRED')
  await fails(auth.verify(late.accessToken), 'ERR_ACCESS_TOKEN_EXPIRED')
  check(['an error', 'an event'], 60)
})
