// Keys from a server: fetched once, again after a rotation, and not for invented key ids.

import assert from 'node:assert/strict'
import { generateKeyPairSync, type KeyObject, sign as signWith } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { isDaypassError } from '../../src/errors.ts'
import { createFakeClock } from '../../src/testing/index.ts'
import { createVerifier, type Jwk, type VerifierOptions } from '../../src/verify/index.ts'
import { audience, encode, issuer, payloadOf, refused, shared, signers } from './tokens.ts'

interface Pair {
  kid: string
  privateKey: KeyObject
  jwk: Jwk
}

function makePair(kid: string): Pair {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519')
  return { kid, privateKey, jwk: { ...(publicKey.export({ format: 'jwk' }) as Jwk), alg: 'EdDSA', use: 'sig', kid } }
}

const inTime = { iat: Math.floor(Date.now() / 1000), exp: Math.floor(Date.now() / 1000) + 300 }

function makeToken(
  { kid, privateKey }: Pair,
  members: Record<string, unknown> = {},
  header: Record<string, unknown> = {},
): string {
  const input = `${encode({ alg: 'EdDSA', typ: 'at+jwt', kid, ...header })}.${encode(payloadOf({ ...inTime, ...members }))}`
  return `${input}.${signWith(null, Buffer.from(input), privateKey).toString('base64url')}`
}

