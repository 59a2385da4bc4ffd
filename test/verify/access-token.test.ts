// The checks of an access token (docs/security.md, 1 to 10): each fault by itself is rejected.

import assert from 'node:assert/strict'
import {
  createHash,
  createHmac,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign as signWith,
} from 'node:crypto'
import { test } from 'node:test'
import { CompactEncrypt, FlattenedSign, GeneralSign } from 'jose'
import { isDaypassError } from '../../src/errors.ts'
import { createVerifier, type Jwk } from '../../src/verify/index.ts'
import { node } from '../../src/verify/node.ts'
import { verifySignature } from '../../src/verify/signature.ts'
import {
  audience,
  ec,
  ed,
  encode,
  issuer,
  jwks,
  makeToken,
  makeVerifier,
  now,
  payloadOf,
  refused,
  rsa,
  seconds,
  signers,
} from './tokens.ts'

const verify = (token: string, options = {}) => makeVerifier(options).verify(token)

test('a valid token of each algorithm is accepted, with all its claims', async () => {
  for (const alg of ['EdDSA', 'ES256', 'RS256', 'HS256']) {
    const payload = payloadOf({ scope: 'read write', auth_time: seconds - 60, amr: ['pwd'], role: 'admin' })
    assert.deepEqual(await verify(makeToken(payload, {}, alg)), {
      subject: 'user-1',
      sessionId: 'AAAAAAAAAAAAAAAAAAAAAA',
      clientId: 'app',
      scopes: ['read', 'write'],
      issuedAt: now,
      expiresAt: now + 300_000,
      authTime: now - 60_000,
      amr: ['pwd'],
      tokenId: 'token-1',
      claims: { role: 'admin' },
    })
  }
})

test('Ed25519 is EdDSA by its newer name (RFC 9864)', async () => {
  assert.ok(await verify(makeToken(payloadOf(), { alg: 'Ed25519' })))
})

// 1. One algorithm a key, from an allowlist.

test('alg none in every spelling, with every signature, is rejected', async () => {
  const good = makeToken()
  const signature = good.split('.')[2]!
  for (const alg of ['none', 'None', 'NONE', 'nOnE', 'none ', ' none', '', 'null', 'undefined']) {
    const input = `${encode({ alg, typ: 'at+jwt', kid: 'ed' })}.${encode(payloadOf())}`
    for (const end of ['.', '', `.${signature}`, '.AA', '.e30', '. ', '.null']) await refused(input + end)
  }
})

test('an alg that is missing or not a string is rejected', async () => {
  for (const alg of [null, undefined, 0, 1, true, {}, [], ['EdDSA'], { toString: 'EdDSA' }]) {
    await refused(makeToken(payloadOf(), { alg }))
  }
})

test('each key is for one algorithm: every other algorithm with it is rejected', async () => {
  const names = [
    'EdDSA',
    'ES256',
    'ES384',
    'ES512',
    'ES256K',
    'RS256',
    'RS384',
    'RS512',
    'PS256',
    'HS256',
    'HS384',
    'HS512',
    'eddsa',
    'es256',
    'Ed448',
    'RSA-OAEP',
    'dir',
    'constructor',
    '__proto__',
    'toString',
  ]
  for (const [signed, kid] of [
    ['EdDSA', 'ed'],
    ['ES256', 'ec'],
    ['RS256', 'rsa'],
    ['HS256', 'shared'],
  ] as const) {
    for (const alg of names) {
      if (alg === signed) continue
      await refused(makeToken(payloadOf(), { alg, kid }, signed))
    }
  }
})

test('RSA-PSS with the RS256 key, and PKCS #1 v1.5 named PS256, are rejected', async () => {
  const { constants } = await import('node:crypto')
  for (const alg of ['RS256', 'PS256']) {
    const input = `${encode({ alg, typ: 'at+jwt', kid: 'rsa' })}.${encode(payloadOf())}`
    const pss = { key: rsa.privateKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 }
    await refused(`${input}.${signWith('sha256', Buffer.from(input), pss).toString('base64url')}`)
    if (alg === 'PS256') await refused(`${input}.${signers.RS256!(input).toString('base64url')}`)
  }
})

test('a public key as HMAC secret, in every usual encoding, is rejected', async () => {
  const forms: [string, (key: KeyObject) => (string | Buffer)[]][] = [
    ['PEM', (key) => spellings(key.export({ format: 'pem', type: 'spki' }) as string)],
    ['DER', (key) => [key.export({ format: 'der', type: 'spki' })]],
    ['JWK', (key) => spellings(JSON.stringify(key.export({ format: 'jwk' })))],
    ['JWKS', () => spellings(JSON.stringify({ keys: jwks.keys.slice(0, 3) }))],
    [
      'members',
      (key) =>
        Object.values(key.export({ format: 'jwk' }) as Jwk).flatMap((value) => [
          String(value),
          Buffer.from(String(value), 'base64url'),
        ]),
    ],
  ]
  const pkcs1 = rsa.publicKey.export({ format: 'pem', type: 'pkcs1' }) as string
  forms.push(['PKCS #1', () => spellings(pkcs1)])
  const publicOnly = { keys: jwks.keys.filter((key) => key.kty !== 'oct') }
  for (const [kid, key] of [
    ['ed', ed.publicKey],
    ['ec', ec.publicKey],
    ['rsa', rsa.publicKey],
  ] as const) {
    for (const [, form] of forms) {
      for (const secret of form(key)) {
        for (const name of [kid, undefined]) {
          const input = `${encode({ alg: 'HS256', typ: 'at+jwt', kid: name })}.${encode(payloadOf())}`
          const forged = `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`
          await refused(forged)
          await refused(forged, 'ERR_ACCESS_TOKEN_INVALID', makeVerifier({ jwks: publicOnly }))
        }
      }
    }
  }
})

/** The variants found in files: with a BOM, spaces, comments and other line ends. */
const spellings = (text: string) => [
  text,
  text.trim(),
  `\uFEFF${text}`,
  ` ${text}`,
  `\n${text}`,
  `# key\n${text}`,
  text.replaceAll('\n', '\r\n'),
  `${text}\n`,
]

