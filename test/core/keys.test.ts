// Keys from one secret or of the app: signing, verification and rotation.

import assert from 'node:assert/strict'
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  createSecretKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign as signWith,
  verify as verifyWith,
} from 'node:crypto'
import { test } from 'node:test'
import { createLocalJWKSet, jwtVerify } from 'jose'
import { createDaypass } from '../../src/core/daypass.ts'
import type { SigningKey } from '../../src/core/keys.ts'
import type { DaypassOptions } from '../../src/core/options.ts'
import { isDaypassError } from '../../src/errors.ts'
import { createMemoryStore } from '../../src/stores/memory.ts'
import { findRow } from '../../src/testing/store-harness.ts'
import { createVerifier, type Jwk } from '../../src/verify/index.ts'
import { newKey, onEachStore, refused, spyOn } from './setup.ts'

const issuer = 'https://id.example'
const secret = () => randomBytes(32)
const ec = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
const ed = generateKeyPairSync('ed25519')
const pem = (key: KeyObject) => key.export({ format: 'pem', type: key.type === 'public' ? 'spki' : 'pkcs8' }) as string
const jwk = (key: KeyObject) => key.export({ format: 'jwk' }) as Jwk
const headerOf = (jwt: string) => JSON.parse(Buffer.from(jwt.split('.')[0]!, 'base64url').toString())
const create = (options: Partial<DaypassOptions>) =>
  createDaypass({ secret: secret(), issuer, store: createMemoryStore(), ...options })

/** Verifies with jose, which did not sign the token. */
const checkedByJose = (jwt: string, jwks: { keys: Jwk[] }) =>
  jwtVerify(jwt, createLocalJWKSet(jwks as Parameters<typeof createLocalJWKSet>[0]), { issuer, typ: 'at+jwt' })

const ways: [string, SigningKey['algorithm'], SigningKey[] | undefined][] = [
  ['EdDSA from the secret', 'EdDSA', undefined],
  ['EdDSA, KeyObject', 'EdDSA', [{ algorithm: 'EdDSA', privateKey: ed.privateKey }]],
  ['ES256, KeyObject', 'ES256', [{ algorithm: 'ES256', privateKey: ec.privateKey }]],
  ['ES256, PEM', 'ES256', [{ algorithm: 'ES256', privateKey: pem(ec.privateKey) }]],
  ['ES256, JWK', 'ES256', [{ algorithm: 'ES256', privateKey: jwk(ec.privateKey), kid: 'my-key' }]],
  ['RS256, KeyObject', 'RS256', [{ algorithm: 'RS256', privateKey: rsa.privateKey }]],
  ['RS256, PEM', 'RS256', [{ algorithm: 'RS256', privateKey: pem(rsa.privateKey) }]],
]
for (const [name, algorithm, signingKeys] of ways) {
  test(`${name}: tokens that jose and daypass/verify accept by the published keys`, async () => {
    const auth = create(signingKeys === undefined ? {} : { signingKeys })
    const jwks = auth.jwks()
    for (const key of jwks.keys) {
      assert.ok(!('d' in key) && !('k' in key) && !('p' in key), 'public members only')
      assert.ok(key.kid && key.alg && key.use === 'sig')
    }
    for (let i = 0; i < 20; i++) {
      const { accessToken } = await auth.issue('user-1', { claims: { i } })
      assert.equal(headerOf(accessToken).alg, algorithm)
      assert.equal(headerOf(accessToken).typ, 'at+jwt')
      const { payload } = await checkedByJose(accessToken, jwks)
      assert.equal(payload.sub, 'user-1')
      assert.equal((await createVerifier({ issuer, jwks }).verify(accessToken)).subject, 'user-1')
      assert.equal((await auth.verify(accessToken)).claims.i, i)
    }
  })
}

test('ES256: a thousand signatures all have 64 bytes and are valid, short r and s among them', async () => {
  const auth = create({ signingKeys: [{ algorithm: 'ES256', privateKey: ec.privateKey }] })
  for (let i = 0; i < 1000; i++) {
    const { accessToken } = await auth.issue('user-1')
    const at = accessToken.lastIndexOf('.')
    const signature = Buffer.from(accessToken.slice(at + 1), 'base64url')
    assert.equal(signature.length, 64)
    const key = { key: ec.publicKey, dsaEncoding: 'ieee-p1363' as const }
    assert.ok(verifyWith('sha256', Buffer.from(accessToken.slice(0, at)), key, signature))
  }
})

