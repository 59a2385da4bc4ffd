// The server application as a process: the commands of its pages, accounts, limits, signals and start errors.

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { request } from 'node:http'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { promisify } from 'node:util'
import { post, type ServerProcess, startServerProcess } from './process.ts'

const key = () => `"${randomBytes(16).toString('base64url')}"`
const password = 'correct horse battery'
const cli = join(import.meta.dirname, '../../server/src/cli.ts')
const run = promisify(execFile)

describe('with curl, against the body transport', () => {
  let server: ServerProcess
  before(async () => {
    server = await startServerProcess({ DAYPASS_REUSE_INTERVAL: '1', DAYPASS_LOG: 'debug' })
  })
  after(() => server.remove())

  async function curl(path: string, body: object, ...headers: string[]): Promise<any> {
    const args = ['-s', '-w', '\n%{http_code}', '-H', 'content-type: application/json', '-d', JSON.stringify(body)]
    for (const header of headers) args.push('-H', header)
    const { stdout } = await run('curl', [...args, server.url + path])
    const at = stdout.lastIndexOf('\n')
    return { status: Number(stdout.slice(at + 1)), ...JSON.parse(stdout.slice(0, at)) }
  }

  test('login, refresh, the same refresh again, and the end of the session at an old token', async () => {
    const credentials = { email: 'curl@example.com', password, transport: 'body' }
    const registered = await curl('/auth/register', credentials)
    assert.equal(registered.status, 200)
    const login = await curl('/auth/login', credentials)
    assert.equal(login.status, 200)
    assert.match(login.refreshToken, /^dpr_[\w-]{83}$/)

    const idempotencyKey = `Idempotency-Key: ${key()}`
    const first = await curl('/auth/refresh', { refreshToken: login.refreshToken }, idempotencyKey)
    assert.equal(first.status, 200)
    const again = await curl('/auth/refresh', { refreshToken: login.refreshToken }, idempotencyKey)
    assert.equal(again.refreshToken, first.refreshToken)
    // "A minute later" means later than the interval, which is a second here (and a day in test/core with its own clock).
    await new Promise((resolve) => setTimeout(resolve, 1200))
    const later = await curl('/auth/refresh', { refreshToken: login.refreshToken }, idempotencyKey)
    assert.equal(later.refreshToken, first.refreshToken)
    assert.notEqual(later.accessToken, first.accessToken)

    await new Promise((resolve) => setTimeout(resolve, 1200))
    const thief = await curl('/auth/refresh', { refreshToken: login.refreshToken }, `Idempotency-Key: ${key()}`)
    assert.deepEqual([thief.status, thief.error, thief.code], [401, 'invalid_grant', 'ERR_REFRESH_TOKEN_REUSED'])
    const owner = await curl('/auth/refresh', { refreshToken: first.refreshToken }, `Idempotency-Key: ${key()}`)
    assert.deepEqual([owner.status, owner.error], [401, 'invalid_grant'])
    const { sessionId } = server.log.find((line) => line.message === 'reused') as { sessionId: string }
    const events = server.log.filter((line) => line.sessionId === sessionId).map((line) => line.message)
    assert.deepEqual(events, ['issued', 'rotated', 'replayed', 'replayed', 'reused', 'revoked'])
    const api = await fetch(`${server.url}/auth/me`, { headers: { authorization: `Bearer ${later.accessToken}` } })
    assert.equal(api.status, 401)
  })
})

