// docs/server-application.md has each setting of the server application, as its --help has it.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { variables } from '../../server/src/config.ts'

const page = readFileSync(join(import.meta.dirname, '../../docs/server-application.md'), 'utf8')

test('docs/server-application.md has each setting once, with the words of --help', () => {
  const [, settings = ''] = page.split(/^## /m)
  const documented = [...settings.matchAll(/^\| `([A-Z_]+)` \| (.*) \|$/gm)].map(([, name, text]) => [name, text])
  assert.deepEqual(documented, Object.entries(variables))
})
