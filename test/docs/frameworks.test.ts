// docs/frameworks.md, as printed: each snippet signs in, guards, renders, refreshes and signs out, in the real framework.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import type { Server } from 'node:http'
import { type TestContext, test } from 'node:test'
import { serve } from '@hono/node-server'
import { bearer, call, listen, newKey, ownPage, type Running, running } from '../http/server.ts'
import { createProject, readSnippet } from './project.ts'

const page = 'docs/frameworks.md'
process.env.DAYPASS_SECRET = randomBytes(48).toString('base64')

/** Imports a snippet of the page, on a database in memory. */
async function load(t: TestContext, packages: string[], file: string) {
  const { write } = createProject(t, packages)
  return import(write(file, readSnippet(page, file).replace("'./data/daypass.db'", "':memory:'")))
}

/** Does what the snippets have in common, as a browser. */
async function visit(t: TestContext, server: Running) {
  t.after(() => server.close())
  const { origin } = server
  const wrong = { name: 'ada', password: 'wrong' }
  assert.equal((await call(origin, 'POST /auth/login', { headers: ownPage, json: wrong })).status, 401)
  const json = { name: 'ada', password: 'secret' }
  const signedIn = await call(origin, 'POST /auth/login', { headers: ownPage, json })
  assert.equal(signedIn.status, 200, signedIn.text)
  assert.match(signedIn.setCookie!, new RegExp(`^daypass-${server.port}=dpr_.*SameSite=Lax`))
  const headers = bearer(signedIn.json.accessToken)
  assert.deepEqual((await call(origin, 'GET /me', { headers })).json, { subject: 'Ada', role: 'admin' })
  assert.equal((await call(origin, 'GET /me')).status, 401)
  assert.equal((await call(origin, 'DELETE /users/7', { headers })).status, 204)
  const render = async (cookie?: string) => {
    const response = await call(origin, 'GET /', { headers: { ...ownPage, ...(cookie && { cookie }) } })
    assert.equal(response.setCookie, undefined)
    return response.text
  }
  assert.doesNotMatch(await render(), /Ada/)
  assert.match(await render(signedIn.cookie), /Ada/)
  const key = { 'idempotency-key': `"${newKey()}"` }
  const refreshed = await call(origin, 'POST /auth/refresh', {
    headers: { ...ownPage, cookie: signedIn.cookie!, ...key },
  })
  assert.equal(refreshed.status, 200, refreshed.text)
  for (const cookie of [signedIn.cookie, refreshed.cookie]) assert.match(await render(cookie), /Ada/)
  const signedOut = await call(origin, 'POST /auth/logout', { headers: { ...ownPage, cookie: refreshed.cookie! } })
  assert.equal(signedOut.status, 204)
  assert.doesNotMatch(await render(refreshed.cookie), /Ada/)
}

test('Hono', async (t) => {
  const { app } = await load(t, ['hono', '@hono/node-server'], 'hono.ts')
  const server = await new Promise<Server>((resolve) => {
    const started = serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' }, () => resolve(started as Server))
  })
  await visit(t, running(server))
})

test('Koa', async (t) => {
  const { app } = await load(t, ['koa', '@koa/router'], 'koa.ts')
  await visit(t, await listen(app.callback()))
})
