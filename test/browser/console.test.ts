// The console in a real browser: a person stays signed in through expiries, restarts, reloads and a second tab.

import assert from 'node:assert/strict'
import { after, before, describe, type TestContext, test } from 'node:test'
import type { Browser, BrowserContext, Page } from 'playwright-core'
import { post, type ServerProcess, startServerProcess } from '../server/process.ts'
import { buildConsole, launchBrowser, type Watched, watch } from './browser.ts'

const lifetime = 2
const password = 'correct horse battery'
let browser: Browser

before(async () => {
  await buildConsole()
  browser = await launchBrowser()
})
after(() => browser?.close())

/** A server for one test, so that its log contains that test's events only. */
async function openServer(t: TestContext): Promise<ServerProcess> {
  const settings = { DAYPASS_ACCESS_TOKEN_LIFETIME: String(lifetime), DAYPASS_LOG: 'debug' }
  const server = await startServerProcess(settings)
  t.after(() => server.remove())
  return server
}

/** A tab with the console. */
interface Tab {
  page: Page
  watched: Watched
}

async function openTab(context: BrowserContext, { url }: ServerProcess): Promise<Tab> {
  const page = await context.newPage()
  const watched = watch(page)
  await page.goto(url)
  return { page, watched }
}

/** A new, empty browser context with the console open. */
async function openBrowser(t: TestContext, server: ServerProcess): Promise<Tab & { context: BrowserContext }> {
  const context = await browser.newContext()
  t.after(() => context.close())
  context.setDefaultTimeout(20_000)
  return { context, ...(await openTab(context, server)) }
}

async function submit({ page }: Tab, email: string, secret = password): Promise<void> {
  await page.getByTestId('email').fill(email)
  await page.getByTestId('password').fill(secret)
  await page.getByTestId('password').press('Enter')
}

async function signUp(tab: Tab, email: string): Promise<void> {
  await tab.page.getByTestId('show-sign-up').click()
  await submit(tab, email)
  await seesPass(tab, email)
}

async function signIn(tab: Tab, email: string, secret = password): Promise<void> {
  await tab.page.getByTestId('show-sign-in').click()
  await submit(tab, email, secret)
}

const seesPass = ({ page }: Tab, email: string) => page.getByTestId('holder').filter({ hasText: email }).waitFor()
const seesCard = ({ page }: Tab) => page.getByTestId('signed-out').waitFor()
const seesText = ({ page }: Tab, testid: string, hasText: string | RegExp) =>
  page.getByTestId(testid).filter({ hasText }).waitFor()
const readNumber = async ({ page }: Tab, testid: string) =>
  Number((await page.getByTestId(testid).textContent())!.replaceAll(',', ''))

/** Waits until a condition in another process holds. */
async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = Date.now() + 20_000; Date.now() < end; await pause(50)) if (await holds()) return
  assert.fail(`It never came to this: ${what}`)
}

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds))

/** The events of one name that a server has logged so far. */
const events = ({ log }: ServerProcess, name: string) => log.filter(({ message }) => message === name)

const claimsOf = (token: string) => JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString())

const isDevice = ({ name }: { name: string }) => name === 'daypass-device'
const deviceCookies = async (context: BrowserContext) => (await context.cookies()).filter(isDevice)
const sessionCookies = async (context: BrowserContext) =>
  (await context.cookies()).filter((cookie) => !isDevice(cookie))

