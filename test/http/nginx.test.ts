// Daypass behind a real nginx, with its defaults and with the usual headers. Over TLS the cookie is always `__Host-` and
// Secure.

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, request as httpRequest, type RequestListener } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import express from 'express'
import { fastify } from 'fastify'
import { createExpressAuth } from '../../src/adapters/express.ts'
import { createFastifyAuth } from '../../src/adapters/fastify.ts'
import { createFetchAuth } from '../../src/adapters/fetch.ts'
import { createNodeAuth, type NodeOptions } from '../../src/adapters/node.ts'
import type { Daypass, Warning } from '../../src/index.ts'
import { express4, overFetch } from '../adapters/apps.ts'
import { nginxMissing, startNginx } from '../engines/nginx.ts'
import { authenticate, listen, makeDaypass, password, type Role, running } from './server.ts'

/** An address of this machine that is not the proxy's. */
const visitor = process.platform === 'linux' ? '127.0.0.2' : '127.0.0.1'
/** The headers that tutorials set. */
const usual = `
  proxy_set_header Host $http_host;
  proxy_set_header X-Real-IP $remote_addr;
  proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
  proxy_set_header X-Forwarded-Proto $scheme;`
const usualButHost = usual.replace(/.*Host.*\n/, '')

type Options = NodeOptions<Role>
/** Starts an app on a port of 127.0.0.1; the port. */
type Start = (t: TestContext, auth: Daypass<Role>, options: Options) => Promise<number>

const onListener =
  (make: (auth: Daypass<Role>, options: Options) => RequestListener): Start =>
  async (t, auth, options) => {
    const server = await listen(make(auth, options))
    t.after(() => server.close())
    return server.port
  }
const onNode = onListener((auth, options) => {
  const web = createNodeAuth(auth, options)
  return (req, res) => void web.routes(req, res)
})
const onFetch = onListener((auth, options) => {
  const web = createFetchAuth(auth, options)
  return overFetch(async (request, ip) => (await web.routes(request, { ip }))!)
})
const onExpress = (trust: unknown, create = express) =>
  onListener((auth, options) => {
    const app = create()
    if (trust !== undefined) app.set('trust proxy', trust)
    return app.use(express.json(), createExpressAuth(auth, options).routes)
  })
const onFastify =
  (trustProxy: boolean | string): Start =>
  async (t, auth, options) => {
    const app = fastify({ trustProxy })
    app.register(createFastifyAuth(auth, options).routes)
    await app.listen({ port: 0, host: '127.0.0.1' })
    t.after(() => app.close())
    return running(app.server).port
  }

interface Asked {
  status: number
  json: any
  setCookie: string
}

async function serve(t: TestContext, start: Start, location: string, options: Options = {}, tls = true) {
  const made = makeDaypass()
  const warnings: Warning[] = []
  const all = { authenticate, onWarning: (warning: Warning) => void warnings.push(warning), ...options }
  const upstream = await start(t, made.auth, all)
  const nginx = await startNginx(location.replace('UPSTREAM', `127.0.0.1:${upstream}`), { tls })
  t.after(() => nginx.remove())
  const origin = tls ? `https://app.test:${nginx.port}` : `http://127.0.0.1:${nginx.port}`
  const post = (path: string, headers: Record<string, string>, json: object = {}) =>
    new Promise<Asked>((resolve, reject) => {
      const body = JSON.stringify(json)
      const sent = {
        hostname: '127.0.0.1',
        port: nginx.port,
        localAddress: visitor,
        path,
        method: 'POST',
        agent: false as const,
        headers: {
          host: new URL(origin).host,
          'content-type': 'application/json',
          'content-length': Buffer.byteLength(body),
          ...headers,
        },
      }
      const req = (tls ? httpsRequest({ ...sent, rejectUnauthorized: false }) : httpRequest(sent)).once('error', reject)
      req.once('response', async (res) => {
        const text = Buffer.concat(await res.toArray()).toString()
        const setCookie = String(res.headers['set-cookie'] ?? '')
        resolve({ status: res.statusCode!, json: JSON.parse(text), setCookie })
      })
      req.end(body)
    })
  return { ...made, warnings, upstream, origin, post }
}

const credentials = { name: 'ada', password }

/** Signs in as a browser's page and refreshes with the cookie that it was given. */
async function signIn({ post, origin }: Awaited<ReturnType<typeof serve>>, headers: Record<string, string>) {
  const login = await post('/auth/login', { origin, ...headers }, credentials)
  assert.equal(login.status, 200, JSON.stringify(login.json))
  const cookie = login.setCookie.split(';', 1)[0]!
  const refresh = await post('/auth/refresh', { origin, ...headers, cookie })
  assert.equal(refresh.status, 200, JSON.stringify(refresh.json))
  for (const answer of [login, refresh]) assert.equal(answer.setCookie.split('=')[0], cookie.split('=')[0])
  return login
}

const newBrowser = { 'sec-fetch-site': 'same-origin' }
const oldBrowser = {}
const secure = /^__Host-daypass=dpr_.*; Secure$/

