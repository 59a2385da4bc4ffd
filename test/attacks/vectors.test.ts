// The verifier agrees with published vectors: Wycheproof (C2SP), the JOSE cookbook (RFC 7520, RFC 8037), RFC 7515.
//
// The vectors are read from DAYPASS_TEST_VECTORS and are not part of the repository. The tests run the verifier's own code
// for header, key and signature. As access tokens all vectors must fail, because none of them is one.

import assert from 'node:assert/strict'
import { createPrivateKey, createPublicKey, type JsonWebKey, sign as signWith, type webcrypto } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { importJWK, type JWK } from 'jose'
import { isDaypassError } from '../../src/errors.ts'
import { createVerifier, type Jwk } from '../../src/verify/index.ts'
import { parseJws } from '../../src/verify/jws.ts'
import { localKeys } from '../../src/verify/keys.ts'
import { node } from '../../src/verify/node.ts'
import { verifySignature } from '../../src/verify/signature.ts'
import { audience, encode, issuer, now, payloadOf } from '../verify/tokens.ts'

const folder = process.env.DAYPASS_TEST_VECTORS
const howToGet =
  'vectors: not run: DAYPASS_TEST_VECTORS names no folder (wycheproof/: github.com/C2SP/wycheproof testvectors_v1; jose-cookbook/: github.com/ietf-jose/cookbook)'
const isThere = folder !== undefined && existsSync(join(folder, 'wycheproof'))
// If a folder is named and missing, the tests fail instead of being skipped.
if (!isThere && folder !== undefined) throw new Error(howToGet)

interface Vector {
  tcId: number
  comment: string
  result: 'valid' | 'invalid' | 'acceptable'
  [member: string]: any
}
interface Group {
  comment?: string
  tests: Vector[]
  [member: string]: any
}
const load = (path: string) => JSON.parse(readFileSync(join(folder!, path), 'utf8'))
const groupsOf = (name: string): Group[] => load(`wycheproof/${name}_test.json`).testGroups

/** The payload of a JWS, or the code of the error. */
async function verify(text: unknown, keys: Jwk[]): Promise<Uint8Array | string> {
  try {
    const { find } = localKeys(keys)
    const jws = parseJws(typeof text === 'string' ? text : JSON.stringify(text))
    const key = await find(jws)
    if (key === undefined) return 'no key'
    await verifySignature(jws, key)
    return jws.payload
  } catch (error) {
    assert.ok(isDaypassError(error), String((error as Error).stack))
    return error.code
  }
}
const isAccepted = (outcome: Uint8Array | string) => typeof outcome !== 'string'

/** Asserts that a vector is not accepted as an access token, with any key. */
async function refusedAsAccessToken(jws: unknown, keys: Jwk[]): Promise<void> {
  await assert.rejects(
    async () => createVerifier({ issuer, jwks: { keys } }).verify(jws as string),
    (error) => isDaypassError(error),
  )
}

/** Whether a signature over any bytes is right, by the verifier's own check. */
async function verifies(jwk: Jwk, algorithm: object, message: Buffer, signature: Uint8Array): Promise<boolean> {
  const alg = jwk.alg!
  if (node !== undefined) {
    const check = await localKeys([jwk]).find({ alg, kid: jwk.kid })
    const signed = message.toString('latin1')
    return check!({ text: '', signed, alg, kid: jwk.kid, typ: undefined, payload: message, signature })
  }
  // jose verifies whole tokens, so ask the primitive that it calls.
  const key = await importJWK(jwk as JWK, alg)
  const name = algorithm as webcrypto.AlgorithmIdentifier
  const imported =
    key instanceof Uint8Array
      ? await crypto.subtle.importKey('raw', new Uint8Array(key), name as never, false, ['verify'])
      : key
  return crypto.subtle.verify(name, imported, new Uint8Array(signature), new Uint8Array(message))
}

const publicHalf = (jwk: Jwk): Jwk => {
  const { d: _d, p: _p, q: _q, dp: _dp, dq: _dq, qi: _qi, ...rest } = jwk
  return rest
}

/** Runs a file of JWS vectors and returns the ids of those with another result than the file says. */
async function disagreements(name: string, keysOf: (group: Group) => Jwk[]): Promise<number[]> {
  const found: number[] = []
  for (const group of groupsOf(name)) {
    const keys = keysOf(group)
    for (const { tcId, jws, result } of group.tests) {
      if (isAccepted(await verify(jws, keys)) !== (result === 'valid')) found.push(tcId)
      await refusedAsAccessToken(jws, keys)
    }
  }
  return found.sort((a, b) => a - b)
}

