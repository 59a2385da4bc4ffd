// Sign-in at a real OpenID provider on another site, in a real Chromium.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, type TestContext, test } from 'node:test'
import type { Browser, Page } from 'playwright-core'
import { launchBrowser } from '../../test/browser/browser.ts'
import { startProvider } from '../../test/browser/openid-provider.ts'
import { createApp } from './server.ts'

let browser: Browser
before(async () => {
  browser = await launchBrowser({
    args: ['--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1'],
  })
})
after(() => browser?.close())

async function start(t: TestContext, sameSite: 'strict' | 'lax') {
  const folder = mkdtempSync(join(tmpdir(), 'daypass-example-'))
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const origin = `http://localhost:${(server.address() as AddressInfo).port}`
  const { configuration: provider, issuer } = await startProvider(t, origin)
  const secret = randomBytes(32).toString('base64url')
  const { app, auth } = createApp({ origin, secret, database: join(folder, 'sessions.db'), provider, sameSite })
  server.on('request', app)
  const context = await browser.newContext()
  context.setDefaultTimeout(20_000)
  t.after(async () => {
    await context.close()
    server.close()
    server.closeAllConnections()
    await auth.close()
    rmSync(folder, { recursive: true })
  })
  const page = await context.newPage()
  return { origin, issuer, auth, context, page }
}

/** Signs in at the provider's own page, by hand. */
async function signInAtProvider(page: Page, name: string) {
  await page.fill('input[name=login]', name)
  await page.fill('input[name=password]', 'anything')
  await page.click('button[type=submit]')
  await page.getByRole('button', { name: 'Continue' }).click()
}

const says = (page: Page, text: string) => page.locator('#who').filter({ hasText: text }).waitFor()

for (const sameSite of ['lax', 'strict'] as const) {
  test(`SameSite=${sameSite}: to the provider and back, a call, a reload, a sign-out, and again as somebody else`, async (t) => {
    const { origin, issuer, auth, page, context } = await start(t, sameSite)
    const answers: string[] = []
    page.on('response', async (response) => {
      if (new URL(response.url()).pathname === '/callback') {
        answers.push(`${response.status()} ${await response.headerValue('location')}`)
      }
    })
    await page.goto(origin)
    await says(page, 'Nobody is signed in')
    await page.click('#login')
    assert.ok(page.url().startsWith(issuer), page.url())
    // The first paint after the sign-in is the server's.
    const firstPaint = page.waitForResponse((response) => response.url() === `${origin}/`)
    await signInAtProvider(page, 'ada')
    const html = await (await firstPaint).text()
    assert.equal(
      html.includes('Hello ada of the provider'),
      sameSite === 'lax',
      'strict: no cookie with this page load',
    )
    await says(page, 'Hello ada of the provider')
    assert.equal(page.url(), `${origin}/`)
    assert.deepEqual(answers, ['303 /'])
    await page.locator('#me').filter({ hasText: '{"subject":"ada","name":"ada of the provider"}' }).waitFor()
    assert.equal(await page.evaluate('document.cookie'), '')

    await page.goto(origin)
    await says(page, 'Hello ada of the provider')
    const cookies = (await context.cookies(origin)).filter(({ name }) => name.includes('daypass'))
    assert.deepEqual(
      cookies.map(({ name, httpOnly }) => [name, httpOnly]),
      [[`daypass-${new URL(origin).port}`, true]],
    )

    // The browser remembers the sign-out, and finds the next sign-in all the same.
    await page.click('#logout')
    await says(page, 'Nobody is signed in')
    assert.deepEqual(await auth.sessions('ada'), [])
    await page.click('#login')
    await says(page, 'Hello ada of the provider') // the provider knows the browser
    assert.equal((await auth.sessions('ada')).length, 1)

    // Somebody else signs in over her.
    await context.clearCookies({ domain: '127.0.0.1' })
    await page.click('#login')
    await signInAtProvider(page, 'bob')
    await says(page, 'Hello bob of the provider')
    assert.equal((await auth.sessions('bob')).length, 1)
    // A strict cookie does not come with the callback, so her session ends by its timeouts.
    assert.equal((await auth.sessions('ada')).length, sameSite === 'lax' ? 0 : 1)
  })
}

test('a callback that another browser began signs nobody in', async (t) => {
  const { origin, page, context, auth } = await start(t, 'lax')
  await page.goto(`${origin}/login`)
  await page.fill('input[name=login]', 'mallory')
  await page.fill('input[name=password]', 'anything')
  await page.click('button[type=submit]')
  await page.getByRole('button', { name: 'Continue' }).waitFor()
  // Mallory stops before the callback, and keeps its address.
  let address = await page.evaluate<string>('document.forms[0].action')
  let options: { method: string; form?: { prompt: string } } = { method: 'POST', form: { prompt: 'consent' } }
  while (!address.startsWith(`${origin}/callback`)) {
    const response = await context.request.fetch(address, { ...options, maxRedirects: 0 })
    address = new URL(response.headers().location!, address).href
    options = { method: 'GET' }
  }
  // A HEAD with the right `state`, as from a scanner of links, begins no session and uses up nothing.
  assert.equal((await context.request.fetch(address, { method: 'HEAD', maxRedirects: 0 })).status(), 405)
  assert.deepEqual(await auth.sessions('mallory'), [])
  await context.clearCookies()
  const victim = await context.newPage()
  t.mock.method(console, 'error', () => {})
  await victim.goto(address)
  assert.equal(victim.url(), `${origin}/?failed`)
  await says(victim, 'Nobody is signed in')
  assert.deepEqual(await auth.sessions('mallory'), [])
})

test('`next` leads to a page of this server, and never elsewhere', async (t) => {
  const { origin, page } = await start(t, 'lax')
  for (const [next, leadsTo] of [
    ['/?tab=2', '/?tab=2'],
    ['//evil.test', '/'],
    ['https://evil.test', '/'],
  ] as const) {
    await page.goto(`${origin}/login?next=${encodeURIComponent(next)}`)
    if (!page.url().startsWith(origin)) await signInAtProvider(page, 'ada')
    await page.waitForURL(`${origin}${leadsTo}`)
    await says(page, 'Hello ada of the provider')
  }
})

test('over https the cookie of the attempt is __Host-: no other host of the site can plant one', async (t) => {
  const { configuration: provider } = await startProvider(t, 'https://app.test')
  const secret = randomBytes(32).toString('base64url')
  const { app, auth } = createApp({ origin: 'https://app.test', secret, database: ':memory:', provider })
  const server = createServer(app).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(async () => {
    server.close()
    await auth.close()
  })
  const { port } = server.address() as AddressInfo
  const answer = await fetch(`http://127.0.0.1:${port}/login`, { redirect: 'manual' })
  const [cookie = ''] = answer.headers.getSetCookie()
  assert.match(cookie, /^__Host-attempt=[^;]+;/)
  for (const attribute of ['Path=/', 'HttpOnly', 'Secure', 'SameSite=Lax'])
    assert.ok(cookie.split('; ').includes(attribute))
  assert.doesNotMatch(cookie, /Domain/i)
})