test('HS256 from the secret: nothing is published, and the kid reveals nothing about the key', async () => {
  const own = secret()
  const auth = create({ secret: own, algorithm: 'HS256' })
  const { accessToken } = await auth.issue('user-1')
  assert.deepEqual(headerOf(accessToken).alg, 'HS256')
  assert.deepEqual(auth.jwks(), { keys: [] })
  assert.equal((await auth.verify(accessToken)).subject, 'user-1')
  const { kid } = headerOf(accessToken)
  for (const hash of ['sha256', 'sha512', 'sha1']) {
    assert.ok(!createHash(hash).update(own).digest('base64url').startsWith(kid))
  }
})

test('HS256 with a key of the app', async () => {
  const secretKey = randomBytes(32)
  const auth = create({ signingKeys: [{ algorithm: 'HS256', secretKey, kid: 'mine' }] })
  const { accessToken } = await auth.issue('user-1')
  const { payload } = await jwtVerify(accessToken, secretKey)
  assert.equal(payload.sub, 'user-1')
  assert.ok((await auth.verify(accessToken)).subject)
  assert.ok(auth.jwks().keys.every((key) => key.kty !== 'oct'))
})

test('HS256 is signed in this process, so a refresh makes no more store calls than with EdDSA', async () => {
  const own: SigningKey = { algorithm: 'HS256', secretKey: createSecretKey(randomBytes(32)) }
  for (const options of [{}, { algorithm: 'HS256' as const }, { signingKeys: [own] }]) {
    const { store, calls } = spyOn(createMemoryStore())
    const auth = create({ ...options, store })
    const { refreshToken } = await auth.issue('user-1')
    calls.length = 0
    await auth.refresh(refreshToken, { idempotencyKey: newKey() })
    assert.deepEqual(calls, ['advance'])
  }
})

test('the access token has exactly the header and claims of RFC 9068', async () => {
  const clock = () => 1_767_225_600_500
  const auth = create({ clock, audience: 'https://api.example', accessTokenLifetime: 60, clientId: 'app' })
  const { accessToken, session } = await auth.issue('user-1', {
    scope: 'read',
    amr: ['pwd'],
    authTime: 1_767_225_000_000,
    claims: { role: 'admin' },
  })
  const { alg, typ, kid, ...rest } = headerOf(accessToken)
  assert.deepEqual({ alg, typ, rest }, { alg: 'EdDSA', typ: 'at+jwt', rest: {} })
  assert.equal(kid, auth.jwks().keys[0]!.kid)
  const { jti, ...claims } = JSON.parse(Buffer.from(accessToken.split('.')[1]!, 'base64url').toString())
  assert.match(jti, /^[\w-]{22}$/)
  assert.deepEqual(claims, {
    role: 'admin',
    iss: issuer,
    sub: 'user-1',
    aud: 'https://api.example',
    client_id: 'app',
    iat: 1_767_225_600,
    // Half a second past a full second: the token does not end before `expiresIn` says so.
    exp: 1_767_225_661,
    sid: session.id,
    scope: 'read',
    auth_time: 1_767_225_000,
    amr: ['pwd'],
  })
})

test('instances with the same secret have the same keys without communication', async () => {
  const options = { secret: 'a text that is a secret, and long enough to be one', store: createMemoryStore() }
  const [a, b] = [create(options), create(options)]
  assert.deepEqual(a.jwks(), b.jwks())
  const { refreshToken, accessToken } = await a.issue('user-1')
  assert.ok(await b.verify(accessToken))
  assert.ok(await a.verify((await b.refresh(refreshToken)).accessToken))
})

test('a secret as bytes and as a string is the same secret', () => {
  const text = 'a text that is a secret, and long enough to be one'
  assert.deepEqual(create({ secret: text }).jwks(), create({ secret: Buffer.from(text) }).jwks())
})

