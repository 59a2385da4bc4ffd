// Parses JSON objects strictly.

/**
 * Parses a JSON object and rejects whatever two parsers could read differently (RFC 8725 §2.4 and §3.1, RFC 7515 §4): bytes
 * that are not UTF-8, a top level that is not an object, a duplicate member, a member named `__proto__`, and nesting
 * deeper than 32. Returns undefined for all of these.
 */
export function parseStrictObject(bytes: Uint8Array): Record<string, unknown> | undefined {
  let value: unknown
  let text: string
  try {
    text = decoder.decode(bytes)
    value = JSON.parse(text)
    if (text.includes('\\')) {
      text = withFewEscapes(text)
      value = JSON.parse(text)
    }
  } catch {
    return undefined
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
  if (!isPlain(value, maxDepth)) return undefined
  // JSON.stringify writes each member once. So a text that it would write needs no scan, and most tokens are such texts.
  const written = JSON.stringify(value)
  if (written === text) return value as Record<string, unknown>
  const names = uniqueNames(text)
  return names !== undefined && names === uniqueNames(written) ? (value as Record<string, unknown>) : undefined
}

/**
 * Writes each string of a JSON text with the escapes that it needs and no others. V8 of Node 24 and 26 can read an escaped
 * name as another one: after `{"\\":1}` it reads `{"\u0061":1}` as `{"\\":1}` (nodejs/node#63785). It reads names without
 * escapes right. A name that needs an escape can still be read wrong, so the names are compared with those of the text.
 */
function withFewEscapes(text: string): string {
  return text.replace(string, (part) => (part.includes('\\') ? JSON.stringify(JSON.parse(part)) : part))
}

// `ignoreBOM` keeps the mark in the text, and JSON.parse then refuses it.
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const maxDepth = 32
const string = /"(?:[^"\\]|\\.)*"/g
const token = new RegExp(`${string.source}|[{}[\\],]`, 'g')

/** Whether a parsed value has no member `__proto__`, and is nested no deeper than this. */
function isPlain(value: unknown, depth: number): boolean {
  if (typeof value !== 'object' || value === null) return true
  if (depth === 0) return false
  for (const [name, member] of Object.entries(value)) {
    if (name === '__proto__' || !isPlain(member, depth - 1)) return false
  }
  return true
}

/**
 * Returns the sorted names of all members as a text, or undefined if an object has a name twice. Scans a text that
 * JSON.parse has accepted. Strings, brackets and commas are enough to find the names.
 */
function uniqueNames(text: string): string | undefined {
  /** The open containers: the names of an object's members so far, or null for an array. */
  const open: (Set<string> | null)[] = []
  const all: string[] = []
  let expectName = false
  for (const [part] of text.matchAll(token)) {
    if (part === '{' || part === '[') {
      open.push(part === '{' ? new Set() : null)
      expectName = part === '{'
    } else if (part === '}' || part === ']') {
      open.pop()
    } else if (part === ',') {
      expectName = true
    } else if (expectName) {
      // Null in an array, which has no names.
      const names = open.at(-1)
      if (names) {
        const name = JSON.parse(part) as string
        if (names.has(name)) return undefined
        names.add(name)
        all.push(name)
      }
      expectName = false
    }
  }
  return JSON.stringify(all.sort())
}
