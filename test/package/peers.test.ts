// The optional peers in package.json: each has a range of versions, and each is marked as optional.

import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'

const root = join(import.meta.dirname, '../..')
const { dependencies, peerDependencies, peerDependenciesMeta } = JSON.parse(
  readFileSync(join(root, 'package.json'), 'utf8'),
) as Record<string, Record<string, unknown>>

test('every peer has a range, and is optional', () => {
  assert.deepEqual(Object.keys(peerDependenciesMeta!).sort(), Object.keys(peerDependencies!).sort())
  for (const meta of Object.values(peerDependenciesMeta!)) assert.deepEqual(meta, { optional: true })
})

test('every package that src imports is the one dependency or a peer', () => {
  const known = new Set([...Object.keys(dependencies!), ...Object.keys(peerDependencies!)])
  const imported = new Set<string>()
  for (const file of globSync('src/**/*.ts', { cwd: root })) {
    const text = readFileSync(join(root, file), 'utf8')
    for (const [, name] of text.matchAll(
      /^(?:import|export|\})[^'"\n]* from '((?:@[\w-]+\/)?[a-z][\w.-]*)(?:\/[^']*)?'/gm,
    )) {
      imported.add(name!)
    }
  }
  assert.ok(imported.size > 5, [...imported].join(', '))
  assert.deepEqual(
    [...imported].filter((name) => !known.has(name)),
    [],
  )
})
