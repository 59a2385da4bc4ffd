// The third tutorial done right, in a real Chromium: it does what the tutorial promised.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Route } from 'playwright-core'
import { launchBrowser } from '../../test/browser/browser.ts'
import { createApp } from './server.ts'

test('a 401 is met, the session refreshed once, the original request replayed; script never sees the cookie', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'daypass-example-'))
  const secret = randomBytes(32).toString('base64url')
  const { app, auth } = createApp({ secret, database: join(folder, 'sessions.db') })
  const server = app.listen(0)
  await new Promise((resolve) => server.once('listening', resolve))
  const browser = await launchBrowser()
  try {
    const page = await browser.newPage()
    const calls: string[] = []
    page.on('response', (response) => {
      if (response.request().method() === 'POST') calls.push(`${response.status()} ${new URL(response.url()).pathname}`)
    })
    await page.goto(`http://localhost:${(server.address() as AddressInfo).port}/`)
    const log = page.locator('#log')
    const click = async (button: string, expected: RegExp) => {
      await page.click(`#${button}`)
      await log.filter({ hasText: expected }).waitFor({ timeout: 10_000 })
    }
    await click('sign-in', /sign-in: "ada"/)
    await click('save', /save: \{"by":"ada","note":"buy milk"\}/)
    assert.equal(await page.evaluate('document.cookie'), '')

    // The server rejects the access token once. The page could not know that it is no longer good.
    const refuse = async (route: Route) => {
      const headers = { ...route.request().headers(), authorization: 'Bearer expired.access.token' }
      await route.continue({ headers })
    }
    await page.route('**/api/notes', refuse, { times: 1 })
    calls.length = 0
    await click('save', /save: .*\nsave: \{"by":"ada","note":"buy milk"\}/)
    assert.deepEqual(calls, ['401 /api/notes', '200 /auth/refresh', '201 /api/notes'])

    await click('sign-out', /sign-out/)
    await click('save', /status code 401/)

    const expires = async () => (await page.context().cookies()).map((cookie) => cookie.expires)
    await page.uncheck('#remember-me')
    await click('sign-in', /status code 401\nsign-in: "ada"/)
    assert.deepEqual(await expires(), [-1], 'the cookie ends with the browser')
    await page.check('#remember-me')
    await click('sign-in', /sign-in: "ada"\nsign-in: "ada"/)
    assert.ok((await expires())[0]! > Date.now() / 1000)
  } finally {
    await browser.close()
    server.close()
    server.closeAllConnections()
    await auth.close()
    rmSync(folder, { recursive: true })
  }
})
