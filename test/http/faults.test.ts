// Faults over HTTP: a store that fails, a caller that disconnects, an app whose code throws. No response or log has a secret.

import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, type TestContext, test } from 'node:test'
import { format, inspect } from 'node:util'
import { createNodeAuth, createRequireAuth } from '../../src/adapters/node.ts'
import { DaypassError, type Store } from '../../src/index.ts'
import { createMemoryStore } from '../../src/stores/memory.ts'
import { createSqliteStore } from '../../src/stores/sqlite.ts'
import { createVerifier } from '../../src/verify/index.ts'
import { adapters } from '../adapters/apps.ts'
import {
  type Answer,
  assertRefused,
  authenticate,
  bearer,
  call,
  listen,
  makeDaypass,
  newKey,
  ownPage,
  password,
  refreshBody,
  refreshCookie,
  type Sent,
  secret,
  serve,
  signInBody,
  signInCookie,
} from './server.ts'

function temporaryFile(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'daypass-http-'))
  t.after(() => rmSync(folder, { recursive: true }))
  return join(folder, 'sessions.db')
}

/** 503, when to come back, and not a word about what is broken. */
function assertAway(answer: Answer, detail = /lock|busy|sqlite|database|disk|file|open|\/tmp/i): void {
  assertRefused(answer, 503, 'ERR_STORE_UNAVAILABLE', 'temporarily_unavailable')
  assert.equal(answer.headers['retry-after'], '1')
  assert.doesNotMatch(answer.text, detail)
}