/** A real server of keys; the test decides its response. */
async function serveKeys(t: TestContext, keys: Jwk[]) {
  const state = {
    keys,
    requests: [] as string[],
    answer: undefined as ((response: ServerResponse) => void) | undefined,
  }
  const server = createServer((request, response) => {
    state.requests.push(request.url!)
    if (state.answer !== undefined) return state.answer(response)
    response.setHeader('content-type', 'application/json').end(JSON.stringify({ keys: state.keys }))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks.json`
  const verifier = (options: Partial<VerifierOptions> = {}) =>
    createVerifier({ issuer, audience, jwks: url, ...options })
  return Object.assign(state, { url, verifier })
}

test('the keys are fetched once for any number of tokens, also at the same time', async (t) => {
  const pair = makePair('a')
  const server = await serveKeys(t, [pair.jwk])
  const verifier = server.verifier()
  assert.equal(server.requests.length, 0, 'not before the first token')
  const tokens = Array.from({ length: 50 }, (_, i) => makeToken(pair, { jti: `token-${i}` }))
  await Promise.all(tokens.map((token) => verifier.verify(token)))
  for (const token of tokens) await verifier.verify(token)
  assert.deepEqual(server.requests, ['/jwks.json'])
})

test('the default address of the keys is /.well-known/jwks.json at the issuer', async (t) => {
  const pair = makePair('a')
  const server = await serveKeys(t, [pair.jwk])
  const own = new URL(server.url).origin
  const verifier = createVerifier({ issuer: own, audience })
  await verifier.verify(makeToken(pair, { iss: own }))
  assert.deepEqual(server.requests, ['/.well-known/jwks.json'])
})

test('1,000 invented key ids cause at most one fetch per cooldown', async (t) => {
  const pair = makePair('a')
  const server = await serveKeys(t, [pair.jwk])
  const verifier = server.verifier({ jwksCooldown: 0.4 })
  await verifier.verify(makeToken(pair))
  const random = () =>
    Promise.all(
      Array.from({ length: 1000 }, (_, i) =>
        refused(makeToken(pair, {}, { kid: `made-up-${i}-${Math.random()}` }), 'ERR_ACCESS_TOKEN_INVALID', verifier),
      ),
    )
  const began = performance.now()
  await random()
  const cooldowns = Math.ceil((performance.now() - began) / 400)
  assert.ok(server.requests.length <= 1 + cooldowns, `${server.requests.length} requests in ${cooldowns} cool-downs`)
  const before = server.requests.length
  await new Promise((resolve) => setTimeout(resolve, 450))
  const later = Array.from({ length: 200 }, (_, i) =>
    refused(makeToken(pair, {}, { kid: `again-${i}` }), 'ERR_ACCESS_TOKEN_INVALID', verifier),
  )
  await Promise.all(later)
  assert.ok(server.requests.length <= before + 2)
  await verifier.verify(makeToken(pair))

  const patient = server.verifier({ jwksCooldown: 600 })
  await patient.verify(makeToken(pair))
  const fetched = server.requests.length
  for (let i = 0; i < 5; i++) {
    await refused(makeToken(pair, {}, { kid: `patient-${i}` }), 'ERR_ACCESS_TOKEN_INVALID', patient)
  }
  assert.equal(server.requests.length, fetched)
})

test('1,000 invented key ids while the server of keys is down cause few requests, too', async (t) => {
  const pair = makePair('a')
  const server = await serveKeys(t, [pair.jwk])
  const verifier = server.verifier({ jwksCooldown: 0.05 })
  await verifier.verify(makeToken(pair))
  await new Promise((resolve) => setTimeout(resolve, 60))
  server.answer = (response) => void response.writeHead(503).end('<h1>down</h1>')
  const before = server.requests.length
  const began = performance.now()
  for (let i = 0; i < 1000; i++) {
    await assert.rejects(verifier.verify(makeToken(pair, {}, { kid: `made-up-${i}` })), isDaypassError)
  }
  const pauses = Math.ceil((performance.now() - began) / 50)
  assert.ok(
    server.requests.length - before <= pauses + 1,
    `${server.requests.length - before} requests in ${pauses} cool-downs`,
  )
  // Tokens of known keys are still accepted.
  assert.ok(await verifier.verify(makeToken(pair, { jti: 'other' })))
})

test('a new key is fetched for its first token; a removed key is rejected, also for cached tokens', async (t) => {
  const [a, b] = [makePair('a'), makePair('b')]
  const server = await serveKeys(t, [a.jwk])
  const verifier = server.verifier({ jwksCooldown: 0 })
  const old = makeToken(a)
  await verifier.verify(old)
  await verifier.verify(old)
  server.keys = [b.jwk]
  await verifier.verify(makeToken(b))
  assert.equal(server.requests.length, 2)
  await refused(old, 'ERR_ACCESS_TOKEN_INVALID', verifier)
})

test('while both keys are published, both are accepted', async (t) => {
  const [a, b] = [makePair('a'), makePair('b')]
  const server = await serveKeys(t, [b.jwk, a.jwk])
  const verifier = server.verifier()
  for (const pair of [a, b]) assert.ok(await verifier.verify(makeToken(pair)))
  // Without a kid two keys match, so neither is used.
  await refused(makeToken(a, {}, { kid: undefined }), 'ERR_ACCESS_TOKEN_INVALID', verifier)
})

test('keys older than jwksMaxAge are fetched again, and their cached tokens are verified again', async (t) => {
  const [a, b] = [makePair('a'), makePair('a')]
  const server = await serveKeys(t, [a.jwk])
  const time = createFakeClock(inTime.iat * 1000)
  const verifier = server.verifier({ jwksMaxAge: 120, jwksCooldown: 0, clock: time.clock })
  const token = makeToken(a)
  await verifier.verify(token)
  await verifier.verify(token)
  assert.equal(server.requests.length, 1)
  // The same id with another key: only the age of the keys shows that they must be fetched.
  server.keys = [b.jwk]
  time.advance(120)
  await refused(token, 'ERR_ACCESS_TOKEN_INVALID', verifier)
  assert.ok(await verifier.verify(makeToken(b)))
})

test('a failed fetch removes no cached token', async (t) => {
  const pair = makePair('a')
  const server = await serveKeys(t, [pair.jwk])
  const verifier = server.verifier({ jwksCooldown: 0 })
  const token = makeToken(pair)
  await verifier.verify(token)
  const first = await verifier.verify(token)
  server.answer = (response) => void response.writeHead(503).end('{}')
  await assert.rejects(verifier.verify(makeToken(pair, {}, { kid: 'new' })), (error) =>
    isDaypassError(error, 'ERR_JWKS_UNAVAILABLE'),
  )
  assert.equal(server.requests.length, 2)
  assert.equal(await verifier.verify(token), first)
})

test('a verified token is cached for jwksMaxAge at most, by the app’s clock', async () => {
  const pair = makePair('a')
  const time = createFakeClock(Date.now())
  const verifier = createVerifier({
    issuer,
    audience,
    clock: time.clock,
    jwksMaxAge: 100,
    fetch: async () => Response.json({ keys: [pair.jwk] }),
  })
  const token = makeToken(pair)
  await verifier.verify(token)
  const first = await verifier.verify(token)
  time.advance(99)
  assert.equal(await verifier.verify(token), first)
  time.advance(1)
  assert.notEqual(await verifier.verify(token), first)
})

test('a token that was verified with an old key while newer keys arrived is not cached', async () => {
  const [a, b] = [makePair('a'), makePair('b')]
  let keys = [a.jwk]
  const fetch = async () => Response.json({ keys })
  for (let i = 0; i < 20; i++) {
    keys = [a.jwk]
    const verifier = createVerifier({ issuer, audience, jwksCooldown: 0, fetch })
    await verifier.verify(makeToken(a))
    const old = makeToken(a, { jti: 'old' })
    keys = [b.jwk]
    await Promise.allSettled([verifier.verify(old), verifier.verify(makeToken(b))])
    await refused(old, 'ERR_ACCESS_TOKEN_INVALID', verifier)
  }
})

test('after a successful fetch, old keys are fetched again at once; after a failed one, not at once', async () => {
  const pair = makePair('a')
  let requests = 0
  let isDown = false
  const fetch = async () => {
    requests++
    if (isDown) throw new TypeError('fetch failed')
    return Response.json({ keys: [pair.jwk] })
  }
  const verifier = createVerifier({ issuer, audience, jwksMaxAge: 1, jwksCooldown: 60, jwksStaleFor: 0, fetch })
  for (const jti of ['1', '2']) {
    await verifier.verify(makeToken(pair, { jti }))
    await new Promise((resolve) => setTimeout(resolve, 1100))
  }
  assert.equal(requests, 2)
  isDown = true
  for (let i = 0; i < 10; i++) {
    await assert.rejects(verifier.verify(makeToken(pair, { jti: 'down' })), (error) => {
      assert.ok(isDaypassError(error, 'ERR_JWKS_UNAVAILABLE'))
      return error.cause instanceof Error
    })
  }
  assert.equal(requests, 3, 'one per second')
})

/** Responses that are not a key set. */
const noKeySets: [string, (response: ServerResponse) => void][] = [
  ['status 500', (response) => void response.writeHead(500).end('{}')],
  ['status 404', (response) => void response.writeHead(404).end('{}')],
  ['a redirect', (response) => void response.writeHead(302, { location: '/elsewhere' }).end()],
  ['a page with 200', (response) => void response.end('<html>back soon</html>')],
  ['an empty body', (response) => void response.end()],
  ['null', (response) => void response.end('null')],
  ['{}', (response) => void response.end('{}')],
  ['keys that are not a list', (response) => void response.end('{"keys":"x"}')],
  ['no keys', (response) => void response.end('{"keys":[]}')],
  ['keys that are not objects', (response) => void response.end('{"keys":[{},null,"x",7]}')],
  ['a truncated body', (response) => void response.writeHead(200, { 'content-length': 100 }).write('{"keys":')],
  ['a closed connection', (response) => void response.destroy()],
  ['101 keys', (response) => void response.end(JSON.stringify({ keys: Array(101).fill(makePair('a').jwk) }))],
  ['a body over 256 kB', (response) => void response.end(JSON.stringify({ keys: [], more: 'x'.repeat(300_000) }))],
]

for (const [name, answer] of noKeySets) {
  test(`a response that is not a key set is a failure, and is requested once a second: ${name}`, async (t) => {
    const pair = makePair('a')
    const server = await serveKeys(t, [pair.jwk])
    server.answer = (response) => {
      answer(response)
      if (name === 'a body that breaks off') response.destroy()
    }
    const verifier = server.verifier()
    const began = performance.now()
    for (let i = 0; i < 200; i++) {
      await assert.rejects(verifier.verify(makeToken(pair, { jti: `${i}` })), (error) => {
        assert.ok(isDaypassError(error, 'ERR_JWKS_UNAVAILABLE'), String(error))
        assert.equal(error.status, 503)
        assert.equal(error.retryAfter, 1)
        return true
      })
    }
    const asked = server.requests.length
    assert.ok(asked <= 1 + Math.ceil((performance.now() - began) / 1000), `${asked} requests`)
    server.answer = undefined
    await new Promise((resolve) => setTimeout(resolve, 1050))
    assert.ok(await verifier.verify(makeToken(pair)), 'accepted when there are keys again')
  })
}

test('while fetching fails, the known keys stay in use for jwksStaleFor, and no longer', async () => {
  const [pair, other] = [makePair('a'), makePair('b')]
  const time = createFakeClock(inTime.iat * 1000)
  let isAway = false
  const fetch = async () => (isAway ? new Response('<html>') : Response.json({ keys: [pair.jwk] }))
  const verifier = createVerifier({ issuer, audience, clock: time.clock, jwksMaxAge: 100, jwksStaleFor: 50, fetch })
  const token = (jti: string) => makeToken(pair, { jti, exp: inTime.iat + 3600 })
  const remembered = token('remembered')
  for (let i = 0; i < 2; i++) await verifier.verify(remembered)
  isAway = true
  for (const seconds of [99, 1, 49]) {
    time.advance(seconds)
    for (const each of [remembered, token(`new, ${seconds} s later`)]) assert.ok(await verifier.verify(each))
  }
  // An unknown key may be a new one, so the token is not called invalid.
  await assert.rejects(verifier.verify(makeToken(other)), (error) => isDaypassError(error, 'ERR_JWKS_UNAVAILABLE'))
  time.advance(1)
  for (const each of [remembered, token('too late')]) {
    await assert.rejects(verifier.verify(each), (error) => isDaypassError(error, 'ERR_JWKS_UNAVAILABLE'))
  }
  isAway = false
  time.advance(2)
  assert.ok(await verifier.verify(remembered))
})

test('while known keys may be used, no call waits for an address that failed before', async () => {
  const pair = makePair('a')
  const time = createFakeClock(inTime.iat * 1000)
  let requests = 0
  let answer: () => Promise<Response> = async () => Response.json({ keys: [pair.jwk] })
  const fetch = () => {
    requests++
    return answer()
  }
  const verifier = createVerifier({ issuer, audience, clock: time.clock, jwksMaxAge: 100, fetch })
  await verifier.verify(makeToken(pair))
  time.advance(100)
  answer = async () => Response.error()
  assert.ok(await verifier.verify(makeToken(pair, { jti: 'first after' })))
  time.advance(2)
  let heard: (response: Response) => void = () => assert.fail()
  answer = () => new Promise((resolve) => (heard = resolve))
  for (let i = 0; i < 10; i++) assert.ok(await verifier.verify(makeToken(pair, { jti: `while it hangs ${i}` })))
  assert.equal(requests, 3, 'one request at a time')
  heard(Response.json({ keys: [makePair('b').jwk] }))
  await new Promise((resolve) => setTimeout(resolve, 20))
  await refused(makeToken(pair, { jti: 'withdrawn' }), 'ERR_ACCESS_TOKEN_INVALID', verifier)
})

test('a key that is damaged, weak, secret or for another use does not affect the others', async () => {
  const pair = makePair('good')
  const spoiled: unknown[] = [
    null,
    {},
    { ...pair.jwk, kid: 'damaged', x: 'AAAA' },
    { ...pair.jwk, kid: 'no text', x: 7 },
    { kty: 'EC', crv: 'P-256', x: 'A'.repeat(43), y: 'A'.repeat(43), alg: 'ES256', kid: 'not on the curve' },
    { ...pair.jwk, kid: 'enc', use: 'enc' },
    { ...pair.jwk, kid: 'private', d: 'A'.repeat(43) },
    { kty: 'oct', k: 'A'.repeat(43), alg: 'HS256', kid: 'shared' },
    { kty: 'RSA', n: 'AQAB', e: 'AQAB', alg: 'RS256', kid: 'weak' },
    { kty: 'new kind', alg: 'ML-DSA-44', kid: 'later' },
  ]
  for (const keys of [
    [...spoiled, pair.jwk],
    [pair.jwk, ...spoiled],
  ]) {
    const verifier = createVerifier({ issuer, audience, fetch: async () => Response.json({ keys }) })
    assert.ok(await verifier.verify(makeToken(pair)))
    for (const kid of ['damaged', 'enc', 'private']) {
      await refused(makeToken({ ...pair, kid }), 'ERR_ACCESS_TOKEN_INVALID', verifier)
    }
  }
})

test('an RSA key without `alg` is for RS256, as many issuers publish it', async () => {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const keys = [{ ...publicKey.export({ format: 'jwk' }), kid: 'rsa' }]
  const verifier = createVerifier({ issuer, audience, fetch: async () => Response.json({ keys }) })
  const input = `${encode({ alg: 'RS256', typ: 'at+jwt', kid: 'rsa' })}.${encode(payloadOf(inTime))}`
  assert.ok(
    await verifier.verify(`${input}.${signWith('sha256', Buffer.from(input), privateKey).toString('base64url')}`),
  )
})

test('a clock that is set back keeps no key in use beyond jwksMaxAge', async () => {
  const [a, b] = [makePair('a'), makePair('b')]
  const time = createFakeClock(inTime.iat * 1000)
  let keys = [a.jwk]
  const fetch = async () => Response.json({ keys })
  const verifier = createVerifier({ issuer, audience, clock: time.clock, jwksMaxAge: 0.1, jwksCooldown: 0, fetch })
  const remembered = makeToken(a)
  for (let i = 0; i < 2; i++) await verifier.verify(remembered)
  keys = [b.jwk]
  time.advance(-30)
  await new Promise((resolve) => setTimeout(resolve, 120))
  await refused(remembered, 'ERR_ACCESS_TOKEN_INVALID', verifier)
})

test('an invalid address is rejected when the verifier is made, and the error says which option it is', () => {
  const advice = "Set `jwks` to the address of the keys, such as 'https://id.example.com/.well-known/jwks.json'"
  const wrong = [
    [{ issuer: 'no address' }, "`issuer` is 'no address'. That is no address, so it does not say where the keys are."],
    [{ issuer: 'urn:my-app' }, "`issuer` is 'urn:my-app'."],
    [{ issuer, jwks: '/jwks.json' }, "`jwks` is '/jwks.json'."],
    [{ issuer, jwks: 'https://' }, "`jwks` is 'https://'."],
    [{ issuer, jwks: 'httpsx://id.example' }, "`jwks` is 'httpsx://id.example'."],
    [{ issuer, jwks: 'xhttps://id.example' }, "`jwks` is 'xhttps://id.example'."],
    [{ issuer, jwks: null as never }, '`jwks` is null.'],
    [{ issuer, jwks: {} as never }, '`jwks` is an object.'],
  ] as const
  for (const [options, message] of wrong) {
    assert.throws(
      () => createVerifier({ audience, ...options }),
      (error) => {
        assert.ok(isDaypassError(error, 'ERR_OPTION_INVALID'))
        assert.ok(error.message.startsWith(message) && error.message.includes(advice), error.message)
        return true
      },
    )
  }
})

test('invalid durations are rejected when the verifier is made', () => {
  for (const name of ['jwksMaxAge', 'jwksCooldown', 'jwksStaleFor']) {
    for (const value of [-1, Number.NaN, Number.POSITIVE_INFINITY, '600']) {
      assert.throws(
        () => createVerifier({ issuer, audience, [name]: value as number }),
        (error) => isDaypassError(error, 'ERR_OPTION_INVALID') && error.message.includes(name),
        `${name}: ${value}`,
      )
    }
  }
})

test('a damaged key at the address is the publisher’s fault: 503, and not 401', async () => {
  const pair = makePair('a')
  const verifier = createVerifier({
    issuer,
    audience,
    fetch: async () => Response.json({ keys: [{ ...pair.jwk, x: 'AAAA' }] }),
  })
  await assert.rejects(verifier.verify(makeToken(pair)), (error) => isDaypassError(error, 'ERR_JWKS_UNAVAILABLE'))
})

test('a server that hangs is given up after five seconds', { timeout: 15_000 }, async (t) => {
  const pair = makePair('a')
  const server = await serveKeys(t, [pair.jwk])
  server.answer = () => {}
  const began = performance.now()
  await assert.rejects(server.verifier().verify(makeToken(pair)), (error) =>
    isDaypassError(error, 'ERR_JWKS_UNAVAILABLE'),
  )
  assert.ok(performance.now() - began < 7000)
})

test('a redirect is not followed', async (t) => {
  const pair = makePair('a')
  const evil = await serveKeys(t, [pair.jwk])
  const server = await serveKeys(t, [])
  server.answer = (response) => void response.writeHead(302, { location: evil.url }).end()
  await assert.rejects(server.verifier().verify(makeToken(pair)), (error) =>
    isDaypassError(error, 'ERR_JWKS_UNAVAILABLE'),
  )
  assert.deepEqual(evil.requests, [])
})

test('a secret key at a public address is not used: HS256 is never fetched', async (t) => {
  const server = await serveKeys(t, [{ kty: 'oct', k: shared.toString('base64url'), alg: 'HS256', kid: 'shared' }])
  const verifier = server.verifier()
  const input = `${encode({ alg: 'HS256', typ: 'at+jwt', kid: 'shared' })}.${encode(payloadOf(inTime))}`
  await refused(`${input}.${signers.HS256!(input).toString('base64url')}`, 'ERR_ACCESS_TOKEN_INVALID', verifier)
  assert.deepEqual(server.requests, [])
})

test('a weak or unsuitable key at the address verifies nothing', async (t) => {
  const rsa1024 = generateKeyPairSync('rsa', { modulusLength: 1024 })
  const weak = { ...(rsa1024.publicKey.export({ format: 'jwk' }) as Jwk), alg: 'RS256', kid: 'weak' }
  const pair = makePair('a')
  const server = await serveKeys(t, [
    pair.jwk,
    weak,
    { ...pair.jwk, kid: 'enc', use: 'enc' },
    { ...pair.jwk, kid: 'other', alg: 'ES256' },
  ])
  const verifier = server.verifier({ jwksCooldown: 0 })
  const input = `${encode({ alg: 'RS256', typ: 'at+jwt', kid: 'weak' })}.${encode(payloadOf(inTime))}`
  await refused(
    `${input}.${signWith('sha256', Buffer.from(input), rsa1024.privateKey).toString('base64url')}`,
    'ERR_ACCESS_TOKEN_INVALID',
    verifier,
  )
  for (const kid of ['enc', 'other']) await refused(makeToken({ ...pair, kid }), 'ERR_ACCESS_TOKEN_INVALID', verifier)
})

test('garbage causes no request: a malformed token is rejected before the keys are fetched', async (t) => {
  const server = await serveKeys(t, [])
  const verifier = server.verifier()
  const pair = makePair('a')
  for (const token of [
    '',
    'x',
    'a.b.c',
    makeToken(pair, {}, { typ: 'JWT' }),
    makeToken(pair, {}, { alg: 'none' }),
    makeToken(pair, {}, { crit: ['x'] }),
    'x'.repeat(1e6),
  ]) {
    await refused(token, 'ERR_ACCESS_TOKEN_INVALID', verifier)
  }
  assert.deepEqual(server.requests, [])
})