test('a token signed with an empty HMAC secret is rejected', async () => {
  for (const kid of ['shared', 'ed', '', undefined]) {
    const input = `${encode({ alg: 'HS256', typ: 'at+jwt', kid })}.${encode(payloadOf())}`
    for (const secret of ['', '\0', 'undefined', 'null', 'false', '[object Object]', Buffer.alloc(32)]) {
      await refused(`${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`)
    }
  }
})

// 2. One encoding.

test('every character outside base64url and the two dots is rejected, at any position', async () => {
  const token = makeToken()
  const dots = [token.indexOf('.'), token.lastIndexOf('.')]
  for (const at of [0, 5, dots[0]!, dots[0]! + 1, dots[1]!, dots[1]! + 1, token.length]) {
    for (const extra of [
      ' ',
      '\n',
      '\r',
      '\t',
      '\0',
      '=',
      '+',
      '/',
      ',',
      ';',
      '~',
      '%20',
      '\u00a0',
      'é',
      '\u200b',
      '"',
      '.',
    ]) {
      await refused(token.slice(0, at) + extra + token.slice(at))
    }
  }
  await refused(`Bearer ${token}`)
  await refused(`${token},${token}`)
  await refused(token.replaceAll('.', '\u002e\u0000'))
})

test('a signature, payload or header with stray bits is rejected, though it decodes to the same bytes', async () => {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  let tried = 0
  for (const alg of ['EdDSA', 'ES256', 'RS256', 'HS256']) {
    const parts = makeToken(payloadOf({ pad: 'x' }), {}, alg).split('.')
    for (const [index, part] of parts.entries()) {
      for (const character of alphabet) {
        const changed = part.slice(0, -1) + character
        if (changed === part || !Buffer.from(changed, 'base64url').equals(Buffer.from(part, 'base64url'))) continue
        await refused(parts.with(index, changed).join('.'))
        tried++
      }
      for (const padded of [`${part}=`, `${part}==`, `${part}A`, part.slice(0, -1)])
        await refused(parts.with(index, padded).join('.'))
    }
  }
  assert.ok(tried > 10)
})

test('standard base64 instead of base64url is rejected', async () => {
  for (let i = 0; i < 20; i++) {
    const parts = makeToken(payloadOf({ jti: `token-${i}` })).split('.')
    const standard = parts[2]!.replaceAll('-', '+').replaceAll('_', '/')
    if (standard !== parts[2]) await refused(parts.with(2, standard).join('.'))
  }
})

test('a token without dots, or with missing, empty or extra parts, is rejected', async () => {
  const token = makeToken()
  const [header, payload, signature] = token.split('.') as [string, string, string]
  const wrong = [
    '',
    '.',
    '..',
    '...',
    token.replaceAll('.', ''),
    `${header}.${payload}`,
    `${header}.${payload}.`,
    `.${payload}.${signature}`,
    `${header}..${signature}`,
    `${token}.`,
    `.${token}`,
    `${token}.${signature}`,
    `${header}.${payload}.${signature}.${signature}.${signature}`,
    `${payload}.${header}.${signature}`,
  ]
  for (const each of wrong) await refused(each)
})

test('every single-character change of a token is rejected', async () => {
  const verifier = makeVerifier()
  const token = makeToken()
  await verifier.verify(token)
  for (let at = 0; at < token.length; at++) {
    const other = token[at] === 'A' ? 'B' : 'A'
    await refused(token.slice(0, at) + other + token.slice(at + 1), 'ERR_ACCESS_TOKEN_INVALID', verifier)
  }
})

test('a value that is not a string is rejected without a crash', async () => {
  const strange = [
    undefined,
    null,
    0,
    1n,
    true,
    {},
    [],
    [makeToken()],
    { $ne: null },
    Buffer.from(makeToken()),
    Symbol('x'),
    () => makeToken(),
    new String(makeToken()),
  ]
  for (const token of strange) await refused(token)
})

// 3. and 4. Headers.

test('any crit is rejected: known, unknown, empty, or naming a present member', async () => {
  for (const crit of [
    [],
    ['b64'],
    ['exp'],
    ['alg'],
    ['x'],
    'x',
    null,
    {},
    1,
    true,
    [null],
    ['http://example.invalid/UNDEFINED'],
  ]) {
    await refused(makeToken(payloadOf(), { crit, x: 1, 'http://example.invalid/UNDEFINED': true }))
  }
})

test('b64 is rejected, true or false, with crit or without (RFC 7797)', async () => {
  for (const b64 of [false, true, null, 'false', 0]) {
    await refused(makeToken(payloadOf(), { b64 }))
    await refused(makeToken(payloadOf(), { b64, crit: ['b64'] }))
  }
})

test('a key in the token’s header is never trusted, and causes no request', async () => {
  const thief = generateKeyPairSync('ed25519')
  const key = { ...(thief.publicKey.export({ format: 'jwk' }) as Jwk), alg: 'EdDSA', kid: 'thief' }
  const requests: string[] = []
  const fetchSpy = (async (url: string) => {
    requests.push(String(url))
    return new Response(JSON.stringify({ keys: [key] }))
  }) as typeof fetch
  const real = globalThis.fetch
  globalThis.fetch = fetchSpy
  try {
    for (const kid of ['thief', 'ed', undefined]) {
      for (const header of [
        { jwk: key },
        { jku: 'https://evil.example/jwks.json' },
        { jku: 'http://169.254.169.254/latest/meta-data' },
        { jku: `${issuer}/.well-known/jwks.json` },
        { x5u: 'https://evil.example/cert.pem' },
        { x5c: ['MIIB'] },
        { x5t: 'x', 'x5t#S256': 'x' },
        { jwk: key, jku: 'https://evil.example', x5u: 'https://evil.example', x5c: ['MIIB'] },
      ]) {
        const input = `${encode({ alg: 'EdDSA', typ: 'at+jwt', kid, ...header })}.${encode(payloadOf())}`
        const forged = `${input}.${signWith(null, Buffer.from(input), thief.privateKey).toString('base64url')}`
        await refused(forged, 'ERR_ACCESS_TOKEN_INVALID', makeVerifier({ fetch: fetchSpy }))
      }
    }
    assert.deepEqual(requests, [])
    // In a token of ours these members are ignored.
    assert.ok(await verify(makeToken(payloadOf(), { jwk: key, jku: 'https://evil.example' }), { fetch: fetchSpy }))
    assert.deepEqual(requests, [])
  } finally {
    globalThis.fetch = real
  }
})

