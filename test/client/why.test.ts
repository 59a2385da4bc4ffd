// Daypass does not have the faults that docs/why.md describes: one test for each, by its name there.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import axios from 'axios'
import { attachDaypass } from '../../src/client/axios.ts'
import { createClient, isBodyNotReplayable, isOffline } from '../../src/client/index.ts'
import { launchBrowser } from '../browser/browser.ts'
import { buildClientPage, openContext, openPage } from '../browser/open-client.ts'
import { bytes, stream } from './bodies.ts'
import { type DaypassServer, type Fault, startDaypass, startWithClient } from './daypass-server.ts'
import { createFakeTime, createGate } from './scripted-server.ts'
import { withWebLocks } from './web-locks.ts'

/** fetch as the pages of one browser have it: with a jar of cookies. */
function createBrowserFetch() {
  const jar = new Map<string, string>()
  const keep = (response: Response) => {
    for (const cookie of response.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(cookie)!
      jar.set(name!, value!)
    }
    return response
  }
  const send: typeof fetch = async (input, init) => {
    const request = new Request(input, init)
    request.headers.set('cookie', [...jar].map(([name, value]) => `${name}=${value}`).join('; '))
    request.headers.set('sec-fetch-site', 'same-origin')
    return keep(await fetch(request))
  }
  return { jar, fetch: send, keep }
}

const fellOut = (server: DaypassServer) => server.happened('reused', 'revoked', 'expired')

