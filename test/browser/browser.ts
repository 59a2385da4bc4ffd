// Starts a real Chromium for the browser tests, and collects the errors of a page.

import { existsSync, globSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type Browser,
  type BrowserContext,
  chromium,
  type LaunchOptions,
  type Page,
  type Request,
} from 'playwright-core'
import { build } from 'vite'

const root = join(import.meta.dirname, '../..')

/** Usual places of an installed browser. */
const usual = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  '/Applications/Chromium.app/Contents/MacOS/Chromium',
]

/** Pages call our own server only. The sandbox does not work as root or in a container. */
const args = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--no-first-run',
]

/** Starts a real Chromium. */
export function launchBrowser({
  args: more = [],
  ignoreDefaultArgs,
}: Pick<LaunchOptions, 'args' | 'ignoreDefaultArgs'> = {}): Promise<Browser> {
  const options: LaunchOptions = { args: [...args, ...more], ...(ignoreDefaultArgs && { ignoreDefaultArgs }) }
  return launch((where) => chromium.launch({ ...options, ...where }))
}

/** Starts a real Chromium that keeps its profile in a folder, as a person's browser does. */
export function launchProfile(folder: string): Promise<BrowserContext> {
  return launch((where) => chromium.launchPersistentContext(folder, { args, ...where }))
}

/** Starts CHROMIUM_PATH, the machine's own browser, or the one that `npm ci` installed. */
async function launch<T>(start: (where: Pick<LaunchOptions, 'executablePath' | 'env'>) => Promise<T>): Promise<T> {
  const found = process.env.CHROMIUM_PATH ?? usual.find((path) => existsSync(path))
  if (found !== undefined) return start({ executablePath: found })
  const { default: packed } = await import('@sparticuz/chromium')
  const executablePath = await packed.executablePath()
  try {
    return await start({ executablePath })
  } catch (error) {
    if (!/shared libraries/.test(String(error))) throw error
    return start({ executablePath, env: { ...process.env, ...(await unpackLibraries()) } })
  }
}

/** The libraries that a bare machine lacks. The package contains them, and unpacks them if it believes to run on AWS. */
async function unpackLibraries(): Promise<Record<string, string>> {
  const { inflate } = await import(new URL('lambdafs.js', import.meta.resolve('@sparticuz/chromium')).href)
  await inflate(join(root, 'node_modules/@sparticuz/chromium/bin/al2023.tar.br'))
  return { LD_LIBRARY_PATH: join(tmpdir(), 'al2023/lib') }
}

/** Builds the console, unless its build is newer than its sources. */
export async function buildConsole(): Promise<void> {
  const page = join(root, 'server/dist/console/index.html')
  const sources = globSync(['server/web/**/*', 'dist/client/*'], { cwd: root }).map(
    (file) => statSync(join(root, file)).mtimeMs,
  )
  if (existsSync(page) && statSync(page).mtimeMs > Math.max(...sources)) return
  await build({ root: join(root, 'server/web'), logLevel: 'warn' })
}

/** The responses that a page's script could read, and the errors in it. */
export interface Watched {
  /** Uncaught errors, violations of the content security policy, and other errors on the console. */
  problems: string[]
  /** Requests that failed or got a status of 400 or more: "401 /auth/login", "net::ERR_CONNECTION_REFUSED /auth/me". */
  refusals: string[]
  /** The text of every response that script could read. */
  bodies: Promise<string>[]
}

/** Observes a page from its first request on. */
export function watch(page: Page): Watched {
  const watched: Watched = { problems: [], refusals: [], bodies: [] }
  page.on('pageerror', (error) => watched.problems.push(String(error)))
  page.on('console', (message) => {
    // Chromium logs every failed request as well. They are counted below, each with its URL.
    if (message.text().startsWith('Failed to load resource')) return
    if (message.type() === 'error' || message.type() === 'warning') watched.problems.push(message.text())
  })
  page.on('requestfailed', (request) =>
    watched.refusals.push(`${request.failure()?.errorText} ${new URL(request.url()).pathname}`),
  )
  page.on('response', (response) => {
    const { pathname } = new URL(response.url())
    if (response.status() >= 400) watched.refusals.push(`${response.status()} ${pathname}`)
  })
  page.on('requestfinished', (request) => watched.bodies.push(readBody(request)))
  return watched
}

/** The text of a response; empty if it has no body to read. */
async function readBody(request: Request): Promise<string> {
  try {
    return (await (await request.response())?.text()) ?? ''
  } catch {
    return ''
  }
}
