// The format of a refresh token: fixed, canonical, and invalid if a single bit differs.

import assert from 'node:assert/strict'
import { createHmac, hkdfSync, randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { createHmacSha256 } from '../../src/core/hmac.ts'
import { createKeys } from '../../src/core/keys.ts'
import {
  childSalt,
  hashIdempotencyKey,
  isTagged,
  mintRefreshToken,
  parseRefreshToken,
} from '../../src/core/refresh-token.ts'
import { makeSession } from '../../src/testing/store-harness.ts'

const issuer = 'https://id.example'
const secret = Buffer.from(Array.from({ length: 32 }, (_, index) => index))
const session = makeSession(0, {
  id: Buffer.alloc(16, 0xab).toString('base64url'),
  secret: new Uint8Array(16).fill(0xcd),
  generation: 0x01020304,
})
const salt = Uint8Array.from([0xe0, 0xe1, 0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7])
const { proofKeys } = createKeys(secret, issuer, 'EdDSA')
const token = mintRefreshToken(session, session.generation, salt, proofKeys[0]!)

// Made by the first version from all of the above.
const fixedToken = 'dpr_Ab2rq6urq6urq6urq6urq6urAQIDBODh4uPk5ebnVVatcJFqaPUHT3Bl5pQ5zrE7BwnVnXNK26CM_RI0Uoo'

const hmac = (key: Uint8Array, ...data: Uint8Array[]) => createHmac('sha256', key).update(Buffer.concat(data)).digest()
const derive = (purpose: string, length: number) =>
  Buffer.from(hkdfSync('sha256', secret, 'daypass v1', `${purpose}\0${issuer}`, length))

test('the layout is version 1, key id 1, session id 16, generation 4, salt 8, tag 16, proof 16', () => {
  const head = Buffer.concat([
    Buffer.of(1),
    derive('refresh token key id', 1),
    Buffer.alloc(16, 0xab),
    Buffer.of(1, 2, 3, 4),
    salt,
  ])
  // Computed with node:crypto alone, as docs/protocol.md says.
  const tag = hmac(session.secret, head).subarray(0, 16)
  const proof = hmac(derive('refresh token proof', 32), head, tag).subarray(0, 16)
  const expected = Buffer.concat([head, tag, proof])
  assert.equal(expected.length, 62)
  assert.equal(token, `dpr_${expected.toString('base64url')}`)
})

test('a token made today is read by every later version: a fixed vector', () => {
  // Changing this line signs out everyone.
  assert.equal(token, fixedToken)
  const parsed = parseRefreshToken(fixedToken, proofKeys)
  assert.ok(parsed)
  assert.equal(parsed.sessionId, session.id)
  assert.equal(parsed.generation, session.generation)
  assert.deepEqual(new Uint8Array(parsed.salt), salt)
  assert.ok(isTagged(parsed, session))
})

test('a keyed child’s salt depends on generation, parent salt, key and session, and on nothing else', () => {
  const key = hashIdempotencyKey('k'.repeat(22))
  const expected = hmac(session.secret, Buffer.from('daypass child'), Buffer.of(1, 2, 3, 4), salt, key).subarray(0, 8)
  assert.deepEqual(Buffer.from(childSalt(session, key, salt)), expected)
  assert.deepEqual(childSalt({ ...session, rotatedAt: 1, burstAt: 9 }, key, salt), childSalt(session, key, salt))
  const others = [
    childSalt({ ...session, generation: 1 }, key, salt),
    childSalt({ ...session, secret: randomBytes(16) }, key, salt),
    childSalt(session, hashIdempotencyKey('other'), salt),
    childSalt(session, key, new Uint8Array(8)),
  ]
  for (const other of others) assert.notDeepEqual(Buffer.from(other), expected)
})

test('all of generation 0 to 2³²−2 are written and read', () => {
  for (const generation of [0, 1, 255, 256, 65_536, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe]) {
    const text = mintRefreshToken(session, generation, salt, proofKeys[0]!)
    assert.equal(parseRefreshToken(text, proofKeys)?.generation, generation)
  }
})

test('every single-bit flip of a token’s bytes is rejected', () => {
  const bytes = Buffer.from(token.slice(4), 'base64url')
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const flipped = Buffer.from(bytes)
    flipped[bit >> 3]! ^= 1 << (bit & 7)
    assert.equal(parseRefreshToken(`dpr_${flipped.toString('base64url')}`, proofKeys), null, `bit ${bit}`)
  }
})

test('every other character at every position of a token is rejected', () => {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/=. \n'
  for (let at = 0; at < token.length; at++) {
    for (const character of alphabet) {
      if (character === token[at]) continue
      const changed = token.slice(0, at) + character + token.slice(at + 1)
      assert.equal(parseRefreshToken(changed, proofKeys), null, JSON.stringify(changed))
    }
  }
})