describe('accounts', () => {
  let server: ServerProcess
  before(async () => {
    server = await startServerProcess({ DAYPASS_API_KEY: 'k'.repeat(32) })
  })
  after(() => server.remove())
  const body = (email: string, secret = password) => ({ email, password: secret, transport: 'body' })
  const bearer = (token: string) => ({ authorization: `Bearer ${token}` })

  test('a wrong password, an unknown address and a taken one get the same response', async () => {
    assert.equal((await post(`${server.url}/auth/register`, body('ada@example.com'))).status, 200)
    const answers = await Promise.all([
      post(`${server.url}/auth/login`, body('ada@example.com', 'not her password')),
      post(`${server.url}/auth/login`, body('nobody@example.com', 'not her password')),
      post(`${server.url}/auth/register`, body('ada@example.com', 'not her password')),
    ])
    for (const answer of answers) {
      assert.equal(answer.status, 401)
      assert.deepEqual(answer.body, answers[0]!.body)
    }
  })

  test('registering again with the correct password signs in to the same account, in upper or lower case', async () => {
    const first = await post(`${server.url}/auth/register`, body('Twice@Example.com'))
    const second = await post(`${server.url}/auth/register`, body('twice@example.com '))
    assert.equal(second.status, 200)
    assert.equal(second.body.session.subject, first.body.session.subject)
    assert.notEqual(second.body.session.id, first.body.session.id)
  })

  test('a password change ends the other sessions and leaves this one', async () => {
    const one = (await post(`${server.url}/auth/register`, body('change@example.com'))).body
    const two = (await post(`${server.url}/auth/login`, body('change@example.com'))).body
    const change = { current: password, next: 'another horse entirely' }
    const wrong = await post(`${server.url}/auth/password`, { ...change, current: 'wrong' }, bearer(one.accessToken))
    assert.equal(wrong.status, 400)
    const done = await post(`${server.url}/auth/password`, change, bearer(one.accessToken))
    assert.equal(done.status, 204)
    const refresh = (tokens: any) => post(`${server.url}/auth/refresh`, { refreshToken: tokens.refreshToken })
    assert.equal((await refresh(two)).body.code, 'ERR_SESSION_REVOKED')
    assert.equal((await refresh(one)).status, 200)
    assert.equal((await post(`${server.url}/auth/login`, body('change@example.com'))).status, 401)
    assert.equal((await post(`${server.url}/auth/login`, body('change@example.com', change.next))).status, 200)
  })

  const malformed: [string, object][] = [
    ['an invalid e-mail address', { email: 'ada', password }],
    ['a NUL in the e-mail address', { email: 'a\0@b.c', password }],
    ['half a character in the e-mail address', { email: '\uD83D@b.c', password }],
    ['an object for a password', { email: 'a@b.c', password: { $ne: null } }],
    ['a short password', { email: 'short@example.com', password: 'short' }],
    ['an endless password', { email: 'long@example.com', password: 'x'.repeat(257) }],
  ]
  for (const [name, credentials] of malformed) {
    test(`registration with ${name} is a 400`, async () => {
      const answer = await post(`${server.url}/auth/register`, { ...credentials, transport: 'body' })
      assert.deepEqual([answer.status, answer.body.code], [400, 'ERR_REQUEST_INVALID'])
    })
  }

  test('only a back end with the API key creates sessions', async () => {
    const body = { subject: 'user-1', claims: { role: 'admin' } }
    const refused = await post(`${server.url}/admin/sessions`, body, bearer('x'.repeat(32)))
    assert.equal(refused.status, 401)
    assert.match(refused.headers.get('www-authenticate')!, /^Bearer error="invalid_token"/)
    const nameless = await post(`${server.url}/admin/sessions`, body)
    assert.deepEqual([nameless.status, nameless.headers.get('www-authenticate')], [401, 'Bearer'])
    const made = await post(`${server.url}/admin/sessions`, body, bearer('k'.repeat(32)))
    assert.equal(made.status, 200)
    const me = await fetch(`${server.url}/auth/me`, { headers: bearer(made.body.accessToken) })
    assert.deepEqual(((await me.json()) as any).claims, { role: 'admin' })
    const reserved = await post(
      `${server.url}/admin/sessions`,
      { subject: 'a', claims: { sub: 'b' } },
      bearer('k'.repeat(32)),
    )
    assert.deepEqual([reserved.status, reserved.body.code], [400, 'ERR_REQUEST_INVALID'])
  })

  test('a back end with two Authorization headers is rejected', async () => {
    const authorization = [`Bearer ${'k'.repeat(32)}`, 'Bearer another']
    for (const both of [authorization, authorization.toReversed()]) {
      const status = await new Promise((resolve, reject) => {
        const headers = ['content-type', 'application/json', ...both.flatMap((one) => ['authorization', one])]
        const { host } = new URL(server.url)
        const options = { method: 'POST', headers: ['host', host, ...headers] }
        const sent = request(`${server.url}/admin/sessions`, options, (response) => {
          response.resume()
          resolve(response.statusCode)
        })
        sent.on('error', reject).end('{"subject":"user-1"}')
      })
      assert.equal(status, 400)
    }
  })

  test('no password, token or hash is in the log', async () => {
    assert.doesNotMatch(server.output(), /dpr_|eyJ|horse|argon/)
  })
})

