// The page of `npm start` as a person uses it: the first visit, a throw-away session, its stories, two languages, any size.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { after, before, describe, type TestContext, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import { type ServerProcess, startServerProcess } from '../server/process.ts'
import { buildConsole, launchBrowser, type Watched, watch } from './browser.ts'

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
const console = join(import.meta.dirname, '../../server/dist/console')
let browser: Browser

before(async () => {
  await buildConsole()
  browser = await launchBrowser()
})
after(() => browser?.close())

interface Visit {
  server: ServerProcess
  page: Page
  watched: Watched
}

async function openServer(t: TestContext, settings: Record<string, string> = {}): Promise<ServerProcess> {
  const server = await startServerProcess({ DAYPASS_LOG: 'debug', ...settings })
  t.after(() => server.remove())
  return server
}

/** A new browser profile with the page open. */
async function visit(t: TestContext, server: ServerProcess, options: BrowserContextOptions = {}): Promise<Visit> {
  const context = await browser.newContext({ locale: 'en-US', ...options })
  t.after(() => context.close())
  context.setDefaultTimeout(20_000)
  const page = await context.newPage()
  const watched = watch(page)
  await page.goto(server.url)
  return { server, page, watched }
}

const click = ({ page }: Visit, testid: string) => page.getByTestId(testid).click()
const sees = ({ page }: Visit, testid: string, hasText?: string | RegExp) =>
  page
    .getByTestId(testid)
    .filter(hasText === undefined ? {} : { hasText })
    .first()
    .waitFor()

/** A person who has clicked "Try it". */
async function tryIt(t: TestContext, settings: Record<string, string> = {}): Promise<Visit> {
  const guest = await visit(t, await openServer(t, settings))
  await click(guest, 'try')
  await sees(guest, 'holder', 'Guest')
  return guest
}

const events = ({ log }: ServerProcess, name: string) => log.filter(({ message }) => message === name)

/** Checks the page as it is now with axe: the rules of WCAG 2.2 A and AA, and best practices. */
async function checkAccess(page: Page, state: string): Promise<void> {
  // Colours are judged when nothing moves.
  await page.waitForFunction(() =>
    document
      .getAnimations()
      .every(
        (one) =>
          one.playState !== 'running' ||
          one.effect?.getTiming().iterations !== 1 ||
          one.effect.getTiming().fill === 'forwards',
      ),
  )
  const violations = await page.evaluate(async (source) => {
    if (!('axe' in globalThis)) new Function(source).call(globalThis)
    const { violations } = await (globalThis as any).axe.run(document, { resultTypes: ['violations'] })
    return violations.map(({ id, nodes }: any) => `${id}: ${nodes.map(({ html }: any) => html).join(' | ')}`)
  }, axe)
  assert.deepEqual(violations, [], state)
}

/** The page is as wide as the window, and not wider. */
async function checkWidth(page: Page, state: string): Promise<void> {
  for (const width of [320, 390, 768, 1280, 1600]) {
    await page.setViewportSize({ width, height: 800 })
    const tooWide = await page.evaluate(
      (width) =>
        document.documentElement.scrollWidth <= width
          ? []
          : [...document.querySelectorAll('body *')]
              .filter((one) => one.getBoundingClientRect().right > width && !one.closest('.log'))
              .map((one) => one.outerHTML.slice(0, 120)),
      width,
    )
    assert.deepEqual(tooWide, [], `${state} in a window of ${width} pixels`)
  }
}

