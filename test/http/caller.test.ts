// The caller's address in a session's device and in events, through every adapter.

import assert from 'node:assert/strict'
import type { RequestListener } from 'node:http'
import { type TestContext, test } from 'node:test'
import express from 'express'
import { fastify } from 'fastify'
import { createExpressAuth } from '../../src/adapters/express.ts'
import { createFastifyAuth } from '../../src/adapters/fastify.ts'
import { createFetchAuth } from '../../src/adapters/fetch.ts'
import { createNodeAuth } from '../../src/adapters/node.ts'
import { createClientFinder } from '../../src/http/client-address.ts'
import type { Daypass, Warning } from '../../src/index.ts'
import { createWarner } from '../../src/warn.ts'
import { express4, overFetch } from '../adapters/apps.ts'
import { authenticate, call, listen, makeDaypass, password, type Role } from './server.ts'

const onListener = async (t: TestContext, listener: RequestListener) => {
  const server = await listen(listener)
  t.after(() => server.close())
  return server.origin
}
const onExpress = (create: typeof express) => (t: TestContext, auth: Daypass<Role>) => {
  const app = create().set('trust proxy', true)
  return onListener(t, app.use(createExpressAuth(auth, { authenticate }).routes))
}
/** Each believes whatever stands in X-Forwarded-For. */
const starts: Record<string, (t: TestContext, auth: Daypass<Role>) => Promise<string>> = {
  'Express 5': onExpress(express),
  'Express 4': onExpress(express4),
  async Fastify(t, auth) {
    const app = fastify({ trustProxy: true })
    app.register(createFastifyAuth(auth, { authenticate }).routes)
    t.after(() => app.close())
    return app.listen({ port: 0, host: '127.0.0.1' })
  },
  'node:http': (t, auth) => {
    const web = createNodeAuth(auth, { authenticate, trustedProxies: ['127.0.0.1'] })
    return onListener(t, (req, res) => void web.routes(req, res))
  },
  fetch: (t, auth) => {
    const web = createFetchAuth(auth, { authenticate })
    return onListener(
      t,
      overFetch(async (request) => (await web.routes(request, { ip: request.headers.get('x-forwarded-for')! }))!),
    )
  },
}

const addresses: Record<string, string> = {
  '203.0.113.9': '203.0.113.9',
  '203.0.113.9:5123': '203.0.113.9',
  '::ffff:203.0.113.9': '203.0.113.9',
  '2001:db8::9': '2001:db8::9',
  '[2001:db8::9]:5123': '2001:db8::9',
}
const noAddresses = ['<script>alert(1)</script>', 'A'.repeat(9000), 'unknown', '203.0.113.999', '1', '_hidden', '::g']

for (const [name, start] of Object.entries(starts)) {
  test(`${name}: what is no address is not kept as one`, async (t) => {
    const { auth, events } = makeDaypass()
    const origin = await start(t, auth)
    const json = { name: 'ada', password, transport: 'body' }
    for (const given of [...Object.keys(addresses), ...noAddresses]) {
      const answer = await call(origin, 'POST /auth/login', { json, headers: { 'x-forwarded-for': given } })
      assert.equal(answer.status, 200, answer.text)
      const { ip } = answer.json.session.device
      // Where a proxy is configured, its own address is what is known.
      assert.equal(ip, addresses[given] ?? (name === 'node:http' ? '127.0.0.1' : undefined), given)
      assert.equal(events.at(-1)!.request?.ip, ip)
    }
  })
}

test('a header of a stranger does not hide the warning of the proxy, and says whose address it is', () => {
  const warnings: Warning[] = []
  const findClient = createClientFinder(
    undefined,
    createWarner((warning) => warnings.push(warning)),
  )
  const ask = (ip: string, headers: Record<string, string>) =>
    findClient({ ip, secure: false, host: 'localhost:3000' }, (name) => headers[name])
  for (let turn = 0; turn < 3; turn++) {
    ask('203.0.113.9', { 'x-forwarded-for': '198.51.100.1' })
    ask('10.0.0.7', { 'x-forwarded-proto': 'https' })
    ask('10.0.0.8', { 'sec-fetch-site': 'same-origin', origin: 'https://app.test' })
  }
  const about = [
    ['203.0.113.9', 'x-forwarded-for'],
    ['10.0.0.7', 'x-forwarded-proto'],
    ['10.0.0.8', 'sec-fetch-site'],
  ]
  assert.equal(warnings.length, about.length)
  for (const [index, [ip, header]] of about.entries()) {
    const { message } = warnings[index]!
    assert.ok(message.startsWith(`A request from ${ip} `), message)
    assert.ok(message.includes(`header ${header}`), message)
    assert.ok(message.includes(`If this is your proxy, and only then, name it: \`trustedProxies: ['${ip}']\``), message)
  }
})