test('the vectors that ran are named at the end of the run', (t) => {
  t.diagnostic(`engine: ${isThere ? 'vectors: Wycheproof and the JOSE cookbook' : howToGet}`)
})

/** The vectors with another result than the file says, and the reason for each. */
const otherAlgorithm =
  'valid, but with an algorithm that Daypass does not use: RS384, RS512, PS256 …, ES512, HS384, HS512'
const signatureDeviations: [why: string, ...tcIds: number[]][] = [
  [otherAlgorithm, 264, 265, 266, 267, 268, 269, 270, 271, 272, 273, 274, 275, 287, 288],
  [otherAlgorithm, 320, 321, 322, 323, 325, 326, 327, 328, 346, 347, 350, 351],
  ['valid, but its payload is empty, so it is not a JSON object', 259],
  [
    'valid in the file, with a "?" in its base64url; 361 and 371, of the same kind, are invalid, as in RFC 7515 §2',
    372,
    373,
  ],
  ['invalid in the file, but identical to 357, which is valid: the intended difference was lost', 367, 370],
]
const keyDeviations: typeof signatureDeviations = [
  [otherAlgorithm, 14, 15],
  ['a set of an HMAC and an ES256 key: each has its `alg` and its `kid`, and is used for nothing else', 1],
  [
    'a key with the weakness called ROCA: the operator chooses the issuer’s key, and Daypass does not test for its fingerprint',
    7,
  ],
]
const idsOf = (deviations: typeof signatureDeviations) => deviations.flatMap(([, ...ids]) => ids).sort((a, b) => a - b)

interface Raw {
  name: string
  alg: string
  algorithm: webcrypto.EcdsaParams | { name: string }
  keyOf(group: Group, vector: Vector): Jwk
  signatureOf(vector: Vector): Uint8Array<ArrayBuffer>
  /** Whether the key or the signature does not fit the algorithm (RFC 7518), whatever the vector says. */
  isUnfit?(group: Group): boolean
}
const hex = (text: string) => new Uint8Array(Buffer.from(text, 'hex'))
const raws: Raw[] = [
  {
    name: 'ed25519',
    alg: 'EdDSA',
    algorithm: { name: 'Ed25519' },
    keyOf: (group) => group.publicKeyJwk,
    signatureOf: ({ sig }) => hex(sig),
  },
  {
    name: 'ecdsa_secp256r1_sha256_p1363',
    alg: 'ES256',
    algorithm: { name: 'ECDSA', hash: 'SHA-256' },
    // Some groups have no JWK, all have the PEM.
    keyOf: (group) => createPublicKey(group.publicKeyPem).export({ format: 'jwk' }) as Jwk,
    signatureOf: ({ sig }) => hex(sig),
  },
  {
    name: 'hmac_sha256',
    alg: 'HS256',
    algorithm: { name: 'HMAC', hash: 'SHA-256' } as never,
    keyOf: (_group, { key }) => ({ kty: 'oct', k: Buffer.from(key, 'hex').toString('base64url') }),
    signatureOf: ({ tag }) => hex(tag),
    isUnfit: ({ keySize, tagSize }) => keySize < 256 || tagSize !== 256,
  },
]

