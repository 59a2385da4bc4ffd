// docs/keys.md: each command makes a key that signs.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { createDaypass, type SigningKey } from '../../src/index.ts'
import { createMemoryStore } from '../../src/stores/memory.ts'

const page = readFileSync(join(import.meta.dirname, '../../docs/keys.md'), 'utf8')
const command = /^export SIGNING_KEY=.*$/m.exec(page)?.[0] ?? ''
const [es256 = '', ...others] = [...page.matchAll(/-algorithm \w+(?: -pkeyopt [\w:.-]+)?/g)].map(([options]) => options)

for (const [algorithm, options] of Object.entries({ ES256: es256, EdDSA: others[0] ?? '', RS256: others[1] ?? '' })) {
  test(`the printed command makes a key for ${algorithm}, also where it is kept on one line`, async () => {
    assert.ok(command.includes(es256) && options !== '')
    const script = `${command.replace(es256, options)}\nprintf %s "$SIGNING_KEY"`
    const pem = execFileSync('bash', ['-ec', script], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
    const line = pem.replaceAll('\n', '\\n')
    for (const privateKey of [pem, line.replaceAll('\\n', '\n')]) {
      const auth = createDaypass({
        secret: randomBytes(32),
        issuer: 'https://example.com',
        store: createMemoryStore(),
        signingKeys: [{ algorithm, privateKey } as SigningKey],
      })
      const { accessToken } = await auth.issue('ada')
      assert.equal(JSON.parse(String(Buffer.from(accessToken.split('.')[0] ?? '', 'base64url'))).alg, algorithm)
    }
  })
}
