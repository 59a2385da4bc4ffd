// Odd requests, byte by byte, through every adapter over real sockets. All give the same response.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect as connectHttp2, createServer as createHttp2Server } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import express, { type ErrorRequestHandler } from 'express'
import fastify from 'fastify'
import { createExpressAuth } from '../../src/adapters/express.ts'
import { createFastifyAuth } from '../../src/adapters/fastify.ts'
import { createFetchAuth } from '../../src/adapters/fetch.ts'
import { createNodeAuth, type NodeOptions } from '../../src/adapters/node.ts'
import {
  authenticate,
  listen,
  makeDaypass,
  newKey,
  password,
  type Role,
  type Running,
  raw,
  running,
} from '../http/server.ts'
import { express4, overFetch } from './apps.ts'

const page = 'https://app.test'
const errors: unknown[] = []
const options: NodeOptions<Role> = { authenticate, origins: [page], onError: (error) => void errors.push(error) }

/** A framework's parser answers by itself where it finds fault with a body. */
const onParserError: ErrorRequestHandler = (error, _req, res, _next) =>
  void res.status(error.status).json({ code: 'APP_PARSER' })

const onExpress = (create: typeof express, parser: boolean) => () => {
  const app = create()
  if (parser) app.use(create.json())
  app.use(createExpressAuth(makeDaypass().auth, options).routes)
  app.use((_req, res) => void res.status(404).json({ code: 'APP_NOT_FOUND' }))
  return listen(app.use(onParserError))
}

type Adapter = 'node' | 'fetch' | 'fastify' | 'express5' | 'express4' | 'express5+json' | 'express4+json'
const adapters: Record<Adapter, () => Promise<Running>> = {
  node() {
    const web = createNodeAuth(makeDaypass().auth, options)
    return listen(async (req, res) => {
      if (await web.routes(req, res)) return
      res.writeHead(404, { 'content-type': 'application/json' }).end('{"code":"APP_NOT_FOUND"}')
    })
  },
  fetch() {
    const web = createFetchAuth(makeDaypass().auth, options)
    const notFound = () => Response.json({ code: 'APP_NOT_FOUND' }, { status: 404 })
    return listen(overFetch(async (request, ip) => (await web.routes(request, { ip })) ?? notFound()))
  },
  async fastify() {
    const app = fastify()
    app.register(createFastifyAuth(makeDaypass().auth, options).routes)
    app.setNotFoundHandler((_request, reply) => reply.code(404).send({ code: 'APP_NOT_FOUND' }))
    await app.listen({ port: 0, host: '127.0.0.1' })
    return running(app.server)
  },
  express5: onExpress(express, false),
  express4: onExpress(express4, false),
  'express5+json': onExpress(express, true),
  'express4+json': onExpress(express4, true),
}

const host = 'Host: localhost:1'
const close = 'Connection: close'
const json = 'Content-Type: application/json'
const login = JSON.stringify({ name: 'ada', password, transport: 'body' })
const cookieLogin = JSON.stringify({ name: 'ada', password })
const ownOrigin = 'Origin: http://localhost:1'

const bytes = (...parts: (string | Buffer)[]) =>
  Buffer.concat(parts.map((part) => Buffer.from(part as string, 'latin1')))
const request = (line: string, headers: string[], body: string | Buffer = '') =>
  bytes([`${line} HTTP/1.1`, ...headers, '', ''].join('\r\n'), body)
/** A request with a body of a known length. */
const send = (line: string, body: string | Buffer, ...headers: string[]) => {
  const length = `Content-Length: ${Buffer.byteLength(body)}`
  return request(line, [host, close, length, ...(headers.length > 0 ? headers : [json])], body)
}
/** A sign-in at another spelling of its address. */
const at = (target: string) => send(`POST ${target}`, login)
const sendChunks = (...chunks: string[]) => {
  const body = [...chunks, ''].map((chunk) => `${chunk.length.toString(16)}\r\n${chunk}\r\n`).join('')
  return request('POST /auth/login', [host, close, json, 'Transfer-Encoding: chunked'], body)
}
const key = () => `Idempotency-Key: "${newKey()}"`
const long = (size: number) => JSON.stringify({ ...JSON.parse(login), more: 'x'.repeat(size) })

