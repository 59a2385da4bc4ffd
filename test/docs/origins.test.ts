// docs/origins.md, as printed: a page and an API of two origins in a real Chromium, with the real `cors`.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { basename, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { launchBrowser } from '../browser/browser.ts'
import { listen } from '../http/server.ts'
import { createProject, readSnippet } from './project.ts'

const root = join(import.meta.dirname, '../..')
process.env.DAYPASS_SECRET = randomBytes(48).toString('base64')

/** Serves a page of a script on an origin of its own. */
async function servePage(t: TestContext, script: (origin: string) => string) {
  const imports = { 'daypass/client': '/client/index.js' }
  const page = await listen((req, res) => {
    if (req.url === '/') {
      res.setHeader('content-type', 'text/html')
      const map = `<script type="importmap">${JSON.stringify({ imports })}</script>`
      return res.end(`<link rel="icon" href="data:,">${map}<script type="module" src="/page.js"></script>`)
    }
    res.setHeader('content-type', 'text/javascript')
    if (req.url === '/page.js') return res.end(script(origin))
    res.end(readFileSync(join(root, 'dist/client', basename(req.url ?? ''))))
  })
  t.after(() => page.close())
  const origin = `http://localhost:${page.port}`
  return origin
}

test('a page of a listed origin signs in and calls; one of another origin cannot', { timeout: 90_000 }, async (t) => {
  let api = ''
  const script = () => readSnippet('docs/origins.md', 'page.ts').replaceAll('https://api.example.com', api)
  const listed = await servePage(t, script)
  const stranger = await servePage(t, script)

  const { write } = createProject(t, ['cors', 'express'])
  const server = readSnippet('docs/origins.md', 'server.ts')
    .replace("'https://app.example.com'", `'${listed}'`)
    .replace("'./data/daypass.db'", "':memory:'")
  const { app } = await import(write('server.ts', server))
  const asked: string[] = []
  const running = createServer((req, res) => {
    asked.push(`${req.method} ${req.url}`)
    app(req, res)
  })
  await new Promise<void>((resolve) => running.listen(0, resolve))
  t.after(() => void running.close().closeAllConnections())
  api = `http://localhost:${(running.address() as { port: number }).port}`

  const browser = await launchBrowser()
  t.after(() => browser.close())
  const context = await browser.newContext()
  const tab = await context.newPage()
  const problems: string[] = []
  tab.on('pageerror', (error) => problems.push(String(error)))
  const logged = tab.waitForEvent('console', { predicate: (message) => message.type() === 'log' })
  await tab.goto(listed)
  const [note] = (await logged).args()
  assert.deepEqual(await note?.jsonValue(), { by: 'ada', note: 'milk' }, String(problems))
  assert.deepEqual(asked, ['OPTIONS /auth/login', 'POST /auth/login', 'OPTIONS /notes', 'POST /notes'])

  // The cookie comes along to the other origin: a new client finds the session.
  const renew = (baseUrl: string) => `
    import('daypass/client').then(({ createClient }) => createClient({ baseUrl: '${baseUrl}/auth' }).getAccessToken({ forceFresh: true }))
      .then((token) => token.split('.').length, (error) => error.code)`
  assert.equal(await tab.evaluate(renew(api)), 3)

  const other = await context.newPage()
  const refused = other.waitForEvent('pageerror')
  await other.goto(stranger)
  assert.match(String(await refused), /ERR_(SIGN_IN_FAILED|OFFLINE)|sign-in|reached/i)
  assert.ok(!asked.slice(4).includes('POST /notes'))
})
