// Parses compact JWSs (RFC 7515, RFC 8725).

import { invalid } from './access-token.ts'
import { parseStrictObject } from './json.ts'
import { algorithms } from './jwk.ts'
import { node } from './node.ts'

/** A JWS. Nothing of it is verified yet. */
export interface Jws {
  /** All of it, as it came. */
  text: string
  /** The part of the text that the signature covers: header and payload (RFC 7515 §5.2). */
  signed: string
  alg: string
  kid: string | undefined
  /** Unchecked: the caller must check it. */
  typ: unknown
  payload: Uint8Array
  signature: Uint8Array
}

const maxLength = 16_384
const compact = /^([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)$/

/** Makes all checks that need no cryptography and no I/O. Throws `ERR_ACCESS_TOKEN_INVALID`. */
export function parseJws(text: string): Jws {
  const parts = text.length > maxLength ? null : compact.exec(text)?.slice(1)
  if (parts == null) throw invalid('not a compact JWS')
  if (!parts.every(isCanonical)) throw invalid('base64url with stray bits')
  const [header = '', payload = '', signature = ''] = parts
  const signed = text.slice(0, header.length + 1 + payload.length)
  return { ...readHeader(header), text, signed, payload: decode(payload), signature: decode(signature) }
}

const readHeader = rememberLast((encoded): Pick<Jws, 'alg' | 'kid' | 'typ'> => {
  const header = parseStrictObject(decode(encoded))
  if (header === undefined) throw invalid('its header is not one plain JSON object')
  const { alg, typ, crit, kid, b64 } = header
  if (typeof alg !== 'string' || !algorithms.has(alg)) throw invalid('its algorithm is not allowed')
  if (crit !== undefined || b64 !== undefined) throw invalid('it has unknown extensions')
  if (kid !== undefined && typeof kid !== 'string') throw invalid('its kid is not a string')
  return { alg, kid, typ }
})

/** Remembers the last result: all tokens of one key have the same header, to the letter. */
function rememberLast<T>(read: (text: string) => T): (text: string) => T {
  let last: { text: string; value: T } | undefined
  return (text) => {
    if (last?.text !== text) last = { text, value: read(text) }
    return last.value
  }
}

/** Whether the unused bits of the last character are zero. Otherwise one token would have several encodings. */
function isCanonical(part: string): boolean {
  const rest = part.length % 4
  if (rest === 0) return true
  if (rest === 1) return false
  const stray = rest === 2 ? 0b1111 : 0b11
  return (alphabet.indexOf(part.slice(-1)) & stray) === 0
}

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'

function decode(part: string): Uint8Array {
  if (node !== undefined) return node.Buffer.from(part, 'base64url')
  return Uint8Array.from(atob(part.replaceAll('-', '+').replaceAll('_', '/')), (character) => character.charCodeAt(0))
}
