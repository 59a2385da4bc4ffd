// docs/adopt.md, as printed: a page that was loaded before the deploy, and refreshes and signs out by GET.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import jwt from 'jsonwebtoken'
import { call, listen } from '../http/server.ts'
import { createProject, readSnippet } from './project.ts'

test('a page of the old app: its GET is 405, and a refresh or a sign-out with the route of docs/adopt.md', async (t) => {
  process.env.DAYPASS_SECRET = randomBytes(48).toString('base64')
  const oldSecret = randomBytes(48).toString('base64')
  process.env.REFRESH_TOKEN_SECRET = oldSecret
  const printed = readSnippet('docs/adopt.md', 'switch.ts').replace("'./data/daypass.db'", "':memory:'")
  const { write } = createProject(t, ['express'])
  const open = async (file: string, code: string) => {
    const { app } = await import(write(file, code))
    const server = await listen(app)
    t.after(() => server.close())
    return server.origin
  }
  const token = () => jwt.sign({ username: 'ada', jti: randomBytes(8).toString('hex') }, oldSecret, { expiresIn: '1d' })
  const fromPage = (cookie: string, site = 'same-origin') => ({ headers: { cookie, 'sec-fetch-site': site } })
  const without = await open('without.ts', printed.replace(/^app\.get\(\['[\s\S]*?^\}\)\n/m, ''))
  const origin = await open('switch.ts', printed)

  const refused = await call(without, 'GET /refresh', fromPage(`jwt=${token()}`))
  assert.deepEqual([refused.status, refused.json.code], [405, 'ERR_METHOD_NOT_ALLOWED'])

  const foreign = await call(origin, 'GET /refresh', fromPage(`jwt=${token()}`, 'cross-site'))
  assert.deepEqual([foreign.status, foreign.json.code], [403, 'ERR_ORIGIN_REFUSED'])

  const traded = await call(origin, 'GET /refresh', fromPage(`jwt=${token()}`))
  assert.equal(traded.status, 200)
  const me = await call(origin, 'GET /me', { headers: { authorization: `Bearer ${traded.json.accessToken}` } })
  assert.deepEqual(me.json, { subject: 'ada' })

  const cookie = String(traded.headers['set-cookie']).split(';')[0] ?? ''
  const next = await call(origin, 'GET /refresh', fromPage(cookie))
  assert.equal(next.status, 200)
  const newest = String(next.headers['set-cookie']).split(';')[0] ?? ''
  assert.equal((await call(origin, 'GET /logout', fromPage(newest))).status, 204)
  const over = await call(origin, 'GET /refresh', fromPage(newest))
  assert.deepEqual([over.status, over.json.error], [401, 'invalid_grant'])

  const old = jwt.sign({ username: 'ada' }, randomBytes(32), { expiresIn: '5m' })
  assert.equal((await call(origin, 'GET /me', { headers: { authorization: `Bearer ${old}` } })).status, 401)
})
