// Forged access tokens: those of the attack table in docs/security.md, made for any server.

import { createHmac, createPublicKey, generateKeyPairSync, type JsonWebKey, sign as signWith } from 'node:crypto'
import { deflateRawSync } from 'node:zlib'
import type { Jwk } from '../../src/verify/index.ts'
import { encode } from '../verify/tokens.ts'

/** A server under attack, with a valid token, the published key, and the signer for tokens with other faults. */
export interface Target {
  genuine: string
  key: Jwk
  /** Signs as the server does, for tokens whose fault is not the signature. */
  sign(input: string): Uint8Array
}

/** Every forgery of one kind. */
export type Forge = (target: Target) => string[]

const parts = ({ genuine }: Target) => genuine.split('.') as [string, string, string]
const read = (part: string) => JSON.parse(Buffer.from(part, 'base64url').toString()) as Record<string, unknown>
const headerOf = (target: Target) => read(parts(target)[0])
const payloadOf = (target: Target) => read(parts(target)[1])
const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64url')

/** A token with any header members and payload, signed with the server's own key. */
function signed(target: Target, header: Record<string, unknown> | string, payload: unknown): string {
  const head = typeof header === 'string' ? header : { ...headerOf(target), ...header }
  const input = `${encode(head)}.${encode(payload)}`
  return `${input}.${text(target.sign(input))}`
}

