// `npm run screenshots`: makes the pictures of the page in docs/images, in a real Chromium against a real server.
//
// `npm run screenshots -- theft` makes only those whose name has this word.

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import { buildConsole, launchBrowser } from '../test/browser/browser.ts'
import { startServerProcess } from '../test/server/process.ts'

const folder = join(import.meta.dirname, '../docs/images')
const [, , only = ''] = process.argv

const seen = (page: Page, testid: string, hasText?: string | RegExp) =>
  page
    .getByTestId(testid)
    .filter(hasText === undefined ? {} : { hasText })
    .first()
    .waitFor()
const click = (page: Page, testid: string) => page.getByTestId(testid).click()

/** Each picture, and the way to it. */
const pictures: Record<string, (page: Page) => Promise<void>> = {
  async 'first-visit'(page) {
    await seen(page, 'try')
  },
  async 'signed-in'(page) {
    await click(page, 'try')
    await click(page, 'call-ten')
    await seen(page, 'log-row')
    await click(page, 'renew')
    await seen(page, 'renewal-row')
    await click(page, 'call')
    await seen(page, 'claims', 'sub')
    await moveAway(page)
  },
  async 'lost-response'(page) {
    await click(page, 'try')
    await click(page, 'open-lost-response')
    await click(page, 'lose')
    await seen(page, 'lost-steps', 'The answer arrived')
    await moveAway(page)
  },
  async theft(page) {
    await click(page, 'try')
    await click(page, 'open-theft')
    for (const step of ['phone', 'phone-refreshes', 'copy', 'thief-refreshes', 'thief-refreshes', 'phone-refreshes']) {
      await click(page, step)
    }
    await seen(page, 'mail')
    await seen(page, 'notice', 'A copy of the token')
    await moveAway(page)
  },
}

/** Takes the pointer from the button that it clicked, and waits until the colours are those of no pointer. */
async function moveAway(page: Page): Promise<void> {
  await page.mouse.move(0, 0)
  await page.waitForTimeout(600)
}

mkdirSync(folder, { recursive: true })
await buildConsole()
const server = await startServerProcess()
const browser = await launchBrowser()
try {
  for (const [name, show] of Object.entries(pictures)) {
    if (!name.includes(only)) continue
    for (const width of [1280, 390]) {
      for (const colorScheme of ['light', 'dark'] as const) {
        const context = await browser.newContext({
          viewport: { width, height: width === 390 ? 844 : 800 },
          colorScheme,
          reducedMotion: 'reduce',
          deviceScaleFactor: 1,
        })
        const page = await context.newPage()
        await page.goto(server.url)
        await show(page)
        // As tall as the page, so that what stands at the bottom of the window stands at the bottom of the picture.
        const height = await page.evaluate(() => document.documentElement.scrollHeight)
        await page.setViewportSize({ width, height })
        await page.screenshot({ path: join(folder, `${name}-${width}-${colorScheme}.png`), fullPage: true })
        await context.close()
      }
    }
  }
} finally {
  await browser.close()
  await server.remove()
}
