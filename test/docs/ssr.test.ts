// docs/ssr.md, as printed: each framework's snippet signs in, renders the name and refreshes, in the real framework.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import type { RequestListener } from 'node:http'
import { type TestContext, test } from 'node:test'
import { createApp, createRouter, eventHandler, toNodeListener } from 'h3'
import { createStaticHandler, type RouteObject } from 'react-router'
import { overFetch } from '../adapters/apps.ts'
import { call, listen, newKey, ownPage } from '../http/server.ts'
import { createProject, readSnippet } from './project.ts'

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
  assert.deepEqual(signedIn.json.user, { name: 'Ada' })
  assert.match(signedIn.setCookie!, /SameSite=Lax/)
  assert.match(await render(signedIn.cookie), /Ada/)
  const headers = { ...ownPage, cookie: signedIn.cookie!, 'idempotency-key': `"${newKey()}"` }
  const refreshed = await call(origin, 'POST /auth/refresh', { headers })
  assert.deepEqual([refreshed.status, refreshed.json.user], [200, { name: 'Ada' }])
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
  const [{ handle }] = await load(t, [], 'src/hooks.server.ts')
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

test('Next', async (t) => {
  const [{ GET, POST }] = await load(t, [], 'app/auth/[...path]/route.ts')
  assert.equal((await GET(new Request('http://localhost:3000/auth/nowhere'))).status, 404)
  const json = { name: 'ada', password: 'secret' }
  const headers = { ...ownPage, 'content-type': 'application/json' }
  const request = new Request('http://localhost:3000/auth/login', {
    method: 'POST',
    headers,
    body: JSON.stringify(json),
  })
  const response: Response = await POST(request)
  assert.deepEqual((await response.json()).user, { name: 'Ada' })
})
