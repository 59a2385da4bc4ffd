// Sign-ins that end in a page load, in a real Chromium: a form, passport, a link in webmail, a form of another site.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type RequestListener } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { createRequire } from 'node:module'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, type TestContext, test } from 'node:test'
import express, { type RequestHandler } from 'express'
import type { Browser, Page } from 'playwright-core'
import { createExpressAuth, type NodeOptions } from '../../src/adapters/express.ts'
import { makeCertificate } from '../engines/certificate.ts'
import { nginxMissing } from '../engines/nginx.ts'
import { makeDaypass, type Role } from '../http/server.ts'
import { launchBrowser } from './browser.ts'

// Their types would declare a `user` on every request of every app.
const load = createRequire(import.meta.url)
const { Passport } = load('passport') as {
  Passport: new () => Record<'use' | 'authenticate', (...given: any[]) => any>
}
const { Strategy } = load('passport-local') as { Strategy: new (verify: (...given: any[]) => void) => unknown }

const dist = join(import.meta.dirname, '../../dist/client')

let browser: Browser
before(async () => {
  browser = await launchBrowser({ args: ['--host-resolver-rules=MAP *.test 127.0.0.1', '--ignore-certificate-errors'] })
})
after(() => browser?.close())

/** The page of the app: first what the server knows, then what the client finds. */
const html = (first: string, baseUrl = '/auth') => `<!doctype html><meta charset="utf-8"><title>App</title>
<script type="importmap">{ "imports": { "daypass/client": "/daypass/index.js" } }</script>
<p id="first">${first}</p><p id="who"></p>
<form id="login" method="post" action="/login"><input name="username"><input name="password"><button>Sign in</button></form>
<button id="out" type="button">Sign out</button>
<script type="module">
  import { createClient } from 'daypass/client'
  const client = (globalThis.client = createClient({ baseUrl: '${baseUrl}' }))
  const show = () => { const { status, session } = client.getSession(); who.textContent = status + ' ' + session?.subject }
  if (!location.search.includes('quiet')) client.getAccessToken({ forceFresh: true }).catch(() => {})
  client.subscribe(show)
  out.onclick = () => client.signOut()
</script>`

async function listen(t: TestContext, listener: RequestListener): Promise<number> {
  const server = createServer(listener)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  return (server.address() as AddressInfo).port
}

/** The app on localhost, and a page of another site (127.0.0.1) that a test writes. */
async function start(t: TestContext, sameSite: 'strict' | 'lax', policy?: string) {
  const made = makeDaypass()
  const web = createExpressAuth(made.auth, { cookie: { sameSite } })
  const passport = new Passport()
  passport.use(
    new Strategy((username: string, password: string, done: (error: unknown, user: unknown) => void) =>
      done(null, password === 'right' && { id: username }),
    ),
  )
  const app = express()
  if (policy !== undefined) {
    app.use((_req, res, next) => {
      res.set('referrer-policy', policy)
      next()
    })
  }
  app.use(web.routes, express.urlencoded())
  const check = passport.authenticate('local', { session: false, failureRedirect: '/?failed' }) as RequestHandler
  const claims = { role: 'member' }
  app.post('/login', check, (req, res) =>
    web.signIn(req, res, { subject: (req as any).user.id, claims }, { redirect: [req.query.next, '/'] }),
  )
  const links = new Map([
    ['a-magic-link', 'ada'],
    ['another-link', 'bob'],
    ['third-link', 'ada'],
  ])
  app.get('/link', async (req, res) => {
    const subject = links.get(String(req.query.token))
    links.delete(String(req.query.token))
    if (!subject) return res.redirect(303, '/?failed')
    await web.signIn(req, res, { subject, claims }, { redirect: '/' })
  })
  app.post('/logout', (req, res) => web.signOut(req, res, { redirect: '/' }))
  app.post('/saml', (req, res) =>
    web.signIn(req, res, { subject: req.body.username, claims }, { redirect: '/', crossSitePost: true }),
  )
  app.get('/', async (req, res) => void res.send(html((await web.findSession(req))?.subject ?? 'nobody')))
  app.use('/daypass', express.static(dist))
  const origin = `http://localhost:${await listen(t, app)}`

  const away = { html: '' }
  const other = `http://127.0.0.1:${await listen(t, (_, res) => {
    res.setHeader('content-type', 'text/html').end(`<!doctype html><title>Elsewhere</title>${away.html}`)
  })}`
  const context = await browser.newContext()
  context.setDefaultTimeout(20_000)
  t.after(() => context.close())
  const page = await context.newPage()
  const endings = () =>
    made.events.flatMap((event) => (event.type === 'revoked' ? [`${event.subject} ${event.reason}`] : []))
  return { ...made, origin, other, away, context, page, endings }
}

