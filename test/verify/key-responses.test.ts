// What a response with keys may be, why it is refused, and for how long its keys are in use. No waiting: a fetch of the
// test's own, and its own clock.

import assert from 'node:assert/strict'
import { generateKeyPairSync, sign } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import { type DaypassError, isDaypassError } from '../../src/errors.ts'
import { createFakeClock } from '../../src/testing/index.ts'
import { createVerifier, type Jwk } from '../../src/verify/index.ts'
import { remoteKeys } from '../../src/verify/remote-keys.ts'
import { audience, encode, issuer, payloadOf } from './tokens.ts'

const { publicKey, privateKey } = generateKeyPairSync('ed25519')
const jwk = { ...(publicKey.export({ format: 'jwk' }) as Jwk), alg: 'EdDSA', kid: 'a' }
const inTime = { iat: Math.floor(Date.now() / 1000), exp: Math.floor(Date.now() / 1000) + 300 }
const input = `${encode({ alg: 'EdDSA', typ: 'at+jwt', kid: 'a' })}.${encode(payloadOf(inTime))}`
const token = `${input}.${sign(null, Buffer.from(input), privateKey).toString('base64url')}`

const verifyWith = (fetch: typeof globalThis.fetch) => createVerifier({ issuer, audience, fetch }).verify(token)

/** A key set whose text has so many bytes. */
function keySet(bytes: number): string {
  const start = `${JSON.stringify({ keys: [jwk] }).slice(0, -1)},"more":"`
  return `${start}${'x'.repeat(bytes - start.length - 2)}"}`
}

test('a key set of 256 kB, and one of 100 keys, is the largest that is used', async () => {
  await verifyWith(async () => new Response(keySet(262_144)))
  await verifyWith(async () => Response.json({ keys: [jwk, ...Array(99).fill({})] }))
})

/** Responses that hold the right key, each refused for the reason beside it; or a fetch that fails. */
const refused: [reason: RegExp, fetch: () => Promise<Response>][] = [
  [/the response is longer than 262144 bytes/, async () => new Response(keySet(262_145))],
  [/the response has more than 100 keys/, async () => Response.json({ keys: [jwk, ...Array(100).fill({})] })],
  [/the response has status 404/, async () => Response.json({ keys: [jwk] }, { status: 404 })],
  [/the response has status 203/, async () => Response.json({ keys: [jwk] }, { status: 203 })],
  [/the response is not JSON/, async () => new Response(`${JSON.stringify({ keys: [jwk] })}<`)],
  [/the response is not a key set with a usable key/, async () => Response.json([jwk])],
  [/the response is not a key set with a usable key/, async () => new Response('null')],
  [/ECONNREFUSED/, () => Promise.reject(new TypeError('fetch failed', { cause: { code: 'ECONNREFUSED' } }))],
  [/EACCES/, () => Promise.reject(Object.assign(new Error('no'), { code: 'EACCES' }))],
  [/RangeError/, () => Promise.reject(new RangeError('a secret'))],
]
for (const [index, [reason, fetch]] of refused.entries()) {
  test(`a response is refused, and the error says why: ${index + 1}. ${reason.source}`, async () => {
    await assert.rejects(verifyWith(fetch), (error) => {
      assert.ok(isDaypassError(error, 'ERR_JWKS_UNAVAILABLE'))
      const { message, cause } = error.cause as DaypassError
      assert.match(message, reason)
      assert.match(message, /^https:\/\/id\.example\/\.well-known\/jwks\.json gave no keys: .* set `jwks` to it/)
      assert.doesNotMatch(message, /undefined|a secret/)
      assert.ok(cause instanceof Error, 'what happened is at hand')
      return true
    })
  })
}

test('the address is asked for JSON, without following a redirect', async () => {
  let asked: RequestInit | undefined
  await verifyWith(async (_url, init) => {
    asked = init
    return Response.json({ keys: [jwk] })
  })
  assert.equal(new Headers(asked?.headers).get('accept'), 'application/jwk-set+json, application/json')
  assert.equal(asked?.redirect, 'manual')
})

test('a character that two chunks share is read as one', async () => {
  const kid = 'clé'
  const bytes = new TextEncoder().encode(JSON.stringify({ keys: [{ ...jwk, kid }] }))
  const middle = bytes.indexOf(0xc3) + 1
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(bytes.slice(0, middle))
      controller.enqueue(bytes.slice(middle))
      controller.close()
    },
  })
  const keys = remoteKeys(new URL(issuer), {
    maxAge: 600,
    staleFor: 0,
    cooldown: 30,
    clock: Date.now,
    fetch: async () => new Response(body),
  })
  assert.notEqual(await keys.find({ alg: 'EdDSA', kid }), undefined)
})

test('a response without a stream is read at once, as in React Native', async () => {
  const text = async () => JSON.stringify({ keys: [jwk] })
  await verifyWith(async () => ({ status: 200, body: undefined, text }) as unknown as Response)
  // There, no body is cancelled.
  const failed = verifyWith(async () => ({ status: 500, body: undefined, text }) as unknown as Response)
  await assert.rejects(failed, (error) => /status 500/.test(((error as Error).cause as Error).message))
})

test('after a response no timer is left', async () => {
  const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
  const before = timers()
  await verifyWith(async () => Response.json({ keys: [jwk] }))
  assert.equal(timers(), before)
})

