// The links of the pages: the anchors of headings, and the addresses of files that are no pages of the site.

import { existsSync, statSync } from 'node:fs'
import { join, posix } from 'node:path'

const root = join(import.meta.dirname, '../..')
const home = 'https://github.com/daypass/daypass'

/** The address of a link of a page that leads out of docs, such as `../examples`. Undefined for every other link. */
export function repositoryUrl(page: string, href: string): string | undefined {
  if (/^(?:\w+:|[/#])/.test(href)) return undefined
  const [target = '', anchor] = href.split('#')
  const path = posix.join('docs', posix.dirname(page), target)
  if (path.startsWith('docs/')) return undefined
  const file = join(root, path)
  if (!existsSync(file)) throw new Error(`${page} links to ${path}, which is not there.`)
  return `${home}/${statSync(file).isDirectory() ? 'tree' : 'blob'}/main/${path}${anchor ? `#${anchor}` : ''}`
}

/** The anchor of a heading, as GitHub makes it. */
export function slugify(heading: string): string {
  return heading
    .trim()
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\p{M}_\- ]/gu, '')
    .replaceAll(' ', '-')
}
