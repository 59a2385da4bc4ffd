// The pages of the documentation, without building the site: their links and anchors, the sidebar, and the snippets that two of them share.

import assert from 'node:assert/strict'
import { existsSync, globSync, readFileSync } from 'node:fs'
import { join, posix } from 'node:path'
import { test } from 'node:test'
import { slugify } from '../../docs/.vitepress/links.ts'
import { sections } from '../../docs/.vitepress/sidebar.ts'
import { readPage } from './project.ts'

const root = join(import.meta.dirname, '../..')
const pages = globSync('docs/*.md', { cwd: root }).sort()

/** A page without its code. */
const proseOf = (page: string) =>
  readFileSync(join(root, page), 'utf8')
    .replace(/^```[\s\S]*?^```/gm, '')
    .replaceAll(/`[^`\n]*`/g, (code) => code.replaceAll(/[[\]()#]/g, ''))

/** The anchors of a page's headings. A second heading of the same text has a number. */
function anchorsOf(page: string): Set<string> {
  const anchors = new Set<string>()
  const text = readFileSync(join(root, page), 'utf8').replace(/^```[\s\S]*?^```/gm, '')
  for (const [, heading = ''] of text.matchAll(/^#+ (.+)$/gm)) {
    const anchor = slugify(heading.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1'))
    for (let number = 0; ; number++) {
      const name = number === 0 ? anchor : `${anchor}-${number}`
      if (anchors.has(name)) continue
      anchors.add(name)
      break
    }
  }
  return anchors
}

test('every link of a page and of the README leads somewhere, and so does its anchor', () => {
  const faults: string[] = []
  let count = 0
  for (const page of ['README.md', 'CONTRIBUTING.md', 'SECURITY.md', 'CHANGELOG.md', ...pages]) {
    for (const [, href = ''] of proseOf(page).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^\w+:/.test(href)) continue
      count++
      const [path = '', anchor] = href.split('#')
      const target = path === '' ? page : posix.join(posix.dirname(page), path)
      if (!existsSync(join(root, target))) faults.push(`${page}: ${href} leads nowhere`)
      else if (anchor && target.endsWith('.md') && !anchorsOf(target).has(anchor)) {
        faults.push(`${page}: there is no anchor ${href}`)
      }
    }
  }
  assert.deepEqual(faults, [])
  assert.ok(count > 200, `only ${count} links`)
})

test('every page is in the sidebar once, and every entry of the sidebar is a page', () => {
  const listed = sections.flatMap(({ items }) => items.map(({ link }) => link.slice(1)))
  const made = ['reference/']
  const expected = [...pages.map((page) => page.slice('docs/'.length, -'.md'.length)), ...made]
  assert.deepEqual(listed.toSorted(), expected.filter((page) => page !== 'index').sort())
})

test('the snippets of docs/start.md are those of the README, which are run', () => {
  const readme = readPage('README.md').map(({ code }) => code)
  const snippets = readPage('docs/start.md')
  assert.ok(snippets.length >= 2)
  for (const { code } of snippets) assert.ok(readme.includes(code), code)
})
