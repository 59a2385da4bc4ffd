// Hints on the console for set-ups that only a browser can detect as broken.

import assert from 'node:assert/strict'
import { after, before, describe, type TestContext, test } from 'node:test'
import type { Browser } from 'playwright-core'
import { startDaypass } from '../client/daypass-server.ts'
import { launchBrowser } from './browser.ts'
import { buildClientPage, openContext } from './open-client.ts'

let browser: Browser
let script: string

before(async () => {
  script = await buildClientPage()
  browser = await launchBrowser({ args: ['--host-resolver-rules=MAP *.test 127.0.0.1'] })
})
after(() => browser?.close())

/** A page at `pageUrl` whose client signs in at `baseUrl`, reloads and refreshes. Returns the warnings of the page. */
async function signIn(
  t: TestContext,
  pageUrl: (url: string) => string,
  baseUrl: (url: string) => string,
  origins?: string,
) {
  const { server, context } = await openContext(t, browser, script)
  const api = await startDaypass(t, { origins: origins ? [new URL(pageUrl(server.url)).origin] : [] })
  const page = await context.newPage()
  const lines: string[] = []
  page.on('console', (message) => {
    if (message.text().startsWith('daypass: ')) lines.push(message.text())
  })
  const url = baseUrl(origins === undefined ? server.url : api.url)
  for (let i = 0; i < 2; i++) {
    await page.goto(pageUrl(server.url))
    await page.evaluate(
      async ([url, i]) => {
        const client = globalThis.page.createClient({ baseUrl: url })
        const call = i === 0 ? client.signIn({ password: 'right' }) : client.getAccessToken()
        await call.catch(() => {})
      },
      [url, i] as const,
    )
  }
  for (const end = performance.now() + 5000; lines.length === 0 && performance.now() < end; ) {
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  return { lines, page }
}

describe('hints in a real Chromium', { timeout: 120_000 }, () => {
  test('a baseUrl that is no URL, or a host without a scheme: an error and a hint, and nothing is sent', async (t) => {
    const { server, context } = await openContext(t, browser, script)
    const page = await context.newPage()
    const lines: string[] = []
    page.on('console', (message) => lines.push(message.text()))
    await page.goto(server.url)
    const { host } = new URL(server.url)
    const wrong = [
      'https://api:99999/auth',
      'http:///',
      'api.example.test/auth',
      host,
      `${host}/auth`,
      'localhost/auth',
    ]
    wrong.push('http:/auth', 'http:auth', 'auth', ' /auth')
    for (const baseUrl of wrong) {
      server.seen.length = lines.length = 0
      const codes = await page.evaluate(async (baseUrl) => {
        const client = globalThis.page.createClient({ baseUrl })
        const calls = [
          client.signIn({ password: 'right' }),
          client.getAccessToken(),
          client.getAccessToken({ forceFresh: true }),
          client.signOut(),
        ]
        client.subscribe(() => {})
        return Promise.all(
          calls.map((call) =>
            call.then(
              () => 'sent',
              ({ code }) => code as string,
            ),
          ),
        )
      }, baseUrl)
      assert.deepEqual(codes, Array(4).fill('ERR_OPTION_INVALID'), baseUrl)
      assert.deepEqual(server.seen, [], baseUrl)
      assert.match(lines.join('\n'), /^daypass: \w+ of baseUrl .* is no whole URL: write https:\/\/…/, baseUrl)
      assert.equal(new Set(lines).size, lines.length, 'each is given once')
    }
    for (const baseUrl of ['/auth', './auth', '../auth', `${server.url}/auth`, `//${host}/auth//`]) {
      const status = await page.evaluate(async (baseUrl) => {
        const client = globalThis.page.createClient({ baseUrl })
        await client.signIn({ password: 'right' })
        return client.getSession().status
      }, baseUrl)
      assert.equal(status, 'signed-in', baseUrl)
    }
  })

  test('http on an address of the network: the cookie does not come back', async (t) => {
    const lan = (url: string) => url.replace('localhost', 'lan.test')
    const { lines } = await signIn(t, lan, () => '/auth')
    assert.equal(lines.length, 1, lines.join('\n'))
    assert.match(lines[0]!, /The cookie of the sign-in did not come back: use https/)
  })

  test('a page of another site, though its origin is listed: the cookie does not come back', async (t) => {
    const { lines } = await signIn(
      t,
      (url) => url.replace('localhost', 'other.test'),
      (url) => `${url}/auth`,
      'listed',
    )
    assert.equal(lines.length, 1, lines.join('\n'))
    assert.match(lines[0]!, /The cookie of the sign-in did not come back: .*one site/)
  })

  test('a page whose origin is not listed', async (t) => {
    const { lines } = await signIn(
      t,
      (url) => url,
      (url) => `${url}/auth`,
      '',
    )
    assert.match(lines[0]!, /\/auth\/login refuses pages of http:\/\/localhost:\d+: list that in the server's origins/)
  })

  test('the first refresh of a page of the server’s own gets no answer: no warning', async (t) => {
    const { server, context } = await openContext(t, browser, script)
    const page = await context.newPage()
    const lines: string[] = []
    page.on('console', (message) => {
      if (message.text().startsWith('daypass: ')) lines.push(message.text())
    })
    await page.goto(server.url)
    await page.route('**/auth/refresh', (route) => route.abort(), { times: 1 })
    const status = await page.evaluate(async () => {
      const client = globalThis.page.createClient({ baseUrl: '/auth' })
      await client.signIn({ password: 'right' })
      await client.getAccessToken({ forceFresh: true })
      // A hint is given after one more request to the same address.
      await fetch('/auth/refresh', { mode: 'no-cors' })
      return client.getSession().status
    })
    assert.equal(status, 'signed-in')
    assert.deepEqual(lines, [])
  })

  test('on localhost, signed in and reloaded: no warning', async (t) => {
    const { lines } = await signIn(
      t,
      (url) => url,
      () => '/auth',
    )
    assert.deepEqual(lines, [])
  })
})