test('a kid is an opaque name: paths, SQL, commands, prototypes and blanks match no key', async () => {
  const kids = [
    '../../../../dev/null',
    '/dev/null',
    'file:///etc/passwd',
    "' UNION SELECT 'secret'--",
    '| cat /etc/passwd',
    '$(id)',
    '; ls',
    '',
    ' ',
    'ed ',
    ' ed',
    'ED',
    'ed\0',
    '__proto__',
    'constructor',
    'hasOwnProperty',
    'toString',
    '0',
    'null',
    'undefined',
    '%00',
    '*',
    'x'.repeat(5000),
  ]
  for (const kid of kids) {
    await refused(makeToken(payloadOf(), { kid }))
    await refused(makeToken(payloadOf(), { kid }, 'HS256'))
  }
  for (const kid of [null, 0, {}, [], ['ed'], true]) {
    assert.equal(await refused(makeToken(payloadOf(), { kid })), 'its kid is not a string')
  }
})

test('without a kid, the only key of the algorithm is used; if there are two, none is tried', async () => {
  assert.ok(await verify(makeToken(payloadOf(), { kid: undefined })))
  const second = {
    ...(generateKeyPairSync('ed25519').publicKey.export({ format: 'jwk' }) as Jwk),
    alg: 'EdDSA',
    kid: 'ed2',
  }
  const verifier = makeVerifier({ jwks: { keys: [...jwks.keys, second] } })
  await refused(makeToken(payloadOf(), { kid: undefined }), 'ERR_ACCESS_TOKEN_INVALID', verifier)
  assert.ok(await verifier.verify(makeToken()))
})

test('a header that is not a plain object, or has a duplicate member, is rejected', async () => {
  const headers = [
    '{"alg":"EdDSA","typ":"at+jwt","kid":"ed","kid":"ed"}',
    '{"alg":"none","alg":"EdDSA","typ":"at+jwt","kid":"ed"}',
    '{"alg":"EdDSA","\\u0061lg":"none","typ":"at+jwt","kid":"ed"}',
    '{"alg":"EdDSA","typ":"at+jwt","kid":"ed","__proto__":{"x":1}}',
    '[{"alg":"EdDSA","typ":"at+jwt","kid":"ed"}]',
    '"EdDSA"',
    'null',
    '',
    '{',
    '{"alg":"EdDSA","typ":"at+jwt","kid":"ed"} x',
    '\uFEFF{"alg":"EdDSA","typ":"at+jwt","kid":"ed"}',
    "{'alg':'EdDSA'}",
  ]
  for (const header of headers) await refused(makeToken(payloadOf(), header))
  assert.ok(
    await verify(makeToken(payloadOf(), ' {"alg":"EdDSA",\n"typ":"at+jwt","kid":"ed"}')),
    'whitespace is rejected, though JSON allows it',
  )
})

// 5. and 6. Keys and signatures.

test('ES256: only 64 bytes of r‖s; DER, other lengths, and r or s of 0 or n are rejected', async () => {
  const input = makeToken(payloadOf(), {}, 'ES256').split('.').slice(0, 2).join('.')
  const good = signers.ES256!(input)
  const n = Buffer.from('ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551', 'hex')
  const zero = Buffer.alloc(32)
  const [r, s] = [good.subarray(0, 32), good.subarray(32)]
  const wrong = [
    signWith('sha256', Buffer.from(input), ec.privateKey),
    good.subarray(0, 63),
    Buffer.concat([good, Buffer.alloc(1)]),
    Buffer.concat([Buffer.alloc(1), good]),
    Buffer.concat([r, Buffer.alloc(1), s]),
    good.subarray(0, 32),
    Buffer.concat([zero, zero]),
    Buffer.concat([r, zero]),
    Buffer.concat([zero, s]),
    Buffer.concat([n, n]),
    Buffer.concat([r, n]),
    Buffer.concat([n, s]),
    Buffer.concat([Buffer.alloc(31), Buffer.of(1), Buffer.alloc(31), Buffer.of(1)]),
    Buffer.concat([s, r]),
    Buffer.alloc(64, 0xff),
    Buffer.alloc(96),
    Buffer.alloc(128),
  ]
  for (const signature of wrong) await refused(`${input}.${signature.toString('base64url')}`)
  assert.ok(await verify(`${input}.${good.toString('base64url')}`))
})

test('EdDSA, RS256, HS256: a signature that is cut, extended, or of another token or key is rejected', async () => {
  const strangers: Record<string, (input: string) => Buffer> = {
    EdDSA: (input) => signWith(null, Buffer.from(input), generateKeyPairSync('ed25519').privateKey),
    RS256: (input) =>
      signWith('sha256', Buffer.from(input), generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey),
    HS256: (input) => createHmac('sha256', randomBytes(32)).update(input).digest(),
  }
  for (const alg of ['EdDSA', 'RS256', 'HS256']) {
    const [header, payload] = makeToken(payloadOf(), {}, alg).split('.')
    const input = `${header}.${payload}`
    const good = signers[alg]!(input)
    const wrong = [
      good.subarray(1),
      good.subarray(0, -1),
      Buffer.concat([good, Buffer.alloc(1)]),
      signers[alg]!(`${input} `),
      strangers[alg]!(input),
      Buffer.alloc(good.length),
      Buffer.from('null'),
    ]
    for (const signature of wrong) await refused(`${input}.${signature.toString('base64url')}`)
  }
})

