// A request of node:http, translated: the body that other code kept, the address, the mount, and headers that came twice.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createNodeHttp, type NodeMessage, type NodeOptions, readKeptBody } from '../../src/adapters/node-http.ts'
import type { HttpResponse } from '../../src/http/response.ts'
import { makeDaypass, type Role } from '../http/server.ts'

/** A message as node:http or an adapter for functions makes it. */
const message = (given: Record<string, unknown> = {}) =>
  ({
    method: 'GET',
    url: '/where',
    headers: {},
    rawHeaders: [],
    readableEnded: true,
    readableDidRead: true,
    httpVersionMajor: 1,
    socket: { remoteAddress: '192.0.2.1' },
    ...given,
  }) as unknown as NodeMessage

test('a body that is still to be read counts as none, whatever `req.body` holds', () => {
  const body = { a: 1 }
  const read = (readableEnded: boolean, readableDidRead: boolean) =>
    readKeptBody(message({ body, readableEnded, readableDidRead }))
  assert.equal(read(false, false), undefined)
  for (const [ended, did] of [
    [true, true],
    [false, true],
    [true, false],
  ] as const) {
    assert.equal(read(ended, did), body)
  }
})

test('the bytes of a body count before the value that a parser made of them', () => {
  const body = { a: 1 }
  for (const rawBody of ['{"a":1}', new Uint8Array([123, 125])]) {
    assert.equal(readKeptBody(message({ body, rawBody })), rawBody)
  }
  for (const rawBody of [undefined, null, {}, 7]) assert.equal(readKeptBody(message({ body, rawBody })), body)
  assert.equal(readKeptBody(message({ body: 'other' }), body), body, 'the body that a framework gives')
})

test('what a parser left that read nothing, or that took JSON for a form, is no body', () => {
  for (const body of [undefined, null, {}]) assert.equal(readKeptBody(message({ body })), undefined)
  const length = (value: string) => ({ headers: { 'content-length': value } })
  assert.deepEqual(readKeptBody(message({ body: {}, _body: true })), {})
  assert.deepEqual(readKeptBody(message({ body: {}, ...length('2') })), {})
  assert.deepEqual(readKeptBody(message({ body: {}, ...length('0') })), {})
  assert.equal(readKeptBody(message({ body: {}, ...length('3') })), undefined)
  for (const body of ['', 'text', new Uint8Array(), Buffer.from('{}'), [1], { a: '' }]) {
    assert.equal(readKeptBody(message({ body })), body)
  }
  for (const name of ['{"refreshToken":"x"}', ' \n{"a":1}']) {
    assert.equal(readKeptBody(message({ body: { [name]: '' } })), undefined)
  }
  for (const body of [{ 'a{': 1 }, { x: 1, '{"a":1}': '' }, '{"a":1}', Buffer.from('{')]) {
    assert.equal(readKeptBody(message({ body })), body)
  }
})

/** The parts of a request that a route of the app gets. */
async function seen(
  given: Record<string, unknown>,
  { mount, ...options }: NodeOptions<Role> & { mount?: string } = {},
) {
  const { auth } = makeDaypass()
  let found: Record<string, unknown> | undefined
  const web = createNodeHttp(auth, {
    routes: [
      {
        method: 'GET',
        path: '/where',
        access: 'page',
        run({ request }) {
          const { path, host, secure, ip, userAgent } = request
          found = { path, host, secure, ip, userAgent, two: request.headers('x-two') }
          return { body: 1 }
        },
      },
    ],
    ...options,
  })
  const responses: HttpResponse[] = []
  const exchange = {
    req: message(given),
    res: { headersSent: false } as never,
    body: undefined,
    write: (response: HttpResponse) => void responses.push(response),
  }
  const isOurs = await web.routes(exchange, mount)
  assert.equal(responses.length, isOurs ? 1 : 0)
  return found
}

test('the path and the host are those of the URL; of an absolute one, its host counts', async () => {
  const headers = { host: 'app.test' }
  for (const [url, path, host] of [
    ['/where', '/where', 'app.test'],
    ['/where?a=/b', '/where', 'app.test'],
    ['/where#a', '/where', 'app.test'],
    ['http://other.test/where?a', '/where', 'other.test'],
    ['HTTPS://other.test:8443/where', '/where', 'other.test:8443'],
  ] as const) {
    const found = await seen({ url, headers })
    assert.deepEqual([found?.path, found?.host], [path, host], url)
  }
  for (const url of ['/', '', undefined, 'x-http://other.test/where', '/http://other.test/where', 'where', '*']) {
    assert.equal(await seen({ url, headers }), undefined, url)
  }
  assert.equal((await seen({ headers: { ':authority': 'h2.test' } }))?.host, 'h2.test')
  assert.equal((await seen({}))?.host, '')
})