describe('behind nginx', { skip: nginxMissing }, () => {
  const starts = { 'node:http': onNode, fetch: onFetch, 'Express 5': onExpress(undefined), Fastify: onFastify(false) }
  for (const [name, start] of Object.entries(starts)) {
    test(`${name}: nginx’s defaults, which change the Host and say nothing of themselves: the cookie is Secure`, async (t) => {
      const served = await serve(t, start, 'proxy_pass http://UPSTREAM;')
      assert.match((await signIn(served, newBrowser)).setCookie, secure)
      if (name === 'fetch') return
      assert.deepEqual(
        served.warnings.map(({ code }) => code),
        ['DAYPASS_PROXY_UNTRUSTED'],
      )
      assert.match(served.warnings[0]!.message, /changes the Host\..*`trustedProxies: /)
    })

    for (const [which, headers] of Object.entries({ usual, 'usual but Host': usualButHost })) {
      test(`${name}: the ${which} headers from a proxy that is not trusted: the cookie is Secure`, async (t) => {
        const served = await serve(t, start, `proxy_pass http://UPSTREAM; ${headers}`)
        const login = await signIn(served, newBrowser)
        assert.match(login.setCookie, secure)
        assert.equal(login.json.session.device.ip, '127.0.0.1')
        if (name === 'fetch') return
        assert.equal(served.warnings.length, 1, 'one warning, however many requests')
        assert.equal(served.warnings[0]!.code, 'DAYPASS_PROXY_UNTRUSTED')
        assert.match(served.warnings[0]!.message, /trustedProxies: \['127\.0\.0\.1'\]/)
      })
    }
  }

  const trusting: Record<string, [Start, Options]> = {
    '`trustedProxies`': [onNode, { trustedProxies: ['127.0.0.1'] }],
    '`trustedProxies` in Express': [onExpress(undefined), { trustedProxies: ['127.0.0.1'] }],
    '`trustedProxies` in Fastify': [onFastify(false), { trustedProxies: ['127.0.0.1'] }],
    'Express’s `trust proxy`: one hop': [onExpress(1), {}],
    'Express’s `trust proxy`: an address': [onExpress('127.0.0.1'), {}],
    'Express’s `trust proxy`: everybody': [onExpress(true), {}],
    'Express 4’s `trust proxy`': [onExpress('127.0.0.1', express4), {}],
    'Fastify’s `trustProxy`: an address': [onFastify('127.0.0.1'), {}],
    'Fastify’s `trustProxy`: everybody': [onFastify(true), {}],
  }
  for (const [name, [start, options]] of Object.entries(trusting)) {
    test(`${name}: the caller is the visitor, old browsers are let in, nothing is warned of`, async (t) => {
      const served = await serve(t, start, `proxy_pass http://UPSTREAM; ${usual}`, options)
      for (const browser of [newBrowser, oldBrowser]) {
        const login = await signIn(served, browser)
        assert.match(login.setCookie, secure)
        assert.equal(login.json.session.device.ip, visitor)
      }
      const plain = served.origin.replace('https', 'http')
      assert.equal(served.warnings.length, 0)
      assert.equal((await served.post('/auth/login', { origin: plain }, credentials)).status, 403)
      assert.match(served.warnings[0]!.message, /own host, but this request came over https/)
    })
  }

  test('`trustedProxies` goes before Express’s `trust proxy`, also where it names nobody', async (t) => {
    const served = await serve(t, onExpress(true), `proxy_pass http://UPSTREAM; ${usual}`, { trustedProxies: [] })
    const login = await signIn(served, newBrowser)
    assert.equal(login.json.session.device.ip, '127.0.0.1')
    assert.equal(served.warnings.length, 1)
  })

  test('what a visitor wrote into X-Forwarded-For is not believed by way of a proxy that is trusted', async (t) => {
    for (const [start, options] of [
      trusting['`trustedProxies`']!,
      [onExpress(1), {}],
      [onFastify('127.0.0.1'), {}],
    ] as [Start, Options][]) {
      const served = await serve(t, start, `proxy_pass http://UPSTREAM; ${usual}`, options)
      const login = await signIn(served, { ...newBrowser, 'x-forwarded-for': '203.0.113.9' })
      assert.equal(login.json.session.device.ip, visitor)
    }
  })

  test('over a Unix socket, where nginx’s Host is localhost: the cookie is Secure', async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'daypass-socket-'))
    const path = join(folder, 'app.sock')
    const { auth } = makeDaypass()
    const web = createNodeAuth(auth, { authenticate })
    const server = createServer((req, res) => void web.routes(req, res))
    await new Promise<void>((resolve) => server.listen(path, resolve))
    t.after(() => {
      server.close().closeAllConnections()
      rmSync(folder, { recursive: true, force: true })
    })
    const served = await serve(t, onNode, `proxy_pass http://unix:${path};`)
    const { setCookie } = await served.post('/auth/login', { origin: served.origin, ...newBrowser }, credentials)
    assert.match(setCookie, secure)
    // A program says no Origin: the Host alone must not make the cookie a plain one.
    assert.match((await served.post('/auth/login', newBrowser, credentials)).setCookie, secure)
  })

  test('plain http on this machine, under development: the plain cookie, and it works', async (t) => {
    const served = await serve(t, onNode, 'proxy_pass http://UPSTREAM;', {}, false)
    const login = await signIn(served, newBrowser)
    assert.match(login.setCookie, new RegExp(`^daypass-${served.upstream}=dpr_.*SameSite=Strict$`))
    assert.deepEqual(served.warnings, [])
  })
})
