// The commands of CONTRIBUTING that other tests do not run: each starts, does a little, and ends well.

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'

const root = join(import.meta.dirname, '../..')
const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))

const commands: Record<string, { args: string[]; prints: RegExp }> = {
  capacity: { args: ['--engine', 'sqlite', '--sessions', '50', '--refreshes', '2'], prints: /bytes a session/ },
  bench: { args: ['--only', 'store', '--seconds', '0.5'], prints: /of autocommit/ },
  model: { args: ['--only', 'lifetimes that end'], prints: /All properties hold, and every mutant is caught/ },
  sim: { args: ['--from', '1', '--seeds', '4'], prints: /Everything held/ },
}

for (const [name, { args, prints }] of Object.entries(commands)) {
  test(`npm run ${name}`, { timeout: 600_000 }, async () => {
    const [, file] = /^node (\S+\.ts)$/.exec(scripts[name]) ?? []
    assert.ok(file, `${name} is a script of package.json`)
    const { stdout } = await promisify(execFile)(process.execPath, [file, ...args], { cwd: root })
    assert.match(stdout, prints)
  })
}
