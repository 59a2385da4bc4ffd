// All scenarios hold in a real Chromium: through fetch, axios and React, with the refresh token in its cookie.

import { after, before, describe, test } from 'node:test'
import type { Browser } from 'playwright-core'
import { scenarios } from '../client/scenarios.ts'
import { launchBrowser } from './browser.ts'
import { buildClientPage, openContext, openPage } from './open-client.ts'

let browser: Browser
let script: string

before(async () => {
  script = await buildClientPage()
  browser = await launchBrowser()
})
after(() => browser?.close())

describe('all scenarios in a real Chromium', { concurrency: 3, timeout: 150_000 }, () => {
  for (const how of ['fetch', 'axios', 'React'] as const) {
    describe(how, { concurrency: 2 }, () => {
      for (const [scenario, play] of Object.entries(scenarios)) {
        test(scenario, async (t) => {
          const { server, context } = await openContext(t, browser, script)
          const driver = await openPage(context, server, how)
          await play({
            server,
            driver,
            async restart() {
              await driver.page.close()
              return openPage(context, server, how)
            },
            setOffline: (isOffline) => context.setOffline(isOffline),
          })
        })
      }
    })
  }
})