test('weak, empty or unfit keys throw ERR_KEY_WEAK when the verifier is made, not at the first request', () => {
  const jwk = (key: KeyObject, members: Jwk): Jwk => ({ ...(key.export({ format: 'jwk' }) as Jwk), ...members })
  const rsa1024 = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey
  const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey
  const oct = (k: unknown): Jwk => ({ kty: 'oct', alg: 'HS256', k: k as string })
  const weak: [string, Jwk][] = [
    ['RSA of 1024 bits', jwk(rsa1024, { alg: 'RS256' })],
    ['RSA with no modulus', { kty: 'RSA', alg: 'RS256', e: 'AQAB' }],
    ['RSA with an exponent of 1', jwk(rsa.publicKey, { alg: 'RS256', e: 'AQ' })],
    ['RSA with an exponent of 3', jwk(rsa.publicKey, { alg: 'RS256', e: 'Aw' })],
    ['RSA with an exponent of 1 behind zeros', jwk(rsa.publicKey, { alg: 'RS256', e: 'AAAB' })],
    ['RSA with an exponent of 3 behind zeros', jwk(rsa.publicKey, { alg: 'RS256', e: 'AAAAAAAD' })],
    ['RSA with an even exponent', jwk(rsa.publicKey, { alg: 'RS256', e: 'AQAA' })],
    ['RSA with an exponent of 72 bits', jwk(rsa.publicKey, { alg: 'RS256', e: 'AQAAAAAAAAAB' })],
    ['RSA with an exponent that is no base64', jwk(rsa.publicKey, { alg: 'RS256', e: 'AQABA' })],
    [
      'RSA of 1024 bits behind zeros',
      jwk(rsa1024, { alg: 'RS256', n: 'A'.repeat(400) + rsa1024.export({ format: 'jwk' }).n }),
    ],
    [
      'RSA of 131,072 bits',
      jwk(rsa.publicKey, { alg: 'RS256', n: randomBytes(16_384).fill(0xff).toString('base64url') }),
    ],
    ['HMAC of 31 bytes', oct(Buffer.alloc(31, 1).toString('base64url'))],
    ['HMAC of no bytes', oct('')],
    ['HMAC undefined', oct(undefined)],
    ['HMAC null', oct(null)],
    ['HMAC of blanks, which a decoder ignores', oct(' '.repeat(64))],
    ['HMAC of padding', oct('='.repeat(64))],
    ['HMAC that is not a string', oct(new Array(64).fill('x'))],
    ['P-384 as ES256', jwk(p384, { alg: 'ES256' })],
    ['a P-384 that says it is P-256', jwk(p384, { alg: 'ES256', crv: 'P-256' })],
    ['a P-256 that says it is P-384', jwk(ec.publicKey, { alg: 'ES256', crv: 'P-384' })],
    ['a P-256 that says it is no EC', jwk(ec.publicKey, { alg: 'ES256', kty: 'OKP' })],
    ['a P-256 of half a point', jwk(ec.publicKey, { alg: 'ES256', y: undefined as never })],
    ['a P-256 of the other half', jwk(ec.publicKey, { alg: 'ES256', x: undefined as never })],
    ['an Ed25519 that says it is Ed448', jwk(ed.publicKey, { alg: 'EdDSA', crv: 'Ed448' })],
    ['an Ed25519 that says it is EC', jwk(ed.publicKey, { alg: 'EdDSA', kty: 'EC' })],
    ['an Ed25519 with a blank before it', jwk(ed.publicKey, { alg: 'EdDSA', x: ` ${'A'.repeat(42)}` })],
    ['an Ed25519 with padding', jwk(ed.publicKey, { alg: 'EdDSA', x: `${'A'.repeat(42)}=` })],
    ['an RSA that says it is EC', jwk(rsa.publicKey, { alg: 'RS256', kty: 'EC' })],
    ['an HMAC secret that says it is RSA', { ...oct('x'.repeat(64)), kty: 'RSA' }],
    ['an HMAC secret as EdDSA', { ...oct('x'.repeat(64)), alg: 'EdDSA' }],
    ['Ed25519 as ES256', jwk(ed.publicKey, { alg: 'ES256' })],
    ['P-256 as EdDSA', jwk(ec.publicKey, { alg: 'EdDSA' })],
    ['RSA as HS256', jwk(rsa.publicKey, { alg: 'HS256' })],
    ['RSA as PS256', jwk(rsa.publicKey, { alg: 'PS256' })],
    ['alg none', jwk(ed.publicKey, { alg: 'none' })],
    ['an empty key', { kty: 'OKP', crv: 'Ed25519', alg: 'EdDSA', x: '' }],
    ['nothing but an alg', { alg: 'EdDSA' }],
  ]
  for (const [name, key] of weak) {
    assert.throws(
      () => createVerifier({ issuer, jwks: { keys: [key] } }),
      (error) => isDaypassError(error, 'ERR_KEY_WEAK'),
      name,
    )
    assert.throws(
      () => createVerifier({ issuer, jwks: { keys: [...jwks.keys, key] } }),
      (error) => isDaypassError(error, 'ERR_KEY_WEAK'),
      `${name}, among good ones`,
    )
  }
  const unclear: Jwk[] = [
    jwk(rsa.publicKey, {}),
    jwk(p384, {}),
    jwk(ed.publicKey, { crv: 'Ed448' }),
    jwk(ed.publicKey, { kty: 'EC' }),
    jwk(ec.publicKey, { kty: 'OKP' }),
    { kty: 'oct', k: 'x'.repeat(64) },
    {},
    jwk(ed.privateKey, { alg: 'EdDSA' }),
    jwk(rsa.privateKey, { alg: 'RS256' }),
    jwk(ec.publicKey, { alg: 'ES256', use: 'enc' }),
    jwk(ec.publicKey, { alg: 'ES256', key_ops: ['encrypt'] }),
    jwk(ec.publicKey, { alg: 'ES256', key_ops: [] }),
    ...['verify', 'sign', null, {}, ['sign']].map((key_ops) => jwk(ec.publicKey, { alg: 'ES256', key_ops })),
  ]
  for (const key of unclear) {
    assert.throws(
      () => createVerifier({ issuer, jwks: { keys: [key] } }),
      (error) => isDaypassError(error, 'ERR_OPTION_INVALID'),
    )
  }
  assert.throws(
    () => createVerifier({ issuer, jwks: { keys: [] } }),
    (error) => isDaypassError(error, 'ERR_OPTION_INVALID'),
  )
})

