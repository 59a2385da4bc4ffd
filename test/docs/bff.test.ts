// docs/bff.md, as printed: a client for each person, who never get each other's token, and no memory after a sign-out.

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { DaypassClient } from '../../src/client/index.ts'
import { startDaypass } from '../client/daypass-server.ts'
import { call, listen } from '../http/server.ts'
import { createProject, readSnippet } from './project.ts'
import { atServer } from './recipes.ts'

const page = 'docs/bff.md'

setFlagsFromString('--expose-gc')
const collectGarbage: () => void = runInNewContext('gc')

interface People {
  count(): number
  signIn(credentials: object): Promise<string>
  find(id: string): Promise<DaypassClient | undefined>
  signOut(id: string): Promise<void>
}

/** The server of the tokens, a table, and the page's modules. */
async function start(t: TestContext, options: { reuseInterval?: number } = {}) {
  const server = await startDaypass(t, options)
  const { write } = createProject(t, ['express'])
  // The timer of a request holds the client for this time.
  const quick = (code: string) => code.replace("transport: 'body'", "transport: 'body', refreshTimeout: 1000")
  const paths = ['people.ts', 'bff.ts'].map((file) => write(file, quick(atServer(readSnippet(page, file), server))))
  const [{ createPeople }, { createBff }] = await Promise.all(paths.map((path) => import(path)))
  const rows = new Map<string, string>()
  const table = {
    read: async (id: string) => rows.get(id),
    write: async (id: string, text: string) => void rows.set(id, text),
    remove: async (id: string) => void rows.delete(id),
  }
  const create = (): People => createPeople(`${server.url}/auth`, table)
  const people = create()
  const bff = await listen(createBff(people))
  t.after(() => bff.close())
  const signIn = async (name: string) => {
    const { status, headers } = await call(bff.origin, 'POST /login', { json: { name, password: 'right' } })
    const cookie = headers['set-cookie']?.[0] ?? ''
    assert.match(cookie, /^__Host-id=[\w-]{43}; Path=\/; HttpOnly; Secure; SameSite=Strict$/)
    assert.equal(status, 204)
    return cookie.split(';')[0]!
  }
  const me = (cookie: string) => call(bff.origin, 'GET /me', { headers: { cookie } })
  const signOut = (cookie: string) => call(bff.origin, 'POST /logout', { headers: { cookie } })
  return { server, rows, people, create, bff, signIn, me, signOut }
}

test('two people on one server, with expired tokens: each call is its own person’s, and each person refreshes once', async (t) => {
  const { server, people, signIn, me } = await start(t)
  const cookies = { ada: await signIn('ada'), bob: await signIn('bob') }
  for (const round of [1, 2]) {
    server.expireTokens()
    const names = Array.from({ length: 20 }, (_, n) => (n % 2 ? 'ada' : 'bob'))
    const answers = await Promise.all(names.map((name) => me(cookies[name as 'ada' | 'bob'])))
    assert.deepEqual(
      answers.map(({ json }) => json.subject),
      names,
    )
    assert.equal(server.refreshes(), 2 * round)
  }
  assert.equal(people.count(), 2)

  // One of them is ended by the server of the tokens. The other one goes on.
  await server.revokeSessions()
  assert.equal((await me(cookies.ada)).status, 401)
  assert.equal((await me(cookies.bob)).json.subject, 'bob')
  assert.equal((await me(cookies.ada)).status, 401)
  assert.equal(people.count(), 1)
})

test('after a sign-out nothing of a person is left: no row, no client', async (t) => {
  const { server, rows, people, signIn, me, signOut } = await start(t)
  const refs: WeakRef<object>[] = []
  for (let n = 0; n < 20; n++) {
    const cookie = await signIn(`person ${n}`)
    server.expireTokens()
    assert.equal((await me(cookie)).status, 200)
    refs.push(new WeakRef((await people.find(cookie.split('=')[1]!))!))
    assert.equal((await signOut(cookie)).status, 204)
    assert.equal((await me(cookie)).status, 401)
  }
  assert.deepEqual([people.count(), rows.size], [0, 0])
  assert.ok(!server.happened('reused'))
  const left = () => refs.filter((ref) => ref.deref()).length
  for (let n = 0; n < 200 && left() > 0; n++) {
    await new Promise((resolve) => setTimeout(resolve, 100))
    collectGarbage()
  }
  assert.equal(left(), 0)
})

