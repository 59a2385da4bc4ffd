// A storage that rejects, throws, hangs, is locked, cleared or full gives a typed error, never a sign-out.

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { type ClientOptions, createClient, isOffline, isSignedOut } from '../../src/client/index.ts'
import { type DaypassServer, startDaypass } from './daypass-server.ts'
import { createStorage } from './scripted-server.ts'

type Storage = ReturnType<typeof createStorage>

async function start(t: TestContext, options: Partial<ClientOptions> = {}) {
  const server = await startDaypass(t)
  const storage = createStorage()
  const open = () =>
    createClient({
      ...{ baseUrl: `${server.url}/auth`, storage, sleep: async () => {} },
      ...options,
    })
  return { server, storage, open, api: `${server.url}/api` }
}

const living = ({ events }: DaypassServer) =>
  events.filter(({ type }) => type === 'issued').length - events.filter(({ type }) => type === 'revoked').length

const failure = (code: string) => Object.assign(new Error('where the file is'), { code })
/** Each way to fail, and the reason that the error tells. */
const ways: Record<string, [fail: () => never | Promise<never>, reason: string]> = {
  rejects: [async () => Promise.reject(failure('ENOSPC')), 'ENOSPC'],
  throws: [
    () => {
      throw failure('ERR_LOCKED')
    },
    'ERR_LOCKED',
  ],
  hangs: [() => new Promise<never>(() => {}), 'TimeoutError'],
}

for (const [way, [fail, reason]] of Object.entries(ways)) {
  for (const part of ['get', 'set'] as const) {
    // Long enough for a machine that has other things to do.
    const options = way === 'hangs' ? { refreshTimeout: 1500 } : {}
    const spoil = (storage: Storage) => {
      const good = storage[part]
      storage[part] = fail
      return () => Object.assign(storage, { [part]: good })
    }
    const isTold = (error: unknown) => {
      assert.ok(isOffline(error), String(error))
      assert.equal(error.reason, reason)
      assert.doesNotMatch(JSON.stringify(error) + error.message, /where the file is|dpr_/)
      return true
    }

    test(`a storage whose ${part} ${way}: ERR_OFFLINE, the session kept, and found again`, async (t) => {
      const { server, storage, open, api } = await start(t, options)
      await open().signIn({ password: 'right' })
      const client = open()
      t.after(client.subscribe(() => {}))
      const heal = spoil(storage)
      await assert.rejects(client.getAccessToken(), isTold)
      await assert.rejects(client.fetch(api), isTold)
      assert.equal(client.getSession().status, 'offline')
      assert.equal(server.rotations(), 0)
      heal()
      assert.equal((await client.fetch(api)).status, 200)
      assert.equal(client.getSession().status, 'signed-in')
    })

    test(`a storage whose ${part} ${way}: a call whose token is good goes through`, async (t) => {
      const { server, storage, open, api } = await start(t, options)
      const client = open()
      await client.signIn({ password: 'right' })
      spoil(storage)
      assert.equal((await client.fetch(api)).status, 200)
      assert.equal(server.refreshes(), 0)
    })

    test(`a storage whose ${part} ${way}: a sign-in fails before the password is sent`, async (t) => {
      const { server, storage, open } = await start(t, options)
      const heal = spoil(storage)
      const client = open()
      await assert.rejects(client.signIn({ password: 'right' }), isTold)
      assert.equal(server.requests('/auth/login').length, 0)
      heal()
      await client.signIn({ password: 'right' })
      assert.equal(client.getSession().status, 'signed-in')
    })

    test(`a storage whose ${part} ${way}: a sign-out reaches the server`, async (t) => {
      const { server, storage, open } = await start(t, options)
      const client = open()
      await client.signIn({ password: 'right' })
      spoil(storage)
      await client.signOut()
      assert.deepEqual([living(server), client.getSession().status], [0, 'signed-out'])
    })
  }

  test(`a storage that ${way} when a sign-in is to be saved: ERR_OFFLINE, and nobody holds a session`, async (t) => {
    const { server, storage, open } = await start(t, way === 'hangs' ? { refreshTimeout: 1500 } : {})
    const client = open()
    const { set } = storage
    storage.set = (name, value) => (value.includes('dpr_') ? fail() : set(name, value))
    await assert.rejects(client.signIn({ password: 'right' }), isOffline)
    assert.deepEqual([living(server), client.getSession().status], [0, 'unknown'])
  })
}