test('an Ed25519 or P-256 key without alg is for its only algorithm', async () => {
  for (const [alg, { publicKey }] of [['EdDSA', ed] as const, ['ES256', ec] as const]) {
    const verifier = makeVerifier({ jwks: { keys: [publicKey.export({ format: 'jwk' }) as Jwk] } })
    assert.ok(await verifier.verify(makeToken(payloadOf(), { kid: undefined }, alg)))
  }
})

test('a damaged key that only the cryptography detects verifies nothing, and the error says so', async () => {
  // A point that is not on the curve.
  const off = {
    ...(ec.publicKey.export({ format: 'jwk' }) as Jwk),
    y: Buffer.alloc(32, 1).toString('base64url'),
    alg: 'ES256',
    kid: 'ec',
  }
  const verifier = makeVerifier({ jwks: { keys: [off] } })
  for (let i = 0; i < 2; i++) {
    await assert.rejects(verifier.verify(makeToken(payloadOf(), {}, 'ES256')), (error) => {
      assert.ok(isDaypassError(error, 'ERR_KEY_WEAK'))
      return error.cause instanceof Error
    })
  }
})

test('an invalid option is rejected when the verifier is made, and the error names it', () => {
  const wrong: Record<string, unknown[]> = {
    issuer: ['', undefined, ['a']],
    audience: ['', ['a'], 7],
    clockTolerance: [-1, 301, Number.NaN, Number.POSITIVE_INFINITY, '30'],
    cacheSize: [-1, 1.5, Number.POSITIVE_INFINITY, '100'],
    isRevoked: [true, 'no'],
    onWarning: [console],
    clock: [7],
    fetch: ['fetch'],
  }
  for (const [name, values] of Object.entries(wrong)) {
    for (const value of values) {
      assert.throws(
        () => makeVerifier({ [name]: value } as object),
        (error) => isDaypassError(error, 'ERR_OPTION_INVALID') && error.message.startsWith(`\`${name}\` is `),
        `${name}: ${value}`,
      )
    }
  }
  for (const clockTolerance of [0, 300]) assert.ok(makeVerifier({ clockTolerance }))
  for (const given of [undefined, null, 'https://id.example']) {
    assert.throws(
      () => createVerifier(given as never),
      /Write `createVerifier\(\{ issuer: 'https:\/\/id\.example\.com' \}\)`/,
    )
  }
  for (const keys of [undefined, [], {}, [7], [null]]) {
    assert.throws(() => makeVerifier({ jwks: { keys: keys as never } }), /^DaypassError: `jwks\.keys` is /)
  }
})

test('a token of another issuer or audience is a warning, with both values', async () => {
  const differences = [
    [{ iss: 'https://other' }, `from the issuer 'https://other', and \`issuer\` is '${issuer}'`],
    [{ aud: ['x', 'y'] }, `for the audience 'x', 'y', and \`audience\` is '${audience}'`],
  ] as const
  for (const [members, difference] of differences) {
    const told: object[] = []
    const verifier = makeVerifier({ onWarning: (warning) => void told.push(warning) })
    await refused(makeToken(payloadOf(members)), 'ERR_ACCESS_TOKEN_INVALID', verifier)
    const message = `A token with a good signature is rejected: it is ${difference}.`
    assert.deepEqual(told, [{ code: 'DAYPASS_TOKEN_FOREIGN', message }])
  }
})

// 7. to 9. Types and claims.

test('typ must be at+jwt: ID tokens, logout tokens, DPoP proofs and plain JWTs are rejected', async () => {
  for (const typ of [
    'JWT',
    'jwt',
    'id+jwt',
    'logout+jwt',
    'dpop+jwt',
    'rt+jwt',
    'at+jwt ',
    'at jwt',
    'text/at+jwt',
    'application/application/at+jwt',
    'atapplication/+jwt',
    'at+jwt;x=1',
    '',
    undefined,
    null,
    0,
    ['at+jwt'],
    {},
  ]) {
    await refused(makeToken(payloadOf(), { typ }))
  }
  for (const typ of ['at+jwt', 'AT+JWT', 'application/at+jwt', 'Application/AT+jwt'])
    assert.ok(await verify(makeToken(payloadOf(), { typ })))
})

test('an ID token, a logout token and a DPoP proof, each as issued, are rejected', async () => {
  const { jti: _, client_id: __, ...idToken } = payloadOf({ nonce: 'n', azp: 'app' })
  await refused(makeToken(idToken, { typ: 'JWT' }))
  await refused(makeToken(idToken))
  await refused(
    makeToken(
      {
        iss: issuer,
        aud: audience,
        sub: 'user-1',
        iat: seconds,
        exp: seconds + 60,
        jti: 'x',
        sid: 's',
        events: { 'http://schemas.openid.net/event/backchannel-logout': {} },
      },
      { typ: 'logout+jwt' },
    ),
  )
  await refused(
    makeToken(
      { jti: 'x', htm: 'GET', htu: audience, iat: seconds },
      { typ: 'dpop+jwt', jwk: ed.publicKey.export({ format: 'jwk' }) },
    ),
  )
})

for (const claim of ['iss', 'exp', 'aud', 'sub', 'client_id', 'iat', 'jti', 'sid']) {
  test(`${claim} is required: missing, null, empty and of another type are rejected`, async () => {
    for (const value of [undefined, null, '', [], {}, true, false])
      await refused(makeToken(payloadOf({ [claim]: value })))
    if (claim !== 'exp' && claim !== 'iat')
      for (const value of [0, 1]) await refused(makeToken(payloadOf({ [claim]: value })))
  })
}

test('iss is compared exactly', async () => {
  for (const iss of [
    `${issuer}/`,
    issuer.toUpperCase(),
    `${issuer}.evil.example`,
    'id.example',
    ` ${issuer}`,
    [issuer],
    ['good', 'evil'],
    [issuer, 'https://evil.example'],
    { toString: issuer },
    `${issuer}\0`,
    'https://ıd.example',
  ]) {
    await refused(makeToken(payloadOf({ iss })))
  }
})

