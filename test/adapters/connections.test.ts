// A request means the same over HTTP/1.0, 1.1 and 2, a Unix socket and a Request, also if it breaks off.

import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import { connect as connectHttp2, createServer as createHttp2Server, type IncomingHttpHeaders } from 'node:http2'
import { type AddressInfo, connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { createFetchAuth } from '../../src/adapters/fetch.ts'
import { createNodeAuth, type NodeOptions } from '../../src/adapters/node.ts'
import {
  authenticate,
  call,
  listen,
  makeDaypass,
  ownPage,
  parseRaw,
  password,
  type Role,
  raw,
  serve,
  signInBody,
  signInCookie,
} from '../http/server.ts'

const credentials = JSON.stringify({ name: 'ada', password })

describe('a Request', () => {
  const serveFetch = () => {
    const { auth } = makeDaypass()
    const web = createFetchAuth(auth, { authenticate })
    return async (url: string, init: RequestInit = {}) => (await web.routes(new Request(url, init)))!
  }
  const type = { 'content-type': 'application/json' }

  test('over https: the page of the address is ours, and the cookie is Secure, on localhost too', async () => {
    const handle = serveFetch()
    for (const origin of ['https://id.test', 'https://localhost:8443']) {
      const login = await handle(`${origin}/auth/login`, {
        method: 'POST',
        headers: { ...type, origin },
        body: credentials,
      })
      assert.equal(login.status, 200)
      assert.match(login.headers.get('set-cookie')!, /^__Host-daypass=dpr_.*; Secure$/)
      const plain = { ...type, origin: origin.replace('https', 'http') }
      const foreign = await handle(`${origin}/auth/login`, { method: 'POST', headers: plain, body: credentials })
      assert.equal(foreign.status, 403)
    }
  })

  test('with the type of a body and none: it is read as an empty one', async () => {
    const answer = await serveFetch()('http://id.test/auth/refresh', {
      method: 'POST',
      headers: { ...type, ...ownPage },
    })
    assert.equal(((await answer.json()) as { code: string }).code, 'ERR_REFRESH_TOKEN_MISSING')
  })

  test('a letter of several bytes that comes in two pieces is that letter', async () => {
    const bytes = Buffer.from(JSON.stringify({ name: 'Zoë', password, transport: 'body' }))
    const cut = bytes.indexOf('ë') + 1
    const body = new ReadableStream({
      start(controller) {
        controller.enqueue(bytes.subarray(0, cut))
        controller.enqueue(bytes.subarray(cut))
        controller.close()
      },
    })
    const init = { method: 'POST', headers: type, body, duplex: 'half' } as const
    const answer = await serveFetch()('http://id.test/auth/login', init)
    assert.equal(((await answer.json()) as { session: { subject: string } }).session.subject, 'Zoë')
  })

  test('a comma in another cookie parts nothing', async () => {
    const handle = serveFetch()
    const headers = { ...type, ...ownPage }
    const login = await handle('https://id.test/auth/login', { method: 'POST', headers, body: credentials })
    const cookie = `theme=dark, __Host-daypass=x; ${login.headers.get('set-cookie')!.split(';', 1)[0]}`
    const refresh = await handle('https://id.test/auth/refresh', { method: 'POST', headers: { ...ownPage, cookie } })
    assert.equal(refresh.status, 200)
  })

  test('whose method is the name of something in JavaScript: 405', async () => {
    const handle = serveFetch()
    for (const method of ['constructor', 'toString', '__proto__', 'hasOwnProperty']) {
      for (const path of ['/auth/refresh', '/auth/sessions/AAAA', '/.well-known/jwks.json']) {
        assert.equal((await handle(`http://id.test${path}`, { method })).status, 405, `${method} ${path}`)
      }
    }
  })
})

describe('HTTP/2', () => {
  /** Daypass on HTTP/2, and one connection to it. */
  async function serveHttp2(t: TestContext, options: NodeOptions<Role> = {}) {
    const made = makeDaypass()
    const errors: unknown[] = []
    const web = createNodeAuth(made.auth, { authenticate, onError: (error) => errors.push(error), ...options })
    const handled: Promise<boolean>[] = []
    const server = createHttp2Server((req, res) => {
      handled.push(web.routes(req as unknown as IncomingMessage, res as unknown as ServerResponse))
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const client = connectHttp2(origin)
    t.after(() => {
      client.destroy()
      server.close()
    })
    const open = (line: string, headers: Record<string, string>, body?: string) => {
      const [method, path] = line.split(' ')
      const stream = client.request({ ...headers, ':method': method, ':path': path })
      stream.end(body)
      return stream
    }
    const ask = (...sent: Parameters<typeof open>) =>
      new Promise<{ headers: IncomingHttpHeaders; text: string }>((resolve, reject) => {
        const stream = open(...sent)
        let headers: IncomingHttpHeaders = {}
        let text = ''
        stream.on('response', (received) => {
          headers = received
        })
        stream.on('data', (chunk) => {
          text += chunk
        })
        stream.once('error', reject)
        stream.once('close', () => resolve({ headers, text }))
      })
    return { ...made, errors, origin, open, ask, handled }
  }

  test('the page of the address is ours, and its cookie is that of this host', async (t) => {
    const { origin, ask } = await serveHttp2(t)
    const headers = { origin, 'content-type': 'application/json' }
    const login = await ask('POST /auth/login', headers, credentials)
    assert.equal(login.headers[':status'], 200)
    const [setCookie] = login.headers['set-cookie']!
    assert.match(setCookie!, /^daypass-\d+=dpr_/)
    const cookie = setCookie!.split(';', 1)[0]!
    assert.equal((await ask('POST /auth/refresh', { origin, cookie })).headers[':status'], 200)
    const foreign = await ask('POST /auth/refresh', { origin: 'http://evil.test', cookie })
    assert.equal(foreign.headers[':status'], 403)
    const keys = await ask('HEAD /.well-known/jwks.json', {})
    assert.equal(keys.headers[':status'], 200)
    assert.equal(keys.text, '')
  })

  test('a caller that takes back its one request of several: no session begins that nobody holds', {
    timeout: 10_000,
  }, async (t) => {
    const { promise: isAsked, resolve: asked } = Promise.withResolvers<void>()
    const { promise: isAnswered, resolve: answer } = Promise.withResolvers<void>()
    const served = await serveHttp2(t, {
      authenticate: async () => {
        asked()
        await isAnswered
        return { subject: 'ada', claims: { role: 'member' } }
      },
    })
    const headers = { 'content-type': 'application/json' }
    const stream = served.open('POST /auth/login', headers, '{"transport":"body"}')
    const isClosed = new Promise((resolve) => stream.once('close', resolve))
    await isAsked
    stream.close(8)
    await isClosed
    // The connection lives: what is answered on it comes after the server has read that the other was taken back.
    assert.equal((await served.ask('GET /.well-known/jwks.json', {})).headers[':status'], 200)
    answer()
    assert.deepEqual(await Promise.all(served.handled), [true, true])
    assert.deepEqual(served.events, [])
    assert.deepEqual(served.errors, [])
  })
})

describe('node:http', () => {
  test('HTTP/1.0 without a Host is answered', async (t) => {
    const { port, origin } = await serve(t)
    const { json } = await signInBody(origin)
    const body = JSON.stringify({ refreshToken: json.refreshToken })
    const head = `POST /auth/refresh HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: ${body.length}`
    assert.equal(parseRaw(await raw(port, `${head}\r\n\r\n${body}`)).status, 200)
  })

  test('a body that somebody before us has read and not kept is no body: answered, and not waited for', {
    timeout: 10_000,
  }, async (t) => {
    const { auth } = makeDaypass()
    const web = createNodeAuth(auth, { authenticate })
    const server = await listen(async (req, res) => {
      if (req.url === '/auth/refresh') await req.toArray()
      await web.routes(req, res)
    })
    t.after(() => server.close())
    const { cookie } = await signInCookie(server.origin)
    const answer = await call(server.origin, 'POST /auth/refresh', {
      json: {},
      headers: { ...ownPage, cookie: cookie! },
    })
    assert.equal(answer.status, 200)
  })

  test('a caller that hangs up within its body leaves nothing that waits, and is no alarm', async (t) => {
    const { auth } = makeDaypass()
    const errors: unknown[] = []
    const web = createNodeAuth(auth, { authenticate, onError: (error) => errors.push(error) })
    const handled: Promise<boolean>[] = []
    const server = await listen((req, res) => {
      handled.push(web.routes(req, res))
      // When the body is being read.
      setImmediate(() => socket.destroy())
    })
    t.after(() => server.close())
    const head = 'POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{'
    const socket = connect(server.port, '127.0.0.1')
    socket.write(head)
    await server.deserted()
    while (handled.length === 0) await new Promise((resolve) => setTimeout(resolve, 1))
    const late = new Promise((resolve) => setTimeout(resolve, 5000, 'it waits').unref())
    // A server that listens keeps the process here until then.
    assert.deepEqual(await Promise.race([Promise.all(handled), late]), [true])
    assert.deepEqual(errors, [])
  })

  test('what the app has answered already, such as a time-out, is not answered again', async (t) => {
    const { auth } = makeDaypass()
    const errors: unknown[] = []
    const handled: Promise<boolean>[] = []
    const { promise: isOver, resolve: over } = Promise.withResolvers<void>()
    const web = createNodeAuth(auth, {
      authenticate: async (...given) => {
        await isOver
        return authenticate(...given)
      },
      onError: (error) => errors.push(error),
    })
    const server = await listen(async (req, res) => {
      handled.push(web.routes(req, res))
      res.writeHead(503)
      over()
      await Promise.allSettled(handled)
      res.end('Too slow.')
    })
    t.after(() => server.close())
    const answer = await call(server.origin, 'POST /auth/login', { json: { name: 'ada', password, transport: 'body' } })
    assert.deepEqual([answer.status, answer.text], [503, 'Too slow.'])
    assert.deepEqual(await Promise.all(handled), [true])
    assert.deepEqual(errors, [])
  })

  test('HEAD is answered without a body also where Node refuses to write one', async (t) => {
    const { auth } = makeDaypass()
    const web = createNodeAuth(auth)
    const server = createServer({ rejectNonStandardBodyWrites: true }, (req, res) => void web.routes(req, res))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    t.after(() => server.close().closeAllConnections())
    const { port } = server.address() as AddressInfo
    const answer = await call(`http://127.0.0.1:${port}`, 'HEAD /.well-known/jwks.json')
    assert.equal(answer.status, 200)
    assert.notEqual(answer.headers['content-length'], '0')
  })

  test('IPv4 that the socket writes the IPv6 way is IPv4; an IPv6 address stays as it is', async (t) => {
    const { auth } = makeDaypass()
    const web = createNodeAuth(auth, { authenticate })
    const addresses = ['::ffff:192.0.2.1', '192.0.2.1', '2001:db8::ffff:1', '::ffff:1:2', '::1']
    const server = await listen((req, res) => {
      Object.defineProperty(req.socket, 'remoteAddress', { value: req.headers['x-from'] })
      void web.routes(req, res)
    })
    t.after(() => server.close())
    const seen: string[] = []
    for (const address of addresses) {
      const { json } = await signInCookie(server.origin, 'ada', { 'x-from': address })
      seen.push(json.session.device.ip)
    }
    assert.deepEqual(seen, ['192.0.2.1', ...addresses.slice(1)])
  })

  test('over a Unix socket nobody has an address, and no X-Forwarded header is believed', {
    skip: process.platform === 'win32',
  }, async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'daypass-'))
    const socketPath = join(folder, 'http.sock')
    const { auth } = makeDaypass()
    const web = createNodeAuth(auth, { authenticate, trustedProxies: ['0.0.0.0/0', '::/0'] })
    const server = createServer((req, res) => void web.routes(req, res))
    await new Promise<void>((resolve) => server.listen(socketPath, resolve))
    t.after(async () => {
      server.close().closeAllConnections()
      await rm(folder, { recursive: true })
    })
    const text = await new Promise<string>((resolve, reject) => {
      const headers = { ...ownPage, 'content-type': 'application/json', 'x-forwarded-for': '203.0.113.9' }
      const req = request({ socketPath, path: '/auth/login', method: 'POST', headers, agent: false }, (res) => {
        res.toArray().then((chunks) => resolve(Buffer.concat(chunks).toString()), reject)
      })
      req.once('error', reject)
      req.end(credentials)
    })
    assert.deepEqual(JSON.parse(text).session.device, {})
  })
})
