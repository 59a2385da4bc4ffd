// docs/ssr.md, as printed: each framework's snippet signs in, renders the name and refreshes, in the real framework.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { RequestListener } from 'node:http'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { createApp, createRouter, eventHandler, toNodeListener } from 'h3'
import { createStaticHandler, type RouteObject } from 'react-router'
import { overFetch } from '../adapters/apps.ts'
import { call, listen, newKey, ownPage } from '../http/server.ts'
import { createProject, readSnippet } from './project.ts'

const root = join(import.meta.dirname, '../..')
const page = 'docs/ssr.md'
process.env.DAYPASS_SECRET = randomBytes(48).toString('base64')

/** Writes the page's `auth.ts` and these of its snippets, and imports them. */
async function load(t: TestContext, packages: string[], ...files: string[]) {
  const { write } = createProject(t, packages)
  write('auth.ts', readSnippet(page, 'auth.ts').replace("'./data/daypass.db'", "':memory:'"))
  return Promise.all(files.map((file) => import(write(file, readSnippet(page, file)))))
}

/** Signs in, renders and refreshes, as a browser does. */
async function visit(t: TestContext, listener: RequestListener) {
  const server = await listen(listener)
  t.after(() => server.close())
  const { origin } = server
  const render = async (cookie?: string) => {
    const response = await call(origin, 'GET /', { headers: { ...ownPage, ...(cookie && { cookie }) } })
    assert.equal(response.status, 200, response.text)
    assert.equal(response.setCookie, undefined)
    return response.text
  }
  assert.doesNotMatch(await render(), /Ada/)
  const json = { name: 'ada', password: 'secret' }
  const signedIn = await call(origin, 'POST /auth/login', { headers: ownPage, json })
  assert.equal(signedIn.status, 200, signedIn.text)
  assert.equal(signedIn.json.user.name, 'Ada')
  assert.match(signedIn.setCookie!, /SameSite=Lax/)
  assert.match(await render(signedIn.cookie), /Ada/)
  const headers = { ...ownPage, cookie: signedIn.cookie!, 'idempotency-key': `"${newKey()}"` }
  const refreshed = await call(origin, 'POST /auth/refresh', { headers })
  assert.deepEqual([refreshed.status, refreshed.json.user.name], [200, 'Ada'])
  for (const cookie of [signedIn.cookie, refreshed.cookie]) assert.match(await render(cookie), /Ada/)
  const signedOut = await call(origin, 'POST /auth/logout', { headers: { ...ownPage, cookie: refreshed.cookie! } })
  assert.equal(signedOut.status, 204)
  assert.doesNotMatch(await render(refreshed.cookie), /Ada/)
}

test('Express', async (t) => {
  const [express] = await load(t, ['express'], 'express.ts')
  await visit(t, express.app)
})

test('React Router', async (t) => {
  const [auth, home] = await load(t, ['react-router'], 'app/routes/auth.ts', 'app/routes/home.ts')
  const routes: RouteObject[] = [
    { id: 'auth', path: 'auth/*', loader: auth.loader, action: auth.action },
    { id: 'home', path: '/', loader: home.loader },
  ]
  const handler = createStaticHandler(routes)
  await visit(
    t,
    overFetch(async (request) => {
      if (new URL(request.url).pathname.startsWith('/auth/')) return handler.queryRoute(request)
      const context = await handler.query(request)
      if (context instanceof Response) return context
      const headers = { ...Object.fromEntries(context.loaderHeaders.home ?? []), 'content-type': 'text/html' }
      return new Response(`<h1>${context.loaderData.home.user?.name ?? 'nobody'}</h1>`, { headers })
    }),
  )
})

test('SvelteKit', async (t) => {
  process.env.DATABASE_PATH = ':memory:'
  const { write } = createProject(t)
  const files = ['src/auth.server.ts', 'src/hooks.server.ts'].map((file) =>
    write(file, readFileSync(join(root, 'examples/sveltekit', file), 'utf8')),
  )
  const { handle } = await import(files[1]!)
  await visit(
    t,
    overFetch((request, ip) => {
      const event = { request, getClientAddress: () => ip, locals: {} as { user?: { name: string } } }
      return handle({ event, resolve: async () => new Response(`<h1>${event.locals.user?.name ?? 'nobody'}</h1>`) })
    }),
  )
})

test('Nuxt: h3', async (t) => {
  const [{ default: middleware }] = await load(t, ['h3'], 'server/middleware/daypass.ts')
  const app = createApp()
  app.use(middleware)
  const router = createRouter()
  const home = eventHandler(({ context }) => `<h1>${context.user?.name ?? 'nobody'}</h1>`)
  app.use(router.get('/', home))
  await visit(t, toNodeListener(app))
})

for (const [heading, folder, least] of [
  ['Next.js (App Router)', 'examples/next', 6],
  ['SvelteKit', 'examples/sveltekit', 4],
] as const) {
  test(`${heading}: each snippet is a file of ${folder}, which test/browser/example-apps.test.ts runs`, () => {
    const text = readFileSync(join(root, page), 'utf8')
    const section = text.split(/^## /m).find((part) => part.startsWith(`${heading}\n`))!
    const snippets = [...section.matchAll(/^```\w+\n((?:\/\/|<!--) (\S+).*\n[\s\S]*?)^```/gm)]
    assert.ok(snippets.length >= least, `${snippets.length} snippets`)
    assert.equal(snippets.length, section.match(/^```(?:tsx?|svelte)$/gm)!.length, 'each snippet names its file')
    for (const [, code, file] of snippets) assert.equal(code, readFileSync(join(root, folder, file!), 'utf8'), file)
  })
}
