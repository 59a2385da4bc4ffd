// useSession on a server and in a page, with one request.

import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { createElement, StrictMode } from 'react'
import { renderToString } from 'react-dom/server'
import { build, type Rollup } from 'vite'
import { createClient } from '../../src/client/index.ts'
import { useSession } from '../../src/client/react.ts'
import { launchBrowser, watch } from '../browser/browser.ts'
import { credentials, startServer } from './scripted-server.ts'

test('rendered on a server it is unknown and sends no request, even if that server’s client is signed in', async (t) => {
  const server = await startServer(t)
  const client = createClient({ baseUrl: `${server.url}/auth` })
  const Who = () => {
    const { status, session } = useSession(client)
    return createElement('p', null, status, session?.subject)
  }
  const page = createElement(StrictMode, null, createElement(Who))
  assert.equal(renderToString(page), '<p>unknown</p>')
  await client.signIn(credentials)
  server.expireTokens()
  server.seen.length = 0
  assert.equal(renderToString(page), '<p>unknown</p>')
  assert.equal(server.seen.length, 0)
})

/** The page's script: StrictMode, three components, one of which comes and goes; rendered anew or hydrated. */
const script = `
  import { createElement as h, StrictMode, useState } from 'react'
  import { createRoot, hydrateRoot } from 'react-dom/client'
  import { createClient, useSession } from 'daypass'

  const client = createClient({ baseUrl: '/auth' })
  globalThis.seen = []
  function Who() {
    const { status, session, user } = useSession(client)
    globalThis.seen.push(status)
    return h('p', { className: 'who' }, status + ' ' + (session ? session.subject + ', ' + user.name : ''))
  }
  function Page() {
    const [isThere, setThere] = useState(true)
    return h('main', null, h(Who), h(Who), isThere && h(Who),
      h('button', { id: 'toggle', onClick: () => setThere(!isThere) }, 'toggle'),
      h('button', { id: 'out', onClick: () => client.signOut() }, 'out'))
  }
  const app = h(StrictMode, null, h(Page))
  const onRecoverableError = (error) => console.error(error)
  const main = document.getElementById('root')
  if (main.firstChild) hydrateRoot(main, app, { onRecoverableError })
  else createRoot(main).render(app)
`
/** The markup that a server would have rendered. */
const rendered =
  '<main><p class="who">unknown </p><p class="who">unknown </p><p class="who">unknown </p><button id="toggle">toggle</button><button id="out">out</button></main>'

/** An origin with a page at `/` and `/hydrated`, and a session in a cookie. */
async function startSite(t: TestContext) {
  const root = join(import.meta.dirname, '../..')
  const modules = { daypass: ['src/client/index.ts', 'src/client/react.ts'] }
  const result = (await build({
    configFile: false,
    logLevel: 'silent',
    root,
    mode: 'development',
    plugins: [
      {
        name: 'page',
        enforce: 'pre',
        resolveId: (id) => (id === '\0page' || id === 'daypass' ? `\0${id.replace('\0', '')}` : null),
        load(id) {
          if (id === '\0page') return script
          if (id !== '\0daypass') return null
          return modules.daypass.map((file) => `export * from ${JSON.stringify(join(root, file))}`).join('\n')
        },
      },
    ],
    // React's development build: the one that mounts twice and tells of mismatches.
    define: { 'process.env.NODE_ENV': '"development"' },
    build: { write: false, minify: false, modulePreload: false, rollupOptions: { input: '\0page' } },
  })) as Rollup.RollupOutput
  const [{ code }] = result.output
  let refreshes = 0
  const site = createServer((request, response) => {
    const html = (body: string) => {
      response.setHeader('content-type', 'text/html')
      response.end(
        `<!doctype html><link rel="icon" href="data:,"><div id="root">${body}</div><script type="module" src="/page.js"></script>`,
      )
    }
    if (request.url === '/') return html('')
    if (request.url === '/hydrated') return html(rendered)
    if (request.url === '/page.js') return response.setHeader('content-type', 'text/javascript').end(code)
    if (request.url === '/auth/logout') return response.writeHead(204).end()
    refreshes++
    response.setHeader('content-type', 'application/json')
    const session = { id: 'session-1', subject: 'ada', claims: {} }
    response.end(JSON.stringify({ accessToken: 'a.b.c', expiresIn: 900, session, user: { name: 'Ada' } }))
  })
  await new Promise<void>((resolve) => site.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    site.closeAllConnections()
    site.close()
  })
  return { url: `http://localhost:${(site.address() as AddressInfo).port}`, refreshes: () => refreshes }
}

test('in a page, in StrictMode, in three components, rendered or hydrated: one request, no warning', async (t) => {
  const browser = await launchBrowser()
  t.after(() => browser.close())
  for (const path of ['/', '/hydrated']) {
    const site = await startSite(t)
    const context = await browser.newContext()
    const page = await context.newPage()
    const watched = watch(page)
    await page.goto(site.url + path)
    await page.locator('.who', { hasText: 'signed-in ada, Ada' }).nth(2).waitFor({ timeout: 20_000 })
    const seen = await page.evaluate('globalThis.seen')
    assert.deepEqual([...new Set(seen as string[])], ['unknown', 'signed-in'])

    for (let i = 0; i < 3; i++) await page.click('#toggle')
    await page.locator('.who').nth(1).waitFor()
    assert.equal(await page.locator('.who').count(), 2)
    assert.equal(site.refreshes(), 1)

    await page.click('#out')
    await page.locator('.who', { hasText: 'signed-out' }).nth(1).waitFor({ timeout: 20_000 })
    assert.equal(site.refreshes(), 1)
    assert.deepEqual(watched.problems, [])
    await context.close()
  }
})
