// The examples in the README, the docs and the doc comments compile.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'

const root = join(import.meta.dirname, '../..')

/** The ts blocks of a text, without a comment's asterisks. */
function blocks(text: string): string[] {
  const plain = text.replaceAll(/^ *\* ?/gm, '')
  return [...plain.matchAll(/^```ts\n([\s\S]*?)^```/gm)].map(([, code]) => code!)
}

test('every ts example type-checks against the package as it is', () => {
  const folder = join(root, 'node_modules/.cache/daypass-examples')
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  let count = 0
  for (const file of [
    'README.md',
    ...globSync('docs/*.md', { cwd: root }),
    ...globSync('src/**/*.ts', { cwd: root }),
  ]) {
    for (const code of blocks(readFileSync(join(root, file), 'utf8'))) {
      count++
      const name = `${file.replaceAll(/[/.]/g, '-')}-${count}.ts`
      writeFileSync(join(folder, name), `// ${file}\n${code}\nexport {}\n`)
    }
  }
  assert.ok(count >= 12, `only ${count} examples were found`)
  const config = {
    extends: '../../../tsconfig.json',
    compilerOptions: { noUnusedLocals: false, noUnusedParameters: false, types: ['node'], typeRoots: ['../../@types'] },
    include: ['*.ts'],
  }
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config))
  const { stdout, status } = spawnSync(join(root, 'node_modules/.bin/tsc'), ['-p', folder], { encoding: 'utf8' })
  assert.equal(status, 0, stdout)
})
