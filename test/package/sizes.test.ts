// README's table has the size of every entry.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { measure } from './measure.ts'

const root = join(import.meta.dirname, '../..')
const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
const readme = readFileSync(join(root, 'README.md'), 'utf8')
const table = /^\| entry \| kB \|\n\|---\|---\|\n((?:\|.*\n)+)/m.exec(readme)?.[1] ?? ''
const said = new Map([...table.matchAll(/^\| `(\S+)` \| (\d+\.\d) \|$/gm)].map(([, name, kB]) => [name!, Number(kB)]))

test('README has the size of every entry, within 5 % or 100 bytes', { timeout: 300_000 }, async (t) => {
  const sizes = new Map<string, number>()
  for (const [path, { default: file }] of Object.entries<{ default?: string }>(exports)) {
    if (!file) continue
    const size = await measure(file.replace('./dist/', ''))
    sizes.set(path.replace(/^\./, 'daypass'), size / 1000)
  }
  const lines = [...sizes].map(([name, kB]) => `| \`${name}\` | ${kB.toFixed(1)} |`)
  for (const line of lines) t.diagnostic(line)
  assert.deepEqual([...said.keys()], [...sizes.keys()], `the table is to be:\n${lines.join('\n')}`)
  for (const [name, kB] of sizes) {
    const off = Math.abs(said.get(name)! - kB)
    assert.ok(off <= Math.max(0.1, kB / 20), `${name} is ${kB.toFixed(1)} kB, and README says ${said.get(name)}`)
  }
})
