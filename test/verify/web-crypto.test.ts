// The verifier without node:crypto, as in browsers and workers: the same tests, the same results.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'
import { node } from '../../src/verify/node.ts'

const root = join(import.meta.dirname, '../..')
const files = [
  'test/verify/access-token.test.ts',
  'test/verify/token-cache.test.ts',
  'test/attacks/tokens.test.ts',
  'test/attacks/vectors.test.ts',
  'test/fuzz/tokens.test.ts',
]
/** Runs Node where `process` has no way to its modules. */
function runWithout(...args: string[]) {
  // The variables of a test runner would make the tests of the other process parts of this one.
  const { NODE_TEST_CONTEXT: _, ...env } = process.env
  const hide = 'data:text/javascript,delete process.getBuiltinModule'
  return spawnSync(process.execPath, ['--import', hide, ...args], {
    cwd: root,
    encoding: 'utf8',
    env: { ...env, FUZZ_RUNS: '0.2' },
  })
}

test('node:crypto verifies in this process, and not in those below', () => {
  assert.ok(node !== undefined)
  const program = `import { node } from './src/verify/node.ts'; console.log(node)`
  assert.equal(runWithout('--input-type=module', '--eval', program).stdout, 'undefined\n')
})

for (const file of files) {
  test(`without node:crypto: ${file}`, () => {
    const { status, stdout } = runWithout('--test-reporter=tap', file)
    assert.equal(status, 0, stdout)
    assert.match(stdout, /^# pass [1-9]/m)
    assert.match(stdout, /^# fail 0$/m)
  })
}
