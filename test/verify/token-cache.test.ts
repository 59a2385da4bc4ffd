// The cache of verified tokens: no cached token outlives its expiry, its session or its key.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DaypassError } from '../../src/errors.ts'
import { createFakeClock } from '../../src/testing/index.ts'
import type { VerifierOptions } from '../../src/verify/index.ts'
import { createTokenCache } from '../../src/verify/token-cache.ts'
import { makeToken, makeVerifier, now, payloadOf, refused, seconds } from './tokens.ts'

test('a cached token returns the same object, without another signature check', async () => {
  const verifier = makeVerifier()
  const token = makeToken()
  const first = await verifier.verify(token)
  assert.equal(await verifier.verify(token), first)
  // An equal string is the same token.
  assert.equal(await verifier.verify(`${token.slice(0, 10)}${token.slice(10)}`), first)
})

test('the expiry is checked on every hit, and at the instant of exp the token has expired', async () => {
  const time = createFakeClock(now)
  const verifier = makeVerifier({ clock: time.clock })
  const token = makeToken(payloadOf({ exp: seconds + 10 }))
  await verifier.verify(token)
  time.advance(9.999)
  await verifier.verify(token)
  time.advance(0.001)
  for (let i = 0; i < 2; i++) await refused(token, 'ERR_ACCESS_TOKEN_EXPIRED', verifier)
})

test('the tolerance counts for cached tokens as for others', async () => {
  const time = createFakeClock(now)
  const verifier = makeVerifier({ clock: time.clock, clockTolerance: 5 })
  const token = makeToken(payloadOf({ exp: seconds + 10 }))
  const first = await verifier.verify(token)
  time.advance(14.999)
  assert.equal(await verifier.verify(token), first)
  time.advance(0.001)
  await refused(token, 'ERR_ACCESS_TOKEN_EXPIRED', verifier)
})

test('the revocation is checked on every hit: the next verification after it fails', async () => {
  const revoked = new Set<string>()
  const asked: string[] = []
  const isRevoked = (id: string) => {
    asked.push(id)
    return revoked.has(id)
  }
  const verifier = makeVerifier({ isRevoked })
  const token = makeToken()
  for (let i = 0; i < 3; i++) await verifier.verify(token)
  assert.equal(asked.length, 3)
  revoked.add(asked[0]!)
  for (let i = 0; i < 2; i++) await refused(token, 'ERR_ACCESS_TOKEN_REVOKED', verifier)
  assert.equal(asked.length, 5, 'once each: its signature was not checked again')
  await refused(makeToken(payloadOf({ jti: 'token-2' })), 'ERR_ACCESS_TOKEN_REVOKED', verifier)
  await verifier.verify(makeToken(payloadOf({ sid: 'BBBBBBBBBBBBBBBBBBBBBB' })))
})

test('isRevoked may return a promise, and may reject', async () => {
  const token = makeToken()
  let answer: boolean | Error = false
  const asked: string[] = []
  const isRevoked: VerifierOptions['isRevoked'] = async (id, { subject }) => {
    asked.push(`${id} of ${subject}`)
    if (answer instanceof Error) throw answer
    return answer
  }
  const verifier = makeVerifier({ isRevoked })
  for (let i = 0; i < 2; i++) assert.equal((await verifier.verify(token)).subject, 'user-1')
  answer = true
  await refused(token, 'ERR_ACCESS_TOKEN_REVOKED', verifier)
  answer = new DaypassError('ERR_STORE_UNAVAILABLE')
  await assert.rejects(verifier.verify(token), answer)
  assert.deepEqual(asked, Array(4).fill('AAAAAAAAAAAAAAAAAAAAAA of user-1'))
})

test('a token that expires while isRevoked waits is rejected', async () => {
  const time = createFakeClock(now)
  const verifier = makeVerifier({
    clock: time.clock,
    async isRevoked() {
      time.advance(300)
      return false
    },
  })
  await refused(makeToken(), 'ERR_ACCESS_TOKEN_EXPIRED', verifier)
})

