// An app that switches to Daypass keeps everyone signed in, and its array of tokens empties.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import type { AddressInfo } from 'node:net'
import { after, before, describe, test } from 'node:test'
import type { Express } from 'express'
import mongoose, { type Connection } from 'mongoose'
import { type MongoEngine, noMongo, startMongo } from '../../test/engines/mongodb.ts'
import { createOldApp } from './before.ts'
import { removeArrays } from './migrate.ts'
import { createApp } from './server.ts'
import { createUsers, hashPassword } from './user.ts'

const oldSecret = randomBytes(64).toString('hex')
const secret = randomBytes(32).toString('base64url')
const week = 7 * 24 * 60 * 60 * 1000

async function listen(app: Express) {
  const server = app.listen(0)
  await new Promise((resolve) => server.once('listening', resolve))
  const url = `http://localhost:${(server.address() as AddressInfo).port}`
  const stop = () => {
    server.close()
    server.closeAllConnections()
  }
  async function post(path: string, body: unknown, headers: Record<string, string> = {}) {
    const response = await fetch(url + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body),
    })
    const text = await response.text()
    return { status: response.status, body: text.startsWith('{') ? JSON.parse(text) : text }
  }
  const me = (token: string) => fetch(`${url}/me`, { headers: { authorization: `Bearer ${token}` } })
  return { post, me, stop }
}

describe('express-mongoose', noMongo === undefined ? {} : { skip: noMongo }, () => {
  let engine: MongoEngine
  let connection: Connection
  before(
    async () => {
      engine = await startMongo()
      connection = await mongoose.createConnection(engine.url, { dbName: engine.database() }).asPromise()
      const users = createUsers(connection)
      // The unique index must exist before the users.
      await users.init()
      await users.create({ email: 'ada@example.com', password: hashPassword('correct horse'), role: 'admin' })
      await users.create({ email: 'bob@example.com', password: hashPassword('battery staple') })
    },
    { timeout: 60_000 },
  )
  after(async () => {
    await connection?.dropDatabase()
    await connection?.close()
    await engine?.remove()
  })

  const ada = { email: 'ada@example.com', password: 'correct horse' }
  const key = () => ({ 'idempotency-key': `"${randomBytes(16).toString('base64url')}"` })
  const arrayOf = async (email: string) => (await createUsers(connection).findOne({ email }))!.refreshTokens

  test('the app’s old tokens keep working across the switch, once each, and the array empties itself', async () => {
    const old = await listen(createOldApp({ connection, oldSecret }))
    const devices: string[] = []
    for (let i = 0; i < 4; i++) devices.push((await old.post('/login', ada)).body.refreshToken)
    old.stop()
    assert.equal((await arrayOf(ada.email)).length, 4)

    const { app, auth } = createApp({ connection, secret, oldSecret, until: new Date(Date.now() + week) })
    const server = await listen(app)
    const [phone, laptop, tablet, forgotten] = devices as [string, string, string, string]

    const first = await server.post('/refresh-token', { refreshToken: phone }, key())
    assert.equal(first.status, 200)
    assert.match(first.body.refreshToken, /^dpr_/)
    assert.deepEqual(await (await server.me(first.body.accessToken)).json(), { email: ada.email, role: 'admin' })
    const second = await server.post('/refresh-token', { refreshToken: first.body.refreshToken }, key())
    assert.equal(second.status, 200)

    // The response was lost. The same request sent again gets the same token.
    const again = key()
    const lost = await server.post('/refresh-token', { refreshToken: laptop }, again)
    const found = await server.post('/refresh-token', { refreshToken: laptop }, again)
    assert.deepEqual([found.status, found.body.refreshToken], [200, lost.body.refreshToken])

    // Two tabs at once: one gets the token, the other a 409.
    const tabs = await Promise.all([1, 2].map(() => server.post('/refresh-token', { refreshToken: tablet }, key())))
    assert.deepEqual(tabs.map(({ status }) => status).sort(), [200, 409])

    assert.deepEqual([...(await arrayOf(ada.email))], [forgotten])
    assert.equal((await auth.sessions(lost.body.session.subject)).length, 3)
    // Signing out works with an old token too.
    assert.equal((await server.post('/logout', { refreshToken: forgotten })).status, 204)
    assert.equal((await server.post('/refresh-token', { refreshToken: forgotten }, key())).status, 401)
    assert.deepEqual([...(await arrayOf(ada.email))], [])
    server.stop()
  })

  test('new sign-ins write nothing to the user, and forged tokens are rejected', async () => {
    const { app } = createApp({ connection, secret, oldSecret, until: new Date(Date.now() + week) })
    const server = await listen(app)
    for (let i = 0; i < 3; i++) assert.equal((await server.post('/login', ada)).status, 200)
    assert.equal((await server.post('/login', { ...ada, password: 'wrong' })).status, 401)
    assert.equal((await server.post('/login', { email: { $ne: null }, password: 'x' })).status, 401)
    assert.deepEqual([...(await arrayOf(ada.email))], [])
    for (const refreshToken of ['x'.repeat(40), 'a.b.c', { $ne: null }]) {
      assert.notEqual((await server.post('/refresh-token', { refreshToken }, key())).status, 200)
    }
    server.stop()
  })

  test('an old token is rejected where its user is not active, or the migration is over', async () => {
    const bob = { email: 'bob@example.com', password: 'battery staple' }
    const old = await listen(createOldApp({ connection, oldSecret }))
    const { refreshToken } = (await old.post('/login', bob)).body
    old.stop()
    const late = await listen(createApp({ connection, secret, oldSecret, until: new Date(Date.now() - 1) }).app)
    assert.equal((await late.post('/refresh-token', { refreshToken }, key())).status, 401)
    late.stop()
    const { app, users } = createApp({ connection, secret, oldSecret, until: new Date(Date.now() + week) })
    const server = await listen(app)
    await users.updateOne({ email: bob.email }, { active: false })
    assert.equal((await server.post('/refresh-token', { refreshToken }, key())).status, 401)
    await users.updateOne({ email: bob.email }, { active: true })
    assert.equal((await server.post('/refresh-token', { refreshToken }, key())).status, 200)
    server.stop()
  })

  test('after the migration the array is gone', async () => {
    assert.equal(await removeArrays(connection), 2)
    assert.equal(await removeArrays(connection), 0)
    assert.equal(await connection.db!.collection('users').countDocuments({ refreshTokens: { $exists: true } }), 0)
    const [session] = await connection.db!.collection('daypass_session').find().toArray()
    assert.ok(session, 'the sessions are where they were')
  })
})
