// The `user` of a sign-in and of `findSubject`: where the client has it, and where it keeps none.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createClient } from '../../src/client/index.ts'
import { startDaypass } from './daypass-server.ts'
import { createJar, createStorage, credentials, startServer } from './scripted-server.ts'

test('after a reload the user is that of findSubject, as it is now', async (t) => {
  const user = { name: 'Ada' }
  const server = await startDaypass(t, { findSubject: () => ({ user }) })
  const storage = createStorage()
  const options = { baseUrl: `${server.url}/auth`, storage }
  const client = createClient(options)
  assert.equal(client.getSession().user, undefined)
  assert.deepEqual((await client.signIn({ password: 'right' })).user, user)
  assert.deepEqual(client.getSession().user, user)

  user.name = 'Ada Lovelace'
  const reloaded = createClient(options)
  await reloaded.getAccessToken()
  assert.deepEqual(reloaded.getSession().user, user)
  user.name = 'Ada King'
  await reloaded.getAccessToken({ forceFresh: true })
  assert.deepEqual(reloaded.getSession().user, user)

  await reloaded.signOut()
  assert.deepEqual(reloaded.getSession(), { status: 'signed-out', reason: 'sign-out' })
})

test('the user of a refresh whose response was lost comes with the retry', async (t) => {
  const server = await startDaypass(t, { findSubject: () => ({ user: { name: 'Ada' } }) })
  const storage = createStorage()
  const options = { baseUrl: `${server.url}/auth`, storage, sleep: async () => {} }
  await createClient(options).signIn({ password: 'right' })
  server.faults.push(async (response, commit) => {
    await commit()
    response.destroy()
  })
  const reloaded = createClient(options)
  await reloaded.getAccessToken()
  assert.deepEqual(reloaded.getSession().user, { name: 'Ada' })
  assert.equal(server.rotations(), 1)
  assert.ok(server.happened('replayed'))
})

for (const transport of ['body', 'cookie'] as const) {
  test(`${transport}: without findSubject the user of the sign-in stays until a reload, and is never stored`, async (t) => {
    const server = await startServer(t)
    server.user = { name: 'Ada Lovelace' }
    const storage = createStorage()
    const { fetch } = createJar()
    const options = { baseUrl: `${server.url}/auth`, storage, transport, fetch }
    const client = createClient(options)
    await client.signIn(credentials)
    await client.getAccessToken({ forceFresh: true })
    assert.deepEqual(client.getSession().user, { name: 'Ada Lovelace' })
    assert.doesNotMatch(JSON.stringify([...storage.values]), /Lovelace/)

    const reloaded = createClient(options)
    await reloaded.getAccessToken()
    assert.deepEqual([reloaded.getSession().status, reloaded.getSession().user], ['signed-in', undefined])
  })
}

for (const hasFindSubject of [true, false]) {
  test(`a page from the back/forward cache has the user again, ${hasFindSubject ? 'of findSubject' : 'of the sign-in'}`, async (t) => {
    const user = { name: 'Ada' }
    const server = await startDaypass(t, hasFindSubject ? { findSubject: () => ({ user }) } : { user })
    const events = new EventTarget()
    const page = { addEventListener: events.addEventListener.bind(events) }
    Object.assign(globalThis, page)
    t.after(() => Reflect.deleteProperty(globalThis, 'addEventListener'))
    const client = createClient({ baseUrl: `${server.url}/auth` })
    await client.signIn({ password: 'right' })
    const leave = client.subscribe(() => {})
    events.dispatchEvent(Object.assign(new Event('pageshow'), { persisted: true }))
    assert.deepEqual(client.getSession(), { status: 'unknown', reason: undefined }, 'nobody is shown meanwhile')
    await client.getAccessToken()
    assert.deepEqual(client.getSession().user, user)
    assert.equal(server.refreshes(), 1)
    leave()
  })
}

test('a user that findSubject no longer returns is gone at the next refresh; of a sign-in, null takes it away', async (t) => {
  let found: { user?: unknown } = {}
  const server = await startDaypass(t, { findSubject: () => found, user: { name: 'Ada' } })
  const client = createClient({ baseUrl: `${server.url}/auth` })
  const userAfter = async (given: typeof found) => {
    found = given
    await client.getAccessToken({ forceFresh: true })
    return client.getSession().user
  }
  await client.signIn({ password: 'right' })
  assert.deepEqual(await userAfter({}), { name: 'Ada' })
  assert.deepEqual(await userAfter({ user: { name: 'Ada King' } }), { name: 'Ada King' })
  assert.equal(await userAfter({}), undefined)
  await client.signIn({ password: 'right' })
  assert.equal(await userAfter({ user: null }), null)
  assert.equal(await userAfter({}), undefined)
})

test('another session never has the user of the one before', async (t) => {
  const server = await startServer(t)
  const client = createClient({ baseUrl: `${server.url}/auth` })
  server.user = { name: 'Ada' }
  await client.signIn(credentials)
  for (const hasSession of [true, false]) {
    server.user = { name: 'Ada' }
    await client.signIn(credentials)
    assert.deepEqual(client.getSession().user, { name: 'Ada' })
    server.user = undefined
    server.hidesSession = !hasSession
    await client.signIn(credentials)
    assert.deepEqual([client.getSession().status, client.getSession().user], ['signed-in', undefined])
  }
})
