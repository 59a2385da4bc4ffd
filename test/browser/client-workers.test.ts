// All scenarios hold in a web worker and in a service worker, with the storage that docs/client.md gives them.

import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, describe, type TestContext, test } from 'node:test'
import type { Browser, BrowserContext, Page } from 'playwright-core'
import { build } from 'vite'
import { type DaypassServer, startDaypass } from '../client/daypass-server.ts'
import type { Driver } from '../client/drivers.ts'
import { type RemoteDriver, scenarios } from '../client/scenarios.ts'
import { readSnippet } from '../docs/project.ts'
import { launchBrowser } from './browser.ts'

const root = join(import.meta.dirname, '../..')
const kinds = ['web worker', 'service worker'] as const
type Kind = (typeof kinds)[number] | 'page'

let browser: Browser
let script: string

before(async () => {
  script = await buildWorker()
  browser = await launchBrowser()
})
after(() => browser?.close())

/** The worker's script, bundled as an app's would be. */
async function buildWorker(): Promise<string> {
  const snippet = '\0session.ts'
  const built: any = await build({
    configFile: false,
    logLevel: 'warn',
    resolve: { alias: { 'daypass/client': join(root, 'src/client/index.ts') } },
    plugins: [
      {
        name: 'snippet',
        resolveId: (id) => (id === 'docs:session.ts' ? snippet : null),
        load: (id) => (id === snippet ? { code: readSnippet('docs/client.md', 'session.ts'), moduleType: 'ts' } : null),
      },
    ],
    build: {
      write: false,
      minify: false,
      lib: { entry: join(import.meta.dirname, 'client-worker.ts'), formats: ['es'], fileName: 'worker' },
    },
  })
  return [built].flat()[0].output[0].code
}

/** Sends a question to the page's worker, or to the same module in the page itself. */
async function ask(this: void, [kind, message]: [Kind, unknown]) {
  const { navigator: here, Worker, MessageChannel } = globalThis as any
  const page = globalThis as { worker?: any }
  const type = 'module'
  if (kind === 'page') {
    const path = '/worker.js'
    await import(path)
  } else if (kind === 'web worker') page.worker ??= new Worker('/worker.js', { type })
  else
    page.worker ??=
      (await here.serviceWorker.register('/worker.js', { type })) && (await here.serviceWorker.ready).active
  const { port1, port2 } = new MessageChannel()
  const answer = new Promise((resolve) => {
    port1.onmessage = ({ data }: MessageEvent) => resolve(data)
  })
  if (kind === 'page') globalThis.postMessage(message, '*', [port2])
  else page.worker.postMessage(message, [port2])
  return answer
}

/** Opens a page with a worker of that kind, and returns the driver of the worker's client. */
async function open(context: BrowserContext, { url }: DaypassServer, kind: Kind, how: string) {
  const page = await context.newPage()
  await page.goto(url)
  return { page, ...drive(page, kind, how) }
}

function drive(page: Page, kind: Kind, how: string): RemoteDriver {
  const remote =
    (name: keyof Driver) =>
    (...given: unknown[]): Promise<any> =>
      page.evaluate(ask, [kind, [how, name, given]] as [Kind, unknown])
  return { signIn: remote('signIn'), signOut: remote('signOut'), call: remote('call'), session: remote('session') }
}

async function openWorld(t: TestContext, kind: Kind, how: string) {
  const server = await startDaypass(t, { files: { '/': '<!doctype html><title>Page</title>', '/worker.js': script } })
  const context = await browser.newContext()
  t.after(() => context.close())
  context.setDefaultTimeout(20_000)
  const driver = await open(context, server, kind, how)
  /** Ends the page and its worker in the middle of what they do. */
  async function kill(page: Page) {
    const devtools = await context.newCDPSession(page)
    await devtools.send('ServiceWorker.enable')
    await devtools.send('ServiceWorker.stopAllWorkers')
    await page.close()
  }
  return {
    server,
    driver,
    async restart() {
      await kill(driver.page)
      return open(context, server, kind, how)
    },
    async setOffline(isOffline: boolean) {
      server.setAway(isOffline)
    },
  }
}

describe('all scenarios in workers', { concurrency: 2, timeout: 240_000 }, () => {
  for (const kind of kinds) {
    for (const how of ['fetch', 'axios']) {
      describe(`${kind}, ${how}`, { concurrency: 2 }, () => {
        for (const [scenario, play] of Object.entries(scenarios)) {
          test(scenario, async (t) => play(await openWorld(t, kind, how)))
        }
        test('relative addresses get the token, and a refused one is renewed', async (t) => {
          const { server, driver } = await openWorld(t, kind, how)
          await driver.signIn()
          for (const refreshes of [0, 1]) {
            const { status, body } = await driver.call('/api', 'text')
            assert.deepEqual([status, body?.subject, body?.body, server.refreshes()], [200, 'ada', 'text', refreshes])
            server.expireTokens()
          }
          assert.deepEqual(await driver.signOut(), {})
        })
      })
    }
    test(`a page and its ${kind} share the sign-in, its token and the sign-out`, async (t) => {
      const { server, driver: worker } = await openWorld(t, kind, 'fetch')
      const page = drive(worker.page, 'page', 'fetch')
      const statusOf = async ({ call }: RemoteDriver) => (await call('/api')).status
      /** A message between the two takes its time. */
      async function waitFor(driver: RemoteDriver, status: string) {
        for (let tries = 0; (await driver.session()).status !== status; tries++) assert.ok(tries < 500, status)
      }
      for (const driver of [page, worker]) assert.equal(await statusOf(driver), 401)
      const before = server.refreshes()
      await page.signIn()
      await waitFor(worker, 'signed-in')
      for (const driver of [page, worker]) assert.equal(await statusOf(driver), 200)
      assert.equal(server.refreshes(), before)
      await worker.signOut()
      await waitFor(page, 'signed-out')
      for (const driver of [page, worker]) assert.equal(await statusOf(driver), 401)
      assert.equal(server.refreshes(), before)
    })
  }
})
