// How is dist/ made? `node scripts/build.ts`: the library by tsc and the console by Vite; `… console`: the console alone.

import { execFileSync } from 'node:child_process'
import { chmodSync, globSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..')
const tool = (name: string, ...args: string[]) =>
  execFileSync(join(root, 'node_modules/.bin', name), args, { cwd: root, stdio: 'inherit' })

if (process.argv[2] !== 'console') {
  // What was removed from src must not live on in a package.
  rmSync(join(root, 'dist'), { recursive: true, force: true })
  tool('tsc', '-p', 'tsconfig.build.json')
  nameTypesByTheirOutput()
  chmodSync(join(root, 'dist/server/cli.js'), 0o755)
}
tool('vite', 'build', 'web', '--logLevel', 'warn')

/** tsc rewrites `./x.ts` in what runs and leaves it in the types; a reader's TypeScript may be older than ours. */
function nameTypesByTheirOutput(): void {
  for (const file of globSync(join(root, 'dist/**/*.d.ts'))) {
    const text = readFileSync(file, 'utf8')
    writeFileSync(file, text.replaceAll(/(from |import\()('|")(\.[^'"]+)\.ts\2/g, '$1$2$3.js$2'))
  }
}
