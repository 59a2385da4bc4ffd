// Shared by the tests that run the docs' snippets: the snippets of a page, and a project of files beside the real packages.

import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

const root = join(import.meta.dirname, '../..')

/** A snippet of a page. */
export interface Snippet {
  /** The name in its first line, `// app/page.tsx`. */
  file: string | undefined
  code: string
  isJsx: boolean
}

/** The ts and tsx snippets of a text. In sources the asterisks of doc comments are left out. */
export function snippetsOf(text: string): Snippet[] {
  const plain = text.replaceAll(/^ *\* ?/gm, '')
  return [...plain.matchAll(/^```(tsx?)\n([\s\S]*?)^```/gm)].map(([, language, code = '']) => ({
    file: /^\/\/ (\S+\.tsx?)\n/.exec(code)?.[1],
    code,
    isJsx: language === 'tsx',
  }))
}

/** The snippets of a page of docs. */
export const readPage = (page: string) => snippetsOf(readFileSync(join(root, page), 'utf8'))

/** The snippet of a page that is named so. */
export function readSnippet(page: string, file: string): string {
  const found = readPage(page).find((snippet) => snippet.file === file)
  if (found === undefined) throw new Error(`${page} has no snippet ${file}`)
  return found.code
}

/** Whether a snippet is a file of an example that has a package folder of its own. The example's build checks its types. */
export function isOfExample({ file = '', code }: Snippet): boolean {
  return ['examples/next', 'examples/sveltekit']
    .map((folder) => join(root, folder, file))
    .some((path) => file !== '' && existsSync(path) && readFileSync(path, 'utf8') === code)
}

/** The js snippet of a page that is named so: what it imports has no types here. */
export function readScript(page: string, file: string): string {
  const text = readFileSync(join(root, page), 'utf8')
  const found = [...text.matchAll(/^```js\n([\s\S]*?)^```/gm)].find(([, code = '']) => code.startsWith(`// ${file}\n`))
  if (found?.[1] === undefined) throw new Error(`${page} has no script ${file}`)
  return found[1]
}

/** A folder outside of the repository with `daypass` and these packages. Node runs TypeScript there as an app would. */
export function createProject(t: { after(work: () => void): void }, packages: readonly string[] = []) {
  const folder = mkdtempSync(join(tmpdir(), 'daypass-docs-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const link = (name: string, target: string) => {
    const path = join(folder, 'node_modules', name)
    mkdirSync(dirname(path), { recursive: true })
    symlinkSync(target, path)
  }
  link('daypass', root)
  // `h3=h3-2` is the package h3-2 under the name h3.
  for (const each of packages) {
    const [name = '', from = name] = each.split('=')
    link(name, join(root, 'node_modules', from))
  }
  const write = (file: string, code: string) => {
    const path = join(folder, file)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, code)
    return path
  }
  write('package.json', '{ "type": "module" }')
  return { folder, write }
}
