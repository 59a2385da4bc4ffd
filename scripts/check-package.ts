// Checks what would be published: its contents, its size, publint and "are the types wrong" on the packed tarball.

import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
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
  const [{ filename, size, unpackedSize, files, entryCount }] = Array.isArray(answer)
    ? answer
    : Object.values(answer as object)
  const tarball = join(folder, filename)
  console.log(`${filename}: ${kB(size)} packed, ${kB(unpackedSize)} installed, ${entryCount} files`)
  checkReadme(size, unpackedSize)
  checkContents((files as { path: string }[]).map(({ path }) => path))
  tool('publint', '--strict', tarball)
  // ESM only, so the resolutions of CommonJS and of Node 10 are not asked.
  tool('attw', tarball, '--profile', 'esm-only')
} finally {
  rmSync(folder, { recursive: true, force: true })
}

/** README gives the sizes, within 5 %. */
function checkReadme(...sizes: number[]): void {
  const readme = readFileSync(join(root, 'README.md'), 'utf8')
  const said = /(\d+) kB packed, (\d+) kB installed/.exec(readme)?.slice(1).map(Number) ?? []
  if (sizes.some((size, index) => !(Math.abs(size / 1000 / (said[index] ?? 0) - 1) < 0.05))) {
    throw new Error(`README says ${said.join(' and ')} kB; write what is printed above.`)
  }
}

/** The library alone: the server application and its console are a package of their own. */
function checkContents(paths: string[]): void {
  const foreign = paths.filter((path) => !/^(dist\/[\w/-]+\.(js|d\.ts)|[A-Z]+\.md|LICENSE|package\.json)$/.test(path))
  foreign.push(...paths.filter((path) => /server|console|account/.test(path)))
  const { bin } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  if (foreign.length > 0 || bin !== undefined) {
    throw new Error(`The library's package holds what is not the library's: ${[...foreign, bin && 'bin'].join(', ')}`)
  }
}

function kB(bytes: number): string {
  return `${Math.round(bytes / 1000)} kB`
}
