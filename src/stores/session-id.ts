// Session ids as 16 bytes and as text.

import { Buffer } from 'node:buffer'
import { base64url } from '../core/bytes.ts'

/**
 * The bytes of an id, or null for a text that is no id as `issue` makes them. A decoder accepts several spellings of the
 * same bytes, and a session must have one name only.
 */
export function idBytes(id: string): Buffer | null {
  const bytes = Buffer.from(id, 'base64url')
  return bytes.length === 16 && base64url(bytes) === id ? bytes : null
}

/** The id of these bytes. */
export const idText = base64url