for (const nothing of [null, undefined, '', '{"to', 'null']) {
  test(`a storage that answers ${JSON.stringify(nothing)} now and the value later: found again`, async (t) => {
    const { storage, open, api } = await start(t)
    await open().signIn({ password: 'right' })
    const client = open()
    let shown = 0
    t.after(client.subscribe(() => shown++))
    const { get } = storage
    storage.get = () => nothing
    assert.equal((await client.fetch(api)).status, 401)
    assert.equal((await client.fetch(api)).status, 401)
    assert.deepEqual([client.getSession().status, client.getSession().reason], ['signed-out', 'no-session'])
    await new Promise((resolve) => setTimeout(resolve, 150))
    assert.equal(shown, 1, 'it is not asked in a loop')
    storage.get = get
    assert.equal((await client.fetch(api)).status, 200)
    assert.equal(client.getSession().status, 'signed-in')
  })
}

for (const transport of ['body', 'cookie'] as const) {
  test(`${transport}: a storage cleared by the person under a page that is signed in: kept, and written down again`, async (t) => {
    const server = await startDaypass(t)
    const storage = createStorage()
    let cookie = ''
    const withCookie: typeof fetch = async (input, init) => {
      const headers = { ...(init?.headers as object), 'sec-fetch-site': 'same-origin', ...(cookie && { cookie }) }
      const response = await fetch(input, init?.credentials ? { ...init, headers } : init)
      cookie = response.headers.get('set-cookie')?.split(';')[0] ?? cookie
      return response
    }
    const client = createClient({ baseUrl: `${server.url}/auth`, transport, storage, fetch: withCookie })
    await client.signIn({ password: 'right' })
    await client.getAccessToken({ forceFresh: true })
    storage.values.clear()
    // Its answer is lost as well: without the key before it, this would look like theft.
    server.expireTokens()
    server.faults.push(async (response, commit) => {
      await commit()
      storage.values.clear()
      response.destroy()
    })
    assert.equal((await client.fetch(`${server.url}/api`)).status, 200)
    assert.equal(server.happened('reused', 'revoked'), false)
    assert.ok(storage.memory().last)
  })
}

/** What each field may be by mistake: another type, or an instant that no clock shows. */
const wrong: Record<string, unknown[]> = {
  token: [7, {}, ['x'], true],
  key: [7.5, {}, [], true, null],
  last: [7.5, {}, [], true, null],
  at: ['7', {}, 1e300, 1.5, true],
  session: [7, {}, ['x']],
  out: ['7', {}, 1e300, 1.5, true],
  pending: ['text', 7, {}, [7], [{}], null],
  isNew: ['x', {}],
  other: [7],
}
for (const transport of ['body', 'cookie'] as const) {
  for (const [field, values] of Object.entries(wrong)) {
    test(`${transport}: a storage in which ${field} is not as it was written: the session goes on, or one may sign in`, async (t) => {
      for (const value of values) {
        const server = await startDaypass(t)
        const storage = createStorage()
        let cookie = ''
        const withCookie: typeof fetch = async (input, init) => {
          const headers = { ...(init?.headers as object), 'sec-fetch-site': 'same-origin', ...(cookie && { cookie }) }
          const response = await fetch(input, init?.credentials ? { ...init, headers } : init)
          cookie = response.headers.get('set-cookie')?.split(';')[0] ?? cookie
          return response
        }
        const options = { baseUrl: `${server.url}/auth`, transport, storage, fetch: withCookie, sleep: async () => {} }
        await createClient(options).signIn({ password: 'right' })
        for (const [name, text] of storage.values)
          storage.values.set(name, JSON.stringify({ ...JSON.parse(text), [field]: value }))
        const client = createClient(options)
        const is = `${field}: ${JSON.stringify(value)}`
        // Only without its token is a session lost.
        if (field === 'token' && transport === 'body') await assert.rejects(client.getAccessToken(), isSignedOut, is)
        else await client.getAccessToken({ forceFresh: true })
        await client.signOut()
        await client.signIn({ password: 'right' })
        await client.getAccessToken({ forceFresh: true })
        assert.equal(client.getSession().status, 'signed-in', is)
        assert.equal(server.happened('reused'), false, is)
      }
    })
  }
}