onEachStore(
  'rotating the secret: [new, old] accepts both, signs with the new one, and publishes both',
  {},
  async (rig) => {
    const [fresh, old] = [secret(), rig.secret]
    const before = await rig.auth.issue('user-1')
    const keyed = newKey()
    const during = rig.another({ secret: [fresh, old] })
    assert.equal(during.jwks().keys.length, 2)
    assert.ok(await during.verify(before.accessToken))
    const next = await during.refresh(before.refreshToken, { idempotencyKey: keyed })
    // A replay across the rotation gets the same child, though its proof is made with the new key.
    const replayed = await during.refresh(before.refreshToken, { idempotencyKey: keyed })
    assert.equal(replayed.refreshToken, next.refreshToken)
    const verifier = createVerifier({ issuer, jwks: during.jwks(), clock: rig.time.clock })
    for (const { accessToken } of [before, next]) assert.ok(await verifier.verify(accessToken))

    const after = rig.another({ secret: fresh })
    await refused(after.refresh(before.refreshToken), 'ERR_REFRESH_TOKEN_INVALID', 'invalid_grant')
    await refused(after.verify(before.accessToken), 'ERR_ACCESS_TOKEN_INVALID')
    assert.ok(await after.verify(next.accessToken))
    assert.equal((await after.refresh(next.refreshToken)).outcome, 'rotated')
  },
)

test('rotating signing keys: the first signs, all are published and accepted', async () => {
  const [a, b] = [generateKeyPairSync('ed25519'), ec]
  const own = secret()
  const store = createMemoryStore()
  const keyA: SigningKey = { algorithm: 'EdDSA', privateKey: a.privateKey }
  const keyB: SigningKey = { algorithm: 'ES256', privateKey: b.privateKey }
  const before = create({ secret: own, store, signingKeys: [keyA] })
  const after = create({ secret: own, store, signingKeys: [keyB, keyA] })
  const old = await before.issue('user-1')
  assert.ok(await after.verify(old.accessToken))
  const next = await after.refresh(old.refreshToken)
  assert.equal(headerOf(next.accessToken).alg, 'ES256')
  assert.ok(await after.verify(next.accessToken))
  // Tokens signed with the derived key, before the app had keys of its own, are still valid.
  const first = await create({ secret: own, store }).issue('user-1')
  assert.ok(await after.verify(first.accessToken))
})

test('external signer: a KMS holds the private key', async () => {
  const algorithms: [SigningKey['algorithm'], KeyObject, (data: Uint8Array) => Buffer][] = [
    ['EdDSA', ed.publicKey, (data) => signWith(null, data, ed.privateKey)],
    ['ES256', ec.publicKey, (data) => signWith('sha256', data, { key: ec.privateKey, dsaEncoding: 'ieee-p1363' })],
    ['RS256', rsa.publicKey, (data) => signWith('sha256', data, rsa.privateKey)],
  ]
  for (const [algorithm, publicKey, sign] of algorithms) {
    for (const spelling of [publicKey, pem(publicKey), jwk(publicKey)]) {
      const key = { algorithm, publicKey: spelling, sign: async (data: Uint8Array) => sign(data) } as SigningKey
      const auth = create({ signingKeys: [key] })
      const { accessToken, refreshToken } = await auth.issue('user-1')
      await checkedByJose(accessToken, auth.jwks())
      assert.ok(await auth.verify((await auth.refresh(refreshToken, { idempotencyKey: newKey() })).accessToken))
    }
  }
})

onEachStore(
  'external signer away: 503, no session made, nothing rotated, and the same token works after',
  {},
  async (rig) => {
    let away = true
    const auth = rig.another({
      signingKeys: [
        {
          algorithm: 'EdDSA',
          publicKey: ed.publicKey,
          sign: async (data) => {
            if (away) throw new Error('KMS: AccessDenied for key arn:aws:kms:secret-detail')
            return signWith(null, data, ed.privateKey)
          },
        },
      ],
    })
    await assert.rejects(auth.issue('user-1'), (error) => {
      assert.ok(isDaypassError(error, 'ERR_SIGNER_UNAVAILABLE'))
      assert.equal(error.status, 503)
      assert.doesNotMatch(error.message, /arn/)
      assert.match((error.cause as Error).message, /arn/, 'for the logs')
      return true
    })
    assert.deepEqual(await auth.sessions('user-1'), [], 'no session without a holder')
    away = false
    const { refreshToken, session } = await auth.issue('user-1')
    away = true
    const before = await findRow(rig.store, session.id)
    await refused(auth.refresh(refreshToken), 'ERR_SIGNER_UNAVAILABLE', 'temporarily_unavailable')
    assert.deepEqual(await findRow(rig.store, session.id), before)
    rig.time.advance(3600)
    away = false
    assert.equal((await auth.refresh(refreshToken)).outcome, 'rotated')
  },
)