describe('the store away', () => {
  test('a database that another process has locked: 503 for a while, and every session lives', async (t) => {
    const path = temporaryFile(t)
    const store = createSqliteStore(path)
    t.after(() => store.close())
    const { origin, errors, events } = await serve(t, { store })
    const inBody = await signInBody(origin)
    const inCookie = await signInCookie(origin)
    const key = newKey()
    events.length = 0
    const other = new DatabaseSync(path)
    t.after(() => other.close())
    other.exec('BEGIN IMMEDIATE')

    // All at once: one wait for the lock serves them all.
    const answers = await Promise.all([
      refreshBody(origin, inBody.json.refreshToken, key),
      refreshCookie(origin, inCookie.cookie!, key),
      call(origin, 'POST /auth/logout', { json: { refreshToken: inBody.json.refreshToken } }),
      call(origin, 'DELETE /auth/sessions', { headers: bearer(inBody.json.accessToken) }),
      call(origin, 'POST /auth/login', { json: { name: 'ada', password, transport: 'body' } }),
    ])
    for (const answer of answers) assertAway(answer)
    assert.equal((await call(origin, 'GET /me', { headers: bearer(inBody.json.accessToken) })).status, 200)
    assert.deepEqual(events, [])
    assert.equal(errors.length, answers.length)
    for (const error of errors) {
      assert.ok(error instanceof DaypassError)
      assert.equal(error.code, 'ERR_STORE_LOCKED', 'the operator is told which trouble it is')
      assert.match(String(error.cause), /database is locked/)
    }

    other.exec('ROLLBACK')
    assert.equal((await refreshBody(origin, inBody.json.refreshToken, key)).status, 200)
    assert.equal((await refreshCookie(origin, inCookie.cookie!, key)).status, 200)
  })

  test('a database that is closed: 503, and after a restart the session goes on', async (t) => {
    const path = temporaryFile(t)
    const database = new DatabaseSync(path)
    const { origin, errors } = await serve(t, { store: createSqliteStore(database) })
    const { json } = await signInBody(origin)
    const key = newKey()
    const me = () => call(origin, 'GET /me', { headers: bearer(json.accessToken) })
    assert.equal((await me()).status, 200)
    database.close()
    assertAway(await refreshBody(origin, json.refreshToken, key))
    assertAway(await call(origin, 'GET /auth/sessions', { headers: bearer(json.accessToken) }))
    assert.equal((await me()).status, 200, 'what was known a moment ago still counts')
    assert.ok(errors.length >= 2)

    const store = createSqliteStore(path)
    t.after(() => store.close())
    const restarted = await serve(t, { store })
    assert.equal((await refreshBody(restarted.origin, json.refreshToken, key)).status, 200)
  })

  /** The real store in memory, with faults on top: before a call has done anything, or after it has done all. */
  function faulty() {
    const store = createMemoryStore()
    const fault = { call: '', when: 'before' }
    const proxy = new Proxy(store, {
      get: (target, name: keyof Store) =>
        // Optional members of a store stay undefined.
        target[name] &&
        (async (...given: never[]) => {
          const fail = () => {
            throw new DaypassError('ERR_STORE_UNAVAILABLE', 'connect ECONNREFUSED db.internal:5432', {
              cause: new Error('connect ECONNREFUSED db.internal:5432'),
            })
          }
          if (fault.call === name && fault.when === 'before') fail()
          const result = await (target[name] as (...given: never[]) => Promise<unknown>)(...given)
          if (fault.call === name && fault.when === 'after') fail()
          return result
        }),
    })
    return { store: proxy, fault }
  }

  const detail = /ECONNREFUSED|db\.internal|5432/
  for (const when of ['before', 'after']) {
    for (const lost of ['find', 'advance']) {
      test(`\`${lost}\` fails ${when} its work: 503, and asked again with the same key the session goes on`, async (t) => {
        const { store, fault } = faulty()
        const { origin, errors, events } = await serve(t, {
          store,
          findSubject: () => ({ claims: { role: 'member' } }),
        })
        const first = await signInBody(origin)
        const key = newKey()
        Object.assign(fault, { call: lost, when })
        for (let turn = 0; turn < 3; turn++) assertAway(await refreshBody(origin, first.json.refreshToken, key), detail)
        assert.equal(errors.length, 3)
        assert.ok(errors.every((error) => error instanceof DaypassError && error.cause instanceof Error))
        fault.call = ''

        const next = await refreshBody(origin, first.json.refreshToken, key)
        const same = await refreshBody(origin, first.json.refreshToken, key)
        assert.equal(next.status, 200)
        assert.equal(same.json.refreshToken, next.json.refreshToken)
        assert.equal((await refreshBody(origin, next.json.refreshToken, newKey())).status, 200)
        assert.ok(events.every((event) => event.type !== 'reused' && event.type !== 'revoked'))
      })
    }

    test(`a sign-out fails ${when} it was written: 503, the cookie stays, and asked again it is out`, async (t) => {
      const { store, fault } = faulty()
      const { origin, errors } = await serve(t, { store })
      const { cookie } = await signInCookie(origin)
      const logout = () => call(origin, 'POST /auth/logout', { headers: { ...ownPage, cookie: cookie! } })
      Object.assign(fault, { call: 'revoke', when })
      assertAway(await logout(), detail)
      assert.equal(errors.length, 1)
      fault.call = ''
      assert.equal((await logout()).status, 204)
      assertRefused(await refreshCookie(origin, cookie!), 401, 'ERR_SESSION_REVOKED')
    })
  }

  test('a thief’s try while the store cannot end the session is refused, and ends it at the next', async (t) => {
    const { store, fault } = faulty()
    const { origin, time } = await serve(t, { store })
    const first = await signInBody(origin)
    const second = await refreshBody(origin, first.json.refreshToken, newKey())
    time.offset += 31_000
    Object.assign(fault, { call: 'revoke', when: 'before' })
    assertAway(await refreshBody(origin, first.json.refreshToken, newKey()))
    fault.call = ''
    assertRefused(await refreshBody(origin, first.json.refreshToken, newKey()), 401, 'ERR_REFRESH_TOKEN_REUSED')
    assertRefused(await refreshBody(origin, second.json.refreshToken, newKey()), 401, 'ERR_SESSION_REVOKED')
  })

  test('the app’s user table away: 503, nothing redeemed, the session lives', async (t) => {
    let away = false
    const findSubject = () => {
      if (away) throw new Error('connect ECONNREFUSED users.internal:5432')
      return { claims: { role: 'member' } }
    }
    const { origin, errors, events } = await serve(t, { findSubject })
    const { json } = await signInBody(origin)
    away = true
    const answer = await refreshBody(origin, json.refreshToken, newKey())
    assertRefused(answer, 503, 'ERR_SUBJECT_CHECK_FAILED', 'temporarily_unavailable')
    assert.equal(answer.headers['retry-after'], '1')
    assert.doesNotMatch(answer.text, /ECONNREFUSED|internal/)
    assert.match(inspect(errors[0]), /ECONNREFUSED users\.internal/)
    assert.deepEqual(
      events.map((event) => event.type),
      ['issued'],
    )
    away = false
    assert.equal((await refreshBody(origin, json.refreshToken, newKey())).status, 200)
  })
})

