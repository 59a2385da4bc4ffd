// Opens pages with the client in them, at a real Daypass.

import { join } from 'node:path'
import type { Browser, BrowserContext, Page } from 'playwright-core'
import { build } from 'vite'
import type { ClientOptions } from '../../src/client/index.ts'
import { type DaypassServer, startDaypass } from '../client/daypass-server.ts'
import type { Driver } from '../client/drivers.ts'
import type { RemoteDriver } from '../client/scenarios.ts'

/** The page's script, bundled as an app's would be. */
export async function buildClientPage(): Promise<string> {
  const built: any = await build({
    configFile: false,
    logLevel: 'warn',
    define: { 'process.env.NODE_ENV': '"development"' }, // StrictMode mounts twice in development
    build: {
      write: false,
      minify: false,
      lib: { entry: join(import.meta.dirname, 'client-page.ts'), formats: ['es'], fileName: 'page' },
    },
  })
  return [built].flat()[0].output[0].code
}

const html =
  '<!doctype html><meta charset="utf-8"><title>Client</title><body><script type="module" src="/page.js"></script>'

/** A new, empty browser context and a new server. */
export async function openContext(
  t: { after(work: () => unknown): unknown },
  browser: Browser,
  script: string,
  options: { reuseInterval?: number } = {},
): Promise<{ server: DaypassServer; context: BrowserContext }> {
  const server = await startDaypass(t, {
    ...options,
    files: { '/': html, '/elsewhere': '<!doctype html>', '/page.js': script },
  })
  const context = await browser.newContext()
  t.after(() => context.close())
  context.setDefaultTimeout(20_000)
  return { server, context }
}

/** Opens a page with a client in it, and returns its driver. */
export async function openPage(
  context: BrowserContext,
  { url }: DaypassServer,
  how: 'fetch' | 'axios' | 'React' = 'fetch',
  options: Pick<ClientOptions, 'refreshTimeout'> = {},
): Promise<Tab> {
  const page = await context.newPage()
  await page.goto(url)
  await page.evaluate(([how, options]) => globalThis.page.open(how, options), [how, options] as const)
  return { page, ...drivePage(page) }
}

export type Tab = RemoteDriver & { page: Page }

/** Drives the client of a page. */
export function drivePage(page: Page): RemoteDriver {
  const remote =
    (name: keyof Driver) =>
    (...given: unknown[]) =>
      page.evaluate(([name, given]) => (globalThis.page.driver as any)[name](...given), [name, given] as const)
  return { signIn: remote('signIn'), signOut: remote('signOut'), call: remote('call'), session: remote('session') }
}
