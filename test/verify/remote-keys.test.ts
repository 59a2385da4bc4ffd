// Keys from a server: fetched once, again when they are rotated, and not because somebody makes up key ids.

import assert from 'node:assert/strict'
import { generateKeyPairSync, type KeyObject, sign as signWith } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { isDaypassError } from '../../src/core/errors.ts'
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

/** A real server of keys, whose answer a test decides. */
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

test('the keys are fetched once for any number of tokens, also when they come at once', async (t) => {
  const pair = makePair('a')
  const server = await serveKeys(t, [pair.jwk])
  const verifier = server.verifier()
  assert.equal(server.requests.length, 0, 'not before the first token')
  const tokens = Array.from({ length: 50 }, (_, i) => makeToken(pair, { jti: `token-${i}` }))
  await Promise.all(tokens.map((token) => verifier.verify(token)))
  for (const token of tokens) await verifier.verify(token)
  assert.deepEqual(server.requests, ['/jwks.json'])
})

test('the keys are looked for at /.well-known/jwks.json of the issuer where no address is given', async (t) => {
  const pair = makePair('a')
  const server = await serveKeys(t, [pair.jwk])
  const own = new URL(server.url).origin
  const verifier = createVerifier({ issuer: own, audience })
  await verifier.verify(makeToken(pair, { iss: own }))
  assert.deepEqual(server.requests, ['/.well-known/jwks.json'])
})

test('1,000 made-up key ids cause at most one fetch in a cool-down', async (t) => {
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

test('1,000 made-up key ids while the server of keys is down cause no storm either', async (t) => {
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
  // Those who hold a token of a known key notice nothing.
  assert.ok(await verifier.verify(makeToken(pair, { jti: 'other' })))
})

test('a key that was rotated in is fetched for its first token; one that was rotated out is gone, remembered tokens too', async (t) => {
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

test('with both keys published, as an overlap should be, both are accepted', async (t) => {
  const [a, b] = [makePair('a'), makePair('b')]
  const server = await serveKeys(t, [b.jwk, a.jwk])
  const verifier = server.verifier()
  for (const pair of [a, b]) assert.ok(await verifier.verify(makeToken(pair)))
  // Without a kid there is a choice, and none is made.
  await refused(makeToken(a, {}, { kid: undefined }), 'ERR_ACCESS_TOKEN_INVALID', verifier)
})

test('keys older than jwksMaxAge are fetched again, and what was verified by them is verified again', async (t) => {
  const [a, b] = [makePair('a'), makePair('a')]
  const server = await serveKeys(t, [a.jwk])
  const verifier = server.verifier({ jwksMaxAge: 0.1, jwksCooldown: 0 })
  const token = makeToken(a)
  await verifier.verify(token)
  await verifier.verify(token)
  assert.equal(server.requests.length, 1)
  // The same id, another key: nothing but age tells.
  server.keys = [b.jwk]
  await new Promise((resolve) => setTimeout(resolve, 120))
  await refused(token, 'ERR_ACCESS_TOKEN_INVALID', verifier)
  assert.ok(await verifier.verify(makeToken(b)))
})

test('keys fetched in vain push out nothing that is remembered', async (t) => {
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

test('what was verified is remembered for jwksMaxAge at most, by the app’s clock', async () => {
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

test('a token checked with a key of before, while newer keys came, is not remembered', async () => {
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

test('after keys that came, those that grew old may be asked for at once; after none came, not at once', async () => {
  const pair = makePair('a')
  let requests = 0
  let isDown = false
  const fetch = async () => {
    requests++
    if (isDown) throw new TypeError('fetch failed')
    return Response.json({ keys: [pair.jwk] })
  }
  const verifier = createVerifier({ issuer, audience, jwksMaxAge: 0.01, jwksCooldown: 60, fetch })
  for (const jti of ['1', '2']) {
    await verifier.verify(makeToken(pair, { jti }))
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  assert.equal(requests, 2)
  isDown = true
  for (let i = 0; i < 10; i++) {
    await assert.rejects(verifier.verify(makeToken(pair, { jti: 'down' })), (error) => {
      assert.ok(isDaypassError(error, 'ERR_JWKS_UNAVAILABLE'))
      return error.cause instanceof Error
    })
  }
  assert.equal(requests, 3, 'one in a second')
})

test('a damaged key at the address is the fault of who published it: 503, and not 401', async () => {
  const pair = makePair('a')
  const verifier = createVerifier({
    issuer,
    audience,
    fetch: async () => Response.json({ keys: [{ ...pair.jwk, x: 'AAAA' }] }),
  })
  await assert.rejects(verifier.verify(makeToken(pair)), (error) => isDaypassError(error, 'ERR_JWKS_UNAVAILABLE'))
})

test('keys that cannot be had are 503, not 401: the caller is not signed out', async (t) => {
  const pair = makePair('a')
  const answers: [string, (response: ServerResponse) => void][] = [
    ['500', (response) => void response.writeHead(500).end('{}')],
    ['404', (response) => void response.writeHead(404).end('{}')],
    ['HTML', (response) => void response.end('<html>')],
    ['no key set', (response) => void response.end('{"keys":{}}')],
    ['a redirect', (response) => void response.writeHead(302, { location: 'http://127.0.0.1:9/evil' }).end()],
    ['cut off', (response) => void response.destroy()],
  ]
  for (const [name, answer] of answers) {
    const server = await serveKeys(t, [pair.jwk])
    server.answer = answer
    const verifier = server.verifier({ jwksCooldown: 0 })
    await assert.rejects(
      verifier.verify(makeToken(pair)),
      (error) => {
        assert.ok(isDaypassError(error, 'ERR_JWKS_UNAVAILABLE'), name)
        assert.equal(error.status, 503)
        return true
      },
      name,
    )
    // And when they can be had again, all is well.
    server.answer = undefined
    await verifier.verify(makeToken(pair))
  }
})

test('a server that hangs is given up on after five seconds', { timeout: 15_000 }, async (t) => {
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

test('a weak or unfit key at the address lets nobody in', async (t) => {
  const rsa1024 = generateKeyPairSync('rsa', { modulusLength: 1024 })
  const weak = { ...(rsa1024.publicKey.export({ format: 'jwk' }) as Jwk), alg: 'RS256', kid: 'weak' }
  const pair = makePair('a')
  const server = await serveKeys(t, [
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

test('garbage costs no request: what is no token of a known shape is refused before the keys are fetched', async (t) => {
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