describe('the caller gone', () => {
  const refreshHead = (length: number) =>
    `POST /auth/refresh HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${length}\r\n\r\n`

  for (const [name, start] of Object.entries(adapters)) {
    if (!name.includes('express.json()')) {
      test(`${name}: while its body is still coming: the token is not redeemed`, async (t) => {
        const { auth, events, store } = makeDaypass()
        const errors: unknown[] = []
        const server = await start(auth, { authenticate, onError: (error) => errors.push(error) })
        t.after(() => server.close())
        const { json } = await signInBody(server.origin)
        const body = JSON.stringify({ refreshToken: json.refreshToken })
        for (const part of ['', body.slice(0, 20), body.slice(0, -1)]) {
          const socket = connect(server.port, '127.0.0.1')
          await new Promise<void>((resolve) => socket.write(refreshHead(body.length) + part, () => resolve()))
          // Until the server reads the body.
          await new Promise((resolve) => setTimeout(resolve, 20))
          socket.destroy()
          await server.deserted()
        }
        assert.deepEqual(
          events.map((event) => event.type),
          ['issued'],
        )
        assert.equal((await store.find(json.session.id))!.generation, 0)
        assert.deepEqual(errors, [], 'a caller that goes is not our fault')
        assert.equal((await refreshBody(server.origin, json.refreshToken)).status, 200)
      })
    }

    test(`${name}: while \`findSubject\` runs: the token is not redeemed`, async (t) => {
      let asked!: () => void
      let answer!: (found: { claims: { role: string } }) => void
      const isAsked = new Promise<void>((resolve) => {
        asked = resolve
      })
      const isAnswered = new Promise<{ claims: { role: string } }>((resolve) => {
        answer = resolve
      })
      const findSubject = () => {
        asked()
        return isAnswered
      }
      const { auth, events, store } = makeDaypass({ findSubject, reuseInterval: 0 })
      const errors: unknown[] = []
      const server = await start(auth, { authenticate, onError: (error) => errors.push(error) })
      t.after(() => server.close())
      const { json } = await signInBody(server.origin)
      const body = JSON.stringify({ refreshToken: json.refreshToken })
      const socket = connect(server.port, '127.0.0.1')
      socket.write(refreshHead(body.length) + body)
      await isAsked
      socket.destroy()
      await server.deserted()
      answer({ claims: { role: 'member' } })
      await new Promise((resolve) => setTimeout(resolve, 20))
      assert.deepEqual(
        events.map((event) => event.type),
        ['issued'],
      )
      assert.equal((await store.find(json.session.id))!.generation, 0)
      assert.deepEqual(errors, [])
      // Strict, and without a key: had the token been redeemed, this would be reuse.
      assert.equal((await refreshBody(server.origin, json.refreshToken)).status, 200)
    })
  }

  test('before the app hands its request over: the routes answer at once and redeem nothing', {
    timeout: 10_000,
  }, async (t) => {
    const { auth, events } = makeDaypass()
    const errors: unknown[] = []
    const web = createNodeAuth(auth, { authenticate, onError: (error) => errors.push(error) })
    const handled: Promise<boolean>[] = []
    const server = await listen(async (req, res) => {
      if (req.headers['x-slow']) await new Promise((resolve) => req.once('error', resolve))
      handled.push(web.routes(req, res))
    })
    t.after(() => server.close())
    const { json } = await signInBody(server.origin)
    const body = JSON.stringify({ refreshToken: json.refreshToken })
    const socket = connect(server.port, '127.0.0.1')
    const head = refreshHead(body.length).replace('\r\n\r\n', '\r\nX-Slow: 1\r\n\r\n')
    await new Promise<void>((resolve) => socket.write(head + body.slice(0, -1), () => resolve()))
    await new Promise((resolve) => setTimeout(resolve, 20))
    socket.destroy()
    await server.deserted()
    while (handled.length < 2) await new Promise((resolve) => setTimeout(resolve, 1))
    assert.deepEqual(await Promise.all(handled), [true, true])
    assert.deepEqual(errors, [])
    assert.equal(events.length, 1)
    assert.equal((await refreshBody(server.origin, json.refreshToken)).status, 200)
  })

  test('while `authenticate` looks for the account: no session begins that nobody holds', async (t) => {
    let asked!: () => void
    let answer!: () => void
    const isAsked = new Promise<void>((resolve) => {
      asked = resolve
    })
    const isAnswered = new Promise<void>((resolve) => {
      answer = resolve
    })
    const served = await serve(
      t,
      {},
      {
        authenticate: async () => {
          asked()
          await isAnswered
          return { subject: 'ada', claims: { role: 'member' } }
        },
      },
    )
    const socket = connect(served.port, '127.0.0.1')
    socket.write(`${refreshHead(20).replace('refresh', 'login')}{"transport":"body"}`)
    await isAsked
    socket.destroy()
    await served.server.deserted()
    answer()
    await new Promise((resolve) => setTimeout(resolve, 20))
    assert.deepEqual(served.events, [])
    assert.deepEqual(served.errors, [])
  })

  test('after the token was redeemed: asked again with the same key, the answer is the one that was lost', async (t) => {
    const store = createMemoryStore()
    let advanced!: () => void
    const isAdvanced = new Promise<void>((resolve) => {
      advanced = resolve
    })
    const { origin, port, server, events } = await serve(t, {
      reuseInterval: 0,
      store: {
        ...store,
        async advance(step) {
          const result = await store.advance(step)
          if (events.every((event) => event.type !== 'rotated')) {
            socket.destroy()
            await server.deserted()
            advanced()
          }
          return result
        },
      },
    })
    const { json } = await signInBody(origin)
    const key = newKey()
    const body = JSON.stringify({ refreshToken: json.refreshToken })
    const socket = connect(port, '127.0.0.1')
    socket.write(refreshHead(body.length).replace('\r\n\r\n', `\r\nIdempotency-Key: "${key}"\r\n\r\n`) + body)
    await isAdvanced
    const again = await refreshBody(origin, json.refreshToken, key)
    const andAgain = await refreshBody(origin, json.refreshToken, key)
    assert.equal(again.status, 200)
    assert.equal(andAgain.json.refreshToken, again.json.refreshToken)
    assert.equal((await refreshBody(origin, again.json.refreshToken, newKey())).status, 200)
  })
})

