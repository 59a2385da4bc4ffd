// A password change that fails half-way can be repeated, and races with sign-ins are safe.

import assert from 'node:assert/strict'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { type TestContext, test } from 'node:test'
import { createDaypass, DaypassError, type DaypassEvent } from 'daypass'
import { createMemoryStore } from 'daypass/memory'
import { withPasswordCheck } from '../../server/src/password-check.ts'
import { post, type ServerProcess, startServerProcess } from './process.ts'

const password = 'correct horse battery'
const next = 'another horse entirely'
const body = (secret: string) => ({ email: 'ada@example.com', password: secret, transport: 'body' })

async function open(t: TestContext) {
  const server = await startServerProcess()
  t.after(() => server.remove())
  const db = new DatabaseSync(join(server.folder, 'daypass.db'), { timeout: 5000 })
  t.after(() => db.close())
  const one = (await post(`${server.url}/auth/register`, body(password))).body
  const two = (await post(`${server.url}/auth/login`, body(password))).body
  return { server, db, one, two }
}

const refresh = async (server: ServerProcess, { refreshToken }: { refreshToken: string }) =>
  (await post(`${server.url}/auth/refresh`, { refreshToken })).status
const signIn = async (server: ServerProcess, secret: string) =>
  (await post(`${server.url}/auth/login`, body(secret))).status
const liveSessions = (db: DatabaseSync) =>
  db.prepare('SELECT count(*) AS n FROM daypass_session WHERE revoked_at IS NULL').get()!.n

test('a change that fails after setting the password is repeated with the same request, and then also ends the sessions', async (t) => {
  const { server, db, one, two } = await open(t)
  const change = () =>
    post(`${server.url}/auth/password`, { current: password, next }, { authorization: `Bearer ${one.accessToken}` })
  db.exec(`CREATE TRIGGER fail BEFORE UPDATE ON daypass_session WHEN NEW.revoked_at IS NOT NULL
    BEGIN SELECT RAISE(ABORT, 'the disk is full'); END`)
  assert.equal((await change()).status, 503)
  assert.equal((await change()).status, 503)
  db.exec('DROP TRIGGER fail')
  assert.equal((await change()).status, 204)
  assert.equal(await refresh(server, two), 401)
  assert.equal(await refresh(server, one), 200)
  assert.equal(await signIn(server, password), 401)
  assert.equal(await signIn(server, next), 200)
})

test('a repeated change does not reveal the password: a wrong `next` is rejected', async (t) => {
  const { server, one } = await open(t)
  const bearer = { authorization: `Bearer ${one.accessToken}` }
  const wrong = await post(`${server.url}/auth/password`, { current: 'wrong', next: 'a wrong guess' }, bearer)
  assert.equal(wrong.status, 400)
})

test('a sign-in with the old password during a password change leaves no session', async (t) => {
  const { server, db } = await open(t)
  const before = liveSessions(db)
  // Another server does this between the check of the password and the end of the sign-in.
  db.exec(`CREATE TRIGGER race AFTER INSERT ON daypass_session
    BEGIN UPDATE daypass_account SET password_hash = 'of another password'; END`)
  const racing = await post(`${server.url}/auth/login`, body(password))
  assert.deepEqual([racing.status, racing.body.code], [401, 'ERR_CREDENTIALS_INVALID'])
  assert.equal(liveSessions(db), before)
})

test('a sign-in that fails at its end leaves the session that the browser had before', async (t) => {
  const { server, db } = await open(t)
  const page = { origin: server.url, 'sec-fetch-site': 'same-origin' }
  const signInAs = (email: string, cookie?: string) =>
    post(`${server.url}/auth/register`, { email, password }, { ...page, ...(cookie !== undefined && { cookie }) })
  const before = await signInAs('before@example.com')
  const [cookie = ''] = before.headers.getSetCookie()[0]!.split(';')
  db.exec(`CREATE TRIGGER race AFTER INSERT ON daypass_session
    BEGIN UPDATE daypass_account SET password_hash = 'of another password' WHERE email = 'fails@example.com'; END`)
  assert.equal((await signInAs('fails@example.com', cookie)).status, 401)
  const refreshed = await post(`${server.url}/auth/refresh`, undefined, { ...page, cookie })
  assert.equal(refreshed.status, 200)
  // One that succeeds replaces it, with an event.
  assert.equal((await signInAs('after@example.com', cookie)).status, 200)
  // The log is complete after the end.
  await server.stop()
  const { id: sessionId } = before.body.session
  const ended = server.log.filter((line) => line.message === 'revoked' && line.sessionId === sessionId)
  assert.deepEqual(
    ended.map((line) => line.reason),
    ['replaced'],
  )
})

test('a sign-in whose last check cannot be made leaves no session and ends none', async () => {
  const events: DaypassEvent[] = []
  const secret = 'a secret of a test, thirty-two bytes long'
  const auth = createDaypass({
    secret,
    issuer: 'http://localhost:3000',
    store: createMemoryStore(),
    onEvent: (event) => void events.push(event),
  })
  const checked = withPasswordCheck(auth, {
    isCurrent: async () => {
      throw new DaypassError('ERR_STORE_UNAVAILABLE')
    },
  })
  const held = await auth.issue('before')
  const options = { passwordHash: 'a hash', replaces: [held.refreshToken] }
  await assert.rejects(checked.issue('ada', options), { code: 'ERR_STORE_UNAVAILABLE' })
  assert.equal((await auth.sessions('ada')).length, 0)
  assert.equal((await auth.sessions('before')).length, 1)
  assert.deepEqual(
    events.map(({ type, subject }) => `${type} ${subject}`),
    ['issued before', 'issued ada', 'revoked ada'],
  )
})

test('of two changes at once one succeeds, and the other is rejected', async (t) => {
  const { server, one, two } = await open(t)
  const results = await Promise.all(
    [one, two].map(({ accessToken }, n) =>
      post(
        `${server.url}/auth/password`,
        { current: password, next: `${next} ${n}` },
        { authorization: `Bearer ${accessToken}` },
      ),
    ),
  )
  const done = results.findIndex(({ status }) => status === 204)
  assert.notEqual(results[1 - done]!.status, 204)
  assert.equal(await signIn(server, `${next} ${done}`), 200)
  assert.equal(await signIn(server, `${next} ${1 - done}`), 401)
})