test('the path that a framework took off the URL is the mount', async () => {
  const below = (url: string, originalUrl: string) => seen({ url, originalUrl })
  assert.equal((await below('/where', '/api/where?a'))?.path, '/api/where')
  assert.equal((await below('/where?a', '/api/where?a'))?.path, '/api/where')
  assert.equal((await below('/where', '/where'))?.path, '/where')
  assert.equal((await below('http://a.test/where', 'http://a.test/api/where'))?.path, '/api/where')
  // A framework that rewrote the URL to another path has mounted nothing.
  assert.equal(await below('/elsewhere', '/api/where'), undefined)
  assert.equal((await below('/elsewhere', '/where'))?.path, '/where')
  assert.equal(await seen({ url: '/api/where' }), undefined, 'a prefix that nothing took off')
  assert.equal((await seen({ url: '/v1/where' }, { mount: '/v1' }))?.path, '/v1/where')
  assert.equal(await seen({ url: '/where', originalUrl: '/api/where' }, { mount: '' }), undefined)
})

test('the connection says who calls, and over what', async () => {
  const found = await seen({ headers: { 'user-agent': 'Test/1' } })
  assert.deepEqual([found?.ip, found?.secure, found?.userAgent], ['192.0.2.1', false, 'Test/1'])
  assert.equal((await seen({ socket: { encrypted: true } }))?.secure, true)
  assert.equal((await seen({ socket: { encrypted: 'yes' } }))?.secure, false)
  const functions = await seen({ socket: undefined, headers: { host: 'fn.test' } })
  assert.deepEqual([functions?.ip, functions?.secure, functions?.host], [undefined, false, 'fn.test'])
  const proxied = { headers: { 'x-forwarded-for': '203.0.113.9' } }
  assert.equal((await seen(proxied, { trustedProxies: ['192.0.2.1'] }))?.ip, '203.0.113.9')
})

test('every value of a header is there; where middleware has set it, that counts', async () => {
  const two = async (headers: object, rawHeaders: string[] = []) => (await seen({ headers, rawHeaders }))?.two
  assert.deepEqual(await two({}), [])
  assert.deepEqual(await two({}, ['X-Two', 'a']), [], 'middleware has removed it')
  assert.deepEqual(await two({ 'x-two': 'a' }, ['X-Two', 'a']), ['a'])
  assert.deepEqual(await two({ 'x-two': 'a' }, ['X-Two', 'a', 'Other', 'x', 'x-two', 'b']), ['a', 'b'])
  assert.deepEqual(await two({ 'x-two': 'a, b' }, ['X-Two', 'a', 'x-two', 'b']), ['a', 'b'])
  assert.deepEqual(await two({ 'x-two': 'a; b' }, ['X-Two', 'a', 'x-two', 'b']), ['a', 'b'])
  assert.deepEqual(await two({ 'x-two': 'set' }, ['X-Two', 'a', 'x-two', 'b']), ['set'])
  assert.deepEqual(await two({ 'x-two': ['a', 'b'] }), ['a', 'b'])
  assert.deepEqual(await two({ 'x-two': 7 }), ['7'])
  assert.deepEqual(await two({ 'x-two': 'a' }, ['X-Twos', 'b', 'Y-Two', 'c']), ['a'])
})

test('a body that other code kept is as long as the limit allows, and no longer', async () => {
  const { auth } = makeDaypass()
  const { refreshToken } = await auth.issue('ada', { claims: { role: 'member' } })
  const text = JSON.stringify({ refreshToken })
  const statusOf = async (bodyLimit: number, body: unknown) => {
    const web = createNodeHttp(auth, { bodyLimit, transport: 'body' })
    const responses: HttpResponse[] = []
    const headers = { 'content-type': 'application/json', 'transfer-encoding': 'chunked' }
    await web.routes({
      req: message({ method: 'POST', url: '/auth/logout', headers }),
      res: { headersSent: false } as never,
      body,
      write: (response) => void responses.push(response),
    })
    return responses[0]?.status
  }
  for (const body of [text, Buffer.from(text)]) {
    assert.equal(await statusOf(text.length - 1, body), 413)
    assert.equal(await statusOf(text.length, body), 204)
  }
})
