// The published daypass/fetch, core, stores and verifier in Bun, Deno and workerd.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { describe, type TestContext, test } from 'node:test'
import { createVerifier } from '../../src/verify/index.ts'
import { bundleWorker, startPlainWorkerd } from '../client/workerd.ts'
import { createProject, readSnippet } from '../docs/project.ts'
import { noD1, startMiniflare } from '../engines/d1.ts'
import { startPostgres } from '../engines/postgres.ts'
import { redisMissing, startRedis } from '../engines/redis.ts'
import { findRuntime, notInstalled } from '../engines/runtimes.ts'
import { assertRefused, bearer, call, newKey, ownPage, refreshBody, refreshCookie } from '../http/server.ts'
import { audience, ec, ed, issuer, jwks, makeToken, now, rsa } from '../verify/tokens.ts'

const server = join(import.meta.dirname, 'elsewhere-server.ts')

/** Runs the server of a runtime on the published files, `dist/`. Returns its origin. */
async function startServer(t: TestContext, command: string[], store: string, address = ''): Promise<string> {
  const [program = '', ...flags] = command
  const child = spawn(program, [...flags, server, store, address], { stdio: ['ignore', 'pipe', 'pipe'] })
  const ended = once(child, 'exit')
  t.after(async () => {
    child.kill('SIGKILL')
    await ended
  })
  let log = ''
  child.stderr.on('data', (chunk) => {
    log += chunk
  })
  for await (const line of createInterface({ input: child.stdout })) {
    if (/^\d+$/.test(line)) return `http://127.0.0.1:${line}`
  }
  throw new Error(`It ended: ${log}`)
}

/** What every runtime must do over HTTP. */
async function visit(origin: string): Promise<void> {
  const wrong = { name: 'ada', password: 'wrong', transport: 'body' }
  assertRefused(await call(origin, 'POST /auth/login', { json: wrong }), 401, 'ERR_CREDENTIALS_INVALID')
  const json = { name: 'ada', password: 'secret' }
  const body = await call(origin, 'POST /auth/login', { json: { ...json, transport: 'body' } })
  assert.equal(body.status, 200, body.text)
  assert.deepEqual((await call(origin, 'GET /me', { headers: bearer(body.json.accessToken) })).json, {
    subject: 'ada',
    role: 'found',
  })
  assertRefused(await call(origin, 'GET /me'), 401, 'ERR_ACCESS_TOKEN_MISSING')
  const key = newKey()
  const [first, second] = [
    await refreshBody(origin, body.json.refreshToken, key),
    await refreshBody(origin, body.json.refreshToken, key),
  ]
  assert.equal(first.status, 200, first.text)
  assert.equal(second.json.refreshToken, first.json.refreshToken)

  const signedIn = await call(origin, 'POST /auth/login', { json, headers: ownPage })
  const page = async (cookie: string) => (await call(origin, 'GET /page', { headers: { ...ownPage, cookie } })).json
  assert.equal(await page(signedIn.cookie!), 'ada')
  const refreshed = await refreshCookie(origin, signedIn.cookie!, newKey())
  assert.equal(refreshed.status, 200, refreshed.text)
  const [one, two] = await Promise.all([
    refreshCookie(origin, refreshed.cookie!, key),
    refreshCookie(origin, refreshed.cookie!, key),
  ])
  assert.equal(one.cookie, two.cookie)
  const out = await call(origin, 'POST /auth/logout', { headers: { ...ownPage, cookie: one.cookie! } })
  assert.equal(out.status, 204)
  assert.equal(await page(one.cookie!), null)
  assertRefused(await refreshCookie(origin, one.cookie!), 401, 'ERR_SESSION_REVOKED', 'invalid_grant')
  assertRefused(
    await call(origin, 'GET /me', { headers: bearer(one.json.accessToken) }),
    401,
    'ERR_ACCESS_TOKEN_REVOKED',
  )

  const keys = (await call(origin, 'GET /.well-known/jwks.json')).json
  const verifier = createVerifier({ issuer: 'https://id.test', jwks: keys })
  assert.equal((await verifier.verify(first.json.accessToken)).subject, 'ada')
}

const algorithms = ['EdDSA', 'ES256', 'RS256', 'HS256']

/** The verifier accepts and rejects what it does in Node, with each algorithm. */
async function verify(url: string): Promise<void> {
  const tokens = Object.fromEntries(
    algorithms.map((alg) => {
      const right = makeToken(undefined, {}, alg)
      // The first character of the signature: all its bits count.
      const at = right.lastIndexOf('.') + 1
      const wrong = `${right.slice(0, at)}${right[at] === 'A' ? 'B' : 'A'}${right.slice(at + 1)}`
      return [alg, { right, wrong }]
    }),
  )
  const response = await fetch(url, { method: 'POST', body: JSON.stringify({ issuer, audience, now, jwks, tokens }) })
  const text = await response.text()
  assert.equal(response.status, 200, text)
  const expected = algorithms.map((alg) => [alg, ['user-1', 'ERR_ACCESS_TOKEN_INVALID']])
  assert.deepEqual(JSON.parse(text), Object.fromEntries(expected))
}

