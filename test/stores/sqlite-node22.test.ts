// The SQLite store works with the node:sqlite of the oldest Node that package.json names.

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { existsSync, globSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'

const root = join(import.meta.dirname, '../..')
const node = join(root, '.cache/node22/node_modules/.bin/node')
const skip = existsSync(node)
  ? false
  : 'not run: Node 22 is not installed (npm install --prefix .cache/node22 node@22.18.0)'

test('SQLite on Node 22: the contract and the tests of SQLite', {
  skip,
  timeout: 280_000,
}, async (t) => {
  const files = globSync(['test/stores/sqlite*.test.ts', 'test/stores/contract.test.ts'], { cwd: root })
  const others = files.filter((file) => !file.endsWith('node22.test.ts'))
  assert.ok(others.length >= 6)
  // Without this variable, the inner test run does not report to the outer one.
  const { NODE_TEST_CONTEXT: _, ...env } = process.env
  const { stdout: version } = await promisify(execFile)(node, ['--version'])
  assert.match(version, /^v22\./)
  const args = ['--test', '--test-reporter=tap', ...others]
  const { stdout } = await promisify(execFile)(node, args, { cwd: root, env, maxBuffer: 1 << 26 }).catch((error) => {
    const failed = String(error.stdout)
      .split('\n')
      .filter((line) => /^\s*not ok/.test(line))
    throw new Error(`on Node ${version}:\n${failed.join('\n')}`)
  })
  t.diagnostic(`engine: SQLite on Node ${version.trim()}, ${/^# pass \d+/m.exec(stdout)?.[0].slice(2)}`)
})
