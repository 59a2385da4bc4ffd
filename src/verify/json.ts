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
  } catch {
    return undefined
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
  if (!isPlain(value, maxDepth)) return undefined
  // JSON.stringify writes each member once. So a text that it would write needs no scan, and most tokens are such texts.
  return JSON.stringify(value) === text || hasUniqueMembers(text) ? (value as Record<string, unknown>) : undefined
}

// `ignoreBOM` keeps the mark in the text, and JSON.parse then refuses it.
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const maxDepth = 32
const token = /"(?:[^"\\]|\\.)*"|[{}[\],]/g

/** Whether a parsed value has no member `__proto__`, and is nested no deeper than this. */
function isPlain(value: unknown, depth: number): boolean {
  if (typeof value !== 'object' || value === null) return true
  if (depth === 0) return false
  for (const [name, member] of Object.entries(value)) {
    if (name === '__proto__' || !isPlain(member, depth - 1)) return false
  }
  return true
}

/** Scans a text that JSON.parse has accepted. Strings, brackets and commas are enough to find the members' names. */
function hasUniqueMembers(text: string): boolean {
  /** The open containers: the names of an object's members so far, or null for an array. */
  const open: (Set<string> | null)[] = []
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
      const name = JSON.parse(part) as string
      if (names?.has(name)) return false
      names?.add(name)
      expectName = false
    }
  }
  return true
}
