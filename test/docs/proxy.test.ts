// docs/proxy.md, as printed: the nginx and the app of the page know the caller and that the connection is encrypted.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { request } from 'node:https'
import { join } from 'node:path'
import { test } from 'node:test'
import { nginxMissing, startNginx } from '../engines/nginx.ts'
import { listen } from '../http/server.ts'
import { createProject, readSnippet } from './project.ts'

const page = readFileSync(join(import.meta.dirname, '../../docs/proxy.md'), 'utf8')
const [, lines = ''] = /```nginx\n([\s\S]*?)```/.exec(page) ?? []
process.env.DAYPASS_SECRET = randomBytes(48).toString('base64')

test('behind the nginx of the page', { skip: nginxMissing }, async (t) => {
  const printed = readSnippet('docs/proxy.md', 'server.ts').replace("'./data/daypass.db'", "':memory:'")
  const trust = /^app\.set\('trust proxy'.*$/m
  const { write } = createProject(t, ['express'])
  const warnings = t.mock.method(console, 'warn', () => {})
  for (const [file, code, ip] of [
    ['server.ts', printed, '127.0.0.2'],
    ['trusting-nobody.ts', printed.replace(trust, ''), '127.0.0.1'],
  ] as const) {
    const { app } = await import(write(file, code))
    const server = await listen(app)
    t.after(() => server.close())
    const nginx = await startNginx(lines.replace(':3000', `:${server.port}`), { tls: true })
    t.after(() => nginx.remove())
    const body = JSON.stringify({ name: 'ada', password: 'secret' })
    const headers = { host: 'app.test', 'sec-fetch-site': 'same-origin', 'content-type': 'application/json' }
    const options = { port: nginx.port, path: '/auth/login', method: 'POST', headers, localAddress: '127.0.0.2' }
    const response = await new Promise<{ json: any; cookie: string }>((resolve, reject) => {
      const req = request({ host: '127.0.0.1', ...options, rejectUnauthorized: false }, async (res) => {
        const json = JSON.parse(Buffer.concat(await res.toArray()).toString())
        resolve({ json, cookie: String(res.headers['set-cookie']) })
      })
      req.once('error', reject).end(body)
    })
    assert.match(response.cookie, /^__Host-daypass=.*; Secure/)
    assert.equal(response.json.session.device.ip, ip, file)
    // Only the set-up without the line is warned about.
    assert.equal(warnings.mock.callCount(), ip === '127.0.0.2' ? 0 : 1)
  }
})