test('the tolerance counts also for a token that expires while isRevoked waits', async () => {
  for (const [clockTolerance, passed] of [
    [30, 329],
    [0, 299],
  ] as const) {
    const time = createFakeClock(now)
    const isRevoked = async () => {
      time.advance(passed)
      return false
    }
    assert.ok(await makeVerifier({ clock: time.clock, clockTolerance, isRevoked }).verify(makeToken()))
  }
})

test('an invalid token is not cached, and displaces no valid one', async () => {
  const verifier = makeVerifier({ cacheSize: 1 })
  const token = makeToken()
  const first = await verifier.verify(token)
  for (let i = 0; i < 100; i++)
    await refused(makeToken(payloadOf({ iss: `evil-${i}` })), 'ERR_ACCESS_TOKEN_INVALID', verifier)
  assert.equal(await verifier.verify(token), first)
})

test('a text that ends like a cached token is not that token', async () => {
  const verifier = makeVerifier()
  const token = makeToken()
  await verifier.verify(token)
  const tail = token.slice(-24)
  const [header, , signature] = token.split('.')
  const otherUser = Buffer.from(JSON.stringify(payloadOf({ sub: 'admin' }))).toString('base64url')
  for (const forged of [
    tail,
    `.${tail}`,
    `a.b.${tail}`,
    `${header}.${otherUser}.${signature}`,
    `x${token}`,
    token.slice(1),
  ]) {
    await refused(forged, 'ERR_ACCESS_TOKEN_INVALID', verifier)
  }
  assert.equal((await verifier.verify(token)).subject, 'user-1')
})

test('two tokens with the same end are never confused: the full text decides', () => {
  const cache = createTokenCache<string>(10)
  const tail = 'x'.repeat(24)
  cache.set(`alice.${tail}`, 'alice')
  assert.equal(cache.get(`bobby.${tail}`), undefined)
  cache.set(`bobby.${tail}`, 'bobby')
  assert.equal(cache.get(`bobby.${tail}`), 'bobby')
  assert.equal(cache.get(`alice.${tail}`), undefined, 'replaced, not confused')
  assert.equal(cache.get(tail), undefined)
  assert.equal(cache.get(''), undefined)
})

test('the cache is bounded: the oldest entry is deleted first, and 0 caches nothing', async () => {
  const cache = createTokenCache<number>(100)
  for (let i = 0; i < 1000; i++) cache.set(`token-${i}`.padStart(40, '.'), i)
  const left = Array.from({ length: 1000 }, (_, i) => cache.get(`token-${i}`.padStart(40, '.'))).filter(
    (each) => each !== undefined,
  )
  assert.deepEqual(
    left,
    Array.from({ length: 100 }, (_, i) => 900 + i),
  )

  const small = makeVerifier({ cacheSize: 2 })
  const tokens = [1, 2, 3].map((i) => makeToken(payloadOf({ jti: `token-${i}` })))
  const seen = []
  for (const token of tokens) seen.push(await small.verify(token))
  assert.equal(await small.verify(tokens[2]!), seen[2])
  assert.equal(await small.verify(tokens[1]!), seen[1])
  assert.notEqual(await small.verify(tokens[0]!), seen[0])

  const none = makeVerifier({ cacheSize: 0 })
  assert.notEqual(await none.verify(tokens[0]!), await none.verify(tokens[0]!))
})

test('a clock that is set back does not keep a cached token beyond its exp', async () => {
  const time = createFakeClock(now)
  const verifier = makeVerifier({ clock: time.clock })
  const token = makeToken(payloadOf({ exp: seconds + 10 }))
  await verifier.verify(token)
  time.advance(-30)
  await verifier.verify(token)
  time.advance(40)
  await refused(token, 'ERR_ACCESS_TOKEN_EXPIRED', verifier)
})