/** A response in short: `200`, `400 ERR_REQUEST_INVALID`, with `cookie` and `cors` where it has them. */
type Expected = string
interface Row {
  send: Buffer
  is: Expected
  /** Where another part answers first, or has changed what came. Each says why. */
  but?: Partial<Record<Adapter | 'json', Expected>>
}

const REQUEST = '400 ERR_REQUEST_INVALID'
const MEDIA = '415 ERR_MEDIA_TYPE'
const LARGE = '413 ERR_BODY_TOO_LARGE'
const APP = '404 APP_NOT_FOUND'
/** The URL of a Request has no dot segments and no backslashes any more, for any router. */
const resolved = { fetch: '200' }
/** The framework's own parser has refused the body. */
const parser = (status: number) => ({ json: `${status} APP_PARSER` })

const rows: Record<string, Row> = {
  'a sign-in': { send: at('/auth/login'), is: '200' },

  // The address
  'a query': { send: at('/auth/login?x=/auth/refresh'), is: '200' },
  'a fragment': { send: at('/auth/login#x'), is: '200' },
  'absolute form': { send: at('http://localhost:1/auth/login'), is: '200' },
  'absolute form, another host': { send: at('http://evil.test/auth/login?x'), is: '200' },
  'absolute form, another address': { send: at('http://localhost:1/x/auth/login'), is: APP },
  'two slashes before': { send: at('//auth/login'), is: APP },
  'two slashes within': { send: at('/auth//login'), is: APP },
  'a slash after': { send: at('/auth/login/'), is: APP },
  'a dot segment': { send: at('/x/../auth/login'), is: APP, but: resolved },
  'an encoded dot segment': { send: at('/x/%2e%2e/auth/login'), is: APP, but: resolved },
  'a backslash': { send: at('/auth\\login'), is: APP, but: resolved },
  'an encoded letter': { send: at('/auth/%6cogin'), is: APP },
  'an encoded slash': { send: at('/auth%2flogin'), is: APP },
  'a session’s id with an encoded slash': {
    send: request('DELETE /auth/sessions/..%2flogout', [host, close]),
    is: APP,
  },
  capitals: { send: at('/AUTH/login'), is: APP },
  'a tab in the path': { send: at('/auth/lo\tgin'), is: '400' },
  'no Host, HTTP/1.0': {
    send: bytes(`POST /auth/login HTTP/1.0\r\n${json}\r\nContent-Length: ${login.length}\r\n\r\n${login}`),
    is: '200',
  },

  // The type of the body
  'content-type twice': { send: send('POST /auth/login', login, json, 'Content-Type: text/plain'), is: REQUEST },
  'charset utf-8': { send: send('POST /auth/login', login, `${json}; Charset="UTF-8"`), is: '200' },
  'charset utf-16': { send: send('POST /auth/login', login, `${json}; charset=utf-16`), is: MEDIA, but: parser(400) },
  'charset latin1': { send: send('POST /auth/login', login, `${json}; charset=latin1`), is: MEDIA, but: parser(415) },
  'gzip that is none': {
    send: send('POST /auth/login', login, json, 'Content-Encoding: gzip'),
    is: MEDIA,
    but: parser(400),
  },
  gzip: { send: send('POST /auth/login', gzipSync(login), json, 'Content-Encoding: gzip'), is: MEDIA },
  'the encoding identity': { send: send('POST /auth/login', login, json, 'Content-Encoding: identity'), is: '200' },
  'a type that is JSON of a kind': {
    send: send('POST /auth/login', login, 'Content-Type: application/vnd.x+json'),
    is: MEDIA,
  },
  text: { send: send('POST /auth/login', login, 'Content-Type: text/plain'), is: MEDIA },
  'a form': {
    send: send('POST /auth/login', 'name=ada&transport=body', 'Content-Type: application/x-www-form-urlencoded'),
    is: MEDIA,
  },
  'no type': { send: send('POST /auth/login', login, 'X-A: b'), is: MEDIA },

  // The body
  'a byte order mark': { send: send('POST /auth/login', bytes('\xef\xbb\xbf', login)), is: '200' },
  'bytes that are no UTF-8': {
    send: send('POST /auth/login', bytes(login.replace('ada', 'ad\xff'))),
    is: '200',
  },
  'a member twice': { send: send('POST /auth/login', login.replace('{', '{"name":5,')), is: '200' },
  'members under __proto__': {
    send: send('POST /auth/login', `{"__proto__":${login},"transport":"body"}`),
    is: '401 ERR_CREDENTIALS_INVALID',
  },
  null: { send: send('POST /auth/login', 'null'), is: REQUEST, but: parser(400) },
  'a list': { send: send('POST /auth/login', '[]'), is: REQUEST },
  'a number': { send: send('POST /auth/login', '1'), is: REQUEST, but: parser(400) },
  'a blank': { send: send('POST /auth/login', ' '), is: REQUEST, but: parser(400) },
  'half an object': { send: send('POST /auth/login', '{"name'), is: REQUEST, but: parser(400) },
  'no bytes': { send: send('POST /auth/login', ''), is: '403 ERR_ORIGIN_REFUSED' },
  'no body': { send: request('POST /auth/login', [host, close]), is: '403 ERR_ORIGIN_REFUSED' },
  'a refresh without a body': {
    send: request('POST /auth/refresh', [host, close, ownOrigin]),
    is: '401 ERR_REFRESH_TOKEN_MISSING',
  },
  'a refresh with {}': { send: send('POST /auth/refresh', '{}', json, ownOrigin), is: '401 ERR_REFRESH_TOKEN_MISSING' },
  '20 kB': { send: send('POST /auth/login', long(20_000)), is: LARGE },
  '200 kB': { send: send('POST /auth/login', long(200_000)), is: LARGE, but: parser(413) },
  '20 kB in chunks': { send: sendChunks(long(20_000)), is: LARGE },
  // The parsed value is small, and the size of the text that the parser read is not known.
  '20 kB of blanks in chunks': { send: sendChunks(' '.repeat(20_000), login), is: LARGE, but: { json: '200' } },
  'small chunks': { send: sendChunks(login.slice(0, 5), login.slice(5)), is: '200' },
  'deep JSON': {
    send: send('POST /auth/login', login.replace('{', `{"x":${'['.repeat(7000)}${']'.repeat(7000)},`)),
    is: '200',
  },

  // The page
  'a cookie for the own origin': { send: send('POST /auth/login', cookieLogin, json, ownOrigin), is: '200 cookie' },
  'a cookie for nobody': { send: send('POST /auth/login', cookieLogin), is: '403 ERR_ORIGIN_REFUSED' },
  'a cookie for a listed page': {
    send: send('POST /auth/login', cookieLogin, json, `Origin: ${page}`, 'Sec-Fetch-Site: cross-site'),
    is: '200 cookie cors',
  },
  'two Origins': {
    send: send('POST /auth/login', cookieLogin, json, `Origin: ${page}`, 'Origin: https://evil.test'),
    is: REQUEST,
  },
  'a list of origins': {
    send: send('POST /auth/login', cookieLogin, json, `Origin: ${page}, https://evil.test`),
    is: REQUEST,
  },
  'Sec-Fetch-Site twice': {
    send: send('POST /auth/login', cookieLogin, json, 'Sec-Fetch-Site: same-origin', 'Sec-Fetch-Site: cross-site'),
    is: REQUEST,
  },

  // Headers that come twice
  'two cookies': { send: send('POST /auth/refresh', '', ownOrigin, 'Cookie: daypass-1=a; daypass-1=b'), is: REQUEST },
  'two Cookie headers': {
    send: send('POST /auth/refresh', '', ownOrigin, 'Cookie: daypass-1=a', 'Cookie: daypass-1=b'),
    is: REQUEST,
  },
  'two Cookie headers, one of them ours': {
    send: send('POST /auth/refresh', '', ownOrigin, 'Cookie: a=1', 'Cookie: daypass-1=b'),
    is: '401 ERR_REFRESH_TOKEN_INVALID',
  },
  'two Idempotency-Keys': {
    send: send('POST /auth/refresh', '{"refreshToken":"x"}', json, key(), key()),
    is: '400 ERR_IDEMPOTENCY_KEY_INVALID',
  },
  'two access tokens': {
    send: request('GET /auth/sessions', [host, close, 'Authorization: Bearer a', 'Authorization: Bearer b']),
    is: REQUEST,
  },
  'two access tokens in one header': {
    send: request('GET /auth/sessions', [host, close, 'Authorization: Bearer a, Bearer b']),
    is: REQUEST,
  },

  // The method
  HEAD: { send: request('HEAD /auth/sessions', [host, close]), is: '401' },
  'HEAD where POST is due': { send: request('HEAD /auth/login', [host, close]), is: '405' },
  'GET with a body': { send: send('GET /auth/sessions', '{"a":1}'), is: '401 ERR_ACCESS_TOKEN_MISSING' },
  PUT: { send: send('PUT /auth/login', login), is: '405 ERR_METHOD_NOT_ALLOWED' },
  'a method in a header': {
    send: request('GET /auth/logout', [host, close, 'X-HTTP-Method-Override: POST']),
    is: '405 ERR_METHOD_NOT_ALLOWED',
  },
  OPTIONS: { send: request('OPTIONS /auth/login', [host, close]), is: '405 ERR_METHOD_NOT_ALLOWED' },
  'a preflight of a listed page': {
    send: request('OPTIONS /auth/login', [host, close, `Origin: ${page}`, 'Access-Control-Request-Method: POST']),
    is: '204 cors',
  },
  'a preflight of another page': {
    send: request('OPTIONS /auth/login', [
      host,
      close,
      'Origin: https://evil.test',
      'Access-Control-Request-Method: POST',
    ]),
    is: '405 ERR_METHOD_NOT_ALLOWED',
  },
}

