// Fuzzes the parsers of tokens: refresh tokens, access tokens, key sets, tokens of older schemes.

import assert from 'node:assert/strict'
import { afterEach, test } from 'node:test'
import fc from 'fast-check'
import jwt from 'jsonwebtoken'
import { adoptJwt } from '../../src/adopt/jwt.ts'
import { createHmacSha256 } from '../../src/core/hmac.ts'
import { isTagged, maxGeneration, mintRefreshToken, parseRefreshToken } from '../../src/core/refresh-token.ts'
import { createDaypass } from '../../src/index.ts'
import { createMemoryStore } from '../../src/stores/memory.ts'
import { makeSession } from '../../src/testing/store-harness.ts'
import { createVerifier } from '../../src/verify/index.ts'
import { encode, issuer, jwks, makeToken, makeVerifier, now, payloadOf, signers } from '../verify/tokens.ts'
import { anyText, assertUnpolluted, changed, laterOutcome, outcome, runs } from './setup.ts'

const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length })
const proofKey = (key: Uint8Array, id = 7) => ({ id, hmac: createHmacSha256(key) })
const sessionOf = (id: Uint8Array, secret: Uint8Array) =>
  makeSession(now, { id: Buffer.from(id).toString('base64url'), secret })

afterEach(assertUnpolluted)

test('a refresh token is read back with the values it was made from, by its own keys alone', () => {
  fc.assert(
    fc.property(
      bytes(16),
      bytes(16),
      bytes(8),
      bytes(32),
      bytes(32),
      fc.integer({ min: 0, max: maxGeneration }),
      fc.nat(255),
      (id, secret, salt, key, otherKey, generation, keyId) => {
        fc.pre(Buffer.compare(key, otherKey) !== 0)
        const session = sessionOf(id, secret)
        const text = mintRefreshToken(session, generation, salt, proofKey(key, keyId))
        const token = parseRefreshToken(text, [proofKey(otherKey, keyId), proofKey(key, keyId)])
        assert.ok(token)
        assert.equal(token.sessionId, session.id)
        assert.equal(token.generation, generation)
        assert.deepEqual(Uint8Array.from(token.salt), salt)
        assert.ok(isTagged(token, session))
        assert.equal(parseRefreshToken(text, [proofKey(otherKey, keyId)]), null)
        assert.equal(
          isTagged(
            token,
            sessionOf(
              id,
              secret.map((byte) => byte ^ 1),
            ),
          ),
          false,
        )
      },
    ),
    runs(1000),
  )
})

test('a refresh token has one spelling: any change, addition or removal makes it invalid', () => {
  const key = proofKey(new Uint8Array(32).fill(3))
  const text = mintRefreshToken(makeSession(now), 5, new Uint8Array(8), key)
  fc.assert(
    fc.property(changed(text), (other) => {
      assert.equal(outcome(() => parseRefreshToken(other, [key])) === null, other !== text)
    }),
    runs(10_000),
  )
})

test('any other value, text or bytes after the prefix is rejected as a refresh token', async () => {
  const key = proofKey(new Uint8Array(32).fill(3))
  const shaped = fc
    .uint8Array({ minLength: 58, maxLength: 66 })
    .map((each) => `dpr_${Buffer.from(each).toString('base64url')}`)
  const versioned = bytes(62).map(
    (each) => `dpr_${Buffer.from(each.fill(1, 0, 1).fill(7, 1, 2)).toString('base64url')}`,
  )
  const anything = fc.oneof(fc.anything(), anyText, shaped, versioned)
  fc.assert(
    fc.property(anything, (value) =>
      assert.equal(
        outcome(() => parseRefreshToken(value, [key])),
        null,
      ),
    ),
    runs(5000),
  )
  const auth = createDaypass({
    secret: 'a secret for any text that may come along',
    issuer,
    store: createMemoryStore(),
  })
  await fc.assert(
    fc.asyncProperty(anything, async (value) => {
      assert.equal(await laterOutcome(() => auth.refresh(value as string)), undefined)
      assert.equal(await laterOutcome(() => auth.verify(value as string)), undefined)
      assert.equal(await laterOutcome(() => auth.revokeToken(value as string)), false)
    }),
    runs(1000),
  )
})

test('an access token has one spelling: any change, addition or removal is rejected', async () => {
  const verifier = makeVerifier()
  const tokens = ['EdDSA', 'ES256', 'RS256', 'HS256'].map((alg) => makeToken(undefined, {}, alg))
  for (const token of tokens) await verifier.verify(token)
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...tokens).chain((token) => fc.tuple(fc.constant(token), changed(token))),
      async ([token, other]) => {
        assert.equal((await laterOutcome(() => verifier.verify(other))) === undefined, other !== token)
      },
    ),
    runs(6000),
  )
})

