// Pages that are rendered on a server, in a real Chromium: beside a refresh whose response is lost, and from another site.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { after, before, test } from 'node:test'
import express from 'express'
import type { Browser, Page } from 'playwright-core'
import { createExpressAuth } from '../../src/adapters/express.ts'
import { createFetchAuth } from '../../src/adapters/fetch.ts'
import { createDaypass, type DaypassEvent, type Store } from '../../src/index.ts'
import { createMemoryStore } from '../../src/stores/memory.ts'
import { overFetch } from '../adapters/apps.ts'
import { listen, secret } from '../http/server.ts'
import { launchBrowser } from './browser.ts'

const root = join(import.meta.dirname, '../..')
let browser: Browser
before(async () => {
  browser = await launchBrowser()
})
after(() => browser.close())

/** A Daypass that counts the rotations in its store. */
function createCounted() {
  const memory = createMemoryStore()
  const events: DaypassEvent[] = []
  const counted = { rotations: 0, sessions: 0 }
  const store: Store = {
    ...memory,
    async create(session) {
      counted.sessions++
      return memory.create(session)
    },
    async advance(step) {
      const advanced = await memory.advance(step)
      if (advanced !== null) counted.rotations++
      return advanced
    },
  }
  const auth = createDaypass<{ role: string }, { name: string }>({
    secret,
    issuer: 'https://id.test',
    store,
    findSubject: () => ({ claims: { role: 'admin' }, user: { name: 'Ada' } }),
    onEvent: (event) => events.push(event),
  })
  return { auth, counted, events }
}

const options = {
  cookie: { sameSite: 'lax' as const },
  authenticate: ({ name }: { name: string }) => ({ subject: name }),
}

const html = (name: string | undefined) => `<!doctype html><link rel="icon" href="data:,"><h1>${name ?? 'nobody'}</h1>`

/** A page with a client that is a module of its own. */
const clientHtml = (name: string | undefined) => `${html(name)}<script type="module">
  import { createClient } from '/client/index.js'
  globalThis.client = createClient({ baseUrl: '/auth' })
</script>`

const signIn = (page: Page) => page.evaluate(`client.signIn({ name: 'ada' })`)

test('ten pages beside a refresh whose response is lost: each says the name at first paint, and there is one rotation', {
  timeout: 90_000,
}, async (t) => {
  const { auth, counted, events } = createCounted()
  const web = createExpressAuth(auth, options)
  const app = express()

  const count = 10
  let rendered = 0
  let arrived = 0
  const half = Promise.withResolvers<void>()
  const redeemed = Promise.withResolvers<void>()
  const all = Promise.withResolvers<void>()
  let isFirst = true
  app.post('/auth/refresh', async (_req, res, next) => {
    if (!isFirst) return next()
    isFirst = false
    // Five pages are there before the token is redeemed, and five come after it. Then the response is lost.
    await half.promise
    res.writeHead = (() => {
      redeemed.resolve()
      all.promise.then(() => res.socket?.destroy())
      return { end() {} }
    }) as never
    next()
  })
  app.use(web.routes)
  app.get('/client/:file', (req, res) => {
    res.type('js').send(readFileSync(join(root, 'dist/client', basename(req.params.file))))
  })
  app.get('/', async (req, res) => void res.send(clientHtml((await web.findSession(req))?.user?.name)))
  app.get('/page/:n', async (req, res) => {
    if (++arrived === count / 2) half.resolve()
    if (arrived > count / 2) await redeemed.promise
    const session = await web.findSession(req)
    res.send(html(session?.user?.name))
    if (++rendered === count) all.resolve()
  })
  const server = await listen(app)
  t.after(() => server.close())
  const origin = `http://localhost:${server.port}`

  const context = await browser.newContext()
  t.after(() => context.close())
  const tab = await context.newPage()
  await tab.goto(origin)
  await signIn(tab)
  assert.match(await (await tab.reload())!.text(), /<h1>Ada<\/h1>/)

  const tabs = await Promise.all(Array.from({ length: count }, () => context.newPage()))
  const [token, ...documents] = await Promise.all([
    tab.evaluate<string>('client.getAccessToken({ forceFresh: true })'),
    ...tabs.map(async (page, n) => (await page.goto(`${origin}/page/${n}`))!.text()),
  ])
  for (const document of documents) assert.match(document, /<h1>Ada<\/h1>/)

  assert.deepEqual(
    events.map(({ type }) => type),
    ['issued', 'rotated', 'replayed'],
  )
  assert.deepEqual(counted, { sessions: 1, rotations: 1 })
  const { sessionId } = await auth.verify(token)
  assert.deepEqual(
    (await auth.sessions('ada')).map(({ id }) => id),
    [sessionId],
  )
  assert.match(await (await tab.reload())!.text(), /<h1>Ada<\/h1>/)
  assert.equal(await tab.evaluate('client.getAccessToken().then(() => client.getSession().user.name)'), 'Ada')
})

test('a link on another site: the page says the name with SameSite lax, and not with strict', {
  timeout: 90_000,
}, async (t) => {
  for (const [sameSite, heading] of [
    ['lax', 'Ada'],
    ['strict', 'nobody'],
  ] as const) {
    const { auth } = createCounted()
    // Without the caller's address the cookie is always `__Host-`, as it is over TLS. Chromium keeps it on localhost.
    const web = createFetchAuth(auth, { ...options, cookie: { sameSite } })
    const server = await listen(
      overFetch(async (request) => {
        const response = await web.routes(request)
        if (response) return response
        const { pathname } = new URL(request.url)
        const headers = { 'content-type': pathname.endsWith('.js') ? 'text/javascript' : 'text/html' }
        if (pathname !== '/') return new Response(readFileSync(join(root, 'dist', pathname)), { headers })
        return new Response(clientHtml((await web.findSession(request))?.user?.name), { headers })
      }),
    )
    t.after(() => server.close())
    const origin = `http://localhost:${server.port}`
    const other = await listen((_req, res) => {
      res.setHeader('content-type', 'text/html').end(`<link rel="icon" href="data:,"><a href="${origin}/">a link</a>`)
    })
    t.after(() => other.close())

    const context = await browser.newContext()
    t.after(() => context.close())
    const tab = await context.newPage()
    await tab.goto(origin)
    await signIn(tab)
    await tab.reload()
    assert.equal(await tab.textContent('h1'), 'Ada', 'a page of the same site gets the cookie')

    // 127.0.0.1 and localhost are two sites.
    await tab.goto(`http://127.0.0.1:${other.port}/`)
    await tab.click('a')
    await tab.waitForURL(`${origin}/`)
    assert.equal(await tab.textContent('h1'), heading, sameSite)
    // The client of the page finds the session in any case.
    assert.equal(await tab.evaluate('client.getAccessToken().then(() => client.getSession().user.name)'), 'Ada')
  }
})