test('aud is required and matched exactly, as a string or in a list of strings', async () => {
  for (const aud of [
    issuer,
    `${audience}/`,
    audience.slice(0, -1),
    `${audience}.evil.example`,
    audience.toUpperCase(),
    [],
    [[audience]],
    [audience, null],
    [audience, 7],
    [`${audience}x`],
    { 0: audience },
    `${audience} other`,
    '*',
    [null],
  ]) {
    await refused(makeToken(payloadOf({ aud })))
  }
  for (const aud of [audience, [audience], ['other', audience]]) assert.ok(await verify(makeToken(payloadOf({ aud }))))
})

test('exp, iat and nbf are finite numbers: strings, null, Infinity and absurd values are rejected', async () => {
  for (const name of ['exp', 'iat', 'nbf']) {
    for (const value of [
      '9e99',
      '8640000000000',
      '"9e99"',
      '"1767225900"',
      'null',
      '1e999',
      '-1e999',
      '9e99',
      '[1767225900]',
      '{}',
      'true',
      '""',
      '-1',
    ]) {
      const payload = JSON.stringify(payloadOf({ [name]: '?' })).replace('"?"', value)
      await refused(makeToken(payload))
    }
    for (const raw of ['NaN', 'Infinity', '01', '+1', '0x10']) {
      await refused(makeToken(JSON.stringify(payloadOf({ [name]: '?' })).replace('"?"', raw)))
    }
  }
})

test('now equal to exp is expired; a millisecond before it is not', async () => {
  const token = makeToken(payloadOf({ exp: seconds + 60 }))
  assert.ok(await verify(token, { clock: () => now + 59_999 }))
  for (const later of [60_000, 60_001, 3_600_000])
    await refused(token, 'ERR_ACCESS_TOKEN_EXPIRED', makeVerifier({ clock: () => now + later }))
  assert.ok(await verify(makeToken(payloadOf({ exp: seconds + 0.5 })), { clock: () => now + 499 }), 'fractions count')
  await refused(makeToken(payloadOf({ exp: 0, iat: 0 })), 'ERR_ACCESS_TOKEN_EXPIRED')
})

test('nbf in the future and iat in the future are rejected; the tolerance counts', async () => {
  await refused(makeToken(payloadOf({ nbf: seconds + 1 })))
  assert.ok(await verify(makeToken(payloadOf({ nbf: seconds }))))
  // For iat at least a minute, with any tolerance, because the clocks of signing servers differ, too.
  assert.ok(await verify(makeToken(payloadOf({ iat: seconds + 60 }))))
  await refused(makeToken(payloadOf({ iat: seconds + 61 })))
  const lax = () => makeVerifier({ clockTolerance: 90 })
  assert.ok(await lax().verify(makeToken(payloadOf({ iat: seconds + 90 }))))
  await refused(makeToken(payloadOf({ iat: seconds + 91 })), 'ERR_ACCESS_TOKEN_INVALID', lax())
  const tolerant = () => makeVerifier({ clockTolerance: 10 })
  assert.ok(await tolerant().verify(makeToken(payloadOf({ nbf: seconds + 10 }))))
  await refused(makeToken(payloadOf({ nbf: seconds + 11 })), 'ERR_ACCESS_TOKEN_INVALID', tolerant())
  assert.ok(await tolerant().verify(makeToken(payloadOf({ exp: seconds - 9 }))))
  await refused(makeToken(payloadOf({ exp: seconds - 10 })), 'ERR_ACCESS_TOKEN_EXPIRED', tolerant())
})

test('optional claims of the wrong type are rejected', async () => {
  for (const members of [
    { scope: ['read'] },
    { scope: null },
    { scope: 1 },
    { amr: 'pwd' },
    { amr: [1] },
    { amr: null },
    { auth_time: '1' },
    { auth_time: null },
  ]) {
    await refused(makeToken(payloadOf(members)))
  }
  const { scopes, authTime, amr } = await verify(makeToken(payloadOf({ scope: '' })))
  assert.deepEqual({ scopes, authTime, amr }, { scopes: [], authTime: undefined, amr: [] })
})

// 10. The payload.

test('a payload that is not a plain JSON object in UTF-8 is rejected', async () => {
  const good = JSON.stringify(payloadOf())
  for (const payload of [
    `[${good}]`,
    JSON.stringify(good),
    'null',
    '1',
    'true',
    '{',
    `${good},`,
    `${good}{}`,
    `\uFEFF${good}`,
    good.replace('{', '{,'),
    "{'a':1}",
    'undefined',
    ' ',
  ]) {
    await refused(makeToken(payload))
  }
  for (const bytes of [
    Buffer.from([0xff, 0xfe]),
    Buffer.from(good, 'utf16le'),
    Buffer.from(good.replace('user-1', 'us\xe9r'), 'latin1'),
    Buffer.concat([Buffer.from(good), Buffer.of(0xc0, 0xaf)]),
  ]) {
    const input = `${encode({ alg: 'EdDSA', typ: 'at+jwt', kid: 'ed' })}.${bytes.toString('base64url')}`
    await refused(`${input}.${signers.EdDSA!(input).toString('base64url')}`)
  }
})

test('a duplicate member is rejected, at any depth and in any spelling', async () => {
  const good = JSON.stringify(payloadOf())
  for (const extra of [
    '"sub":"admin"',
    '"\\u0073ub":"admin"',
    '"x":{"a":1,"a":2}',
    '"x":[{"a":1,"b":2,"\\u0061":3}]',
    '"x":1,"x":1',
    '"":1,"":2',
  ]) {
    await refused(makeToken(good.replace('{', `{${extra},`)))
    await refused(makeToken(good.replace(/}$/, `,${extra}}`)))
  }
  // Equal items of a list, the same name in two objects, and a name as a value are no duplicates.
  assert.ok(
    await verify(makeToken(payloadOf({ x: ['a', 'a', 'a', ['a', 'a'], {}, 'a', '__proto__'], y: ['__proto__'] }))),
  )
  assert.ok(await verify(makeToken(good.replace('{', '{"x":{"sub":1},"y":[{"sub":1},{"sub":2}],"z":"sub",'))))
})

