// Imports go one way between the layers of src, types included, and in no circle.

import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { test } from 'node:test'

const root = join(import.meta.dirname, '../..')

/** Files that every layer but the client may import. */
const leaves = ['errors.ts', 'json.ts', 'option.ts', 'known-options.ts', 'warn.ts']

/** The layers that each layer may import besides itself. CONTRIBUTING.md has the same table in words. */
const layers: Record<string, string[]> = {
  'errors.ts': [],
  'json.ts': [],
  'option.ts': ['errors.ts'],
  'known-options.ts': ['errors.ts', 'option.ts'],
  'warn.ts': [],
  verify: leaves,
  core: [...leaves, 'verify'],
  adopt: [...leaves, 'verify', 'core'],
  stores: [...leaves, 'core'],
  http: [...leaves, 'verify', 'core'],
  adapters: [...leaves, 'verify', 'core', 'http'],
  client: [],
  testing: [...leaves, 'core', 'stores'],
  'index.ts': [...leaves, 'verify', 'core'],
}

/** The imports of each file of a folder. */
const importsIn = (folder: string) =>
  new Map(
    globSync('**/*.ts', { cwd: join(root, folder) }).map((file) => {
      const text = readFileSync(join(root, folder, file), 'utf8')
      const targets = [...text.matchAll(/^(?:import|export)\b[^'"]*? from '(\.[^']+)'/gms)]
      return [file, targets.map(([, target = '']) => normalize(join(dirname(file), target)))] as const
    }),
  )
const layerOf = (file: string) => file.split('/')[0]!

test('every file imports only from its own layer and from the layers below', () => {
  const imports = importsIn('src')
  assert.ok([...imports.values()].flat().length > 300, 'the imports are found')
  for (const [file, targets] of imports) {
    const layer = layerOf(file)
    const allowed = layers[layer]
    assert.ok(allowed !== undefined, `src/${file} is in no layer: add it to the table`)
    for (const target of targets) {
      const isAllowed = layerOf(target) === layer || allowed.includes(layerOf(target))
      assert.ok(isAllowed, `src/${file} imports src/${target}`)
    }
  }
})

for (const folder of ['src', 'server/src', 'proof']) {
  test(`no files of ${folder} import one another in a circle`, () => {
    const imports = importsIn(folder)
    const done = new Set<string>()
    const visit = (file: string, path: string[]) => {
      assert.ok(!path.includes(file), `a circle: ${[...path.slice(path.indexOf(file)), file].join(' → ')}`)
      if (done.has(file)) return
      for (const target of imports.get(file) ?? []) visit(target, [...path, file])
      done.add(file)
    }
    for (const file of imports.keys()) visit(file, [])
  })
}

test('the server application imports the library by its public entries alone', () => {
  const server = join(root, 'server')
  const files = globSync(['src/**/*.ts', 'web/**/*.ts'], { cwd: server })
  assert.ok(files.length > 20)
  for (const file of files) {
    const text = readFileSync(join(server, file), 'utf8')
    for (const [, target] of text.matchAll(/(?:from |import\()'(\.[^']+)'/g)) {
      assert.match(normalize(join(dirname(file), target!)), /^(src|web)\//, `server/${file} imports ${target}`)
    }
  }
})
