// Is what would be published in order? publint and "are the types wrong" on the packed tarball.

import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..')
const folder = mkdtempSync(join(tmpdir(), 'daypass-package-'))
const tool = (name: string, ...args: string[]) =>
  execFileSync(join(root, 'node_modules/.bin', name), args, { cwd: root, stdio: 'inherit' })
try {
  const packed = execFileSync('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', folder], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const answer = JSON.parse(packed.toString())
  const [{ filename, size, entryCount }] = Array.isArray(answer) ? answer : Object.values(answer as object)
  const tarball = join(folder, filename)
  console.log(`${filename}: ${Math.round(size / 1024)} kB, ${entryCount} files`)
  tool('publint', '--strict', tarball)
  // ESM only, so the resolutions of CommonJS and of Node 10 are not asked.
  tool('attw', tarball, '--profile', 'esm-only')
} finally {
  rmSync(folder, { recursive: true, force: true })
}