describe('the console in a real Chromium', { timeout: 150_000, concurrency: 3 }, () => {
  test('ten calls at once for 20 seconds: none fails, and every expiry costs one refresh', async (t) => {
    const server = await openServer(t)
    t.diagnostic(`engine: Chromium ${browser.version()}`)
    const tab = await openBrowser(t, server)
    const { page, context, watched } = tab
    /** The expiry of each access token, in the order of arrival. */
    const expiries: number[] = []
    let refreshes = 0
    page.on('request', (request) => {
      if (request.url().endsWith('/auth/refresh')) refreshes++
    })
    page.on('response', async (response) => {
      if (!/\/auth\/(register|refresh)$/.test(response.url()) || !response.ok()) return
      // The browser may have dropped the body, for one when the page is closed. Then the instant of the rotation counts.
      const body = await response.json().catch(() => {})
      expiries.push(body ? claimsOf(body.accessToken).exp * 1000 : Infinity)
    })
    const email = 'twenty-seconds@example.com'
    await seesCard(tab)
    await signUp(tab, email)
    refreshes = 0 // the first visit sends a refresh too
    await page.getByTestId('keep-calling').check()
    await pause(20_000)
    await page.getByTestId('keep-calling').uncheck()

    const answered = await readNumber(tab, 'answered')
    assert.equal(await readNumber(tab, 'failed'), 0)
    assert.ok(answered >= 100 && answered % 10 === 0, `${answered} calls`)

    // The page also refreshes without calls, so the count keeps growing. Read both sides until they agree.
    await until(
      'page and server agree',
      async () => (await readNumber(tab, 'renewals')) === events(server, 'rotated').length,
    )
    const rotations = events(server, 'rotated')
    assert.ok(rotations.length >= Math.floor(20 / lifetime) - 1, `${rotations.length} refreshes`)
    const came = [...events(server, 'issued'), ...rotations].map(({ at }) => at as number)
    for (const [i, { at }] of rotations.entries()) {
      // The client refreshes when a tenth is left, or when a call is rejected: never earlier, so never twice for one expiry.
      const end = Math.min(expiries[i]!, came[i]! + lifetime * 900)
      assert.ok((at as number) >= end - 20, `refresh ${i + 1} came ${end - (at as number)} ms before the token's end`)
    }
    assert.equal(refreshes, rotations.length)
    for (const trouble of ['replayed', 'retried', 'superseded', 'reused', 'revoked', 'request failed']) {
      assert.deepEqual(events(server, trouble), [], trouble)
    }
    t.diagnostic(`${answered} calls, ${rotations.length} refreshes`)

    await t.test('the refresh token is not readable from script', async () => {
      const readable = await page.evaluate(async () =>
        JSON.stringify([
          document.cookie,
          { ...localStorage },
          { ...sessionStorage },
          await indexedDB.databases(),
          await caches.keys(),
          document.documentElement.outerHTML,
        ]),
      )
      assert.doesNotMatch(readable, /dpr_/)
      assert.doesNotMatch(readable, /eyJ[\w-]{10}/, 'not even an access token is kept or shown whole')
      const bodies = (await Promise.all(watched.bodies)).join('\n')
      assert.match(bodies, /"accessToken":"eyJ/)
      assert.doesNotMatch(bodies, /dpr_/)
      // The other cookie marks this browser as one that has signed in before.
      const [[cookie, ...more], [device]] = [await sessionCookies(context), await deviceCookies(context)]
      assert.deepEqual(more, [])
      assert.deepEqual([device!.httpOnly, device!.sameSite], [true, 'Strict'])
      assert.match(cookie!.value, /^dpr_/)
      assert.deepEqual([cookie!.httpOnly, cookie!.sameSite], [true, 'Strict'])
    })

    await t.test('a reload keeps the person signed in', async () => {
      await page.reload()
      await seesPass(tab, email)
      await page.getByTestId('call').click()
      await seesText(tab, 'answered', '1')
      assert.equal(events(server, 'issued').length, 1)
    })
    assert.deepEqual(watched.problems, [])
  })

  test('signing out also signs out the other tab, at its next call', async (t) => {
    const server = await openServer(t)
    const one = await openBrowser(t, server)
    await signUp(one, 'two-tabs@example.com')
    const two = await openTab(one.context, server)
    await seesPass(two, 'two-tabs@example.com')
    await two.page.getByTestId('keep-calling').check()
    await until('the other tab calls', async () => (await readNumber(two, 'answered')) >= 10)

    await one.page.getByTestId('sign-out').click()
    await Promise.all([seesCard(one), seesCard(two)])
    await seesText(two, 'ending', 'You signed out.')
    await until('the server knows', () => events(server, 'revoked').length > 0)
    assert.deepEqual(await sessionCookies(one.context), [])
    await two.page.reload()
    await seesCard(two)
    assert.equal(events(server, 'issued').length, 1)
    assert.deepEqual([...one.watched.problems, ...two.watched.problems], [])
  })

  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    test(`a server that restarts between calls (${signal}) signs nobody out`, async (t) => {
      const server = await openServer(t)
      const tab = await openBrowser(t, server)
      await signUp(tab, `${signal}@example.com`)
      await tab.page.getByTestId('keep-calling').check()
      await until('the page calls', async () => (await readNumber(tab, 'answered')) >= 10)

      await server.stop(signal)
      await seesText(tab, 'status', 'Offline')
      await server.start()

      await seesText(tab, 'status', 'Signed in')
      const before = await readNumber(tab, 'answered')
      const failed = await readNumber(tab, 'failed')
      await until('calls are answered again', async () => (await readNumber(tab, 'answered')) >= before + 20)
      assert.equal(await readNumber(tab, 'failed'), failed)
      assert.equal(events(server, 'issued').length, 1)
      assert.deepEqual([...events(server, 'revoked'), ...events(server, 'reused')], [])
      assert.deepEqual(tab.watched.problems, [])
    })
  }

  test('a person lists their devices, ends one, and changes the password, which ends the others', async (t) => {
    const server = await openServer(t)
    const email = 'devices@example.com'
    const laptop = await openBrowser(t, server)
    await signUp(laptop, email)
    const [phone, tablet] = await Promise.all([openBrowser(t, server), openBrowser(t, server)])
    for (const device of [phone, tablet]) {
      await signIn(device, email)
      await seesPass(device, email)
    }

    const devices = phone.page.getByTestId('device')
    await phone.page.reload()
    await until('three devices are listed', async () => (await devices.count()) === 3)
    assert.match((await devices.first().textContent())!, /Chrome on .+this device.*127\.0\.0\.1 /s)
    await tablet.page.getByTestId('keep-calling').check()
    // The other two are the tablet, which signed in last, and the laptop; one of them is ended here.
    await phone.page.getByTestId('end').first().click()
    await until('two devices are left', async () => (await devices.count()) === 2)

    await phone.page.getByTestId('open-password').click()
    await phone.page.getByTestId('current').fill('not my password')
    await phone.page.getByTestId('next').fill('another horse entirely')
    await phone.page.getByTestId('change-password').click()
    await seesText(phone, 'password-problem', /current password/)
    await phone.page.getByTestId('current').fill(password)
    await phone.page.getByTestId('change-password').click()
    await seesText(phone, 'password-success', 'Changed')
    await until('one device is left', async () => (await devices.count()) === 1)
    for (const device of [laptop, tablet]) {
      await seesCard(device)
      await seesText(device, 'ending', 'This session was ended')
    }
    await signIn(laptop, email)
    await seesText(laptop, 'problem', 'E-mail and password do not match.')
    await signIn(laptop, email, 'another horse entirely')
    await seesPass(laptop, email)
    for (const device of [laptop, phone, tablet]) assert.deepEqual(device.watched.problems, [])
  })

  test('a sign-in that fails shows the reason and what to do', async (t) => {
    const server = await openServer(t)
    const email = 'mistakes@example.com'
    const tab = await openBrowser(t, server)
    await tab.page.getByTestId('show-sign-up').click()
    await submit(tab, 'mistakes', 'short')
    await seesText(tab, 'email-problem', 'Enter your e-mail address')
    await seesText(tab, 'password-problem', '8 characters or more')
    await signUp(tab, email)
    await tab.page.getByTestId('sign-out').click()
    await signIn(tab, email, 'not my password')
    await seesText(tab, 'problem', 'E-mail and password do not match.')

    const guess = { email, password: 'a guess', transport: 'body' }
    await Promise.all(Array.from({ length: 12 }, () => post(`${server.url}/auth/login`, guess)))
    await signIn(tab, email)
    await seesPass(tab, email)
    await tab.page.getByTestId('sign-out').click()
    await seesCard(tab)
    // Wrong tries from elsewhere do not count against this browser.
    await tab.page.evaluate(async (guess) => {
      const options = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(guess) }
      for (let n = 0; n < 10; n++) await fetch('/auth/login', options)
    }, guess)
    await signIn(tab, email)
    await seesText(tab, 'problem', /Too many tries\. Wait [\d.]+ minutes/)
    assert.deepEqual(tab.watched.problems, [])
  })
})
