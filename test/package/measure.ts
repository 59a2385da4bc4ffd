// Measures the bytes of published files: bundled, minified and gzipped.

import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { build, type Rollup } from 'vite'

const root = join(import.meta.dirname, '../..')

/** The size of one script with all exports of these files of dist/. Packages that they import by name are not counted. */
export async function measure(...files: string[]): Promise<number> {
  const entry = '\0entry'
  const paths = files.map((file) => join(root, 'dist', file))
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
      rollupOptions: { input: entry, external: /^[a-z@]/, preserveEntrySignatures: 'strict' },
    },
  })) as Rollup.RollupOutput
  const chunks = result.output.filter((part) => part.type === 'chunk')
  assert.equal(chunks.length, 1)
  assert.match(chunks[0]!.code, /export\{/)
  return gzipSync(chunks[0]!.code, { level: 9 }).length
}