describe('the app’s own code failing', () => {
  for (const [name, fail] of Object.entries({
    throws: () => {
      throw new TypeError('Cannot read properties of undefined (reading "hash") at /srv/app/users.ts:12')
    },
    rejects: async () => {
      throw new TypeError('Cannot read properties of undefined (reading "hash") at /srv/app/users.ts:12')
    },
  })) {
    test(`\`authenticate\` ${name}: 500 without a word of it, and the operator has all of it`, async (t) => {
      const { origin, errors, events } = await serve(t, {}, { authenticate: fail })
      const answer = await call(origin, 'POST /auth/login', { json: { name: 'ada', transport: 'body' } })
      assertRefused(answer, 500, 'ERR_INTERNAL', 'server_error')
      assert.doesNotMatch(answer.text, /hash|users|undefined|TypeError/)
      assert.equal(errors.length, 1)
      assert.ok(errors[0] instanceof TypeError)
      assert.deepEqual(events, [])
    })
  }

  test('an answer of `authenticate` that cannot be a session is a 500 as well', async (t) => {
    const wrong = [
      { subject: '' },
      { subject: 5 },
      {},
      { subject: 'ada', claims: { sub: 'eve' } },
      { subject: 'a'.repeat(256) },
    ]
    for (const signIn of wrong) {
      const { origin, errors } = await serve(t, {}, { authenticate: () => signIn as never })
      const answer = await call(origin, 'POST /auth/login', { json: { transport: 'body' } })
      assert.equal(answer.status, 500)
      assert.equal(answer.json.message, 'Something went wrong here; it was logged.')
      assert.equal(errors.length, 1)
    }
  })

  test('`authenticate` may refuse in Daypass’s words: 429 with Retry-After, and no alarm', async (t) => {
    const { origin, errors } = await serve(
      t,
      {},
      {
        authenticate: () => {
          throw new DaypassError('ERR_RATE_LIMITED', undefined, { retryAfter: 41.2 })
        },
      },
    )
    const answer = await call(origin, 'POST /auth/login', { json: { transport: 'body' } })
    assertRefused(answer, 429, 'ERR_RATE_LIMITED', 'rate_limited')
    assert.equal(answer.headers['retry-after'], '42')
    assert.deepEqual(errors, [])
  })

  test('a listener or a logger that fails changes no answer', async (t) => {
    for (const fail of [
      () => {
        throw new Error('the log is full')
      },
      async () => {
        throw new Error('the log is full')
      },
    ]) {
      const { origin } = await serve(
        t,
        { onEvent: fail },
        {
          onError: fail,
          authenticate: (credentials) => {
            if (credentials.name === 'boom') throw new Error('boom')
            return { subject: 'ada', claims: { role: 'member' } }
          },
        },
      )
      assertRefused(
        await call(origin, 'POST /auth/login', { json: { name: 'boom', transport: 'body' } }),
        500,
        'ERR_INTERNAL',
      )
      const { json } = await signInBody(origin)
      assert.equal((await refreshBody(origin, json.refreshToken)).status, 200)
    }
  })
})

