// `npm run soak` works: three seconds of it, which test the script and not for leaks.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'

const script = join(import.meta.dirname, '../../scripts/soak.ts')

test('three seconds of soaking: refreshes, no error, a table of growth', { timeout: 60_000 }, async () => {
  const soak = spawn(process.execPath, [script, '--seconds', '3', '--every', '1', '--rate', '60', '--engine', 'memory'])
  const [printed, complaints] = await Promise.all([text(soak.stdout), text(soak.stderr)])
  assert.equal(soak.exitCode ?? (await new Promise((resolve) => soak.once('exit', resolve))), 0, printed + complaints)
  assert.match(
    printed,
    /^ +\d+ s +\d+ refreshes\/s {2}rss [\d.]+ MB {2}heap [\d.]+ MB {2}loop p50 .* processor [\d.]+ ms {2}handles \d+ {2}files \d+ {2}errors 0$/m,
  )
  const [, refreshes] = /(\d+) refreshes, .*, 0 errors$/m.exec(printed)!
  assert.ok(Number(refreshes) > 30, printed)
  for (const name of ['rss', 'heap', 'loop p99', 'processor a refresh', 'handles', 'files', 'errors'])
    assert.match(printed, new RegExp(`^\\| ${name} \\| `, 'm'))
})
