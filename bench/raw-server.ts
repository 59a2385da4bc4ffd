// The raw twin: a bare node:http server that does the same cryptography as Daypass, and nothing else.
//
// It has no routes, no checks of origin, type or size, no events and no typed errors. Its store is a Map of numbers, or an
// engine with the library's statement (raw-stores.ts). It runs on node:http alone, or behind Express. Its cryptography is
// Daypass's own, so the ratio shows what everything else costs.

import { createHmac, createPrivateKey, createSecretKey, hash, type KeyObject, sign } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import express from 'express'
import { hmacSha256 } from '../src/core/hmac.ts'
import { randomBytes } from '../src/core/random.ts'
import { fixedResponse } from './fixed-route.ts'
import { openRawStore, type RawRow } from './raw-stores.ts'
import { readSettings, sayListening } from './settings.ts'

const settings = readSettings()
const { algorithm } = settings
const proofKey = createSecretKey(randomBytes(32))
const accessKey = algorithm === 'EdDSA' ? ed25519Key() : createSecretKey(randomBytes(32))
const header = `${encode({ alg: algorithm, typ: 'at+jwt', kid: text(randomBytes(32)) })}.`
const store = await openRawStore(settings)

const handlers: Record<string, (text: string, req: IncomingMessage, res: ServerResponse) => void> = {
  // The cost of HTTP and JSON alone.
  '/auth/fixed'(text, _req, res) {
    JSON.parse(text)
    answer(res, 200, JSON.stringify(fixedResponse))
  },
  '/admin/sessions': async (text, _req, res) => answer(res, 200, JSON.stringify(await issue(JSON.parse(text).subject))),
  '/auth/refresh'(text, req, res) {
    const send = (issued: object | null) => answer(res, issued === null ? 401 : 200, JSON.stringify(issued))
    const issued = refresh(JSON.parse(text).refreshToken, req.headers['idempotency-key'] as string | undefined)
    if (issued instanceof Promise) issued.then(send)
    else send(issued)
  },
}

/** Reads the body, and calls the handler of the path. */
function handle(req: IncomingMessage, res: ServerResponse): void {
  const handler = handlers[req.url!]!
  let body = ''
  req.setEncoding('utf8')
  req.on('data', (chunk: string) => {
    body += chunk
  })
  req.on('end', () => handler(body, req, res))
}

const app = express()
for (const path of Object.keys(handlers)) app.post(path, handle)
const server = createServer(settings.framework === 'express' ? app : handle)
server.listen(0, '127.0.0.1', () => sayListening((server.address() as AddressInfo).port))

function answer(res: ServerResponse, status: number, text: string): void {
  const headers = {
    'cache-control': 'no-store',
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
  }
  res.writeHead(status, headers).end(text)
}

async function issue(subject: string) {
  const id = randomBytes(16)
  const row = { subject, generation: 0, secret: randomBytes(16) }
  await store.create(id, row)
  return tokens(id, row, randomBytes(8))
}

/** Not a promise where the store has none: a microtask less. */
function refresh(refreshToken: string, idempotencyKey: string | undefined) {
  const token = Buffer.from(refreshToken.slice(4), 'base64url')
  if (!prove(token.subarray(0, 46)).equals(token.subarray(46))) return null
  const key = idempotencyKey === undefined ? null : keyOf(idempotencyKey)
  const id = token.subarray(2, 18)
  const issue = (row: RawRow | undefined) => {
    if (row === undefined || !tag(row, token.subarray(0, 30)).equals(token.subarray(30, 46))) return null
    const salt = key === null ? randomBytes(8) : hmacSha256(row.secret, token.subarray(18, 30), key).subarray(0, 8)
    return tokens(id, row, salt)
  }
  const row = store.advance({ id, generation: token.readUInt32BE(18), salt: token.subarray(22, 30), key })
  return row instanceof Promise ? row.then(issue) : issue(row)
}

const keyOf = (text: string) => Buffer.from(hash('sha256', text, 'binary'), 'binary').subarray(0, 16)

function tokens(id: Uint8Array, row: RawRow, salt: Uint8Array) {
  const token = Buffer.allocUnsafe(62)
  token[0] = 1
  token[1] = 1
  token.set(id, 2)
  token.writeUInt32BE(row.generation, 18)
  token.set(salt, 22)
  token.set(tag(row, token.subarray(0, 30)), 30)
  token.set(prove(token.subarray(0, 46)), 46)
  return {
    accessToken: accessToken(text(id), row.subject),
    tokenType: 'Bearer',
    expiresIn: 900,
    refreshToken: `dpr_${token.toString('base64url')}`,
  }
}

function accessToken(sessionId: string, subject: string): string {
  const iat = Math.floor(Date.now() / 1000)
  const input =
    header +
    encode({
      iss: 'http://localhost:12345',
      sub: subject,
      aud: 'http://localhost:12345',
      client_id: 'first-party',
      iat,
      exp: iat + 900,
      jti: text(randomBytes(16)),
      sid: sessionId,
      auth_time: iat,
    })
  const signature =
    algorithm === 'EdDSA'
      ? sign(null, Buffer.from(input), accessKey)
      : createHmac('sha256', accessKey).update(input).digest()
  return `${input}.${signature.toString('base64url')}`
}

function tag(row: RawRow, data: Uint8Array): Buffer {
  return hmacSha256(row.secret, data).subarray(0, 16)
}

function prove(data: Uint8Array): Buffer {
  return createHmac('sha256', proofKey).update(data).digest().subarray(0, 16)
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64url')
}

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}

function ed25519Key(): KeyObject {
  const der = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), randomBytes(32)])
  return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
}
