// Parses JSON objects strictly.

import { parseUniqueJson } from '../json.ts'

/**
 * Parses a JSON object and rejects whatever two parsers could read differently (RFC 8725 §2.4 and §3.1, RFC 7515 §4): bytes
 * that are not UTF-8, a top level that is not an object, a duplicate member, a member named `__proto__`, and nesting
 * deeper than 32. Returns undefined for all of these.
 */
export function parseStrictObject(bytes: Uint8Array): Record<string, unknown> | undefined {
  let value: unknown
  try {
    const text = decoder.decode(bytes)
    value = JSON.parse(text)
    // If stringify gives back the same text, no name is there twice or was misread. That is true of most tokens.
    if (JSON.stringify(value) !== text) value = parseUniqueJson(text)
  } catch {
    return undefined
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
  return isPlain(value, maxDepth) ? (value as Record<string, unknown>) : undefined
}

// `ignoreBOM` keeps the mark in the text, and JSON.parse then refuses it.
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const maxDepth = 32

/** Whether a parsed value has no member `__proto__`, and is nested no deeper than this. */
function isPlain(value: unknown, depth: number): boolean {
  if (typeof value !== 'object' || value === null) return true
  if (depth === 0) return false
  for (const [name, member] of Object.entries(value)) {
    if (name === '__proto__' || !isPlain(member, depth - 1)) return false
  }
  return true
}
