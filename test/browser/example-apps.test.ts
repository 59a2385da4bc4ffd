// The page of docs/ssr.md in Next.js and in SvelteKit, built and run, in a real Chromium: bad luck signs nobody out, and
// nobody stays in after a sign-out or a theft.

import assert from 'node:assert/strict'
import { after, before, describe, type TestContext, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import type { Browser, BrowserContext, Page } from 'playwright-core'
import { launchBrowser } from './browser.ts'
import { examples, findMissing, type Passing, type RunningExample, startExample } from './example-app.ts'

/** The lifetime of the access tokens, in seconds. */
const lifetime = 2

async function until(isSo: () => boolean | Promise<boolean>, complaint: string): Promise<void> {
  for (const end = Date.now() + 30_000; !(await isSo()); await delay(50)) assert.ok(Date.now() < end, complaint)
}

for (const example of examples) {
  const missing = findMissing(example)
  if (missing) {
    test(`${example.name}, built and run`, (t) => {
      t.diagnostic(`engine: ${example.name} ${missing}`)
      t.skip(missing)
    })
    continue
  }
  describe(example.name, { timeout: 600_000 }, () => {
    let browser: Browser
    let app: RunningExample
    before(async () => {
      app = await startExample(example, lifetime)
      browser = await launchBrowser()
    })
    after(async () => {
      await browser?.close()
      await app?.stop()
    })

    /** A browser of its own, whose pages say whether they ever asked an already known person to sign in. */
    async function openContext(t: TestContext): Promise<BrowserContext> {
      const context = await browser.newContext()
      t.after(async () => {
        app.rule = null
        await context.close()
      })
      await context.addInitScript(() => {
        const look = () => {
          if (document.querySelector('input[type=password]')) Object.assign(globalThis, { hasAsked: true })
        }
        new MutationObserver(look).observe(document, { childList: true, subtree: true })
      })
      return context
    }

    async function submit(page: Page, password: string) {
      await page.getByLabel('Name').fill('ada')
      await page.getByLabel('Password').fill(password)
      await page.getByRole('button', { name: 'Sign in' }).click()
    }
    async function signIn(context: BrowserContext): Promise<Page> {
      const page = await context.newPage()
      await page.goto(app.origin)
      await submit(page, 'secret')
      await isSignedIn(page)
      return page
    }

    const session = () => app.sessions().at(-1)!
    const isSignedIn = (page: Page) => page.getByRole('heading', { name: 'Hello Ada' }).waitFor()
    const isSignedOut = (page: Page) => page.getByRole('button', { name: 'Sign in' }).waitFor()
    const hasAsked = (page: Page) => page.evaluate(() => 'hasAsked' in globalThis)
    const cookiesOf = async (context: BrowserContext) =>
      (await context.cookies()).map(({ name, value }) => `${name}=${value}`).join('; ')
    /** The page as the server renders it for these cookies: no script runs. */
    const render = async (cookie: string) => (await fetch(app.origin, { headers: { cookie } })).text()

    test('the form signs in; pages and actions of the server know the person, and rotate nothing', async (t) => {
      const context = await openContext(t)
      const page = await context.newPage()
      await page.goto(app.origin)
      await submit(page, 'wrong')
      await page.getByText('Wrong name or password.').waitFor()
      await submit(page, 'secret')
      await isSignedIn(page)
      assert.doesNotMatch(page.url(), /secret/)

      // The page's own client is held back, so that every rotation is the server's.
      app.rule = (passing) => (passing.path === '/auth/refresh' ? new Promise(() => {}) : undefined)
      const { generation } = session()
      await page.getByLabel('Note').fill('buy milk')
      await page.getByRole('button', { name: 'Add' }).click()
      await page.getByText('Ada: buy milk').waitFor()
      const rendered = await render(await cookiesOf(context))
      assert.match(rendered, /Hello (<!-- -->)?Ada/)
      assert.match(rendered, /Ada: buy milk/)
      assert.equal(session().generation, generation)
      assert.doesNotMatch(await render(''), /Hello|buy milk/)

      // A call of the page takes the access token.
      app.rule = null
      await page.reload()
      await page.getByText('Ada: buy milk').waitFor()
      await page.getByRole('button', { name: 'Delete the notes' }).click()
      await page.getByText('Ada: buy milk').waitFor({ state: 'detached' })
      await isSignedIn(page)
    })

    test('a private page is for those who are signed in, and leads all others to the sign-in', async (t) => {
      const context = await openContext(t)
      const page = await context.newPage()
      await page.goto(`${app.origin}/private`)
      await isSignedOut(page)
      assert.equal(page.url(), `${app.origin}/`)
      await submit(page, 'secret')
      await isSignedIn(page)
      await page.goto(`${app.origin}/private`)
      await page.getByRole('heading', { name: 'Only for Ada' }).waitFor()
      await page.goto(app.origin)
      await page.getByRole('button', { name: 'Sign out' }).click()
      await isSignedOut(page)
      await until(() => session().revoked_reason === 'sign-out', 'the sign-out does not arrive')
      assert.doesNotMatch(await (await page.goto(`${app.origin}/private`))!.text(), /Only for/)
      await isSignedOut(page)
    })

    test('ten pages at once with an expired access token, beside a refresh: all are rendered for the person', async (t) => {
      const context = await openContext(t)
      const page = await signIn(context)
      const count = 10
      let arrived = 0
      const asked = Promise.withResolvers<void>()
      const half = Promise.withResolvers<void>()
      const redeemed = Promise.withResolvers<void>()
      const documents: string[] = []
      const all = Promise.withResolvers<void>()
      const cookies = new Set<string | undefined>()

      async function passDocument(passing: Passing) {
        cookies.add(passing.headers.cookie)
        // Five are rendered before the token is redeemed, and five after it. All have the cookie from before.
        if (++arrived > count / 2) await redeemed.promise
        documents.push((await passing.commit()).body)
        if (documents.length === count / 2) half.resolve()
        if (documents.length === count) all.resolve()
        await passing.respond()
      }
      let isFirst = true
      app.rule = (passing) => {
        if (passing.path === '/' && passing.headers['sec-fetch-dest'] === 'document') return passDocument(passing)
        if (passing.path !== '/auth/refresh' || !isFirst) return undefined
        isFirst = false
        asked.resolve()
        return half.promise.then(async () => {
          assert.equal((await passing.commit()).status, 200)
          redeemed.resolve()
          await all.promise
          await passing.respond()
        })
      }
      await asked.promise
      const { generation } = session()
      const call = () =>
        fetch(`${app.origin}/api/notes`, {
          method: 'DELETE',
          headers: { authorization: `Bearer ${app.accessToken}`, origin: app.origin },
        })
      await until(async () => (await call()).status === 401, 'the access token does not expire')

      const tabs = await Promise.all(Array.from({ length: count }, () => context.newPage()))
      await Promise.all(tabs.map((tab) => tab.goto(app.origin)))
      assert.equal(cookies.size, 1, 'all pages were asked for with the same cookie')
      for (const document of documents) assert.match(document, /Hello (<!-- -->)?Ada/)
      for (const tab of [page, ...tabs]) await isSignedIn(tab)
      for (const tab of tabs) assert.equal(await hasAsked(tab), false)

      await page.reload()
      await isSignedIn(page)
      await page.getByRole('button', { name: 'Delete the notes' }).click()
      assert.ok(session().generation > generation)
      assert.equal(session().revoked_reason, null)
    })

    test('lost responses of refreshes, at the first paint and after it: the person stays on the page', async (t) => {
      const context = await openContext(t)
      const page = await signIn(context)
      const { generation } = session()
      let lost = 0
      const several = Promise.withResolvers<void>()
      app.rule = (passing) => {
        if (passing.path !== '/auth/refresh') return undefined
        return passing.commit().then(({ status }) => {
          assert.equal(status, 200)
          passing.lose()
          if (++lost === 4) several.resolve()
        })
      }
      await page.reload()
      // After four attempts the client gives up its turn, and says that it is offline.
      await several.promise
      await page.waitForFunction(async () => (await navigator.locks.query()).held!.length === 0)
      await isSignedIn(page)
      assert.equal(await hasAsked(page), false)
      assert.deepEqual({ ...session() }, { generation: generation + 1, revoked_reason: null })

      app.rule = null
      await page.getByRole('button', { name: 'Delete the notes' }).click()
      await until(() => session().generation >= generation + 2, 'the page does not refresh')
      await isSignedIn(page)
      assert.equal(await hasAsked(page), false)
      assert.equal(session().revoked_reason, null)
      assert.match(await render(await cookiesOf(context)), /Hello (<!-- -->)?Ada/)
    })

    test('a sign-out in another tab beside a late refresh: this tab is out, and so is every page that is rendered', async (t) => {
      const context = await openContext(t)
      const page = await signIn(context)
      await page.getByLabel('Note').fill('a secret note')
      await page.getByRole('button', { name: 'Add' }).click()
      await page.getByText('a secret note').waitFor()
      const other = await context.newPage()
      await other.goto(app.origin)
      await isSignedIn(other)

      const asked = Promise.withResolvers<void>()
      const out = Promise.withResolvers<void>()
      const late = Promise.withResolvers<void>()
      app.rule = (passing) => {
        if (passing.path !== '/auth/refresh') return undefined
        return passing.commit().then(async () => {
          asked.resolve()
          await out.promise
          await passing.respond()
          late.resolve()
        })
      }
      await asked.promise
      const cookieBefore = await cookiesOf(context)
      await other.getByRole('button', { name: 'Sign out' }).click()
      await Promise.all([isSignedOut(other), isSignedOut(page)])
      await page.getByText('a secret note').waitFor({ state: 'detached' })
      out.resolve()
      await late.promise
      assert.equal(session().revoked_reason, 'sign-out')

      for (const tab of [page, other]) {
        assert.doesNotMatch(await (await tab.reload())!.text(), /Hello|a secret note/)
        await isSignedOut(tab)
      }
      for (const cookie of [cookieBefore, await cookiesOf(context)]) assert.doesNotMatch(await render(cookie), /Hello/)
    })

    test('a copied token that its owner has used since: the session ends for both', async (t) => {
      const context = await openContext(t)
      const page = await signIn(context)
      const stolen = await cookiesOf(context)
      // Each page load is a refresh.
      for (let generation = 1; generation <= 3; generation++) {
        await page.reload()
        await until(() => session().generation >= generation, 'the page does not refresh')
      }
      app.age(60_000)
      const response = await fetch(`${app.origin}/auth/refresh`, {
        method: 'POST',
        headers: { cookie: stolen, origin: app.origin, 'sec-fetch-site': 'same-origin' },
      })
      assert.deepEqual([response.status, (await response.json()).error], [401, 'invalid_grant'])
      assert.equal(session().revoked_reason, 'reuse')
      await isSignedOut(page)
      await page.reload()
      await isSignedOut(page)
      for (const cookie of [stolen, await cookiesOf(context)]) assert.doesNotMatch(await render(cookie), /Hello/)
    })
  })
}
