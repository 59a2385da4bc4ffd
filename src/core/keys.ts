// All keys of a server. HKDF-SHA256 derives the proof keys and the signing key from one secret, so that all instances have
// the same keys without communication, and the JWKS is complete from the start.

import { Buffer } from 'node:buffer'
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  createSecretKey,
  hkdfSync,
  type JsonWebKey,
  KeyObject,
  sign as signWith,
} from 'node:crypto'
import { DaypassError } from '../errors.ts'
import { wrongKind, wrongOption } from '../option.ts'
import type { Jwk } from '../verify/jwk.ts'
import { base64url } from './bytes.ts'
import { createHmacSha256 } from './hmac.ts'
import type { ProofKey } from './refresh-token.ts'

/** Signature algorithms of access tokens (RFC 7518 §3.1, RFC 8037 §3.1). */
export type Algorithm = 'EdDSA' | 'ES256' | 'RS256' | 'HS256'

/** At least 32 random bytes, as bytes or as a string (`openssl rand -base64 48` makes a good one). */
export type Secret = string | Uint8Array

/** A signing key of the app's own: a private key in this process, or a signer elsewhere (a KMS, an HSM). */
export type SigningKey =
  | {
      algorithm: 'EdDSA' | 'ES256' | 'RS256'
      /** A KeyObject, a PEM text or a private JWK. */
      privateKey: KeyObject | string | Jwk
      /** Default: the key's thumbprint (RFC 7638). */
      kid?: string
    }
  | {
      algorithm: 'HS256'
      /** At least 32 bytes. */
      secretKey: KeyObject | Uint8Array
      kid?: string
    }
  | {
      algorithm: 'EdDSA' | 'ES256' | 'RS256'
      /** The public half, as a KeyObject, a PEM text or a JWK. */
      publicKey: KeyObject | string | Jwk
      /**
       * Signs these bytes elsewhere. For ES256 it returns r‖s, 64 bytes (RFC 7518 §3.4).
       * Called before a refresh changes anything, so that no session is lost if the signer fails.
       */
      sign(data: Uint8Array): Promise<Uint8Array>
      kid?: string
    }

/** Signs access tokens. */
export interface Signer {
  algorithm: Algorithm
  kid: string
  /** Whether it signs outside this process, and so may fail or be slow. */
  external: boolean
  sign(data: string): Uint8Array | Promise<Uint8Array>
}

/** All keys of one issuer. The first of each kind makes tokens; all of them verify tokens. */
export interface IssuerKeys {
  proofKeys: [ProofKey, ...ProofKey[]]
  signer: Signer
  /** The keys that verify access tokens. Secret HS256 keys are among them: do not publish this list. */
  verificationKeys: Jwk[]
  /** The public keys alone (RFC 7517 §5). */
  jwks: { keys: Jwk[] }
}

/** Derives and reads all keys. Throws `ERR_KEY_WEAK` or `ERR_OPTION_INVALID` at the start, not at the first request. */
export function createKeys(
  secret: Secret | readonly Secret[],
  issuer: string,
  algorithm: 'EdDSA' | 'HS256',
  signingKeys: readonly (SigningKey | 'secret')[] = [],
): IssuerKeys {
  const masters = Array.isArray(secret)
    ? secret.map((entry, index) => readSecret(entry, `Entry ${index + 1} of \`secret\``))
    : [readSecret(secret, '`secret`')]
  const [newest, ...others] = masters.map((master) => ({
    id: derive(master, issuer, 'refresh token key id', 1).readUInt8(0),
    hmac: createHmacSha256(derive(master, issuer, 'refresh token proof', 32)),
  }))
  const derived = masters.map((master) => derivePair(master, issuer, algorithm))
  // By default the app's own keys come first, so that the derived keys sign only if there are no others.
  const order = signingKeys.includes('secret') ? signingKeys : [...signingKeys, 'secret' as const]
  const pairs = order.flatMap((key, index) =>
    key === 'secret' ? derived : [readSigningKey(key, `signingKeys[${index}]`)],
  )
  const [first] = pairs
  if (newest === undefined || first === undefined) {
    throw new DaypassError('ERR_OPTION_INVALID', '`secret` is an empty list.')
  }
  const verificationKeys = pairs.map((pair) => pair.jwk)
  if (new Set(verificationKeys.map((jwk) => jwk.kid)).size < verificationKeys.length) {
    throw new DaypassError(
      'ERR_OPTION_INVALID',
      'Two keys have the same `kid`: a secret or a signing key is given twice.',
    )
  }
  return {
    proofKeys: [newest, ...others],
    signer: first.signer,
    verificationKeys,
    jwks: { keys: verificationKeys.filter((jwk) => jwk.kty !== 'oct') },
  }
}