describe('rate limits', () => {
  test('ten wrong passwords lock an account for a while, also for the correct one and after a restart', async () => {
    const server = await startServerProcess()
    try {
      const attempt = (secret: string) =>
        post(`${server.url}/auth/login`, { email: 'target@example.com', password: secret, transport: 'body' })
      const registered = await post(`${server.url}/auth/register`, {
        email: 'target@example.com',
        password,
        transport: 'body',
      })
      const guesses = await Promise.all(Array.from({ length: 12 }, (_, index) => attempt(`guess number ${index}`)))
      assert.deepEqual(guesses.map(({ status }) => status).sort(), [...Array(10).fill(401), 429, 429])
      const limited = await attempt(password)
      assert.deepEqual([limited.status, limited.body.code], [429, 'ERR_RATE_LIMITED'])
      assert.ok(Number(limited.headers.get('retry-after')) > 800)
      assert.equal(await server.stop(), 0)
      await server.start()
      assert.equal((await attempt(password)).status, 429)
      const { refreshToken } = registered.body
      assert.equal((await post(`${server.url}/auth/refresh`, { refreshToken })).status, 200, 'a session goes on')
    } finally {
      await server.remove()
    }
  })

  test('a correct password resets an account’s count of wrong ones', async () => {
    const server = await startServerProcess({ DAYPASS_STORE: 'memory:' })
    try {
      const attempt = (secret: string) =>
        post(`${server.url}/auth/login`, { email: 'typo@example.com', password: secret, transport: 'body' })
      await post(`${server.url}/auth/register`, { email: 'typo@example.com', password, transport: 'body' })
      for (let round = 0; round < 2; round++) {
        for (let guess = 0; guess < 6; guess++) assert.equal((await attempt('a typing error')).status, 401)
        assert.equal((await attempt(password)).status, 200)
      }
    } finally {
      await server.remove()
    }
  })
})