describe('the canary', () => {
  test('no token, cookie, password or key is in any log, error, event, refusal, address or row', async (t) => {
    const secrets = new Map<string, string>([
      ['the server’s secret', secret],
      ['the password', password],
    ])
    const said: [where: string, text: string][] = []
    const say = (where: string, value: unknown) => {
      said.push([where, typeof value === 'string' ? value : inspect(value, { depth: Infinity, showHidden: true })])
      if (value instanceof Error) said.push([where, `${value.message} ${value.stack} ${JSON.stringify(value)}`])
      if (typeof value === 'object') said.push([where, JSON.stringify(value)])
    }
    for (const name of ['log', 'info', 'warn', 'error', 'debug', 'trace'] as const) {
      t.mock.method(console, name, (...given: unknown[]) => say(`console.${name}`, format(...given)))
    }
    const onWarning = (warning: Error) => say('a warning', warning)
    process.on('warning', onWarning)
    t.after(() => process.off('warning', onWarning))

    const keepToken = (name: string, token: unknown) => {
      if (typeof token !== 'string' || token.length < 40) return
      secrets.set(name, token)
      // A part of one is one too: the end is what proves it.
      secrets.set(`the end of ${name}`, token.slice(-24))
      secrets.set(`the middle of ${name}`, token.slice(-60, -30))
    }
    const kept = (kind: string) => `${kind} ${secrets.size}`
    const watched = async (origin: string, line: string, sent: Sent = {}): Promise<Answer> => {
      const { headers = {}, json } = sent
      for (const name of ['idempotency-key', 'cookie', 'authorization'] as const) {
        if (headers[name] !== undefined) keepToken(kept(name), String(headers[name]).replaceAll('"', ''))
      }
      keepToken(kept('a refresh token sent'), (json as { refreshToken?: string } | undefined)?.refreshToken)
      say('an address', line)
      const answer = await call(origin, line, sent)
      keepToken(kept('a refresh token'), answer.json?.refreshToken)
      keepToken(kept('an access token'), answer.json?.accessToken)
      keepToken(kept('a cookie'), answer.cookie?.split('=')[1])
      if (answer.status >= 300) say('a refusal', JSON.stringify([answer.headers, answer.text]))
      assert.equal(answer.headers.location, undefined)
      return answer
    }
    const newKey = () => {
      const key = `canary-${Math.random().toString(36).slice(2)}-and-its-many-friends`
      secrets.set(`key ${secrets.size}`, key)
      return key
    }
    const refresh = (refreshToken: unknown, key?: string) =>
      watched(origin, 'POST /auth/refresh', { json: { refreshToken }, headers: key ? { 'idempotency-key': key } : {} })
    const refreshWith = (cookie: string, key?: string) =>
      watched(origin, 'POST /auth/refresh', { headers: { ...ownPage, cookie, ...(key && { 'idempotency-key': key }) } })
    const login = (name: string, more: object = {}) =>
      watched(origin, 'POST /auth/login', { json: { name, password, transport: 'body', ...more }, headers: ownPage })

    const path = temporaryFile(t)
    const database = new DatabaseSync(path)
    let userTable: 'there' | 'away' | 'nobody' = 'there'
    const { auth, time } = makeDaypass({
      store: createSqliteStore(database),
      onEvent: (event) => say('an event', event),
      findSubject: () => {
        if (userTable === 'away') throw new Error('the user table is away')
        return userTable === 'there' ? { claims: { role: 'member' } } : null
      },
    })
    const web = createNodeAuth(auth, {
      authenticate: (credentials, request) => {
        if (credentials.name === 'boom') throw new Error('the hash function failed')
        return authenticate(credentials, request)
      },
      onError: (error) => say('onError', error),
    })
    // And one whose operator gave no onError: what Daypass prints by itself.
    const plain = createNodeAuth(auth, { authenticate })
    const deaf = createRequireAuth(createVerifier({ issuer: 'https://id.test', jwks: 'http://127.0.0.1:1/jwks' }))()
    const server = await listen(async (req, res) => {
      if (req.url === '/me') {
        await web.requireAuth((_req, res) => res.end())(req, res)
      } else if (req.url === '/deaf') await deaf(req, res)
      else if (!(await (req.headers['x-plain'] ? plain : web).routes(req, res))) res.writeHead(404).end()
    })
    t.after(() => server.close())
    const { origin } = server

    // Success
    const ada = await login('ada')
    const cookie = (await login('ada', { transport: 'cookie' })).cookie!
    const key = newKey()
    const next = await refresh(ada.json.refreshToken, key)
    assert.equal((await refresh(ada.json.refreshToken, key)).status, 200)
    const nextCookie = await refreshWith(cookie, newKey())
    assert.equal(nextCookie.status, 200)
    assert.equal((await watched(origin, 'GET /me', { headers: bearer(next.json.accessToken) })).status, 200)
    assert.equal((await watched(origin, 'GET /auth/sessions', { headers: bearer(next.json.accessToken) })).status, 200)
    await watched(origin, 'GET /.well-known/jwks.json')

    // Refusals
    const statuses = [
      await login('ada', { password: `not the ${password}` }),
      await refresh(ada.json.refreshToken, newKey()),
      await refreshWith(cookie, newKey()),
      await refresh(`${ada.json.refreshToken.slice(0, -4)}AAAA`, newKey()),
      await refresh(ada.json.accessToken),
      await refresh([ada.json.refreshToken]),
      await refresh(next.json.refreshToken, `${newKey()} and a space`),
      await watched(origin, 'POST /auth/login', {
        body: `{"password":"${password}"`,
        headers: { 'content-type': 'application/json' },
      }),
      await watched(origin, 'POST /auth/login', {
        body: `password=${password}`,
        headers: { 'content-type': 'text/plain' },
      }),
      await watched(origin, 'POST /auth/login', { json: { password, transport: password } }),
      await watched(origin, 'POST /auth/refresh', {
        headers: { cookie: nextCookie.cookie!, origin: 'https://evil.test' },
      }),
      await watched(origin, 'POST /auth/refresh', {
        headers: { ...ownPage, cookie: `${cookie}; ${nextCookie.cookie}` },
      }),
      await watched(origin, 'GET /me', { headers: bearer(`${ada.json.accessToken.slice(0, -4)}AAAA`) }),
      await watched(origin, 'GET /me', { headers: bearer(next.json.refreshToken) }),
      await watched(origin, 'PUT /auth/refresh', { json: { refreshToken: next.json.refreshToken } }),
      await watched(origin, 'GET /deaf', { headers: bearer(ada.json.accessToken) }),
      await login('boom'),
    ].map((answer) => answer.status)
    assert.deepEqual(statuses, [401, 409, 409, 401, 401, 400, 400, 400, 415, 400, 403, 400, 401, 401, 405, 503, 500])
    userTable = 'away'
    assert.equal((await refresh(next.json.refreshToken, newKey())).status, 503)
    userTable = 'nobody'
    const disabled = await login('disabled')
    assert.equal((await refresh(disabled.json.refreshToken, newKey())).status, 401)
    userTable = 'there'

    // Theft, expiry, sign-out
    time.offset += 31_000
    assert.equal((await refresh(ada.json.refreshToken, newKey())).json.code, 'ERR_REFRESH_TOKEN_REUSED')
    const old = await login('old')
    const out = await login('out')
    assert.equal(
      (await watched(origin, 'POST /auth/logout', { json: { refreshToken: out.json.refreshToken } })).status,
      204,
    )
    // A session's own secret is in its row, and nowhere else, however it might be written.
    const inRows = database.prepare('SELECT secret FROM daypass_session').all()
    assert.ok(inRows.length >= 5)
    for (const { secret } of inRows) {
      const [bytes, buffer] = [secret as Uint8Array, Buffer.from(secret as Uint8Array)]
      const written = [
        buffer.toString('base64url'),
        buffer.toString('hex'),
        JSON.stringify(bytes),
        JSON.stringify(buffer),
      ]
      for (const text of [...written, inspect(bytes), inspect(buffer)])
        secrets.set(`session secret ${secrets.size}`, text)
    }
    time.offset += 8 * 86_400_000
    assert.equal((await watched(origin, 'GET /me', { headers: bearer(old.json.accessToken) })).status, 401)
    assert.equal((await refresh(old.json.refreshToken, newKey())).json.code, 'ERR_SESSION_EXPIRED')
    const last = await login('last')

    // Errors that an app that calls Daypass itself may put into its own log
    for (const attempt of [
      () => auth.refresh(ada.json.refreshToken, { idempotencyKey: newKey() }),
      () => auth.refresh(last.json.refreshToken, { idempotencyKey: `${key} x` }),
      () => auth.refresh(last.json.refreshToken, { clientId: 'another' }),
      () => auth.verify(ada.json.accessToken),
      () => auth.verify(`${last.json.accessToken.slice(0, -4)}AAAA`),
      () => auth.verify(last.json.refreshToken),
    ]) {
      await assert.rejects(attempt, (error) => {
        say('an error', error)
        return error instanceof DaypassError
      })
    }

    // Rows, then the store away
    for (const file of readdirSync(join(path, '..'))) {
      said.push([`the file ${file}`, readFileSync(join(path, '..', file)).toString('latin1')])
    }
    database.close()
    assert.equal((await refresh(last.json.refreshToken, newKey())).status, 503)
    const unlogged = { json: { refreshToken: last.json.refreshToken }, headers: { 'x-plain': '1' } }
    assert.equal((await watched(origin, 'POST /auth/refresh', unlogged)).status, 503)

    const places = new Set(said.map(([where]) => where))
    for (const where of ['console.error', 'onError', 'an event', 'a refusal', 'an error', 'the file sessions.db']) {
      assert.ok(places.has(where), `nothing was heard from ${where}`)
    }
    assert.ok(secrets.size > 100)
    for (const [name, text] of secrets) {
      for (const [where, haystack] of said)
        assert.equal(haystack.includes(text), false, `${name} is in ${where}: ${haystack}`)
    }
  })
})