interface Pair {
  signer: Signer
  jwk: Jwk
}

function derivePair(master: Buffer, issuer: string, algorithm: 'EdDSA' | 'HS256'): Pair {
  const seed = derive(master, issuer, `access token ${algorithm}`, 32)
  if (algorithm === 'HS256') return secretPair(createSecretKey(seed))
  // RFC 8410 §7: an Ed25519 private key in PKCS #8 is this prefix and the seed.
  const der = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed])
  return privatePair('EdDSA', createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }))
}

/** @param name The entry, as the app writes it. */
function readSigningKey(key: SigningKey, name: string): Pair {
  if ('secretKey' in key) {
    const secretKey = readSecretKey(key.secretKey, `${name}.secretKey`)
    if ((secretKey.symmetricKeySize ?? 0) < 32) {
      throw new DaypassError('ERR_KEY_WEAK', 'An HS256 key needs at least 32 bytes (RFC 7518 §3.2).')
    }
    return secretPair(secretKey, key.kid)
  }
  if (!Object.hasOwn(keyKinds, key.algorithm)) {
    const instead = "Give 'EdDSA', 'ES256' or 'RS256' with a `privateKey`, or 'HS256' with a `secretKey`."
    throw wrongOption(`${name}.algorithm`, key.algorithm, instead)
  }
  if (!('publicKey' in key)) {
    return privatePair(key.algorithm, readKey(key.privateKey, 'private', `${name}.privateKey`), key.kid)
  }
  if (typeof key.sign !== 'function') {
    throw wrongKind(`${name}.sign`, key.sign, 'Give a function that signs, or a `privateKey`.')
  }
  const publicKey = readKey(key.publicKey, 'public', `${name}.publicKey`)
  const jwk = toJwk(key.algorithm, publicKey, key.kid)
  const sign = async (data: string) => {
    try {
      return await key.sign(Buffer.from(data))
    } catch (cause) {
      throw new DaypassError('ERR_SIGNER_UNAVAILABLE', undefined, { cause })
    }
  }
  return { jwk, signer: { algorithm: key.algorithm, kid: jwk.kid, external: true, sign } }
}

function secretPair(key: KeyObject, kid?: string): Pair {
  // The id must reveal nothing about the key, so it is an HMAC made with the key and not a thumbprint of it.
  const hmac = createHmacSha256(key.export())
  const id = kid ?? base64url(hmac('daypass kid')).slice(0, 16)
  const jwk: Jwk = { kty: 'oct', k: key.export().toString('base64url'), alg: 'HS256', kid: id }
  return { jwk, signer: { algorithm: 'HS256', kid: id, external: false, sign: hmac } }
}

function privatePair(algorithm: 'EdDSA' | 'ES256' | 'RS256', key: KeyObject, kid?: string): Pair {
  const jwk = toJwk(algorithm, createPublicKey(key), kid)
  return { jwk, signer: { algorithm, kid: jwk.kid, external: false, sign: localSign[algorithm](key) } }
}

const localSign = {
  EdDSA: (key: KeyObject) => (data: string) => signWith(null, Buffer.from(data), key),
  RS256: (key: KeyObject) => (data: string) => signWith('sha256', Buffer.from(data), key),
  // Convert the signature here: the option `dsaEncoding` of node:crypto more than doubles the cost (see `npm run bench`).
  ES256: (key: KeyObject) => (data: string) => derToConcat(signWith('sha256', Buffer.from(data), key)),
}

/** Converts SEQUENCE { INTEGER r, INTEGER s } to r‖s of 32 bytes each (RFC 7518 §3.4). */
function derToConcat(der: Buffer): Buffer {
  const out = Buffer.alloc(64)
  const rLength = der.readUInt8(3)
  const r = der.subarray(4, 4 + rLength)
  const s = der.subarray(6 + rLength)
  copyInteger(r, out, 32)
  copyInteger(s, out, 64)
  return out
}

function copyInteger(integer: Buffer, out: Buffer, end: number): void {
  const bytes = integer.subarray(-32)
  bytes.copy(out, end - bytes.length)
}

