// Apps that forget to wait for Daypass, or answer beside it: nobody is let in, and the operator learns of it.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { RequestListener } from 'node:http'
import { describe, type TestContext, test } from 'node:test'
import express from 'express'
import { createExpressAuth } from '../../src/adapters/express.ts'
import { createFastifyAuth } from '../../src/adapters/fastify.ts'
import { createNodeAuth } from '../../src/adapters/node.ts'
import { isDaypassError } from '../../src/index.ts'
import { call, listen, makeDaypass } from '../http/server.ts'

const claims = { role: 'member' } as const
const json = { name: 'ada' }

/** Collects what the operator learns. */
function operator() {
  const codes: string[] = []
  return { codes, onError: (error: unknown) => void codes.push(isDaypassError(error) ? error.code : String(error)) }
}

async function serve(t: TestContext, listener: RequestListener) {
  const server = await listen(listener)
  t.after(() => server.close())
  return server.origin
}

describe('a requireAuth that nobody waits for', () => {
  test('node: a request without a token gets nothing but the 401', async (t) => {
    const { codes, onError } = operator()
    const web = createNodeAuth(makeDaypass().auth, { onError })
    const origin = await serve(t, (req, res) => {
      const token: unknown = web.requireAuth(req, res)
      if (token && !res.writableEnded) res.end('the secret page')
    })

    const response = await call(origin, 'GET /')

    assert.equal(response.status, 401)
    assert.equal(response.text.includes('secret'), false)
    assert.deepEqual(codes, [])
  })

  test('node: a bad token that the app answered too early is reported', async (t) => {
    const { codes, onError } = operator()
    const web = createNodeAuth(makeDaypass().auth, { onError })
    const settled: Promise<unknown>[] = []
    const origin = await serve(t, (req, res) => {
      settled.push(web.requireAuth(req, res) as unknown as Promise<unknown>)
      res.end('too early')
    })

    await call(origin, 'GET /', { headers: { authorization: 'Bearer nonsense' } })
    await Promise.all(settled)

    assert.deepEqual(codes, ['ERR_RESPONSE_SENT'])
  })

  test('express: a call without `next` is an error that names the right form', async (t) => {
    const web = createExpressAuth(makeDaypass().auth)
    const app = express()
    app.get('/', (req, res) => {
      Reflect.apply(web.requireAuth, undefined, [req, res])
      res.send('the secret page')
    })
    app.use(
      ((error: Error, _req, res, _next) => void res.status(500).send(error.message)) as express.ErrorRequestHandler,
    )
    const origin = await serve(t, app)

    const response = await call(origin, 'GET /')

    assert.equal(response.status, 500)
    assert.match(response.text, /app\.get\(path, web\.requireAuth, handler\)/)
  })
})

describe('a response beside a sign-in', () => {
  test('express: one that is sent after `signIn` is called is reported', async (t) => {
    const { codes, onError } = operator()
    const web = createExpressAuth(makeDaypass().auth, { onError })
    const app = express().use(express.json())
    const settled: Promise<unknown>[] = []
    app.post('/login', (req, res) => {
      settled.push(web.signIn(req, res, { subject: 'ada', claims }))
      res.json({ ok: true })
    })
    const origin = await serve(t, app)

    await call(origin, 'POST /login', { json, headers: { origin } })
    await Promise.all(settled)

    assert.deepEqual(codes, ['ERR_RESPONSE_SENT'])
  })

  test('express: after one that was sent before, no session begins', async (t) => {
    const { codes, onError } = operator()
    const { auth } = makeDaypass()
    const web = createExpressAuth(auth, { onError })
    const app = express().use(express.json())
    const settled: Promise<unknown>[] = []
    app.post('/login', (req, res) => {
      res.json({ ok: true })
      settled.push(web.signIn(req, res, { subject: 'ada', claims }))
    })
    const origin = await serve(t, app)

    await call(origin, 'POST /login', { json, headers: { origin } })
    await Promise.all(settled)

    assert.deepEqual(codes, ['ERR_RESPONSE_SENT'])
    assert.deepEqual(await auth.sessions('ada'), [])
  })

  test('fastify: a `signIn` that is not awaited is reported, and the process goes on', async (t) => {
    const { codes, onError } = operator()
    const { fastify } = await import('fastify')
    const web = createFastifyAuth(makeDaypass().auth, { onError })
    const app = fastify()
    t.after(() => app.close())
    const settled: Promise<unknown>[] = []
    app.post('/login', async (request, reply) => {
      settled.push(web.signIn(request, reply, { subject: 'ada', claims }))
      reply.raw.end()
      await once(reply.raw, 'finish')
    })
    const origin = await app.listen({ port: 0, host: '127.0.0.1' })

    await call(origin, 'POST /login', { json, headers: { origin } })
    await Promise.all(settled)

    assert.deepEqual(codes, ['ERR_RESPONSE_SENT'])
  })
})

test('a person without a subject, or with a number, is an error that says what to write', async () => {
  const { auth } = makeDaypass()
  await assert.rejects(Reflect.apply(auth.issue, auth, [1]), /`subject` is 1\. Give a string .*String\(user\.id\)/)
  const { codes } = operator()
  const errors: unknown[] = []
  const web = createNodeAuth(auth, { onError: (error) => errors.push(error) })
  const server = await listen((req, res) => void Reflect.apply(web.signIn, web, [req, res, { id: 1, role: 'x' }]))
  try {
    const response = await call(server.origin, 'POST /login', { headers: { origin: server.origin } })
    assert.equal(response.status, 500)
  } finally {
    await server.close()
  }
  assert.match(String(errors[0]), /`subject` is missing\. Give the person/)
  assert.deepEqual(codes, [])
})
