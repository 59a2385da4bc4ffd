// "Stay signed in" in a real browser that is closed and opened again with the same profile.

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { before, describe, type TestContext, test } from 'node:test'
import type { BrowserContext, Page } from 'playwright-core'
import { startServerProcess } from '../server/process.ts'
import { buildConsole, launchProfile, watch } from './browser.ts'

const email = 'ada@example.com'
const password = 'correct horse battery'

/** The console in a browser whose profile lasts as long as the test. */
async function openProfile(t: TestContext) {
  const server = await startServerProcess({ DAYPASS_ACCESS_TOKEN_LIFETIME: '2' })
  const folder = mkdtempSync(join(tmpdir(), 'daypass-profile-'))
  let context: BrowserContext | undefined
  t.after(async () => {
    await context?.close()
    await server.remove()
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
  })
  return {
    async open() {
      context = await launchProfile(folder)
      context.setDefaultTimeout(20_000)
      const page = await context.newPage()
      const { problems } = watch(page)
      await page.goto(server.url)
      return { page, problems, context }
    },
    async close() {
      await context?.close()
      context = undefined
    },
  }
}

const seesHolder = (page: Page) => page.getByTestId('holder').filter({ hasText: email }).waitFor()

async function signUp(page: Page, isRemembered: boolean): Promise<void> {
  await page.getByTestId('show-sign-up').click()
  await page.getByTestId('email').fill(email)
  await page.getByTestId('password').fill(password)
  assert.equal(await page.getByTestId('remember-me').isChecked(), true)
  await page.getByTestId('remember-me').setChecked(isRemembered)
  await page.getByTestId('submit').click()
  await seesHolder(page)
}

describe('a browser that is closed and opened again', { timeout: 120_000 }, () => {
  before(buildConsole)

  test('ticked: signed in, and the sessions go on', async (t) => {
    const profile = await openProfile(t)
    const first = await profile.open()
    await signUp(first.page, true)
    await profile.close()
    const second = await profile.open()
    await seesHolder(second.page)
    await second.page.getByTestId('call').click()
    await second.page.getByTestId('answered').filter({ hasText: '1' }).waitFor()
    assert.deepEqual([...first.problems, ...second.problems], [])
  })

  for (const refreshes of [0, 2]) {
    test(`not ticked: signed out, after ${refreshes} refreshes`, async (t) => {
      const profile = await openProfile(t)
      const first = await profile.open()
      await signUp(first.page, false)
      for (let count = 0; count < refreshes; count++) {
        await first.page.waitForResponse((response) => response.ok() && response.url().endsWith('/auth/refresh'))
      }
      if (refreshes > 0) {
        // The browser is still open, so a reload keeps the person signed in.
        await first.page.reload()
        await seesHolder(first.page)
      }
      const cookies = await first.context.cookies()
      assert.deepEqual(
        cookies.map(({ expires }) => expires),
        [-1],
        'the session’s cookie alone, without an end of its own',
      )
      await profile.close()
      const second = await profile.open()
      await second.page.getByTestId('signed-out').waitFor()
      // No hint that the set-up is wrong: the cookie was meant to go.
      assert.deepEqual([...first.problems, ...second.problems], [])
    })
  }
})
