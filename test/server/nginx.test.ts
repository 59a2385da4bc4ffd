// The server application behind nginx, set up as docs/server-application.md says.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { request } from 'node:https'
import { join } from 'node:path'
import { test } from 'node:test'
import { nginxMissing, startNginx } from '../engines/nginx.ts'
import { startServerProcess } from './process.ts'

const page = readFileSync(join(import.meta.dirname, '../../docs/server-application.md'), 'utf8')
const [, lines = ''] = /```nginx\n([\s\S]*?)```/.exec(page) ?? []

/** Posts JSON through nginx, from an address of this machine. */
function post(port: number, path: string, body: object, localAddress: string) {
  const headers = { host: 'app.test', 'sec-fetch-site': 'same-origin', 'content-type': 'application/json' }
  return new Promise<{ status: number; cookies: string[] }>((resolve, reject) => {
    const options = { port, path, method: 'POST', headers, localAddress, rejectUnauthorized: false }
    const req = request({ host: '127.0.0.1', ...options }, (res) => {
      res.resume().once('end', () => resolve({ status: res.statusCode!, cookies: res.headers['set-cookie'] ?? [] }))
    })
    req.once('error', reject)
    req.end(JSON.stringify(body))
  })
}

test('the cookies are Secure, and each caller has separate limits', { skip: nginxMissing }, async (t) => {
  const server = await startServerProcess({ DAYPASS_STORE: 'memory:', DAYPASS_TRUSTED_PROXIES: '127.0.0.1' })
  t.after(() => server.remove())
  assert.match(lines, /http:\/\/127\.0\.0\.1:3000/)
  const nginx = await startNginx(
    lines.replace('http://127.0.0.1:3000', `http://127.0.0.1:${new URL(server.url).port}`),
    {
      tls: true,
    },
  )
  t.after(() => nginx.remove())
  const ada = { email: 'ada@example.com', password: 'correct horse battery' }
  const { status, cookies } = await post(nginx.port, '/auth/register', ada, '127.0.0.2')
  assert.equal(status, 200)
  assert.deepEqual(cookies.map((cookie) => cookie.split('=')[0]).sort(), ['__Host-daypass', 'daypass-device'])
  for (const cookie of cookies) assert.match(cookie, /; Secure/)
  const guess = { ...ada, password: 'a wrong guess' }
  for (let n = 0; n < 10; n++) assert.equal((await post(nginx.port, '/auth/login', guess, '127.0.0.3')).status, 401)
  assert.equal((await post(nginx.port, '/auth/login', ada, '127.0.0.3')).status, 429)
  assert.equal((await post(nginx.port, '/auth/login', ada, '127.0.0.2')).status, 200)
})
