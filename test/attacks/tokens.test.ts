// The attack table against every entry point: the verifier, the library, node:http and the server application.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { createKeys, type SigningKey } from '../../src/core/keys.ts'
import { createDaypass, DaypassError } from '../../src/index.ts'
import { createMemoryStore } from '../../src/stores/memory.ts'
import { createVerifier, type Jwk } from '../../src/verify/index.ts'
import { spyOn } from '../core/setup.ts'
import { bearer, call, serve } from '../http/server.ts'
import { post, type ServerProcess, startServerProcess } from '../server/process.ts'
import { audience, ec, ed, issuer, jwks, makeToken, now, rsa, shared, signers } from '../verify/tokens.ts'
import { forgeries, type Target } from './forgeries.ts'

const signingKeys: Record<string, SigningKey> = {
  EdDSA: { algorithm: 'EdDSA', privateKey: ed.privateKey, kid: 'ed' },
  ES256: { algorithm: 'ES256', privateKey: ec.privateKey, kid: 'ec' },
  RS256: { algorithm: 'RS256', privateKey: rsa.privateKey, kid: 'rsa' },
  HS256: { algorithm: 'HS256', secretKey: shared, kid: 'shared' },
}

for (const [alg, signingKey] of Object.entries(signingKeys)) {
  const key = jwks.keys.find((jwk) => jwk.alg === alg)!
  const target: Target = { genuine: makeToken(undefined, {}, alg), key, sign: signers[alg]! }
  // The other keys are valid as well, as during a rotation of keys.
  const others = Object.values(signingKeys).filter((each) => each !== signingKey)

  describe(`a server that signs with ${alg}`, () => {
    const { store, calls } = spyOn(createMemoryStore())
    const options = { issuer, audience, store, clock: () => now, signingKeys: [signingKey, ...others] }
    const auth = createDaypass({ secret: 'another secret of thirty-two bytes and more', ...options })
    const never = () => assert.fail('no I/O')
    const verifier = createVerifier({
      issuer,
      audience,
      jwks: { keys: jwks.keys as Jwk[] },
      clock: () => now,
      fetch: never,
    })
    let origin: string
    const cleanups: (() => unknown)[] = []
    before(async () => {
      ;({ origin } = await serve({ after: (fn: () => unknown) => cleanups.push(fn) }, options))
      await auth.verify(target.genuine)
      assert.equal((await call(origin, 'GET /me', { headers: bearer(target.genuine) })).status, 200)
    })
    after(async () => {
      // No attack had an effect: the valid token is still accepted.
      await verifier.verify(target.genuine)
      await auth.verify(target.genuine)
      assert.equal((await call(origin, 'GET /me', { headers: bearer(target.genuine) })).status, 200)
      for (const cleanup of cleanups) await cleanup()
    })

    for (const [attack, forge] of Object.entries(forgeries)) {
      test(`${attack}: rejected by the verifier, the library and both routes, at once and without I/O`, async (t) => {
        t.mock.method(globalThis, 'fetch', never)
        const before = calls.length
        for (const token of forge(target)) {
          const began = performance.now()
          for (const verify of [verifier.verify, auth.verify]) await assert.rejects(verify(token), refusal)
          await assert.rejects(auth.refresh(token), { code: 'ERR_REFRESH_TOKEN_INVALID' })
          // Node itself rejects a request whose headers are too long.
          const api = await call(origin, 'GET /me', { headers: bearer(token) }).catch(() => ({ status: 431, json: {} }))
          assert.ok([401, 431].includes(api.status), `${api.status}: ${token.slice(0, 200)}`)
          assert.ok(performance.now() - began < 2000, 'rejected at once')
        }
        assert.equal(calls.length, before, 'the store was asked')
        assert.equal(({} as Record<string, unknown>).polluted, undefined)
      })
    }
  })
}

const refusal = (error: unknown) =>
  error instanceof DaypassError &&
  (error.code === 'ERR_ACCESS_TOKEN_INVALID' || error.code === 'ERR_ACCESS_TOKEN_EXPIRED')

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
    const { signer } = createKeys(secret, issuer, 'EdDSA')
    target = { genuine: body.accessToken, key: keys[0]!, sign: (input) => signer.sign(input) as Uint8Array }
  })
  after(async () => {
    const me = await call(server.url, 'GET /auth/me', { headers: bearer(target.genuine) })
    assert.equal(me.status, 200)
    assert.equal((await post(`${server.url}/auth/refresh`, { refreshToken })).status, 200)
    assert.deepEqual(
      server.log.filter((line) => line.level === 'error'),
      [],
    )
    await server.remove()
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
