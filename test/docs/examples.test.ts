// The examples in the README, the docs and the doc comments compile.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { isOfExample, snippetsOf } from './project.ts'

const root = join(import.meta.dirname, '../..')

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
    for (const snippet of snippetsOf(readFileSync(join(root, file), 'utf8'))) {
      count++
      if (isOfExample(snippet)) continue
      // A snippet with a name in its first line may be imported by the others of its page.
      const page = file.replaceAll(/[/.]/g, '-')
      const path = join(folder, page, snippet.file ?? `${count}.${snippet.isJsx ? 'tsx' : 'ts'}`)
      mkdirSync(dirname(path), { recursive: true })
      writeFileSync(path, `${snippet.code}\nexport {}\n`)
    }
  }
  assert.ok(count >= 12, `only ${count} examples were found`)
  const config = {
    extends: '../../../tsconfig.json',
    compilerOptions: {
      noUnusedLocals: false,
      noUnusedParameters: false,
      types: ['node'],
      typeRoots: ['../../@types'],
      jsx: 'react-jsx',
      // As in an app of NestJS.
      experimentalDecorators: true,
      erasableSyntaxOnly: false,
    },
    include: ['**/*'],
    exclude: [],
  }
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config))
  const { stdout, status } = spawnSync(join(root, 'node_modules/.bin/tsc'), ['-p', folder], { encoding: 'utf8' })
  assert.equal(status, 0, stdout)
})