describe('the page of npm start', { timeout: 240_000, concurrency: 4 }, () => {
  test('the first visit says what Daypass is, and Try it signs in without an account or a form', async (t) => {
    const guest = await visit(t, await openServer(t))
    const { page, server } = guest
    assert.match((await page.getByTestId('signed-out').textContent())!, /keeps people signed in/)
    assert.equal(await page.locator('svg[role=img]').count(), 1)
    assert.equal(await page.locator('input').count(), 0)
    await checkAccess(page, 'first visit')
    await checkWidth(page, 'first visit')

    await click(guest, 'try')
    await sees(guest, 'holder', 'Guest')
    await sees(guest, 'lifetime', '10 seconds')
    const [issued, ...more] = events(server, 'issued')
    assert.deepEqual([issued?.clientId, more.length], ['try', 0])
    const { url } = server
    const hasPassword = await page.evaluate(async (url) => (await fetch(`${url}/auth/me`)).status, url)
    assert.equal(hasPassword, 401)

    // It renews by itself.
    await sees(guest, 'renewal-row', 'new token')
    assert.equal(events(server, 'rotated').length, 1)
    await page.reload()
    await sees(guest, 'holder', 'Guest')
    assert.equal(events(server, 'issued').length, 1)
    assert.deepEqual(guest.watched.problems, [])
  })

  test('signed in: every call and every renewal has a row, and the claims are shown without the token', async (t) => {
    const guest = await tryIt(t)
    const { page } = guest
    await click(guest, 'call')
    await sees(guest, 'log-row', '200')
    await click(guest, 'renew')
    await sees(guest, 'renewal-row', 'new token')
    await sees(guest, 'renewals', '1')
    await sees(guest, 'claims', /guest-[\w-]+/)
    await sees(guest, 'claims', 'client_id')
    const headings = await page.locator('.log thead th').allTextContents()
    assert.deepEqual(headings, ['Time', 'Request', 'Answer', 'Took'])
    assert.doesNotMatch(await page.content(), /eyJ[\w-]{10}/)
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' })
      await checkAccess(page, `signed in, ${colorScheme}`)
    }
    // With reduced motion nothing glides: the pass burns down in steps.
    await click(guest, 'renew')
    await sees(guest, 'renewals', '2')
    const easings = await page.evaluate(() => document.getAnimations().map(({ effect }) => effect?.getTiming().easing))
    assert.deepEqual(easings, ['steps(10)'])
    await checkWidth(page, 'signed in')
    assert.deepEqual(guest.watched.problems, [])
  })

  test('without throw-away sessions the first visit is the card, and without registration it only signs in', async (t) => {
    const server = await openServer(t, { DAYPASS_TRY: 'off' })
    const visitor = await visit(t, server)
    await sees(visitor, 'card', 'Create an account')
    assert.equal(await visitor.page.getByTestId('try').isVisible(), false)
    await checkAccess(visitor.page, 'the card')
    await checkWidth(visitor.page, 'the card')
    const closed = await visit(t, await openServer(t, { DAYPASS_REGISTRATION: 'off' }))
    await sees(closed, 'card', 'Sign in')
    assert.equal(await closed.page.getByTestId('show-sign-up').isVisible(), false)
  })

  test('a device that signs in is listed at once, is shown as a notice, gets a name, and is ended', async (t) => {
    const laptop = await visit(t, await openServer(t))
    const phone = await visit(t, laptop.server)
    for (const [device, way] of [
      [laptop, 'show-sign-up'],
      [phone, 'show-sign-in'],
    ] as const) {
      await click(device, way)
      await device.page.getByTestId('email').fill('ada@example.com')
      await device.page.getByTestId('password').fill('correct horse battery')
      await device.page.getByTestId('password').press('Enter')
      await sees(device, 'holder', 'ada@example.com')
    }
    await sees(laptop, 'notice', 'A new device signed in')
    const devices = laptop.page.getByTestId('device')
    await devices.nth(1).waitFor()
    await checkAccess(laptop.page, 'with a notice and an account')
    await click(laptop, 'close-notice')
    await laptop.page.getByTestId('notice').waitFor({ state: 'detached' })

    // By the keyboard alone.
    await laptop.page.getByTestId('rename').nth(1).focus()
    await laptop.page.keyboard.press('Enter')
    await laptop.page.keyboard.type('Ada’s phone')
    await laptop.page.keyboard.press('Enter')
    await devices.filter({ hasText: 'Ada’s phone' }).waitFor()
    await sees(phone, 'device', 'Ada’s phone')

    await click(laptop, 'end')
    await devices.nth(1).waitFor({ state: 'detached' })
    await sees(phone, 'ending', 'This session was ended')
    for (const { watched } of [laptop, phone]) assert.deepEqual(watched.problems, [])
  })

  test('sign out everywhere signs out every device', async (t) => {
    const guest = await tryIt(t)
    const other = await guest.page.context().newPage()
    await other.goto(guest.server.url)
    await other.getByTestId('holder').filter({ hasText: 'Guest' }).waitFor()
    await click(guest, 'everywhere')
    await sees(guest, 'signed-out')
    await other.getByTestId('signed-out').waitFor()
    await sees(guest, 'ending', 'You signed out.')
    assert.deepEqual(guest.watched.problems, [])
  })

  test('a lost response: the server rotated once, the page asked again, and the same token came', async (t) => {
    const guest = await tryIt(t)
    const { page, server } = guest
    await click(guest, 'open-lost-response')
    await click(guest, 'lose')
    await sees(guest, 'lost-steps', /The answer arrived: refresh token (\d+)\. You are still signed in/)
    const steps = (await page.getByTestId('lost-steps').textContent())!
    const numbers = [...steps.matchAll(/refresh token (\d+)/g)].map(([, number]) => number)
    assert.ok(numbers.length >= 3, steps)
    assert.equal(new Set(numbers).size, 1, steps)
    // The server's own log says the same: one rotation made that token, and each repetition got it.
    const [id] = events(server, 'issued').map(({ sessionId }) => sessionId)
    const ofToken = server.log.filter(({ sessionId, generation }) => sessionId === id && `${generation}` === numbers[0])
    const [first, ...rest] = ofToken.map(({ message }) => message)
    assert.equal(first, 'rotated')
    assert.ok(rest.length > 0 && rest.every((message) => message === 'replayed'), String(rest))
    await sees(guest, 'renewal-row', 'no answer')
    await sees(guest, 'status', 'Signed in')
    assert.equal(
      await page
        .getByTestId('story-lost-response')
        .locator('img[alt^=Drawing]')
        .evaluate((image) => (image as HTMLImageElement).naturalWidth > 0),
      true,
    )
    await checkAccess(page, 'lost response')
    await checkWidth(page, 'lost response')
    for (const trouble of ['reused', 'revoked', 'superseded']) assert.deepEqual(events(server, trouble), [], trouble)
    assert.deepEqual(guest.watched.problems, [])
  })

  for (const [first, second] of [
    ['thief', 'phone'],
    ['phone', 'thief'],
  ] as const) {
    test(`a theft: the ${first} refreshes, then the ${second}, and the session ends for both`, async (t) => {
      const guest = await tryIt(t)
      const { page, server } = guest
      // By the keyboard: the button is gone afterwards, and the next one has the focus.
      await page.getByTestId('open-theft').focus()
      await page.keyboard.press('Enter')
      const drawing = page.getByTestId('story-theft').locator('img[alt^=Drawing]')
      await drawing.waitFor()
      await page.getByTestId('phone').focus()
      await page.keyboard.press('Enter')
      await sees(guest, 'theft-state', 'holds token 0')
      assert.equal(await page.evaluate(() => (document.activeElement as HTMLElement).dataset.testid), 'copy')
      await sees(guest, 'notice', 'A new device signed in: Phone')
      await click(guest, 'phone-refreshes')
      await sees(guest, 'theft-state', 'token 0 was traded for token 1')
      assert.equal(await drawing.isVisible(), false)
      await click(guest, 'copy')
      await sees(guest, 'theft-state', 'both hold token 1')
      await click(guest, `${first}-refreshes`)
      await sees(guest, 'theft-state', 'token 1 was traded for token 2')
      await click(guest, `${first}-refreshes`)
      await sees(guest, 'theft-state', 'token 2 was traded for token 3')
      assert.equal(await page.locator('[data-testid^=token-]').count(), 4)
      await click(guest, `${second}-refreshes`)
      await sees(guest, 'theft-state', 'came with token 1, which had been traded before')
      await sees(guest, 'collision', 'used twice: ended')
      await sees(guest, 'mail', 'We ended that session')
      await sees(guest, 'mail', '“Phone”')
      await sees(guest, 'notice', 'A copy of the token of Phone was used')
      await click(guest, `${first}-refreshes`)
      await sees(guest, 'theft-state', 'asked again: the session is over')

      await checkAccess(page, 'theft')
      await checkWidth(page, 'theft')
      assert.equal(events(server, 'reused').length, 1)
      assert.deepEqual(
        events(server, 'revoked').map(({ reason, clientId }) => [reason, clientId]),
        [['reuse', 'try-phone']],
      )
      // The page's own session is another one.
      await click(guest, 'call')
      await sees(guest, 'log-row', '200')
      await page.getByTestId('device').nth(1).waitFor({ state: 'detached' })
      await click(guest, 'theft-again')
      await sees(guest, 'theft-state', 'There is no phone yet.')
      assert.deepEqual(guest.watched.problems, [])
    })
  }

  test('ten calls in each of two tabs, and one refresh for all of them', async (t) => {
    const guest = await tryIt(t)
    const { page, server } = guest
    await click(guest, 'open-two-tabs')
    const [other] = await Promise.all([page.context().waitForEvent('page'), click(guest, 'open-tab')])
    const watched = watch(other)
    await other.getByTestId('holder').filter({ hasText: 'Guest' }).waitFor()
    await sees(guest, 'tabs-state', '2 tabs are open.')
    await click(guest, 'tabs-start')
    await sees(guest, 'tabs-state', /^\d+ calls, 1 refresh, and nobody noticed\.$/)
    const rows = await page.getByTestId('tabs-rows').locator('tr').allTextContents()
    assert.equal(rows.length, 3)
    const cells = await page.getByTestId('tabs-rows').locator('tr:last-child td').allTextContents()
    const [calls = 0, failed, refreshes] = cells.map((text) => Number(text.replaceAll(',', '')))
    assert.ok(calls >= 40 && calls % 10 === 0, `${calls} calls`)
    assert.deepEqual([failed, refreshes], [0, 1])
    await checkAccess(page, 'two tabs')
    await checkWidth(page, 'two tabs')
    for (const trouble of ['reused', 'revoked', 'superseded', 'replayed']) {
      assert.deepEqual(events(server, trouble), [], trouble)
    }
    await other.close()
    await sees(guest, 'tabs-state', 'Only this tab is open.')
    assert.deepEqual([...guest.watched.problems, ...watched.problems], [])
  })

  test('a page that no request leaves is calm, and renews by itself afterwards', async (t) => {
    const guest = await tryIt(t)
    await click(guest, 'open-away')
    await click(guest, 'go-away')
    await sees(guest, 'banner', 'You are still signed in.')
    await sees(guest, 'status', 'Offline')
    await guest.page.getByTestId('away-state').filter({ hasText: 'The server is back' }).waitFor({ timeout: 40_000 })
    await guest.page.getByTestId('banner').waitFor({ state: 'hidden' })
    await sees(guest, 'status', 'Signed in')
    assert.equal(events(guest.server, 'issued').length, 1)
    assert.deepEqual(guest.watched.problems, [])
  })

  test('a server that is away is one calm banner, and the person is still signed in', async (t) => {
    const guest = await tryIt(t)
    const { server, page } = guest
    await server.stop()
    await sees(guest, 'banner', 'The server is away. You are still signed in.')
    await sees(guest, 'status', 'Offline')
    await checkAccess(page, 'away')
    await checkWidth(page, 'away')
    await server.start()
    await sees(guest, 'status', 'Signed in')
    await page.getByTestId('banner').waitFor({ state: 'hidden' })
    assert.equal(events(server, 'issued').length, 1)
    assert.deepEqual(guest.watched.problems, [])
  })

  test('a person whose language is German reads German, with the times of their own locale', async (t) => {
    const guest = await visit(t, await openServer(t), { locale: 'de-AT' })
    await click(guest, 'try')
    await sees(guest, 'holder', 'Gast')
    await sees(guest, 'session-end', /\d{2}\.\d{2}\.\d{4}, \d{2}:\d{2}/)
    assert.equal(await guest.page.locator('html').getAttribute('lang'), 'de')
    await checkAccess(guest.page, 'German')
    await checkWidth(guest.page, 'German')
    await click(guest, 'language')
    await sees(guest, 'holder', 'Guest')
    // The words change, and the person's locale does not.
    await sees(guest, 'session-end', /ends \d{2}\.\d{2}\.\d{4}, \d{2}:\d{2}/)
    assert.deepEqual(guest.watched.problems, [])
  })

  test('the scripts of the page are under 60 kB gzipped, all together', async () => {
    const page = readFileSync(join(console, 'index.html'), 'utf8')
    const scripts = [...page.matchAll(/(?:src|href)="\/?([^"]+\.js)"/g)].map(([, path]) => path!)
    assert.ok(scripts.length > 0, 'the scripts are found')
    const bytes = scripts.reduce((sum, path) => sum + gzipSync(readFileSync(join(console, path))).length, 0)
    assert.ok(bytes < 60_000, `${bytes} bytes`)
  })
})