test('any header with a valid signature: only the names and types of RFC 9068 are accepted', async () => {
  const verifier = makeVerifier({ cacheSize: 0 })
  const likely: Record<string, fc.Arbitrary<unknown>> = {
    alg: fc.constantFrom<unknown>('EdDSA', 'Ed25519', 'none', 'HS256', 'eddsa', undefined),
    typ: fc.constantFrom<unknown>('at+jwt', 'AT+JWT', 'application/at+jwt', 'JWT', undefined),
    kid: fc.constantFrom<unknown>('ed', undefined, 'ec', ''),
    crit: fc.constantFrom<unknown>(undefined, ['exp'], []),
    b64: fc.constantFrom<unknown>(undefined, false),
  }
  const member = (name: string) =>
    fc.oneof({ weight: 9, arbitrary: likely[name]! }, { weight: 1, arbitrary: fc.jsonValue() })
  const header = fc.record({
    alg: member('alg'),
    typ: member('typ'),
    kid: member('kid'),
    crit: member('crit'),
    b64: member('b64'),
  })
  let accepted = 0
  await fc.assert(
    fc.asyncProperty(header, async (given) => {
      const { alg, typ, kid, crit, b64 } = given
      const isGood =
        (alg === 'EdDSA' || alg === 'Ed25519') &&
        (typ === 'at+jwt' || typ === 'AT+JWT' || typ === 'application/at+jwt') &&
        (kid === 'ed' || kid === undefined) &&
        crit === undefined &&
        b64 === undefined
      const token = makeToken(payloadOf(), JSON.stringify(given))
      assert.equal((await laterOutcome(() => verifier.verify(token))) !== undefined, isGood, JSON.stringify(given))
      if (isGood) accepted++
    }),
    runs(3000),
  )
  assert.ok(accepted > 0, 'some were good')
})

test('any payload with a valid signature: an accepted one has every claim, of the right type, in its time', async () => {
  const verifier = makeVerifier({ cacheSize: 0 })
  const names = [
    'iss',
    'aud',
    'sub',
    'client_id',
    'sid',
    'jti',
    'iat',
    'exp',
    'nbf',
    'scope',
    'auth_time',
    'amr',
    'cnf',
    'x',
  ]
  const value = fc.oneof(fc.jsonValue(), fc.double(), fc.constantFrom(now / 1000, now / 1000 + 1, '9e99', issuer))
  const changes = fc.dictionary(fc.constantFrom(...names), value, { maxKeys: 3 })
  await fc.assert(
    fc.asyncProperty(changes, async (change) => {
      const token = await laterOutcome(() => verifier.verify(makeToken(payloadOf(change))))
      if (token === undefined) return
      const { sub, client_id, jti, sid, exp, iss, cnf } = { ...payloadOf(), ...change }
      assert.deepEqual([token.subject, token.clientId, token.tokenId, token.sessionId], [sub, client_id, jti, sid])
      for (const text of [sub, client_id, jti, sid]) assert.ok(typeof text === 'string' && text !== '')
      assert.ok(typeof exp === 'number' && exp * 1000 > now && token.expiresAt === exp * 1000)
      assert.equal(iss, issuer)
      assert.equal(cnf, undefined)
      assert.ok(token.scopes.every((scope) => typeof scope === 'string'))
      assert.ok(token.amr.every((method) => typeof method === 'string'))
      assert.deepEqual(Object.keys(token.claims), 'x' in change ? ['x'] : [])
    }),
    runs(3000),
  )
})

test('any text with a valid signature is a plain object or rejected', async () => {
  const verifier = makeVerifier({ cacheSize: 0 })
  await fc.assert(
    fc.asyncProperty(fc.oneof(anyText, fc.json(), changed(JSON.stringify(payloadOf()))), async (payload) => {
      const input = `${encode({ alg: 'EdDSA', typ: 'at+jwt', kid: 'ed' })}.${encode(payload)}`
      const token = await laterOutcome(() => verifier.verify(`${input}.${signers.EdDSA!(input).toString('base64url')}`))
      // A lone surrogate becomes U+FFFD in UTF-8.
      if (token !== undefined) assert.equal(JSON.parse(payload.toWellFormed()).sub, token.subject)
    }),
    runs(2000),
  )
})

test('any key set: unusable keys give an error of ours, and verify nothing', async () => {
  const member = fc.oneof(
    fc.constantFrom<unknown>('oct', 'OKP', 'EC', 'RSA', 'EdDSA', 'HS256', 'Ed25519', 'P-256', ''),
    fc.jsonValue(),
  )
  const jwk = fc.dictionary(
    fc.constantFrom('kty', 'alg', 'kid', 'use', 'crv', 'x', 'y', 'n', 'e', 'k', 'd', 'key_ops', '__proto__'),
    member,
  )
  const good = fc.tuple(fc.constantFrom(...jwks.keys), jwk).map(([key, change]) => ({ ...key, ...change }))
  const stranger = createVerifier({ issuer: 'https://stranger.example', jwks })
  await fc.assert(
    fc.asyncProperty(fc.array(fc.oneof(jwk, good), { maxLength: 3 }), async (keys) => {
      const verifier = outcome(() =>
        createVerifier({ issuer: 'https://stranger.example', jwks: { keys: keys as never } }),
      )
      const token = makeToken()
      assert.equal(await laterOutcome(() => (verifier ?? stranger).verify(token)), undefined)
    }),
    runs(1500),
  )
  // The same from an address, with any body.
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(
        anyText,
        fc.json(),
        fc.array(fc.oneof(jwk, good)).map((keys) => JSON.stringify({ keys })),
      ),
      async (body) => {
        const verifier = createVerifier({ issuer: 'https://stranger.example', fetch: async () => new Response(body) })
        assert.equal(await laterOutcome(() => verifier.verify(makeToken())), undefined)
      },
    ),
    runs(500),
  )
})

test('an older scheme’s JWT has one name, and no other text has one', async () => {
  const secret = 'the secret of the app’s old refresh tokens, long enough'
  const adopter = adoptJwt({ secret })
  const token = jwt.sign({ sub: 'ada', jti: 'a' }, secret, { expiresIn: 3600 })
  const name = await adopter.identify!(token)
  assert.ok(name)
  await fc.assert(
    fc.asyncProperty(fc.oneof(changed(token), anyText), async (other) => {
      assert.equal(await laterOutcome(async () => adopter.identify!(other)), other === token ? name : null)
    }),
    runs(3000),
  )
})
