// `npm run reference`: writes the tables of docs/server.md and docs/options.md from the comments of the public types.
//
// A table stands between `<!-- NAME FILE -->` and `<!-- end -->`, where NAME is an interface, or a union of strings, in
// FILE under src. `<!-- NAME FILE types -->` has the types too. `npm run reference -- --check` fails where a table
// is not up to date.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..')
/** The pages that have tables. */
export const pages = ['docs/server.md', 'docs/options.md']

/** A member of an interface, or of a union of strings. */
interface Member {
  name: string
  /** The names of a method's parameters; undefined for a property. */
  parameters: string[] | undefined
  isOptional: boolean
  /** The source text after the name. */
  rest: string
  comment: string
}

/** Every table's name and file, in the order of the page. */
export const tablesOf = (text: string) =>
  [...text.matchAll(/^<!-- (\w+) (\S+\.ts)(?: types)? -->$/gm)].map(([, name = '', file = '']) => ({ name, file }))

/** The page with its tables as the types are now. */
export function renderReference(text: string): string {
  return text.replace(
    /^(<!-- (\w+) (\S+\.ts)( types)? -->\n)[\s\S]*?(?=^<!-- end -->$)/gm,
    (_, mark, name, file, types) => {
      const source = readFileSync(join(root, 'src', file), 'utf8')
      return `${mark}${renderTable(name, readMembers(source, name), types !== undefined)}`
    },
  )
}

function renderTable(name: string, members: Member[], hasTypes: boolean): string {
  const isEvents = name === 'EventDetails'
  const isOptions = name.endsWith('Options')
  const rows = members.map(({ name, parameters, isOptional, rest, comment }) => {
    const call = parameters === undefined ? name : `${name}(${parameters.join(', ')})`
    const text = `${isOptions && !isOptional ? 'Required. ' : ''}${comment}`
    const fields = isEvents
      ? ` ${[...rest.matchAll(/(\w+)\??: /g)].map(([, field]) => `\`${field}\``).join(', ')} |`
      : ''
    return hasTypes ? `| \`${name}\`<br>${renderType(rest)} | ${text} |` : `| \`${call}\` |${fields} ${text} |`
  })
  const head = isEvents ? ['| `type` | its own members | when |', '|---|---|---|'] : ['| | |', '|---|---|']
  return `${[...head, ...rows].join('\n')}\n`
}

/** The type of a member, as a cell. A type that is too long for a cell is in the reference of every export. */
function renderType(rest: string): string {
  const text = rest
    .replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '')
    .replace(/^\?/, '')
    .replace(/\s+/g, ' ')
    .trim()
  const isMethod = /^[(<]/.test(text)
  const type = text.replace(/^: (?:\| )?/, '').replace(/ \| undefined$/, '')
  const isFunction = isMethod || type.includes('=>')
  if (isFunction && (isMethod || type.length > 60)) return 'function'
  return type.length > 60 ? 'object' : `\`${type.replaceAll('|', '\\|')}\``
}

/** The members that a type itself declares. Sources are formatted, so a member begins a line with two spaces. */
export function readMembers(source: string, name: string): Member[] {
  const declaration = new RegExp(`^(?:export )?(?:interface|type) ${name}\\b[\\s\\S]*?^(?=[}\\w/])`, 'm').exec(
    `${source}\n}`,
  )?.[0]
  const body = declaration?.slice(declaration.search(/[{=]\n/) + 2)
  if (body === undefined) throw new Error(`There is no type ${name}.`)
  const place =
    /((?:^ {2}\/\*\*[\s\S]*?\*\/\n)?)^ {2}(?:readonly )?(?:\| '([\w-]+)'|([a-z]\w*)(\??)(?=[(:<]))([\s\S]*?)(?=^ {2}[^ )}\n]|^\S|\n\n|(?![\s\S]))/gm
  return [...body.matchAll(place)].map(([, comment = '', literal, member = '', mark, rest = '']) => ({
    name: literal ?? member,
    parameters: rest.startsWith('(') ? readParameters(rest) : undefined,
    isOptional: mark === '?',
    rest,
    comment: readComment(comment, `${name}.${literal ?? member}`),
  }))
}

/** The names of a method's parameters, as in `(subject: string, ...options: IssueArguments<C>): Promise<void>`. */
function readParameters(signature: string): string[] {
  let depth = 0
  let list = ''
  for (const sign of signature) {
    if ('([{<'.includes(sign)) depth++
    if (depth > 0 && ')]}>'.includes(sign) && --depth === 0) break
    if (depth === 1) list += sign === '(' && list === '' ? '' : sign
  }
  return [...list.matchAll(/(?:^|,)\s*(?:\.\.\.)?(\w+\??):/g)].map(([, name = '']) => name)
}

/** The text of a doc comment in one line: its summary, and the errors that a method throws. */
function readComment(comment: string, name: string): string {
  const lines = comment.replace(/^ *\/\*\*|\*\/$|^ *\*(?: |$)/gm, '').replace(/\*\/\s*$/, '')
  const [summary = '', ...tags] = lines.split(/^\s*@(?=\w)/m)
  const thrown = tags
    .filter((tag) => tag.startsWith('throws'))
    .map((tag) => tag.replace(/^throws (?:DaypassError )?/, 'Throws '))
  const text = [summary, ...thrown]
    .join(' ')
    .replaceAll(/\{@link (\w+)(?:\.\w+)?\}/g, '`$1`')
    .replaceAll(/(?<!\[)docs\/([\w-]+\.md)/g, '[$1]($1)')
    .replaceAll('|', '\\|')
    .replaceAll(/\s+/g, ' ')
    .trim()
  if (text === '') throw new Error(`${name} has no comment.`)
  return text
}

if (import.meta.main) {
  for (const page of pages) {
    const before = readFileSync(join(root, page), 'utf8')
    const after = renderReference(before)
    if (before === after) console.log(`${page} is up to date.`)
    else if (process.argv.includes('--check')) {
      console.error(`The tables of ${page} are not up to date: run \`npm run reference\` and commit the page.`)
      process.exitCode = 1
    } else {
      writeFileSync(join(root, page), after)
      console.log(`${page} was written.`)
    }
  }
}
