// Access tokens verified a second: daypass/verify beside fast-jwt, jose and jsonwebtoken, for tokens that a process has not
// seen before, one at a time, and for tokens that it has seen.

import { createSecretKey } from 'node:crypto'
import { createVerifier as createFastJwt } from 'fast-jwt'
import { importJWK, type JWK, jwtVerify } from 'jose'
import jwt from 'jsonwebtoken'
import { createVerifier } from '../../src/verify/index.ts'
import { figureOf, fixed, percent, printTable, ratioOf, rounds, whole } from '../measure.ts'
import { createTokenMaker, issuer } from '../tokens.ts'
import { type Check, fastJwtKey, freshCopies, oneByOne, tokenCount } from '../verify.ts'

const roundCount = 9

type Jwk = ReturnType<typeof createTokenMaker>['jwk']

interface Verification {
  name: string
  /** The library, or none: a row of Daypass is always there. */
  peer?: string
  seen: boolean
  check: Check
  /** What the library does not do in this job, from its documentation. */
  lacks: string
}

/** Runs and prints the comparison; `seconds` is for each row in all, over its rounds. */
export async function benchPeerVerifiers(seconds: number, isWanted: (peer: string) => boolean): Promise<void> {
  const time = (seconds / roundCount) * 1000
  for (const algorithm of ['HS256', 'EdDSA'] as const) {
    const { jwk, make } = createTokenMaker(algorithm)
    const tokens = await Promise.all(Array.from({ length: tokenCount }, () => make()))
    const unseen = freshCopies(tokens, 50)
    const seen = freshCopies(tokens, tokenCount)
    const verifications = (await createVerifications(algorithm, jwk)).filter(
      ({ peer }) => peer === undefined || isWanted(peer),
    )
    if (verifications.every(({ peer }) => peer === undefined)) continue
    const things: Record<string, () => Promise<number>> = {}
    for (const { name, seen: isSeen, check } of verifications) {
      if (isSeen) for (const token of tokens) await check(token)
      things[name] = () => oneByOne(check, isSeen ? seen : unseen, time)
    }
    await rounds(1, things)
    const results = await rounds(roundCount, things)
    const rows = verifications.map(({ name, seen, lacks }) => {
      const { median, spread } = figureOf(results[name]!)
      const base = results[verifications.find((row) => row.peer === undefined && row.seen === seen)!.name]!
      const ratio = fixed(ratioOf(results[name]!, base).median, 2)
      return [name, whole(median), `±${percent(spread / 2)}`, fixed(1e6 / median, 2), ratio, lacks]
    })
    printTable(
      `Access tokens verified, ${algorithm}: one at a time, each time a fresh text; medians of ${roundCount} rounds in turn`,
      [['', 'per second', 'spread', 'µs each', 'of Daypass', 'does without'], ...rows],
      [0, 5],
    )
  }
}

async function createVerifications(algorithm: 'HS256' | 'EdDSA', jwk: Jwk): Promise<Verification[]> {
  const jwks = { keys: [jwk] }
  const daypass = createVerifier({ issuer, jwks })
  const daypassUncached = createVerifier({ issuer, jwks, cacheSize: 0 })
  const fastJwt = { key: fastJwtKey(jwk), algorithms: [algorithm], allowedIss: issuer, allowedAud: issuer }
  const joseKey = await importJWK(jwk as JWK, algorithm)
  const joseOptions = { issuer, audience: issuer, algorithms: [algorithm], typ: 'at+jwt' }
  const noRevocation = 'revocation, keys from an address'
  const rows: Verification[] = [
    { name: 'daypass/verify, not seen', seen: false, check: (token) => daypassUncached.verify(token), lacks: '' },
    {
      name: 'fast-jwt, not seen',
      peer: 'fast-jwt',
      seen: false,
      check: createFastJwt({ ...fastJwt, cache: false }),
      lacks: noRevocation,
    },
    {
      name: 'jose jwtVerify',
      peer: 'jose',
      seen: false,
      check: (token) => jwtVerify(token, joseKey, joseOptions),
      lacks: 'revocation, a cache of tokens',
    },
    { name: 'daypass/verify, seen', seen: true, check: (token) => daypass.verify(token), lacks: '' },
    {
      name: 'fast-jwt, seen',
      peer: 'fast-jwt',
      seen: true,
      check: createFastJwt({ ...fastJwt, cache: tokenCount * 2 }),
      lacks: noRevocation,
    },
  ]
  // jsonwebtoken has no EdDSA.
  if (algorithm === 'HS256') {
    const bytes = Buffer.from(jwk.k!, 'base64url')
    const key = createSecretKey(bytes)
    const options = { issuer, audience: issuer, algorithms: ['HS256' as const] }
    const lacks = 'EdDSA, revocation, a cache of tokens, keys from an address'
    rows.splice(
      3,
      0,
      {
        name: 'jsonwebtoken, secret as bytes',
        peer: 'jsonwebtoken',
        seen: false,
        check: (token) => jwt.verify(token, bytes, options),
        lacks,
      },
      {
        name: 'jsonwebtoken, secret as KeyObject',
        peer: 'jsonwebtoken',
        seen: false,
        check: (token) => jwt.verify(token, key, options),
        lacks,
      },
    )
  }
  return rows
}