/** Tokens that a runtime signs with keys of one's own are good elsewhere. */
async function sign(origin: string): Promise<void> {
  const pem = (key: typeof ed.privateKey) => key.export({ type: 'pkcs8', format: 'pem' })
  const keys = { EdDSA: pem(ed.privateKey), ES256: pem(ec.privateKey), RS256: pem(rsa.privateKey) }
  const response = await fetch(`${origin}/sign`, { method: 'POST', body: JSON.stringify(keys) })
  const text = await response.text()
  assert.equal(response.status, 200, text)
  for (const [alg, { accessToken, jwks }] of Object.entries(JSON.parse(text) as Record<string, any>)) {
    assert.equal((await createVerifier({ issuer: 'https://id.test', jwks }).verify(accessToken)).subject, 'ada', alg)
  }
}

const runtimes: Record<string, string[]> = {
  bun: ['run'],
  deno: ['run', '--allow-all'],
}

for (const [name, flags] of Object.entries(runtimes)) {
  const found = findRuntime(name)
  const command = [found?.program ?? '', ...flags]
  describe(name, { skip: found ? false : notInstalled(name) }, () => {
    test('the routes, the guard and a rendered page, the verifier and signing keys, with each algorithm', async (t) => {
      const origin = await startServer(t, command, 'memory')
      await visit(origin)
      await verify(`${origin}/verify`)
      await sign(origin)
      t.diagnostic(`engine: ${name} ${found!.version} (the server)`)
    })

    test('on SQLite', async (t) => {
      const folder = mkdtempSync(join(tmpdir(), 'daypass-runtimes-'))
      t.after(() => rmSync(folder, { recursive: true, force: true }))
      await visit(await startServer(t, command, 'sqlite', join(folder, 'x.db')))
    })

    test('on PostgreSQL', async (t) => {
      const engine = await startPostgres()
      t.after(() => engine.remove())
      await visit(await startServer(t, command, 'postgres', await engine.database()))
    })

    test('on Redis', { skip: redisMissing }, async (t) => {
      const engine = await startRedis()
      t.after(() => engine.remove())
      await visit(await startServer(t, command, 'redis', engine.url))
    })
  })
}

const workerd = findRuntime('workerd')

describe('workerd', { skip: workerd ? false : notInstalled('workerd') }, () => {
  test('with nodejs_compat: the routes, the guard and a rendered page, the verifier and signing keys, with each algorithm', async (t) => {
    const origin = await startPlainWorkerd(t, workerd!.program, join(import.meta.dirname, 'elsewhere-worker.ts'), true)
    await visit(origin)
    await verify(`${origin}/verify`)
    await sign(origin)
    t.diagnostic(`engine: workerd ${workerd!.version} (the server)`)
  })

  test('without nodejs_compat: the verifier, with each algorithm', async (t) => {
    await verify(await startPlainWorkerd(t, workerd!.program, join(import.meta.dirname, 'elsewhere-verify.ts'), false))
  })
})

describe('workerd with Cloudflare D1', { skip: noD1 }, () => {
  test('the routes, the guard and a rendered page; the first requests arrive together', async (t) => {
    const miniflare = await startMiniflare(await bundleWorker(join(import.meta.dirname, 'elsewhere-d1.ts')))
    t.after(() => miniflare.dispose())
    const { origin } = await miniflare.ready
    await Promise.all(Array.from({ length: 8 }, () => visit(origin)))
    t.diagnostic('engine: Cloudflare D1 (Miniflare, in a Worker)')
  })

  test('the Worker of docs/libsql.md, as printed', async (t) => {
    const worker = createProject(t).write('worker.ts', readSnippet('docs/libsql.md', 'worker.ts'))
    const secret = { DAYPASS_SECRET: 'a secret for the Worker of the docs, thirty-two bytes' }
    const miniflare = await startMiniflare(await bundleWorker(worker), secret)
    t.after(() => miniflare.dispose())
    const { origin } = await miniflare.ready
    const json = { name: 'ada', password: 'secret', transport: 'body' }
    const signedIn = await call(origin, 'POST /auth/login', { json })
    assert.equal(signedIn.status, 200, signedIn.text)
    assert.equal((await refreshBody(origin, signedIn.json.refreshToken, newKey())).status, 200)
    assert.equal((await call(origin, 'GET /')).status, 404)
    assert.equal((await (await miniflare.getWorker()).scheduled({ cron: '0 4 * * *' })).outcome, 'ok')
  })
})
