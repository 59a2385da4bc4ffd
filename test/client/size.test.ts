// The bytes that a page loads: the published files, bundled, minified and gzipped.

import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { build, type Rollup } from 'vite'

const root = join(import.meta.dirname, '../..')

/** The size of a page's script that has all of these files' exports in it; what they import by name is not counted. */
async function measure(...files: string[]): Promise<number> {
  const entry = '\0entry'
  const paths = files.map((file) => join(root, 'dist/client', file))
  for (const path of paths) assert.ok(existsSync(path), `${path} is not built: npm run build`)
  const result = (await build({
    configFile: false,
    logLevel: 'silent',
    plugins: [
      {
        name: 'entry',
        resolveId: (id) => (id === entry ? id : null),
        load: (id) => (id === entry ? paths.map((path) => `export * from ${JSON.stringify(path)}`).join('\n') : null),
      },
    ],
    build: {
      write: false,
      minify: true,
      modulePreload: false,
      rollupOptions: { input: entry, external: /^[a-z]/, preserveEntrySignatures: 'strict' },
    },
  })) as Rollup.RollupOutput
  const chunks = result.output.filter((part) => part.type === 'chunk')
  assert.equal(chunks.length, 1)
  assert.match(chunks[0]!.code, /export\{/)
  return gzipSync(chunks[0]!.code, { level: 9 }).length
}

test('daypass/client is 5.5 kB at most, the wake-up timer and all errors and guards among them', async (t) => {
  const size = await measure('index.js')
  t.diagnostic(`daypass/client: ${size} bytes`)
  assert.ok(size <= 5510, `${size} bytes`)
  assert.ok(size > 2000, 'that cannot be all of it')
})

for (const [file, most] of [
  ['axios.js', 775],
  ['react.js', 110],
  ['streams.js', 1640],
] as const) {
  test(`daypass/${file.slice(0, -3)} is ${most} bytes at most on top of it`, async (t) => {
    const size = (await measure('index.js', file)) - (await measure('index.js'))
    t.diagnostic(`daypass/${file.slice(0, -3)}: ${size} bytes`)
    assert.ok(size <= most, `${size} bytes`)
    assert.ok(size > 10, 'that cannot be all of it')
  })
}