test('wrong passwords and unknown cookies leave nothing', async (t) => {
  const { rows, people, bff, me, signOut } = await start(t)
  for (let n = 0; n < 5; n++) {
    assert.equal((await call(bff.origin, 'POST /login', { json: { name: 'ada', password: 'wrong' } })).status, 401)
    assert.equal((await me(`__Host-id=unknown${n}`)).status, 401)
    assert.equal((await signOut(`__Host-id=unknown${n}`)).status, 204)
  }
  assert.deepEqual([people.count(), rows.size], [0, 0])
})

test('a sign-out without a response keeps its row, and is sent again', async (t) => {
  const { server, rows, people, signIn, me, signOut } = await start(t)
  const cookie = await signIn('ada')
  server.setAway(true)
  const answer = await signOut(cookie)
  assert.equal(answer.status, 503)
  assert.match(answer.headers['set-cookie']![0]!, /^__Host-id=; .*1970/)
  assert.equal((await me(cookie)).status, 401)
  assert.equal(rows.size, 1)
  server.setAway(false)
  assert.equal((await signOut(cookie)).status, 204)
  assert.ok(server.happened('revoked'))
  assert.deepEqual([people.count(), rows.size], [0, 0])
})

test('a page of another origin signs nobody in or out', async (t) => {
  const { server, people, bff, signIn, me } = await start(t)
  const cookie = await signIn('ada')
  const ofBrowser = (site: string) => ({ 'sec-fetch-site': site, origin: 'https://evil.example' })
  const json = { name: 'eve', password: 'right' }
  for (const headers of [ofBrowser('cross-site'), ofBrowser('same-site'), { origin: 'https://evil.example' }]) {
    // A browser takes the Set-Cookie of the response to a form, also to another site's form.
    for (const sent of [headers, { ...headers, cookie }]) {
      const { status, headers: got } = await call(bff.origin, 'POST /logout', { headers: sent })
      assert.deepEqual([status, got['set-cookie']], [403, undefined])
    }
    const login = await call(bff.origin, 'POST /login', { headers, json })
    assert.deepEqual([login.status, login.headers['set-cookie']], [403, undefined])
  }
  const mine = await me(cookie)
  assert.deepEqual([mine.json.subject, mine.headers['cache-control']], ['ada', 'no-store'])
  assert.equal(people.count(), 1)
  assert.ok(!server.happened('revoked'))
  const own = { cookie, 'sec-fetch-site': 'same-origin', origin: bff.origin }
  assert.equal((await call(bff.origin, 'POST /logout', { headers: own })).status, 204)
})

test('a client that was dropped for idleness is made again from its row, also by another process', async (t) => {
  const { server, people, create, signIn, me } = await start(t)
  const cookie = await signIn('ada')
  t.mock.timers.enable({ apis: ['setTimeout'] })
  assert.equal((await people.find(cookie.split('=')[1]!))?.getSession().status, 'signed-in')
  t.mock.timers.tick(15 * 60_000)
  t.mock.timers.reset()
  assert.equal(people.count(), 0)
  assert.equal((await me(cookie)).json.subject, 'ada')
  assert.equal(people.count(), 1)
  const other = await create().find(cookie.split('=')[1]!)
  assert.equal((await other!.fetch(`${server.url}/api`)).status, 200)
  assert.equal((await me(cookie)).json.subject, 'ada')
})

test('two processes that refresh one person at the same moment keep the session', async (t) => {
  const { server, create } = await start(t, { reuseInterval: 30 })
  const [here, there] = [create(), create()]
  const id = await here.signIn({ name: 'ada', password: 'right' })
  for (let round = 0; round < 5; round++) {
    server.expireTokens()
    const clients = await Promise.all([here.find(id), there.find(id)])
    const answers = await Promise.all(clients.map((client) => client!.fetch(`${server.url}/api`)))
    assert.deepEqual(
      answers.map(({ status }) => status),
      [200, 200],
    )
  }
  assert.ok(!server.happened('reused', 'revoked'))
})