test('a token has one encoding: padding, standard base64, whitespace, stray bits and case are rejected', () => {
  const encoded = token.slice(4)
  const last = encoded.at(-1)!
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  // 62 bytes leave two stray bits in the last character: four encodings for a lenient decoder.
  const strays = [1, 2, 3].map((bits) => encoded.slice(0, -1) + alphabet[alphabet.indexOf(last) | bits])
  for (const stray of strays) {
    assert.deepEqual(Buffer.from(stray, 'base64url'), Buffer.from(encoded, 'base64url'), 'the same bytes')
  }
  const standard = encoded.replaceAll('-', '+').replaceAll('_', '/')
  const spellings = [
    ...strays,
    `${encoded}=`,
    `${encoded}==`,
    ` ${encoded}`,
    `${encoded}\n`,
    `${encoded}.`,
    encoded.toLowerCase(),
  ]
  if (standard !== encoded) spellings.push(standard)
  for (const spelling of spellings) assert.equal(parseRefreshToken(`dpr_${spelling}`, proofKeys), null, spelling)
  for (const whole of [
    encoded,
    `DPR_${encoded}`,
    `dpr-${encoded}`,
    ` ${token}`,
    `${token} `,
    `Bearer ${token}`,
    token + token,
  ]) {
    assert.equal(parseRefreshToken(whole, proofKeys), null, whole)
  }
})

test('every truncation and extension of a token is rejected', () => {
  for (let length = 0; length < token.length; length++) {
    assert.equal(parseRefreshToken(token.slice(0, length), proofKeys), null)
    assert.equal(parseRefreshToken(token.slice(length + 1), proofKeys), null)
  }
  assert.equal(parseRefreshToken(`${token}A`, proofKeys), null)
  assert.equal(parseRefreshToken(`dpr_${'A'.repeat(1_000_000)}`, proofKeys), null)
})

test('a value that is not a string is rejected without a crash', () => {
  const strange = [
    undefined,
    null,
    0,
    1n,
    true,
    {},
    [],
    [token],
    { $ne: null },
    Buffer.from(token),
    Symbol('x'),
    () => token,
  ]
  for (const value of strange) assert.equal(parseRefreshToken(value, proofKeys), null)
  assert.equal(parseRefreshToken({ length: token.length, startsWith: () => true, slice: () => token }, proofKeys), null)
})

test('a token of another version is rejected, though its proof is valid', () => {
  const bytes = Buffer.from(token.slice(4), 'base64url')
  bytes[0] = 2
  hmac(derive('refresh token proof', 32), bytes.subarray(0, 46)).copy(bytes, 46, 0, 16)
  assert.equal(parseRefreshToken(`dpr_${bytes.toString('base64url')}`, proofKeys), null)
})

test('a token of another key is rejected, also under the same key id', () => {
  const other = createKeys(randomBytes(32), issuer, 'EdDSA').proofKeys
  assert.equal(parseRefreshToken(token, other), null)
  assert.equal(parseRefreshToken(token, [{ id: proofKeys[0]!.id, hmac: createHmacSha256(randomBytes(32)) }]), null)
  assert.equal(parseRefreshToken(token, []), null)
})

test('two secrets with the same key id both work, in either order', () => {
  const twin = findTwin(proofKeys[0]!.id)
  const twins = createKeys(twin, issuer, 'EdDSA').proofKeys
  assert.equal(twins[0]!.id, proofKeys[0]!.id)
  const ofTwin = mintRefreshToken(session, 1, salt, twins[0]!)
  assert.notEqual(ofTwin, mintRefreshToken(session, 1, salt, proofKeys[0]!))
  for (const keys of [createKeys([secret, twin], issuer, 'EdDSA'), createKeys([twin, secret], issuer, 'EdDSA')]) {
    assert.ok(parseRefreshToken(token, keys.proofKeys))
    assert.ok(parseRefreshToken(ofTwin, keys.proofKeys))
  }
  assert.equal(parseRefreshToken(ofTwin, proofKeys), null)
})

test('the tag depends on the session’s secret, id and generation', () => {
  const parsed = parseRefreshToken(token, proofKeys)!
  assert.equal(isTagged(parsed, { ...session, secret: randomBytes(16) }), false)
  const ofOther = parseRefreshToken(
    mintRefreshToken({ ...session, secret: randomBytes(16) }, 1, salt, proofKeys[0]!),
    proofKeys,
  )!
  assert.equal(isTagged(ofOther, session), false)
})

/** Another secret with the same key id: one in 256. */
function findTwin(id: number): Buffer {
  for (;;) {
    const candidate = randomBytes(32)
    if (createKeys(candidate, issuer, 'HS256').proofKeys[0]!.id === id) return candidate
  }
}