describe('vectors', { skip: isThere ? false : howToGet }, () => {
  test('Wycheproof json_web_signature: each JWS is accepted or rejected as the file says', async () => {
    const found = await disagreements('json_web_signature', (group) => [publicHalf(group.public ?? group.private)])
    assert.deepEqual(found, idsOf(signatureDeviations))
  })

  test('Wycheproof json_web_key: the tokens of each key set are accepted or rejected as the file says', async () => {
    const found = await disagreements('json_web_key', (group) => (group.public ?? group.private).keys.map(publicHalf))
    assert.deepEqual(found, idsOf(keyDeviations))
  })

  test('Wycheproof’s keys sign access tokens that are accepted, and accepted by their own key alone', async () => {
    const groups = groupsOf('json_web_signature').filter(({ private: key }) => key.d && /^(ES|RS)256$/.test(key.alg))
    assert.ok(groups.length >= 4)
    const other = publicHalf(groupsOf('json_web_signature').find(({ comment }) => comment === 'hs256')!.private)
    for (const { private: key, public: publicKey } of groups) {
      const input = `${encode({ alg: key.alg, typ: 'at+jwt', kid: key.kid })}.${encode(payloadOf())}`
      const privateKey = createPrivateKey({ key: key as JsonWebKey, format: 'jwk' })
      const signature = signWith('sha256', Buffer.from(input), { key: privateKey, dsaEncoding: 'ieee-p1363' })
      const token = `${input}.${signature.toString('base64url')}`
      const verifier = (keys: Jwk[]) => createVerifier({ issuer, audience, jwks: { keys }, clock: () => now })
      assert.equal((await verifier([publicKey]).verify(token)).subject, 'user-1')
      await assert.rejects(verifier([{ ...other, kid: key.kid }]).verify(token), { code: 'ERR_ACCESS_TOKEN_INVALID' })
    }
  })

  for (const { name, alg, algorithm, keyOf, signatureOf, isUnfit = () => false } of raws) {
    test(`Wycheproof ${name}: each signature over its own bytes`, async () => {
      let count = 0
      for (const group of groupsOf(name)) {
        for (const vector of group.tests) {
          count++
          const jwk = { ...keyOf(group, vector), alg, kid: 'vector' }
          if (isUnfit(group) && jwk.kty === 'oct' && hex(vector.key).length < 32) {
            assert.throws(() => localKeys([jwk]), { code: 'ERR_KEY_WEAK' })
            continue
          }
          const signature = signatureOf(vector)
          const isGood = await verifies(jwk, algorithm, Buffer.from(hex(vector.msg)), signature)
          assert.equal(
            isGood,
            vector.result === 'valid' && !isUnfit(group),
            `${name} ${vector.tcId}: ${vector.comment}`,
          )
          // The signature must not verify for other bytes: r and s of 0 and keys of a small order would verify for all.
          const token = `${encode({ alg, typ: 'at+jwt', kid: 'vector' })}.${encode(payloadOf())}.${Buffer.from(signature).toString('base64url')}`
          const verifier = createVerifier({ issuer, audience, jwks: { keys: [jwk] }, clock: () => now })
          await assert.rejects(verifier.verify(token), { code: 'ERR_ACCESS_TOKEN_INVALID' })
        }
      }
      assert.ok(count > 100)
    })
  }

  const cookbook: [file: string, isAccepted: boolean, why: string][] = [
    ['jws_4_1.rsa_v15_signature', true, 'RS256'],
    ['jws_4_2.rsa-pss_signature', false, otherAlgorithm],
    ['jws_4_3.ecdsa_signature', false, otherAlgorithm],
    ['jws_4_4.hmac-sha2_integrity_protection', true, 'HS256'],
    ['curve25519_jws', true, 'EdDSA (RFC 8037)'],
    ['jws_4_6.protecting_specific_header_fields', false, 'it has no compact form'],
    ['jws_4_8.multiple_signatures', false, 'it has no compact form'],
    ['jwe_5_1.key_encryption_using_rsa_v15_and_aes-hmac-sha2', false, 'it is encrypted, not signed'],
  ]
  for (const [file, isGood, why] of cookbook) {
    test(`JOSE cookbook ${file}: ${isGood ? 'accepted' : 'rejected'}: ${why}`, async () => {
      const { input, output } = load(`jose-cookbook/${file}.json`)
      const keys = [input.key].flat().map((key) => ({ alg: input.alg, ...publicHalf(key) }))
      const forms: unknown[] = [output.compact, output.json, output.json_flat].filter(Boolean)
      assert.ok(forms.length > 0)
      for (const form of forms) {
        const outcome = await verify(form, keys)
        assert.equal(isAccepted(outcome), isGood && form === output.compact, String(outcome))
        if (isAccepted(outcome)) assert.equal(Buffer.from(outcome as Uint8Array).toString(), input.payload)
        await refusedAsAccessToken(form, keys)
      }
    })
  }
})

test('RFC 7515 A.1, A.3 and A.5: HS256 and ES256 are accepted, none is rejected, and none of them is an access token', async () => {
  const payload = 'eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ'
  const shared: Jwk = {
    kty: 'oct',
    alg: 'HS256',
    k: 'AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow',
  }
  const curve: Jwk = {
    kty: 'EC',
    crv: 'P-256',
    x: 'f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU',
    y: 'x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0',
  }
  const examples: [jws: string, key: Jwk, isGood: boolean][] = [
    [`eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.${payload}.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk`, shared, true],
    [
      `eyJhbGciOiJFUzI1NiJ9.${payload}.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q`,
      curve,
      true,
    ],
    [`eyJhbGciOiJub25lIn0.${payload}.`, shared, false],
  ]
  for (const [jws, key, isGood] of examples) {
    const outcome = await verify(jws, [key])
    assert.equal(isAccepted(outcome), isGood, String(outcome))
    if (isGood) assert.equal(JSON.parse(Buffer.from(outcome as Uint8Array).toString()).iss, 'joe')
    await refusedAsAccessToken(jws, [key])
  }
})
