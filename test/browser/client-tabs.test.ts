// A person stays signed in across tabs of a real browser: closed, frozen, offline, in the back/forward cache, without locks.

import assert from 'node:assert/strict'
import { after, before, describe, type TestContext, test } from 'node:test'
import type { Browser, BrowserContext } from 'playwright-core'
import { createSeededRandom } from '../../src/testing/random.ts'
import { type DaypassServer, type Fault, send } from '../client/daypass-server.ts'
import { launchBrowser } from './browser.ts'
import { buildClientPage, openContext, openPage, type Tab } from './open-client.ts'

let browser: Browser
let script: string

before(async () => {
  script = await buildClientPage()
  browser = await launchBrowser({ ignoreDefaultArgs: ['--disable-back-forward-cache'] })
})
after(() => browser?.close())

/** Tabs of one browser, all signed in. */
async function openTabs(t: TestContext, count: number, options: { refreshTimeout?: number } = {}) {
  const { server, context } = await openContext(t, browser, script)
  const tabs = await addTabs(context, server, count, options)
  await tabs[0]!.signIn()
  await have(tabs, 'signed-in')
  return { server, context, tabs }
}

const addTabs = (context: BrowserContext, server: DaypassServer, count: number, options = {}) =>
  Promise.all(Array.from({ length: count }, () => openPage(context, server, 'fetch', options)))

/** Waits until all tabs have this state. */
async function have(tabs: Tab[], status: string): Promise<void> {
  await Promise.all(
    tabs.map(({ page }) =>
      page.waitForFunction((status) => globalThis.page.client!.getSession().status === status, status),
    ),
  )
}

const callAll = (tabs: Tab[], { url }: DaypassServer) =>
  Promise.all(tabs.map(async (tab) => (await tab.call(`${url}/api`)).status))

const times = <T>(count: number, value: T): T[] => Array(count).fill(value)

/** A tab that was offline when its token expired, failed to refresh, and is online again. */
async function openOffline(t: TestContext) {
  const { server, context } = await openContext(t, browser, script)
  await context.clock.install()
  const tab = await openPage(context, server)
  await tab.signIn()
  await tab.page.evaluate(() => void globalThis.page.client!.subscribe(() => {}))
  await context.setOffline(true)
  server.expireTokens()
  await tab.page.clock.fastForward('01:00:00')
  assert.equal((await tab.call(`${server.url}/api`)).error, 'ERR_OFFLINE')
  const { status, session } = await tab.page.evaluate(() => globalThis.page.client!.getSession())
  assert.deepEqual([status, session!.subject], ['offline', 'ada'])
  assert.equal(server.refreshes(), 0)
  await context.setOffline(false)
  return { server, tab }
}

/** Asserts what must hold in every test. */
function nobodyWasSignedOut(server: DaypassServer): void {
  assert.equal(server.happened('reused', 'revoked', 'expired'), false)
}

