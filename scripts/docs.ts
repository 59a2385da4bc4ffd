// `npm run docs`: builds the site of the documentation in docs/.vitepress/dist, and checks it.
//
// The reference is made from the doc comments, the rest from docs/*.md. Fails where a link or an anchor leads nowhere, an
// export has no entry in the reference, or a page loads something from another host.

import { execFileSync } from 'node:child_process'
import { copyFileSync, existsSync, globSync, mkdirSync, readFileSync, statSync } from 'node:fs'
import { join, relative } from 'node:path'
import { parseArgs } from 'node:util'

const help = `npm run docs [-- options]

  --dev     serves the pages while you write them; the reference is made once
  --serve   builds, and serves the site as it was built
  --port N  another port than VitePress's own
  --help    this
`
const root = join(import.meta.dirname, '..')
const docs = join(root, 'docs')
const dist = join(docs, '.vitepress/dist')

/** Runs a program of the site's own packages, with this Node. */
const run = (program: string, ...args: string[]) =>
  execFileSync(process.execPath, [program, ...args], { cwd: root, stdio: 'inherit' })
const vitepress = (...args: string[]) => run('docs/node_modules/vitepress/bin/vitepress.js', ...args)

/** Installs the site's packages where they are missing, or older than the lock file. */
function install(): void {
  const mark = join(docs, 'node_modules/.package-lock.json')
  if (existsSync(mark) && statSync(mark).mtimeMs > statSync(join(docs, 'package-lock.json')).mtimeMs) return
  console.log('The packages of the site are installed in docs/node_modules.')
  execFileSync('npm', ['ci', '--no-audit', '--no-fund', '--silent'], { cwd: docs, stdio: 'inherit' })
}

/** An address within the site, and the page that has it. */
interface Link {
  page: string
  href: string
}

/** The faults of the built site. */
export function checkSite(): { pages: number; links: number; faults: string[] } {
  const faults: string[] = []
  const ids = new Map<string, Set<string>>()
  const links: Link[] = []
  const files = globSync('**/*.html', { cwd: dist }).filter((page) => page !== '404.html')
  for (const page of files) {
    const html = readFileSync(join(dist, page), 'utf8')
    ids.set(page, new Set([...html.matchAll(/\sid="([^"]+)"/g)].map(([, id = '']) => id)))
    for (const [, href = ''] of html.matchAll(
      /<(?:a|img|source|link|script)\b[^>]*?\s(?:href|src|srcset)="([^"]+)"/g,
    )) {
      links.push({ page, href: href.replaceAll('&amp;', '&') })
    }
    for (const [tag] of html.matchAll(
      /<(?:img|source|script|link)\b[^>]*?\s(?:href|src|srcset)="(?:https?:)?\/\/[^>]*>/g,
    )) {
      faults.push(`${page} loads from another host: ${tag}`)
    }
  }
  const inside = links.filter(({ href }) => !/^(?:\w+:|\/\/)/.test(href))
  for (const { page, href } of inside) {
    const { pathname, hash } = new URL(href, `http://site/${page}`)
    const path = decodeURIComponent(pathname.slice(1))
    const target = path === '' || path.endsWith('/') ? `${path}index.html` : path
    if (!existsSync(join(dist, target))) faults.push(`${page}: ${href} leads nowhere`)
    else if (hash !== '' && ids.get(target)?.has(decodeURIComponent(hash.slice(1))) === false) {
      faults.push(`${page}: there is no anchor ${href}`)
    }
  }
  if (globSync('assets/chunks/@localSearchIndex*', { cwd: dist }).length === 0) faults.push('There is no search index.')
  return { pages: files.length, links: inside.length, faults: [...new Set(faults)] }
}

/** The exports of every entry that the reference does not name, by the reports of API Extractor. */
export function checkReference(): { exports: number; faults: string[] } {
  const faults: string[] = []
  let count = 0
  for (const file of globSync('api/*.api.md', { cwd: root })) {
    const entry = file.slice('api/'.length, -'.api.md'.length)
    const page = join(docs, 'reference', entry === 'daypass' ? 'daypass.md' : `daypass/${entry}.md`)
    const headings = new Set(
      [...(existsSync(page) ? readFileSync(page, 'utf8') : '').matchAll(/^#+ (?:`abstract` )?(?:~~)?(\w+)/gm)].map(
        ([, name]) => name,
      ),
    )
    for (const name of exportsOf(readFileSync(join(root, file), 'utf8'))) {
      count++
      if (!headings.has(name)) faults.push(`The reference of ${entry} has no ${name}.`)
    }
  }
  return { exports: count, faults }
}

/** The names that an entry exports, by its report. */
function exportsOf(report: string): string[] {
  const declared = report.matchAll(/^export (?:declare |abstract )*(?:const|function|class|interface|type) (\w+)/gm)
  const named = report.matchAll(/^export \{ (?:\w+ as )?(\w+) \}/gm)
  return [...new Set([...declared, ...named].map(([, name = '']) => name))]
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      dev: { type: 'boolean' },
      serve: { type: 'boolean' },
      port: { type: 'string' },
      help: { type: 'boolean' },
    },
  })
  if (values.help) {
    console.log(help)
    process.exit()
  }
  const port = values.port ? ['--port', values.port] : []
  const started = performance.now()
  install()
  run('docs/.vitepress/reference.ts')
  mkdirSync(join(docs, '.vitepress/public'), { recursive: true })
  copyFileSync(join(root, 'server/web/icon.svg'), join(docs, '.vitepress/public/icon.svg'))
  if (values.dev) vitepress('dev', 'docs', ...port)
  else {
    vitepress('build', 'docs')
    const site = checkSite()
    const reference = checkReference()
    const faults = [...site.faults, ...reference.faults]
    const seconds = Math.round((performance.now() - started) / 1000)
    console.log(
      `${site.pages} pages with ${site.links} links, ${reference.exports} exports in the reference, ${faults.length} faults, ${seconds} s`,
    )
    console.log(`The site is in ${relative(root, dist)}: npm run docs -- --serve shows it.`)
    if (faults.length > 0) {
      console.error(faults.join('\n'))
      process.exitCode = 1
    } else if (values.serve) vitepress('preview', 'docs', ...port)
  }
}
