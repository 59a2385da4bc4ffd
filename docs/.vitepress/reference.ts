// Writes docs/reference: a page for each entry of the package, with every export, from the doc comments.

import { globSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { Application } from 'typedoc'
import type { PluginOptions } from 'typedoc-plugin-markdown'

const root = join(import.meta.dirname, '../..')
const out = join(root, 'docs/reference')
const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))

/** The source of each entry, with the name that an app imports: `stores/postgres`, `daypass/postgres`. */
const entries = new Map(
  Object.entries<{ types?: string }>(exports).flatMap(([path, { types = '' }]) => {
    const [, source] = /^\.\/dist\/(.+)\.d\.ts$/.exec(types) ?? []
    return source ? [[source, `daypass${path.slice(1)}`] as const] : []
  }),
)

const layout: Partial<PluginOptions> = {
  router: 'module',
  entryFileName: 'index',
  hideBreadcrumbs: true,
  hidePageHeader: true,
  indexFormat: 'table',
  parametersFormat: 'table',
  interfacePropertiesFormat: 'table',
  typeAliasPropertiesFormat: 'table',
  propertyMembersFormat: 'table',
  useCustomAnchors: true,
  // Vue reads the pages as templates.
  useHTMLEncodedBrackets: true,
  sanitizeComments: true,
}
const app = await Application.bootstrapWithPlugins({
  name: 'Every export',
  entryPoints: [...entries.keys()].map((source) => join(root, 'src', `${source}.ts`)),
  tsconfig: join(root, 'tsconfig.json'),
  plugin: ['typedoc-plugin-markdown'],
  outputs: [{ name: 'markdown', path: out }],
  readme: 'none',
  disableSources: true,
  sortEntryPoints: false,
  // `npm run types` checks them, with the project's own TypeScript.
  skipErrorChecking: true,
  logLevel: 'Warn',
  ...layout,
})
const project = await app.convert()
if (!project) throw new Error('TypeDoc made nothing.')
for (const module of project.children ?? []) {
  module.name = entries.get(module.name.replace(/^(adopt|client|testing|verify)$/, '$1/index')) ?? module.name
}
rmSync(out, { recursive: true, force: true })
await app.generateOutputs(project)
/** The index has each entry with its exports. */
const rows = (project.children ?? []).map(({ name, children = [] }) => {
  const names = [...new Set(children.map((child) => child.name))].sort((a, b) => a.localeCompare(b))
  return `| [${name}](${name}.md) | ${names.map((each) => `\`${each}\``).join(', ')} |`
})
const intro =
  'The entries of the package with all that they export, made of the doc comments. [Options](../options.md) has the options on one page, [server.md](../server.md) and [client.md](../client.md) have the rest in context.'
writeFileSync(
  join(out, 'index.md'),
  `# Every export\n\n${intro}\n\n| entry | exports |\n|---|---|\n${rows.join('\n')}\n`,
)

// A comment names a page as `docs/postgres.md`: here it is a link. The title's anchor must not be that of an export.
for (const file of globSync(`${out}/**/*.md`)) {
  const pages = relative(dirname(file), join(root, 'docs'))
  const text = readFileSync(file, 'utf8')
  const linked = text.replaceAll(/(?<![[\w/])docs\/([\w-]+\.md)/g, `[$1](${pages}/$1)`)
  writeFileSync(file, linked.replace(/^(# .+)$/m, '$1 {#page}'))
}
if (app.logger.hasWarnings() || app.logger.hasErrors()) process.exitCode = 1
