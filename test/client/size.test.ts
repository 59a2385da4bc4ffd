// The bytes that a page loads: the published files, bundled, minified and gzipped.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { measure } from '../package/measure.ts'

test('daypass/client is 5.5 kB at most, the wake-up timer and all errors and guards among them', async (t) => {
  const size = await measure('client/index.js')
  t.diagnostic(`daypass/client: ${size} bytes`)
  assert.ok(size <= 5520, `${size} bytes`)
  assert.ok(size > 2000, 'that cannot be all of it')
})

for (const [file, most] of [
  ['axios.js', 775],
  ['react.js', 110],
  ['streams.js', 1640],
] as const) {
  test(`daypass/${file.slice(0, -3)} is ${most} bytes at most on top of it`, async (t) => {
    const size = (await measure('client/index.js', `client/${file}`)) - (await measure('client/index.js'))
    t.diagnostic(`daypass/${file.slice(0, -3)}: ${size} bytes`)
    assert.ok(size <= most, `${size} bytes`)
    assert.ok(size > 10, 'that cannot be all of it')
  })
}