describe('as a process', () => {
  test('a request under way gets its response when the server is stopped, and the exit code is 0', async () => {
    const server = await startServerProcess()
    try {
      // A registration takes a fifth of a second of hashing. The server is stopped right after the request.
      const body = JSON.stringify({ email: 'slow@example.com', password, transport: 'body' })
      const headers = { 'content-type': 'application/json', 'content-length': body.length }
      const answer = new Promise<number>((resolve, reject) => {
        const sent = request(`${server.url}/auth/register`, { method: 'POST', headers }, (res) => {
          res.resume()
          resolve(res.statusCode!)
        })
        sent.on('error', reject)
        sent.end(body)
      })
      await new Promise((resolve) => setTimeout(resolve, 50))
      const left = server.stop()
      assert.equal(await answer, 200)
      assert.equal(await left, 0)
      assert.equal(server.log.at(-1)!.message, 'stopped')
    } finally {
      await server.remove()
    }
  })

  test('connections without a request do not delay the stop, and those with one get their response', async () => {
    const server = await startServerProcess({ DAYPASS_STORE: 'memory:' })
    const { port } = new URL(server.url)
    const open = async (text: string) => {
      const socket = connect(Number(port), '127.0.0.1')
      let received = ''
      const closed = new Promise<string>((resolve) => socket.once('close', () => resolve(received)))
      socket.on('data', (chunk) => {
        received += chunk
      })
      socket.on('error', () => {})
      await once(socket, 'connect')
      socket.write(text)
      return { socket, closed, until: async (part: RegExp) => void (await waitFor(() => part.test(received))) }
    }
    const waitFor = async (isThere: () => boolean) => {
      for (let tries = 0; tries < 500 && !isThere(); tries++) await new Promise((resolve) => setTimeout(resolve, 20))
      assert.ok(isThere())
    }
    try {
      const head = (length: number) =>
        `POST /auth/refresh HTTP/1.1\r\nHost: localhost:${port}\r\nContent-Type: application/json\r\nContent-Length: ${length}\r\n\r\n`
      const get = `GET /healthz HTTP/1.1\r\nHost: localhost:${port}\r\n\r\n`
      const silent = [await open(''), await open('GET / HT'), await open(get)]
      // The second one is under way when the first one has its response.
      const busy = [await open(head(20)), await open(get + head(20))]
      await Promise.all([silent[2]!.until(/ok/), busy[1]!.until(/ok/)])
      const left = server.stop()
      // Without those that are closed early, the server would still wait for the ones that are busy.
      await Promise.all(silent.map(({ closed }) => closed))
      await waitFor(() => server.log.at(-1)!.message === 'stopping')
      for (const { socket } of busy) socket.write('{"refreshToken":"a"}')
      for (const { closed } of busy) assert.match(await closed, /HTTP\/1\.1 401 /)
      assert.equal(await left, 0)
    } finally {
      await server.remove()
    }
  })

  test('the log ends with its last line, also where no thread is free', async () => {
    // A password is hashed while the server stops, on the only thread that could write the log.
    const busy = `import { pbkdf2 } from 'node:crypto'
      process.on('SIGTERM', () => pbkdf2('', '', 200_000, 64, 'sha512', () => {}))`
    const server = await startServerProcess({
      UV_THREADPOOL_SIZE: '1',
      NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(busy)}`,
    })
    try {
      assert.equal(await server.stop(), 0)
      assert.deepEqual(
        server.log.map((line) => line.message),
        ['listening', 'stopping', 'stopped'],
      )
    } finally {
      await server.remove()
    }
  })

  test('sessions and the generated secret survive kill -9', async () => {
    const server = await startServerProcess()
    try {
      const made = await post(`${server.url}/auth/register`, { email: 'k@example.com', password, transport: 'body' })
      await server.stop('SIGKILL')
      await server.start()
      const answer = await post(`${server.url}/auth/refresh`, { refreshToken: made.body.refreshToken })
      assert.equal(answer.status, 200)
    } finally {
      await server.remove()
    }
  })

  test('/healthz and /readyz are 200, and /metrics has the counts', async () => {
    const server = await startServerProcess({ DAYPASS_STORE: 'memory:' })
    try {
      await post(`${server.url}/auth/register`, { email: 'm@example.com', password, transport: 'body' })
      assert.equal((await fetch(`${server.url}/healthz`)).status, 200)
      assert.equal((await fetch(`${server.url}/readyz`)).status, 200)
      const metrics = await (await fetch(`${server.url}/metrics`)).text()
      assert.match(metrics, /^daypass_events_total\{type="issued"\} 1$/m)
      assert.equal((await fetch(`${server.url}/nothing`)).status, 404)
    } finally {
      await server.remove()
    }
  })

  test('a path is a text: one that looks like a pattern, or that cannot be decoded, is no fault of the server', async () => {
    const server = await startServerProcess({ DAYPASS_STORE: 'memory:' })
    try {
      const send = (method: string, path: string) =>
        new Promise<{ status: number; allow: string | undefined; body: any }>((resolve, reject) => {
          // As it is: fetch would write the path in another way.
          const sent = request(server.url, { method, path }, async (response) => {
            const body = JSON.parse((await response.toArray()).join(''))
            resolve({ status: response.statusCode!, allow: response.headers.allow, body })
          })
          sent.on('error', reject).end()
        })
      const patterns = ['/:a(', '/:a([)', '/:a((a+)+)', '/a*b', '/*', '/docs/:a(', '/healthz:a(', '/:a', '/healthz/:b?']
      for (const path of [...patterns, 'http://example.com/nothing']) {
        for (const method of ['GET', 'PUT']) {
          const { status, body } = await send(method, path)
          assert.deepEqual([status, body.code], [404, 'ERR_NOT_FOUND'], `${method} ${path}`)
        }
      }
      for (const path of ['/%', '/auth/%zz', '/docs/%E0%A4%A']) {
        const { status, body } = await send('GET', path)
        assert.deepEqual([status, body.error, body.code], [400, 'invalid_request', 'ERR_REQUEST_INVALID'], path)
        assert.doesNotMatch(body.message, /%/)
      }
      for (const [method, path, allow] of [
        ['PUT', '/healthz', 'GET'],
        ['POST', '/auth/events', 'GET'],
        ['DELETE', '/?a=b', 'GET'],
        ['POST', '/docs', 'GET'],
      ] as const) {
        const answer = await send(method, path)
        assert.deepEqual([answer.status, answer.allow, answer.body.code], [405, allow, 'ERR_METHOD_NOT_ALLOWED'], path)
      }
      assert.deepEqual(
        server.log.filter(({ level }) => level === 'error'),
        [],
      )
    } finally {
      await server.remove()
    }
  })

  // Nothing listens at port 1.
  for (const [name, store, hide] of [
    ['SQLite', 'sqlite:daypass.db', ''],
    ['PostgreSQL, pg', 'postgres://127.0.0.1:1/x', ''],
    ['PostgreSQL, postgres', 'postgres://127.0.0.1:1/x', 'pg'],
    ['MySQL', 'mysql://127.0.0.1:1/x', ''],
    ['Redis, redis', 'redis://127.0.0.1:1', 'ioredis'],
    ['Redis, ioredis', 'redis://127.0.0.1:1', 'redis'],
    ['MongoDB', 'mongodb://127.0.0.1:1', ''],
  ] as const) {
    test(`a server that cannot start ends, also while its driver connects: ${name}`, async (t) => {
      const folder = mkdtempSync(join(tmpdir(), 'daypass-no-start-'))
      t.after(() => rmSync(folder, { recursive: true }))
      const { PATH = '' } = process.env
      const env = { PATH, PORT: '0', DAYPASS_STORE: store, DAYPASS_SECRET: 'changeme', HIDE_MODULES: hide }
      const hideModules = `--import=${import.meta.resolve('./hide-modules.ts')}`
      const options = { env, cwd: folder, timeout: 60_000 }
      await assert.rejects(run(process.execPath, [hideModules, cli, 'serve'], options), { code: 1, killed: false })
    })
  }

  const mistakes: [string, Record<string, string>, RegExp][] = [
    ['a misspelt setting', { DAYPASS_ACESS_TOKEN_LIFETIME: '2' }, /DAYPASS_ACESS_TOKEN_LIFETIME is not a setting/],
    ['a lifetime that is not a number', { DAYPASS_IDLE_TIMEOUT: 'a week' }, /DAYPASS_IDLE_TIMEOUT must be a number/],
    ['a weak secret', { DAYPASS_SECRET: 'changeme' }, /openssl rand/],
    [
      'a shared database without a secret',
      { DAYPASS_STORE: 'postgres://localhost/x' },
      /DAYPASS_SECRET is not set; every/,
    ],
    [
      'MySQL without a database',
      { DAYPASS_STORE: 'mysql://localhost', DAYPASS_SECRET: 'x'.repeat(40) },
      /names no database/,
    ],
    ['a port that is too high', { PORT: '70000' }, /PORT must be a whole number from 0 to 65535/],
    ['half a port', { PORT: '3000.5' }, /PORT must be a whole number/],
    ['a key that no header can carry', { DAYPASS_API_KEY: `two words ${'x'.repeat(32)}` }, /DAYPASS_API_KEY.*spaces/],
    ['an unknown store', { DAYPASS_STORE: 'oracle:x' }, /DAYPASS_STORE must be/],
    ['a path that a shell would complete', { DAYPASS_STORE: 'sqlite:~/x.db' }, /DAYPASS_STORE begins with ~/],
    [
      'a comma too many in a list of secrets',
      { DAYPASS_SECRET: `${randomBytes(48).toString('base64')},` },
      /Entry 2 of `secret` is empty/,
    ],
    ['a folder that is a file', { DAYPASS_STORE: 'sqlite:/dev/null/x.db' }, /DAYPASS_SECRET|database/],
  ]
  for (const [name, env, expected] of mistakes) {
    test(`${name}: one line says what to do`, async () => {
      const { PATH = '' } = process.env
      const answer = run(process.execPath, [cli, 'serve'], {
        env: { PATH, PORT: '0', DAYPASS_STORE: 'memory:', ...env },
        cwd: '/tmp',
      })
      const { code, stderr } = await answer.then(
        () => assert.fail('it started'),
        (error: { code: number; stderr: string }) => error,
      )
      assert.equal(code, 1)
      assert.match(stderr, expected)
      assert.doesNotMatch(stderr, /\n {4}at /)
    })
  }
})