test('__proto__ is rejected at any depth, and nothing is polluted; constructor is an ordinary name', async () => {
  const good = JSON.stringify(payloadOf())
  for (const extra of [
    '"__proto__":{"polluted":1}',
    '"\\u005f_proto__":{"polluted":1}',
    '"x":{"__proto__":{"polluted":1}}',
    '"x":[{"__proto__":null}]',
  ]) {
    await refused(makeToken(good.replace('{', `{${extra},`)))
  }
  const { claims } = await verify(
    makeToken(good.replace('{', '{"constructor":{"prototype":{"polluted":1}},"toString":"x","hasOwnProperty":1,')),
  )
  assert.deepEqual(Object.keys(claims).sort(), ['constructor', 'hasOwnProperty', 'toString'])
  assert.equal(({} as Record<string, unknown>).polluted, undefined)
})

test('a claim is read by the name that is written, whatever JSON the process has read before (nodejs/node#63785)', async () => {
  const good = JSON.stringify(payloadOf())
  const withMember = (member: string) => good.replace(/}$/, `,${member}}`)
  /** Verifies a claim of this name, after V8 has read another name at its place. */
  const claimAfter = (other: string, name: string, marker: string) => {
    JSON.parse(withMember(`"${marker}":0,"${other}":0`))
    return verify(makeToken(withMember(`"${marker}":0,"${name}":0`)))
  }
  const url = await claimAfter('https:\\\\/\\\\/id.exampl', 'https:\\/\\/id.example\\/', 'x1')
  assert.deepEqual(url.claims, { x1: 0, 'https://id.example/': 0 })
  assert.deepEqual((await claimAfter('\\\\u0', '\\u0061\\u0062\\u0063', 'x2')).claims, { x2: 0, abc: 0 })
  // JSON cannot write this name without an escape.
  assert.deepEqual((await claimAfter('\\\\', '\\"', 'x3')).claims, { x3: 0, '"': 0 })
})

test('deep JSON, a megabyte and many brackets are rejected at once, in header and payload', async () => {
  const nested = (depth: number) => `{"iss":"x","d":${'['.repeat(depth)}${']'.repeat(depth)}}`
  for (const depth of [40, 1000, 5000]) {
    await refused(makeToken(nested(depth)))
    await refused(makeToken(payloadOf(), nested(depth)))
  }
  // 32 deep, with the payload itself, and no deeper.
  const lists = (depth: number) => payloadOf({ x: JSON.parse('['.repeat(depth) + ']'.repeat(depth)) })
  assert.ok(await verify(makeToken(lists(31))))
  await refused(makeToken(lists(32)))
  await refused(makeToken(payloadOf({ x: 'x'.repeat(1_000_000) })))
  await refused('A'.repeat(1_000_000))
  await refused(`${'A'.repeat(500_000)}.${'A'.repeat(500_000)}.A`)
  await refused('.'.repeat(1_000_000))
  await refused('{"'.repeat(500_000))
  // 16 kB and no longer. Each byte is 4/3 of a character: one of three headers comes out even.
  const ofLength = (length: number) => {
    for (const kid of ['ed', undefined]) {
      for (let n = 11_000; n < 13_000; n++) {
        const token = makeToken(payloadOf({ x: 'x'.repeat(n) }), { kid })
        if (token.length === length) return token
        if (token.length > length) break
      }
    }
    assert.fail(`no token of ${length} characters`)
  }
  assert.ok(await verify(ofLength(16_384)))
  await refused(ofLength(16_385))
})

test('a text that would make a regular expression backtrack is rejected at once', async () => {
  for (const payload of [
    `{"a":"${'\\\\'.repeat(4000)}"}`,
    `{"a":"${'\\"'.repeat(4000)}`,
    `{${'"a'.repeat(4000)}`,
    `{"a":${'"'.repeat(5001)}}`,
  ]) {
    await refused(makeToken(payload))
  }
})

test('JSON-serialised JWS, JWE and compressed payloads are rejected', async () => {
  const payload = Buffer.from(JSON.stringify(payloadOf()))
  const general = await new GeneralSign(payload)
    .addSignature(ed.privateKey)
    .setProtectedHeader({ alg: 'EdDSA', typ: 'at+jwt', kid: 'ed' })
    .sign()
  const flattened = await new FlattenedSign(payload)
    .setProtectedHeader({ alg: 'EdDSA', typ: 'at+jwt', kid: 'ed' })
    .sign(ed.privateKey)
  for (const each of [general, flattened, JSON.stringify(general), JSON.stringify(flattened)]) await refused(each)
  const jwe = await new CompactEncrypt(payload)
    .setProtectedHeader({ alg: 'RSA-OAEP-256', enc: 'A256GCM', typ: 'at+jwt', kid: 'rsa' })
    .encrypt(rsa.publicKey)
  await refused(jwe)
  await refused(
    `${encode({ alg: 'PBES2-HS256+A128KW', enc: 'A128GCM', p2c: 1e9, p2s: 'x', typ: 'at+jwt' })}.AA.AA.AA.AA`,
  )
  const { deflateRawSync } = await import('node:zlib')
  const input = `${encode({ alg: 'EdDSA', typ: 'at+jwt', kid: 'ed', zip: 'DEF' })}.${deflateRawSync(payload).toString('base64url')}`
  await refused(`${input}.${signers.EdDSA!(input).toString('base64url')}`)
})

test('a verified token is deeply frozen: no request can change what the next one gets', async () => {
  const token = await verify(makeToken(payloadOf({ roles: ['user'], deep: { a: [{ b: 1 }] } })))
  const deep = token as unknown as {
    claims: { roles: string[]; deep: { a: { b: number }[] } }
    scopes: string[]
    subject: string
  }
  assert.throws(() => deep.claims.roles.push('admin'), TypeError)
  assert.throws(() => Object.assign(deep.claims, { admin: true }), TypeError)
  assert.throws(() => {
    deep.claims.deep.a[0]!.b = 2
  }, TypeError)
  assert.throws(() => deep.scopes.push('all'), TypeError)
  assert.throws(() => {
    deep.subject = 'admin'
  }, TypeError)
})