describe('tabs of a real Chromium', { concurrency: 3, timeout: 150_000 }, () => {
  test('five tabs with an expired token call at once: one refresh', async (t) => {
    const { server, tabs } = await openTabs(t, 5)
    for (let round = 1; round <= 5; round++) {
      server.expireTokens()
      assert.deepEqual(await callAll(tabs, server), times(5, 200))
      assert.deepEqual([server.refreshes(), server.rotations()], [round, round])
    }
    nobodyWasSignedOut(server)
  })

  test('five tabs opened at once, with only the cookie: one refresh', async (t) => {
    const { server, context, tabs } = await openTabs(t, 1)
    await tabs[0]!.page.close()
    const opened = await addTabs(context, server, 5)
    const held = server.holdRefresh()
    const calls = callAll(opened, server)
    await held.asked
    // All five wait: for the response, or for the lock.
    const [{ page }] = opened as [Tab]
    await page.waitForFunction(async () => (await navigator.locks.query()).pending!.length === 4)
    held.answer()
    assert.deepEqual(await calls, times(5, 200))
    assert.deepEqual([server.refreshes(), server.rotations()], [1, 1])
  })

  for (const isDone of [true, false]) {
    test(`a tab closed in the middle of its refresh, ${isDone ? 'which the server had completed' : 'which never arrived'}: the others continue`, async (t) => {
      const { server, tabs } = await openTabs(t, 3)
      const [first, ...others] = tabs as [Tab, ...Tab[]]
      server.expireTokens()
      let asked = () => {}
      const isAsked = new Promise<void>((resolve) => {
        asked = resolve
      })
      server.faults.push(async (_response, commit) => {
        if (isDone) await commit()
        asked() // and never responds
      })
      first.call(`${server.url}/api`).catch(() => {})
      await isAsked
      const calls = callAll(others, server)
      await others[0]!.page.waitForFunction(async () => (await navigator.locks.query()).pending!.length > 0)
      const start = performance.now()
      await first.page.close()
      assert.deepEqual(await calls, times(2, 200))
      const took = performance.now() - start
      t.diagnostic(`${Math.round(took)} ms after the tab was closed, the others had their answers`)
      assert.ok(took < 9000, `${took} ms`)
      assert.deepEqual([server.refreshes(), server.rotations(), server.happened('replayed')], [2, 1, isDone])
      nobodyWasSignedOut(server)
    })
  }

  test('sign-out in one tab: all tabs follow, calls under way fail, a late response revives nothing', async (t) => {
    const { server, context, tabs } = await openTabs(t, 4)
    const [first, second] = tabs as [Tab, Tab]
    server.expireTokens()
    const held = server.holdRefresh()
    const calls = Promise.all(tabs.map((tab) => tab.call(`${server.url}/api`)))
    await held.asked
    await second.page.waitForFunction(async () => (await navigator.locks.query()).pending!.length === 3)
    const start = performance.now()
    const signedOut = second.signOut()
    for (const outcome of await calls) assert.deepEqual(outcome, { error: 'ERR_SIGNED_OUT', reason: 'sign-out' })
    await have(tabs, 'signed-out')
    t.diagnostic(`${Math.round(performance.now() - start)} ms after the sign-out, all tabs were signed out`)
    held.answer()
    assert.deepEqual(await signedOut, {})
    assert.equal(server.happened('revoked'), true)
    const asked = server.refreshes()
    assert.deepEqual(await callAll(tabs, server), times(4, 401))
    for (const tab of tabs) assert.deepEqual(await tab.session(), { status: 'signed-out', reason: 'sign-out' })
    assert.deepEqual(
      (await context.cookies()).filter(({ value }) => value),
      [],
    )
    await first.page.reload()
    await first.page.evaluate(() => globalThis.page.open())
    assert.equal((await first.call(`${server.url}/api`)).status, 401)
    assert.equal(server.refreshes(), asked)
  })

  for (const [how, leave] of Object.entries({
    'and the page is left at once': () => {
      globalThis.page.client!.signOut().catch(() => {})
      location.href = '/elsewhere'
    },
    'from `pagehide`': () => {
      addEventListener('pagehide', () => void globalThis.page.client!.signOut().catch(() => {}))
      location.href = '/elsewhere'
    },
  })) {
    test(`sign-out ${how}: the server gets it, and afterwards the person is signed out`, async (t) => {
      const { server, context, tabs } = await openTabs(t, 1)
      const [{ page }] = tabs as [Tab]
      await page.evaluate(leave).catch(() => {}) // the page closes during the call
      await page.waitForURL('**/elsewhere')
      for (const end = Date.now() + 20_000; !server.happened('revoked'); ) {
        assert.ok(Date.now() < end, 'the server never heard of it')
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
      const asked = server.refreshes()
      const next = await openPage(context, server)
      assert.equal((await next.call(`${server.url}/api`)).status, 401)
      assert.equal(server.refreshes(), asked, 'this browser remembers it')
    })
  }

  test('sign-out without BroadcastChannel and Web Locks: a late response in another tab revives nothing', async (t) => {
    const { server, context } = await openContext(t, browser, script)
    await context.addInitScript('delete globalThis.BroadcastChannel; delete Navigator.prototype.locks')
    const [first, second] = (await addTabs(context, server, 2)) as [Tab, Tab]
    await first.signIn()
    const held = server.holdRefresh()
    const call = second.call(`${server.url}/api`)
    await held.asked
    const signedOut = first.signOut()
    await first.page.waitForFunction(() => Object.values(localStorage).some((text) => /^{"out":/.test(text)))
    held.answer()
    assert.deepEqual(await signedOut, {})
    assert.notEqual((await call).status, 200)
    assert.deepEqual(await callAll([first, second], server), [401, 401])
    for (const tab of [first, second]) assert.equal((await tab.session()).status, 'signed-out')
    assert.match((await first.page.evaluate(() => Object.values(localStorage).join()))!, /^{"out":\d+}$/)
    // No tab used the response: it was discarded, not tried and rejected.
    assert.equal(server.refreshes(), 1)
    for (const { headers } of server.requests('/api')) assert.equal(headers.authorization, undefined)
  })

  test('an hour without a timer, as during sleep: the next call succeeds', async (t) => {
    const { server, context } = await openContext(t, browser, script)
    await context.clock.install()
    const tab = await openPage(context, server)
    await tab.signIn()
    assert.equal((await tab.call(`${server.url}/api`)).status, 200)
    server.expireTokens()
    await tab.page.clock.fastForward('01:00:00')
    assert.equal((await tab.call(`${server.url}/api`)).status, 200)
    // The page knew from its own clock: it refreshed before it sent the call.
    assert.deepEqual([server.requests('/api').length, server.refreshes()], [2, 1])
    nobodyWasSignedOut(server)
  })

  test('a tab frozen in the middle of its refresh: the others wait no longer than refreshTimeout, and it works afterwards', async (t) => {
    const { server, context, tabs } = await openTabs(t, 3, { refreshTimeout: 1000 })
    const [first, ...others] = tabs as [Tab, ...Tab[]]
    const devtools = await context.newCDPSession(first.page)
    server.expireTokens()
    const held = server.holdRefresh()
    const call = first.call(`${server.url}/api`)
    await held.asked
    await devtools.send('Page.setWebLifecycleState', { state: 'frozen' })
    const start = performance.now()
    assert.deepEqual(await callAll(others, server), times(2, 200))
    const took = performance.now() - start
    t.diagnostic(`${Math.round(took)} ms behind a frozen tab, with a refreshTimeout of 1000 ms`)
    assert.ok(took < 12_000, `${took} ms`)
    held.answer()
    await devtools.send('Page.setWebLifecycleState', { state: 'active' })
    assert.equal((await call).status, 200)
    assert.equal((await first.call(`${server.url}/api`)).status, 200)
    server.expireTokens()
    assert.deepEqual(await callAll(tabs, server), times(3, 200))
    nobodyWasSignedOut(server)
  })

  test('back from the back/forward cache after an hour: the page works', async (t) => {
    const { server, context, tabs } = await openTabs(t, 1)
    const [tab] = tabs as [Tab]
    const { page } = tab
    await page.goto(`${server.url}/elsewhere`)
    await page.goBack({ waitUntil: 'commit' })
    await page.waitForLoadState()
    const isCached = await page.evaluate(() => globalThis.page.client !== undefined)
    t.diagnostic(
      isCached ? 'restored by the browser' : 'this Chromium keeps no pages: its freezing and its events by hand',
    )
    if (!isCached) {
      const devtools = await context.newCDPSession(page)
      await page.evaluate(() => globalThis.page.open())
      assert.equal((await tab.call(`${server.url}/api`)).status, 200)
      const tell = (name: string) =>
        page.evaluate((name) => void dispatchEvent(new PageTransitionEvent(name, { persisted: true })), name)
      await tell('pagehide')
      await devtools.send('Page.setWebLifecycleState', { state: 'frozen' })
      server.expireTokens()
      await devtools.send('Page.setWebLifecycleState', { state: 'active' })
      await tell('pageshow')
    } else server.expireTokens()
    const before = server.rotations()
    assert.equal((await tab.call(`${server.url}/api`)).status, 200)
    assert.equal(server.rotations(), before + 1)
    nobodyWasSignedOut(server)
  })

  test('offline during a refresh: the session is kept; with the network the next call succeeds', async (t) => {
    const { server, tab } = await openOffline(t)
    assert.equal((await tab.call(`${server.url}/api`)).status, 200)
    await have([tab], 'signed-in')
    assert.equal(server.rotations(), 1)
    nobodyWasSignedOut(server)
  })

  test('tabs opened and closed at random, with responses lost, late and failed: the person stays signed in', async (t) => {
    const { server, context, tabs } = await openTabs(t, 3)
    const seed = Number(process.env.SEED ?? Date.now() % 100_000)
    t.diagnostic(`SEED=${seed}`)
    const random = createSeededRandom(seed)
    const faults: Fault[] = [
      (response) => response.destroy(),
      async (response, commit) => {
        await commit()
        response.destroy()
      },
      (response) => response.writeHead(503, { 'retry-after': '0' }).end(),
      (response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<h1>Welcome to our Wi-Fi'),
      async (response, commit) => {
        const answer = await commit()
        await new Promise((resolve) => setTimeout(resolve, 100))
        await send(response, answer)
      },
    ]
    for (let round = 1; round <= 15; round++) {
      server.expireTokens()
      for (let n = random.below(3); n > 0; n--) server.faults.push(random.pick(faults))
      // One tab opens during the refresh, and another one is closed.
      const calls = tabs.map((tab) => tab.call(`${server.url}/api`).catch(() => undefined))
      const opening = random.below(2) ? openPage(context, server) : undefined
      let closed: number | undefined
      if (tabs.length > 2 && random.below(2)) {
        await new Promise((resolve) => setTimeout(resolve, random.below(100)))
        closed = random.below(tabs.length)
        await tabs[closed]!.page.close()
      }
      for (const [i, outcome] of (await Promise.all(calls)).entries()) {
        if (i !== closed) assert.equal(outcome?.status, 200, `round ${round}, tab ${i}: ${JSON.stringify(outcome)}`)
      }
      if (closed !== undefined) tabs.splice(closed, 1)
      if (opening) tabs.push(await opening)
      server.faults.length = 0
      assert.deepEqual(await callAll(tabs, server), times(tabs.length, 200))
      nobodyWasSignedOut(server)
    }
    t.diagnostic(`${server.refreshes()} requests, ${server.rotations()} refreshes for 15 expiries`)
  })

  test('without Web Locks: five tabs race for the refresh, and all stay signed in', async (t) => {
    const { server, context } = await openContext(t, browser, script, { reuseInterval: 30 })
    await context.addInitScript('delete Navigator.prototype.locks')
    const tabs = await addTabs(context, server, 5)
    assert.equal(await tabs[0]!.page.evaluate(() => 'locks' in navigator), false)
    await tabs[0]!.signIn()
    await have(tabs, 'signed-in')
    for (let round = 1; round <= 5; round++) {
      server.expireTokens()
      assert.deepEqual(await callAll(tabs, server), times(5, 200))
    }
    t.diagnostic(`${server.refreshes()} requests, ${server.rotations()} refreshes for 5 expiries`)
    nobodyWasSignedOut(server)
  })
})
