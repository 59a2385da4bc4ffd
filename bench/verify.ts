// Access tokens verified a second: createVerifier beside jose, fast-jwt and bare look-ups, which no cache can beat.
//
// A token from the network is a new string each time, so each check here gets a fresh copy. A string that is used twice
// keeps its hash, and a Map would look ten times as fast as it is.

import { Buffer } from 'node:buffer'
import {
  createHmac,
  createPublicKey,
  createSecretKey,
  type JsonWebKey,
  type KeyObject,
  timingSafeEqual,
  verify,
} from 'node:crypto'
import { createVerifier as createFastJwt } from 'fast-jwt'
import { importJWK, jwtVerify } from 'jose'
import { createVerifier } from '../src/verify/index.ts'
import { figureOf, fixed, percent, printTable, ratioOf, rounds, type Target, whole } from './measure.ts'
import { createTokenMaker, issuer } from './tokens.ts'

/** The verifier's default cache size. */
export const tokenCount = 10_000
const inFlight = 32
const roundCount = 9

/** Checks one token, synchronously or not. */
export type Check = (token: string) => unknown

/** Runs and prints the comparison; `seconds` is for each thing in all. */
export async function benchVerify(seconds: number): Promise<Target[]> {
  const time = (seconds / roundCount) * 1000
  const targets: Target[] = []
  for (const algorithm of ['EdDSA', 'HS256'] as const) {
    const { make, jwk } = createTokenMaker(algorithm)
    const tokens = await Promise.all(Array.from({ length: tokenCount }, () => make()))
    const all = freshCopies(tokens, tokenCount)
    const few = freshCopies(tokens, 50)
    const joseKey = await importJWK(jwk as Parameters<typeof importJWK>[0], algorithm)
    const jwks = { keys: [jwk] }
    const daypass = createVerifier({ issuer, jwks })
    const daypassUncached = createVerifier({ issuer, jwks, cacheSize: 0 })
    const fastJwtOptions = { key: fastJwtKey(jwk), algorithms: [algorithm], allowedIss: issuer, allowedAud: issuer }
    const byToken = new Map(tokens.map((token) => [token, { claims: {} }]))
    const byTail = new Map(tokens.map((token) => [token.slice(-24), { token, claims: {} }]))
    const jose: Check = (token) => jwtVerify(token, joseKey, { issuer, audience: issuer, algorithms: [algorithm] })

    const cached: Record<string, Check> = {
      'Map, whole token': (token) => byToken.get(token)!,
      'Map, last 24 and ===': (token) => {
        const entry = byTail.get(token.slice(-24))
        return entry?.token === token ? entry.claims : undefined
      },
      'daypass/verify, seen before': (token) => daypass.verify(token),
      'fast-jwt, cache': createFastJwt({ ...fastJwtOptions, cache: tokenCount * 2 }),
    }
    const uncached: Record<string, Check> = {
      'node:crypto alone, the signature': createSignatureCheck(jwk),
      'daypass/verify, cacheSize 0': (token) => daypassUncached.verify(token),
      'jose jwtVerify': jose,
      'fast-jwt, no cache': createFastJwt({ ...fastJwtOptions, cache: false }),
    }
    const things: Record<string, () => Promise<number>> = {}
    for (const [name, check] of Object.entries(cached)) things[name] = () => oneByOne(check, all, time)
    for (const [name, check] of Object.entries(uncached)) {
      things[name] = () => oneByOne(check, few, time)
      if (check(tokens[0]!) instanceof Promise) things[`${name}, 32 in flight`] = () => together(check, few, time)
    }
    for (const check of Object.values(cached)) for (const token of tokens) await check(token)
    await rounds(1, things)
    const results = await rounds(roundCount, things)

    const rate = (name: string) => figureOf(results[name]!).median
    const best = ['Map, whole token', 'Map, last 24 and ==='].toSorted((a, b) => rate(b) - rate(a))[0]!
    const ratio = (name: string, base = best) => ratioOf(results[name]!, results[base]!).median
    const rows = Object.entries(results).map(([name, values]) => {
      const { median, spread } = figureOf(values)
      return [name, whole(median), `±${percent(spread / 2)}`, fixed(1e6 / median, 2), fixed(ratio(name), 3)]
    })
    const title = `Access tokens checked, ${algorithm}: ${tokenCount} tokens of ${tokens[0]!.length} characters, each time a fresh text; medians of ${roundCount} rounds in turn`
    printTable(title, [['', 'per second', 'spread', 'µs each', 'of best look-up'], ...rows])
    const unseen = algorithm === 'HS256' ? 'fast-jwt, no cache' : 'node:crypto alone, the signature'
    targets.push(
      {
        name: `verify, ${algorithm}: seen before, of the best look-up`,
        least: 0.65,
        figure: ratio('daypass/verify, seen before'),
      },
      {
        name: `verify, ${algorithm}: not seen before, of ${unseen}`,
        least: algorithm === 'HS256' ? 0.6 : 0.95,
        figure: ratio('daypass/verify, cacheSize 0', unseen),
      },
    )
  }
  return targets
}