const keyKinds = {
  EdDSA: (key: KeyObject) => key.asymmetricKeyType === 'ed25519',
  ES256: (key: KeyObject) => key.asymmetricKeyDetails?.namedCurve === 'prime256v1',
  RS256: (key: KeyObject) => key.asymmetricKeyType === 'rsa' && (key.asymmetricKeyDetails?.modulusLength ?? 0) >= 2048,
}

function toJwk(algorithm: 'EdDSA' | 'ES256' | 'RS256', publicKey: KeyObject, kid?: string): Jwk & { kid: string } {
  if (!keyKinds[algorithm](publicKey)) {
    throw new DaypassError(
      'ERR_KEY_WEAK',
      `${algorithm} needs ${{ EdDSA: 'an Ed25519 key', ES256: 'a P-256 key', RS256: 'an RSA key of at least 2048 bits' }[algorithm]}.`,
    )
  }
  const jwk = publicKey.export({ format: 'jwk' }) as Jwk
  return { ...jwk, alg: algorithm, use: 'sig', kid: kid ?? thumbprint(jwk) }
}

/** The thumbprint of RFC 7638 §3: a hash of the required members in lexical order. */
function thumbprint(jwk: Jwk): string {
  const { crv, e, kty, n, x, y } = jwk
  return createHash('sha256').update(JSON.stringify({ crv, e, kty, n, x, y })).digest('base64url')
}

function readKey(key: unknown, type: 'private' | 'public', name: string): KeyObject {
  const instead = `Give a ${type} key as a KeyObject, a PEM text or a JWK.`
  if (key === undefined || key === '') throw wrongKind(name, undefined, instead)
  const read = type === 'private' ? createPrivateKey : createPublicKey
  try {
    if (key instanceof KeyObject) {
      if (key.type === type) return key
    } else {
      return typeof key === 'string' ? read(key) : read({ key: key as JsonWebKey, format: 'jwk' })
    }
  } catch (cause) {
    // A line of an .env file without quotes keeps them as they are.
    const hasEscapes = typeof key === 'string' && key.includes('\\n')
    const hint = hasEscapes ? " It has a backslash and an n for each new line: add .replaceAll('\\\\n', '\\n')." : ''
    throw new DaypassError('ERR_OPTION_INVALID', `\`${name}\` cannot be read. ${instead}${hint}`, { cause })
  }
  throw wrongKind(name, key, instead)
}

function readSecretKey(key: unknown, name: string): KeyObject {
  if (key instanceof KeyObject) return key
  if (key instanceof Uint8Array) return createSecretKey(key)
  throw wrongKind(name, key, 'Give at least 32 bytes, as a Uint8Array or a KeyObject.')
}

/** @param name The secret, as the message of an error begins. */
function readSecret(secret: unknown, name: string): Buffer {
  if (typeof secret === 'string' && isList(secret)) {
    throw new DaypassError(
      'ERR_OPTION_INVALID',
      `${name} looks like several secrets with commas in between: pass a list, secret.split(',').`,
    )
  }
  const bytes = typeof secret === 'string' || secret instanceof Uint8Array ? Buffer.from(secret) : undefined
  const problem = describeWeakness(secret, bytes)
  if (bytes !== undefined && problem === undefined) return bytes
  throw new DaypassError(
    'ERR_KEY_WEAK',
    `${name} ${problem}. It must be 32 random bytes or more. Make one with \`openssl rand -base64 48\`, and keep it in an environment variable, such as DAYPASS_SECRET.`,
  )
}

/** The weakness of a secret; undefined for a good one. The secret itself is not part of the text. */
function describeWeakness(secret: unknown, bytes: Buffer | undefined): string | undefined {
  if (secret === undefined) return 'is missing'
  if (bytes?.length === 0) return 'is empty'
  if (bytes === undefined) return 'is neither a string nor bytes'
  if (bytes.length < 32) return `has ${bytes.length} bytes`
  const different = new Set(bytes).size
  return different < 8
    ? `has ${bytes.length} bytes, but only ${different} different ones, so it is not random`
    : undefined
}

/** The issuer is part of the derivation: two issuers with the same secret have no key, and so no token, in common. */
function derive(master: Buffer, issuer: string, purpose: string, length: number): Buffer {
  return Buffer.from(hkdfSync('sha256', master, 'daypass v1', `${purpose}\0${issuer}`, length))
}

/** Whether each part between commas could be a secret. Used as one secret, such a list would sign everybody out. */
function isList(text: string): boolean {
  const parts = text.split(',')
  return parts.length > 1 && parts.every((part) => part.trim().length >= 32)
}