describe('odd requests', () => {
  const servers = {} as Record<Adapter, Running>
  before(async () => {
    for (const [name, start] of Object.entries(adapters)) servers[name as Adapter] = await start()
  })
  after(() => Promise.all(Object.values(servers).map((server) => server.close())))

  for (const [name, { send, is, but = {} }] of Object.entries(rows)) {
    test(`${name}: ${is}`, async () => {
      for (const adapter of Object.keys(adapters) as Adapter[]) {
        const answer = await raw(servers[adapter].port, send)
        const said = [
          /^HTTP\/1\.1 (\d+)/.exec(answer)?.[1],
          /"code":"(\w+)"/.exec(answer)?.[1],
          /^set-cookie: (?:daypass-1|__Host-daypass)=dpr_/im.test(answer) && 'cookie',
          /^access-control-allow-origin: https:\/\/app\.test\r$/im.test(answer) && 'cors',
        ]
        const expected = but[adapter] ?? (adapter.endsWith('+json') ? but.json : undefined) ?? is
        assert.equal(said.filter(Boolean).join(' '), expected, adapter)
      }
      assert.deepEqual(errors, [], 'no request is the server’s fault')
    })
  }
})

test('over HTTP/2 a body over the limit is 413: its stream ends, the connection lives, and Node warns of nothing', async (t) => {
  const warnings: Error[] = []
  const onWarning = (warning: Error) => void warnings.push(warning)
  process.on('warning', onWarning)
  t.after(() => process.off('warning', onWarning))
  const web = createNodeAuth(makeDaypass().auth, options)
  const server = createHttp2Server((req, res) => void web.routes(req as never, res as never))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = connectHttp2(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  t.after(() => {
    client.destroy()
    server.close()
  })
  const post = async (body: string, headers: Record<string, string> = {}) => {
    const stream = client.request({
      ':method': 'POST',
      ':path': '/auth/login',
      'content-type': 'application/json',
      ...headers,
    })
    stream.on('error', () => {})
    stream.end(body)
    const [answer] = await once(stream, 'response')
    stream.close()
    return answer
  }
  for (const headers of [{}, { 'content-length': String(long(20_000).length) }]) {
    const answer = await post(long(20_000), headers as Record<string, string>)
    assert.equal(answer[':status'], 413)
    assert.equal(answer.connection, undefined)
  }
  assert.equal((await post(login))[':status'], 200)
  // Warnings come in a later turn.
  await new Promise((resolve) => setImmediate(resolve))
  assert.deepEqual(warnings, [])
})