const says = (page: Page, text: string) => page.locator('#who').filter({ hasText: text }).waitFor()
const first = (page: Page) => page.locator('#first').textContent()

async function fillIn(page: Page, name: string, password = 'right') {
  await page.fill('input[name=username]', name)
  await page.fill('input[name=password]', password)
  await page.click('#login button')
}

for (const sameSite of ['strict', 'lax'] as const) {
  describe(`SameSite=${sameSite}`, { timeout: 120_000 }, () => {
    test('a form of the app’s own page, checked by passport, signs in, also over somebody else', async (t) => {
      const { origin, page, endings, auth } = await start(t, sameSite)
      await page.goto(origin)
      await says(page, 'signed-out')
      await fillIn(page, 'ada', 'wrong')
      await page.waitForURL(`${origin}/?failed`)
      await says(page, 'signed-out')
      await fillIn(page, 'ada')
      await page.waitForURL(`${origin}/`)
      await says(page, 'signed-in ada')
      assert.equal(await first(page), 'ada')
      await fillIn(page, 'bob')
      await says(page, 'signed-in bob')
      await fillIn(page, 'bob')
      await page.waitForURL(`${origin}/`)
      await says(page, 'signed-in bob')
      assert.deepEqual(endings(), ['ada replaced', 'bob replaced'])
      assert.equal((await auth.sessions('bob')).length, 1)
      // The client remembers a sign-out, and finds the next sign-in.
      await page.click('#out')
      await says(page, 'signed-out')
      await fillIn(page, 'ada')
      await says(page, 'signed-in ada')
    })

    for (const policy of ['no-referrer', 'same-origin', 'origin', 'unsafe-url']) {
      test(`Referrer-Policy: ${policy}: forms of the own page sign in, and out, and the client finds both`, async (t) => {
        const { origin, page, context, auth } = await start(t, sameSite, policy)
        const sentOrigins: unknown[] = []
        page.on('request', async (request) => {
          if (request.method() === 'POST' && /log(in|out)$/.test(request.url()))
            sentOrigins.push(await request.headerValue('origin'))
        })
        await page.goto(origin)
        for (const name of ['ada', 'bob']) {
          await fillIn(page, name)
          await says(page, `signed-in ${name}`)
        }
        assert.equal(await first(page), 'bob')
        assert.deepEqual(await auth.sessions('ada'), [])
        await page.evaluate(
          `document.body.insertAdjacentHTML('beforeend', '<form id="leave" method="post" action="/logout"></form>'); leave.submit()`,
        )
        await says(page, 'signed-out')
        assert.equal(await first(page), 'nobody')
        assert.deepEqual(await auth.sessions('bob'), [])
        assert.deepEqual(
          (await context.cookies(origin)).filter(({ name }) => name.includes('daypass')),
          [],
        )
        assert.deepEqual(new Set(sentOrigins), new Set([policy === 'no-referrer' ? 'null' : origin]))
      })
    }

    test('a client finds the sign-in by itself, and after a sign-out by forceFresh', async (t) => {
      const { origin, page } = await start(t, sameSite)
      const signIn = async () => {
        const form = `<form id="login" method="post" action="/login?next=/?quiet"><input name="username" value="ada"><input name="password" value="right"><button></button></form>`
        await page.route(`${origin}/form`, (route) => route.fulfill({ contentType: 'text/html', body: form }))
        await page.goto(`${origin}/form`)
        await page.click('button')
      }
      await signIn()
      await says(page, 'signed-in ada')
      await page.click('#out')
      await says(page, 'signed-out')
      await signIn()
      await says(page, 'signed-out')
      await page.goto(origin)
      await says(page, 'signed-in ada')
    })

    test('a link in a webmail page signs in, in the same tab and in a new one without a Referer', async (t) => {
      const { origin, other, away, page, context, endings } = await start(t, sameSite)
      away.html = `<a id="a" href="${origin}/link?token=a-magic-link">Sign in</a>
        <a id="b" href="${origin}/link?token=another-link" target="_blank" rel="noopener noreferrer">Sign in</a>`
      await page.goto(other)
      await page.click('#a')
      await says(page, 'signed-in ada')
      assert.equal(page.url(), `${origin}/`)
      assert.equal(await first(page), sameSite === 'lax' ? 'ada' : 'nobody')
      await page.goto(origin)
      assert.equal(await first(page), 'ada')

      await page.goto(other)
      const opened = context.waitForEvent('page')
      await page.click('#b')
      const tab = await opened
      await says(tab, 'signed-in bob')
      // A strict cookie does not come with the link.
      assert.deepEqual(endings(), sameSite === 'lax' ? ['ada replaced'] : [])
      await tab.goto(`${origin}/link?token=a-magic-link`)
      assert.equal(tab.url(), `${origin}/?failed`, 'a link works once')
    })

    test('a form of another site signs nobody in, and a frame neither', async (t) => {
      const { origin, other, away, page, events, context } = await start(t, sameSite)
      away.html = `<form id="login" method="post" action="${origin}/login">
        <input name="username"><input name="password"><button>Win</button></form>
        <iframe src="${origin}/link?token=a-magic-link"></iframe>`
      const framed = page.waitForResponse((response) => response.url().startsWith(`${origin}/link`))
      await page.goto(other)
      assert.equal((await framed).status(), 403)
      const posted = page.waitForResponse(`${origin}/login`)
      await fillIn(page, 'mallory')
      assert.equal((await posted).status(), 403)
      assert.deepEqual(events, [])
      assert.deepEqual(await context.cookies(origin), [])
    })

    test('a form that an identity provider posts signs in where the app allows it, whatever Origin it sends', async (t) => {
      const { origin, other, away, page } = await start(t, sameSite)
      for (const [name, policy] of [
        ['ada', 'strict-origin-when-cross-origin'],
        ['bob', 'no-referrer'],
      ] as const) {
        away.html = `<meta name="referrer" content="${policy}"><form id="login" method="post" action="${origin}/saml">
          <input name="username"><input name="password"><button>Go on</button></form>`
        await page.goto(other)
        await fillIn(page, name)
        await says(page, `signed-in ${name}`)
      }
    })
  })
}