test('a fetch that ignores its signal is given up after five seconds, with an error that says so', {
  timeout: 20_000,
}, async () => {
  let signal: AbortSignal | null | undefined
  const failed = verifyWith((_url, init) => {
    signal = init?.signal
    return new Promise(() => {})
  })
  await assert.rejects(failed, (error) =>
    /no response within five seconds/.test(((error as Error).cause as Error).message),
  )
  assert.equal(signal?.aborted, true)
})

/** A source whose fetch does what the test says, with a clock of its own. Keys are fresh for 100 s, and usable for 50 more. */
function makeSource(t: TestContext) {
  const time = createFakeClock()
  // The other clock of the source stands still.
  t.mock.method(performance, 'now', () => 0)
  const state = { requests: 0, answer: async () => Response.json({ keys: [jwk] }) }
  const fetch = () => {
    state.requests++
    return state.answer()
  }
  const source = remoteKeys(new URL(issuer), { maxAge: 100, staleFor: 50, cooldown: 10, clock: time.now, fetch })
  const find = (kid = 'a') => source.find({ alg: 'EdDSA', kid })
  return Object.assign(state, { time, source, find })
}

const down = async () => new Response('', { status: 503 })

test('the keys of a set are in use until maxAge, and then only while fetching fails', async (t) => {
  const { time, source, find } = makeSource(t)
  assert.equal(source.current(), undefined, 'nothing is known yet')
  await find()
  const set = source.current()
  assert.notEqual(set, undefined)
  time.advance(99.999)
  assert.equal(source.current(), set)
  time.advance(0.001)
  assert.equal(source.current(), undefined, 'the next token fetches the keys')
})

test('keys beyond maxAge are not in use while the first fetch after it runs', async (t) => {
  const keys = makeSource(t)
  await keys.find()
  keys.time.advance(100)
  const found = keys.find()
  assert.equal(keys.requests, 2)
  assert.equal(keys.source.current(), undefined)
  await found
  assert.notEqual(keys.source.current(), undefined)
})

test('a key without `alg` is for the only algorithm of its kind; a set of secret keys has no usable one', async (t) => {
  const keys = makeSource(t)
  keys.answer = async () => Response.json({ keys: [{ ...jwk, alg: undefined }] })
  assert.notEqual(await keys.find(), undefined)
  keys.answer = async () =>
    Response.json({ keys: [{ kty: 'oct', k: Buffer.alloc(32, 7).toString('base64url'), alg: 'HS256', kid: 'a' }] })
  await assert.rejects(verifyWith(keys.answer), (error) => isDaypassError(error, 'ERR_JWKS_UNAVAILABLE'))
})

test('keys beyond maxAge stay in use while a fetch runs or has just failed, and end with staleFor', async (t) => {
  const keys = makeSource(t)
  await keys.find()
  const set = keys.source.current()
  keys.answer = down
  keys.time.advance(100)
  await keys.find()
  assert.equal(keys.requests, 2)
  assert.equal(keys.source.current(), set, 'a fetch has just failed')
  keys.time.advance(0.999)
  assert.equal(keys.source.current(), set)
  await keys.find()
  assert.equal(keys.requests, 2, 'not asked again within a second')
  keys.time.advance(0.001)
  assert.equal(keys.source.current(), undefined, 'a second after the failure the next token fetches again')

  const { promise, resolve } = Promise.withResolvers<Response>()
  keys.answer = () => promise
  await keys.find()
  assert.equal(keys.requests, 3)
  assert.equal(keys.source.current(), set, 'a fetch runs')
  keys.time.advance(50)
  assert.equal(keys.source.current(), undefined, 'beyond maxAge and staleFor')
  resolve(await down())
  await assert.rejects(keys.find(), (error) => isDaypassError(error, 'ERR_JWKS_UNAVAILABLE'))
  assert.equal(keys.source.current(), undefined)
})

test('at the very end of staleFor the keys are no longer in use', async (t) => {
  const keys = makeSource(t)
  await keys.find()
  keys.answer = down
  keys.time.advance(149.999)
  assert.notEqual(await keys.find(), undefined)
  keys.time.advance(0.001)
  assert.equal(keys.source.current(), undefined)
  await assert.rejects(keys.find(), (error) => isDaypassError(error, 'ERR_JWKS_UNAVAILABLE'))
})

test('an unknown key id is looked up again at the end of the cooldown, and not before', async (t) => {
  const keys = makeSource(t)
  assert.equal(await keys.find('b'), undefined)
  keys.time.advance(9.999)
  assert.equal(await keys.find('b'), undefined)
  assert.equal(keys.requests, 1)
  keys.time.advance(0.001)
  assert.equal(await keys.find('b'), undefined)
  assert.equal(keys.requests, 2)
})

test('in a Cloudflare Worker no request waits for another one’s promise', async (t) => {
  const keys = makeSource(t)
  const waiting: ((response: Response) => void)[] = []
  keys.answer = () => new Promise((resolve) => void waiting.push(resolve))
  const here = Promise.all([keys.find(), keys.find()])
  assert.equal(waiting.length, 1, 'elsewhere they share one')
  t.mock.getter(navigator, 'userAgent', () => 'Cloudflare-Workers')
  const there = keys.find()
  assert.equal(waiting.length, 2)
  for (const respond of waiting) respond(Response.json({ keys: [jwk] }))
  await Promise.all([here, there])
})

test('a runtime without `navigator` fetches keys', async (t) => {
  const keys = makeSource(t)
  const given = Object.getOwnPropertyDescriptor(globalThis, 'navigator')!
  Object.defineProperty(globalThis, 'navigator', { value: undefined, configurable: true })
  t.after(() => Object.defineProperty(globalThis, 'navigator', given))
  assert.notEqual(await keys.find(), undefined)
})
