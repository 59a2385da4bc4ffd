// Parses JSON with the names that are written.

/**
 * Parses JSON as JSON.parse does. V8 of Node 24 and 26 can read an escaped name as another one: after `{"k":1,"\\":1}` it
 * reads `{"k":1,"\u0061":1}` as `{"k":1,"\\":1}` (nodejs/node#63785), and the first text may be a stranger's. A text without
 * a backslash is safe. Throws a SyntaxError.
 */
export function parseJson(text: string): unknown {
  return text.includes('\\') ? parseByNumber(text, false) : JSON.parse(text)
}

/** The same for JSON whose objects have no name twice, in any spelling. Throws an error for any other. */
export const parseUniqueJson = (text: string): unknown => parseByNumber(text, true)

/** Parses with a number in place of each name, which needs no escape, and then puts the names back. */
function parseByNumber(text: string, isUnique: boolean): unknown {
  // The scan below relies on valid JSON.
  JSON.parse(text)
  const names: string[] = []
  const numbered = text.replace(stringOrName, (all, string: string, colon?: string) =>
    colon === undefined ? all : `"${names.push(JSON.parse(string) as string) - 1}":`,
  )
  return JSON.parse(numbered, (_, value: unknown) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
    const members = Object.entries(value).map(([number, member]) => [names[Number(number)] ?? '', member] as const)
    if (isUnique && new Set(members.map(([name]) => name)).size < members.length) throw new Error('a name twice')
    return Object.fromEntries(members)
  })
}

const stringOrName = /("(?:[^"\\]|\\.)*")(\s*:)?/g