test('an error reveals nothing about the token; the reason is in its cause', async () => {
  const wrong = [
    makeToken(payloadOf({ iss: 'https://evil.example' })),
    makeToken(payloadOf({ aud: 'x' })),
    makeToken().slice(0, -3),
    'x.y.z',
  ]
  const signatureOfAnother = makeToken(payloadOf({ jti: 'another' })).split('.')[2]!
  const forged = makeToken().split('.').with(2, signatureOfAnother).join('.')
  assert.equal(await refused(forged), 'its signature is wrong')
  assert.equal(await refused(makeToken(payloadOf(), { kid: 'other' })), 'no key for its alg and kid')
  const messages = new Set<string>()
  for (const token of wrong) {
    await makeVerifier()
      .verify(token)
      .then(
        () => assert.fail('was not rejected'),
        (error: Error) => {
          messages.add(error.message)
          assert.ok(error.cause !== undefined, 'a reason for the log')
          assert.ok(!JSON.stringify(error).includes(token.slice(-20)))
        },
      )
  }
  assert.equal(messages.size, 1, 'one message for all of them')
})

test('the test’s own keys are of the kinds that they claim', () => {
  assert.equal(createPublicKey({ key: jwks.keys[1] as never, format: 'jwk' }).asymmetricKeyType, 'ec')
})

test('an ES256 signature is accepted whatever its two numbers begin with', async () => {
  const verifier = makeVerifier()
  const wanted = new Map<string, (signature: Buffer) => boolean>([
    ['r begins with a zero', (signature) => signature[0] === 0],
    ['s begins with a zero', (signature) => signature[32] === 0],
    ['both begin with a high bit', (signature) => signature[0]! > 0x7f && signature[32]! > 0x7f],
    ['both begin with a low bit', (signature) => signature[0]! < 0x80 && signature[32]! < 0x80],
  ])
  for (let index = 0; wanted.size > 0; index++) {
    assert.ok(index < 20_000, `not made by chance: ${[...wanted.keys()]}`)
    const token = makeToken(payloadOf({ jti: `token-${index}` }), {}, 'ES256')
    const signature = Buffer.from(token.split('.')[2]!, 'base64url')
    for (const [name, fits] of wanted) {
      if (!fits(signature)) continue
      assert.equal((await verifier.verify(token)).tokenId, `token-${index}`)
      wanted.delete(name)
    }
  }
})

test('members of a key that are not its material change nothing', async () => {
  const more = { ext: 'no', key_ops: ['verify', 'sign', 'verify'], priv: 'x', oth: 1, x5c: [] }
  for (const alg of ['EdDSA', 'ES256', 'RS256', 'HS256']) {
    const keys = jwks.keys.map((key) => ({ ...key, ...more }))
    const token = makeToken(payloadOf(), {}, alg)
    assert.equal((await makeVerifier({ jwks: { keys } }).verify(token)).subject, 'user-1', alg)
  }
})

test('a signature that anybody can make for an exponent of 1 is accepted with no key', async () => {
  const input = `${encode({ alg: 'RS256', typ: 'at+jwt', kid: 'rsa' })}.${encode(payloadOf())}`
  // EMSA-PKCS1-v1_5 (RFC 8017 §9.2) of the hash: with e = 1 it is its own signature.
  const prefix = Buffer.from('3031300d060960864801650304020105000420', 'hex')
  const hashed = Buffer.concat([prefix, createHash('sha256').update(input).digest()])
  const padded = Buffer.concat([Buffer.from([0, 1]), Buffer.alloc(253 - hashed.length, 0xff), Buffer.from([0]), hashed])
  await refused(`${input}.${padded.toString('base64url')}`)
  const key = jwks.keys.find(({ alg }) => alg === 'RS256')!
  for (const e of ['AQ', 'AAE', 'AAAB', 'AAAAAAAB']) {
    assert.throws(() => makeVerifier({ jwks: { keys: [{ ...key, e }] } }), { code: 'ERR_KEY_WEAK' })
  }
})

test('an RSA key is as long as its first bit says, and an exponent may have any characters of base64url', async () => {
  const key = jwks.keys.find(({ alg }) => alg === 'RS256')!
  const use = (members: object) => makeVerifier({ jwks: { keys: [{ ...key, ...members }] } })
  // 256 bytes that begin with 0000 0001 are 2041 bits.
  const short = Buffer.from(key.n as string, 'base64url')
  short[0] = 1
  const verifier = use({ n: short.toString('base64url') })
  await assert.rejects(verifier.verify(makeToken(payloadOf(), {}, 'RS256')), (error) => {
    // Web Crypto takes the key, and jose refuses it when it is used.
    if (node === undefined) return isDaypassError(error, 'ERR_ACCESS_TOKEN_INVALID')
    return isDaypassError(error, 'ERR_KEY_WEAK') && /at least 2048 bits/.test(String(error.cause))
  })
  for (const e of ['-___', '_-__', 'AQAAAAAAAAE']) assert.ok(use({ e }), e)
  for (const e of ['-__-', 'AQAAAAAAAAEB']) assert.throws(() => use({ e }), { code: 'ERR_KEY_WEAK' }, e)
  const longest = Buffer.alloc(2048, 0xff).toString('base64url')
  assert.ok(use({ n: longest }))
  assert.throws(() => use({ n: `${longest}AA` }), { code: 'ERR_KEY_WEAK' })
})

test('a check of a signature that fails by itself rejects the token', async () => {
  const cause = new Error('broken')
  const jws = { text: '', signed: '', signature: new Uint8Array(), alg: 'EdDSA' } as never
  for (const check of [
    () => Promise.reject(cause),
    () => {
      throw cause
    },
  ]) {
    await assert.rejects(
      verifySignature(jws, check),
      (error) => isDaypassError(error, 'ERR_ACCESS_TOKEN_INVALID') && error.cause === cause,
    )
  }
})
