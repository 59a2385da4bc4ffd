// docs/testing-your-app.md, as printed: its tests pass under Vitest, and its Playwright sign-in is one that a page finds.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { test } from 'node:test'
import express from 'express'
import { createExpressAuth } from '../../src/adapters/express.ts'
import { createDaypass } from '../../src/index.ts'
import { createMemoryStore, createSignedInHeaders } from '../../src/testing/index.ts'
import { launchBrowser } from '../browser/browser.ts'
import { listen } from '../http/server.ts'
import { createProject, readSnippet } from './project.ts'

const root = join(import.meta.dirname, '../..')
const page = 'docs/testing-your-app.md'
process.env.DAYPASS_SECRET = randomBytes(48).toString('base64')

test('the tests of the page pass under Vitest', { timeout: 120_000 }, (t) => {
  const { folder, write } = createProject(t, ['express', 'vitest'])
  write('app.ts', readSnippet(page, 'app.ts'))
  write('app.test.ts', readSnippet(page, 'app.test.ts'))
  const vitest = join(root, 'node_modules/vitest/vitest.mjs')
  const { stdout, stderr, status } = spawnSync(process.execPath, [vitest, 'run', '--root', folder], {
    encoding: 'utf8',
    env: { ...process.env, NO_COLOR: '1', NODE_TEST_CONTEXT: undefined },
  })
  assert.equal(status, 0, stdout + stderr)
  assert.match(stdout, /2 passed/)
})

test('a sign-in by Playwright’s request is found by the page', { timeout: 90_000 }, async (t) => {
  const { write } = createProject(t, ['express'])
  const { createApp } = await import(write('app.ts', readSnippet(page, 'app.ts')))
  const { app } = createApp({ store: createMemoryStore() })
  app.get('/', (_: unknown, res: { send(html: string): void }) => res.send('<title>an app</title>'))
  const server = await listen(app)
  t.after(() => server.close())
  const [, call = ''] = /(page\.request\.post\(.*\))/.exec(readSnippet(page, 'signed-in.ts')) ?? []
  assert.match(call, /headers, data/)

  const browser = await launchBrowser()
  t.after(() => browser.close())
  const tab = await browser.newPage()
  const baseURL = `http://localhost:${server.port}`
  const headers = { origin: baseURL }
  // The very call that the page prints.
  const signIn = new Function('page', 'baseURL', 'headers', `return ${call}`)
  assert.equal((await signIn(tab, baseURL, headers)).status(), 200)
  await tab.goto(baseURL)
  const refresh = `fetch('/auth/refresh', { method: 'POST' }).then((response) => response.json())`
  assert.equal((await tab.evaluate<any>(refresh)).session.subject, 'ada')
})

test('createSignedInHeaders: a guard and a rendered page know the person, and nobody without the headers', async (t) => {
  const auth = createDaypass<{ role: string }>({
    secret: randomBytes(48),
    issuer: 'https://id.test',
    store: createMemoryStore(),
  })
  const web = createExpressAuth(auth)
  const app = express()
  app.get('/page', async (req, res) => void res.json((await web.findSession(req))?.claims ?? null))
  app.get(
    '/orders',
    web.requireAuth((req, res) => res.json(req.auth.claims)),
  )
  const server = await listen(app)
  t.after(() => server.close())
  const read = async (path: string, headers: Record<string, string>) => {
    const response = await fetch(server.origin + path, { headers })
    return response.status === 200 ? response.json() : response.status
  }
  const headers = { ...(await createSignedInHeaders(auth, 'ada', { claims: { role: 'admin' } })) }
  for (const path of ['/page', '/orders']) assert.deepEqual(await read(path, headers), { role: 'admin' })
  assert.deepEqual([await read('/page', {}), await read('/orders', {})], [null, 401])
  // @ts-expect-error: a role is required.
  const wrong = () => createSignedInHeaders(auth, 'ada')
  assert.equal(typeof wrong, 'function')
})
