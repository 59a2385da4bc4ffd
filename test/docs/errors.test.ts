// The table of errors in the code and the one in docs/errors.md are equal.

import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { clientErrors } from '../../src/client/errors.ts'
import { errorKinds } from '../../src/errors.ts'
import { warningCodes } from '../../src/warn.ts'

const root = join(import.meta.dirname, '../..')
const page = readFileSync(join(root, 'docs/errors.md'), 'utf8')
const rows = [...page.matchAll(/^\| `(ERR_\w+)` \| ([^|]*) \|/gm)]

test('docs/errors.md has each code of the server once, with its status and its error', () => {
  const documented = Object.fromEntries(rows.map(([, code, answer]) => [code, answer!.trim()]))
  const expected = Object.entries(errorKinds).map(([code, { status, error }]) => [
    code,
    error === '' ? `${status}` : `${status} \`${error}\``,
  ])
  for (const code of Object.keys(clientErrors)) expected.push([code, 'client'])
  assert.deepEqual(documented, Object.fromEntries(expected))
  assert.equal(rows.length, expected.length)
})

test('docs/errors.md has each code of a warning once', () => {
  const documented = [...page.matchAll(/^\| `(DAYPASS_\w+)` \|/gm)].map(([, code]) => code)
  assert.deepEqual(documented.sort(), [...warningCodes].sort())
})

test('each code is used somewhere, and no code throws a bare Error', () => {
  const sources = globSync(['src/{core,http,adapters,stores,verify,client}/**/*.ts', 'server/src/*.ts'], { cwd: root })
  const text = sources
    .filter((file) => !/(errors|warn)\.ts$/.test(file))
    .map((file) => readFileSync(join(root, file), 'utf8'))
    .join('\n')
  for (const code of [...Object.keys(errorKinds), ...Object.keys(clientErrors)]) {
    assert.ok(text.includes(`'${code}'`), `${code} is never thrown`)
  }
  for (const code of warningCodes) assert.ok(text.includes(`'${code}'`), `${code} is never reported`)
  assert.doesNotMatch(text, /throw new (Error|TypeError|RangeError)\(/)
})