const tests: Record<string, (t: TestContext) => Promise<void>> = {
  async 'infinite loop on a second 401'(t) {
    const { server, client, api } = await startWithClient(t)
    server.api = async () => Response.json({ error: 'invalid_token' }, { status: 401 })
    assert.equal((await client.fetch(api)).status, 401)
    assert.deepEqual([server.requests('/api').length, server.refreshes()], [2, 1])
    const instance = axios.create({ proxy: false })
    attachDaypass(instance, client)
    await assert.rejects(instance.get(api), { status: 401 })
    assert.deepEqual([server.requests('/api').length, server.refreshes()], [4, 2])
  },

  async 'ten parallel 401s'(t) {
    const { server, client, api } = await startWithClient(t)
    server.expireTokens()
    const responses = await Promise.all(Array.from({ length: 10 }, () => client.fetch(api)))
    for (const { status } of responses) assert.equal(status, 200)
    assert.deepEqual([server.requests('/api').length, server.refreshes()], [20, 1])
  },

  async 'late 401 after a refresh'(t) {
    const { server, client, api } = await startWithClient(t)
    const { api: answer } = server
    const slow = createGate()
    const asked = createGate()
    server.api = async (request, seen) => {
      const response = await answer(request, seen)
      if (request.headers.has('x-slow') && response.status === 401) {
        asked.open()
        await slow.opened
      }
      return response
    }
    server.expireTokens()
    const late = Promise.all([1, 2, 3].map(() => client.fetch(api, { headers: { 'x-slow': '1' } })))
    await asked.opened
    assert.equal((await client.fetch(api)).status, 200)
    slow.open()
    for (const { status } of await late) assert.equal(status, 200)
    assert.equal(server.refreshes(), 1)
  },

  async 'StrictMode double refresh'(t) {
    const [script, browser] = await Promise.all([buildClientPage(), launchBrowser()])
    t.after(() => browser.close())
    const { server, context } = await openContext(t, browser, script)
    const { page, signIn } = await openPage(context, server)
    await signIn()
    await page.reload()
    server.seen.length = 0
    // As an app does: on mounting it makes its client's first call, without a token so far.
    const shown = await page.evaluate(async () => {
      const { createClient, createElement, createRoot, StrictMode, useEffect, useSession, useState } = globalThis.page
      const client = createClient({ baseUrl: '/auth' })
      let effects = 0
      const App = () => {
        const { status } = useSession(client)
        const [subject, setSubject] = useState('')
        useEffect(() => {
          effects++
          client
            .fetch('/api')
            .then((response) => response.json())
            .then(({ subject }) => setSubject(subject))
        }, [])
        return `${subject} ${status} ${effects}`
      }
      const root = document.body.appendChild(document.createElement('main'))
      createRoot(root).render(createElement(StrictMode, null, createElement(App)))
      while (!root.textContent!.includes('ada')) await new Promise((resolve) => setTimeout(resolve, 10))
      return root.textContent
    })
    assert.equal(shown, 'ada signed-in 2')
    while (server.requests('/api').length < 2) await new Promise((resolve) => setTimeout(resolve, 10))
    assert.deepEqual([server.requests('/api').length, server.refreshes(), server.rotations()], [2, 1, 1])
  },

  async 'laptop sleep'(t) {
    const { server, client, api, time } = await startWithClient(t)
    server.expireTokens()
    time.now += 8 * 3_600_000 // and no timer has fired
    const isNotUpYet: Fault = (response) => response.destroy()
    server.faults.push(isNotUpYet, isNotUpYet)
    assert.equal((await client.fetch(api)).status, 200)
    assert.deepEqual([server.requests('/api').length, server.refreshes(), server.rotations()], [1, 3, 1])
    // Where the computer's clock slept as well, the client believes in a token that has ended, until the server says so.
    server.expireTokens()
    assert.equal((await client.fetch(api)).status, 200)
    assert.deepEqual([server.requests('/api').length, server.rotations()], [3, 2])
    assert.equal(fellOut(server), false)
  },

  async 'lost response'(t) {
    const { server, client, api, time } = await startWithClient(t)
    const lose: Fault = async (response, commit) => {
      await commit()
      response.destroy()
    }
    server.expireTokens()
    server.faults.push(lose, lose, lose, lose)
    await assert.rejects(client.fetch(api), isOffline)
    // The server allows for no delay at all, and yet an hour later the same question has the same answer.
    server.expireTokens()
    time.now += 3_600_000
    assert.equal((await client.fetch(api)).status, 200)
    assert.deepEqual([server.refreshes(), server.rotations(), fellOut(server)], [5, 1, false])
  },

  async 'app killed before saving'(t) {
    const { server, client, storage, api } = await startWithClient(t)
    const { values } = storage
    const isKilled = createGate()
    const { set } = storage
    storage.set = async (name, value) => {
      // The answer is there, and the app dies before its first byte is on the disk.
      if (server.rotations() > 0) {
        isKilled.open()
        return new Promise(() => {})
      }
      return set(name, value)
    }
    server.expireTokens()
    client.fetch(api).catch(() => {})
    await isKilled.opened
    const restarted = createClient({ baseUrl: `${server.url}/auth`, storage: new Map(values) })
    assert.equal((await restarted.fetch(api)).status, 200)
    assert.deepEqual([server.refreshes(), server.rotations(), fellOut(server)], [2, 1, false])
  },

  async 'two tabs'(t) {
    const server = await startDaypass(t)
    const { fetch } = createBrowserFetch()
    const storage = new Map<string, string>()
    const options = { baseUrl: `${server.url}/auth`, transport: 'cookie', storage, tabs: true, fetch } as const
    const tabs = [createClient(options), createClient(options)]
    const have = async (status: string) => {
      while (tabs.some((tab) => tab.getSession().status !== status)) await new Promise((r) => setTimeout(r, 5))
    }
    await tabs[0]!.signIn({ password: 'right' })
    await have('signed-in')
    for (let round = 1; round <= 3; round++) {
      server.expireTokens()
      const responses = await Promise.all(tabs.map((tab) => tab.fetch(`${server.url}/api`)))
      for (const { status } of responses) assert.equal(status, 200)
      assert.deepEqual([server.refreshes(), server.rotations()], [round, round])
    }
    await tabs[1]!.signOut()
    await have('signed-out')
    assert.equal((await tabs[0]!.fetch(`${server.url}/api`)).status, 401)
    assert.equal(server.refreshes(), 3)
  },

  async 'SSR and client at once'(t) {
    for (const isPageFirst of [true, false]) {
      const server = await startDaypass(t, { reuseInterval: 30 })
      const browser = createBrowserFetch()
      const { clock, sleep } = createFakeTime()
      const options = { baseUrl: `${server.url}/auth`, transport: 'cookie', clock } as const
      const page = createClient({
        ...options,
        fetch: browser.fetch,
        // What the rendering server sent has arrived by the time that the page asks again.
        sleep: async (milliseconds) => {
          await rendered
          return sleep(milliseconds)
        },
      })
      await page.signIn({ password: 'right' })

      // A server that renders a page has the cookie of the request, and sends on the cookies that it receives.
      const cookie = [...browser.jar].map(([name, value]) => `${name}=${value}`).join('; ')
      const answers: Response[] = []
      const renderer = createClient({
        ...options,
        sleep,
        fetch: async (input, init) => {
          const headers = { ...(init?.headers as object), cookie, 'sec-fetch-site': 'same-origin' }
          const response = await fetch(input, init?.credentials ? { ...init, headers } : init)
          answers.push(response)
          return response
        },
      })

      // Both have asked with the same cookie before either is served.
      const both = createGate()
      let waiting = 0
      const hold = (isFirst: boolean): Fault => {
        return async (response, commit) => {
          if (++waiting === 2) both.open()
          await both.opened
          if (!isFirst) await new Promise((resolve) => setTimeout(resolve, 300))
          const answer = await commit()
          response.writeHead(answer.status, Object.fromEntries(answer.headers)).end(await answer.text())
        }
      }
      server.expireTokens()
      server.faults.push(hold(isPageFirst), hold(!isPageFirst))
      const called = page.fetch(`${server.url}/api`)
      while (waiting === 0) await new Promise((resolve) => setTimeout(resolve, 5))
      const rendered = renderer.fetch(`${server.url}/api`).then(
        ({ status }) => status,
        (error) => error.code,
      )
      rendered.then(() => answers.forEach(browser.keep))

      assert.equal((await called).status, 200)
      // A renderer that comes second cannot see the newer cookie: it renders without, and says why. It signs nobody out.
      assert.equal(await rendered, isPageFirst ? 'ERR_OFFLINE' : 200)
      assert.equal(server.happened('superseded'), true)
      for (let round = 0; round < 3; round++) {
        server.expireTokens()
        assert.equal((await page.fetch(`${server.url}/api`)).status, 200)
      }
      assert.equal(fellOut(server), false)
    }
  },

  async 'wrong clock'(t) {
    for (const day of [-86_400_000, 86_400_000]) {
      t.mock.timers.enable({ apis: ['Date'], now: Date.now() + day })
      const { server, client, api, time } = await startWithClient(t)
      assert.equal((await client.fetch(api)).status, 200)
      assert.equal(server.refreshes(), 0, 'a token that is good is not refreshed')
      time.now += 900_000
      assert.equal((await client.fetch(api)).status, 200)
      assert.deepEqual([server.requests('/api').length, server.refreshes()], [2, 1], 'one that has ended is not sent')
      server.expireTokens()
      assert.equal((await client.fetch(api)).status, 200)
      assert.deepEqual([server.requests('/api').length, server.refreshes()], [4, 2], 'the server knows best')
      t.mock.timers.reset()
    }
  },

  async 'upload resent empty'(t) {
    const { server, client, api } = await startWithClient(t)
    const form = new FormData()
    form.set('photo', new File([bytes], 'photo.png', { type: 'image/png' }))
    for (const call of [
      () => client.fetch(api, { method: 'POST', body: form }),
      () => client.fetch(new Request(api, { method: 'POST', body: form })),
    ]) {
      server.seen.length = 0
      server.expireTokens()
      assert.equal((await call()).status, 200)
      // Each sending of a form has a boundary of its own.
      const [first, second] = server
        .requests('/api')
        .map(({ body, headers }) =>
          body.toString('latin1').replaceAll(headers['content-type']!.split('boundary=')[1]!, 'boundary'),
        )
      assert.ok(first!.length > bytes.length && second === first)
    }
    server.seen.length = 0
    server.expireTokens()
    const upload = client.fetch(api, { method: 'POST', body: stream(), duplex: 'half' } as RequestInit)
    await assert.rejects(upload, isBodyNotReplayable)
    assert.deepEqual(
      server.requests('/api').map(({ body }) => String(body)),
      ['stream'],
    )
  },

  async 'token sent abroad'(t) {
    const tokens: unknown[] = []
    const listen = async (answer: (url: string) => [number, Record<string, string>]) => {
      const server = createServer(({ headers, url }, response) => {
        tokens.push(headers.authorization)
        response.writeHead(...answer(url!)).end()
      })
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
      t.after(() => server.close())
      return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    }
    const abroad = await listen(() => [401, {}])
    const redirecting = await listen(() => [307, { location: abroad }])
    const { server, client } = await startWithClient(t, { origins: [redirecting] })
    assert.equal((await client.fetch(redirecting)).status, 401)
    assert.equal((await client.fetch(abroad)).status, 401)
    assert.equal((await client.fetch(abroad.replace('127.0.0.1', 'localhost'))).status, 401)
    assert.match(String(tokens.shift()), /^Bearer ey/)
    assert.deepEqual(tokens, [undefined, undefined, undefined])
    assert.equal(server.refreshes(), 0)
  },
}

for (const [name, run] of Object.entries(tests)) test(name, name === 'two tabs' ? withWebLocks : {}, run)

test('docs/why.md names these, and no others', () => {
  const text = readFileSync(join(import.meta.dirname, '../../docs/why.md'), 'utf8')
  assert.deepEqual(
    [...text.matchAll(/^## (.+)$/gm)].map(([, name]) => name),
    Object.keys(tests),
  )
})
