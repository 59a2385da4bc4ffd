// Printed commands work on Node 20, which `npm ci` takes: `npx node` is the Node 24 that it brings.

import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'

const root = join(import.meta.dirname, '../..')

test('comments and pages run the files of the repository with npx node', () => {
  const files = globSync(['*.md', 'docs/*.md', '{bench,examples,proof,scripts,server/src,src,test}/**/*.ts'], {
    cwd: root,
    exclude: (name) => name === 'node_modules',
  })
  const commands = files.flatMap((file) =>
    readFileSync(join(root, file), 'utf8')
      .split('\n')
      .filter((line) => file.endsWith('.md') || /^\s*(?:\/\/|\*|\/\*\*)/.test(line))
      // server/dist runs where it is deployed, on a Node of that machine.
      .flatMap(
        (line) => line.match(/(?:npx )?\bnode (?:-\S+ )*(?:bench|examples|proof|scripts|server\/src|test)\/\S+/g) ?? [],
      )
      .map((command) => `${file}: ${command}`),
  )
  assert.ok(commands.length > 15, commands.join('\n'))
  assert.deepEqual(
    commands.filter((command) => !command.includes(': npx ')),
    [],
  )
})
