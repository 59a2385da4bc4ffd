// A visible page refreshes its token by itself, and once: in time, when the network is back, after a sleep.

import assert from 'node:assert/strict'
import { after, before, describe, type TestContext, test } from 'node:test'
import type { Browser } from 'playwright-core'
import type { DaypassServer } from '../client/daypass-server.ts'
import { launchBrowser } from './browser.ts'
import { buildClientPage, openContext, openPage, type Tab } from './open-client.ts'

let browser: Browser
let script: string

before(async () => {
  script = await buildClientPage()
  browser = await launchBrowser()
})
after(() => browser?.close())

/** Tabs of one signed-in browser, each with a subscriber, on a clock that the test sets. */
async function openWatched(t: TestContext, count = 1) {
  const { server, context } = await openContext(t, browser, script)
  await context.clock.install()
  const tabs = await Promise.all(Array.from({ length: count }, () => openPage(context, server)))
  const [tab] = tabs as [Tab]
  await tab.signIn()
  await have(tabs, 'signed-in')
  for (const { page } of tabs) await page.evaluate(() => void globalThis.page.client!.subscribe(() => {}))
  server.seen.length = 0
  return { server, context, tabs, tab }
}

async function have(tabs: Tab[], status: string): Promise<void> {
  for (const tab of tabs) await until(`a tab is ${status}`, async () => (await tab.session()).status === status)
}

async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = Date.now() + 20_000; Date.now() < end; await pause(25)) if (await holds()) return
  assert.fail(`It never came to this: ${what}`)
}

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds))

function nobodyWasSignedOut(server: DaypassServer): void {
  assert.equal(server.happened('reused', 'revoked', 'expired'), false)
}

describe('a visible page', { concurrency: 3, timeout: 120_000 }, () => {
  test('refreshes its token shortly before it expires, again and again, without a call', async (t) => {
    const { server, tab } = await openWatched(t)
    for (let round = 1; round <= 3; round++) {
      await tab.page.clock.fastForward(850_000)
      await pause(100)
      assert.equal(server.refreshes(), round - 1, 'not before its time')
      await tab.page.clock.fastForward(45_000)
      await until('it was renewed', () => server.rotations() === round)
      await have([tab], 'signed-in')
    }
    assert.deepEqual([server.refreshes(), server.requests('/api').length], [3, 0])
    nobodyWasSignedOut(server)
  })

  test('five tabs whose timers fire at once: one refresh', async (t) => {
    const { server, context, tabs } = await openWatched(t, 5)
    await context.clock.fastForward(895_000) // in all of them
    await until('it was renewed', () => server.rotations() === 1)
    await have(tabs, 'signed-in')
    await pause(300)
    assert.deepEqual([server.refreshes(), server.rotations()], [1, 1])
    nobodyWasSignedOut(server)
  })

  test('offline while its token expires: the session is kept, and refreshed on `online`, without a call', async (t) => {
    const { server, context, tab } = await openWatched(t)
    await context.setOffline(true)
    server.expireTokens()
    await tab.page.clock.fastForward('01:00:00')
    await have([tab], 'offline')
    assert.equal(server.refreshes(), 0)
    await context.setOffline(false)
    await have([tab], 'signed-in')
    assert.equal(server.rotations(), 1)
    assert.equal((await tab.call(`${server.url}/api`)).status, 200)
    assert.equal(server.requests('/api').length, 1)
    nobodyWasSignedOut(server)
  })

  for (const event of ['focus', 'pageshow', 'visibilitychange']) {
    test(`asleep for an hour, without timers: refreshed on \`${event}\``, async (t) => {
      const { server, context, tab } = await openWatched(t)
      const devtools = await context.newCDPSession(tab.page)
      await devtools.send('Page.setWebLifecycleState', { state: 'frozen' })
      server.expireTokens()
      // An hour passes on the page's clock, and no timer fires.
      await tab.page.evaluate(() => {
        const now = performance.now.bind(performance)
        performance.now = () => now() + 3_600_000
      })
      await devtools.send('Page.setWebLifecycleState', { state: 'active' })
      assert.equal(server.refreshes(), 0)
      await tab.page.evaluate((event) => {
        if (event === 'visibilitychange') document.dispatchEvent(new Event(event, { bubbles: true }))
        else
          window.dispatchEvent(
            event === 'pageshow' ? new PageTransitionEvent(event, { persisted: true }) : new Event(event),
          )
      }, event)
      await until('it was renewed', () => server.rotations() === 1)
      await have([tab], 'signed-in')
      nobodyWasSignedOut(server)
    })
  }

  test('a hidden tab sends no request until it is visible', async (t) => {
    const { server, tab } = await openWatched(t)
    const look = (isHidden: boolean) =>
      tab.page.evaluate((isHidden) => {
        Object.defineProperty(document, 'hidden', { configurable: true, get: () => isHidden })
        document.dispatchEvent(new Event('visibilitychange', { bubbles: true }))
      }, isHidden)
    await look(true)
    await tab.page.clock.fastForward('02:00:00')
    await pause(300)
    assert.equal(server.refreshes(), 0)
    await look(false)
    await until('it was renewed', () => server.rotations() === 1)
  })
})