test('weak and missing secrets are rejected at the start, and never shown', () => {
  const weak: unknown[] = [
    '',
    'secret',
    'x'.repeat(31),
    'x'.repeat(64),
    'abcabc'.repeat(20),
    Buffer.alloc(32),
    new Uint8Array(64),
    randomBytes(31),
  ]
  for (const each of [...weak, undefined, null, 0, {}, 7n, ['short'], [secret(), 'short'], [undefined]]) {
    assert.throws(
      () => create({ secret: each as string }),
      (error) => {
        assert.ok(isDaypassError(error, 'ERR_KEY_WEAK'), String(each))
        if (typeof each === 'string' && each !== '') assert.ok(!error.message.includes(each) || each === 'secret')
        return true
      },
    )
  }
  for (const signingKeys of [undefined, [{ algorithm: 'EdDSA', privateKey: ed.privateKey } as const]]) {
    assert.throws(() => create({ secret: [], ...(signingKeys && { signingKeys }) }), {
      code: 'ERR_OPTION_INVALID',
      message: '`secret` is an empty list.',
    })
  }
})

test('the error says what is wrong with a secret', () => {
  const problems: [secret: unknown, problem: string][] = [
    [undefined, 'is missing'],
    ['', 'is empty'],
    [new Uint8Array(), 'is empty'],
    [7, 'is neither a string nor bytes'],
    [null, 'is neither a string nor bytes'],
    ['x'.repeat(31), 'has 31 bytes'],
    ['abcdefg'.repeat(5), 'has 35 bytes, but only 7 different ones, so it is not random'],
  ]
  for (const [given, problem] of problems) {
    assert.throws(
      () => create({ secret: given as string }),
      (error: Error) => error.message.startsWith(`\`secret\` ${problem}. `),
      problem,
    )
  }
  create({ secret: 'abcdefgh'.repeat(4) })
})

test('a text with commas is taken for a list only if each part could be a secret', () => {
  const part = () => randomBytes(24).toString('base64url')
  assert.equal(part().length, 32)
  for (const list of [`${part()},${part()}`, `${part()} , ${part()}\n`]) {
    assert.throws(() => create({ secret: list }), { code: 'ERR_OPTION_INVALID', message: /several secrets/ })
  }
  for (const secret of [`${part()},`, `${part()},${part().slice(1)} `, `,${part()}`]) create({ secret })
})

test('a secret or a kid that is given twice is rejected at the start', () => {
  const twice = secret()
  const wrong = (error: unknown) => isDaypassError(error, 'ERR_OPTION_INVALID')
  assert.throws(() => create({ secret: [twice, twice] }), wrong)
  const key: SigningKey = { algorithm: 'EdDSA', privateKey: ed.privateKey }
  assert.throws(() => create({ signingKeys: [key, key] }), wrong)
  const named = (pair: typeof ed): SigningKey => ({ algorithm: 'EdDSA', privateKey: pair.privateKey, kid: 'one' })
  assert.throws(() => create({ signingKeys: [named(ed), named(generateKeyPairSync('ed25519'))] }), wrong)
})

