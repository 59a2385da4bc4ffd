// The raw twin: a bare node:http server that does the same cryptography as Daypass, and nothing else.
//
// It has no routes, no checks of origin, type or size, no events and no typed errors. Its store is a Map of numbers. Its
// cryptography is Daypass's own, so the ratio shows what everything else costs.

import { createHmac, createPrivateKey, createSecretKey, hash, type KeyObject, sign } from 'node:crypto'
import { createServer, type ServerResponse } from 'node:http'
import { hmacSha256 } from '../src/core/hmac.ts'
import { randomBytes } from '../src/core/random.ts'

const algorithm = process.argv[2]
const proofKey = createSecretKey(randomBytes(32))
const accessKey = algorithm === 'EdDSA' ? ed25519Key() : createSecretKey(randomBytes(32))
const header = `${encode({ alg: algorithm, typ: 'at+jwt', kid: text(randomBytes(32)) })}.`
const rows = new Map<string, Row>()

interface Row {
  subject: string
  generation: number
  secret: Uint8Array
}

const server = createServer((req, res) => {
  let body = ''
  req.setEncoding('utf8')
  req.on('data', (chunk: string) => {
    body += chunk
  })
  req.on('end', () => {
    // Constant bytes without any work: the cost of HTTP alone.
    if (req.url === '/fixed') return answer(res, 200, fixed)
    if (req.url === '/admin/sessions') return answer(res, 200, JSON.stringify(issue(JSON.parse(body).subject)))
    const tokens = refresh(JSON.parse(body).refreshToken, req.headers['idempotency-key'] as string | undefined)
    if (tokens === null) return answer(res, 401, '{}')
    answer(res, 200, JSON.stringify(tokens))
  })
})
const fixed = JSON.stringify({ ...issue('fixed'), session: 'x'.repeat(200) })
server.listen(0, '127.0.0.1', () => {
  const { port } = server.address() as { port: number }
  console.log(JSON.stringify({ message: 'listening', url: `http://localhost:${port}` }))
})

function answer(res: ServerResponse, status: number, text: string): void {
  const headers = {
    'cache-control': 'no-store',
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
  }
  res.writeHead(status, headers).end(text)
}

function issue(subject: string) {
  const id = randomBytes(16)
  const row = { subject, generation: 0, secret: randomBytes(16) }
  rows.set(text(id), row)
  return tokens(id, row, randomBytes(8))
}

function refresh(refreshToken: string, idempotencyKey: string | undefined) {
  const token = Buffer.from(refreshToken.slice(4), 'base64url')
  if (!prove(token.subarray(0, 46)).equals(token.subarray(46))) return null
  const row = rows.get(token.toString('base64url', 2, 18))
  if (row === undefined || !tag(row, token.subarray(0, 30)).equals(token.subarray(30, 46))) return null
  // The compare-and-set.
  if (row.generation !== token.readUInt32BE(18)) return null
  row.generation++
  if (idempotencyKey === undefined) return tokens(token.subarray(2, 18), row, randomBytes(8))
  const key = Buffer.from(hash('sha256', idempotencyKey, 'binary'), 'binary').subarray(0, 16)
  const salt = hmacSha256(row.secret, token.subarray(18, 30), key)
  return tokens(token.subarray(2, 18), row, salt.subarray(0, 8))
}

function tokens(id: Uint8Array, row: Row, salt: Uint8Array) {
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

function tag(row: Row, data: Uint8Array): Buffer {
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
