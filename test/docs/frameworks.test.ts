// docs/frameworks.md, as printed: each snippet signs in, guards, renders, refreshes and signs out, in the real framework.

import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { Server } from 'node:http'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { serve } from '@hono/node-server'
import { NestFactory } from '@nestjs/core'
import { ExpressAdapter } from '@nestjs/platform-express'
import { FastifyAdapter } from '@nestjs/platform-fastify'
import { overFetch } from '../adapters/apps.ts'
import { freePort } from '../engines/free-port.ts'
import { findRuntime, notInstalled } from '../engines/runtimes.ts'
import { bearer, call, listen, newKey, ownPage, type Running, running } from '../http/server.ts'
import { createProject, readScript, readSnippet } from './project.ts'

const page = 'docs/frameworks.md'
process.env.DAYPASS_SECRET = randomBytes(48).toString('base64')

/** Imports a snippet of the page, on a database in memory. */
async function load(t: TestContext, packages: string[], file: string) {
  const { write } = createProject(t, packages)
  return import(write(file, readSnippet(page, file).replace("'./data/daypass.db'", "':memory:'")))
}

/** Does what the snippets have in common, as a browser. */
async function visit(t: TestContext, server: Pick<Running, 'origin' | 'port' | 'close'>) {
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

test('Fastify', async (t) => {
  const { app } = await load(t, ['fastify'], 'fastify.ts')
  await app.listen({ port: 0, host: '127.0.0.1' })
  await visit(t, running(app.server))
})

test('Hono', async (t) => {
  const { app } = await load(t, ['hono', '@hono/node-server'], 'hono.ts')
  const server = await new Promise<Server>((resolve) => {
    const started = serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' }, () => resolve(started as Server))
  })
  await visit(t, running(server))
})

/** Compiles a snippet with decorators, as the command line of NestJS does. */
async function loadNest(t: TestContext) {
  const packages = ['@nestjs/common', '@nestjs/core', '@nestjs/platform-express', '@nestjs/platform-fastify']
  const { folder, write } = createProject(t, packages)
  const file = write('nest.ts', readSnippet(page, 'nest.ts').replace("'./data/daypass.db'", "':memory:'"))
  const options = ['--module', 'nodenext', '--target', 'es2023', '--experimentalDecorators', '--emitDecoratorMetadata']
  const tsc = join(import.meta.dirname, '../../node_modules/.bin/tsc')
  await promisify(execFile)(tsc, [...options, '--noCheck', '--types', '', '--outDir', folder, file], { cwd: folder })
  return import(join(folder, 'nest.js'))
}

for (const [platform, createAdapter] of Object.entries({
  Express: () => new ExpressAdapter(),
  Fastify: () => new FastifyAdapter(),
})) {
  test(`NestJS on ${platform}`, async (t) => {
    const { AppModule } = await loadNest(t)
    const app = await NestFactory.create(AppModule, createAdapter(), { logger: false })
    await app.listen(0, '127.0.0.1')
    await visit(t, running(app.getHttpServer()))
  })
}

test('Koa', async (t) => {
  const { app } = await load(t, ['koa', '@koa/router'], 'koa.ts')
  await visit(t, await listen(app.callback()))
})

/** Writes `auth.ts` and a script of the page. */
function createFetchProject(t: TestContext, packages: string[], file: string, edit = (code: string) => code) {
  const { folder, write } = createProject(t, packages)
  write('auth.ts', readSnippet(page, 'auth.ts'))
  const code = file.endsWith('.js') ? readScript(page, file) : readSnippet(page, file)
  return { folder, path: write(file, edit(code)) }
}

test('fetch: the module that the others share', async (t) => {
  const { path } = createFetchProject(t, [], 'auth.ts')
  const { app } = await import(path)
  await visit(t, await listen(overFetch(app)))
})

test('h3 2', async (t) => {
  const { app } = await import(createFetchProject(t, ['h3=h3-2'], 'h3.js').path)
  const { serve } = (await import('h3-2')) as any
  const started = serve(app, { port: 0, hostname: '127.0.0.1', silent: true })
  await started.ready()
  const server = running(started.node.server)
  await visit(t, server)
})

test('tRPC', async (t) => {
  const { path } = createFetchProject(t, ['@trpc/server'], 'trpc.ts')
  const { respond } = await import(path)
  const server = await listen(overFetch(respond))
  t.after(() => server.close())
  const json = { name: 'ada', password: 'secret', transport: 'body' }
  const signedIn = await call(server.origin, 'POST /auth/login', { json })
  const headers = bearer(signedIn.json.accessToken)
  const me = await call(server.origin, 'GET /trpc/me', { headers })
  assert.deepEqual(me.json.result.data, { subject: 'Ada', role: 'admin' })
  const batch = 'GET /trpc/hello,me?batch=1&input=%7B%7D'
  assert.deepEqual((await call(server.origin, batch, { headers })).json[1].result.data, me.json.result.data)
  // A visitor may ask one of them. A token that is not valid fails both, so that the client refreshes.
  assert.equal((await call(server.origin, 'GET /trpc/me')).status, 401)
  assert.equal((await call(server.origin, 'GET /trpc/hello')).json.result.data, 'Hello')
  assert.equal((await call(server.origin, batch)).status, 207)
  assert.equal((await call(server.origin, batch, { headers: bearer('a.b.c') })).status, 401)
})

for (const [name, startAt] of Object.entries({
  bun: (port: number, path: string) => ['run', path, String(port)],
  deno: (port: number, path: string) => ['serve', '-A', '--host', '127.0.0.1', '--port', String(port), path],
})) {
  const found = findRuntime(name)
  test(name, { skip: found ? false : notInstalled(name) }, async (t) => {
    const port = await freePort()
    const { folder, path } = createFetchProject(t, [], `${name}.js`, (code) => code.replace('3000', String(port)))
    const child = spawn(found!.program, startAt(port, path), { cwd: folder, stdio: 'ignore' })
    const ended = once(child, 'exit')
    const close = async () => {
      child.kill('SIGKILL')
      await ended
    }
    t.after(close)
    const origin = `http://127.0.0.1:${port}`
    await until(() => fetch(`${origin}/me`))
    await visit(t, { origin, port, close })
  })
}

/** Tries until it succeeds, for ten seconds at most. */
async function until(work: () => Promise<unknown>): Promise<void> {
  for (let turn = 0; ; turn++) {
    try {
      await work()
      return
    } catch (error) {
      if (turn === 200) throw error
      await delay(50)
    }
  }
}
