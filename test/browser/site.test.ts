// The built site of the documentation in a real Chromium, without any other host: pages, drawings and the search.

import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { extname, join } from 'node:path'
import { test } from 'node:test'
import { listen } from '../http/server.ts'
import { launchBrowser, watch } from './browser.ts'

const dist = join(import.meta.dirname, '../../docs/.vitepress/dist')
const isBuilt = existsSync(join(dist, 'index.html'))
// `.ci/run` builds it before the tests.
const skip = isBuilt || process.env.CI ? false : 'not run: the site is not built (npm run docs)'

const types: Record<string, string> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
}

/** Serves the built site as any server of files does. */
const serveSite = () =>
  listen((request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://site')
    const file = join(dist, decodeURIComponent(pathname.endsWith('/') ? `${pathname}index.html` : pathname))
    if (!existsSync(file)) return response.writeHead(404).end()
    response.writeHead(200, { 'content-type': types[extname(file)] ?? 'application/octet-stream' })
    response.end(readFileSync(file))
  })

const pages = ['', 'start.html', 'how-it-works.html', 'options.html', 'comparison.html', 'reference/daypass.html']

test('the site works without another host, on a phone and a desk, and its search finds a page', {
  skip,
  timeout: 120_000,
}, async (t) => {
  const { origin, close } = await serveSite()
  t.after(close)
  const browser = await launchBrowser()
  t.after(() => browser.close())
  for (const [width, colorScheme] of [
    [390, 'dark'],
    [1280, 'light'],
  ] as const) {
    const context = await browser.newContext({ viewport: { width, height: 850 }, colorScheme })
    const foreign: string[] = []
    await context.route(
      (url) => url.origin !== origin,
      (route) => {
        foreign.push(route.request().url())
        return route.abort()
      },
    )
    const tab = await context.newPage()
    const { problems, refusals } = watch(tab)
    for (const page of pages) {
      await tab.goto(`${origin}/${page}`)
      await tab.locator('h1').first().waitFor()
      const { overflow, broken } = await tab.evaluate(() => ({
        overflow: document.documentElement.scrollWidth - window.innerWidth,
        broken: [...document.images].filter(({ complete, naturalWidth }) => complete && naturalWidth === 0).length,
      }))
      assert.ok(overflow <= 0, `${page} is ${overflow} pixels wider than ${width}`)
      assert.equal(broken, 0, `pictures of ${page}`)
    }
    await tab.locator('.VPNavBarSearch button').first().click()
    await tab.locator('.VPLocalSearchBox input').fill('lost response')
    const found = tab.locator('.VPLocalSearchBox .result', { hasText: 'A response is lost' }).first()
    await found.click()
    await tab.waitForURL('**/how-it-works.html#a-response-is-lost')
    // A page that is left cancels what it was fetching ahead.
    const failed = refusals.filter((refusal) => !refusal.startsWith('net::ERR_ABORTED'))
    assert.deepEqual({ problems, failed, foreign }, { problems: [], failed: [], foreign: [] })
    await context.close()
  }
})