test('weak or wrong signing keys are rejected at the start', () => {
  const rsa1024 = generateKeyPairSync('rsa', { modulusLength: 1024 })
  const rsa2047 = generateKeyPairSync('rsa', { modulusLength: 2047 })
  const rsaPss = generateKeyPairSync('rsa-pss', { modulusLength: 2048 })
  const p224 = generateKeyPairSync('ec', { namedCurve: 'secp224r1' })
  const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' })
  const weak: [string, SigningKey][] = [
    ['RSA of 1024 bits', { algorithm: 'RS256', privateKey: rsa1024.privateKey }],
    ['P-384 as ES256', { algorithm: 'ES256', privateKey: p384.privateKey }],
    ['Ed25519 as ES256', { algorithm: 'ES256', privateKey: ed.privateKey }],
    ['P-256 as EdDSA', { algorithm: 'EdDSA', privateKey: ec.privateKey }],
    ['P-256 as RS256', { algorithm: 'RS256', privateKey: ec.privateKey }],
    ['HMAC of 31 bytes', { algorithm: 'HS256', secretKey: randomBytes(31) }],
    ['HMAC of 31 bytes, KeyObject', { algorithm: 'HS256', secretKey: createSecretKey(randomBytes(31)) }],
    ['a public key for HMAC', { algorithm: 'HS256', secretKey: ed.publicKey }],
    ['a private key for HMAC', { algorithm: 'HS256', secretKey: rsa.privateKey }],
    ['RSA of 2047 bits', { algorithm: 'RS256', privateKey: rsa2047.privateKey }],
    ['RSA-PSS as RS256', { algorithm: 'RS256', privateKey: rsaPss.privateKey }],
    ['RSA-PSS as ES256', { algorithm: 'ES256', privateKey: rsaPss.privateKey }],
    ['RSA-PSS as EdDSA', { algorithm: 'EdDSA', privateKey: rsaPss.privateKey }],
    ['P-224 as ES256', { algorithm: 'ES256', privateKey: p224.privateKey }],
    ['P-224 as RS256', { algorithm: 'RS256', privateKey: p224.privateKey }],
    ['HMAC of no bytes', { algorithm: 'HS256', secretKey: new Uint8Array(0) }],
    ['RSA of 1024 bits, elsewhere', { algorithm: 'RS256', publicKey: rsa1024.publicKey, sign: async (data) => data }],
  ]
  for (const [name, key] of weak) {
    assert.throws(
      () => create({ signingKeys: [key] }),
      (error) => isDaypassError(error, 'ERR_KEY_WEAK'),
      name,
    )
  }
  const sign = async (data: Uint8Array) => data
  const unreadable: SigningKey[] = [
    { algorithm: 'ES256', privateKey: 'not a PEM' },
    { algorithm: 'ES256', privateKey: {} },
    { algorithm: 'ES256', privateKey: pem(ec.publicKey) },
  ]
  for (const key of unreadable) {
    assert.throws(
      () => create({ signingKeys: [key] }),
      (error) => isDaypassError(error, 'ERR_OPTION_INVALID') && error.cause instanceof Error,
    )
  }
  const swapped: SigningKey[] = [
    { algorithm: 'ES256', privateKey: ec.publicKey },
    { algorithm: 'ES256', privateKey: createSecretKey(randomBytes(32)) },
    { algorithm: 'ES256', publicKey: ec.privateKey, sign },
    { algorithm: 'ES256', publicKey: createSecretKey(randomBytes(32)), sign },
  ]
  for (const key of swapped) {
    assert.throws(
      () => create({ signingKeys: [key] }),
      (error) => isDaypassError(error, 'ERR_OPTION_INVALID'),
    )
  }
})

test('the derived Ed25519 key is the output of HKDF, so that any other program can derive it', async () => {
  const own = Buffer.alloc(32, 'a fixed secret for this one test')
  const { hkdfSync } = await import('node:crypto')
  const seed = Buffer.from(hkdfSync('sha256', own, 'daypass v1', `access token EdDSA\0${issuer}`, 32))
  const der = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed])
  const expected = jwk(createPublicKey(createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })))
  const [published] = create({ secret: own }).jwks().keys
  assert.equal(published!.x, expected.x)
  const thumbprint = createHash('sha256')
    .update(JSON.stringify({ crv: 'Ed25519', kty: 'OKP', x: expected.x }))
    .digest('base64url')
  assert.equal(published!.kid, thumbprint)
})

test('the derived HS256 key and its kid are the same in every version, so that a rolling deployment signs nobody out', async () => {
  const { createHmac, hkdfSync } = await import('node:crypto')
  const own = Buffer.alloc(32, 'a fixed secret for this one test')
  const key = Buffer.from(hkdfSync('sha256', own, 'daypass v1', `access token HS256\0${issuer}`, 32))
  const { accessToken } = await create({ secret: own, algorithm: 'HS256' }).issue('user-1')
  assert.equal((await jwtVerify(accessToken, key)).payload.sub, 'user-1')
  const kid = createHmac('sha256', key).update('daypass kid').digest('base64url').slice(0, 16)
  assert.equal(headerOf(accessToken).kid, kid)
})