/** A token with another header and the valid payload, signed by HMAC with a secret that is public. */
function hmac(target: Target, secret: string | Uint8Array, header: Record<string, unknown> = {}): string {
  const input = `${encode({ ...headerOf(target), alg: 'HS256', ...header })}.${parts(target)[1]}`
  return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`
}

const thief = generateKeyPairSync('ed25519')
const ofThief = { ...(thief.publicKey.export({ format: 'jwk' }) as Jwk), alg: 'EdDSA' }

const claimed = (...changes: Record<string, unknown>[]): Forge => {
  return (target) => changes.map((change) => signed(target, {}, { ...payloadOf(target), ...change }))
}
const headed = (...changes: Record<string, unknown>[]): Forge => {
  return (target) => changes.map((change) => signed(target, change, payloadOf(target)))
}
const curveOrder = Buffer.from('ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551', 'hex')
const number = (value: number) => Buffer.concat([Buffer.alloc(31), Buffer.from([value])])

export const forgeries: Record<string, Forge> = {
  'alg none in every spelling': (target) => {
    const [, payload, signature] = parts(target)
    return ['none', 'None', 'NONE', 'nOnE', 'none ', ''].flatMap((alg) =>
      ['', 'AA', signature].map((end) => `${encode({ ...headerOf(target), alg })}.${payload}.${end}`),
    )
  },
  'a null or blank signature': (target) => {
    const [header, payload, signature] = parts(target)
    const ends = ['', 'AA', 'A'.repeat(signature.length), encode('null'), encode(' '), signature.slice(0, -4)]
    return ends.map((end) => `${header}.${payload}.${end}`)
  },
  'dots stripped or doubled': (target) => {
    const [header, payload, signature] = parts(target)
    return [
      `${header}.${payload}`,
      header + payload + signature,
      `${header}..${signature}`,
      `..`,
      `.${payload}.`,
    ].concat(
      `${header}.${payload}.${signature}.`,
      `${header}.${payload}.${signature}.${signature}`,
      `.${header}.${payload}.${signature}`,
    )
  },
  'HMAC with an empty secret': (target) =>
    ['', '\0', 'undefined', 'null', 'secret', new Uint8Array(32)].flatMap((secret) => [
      hmac(target, secret),
      hmac(target, secret, { kid: '' }),
      hmac(target, secret, { kid: undefined }),
    ]),
  'the public key as HMAC secret: PEM, DER, JWK and JWKS, with BOM, spaces and comments': (target) => {
    const { key } = target
    if (key.kty === 'oct') return []
    const object = createPublicKey({ key: key as JsonWebKey, format: 'jwk' })
    const texts = [
      object.export({ format: 'pem', type: 'spki' }).toString(),
      JSON.stringify(key),
      JSON.stringify({ keys: [key] }),
    ]
    const spelled = texts.flatMap((each) => [each, each.trim(), `\uFEFF${each}`, `  ${each}`, `# a key\n${each}`])
    return [...spelled, object.export({ format: 'der', type: 'spki' })].flatMap((secret) => [
      hmac(target, secret),
      hmac(target, secret, { kid: undefined }),
    ])
  },
  'a key in the header: jwk, jku, x5u, x5c': (target) =>
    [
      { jwk: { ...ofThief, kid: 'thief' } },
      { jku: 'http://169.254.169.254/latest/meta-data' },
      { x5u: 'https://evil.example/cert.pem' },
      { x5c: ['MIIB'], jku: 'https://evil.example/jwks.json' },
    ].flatMap((members) =>
      [headerOf(target).kid, 'thief', undefined].map((kid) => {
        const input = `${encode({ ...headerOf(target), ...members, alg: 'EdDSA', kid })}.${parts(target)[1]}`
        return `${input}.${signWith(null, Buffer.from(input), thief.privateKey).toString('base64url')}`
      }),
    ),
  'a kid that is a path, SQL, a command or blank': (target) =>
    ['../../../../dev/null', "' UNION SELECT 'x'--", '| id', '', ' ', '__proto__', `${headerOf(target).kid} `].flatMap(
      (kid) => [signed(target, { kid }, payloadOf(target)), hmac(target, '', { kid })],
    ),
  'another algorithm’s name with a valid signature': (target) => {
    const [, payload, signature] = parts(target)
    const { alg } = headerOf(target)
    const names = ['RS256', 'PS256', 'RS512', 'ES256', 'ES256K', 'ES384', 'EdDSA', 'HS256', 'HS512', 'constructor']
    return names
      .filter((name) => name !== alg)
      .flatMap((name) => [
        `${encode({ ...headerOf(target), alg: name })}.${payload}.${signature}`,
        signed(target, { alg: name }, payloadOf(target)),
      ])
  },
  'ES256 with r or s of 0, 1 or n, and in DER': (target) => {
    const [header, payload] = parts(target)
    const numbers = [number(0), number(1), curveOrder]
    const pairs = numbers.flatMap((r) => numbers.map((s) => Buffer.concat([r, s])))
    const der = Buffer.from('3006020101020101', 'hex')
    const head = encode({ ...headerOf(target), alg: 'ES256' })
    return [...pairs, der].flatMap((end) => [`${header}.${payload}.${text(end)}`, `${head}.${payload}.${text(end)}`])
  },
  'JWE, a compressed payload, a p2c of a thousand million': (target) => {
    const zip = deflateRawSync(Buffer.from(JSON.stringify({ ...payloadOf(target), bomb: 'x'.repeat(100_000) })))
    const input = `${encode({ ...headerOf(target), zip: 'DEF' })}.${zip.toString('base64url')}`
    return [
      `${encode({ alg: 'dir', enc: 'A256GCM', zip: 'DEF' })}.AA.AA.AA.AA`,
      `${encode({ alg: 'RSA-OAEP', enc: 'A256GCM', typ: 'at+jwt' })}.AA.AA.AA.AA`,
      `${encode({ alg: 'PBES2-HS256+A128KW', enc: 'A128GCM', p2c: 1e9, p2s: 'x' })}.AA.AA.AA.AA`,
      `${input}.${text(target.sign(input))}`,
    ]
  },
  'a token of a megabyte, deep JSON': (target) => {
    const deep = `{"d":${'['.repeat(4000)}${']'.repeat(4000)}}`
    return [
      `${parts(target)[0]}.${'A'.repeat(1_000_000)}.${parts(target)[2]}`,
      signed(target, {}, deep),
      signed(target, deep, payloadOf(target)),
      '.'.repeat(15_000),
    ]
  },
  'a JSON-serialised JWS': (target) => {
    const [header, payload, signature] = parts(target)
    const flat = { protected: header, payload, signature }
    return [JSON.stringify(flat), JSON.stringify({ payload, signatures: [{ protected: header, signature }] })]
  },
  'crit, known or not, and b64': headed(
    { crit: ['exp'] },
    { crit: ['x'], x: 1 },
    { crit: [] },
    { b64: false, crit: ['b64'] },
  ),
  'an ID token, a logout token, a DPoP proof, a plain JWT': headed(
    { typ: 'JWT' },
    { typ: undefined },
    { typ: 'logout+jwt' },
    { typ: 'dpop+jwt' },
    { typ: 'at' },
  ),
  'another issuer, or a list that contains the right one': claimed(
    { iss: 'https://evil.example' },
    { iss: undefined },
    { iss: ['https://id.example', 'https://evil.example'] },
    { iss: '' },
  ),
  'no audience, another one, or a prefix of the right one': claimed(
    { aud: undefined },
    { aud: '' },
    { aud: [] },
    { aud: 'https:' },
    { aud: ['https://api.example.evil.example'] },
    { aud: '*' },
  ),
  'an exp that is missing, not a number, or never reached': (target) => {
    const { exp: _, ...payload } = payloadOf(target)
    const json = JSON.stringify(payload).slice(0, -1)
    return ['', ',"exp":"9e99"', ',"exp":null', ',"exp":9e99', ',"exp":1e400', ',"exp":-1', ',"exp":{}'].map((exp) =>
      signed(target, {}, `${json}${exp}}`),
    )
  },
  'a payload that is an array, or has a duplicate member or __proto__': (target) => {
    const json = JSON.stringify(payloadOf(target))
    const more = (member: string) => signed(target, {}, `${json.slice(0, -1)},${member}}`)
    return [
      signed(target, {}, `[${json}]`),
      more('"sub":"admin"'),
      more('"__proto__":{"polluted":1}'),
      signed(target, {}, 'null'),
    ]
  },
  'a token bound to a key, sent as a bearer token': claimed(
    { cnf: { jkt: '0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I' } },
    { cnf: null },
  ),
}
