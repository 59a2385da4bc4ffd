// Builds dist/ and server/dist/. `npx node scripts/build.ts library server console`, or all three where none is named.

import { execFileSync } from 'node:child_process'
import { chmodSync, globSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..')
const tool = (name: string, ...args: string[]) =>
  execFileSync(join(root, 'node_modules/.bin', name), args, { cwd: root, stdio: 'inherit' })

const parts: Record<string, () => void> = {
  library() {
    // A file that was removed from src must not stay in the package.
    rmSync(join(root, 'dist'), { recursive: true, force: true })
    tool('tsc', '-p', 'tsconfig.build.json')
    nameTypesByTheirOutput()
  },
  server() {
    for (const file of globSync(join(root, 'server/dist/*.js'))) rmSync(file)
    tool('tsc', '-p', 'server/tsconfig.build.json')
    chmodSync(join(root, 'server/dist/cli.js'), 0o755)
  },
  console() {
    tool('vite', 'build', 'server/web', '--logLevel', 'warn')
  },
}
// In this order: the server and the console import the library as any app does.
const wanted = process.argv.slice(2)
for (const [name, build] of Object.entries(parts)) if (wanted.length === 0 || wanted.includes(name)) build()

/** tsc rewrites `./x.ts` in what runs and leaves it in the types; a reader's TypeScript may be older than ours. */
function nameTypesByTheirOutput(): void {
  for (const file of globSync(join(root, 'dist/**/*.d.ts'))) {
    const text = readFileSync(file, 'utf8')
    writeFileSync(file, text.replaceAll(/(from |import\()('|")(\.[^'"]+)\.ts\2/g, '$1$2$3.js$2'))
  }
}
