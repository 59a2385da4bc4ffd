// Shared by the verifier's tests: real keys, and tokens made by hand from any header, payload and signature.

import assert from 'node:assert/strict'
import { createHmac, generateKeyPairSync, type KeyObject, randomBytes, sign as signWith } from 'node:crypto'
import { type ErrorCode, isDaypassError } from '../../src/errors.ts'
import { createVerifier, type Jwk, type VerifierOptions } from '../../src/verify/index.ts'

export const issuer = 'https://id.example'
export const audience = 'https://api.example'
export const now = Date.UTC(2026, 0, 1)
export const seconds = now / 1000

export const ed = generateKeyPairSync('ed25519')
export const ec = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
export const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
export const shared = randomBytes(32)

const publicJwk = (key: KeyObject, members: Jwk): Jwk => ({ ...(key.export({ format: 'jwk' }) as Jwk), ...members })
export const jwks: { keys: Jwk[] } = {
  keys: [
    publicJwk(ed.publicKey, { alg: 'EdDSA', kid: 'ed' }),
    publicJwk(ec.publicKey, { alg: 'ES256', kid: 'ec' }),
    publicJwk(rsa.publicKey, { alg: 'RS256', kid: 'rsa' }),
    { kty: 'oct', k: shared.toString('base64url'), alg: 'HS256', kid: 'shared' },
  ],
}

/** Makes a valid signature for each algorithm. */
export const signers: Record<string, (input: string) => Buffer> = {
  EdDSA: (input) => signWith(null, Buffer.from(input), ed.privateKey),
  ES256: (input) => signWith('sha256', Buffer.from(input), { key: ec.privateKey, dsaEncoding: 'ieee-p1363' }),
  RS256: (input) => signWith('sha256', Buffer.from(input), rsa.privateKey),
  HS256: (input) => createHmac('sha256', shared).update(input).digest(),
}
const kids: Record<string, string> = { EdDSA: 'ed', ES256: 'ec', RS256: 'rsa', HS256: 'shared' }

/** A valid payload with these members added, replaced or (undefined) removed. */
export const payloadOf = (members: Record<string, unknown> = {}): Record<string, unknown> => ({
  iss: issuer,
  aud: audience,
  sub: 'user-1',
  client_id: 'app',
  sid: 'AAAAAAAAAAAAAAAAAAAAAA',
  jti: 'token-1',
  iat: seconds,
  exp: seconds + 300,
  ...members,
})

export const encode = (value: unknown): string =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')

/** A token with a valid signature over any header members and any payload; a string is used as the JSON itself. */
export function makeToken(
  payload: unknown = payloadOf(),
  header: Record<string, unknown> | string = {},
  alg = 'EdDSA',
): string {
  const head = typeof header === 'string' ? header : { alg, typ: 'at+jwt', kid: kids[alg], ...header }
  const input = `${encode(head)}.${encode(payload)}`
  return `${input}.${signers[alg]!(input).toString('base64url')}`
}

/** A verifier with all keys, whose fetch must not be called. */
export function makeVerifier(options: Partial<VerifierOptions> = {}) {
  const neverFetch = () => assert.fail('a verifier with local keys must not fetch')
  return createVerifier({ issuer, audience, jwks, clock: () => now, fetch: neverFetch, ...options })
}

/** Asserts that a token is rejected quickly, with a message that reveals nothing about it. Returns the cause. */
export async function refused(
  token: unknown,
  code: ErrorCode = 'ERR_ACCESS_TOKEN_INVALID',
  verifier = makeVerifier(),
): Promise<unknown> {
  let cause: unknown
  const began = performance.now()
  await assert.rejects(verifier.verify(token as string), (error) => {
    assert.ok(isDaypassError(error), String((error as Error)?.stack ?? error))
    assert.equal(error.code, code)
    assert.equal(error.status, 401)
    assert.equal(error.error, 'invalid_token')
    cause = error.cause
    return true
  })
  assert.ok(performance.now() - began < 20_000, 'refused fast')
  return cause
}