/** One after the other. Only the checks are timed, not the making of fresh strings. */
export async function oneByOne(check: Check, fresh: () => string[], time: number): Promise<number> {
  const pass = check(fresh()[0]!) instanceof Promise ? passAwaiting : passPlain
  let count = 0
  let spent = 0
  while (spent < time) {
    const texts = fresh()
    const started = performance.now()
    await pass(check, texts)
    spent += performance.now() - started
    count += texts.length
  }
  return (count * 1000) / spent
}

function passPlain(check: Check, texts: string[]): void {
  for (const text of texts) kept = check(text)
}

async function passAwaiting(check: Check, texts: string[]): Promise<void> {
  for (const text of texts) kept = await check(text)
}

/** The last result. It is kept so that the compiler does not remove the check as dead code. */
export let kept: unknown

/** Many at the same time, as on a busy server, so that work in other threads overlaps. */
async function together(check: Check, fresh: () => string[], time: number): Promise<number> {
  let count = 0
  const started = performance.now()
  const deadline = started + time
  const chain = async () => {
    while (performance.now() < deadline) {
      for (const text of fresh()) {
        await check(text)
        count++
        if (performance.now() > deadline) break
      }
    }
  }
  await Promise.all(Array.from({ length: inFlight }, chain))
  return (count * 1000) / (performance.now() - started)
}

/** Copies tokens into new strings that have no hash yet. */
export function freshCopies(tokens: string[], count: number): () => string[] {
  const buffers = tokens.slice(0, count).map((token) => Buffer.from(token, 'latin1'))
  return () => buffers.map((bytes) => bytes.toString('latin1'))
}

/** The signature and nothing else: no header, no claims. No verifier that uses node:crypto is faster. */
function createSignatureCheck(jwk: JsonWebKey): Check {
  const parse = (token: string) => {
    const dot = token.lastIndexOf('.')
    return { input: Buffer.from(token.slice(0, dot)), signature: Buffer.from(token.slice(dot + 1), 'base64url') }
  }
  if (jwk.kty === 'oct') {
    const key = createSecretKey(Buffer.from(jwk.k!, 'base64url'))
    return (token) => {
      const { input, signature } = parse(token)
      return timingSafeEqual(createHmac('sha256', key).update(input).digest(), signature)
    }
  }
  const key = createPublicKey({ key: jwk, format: 'jwk' })
  return (token) => {
    const { input, signature } = parse(token)
    return verify(null, input, key, signature)
  }
}

export function fastJwtKey(jwk: { kty?: string; k?: string }): string | Buffer {
  if (jwk.kty === 'oct') return Buffer.from(jwk.k!, 'base64url')
  const key: KeyObject = createPublicKey({ key: jwk as JsonWebKey, format: 'jwk' } as Parameters<
    typeof createPublicKey
  >[0])
  return key.export({ type: 'spki', format: 'pem' }).toString()
}
