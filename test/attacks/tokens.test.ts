// The attack table against the verifier, the library and node:http. server-tokens.test.ts attacks the server application.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { SigningKey } from '../../src/core/keys.ts'
import { createDaypass, DaypassError } from '../../src/index.ts'
import { createMemoryStore } from '../../src/stores/memory.ts'
import { createVerifier, type Jwk } from '../../src/verify/index.ts'
import { spyOn } from '../core/setup.ts'
import { bearer, call, serve } from '../http/server.ts'
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