describe('two hosts of one site', { skip: nginxMissing, timeout: 120_000 }, () => {
  /** `app.shop.test` renders pages, `api.shop.test` has the routes, and `blog.shop.test` is somebody else's. */
  async function startHosts(t: TestContext, cookie: NonNullable<NodeOptions['cookie']>) {
    const folder = mkdtempSync(join(tmpdir(), 'daypass-hosts-'))
    const { key, cert } = makeCertificate(folder)
    const made = makeDaypass()
    const server = createTlsServer({ key: readFileSync(key), cert: readFileSync(cert) })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const url = (host: string) => `https://${host}.shop.test:${port}`
    const options: NodeOptions<Role> = {
      cookie,
      origins: [url('app')],
      authenticate: ({ name }) => ({ subject: String(name), claims: { role: 'member' } }),
    }
    const web = createExpressAuth(made.auth, options)
    const app = express()
    app.use('/daypass', express.static(dist))
    app.get('/', async (req, res) => {
      if (req.hostname === 'blog.shop.test') return void res.set('set-cookie', String(req.query.plant)).end('blog')
      res.send(html((await web.findSession(req))?.subject ?? 'nobody', `${url('api')}/auth`))
    })
    app.use(web.routes)
    server.on('request', app)
    const context = await browser.newContext({ ignoreHTTPSErrors: true })
    context.setDefaultTimeout(20_000)
    t.after(async () => {
      await context.close()
      server.close()
      server.closeAllConnections()
      rmSync(folder, { recursive: true })
    })
    const page = await context.newPage()
    const signIn = async (name: string) => {
      await page.goto(url('app'))
      await says(page, 'signed-out')
      await page.evaluate((name) => (globalThis as any).client.signIn({ name }), name)
      await says(page, `signed-in ${name}`)
    }
    return { ...made, url, page, signIn }
  }

  test('with `cookie.domain`, the host that renders pages reads the cookie that the other one sets', async (t) => {
    const { url, page, signIn, auth } = await startHosts(t, { domain: 'shop.test' })
    await signIn('ada')
    await page.goto(url('app'))
    assert.equal(await first(page), 'ada')
    await says(page, 'signed-in ada')
    await page.click('#out')
    await says(page, 'signed-out')
    assert.deepEqual(await auth.sessions('ada'), [])
    await page.goto(url('app'))
    assert.equal(await first(page), 'nobody')
  })

  test('without it, the client works from one host to the other, and the page is rendered for nobody', async (t) => {
    const { url, page, signIn } = await startHosts(t, {})
    await signIn('ada')
    await page.goto(url('app'))
    assert.equal(await first(page), 'nobody')
    await says(page, 'signed-in ada')
  })

  test('its price: a sibling host can overwrite the cookie, which the __Host- prefix rules out', async (t) => {
    for (const [cookie, planted, expected] of [
      [{ domain: 'shop.test' }, '__Secure-daypass', 'mallory'],
      [{}, '__Host-daypass', 'ada'],
    ] as const) {
      const { url, page, signIn, auth } = await startHosts(t, cookie)
      await signIn('ada')
      const { refreshToken } = await auth.issue('mallory', { claims: { role: 'member' } })
      const line = `${planted}=${refreshToken}; Domain=shop.test; Path=/; Secure`
      await page.goto(`${url('blog')}/?plant=${encodeURIComponent(line)}`)
      await page.goto(url('app'))
      await says(page, `signed-in ${expected}`)
    }
  })
})
