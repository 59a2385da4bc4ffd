// The attack table against the server application.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { createKeys } from '../../src/core/keys.ts'
import type { Jwk } from '../../src/verify/index.ts'
import { bearer, call } from '../http/server.ts'
import { post, type ServerProcess, startServerProcess } from '../server/process.ts'
import { forgeries, type Target } from './forgeries.ts'

describe('the server application as it is installed', () => {
  const secret = 'the secret of a server that is attacked and long enough'
  let server: ServerProcess
  let target: Target
  let refreshToken: string
  before(async () => {
    server = await startServerProcess({ DAYPASS_SECRET: secret, DAYPASS_STORE: 'memory:', DAYPASS_LOG: 'debug' })
    const credentials = { email: 'ada@example.com', password: 'correct horse battery', transport: 'body' }
    const { body } = await post(`${server.url}/auth/register`, credentials)
    refreshToken = body.refreshToken
    const { keys } = (await (await fetch(`${server.url}/.well-known/jwks.json`)).json()) as { keys: Jwk[] }
    // The server's own key: an attack whose fault is not the signature must have a right one.
    const { signer } = createKeys(secret, server.url, 'EdDSA')
    assert.equal(signer.kid, keys[0]!.kid)
    target = { genuine: body.accessToken, key: keys[0]!, sign: (input) => signer.sign(input) as Uint8Array }
  })
  after(async () => {
    try {
      const me = await call(server.url, 'GET /auth/me', { headers: bearer(target.genuine) })
      assert.equal(me.status, 200)
      assert.equal((await post(`${server.url}/auth/refresh`, { refreshToken })).status, 200)
      const errors = server.log.filter((line) => line.level === 'error' && line.code !== 'DAYPASS_TOKEN_FOREIGN')
      assert.deepEqual(errors, [])
    } finally {
      await server.remove()
    }
  })

  for (const [attack, forge] of Object.entries(forgeries)) {
    test(`${attack}: 401, and no error is logged`, async () => {
      for (const token of forge(target)) {
        const headers = bearer(token)
        const api = await call(server.url, 'GET /auth/me', { headers }).catch(() => ({ status: 431 }))
        assert.ok([401, 431].includes(api.status), `${api.status}: ${token.slice(0, 200)}`)
        const refresh = await call(server.url, 'POST /auth/refresh', { json: { refreshToken: token } })
        assert.ok([401, 413].includes(refresh.status), `${refresh.status}: ${token.slice(0, 200)}`)
      }
    })
  }
})
