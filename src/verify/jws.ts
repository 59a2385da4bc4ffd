// Parses compact JWSs and checks their signatures (RFC 7515, RFC 8725).

import { compactVerify } from 'jose'
import { DaypassError } from '../errors.ts'
import { invalid } from './access-token.ts'
import { parseStrictObject } from './json.ts'
import { algorithms, type VerificationKey } from './keys.ts'

/** The members of a JWS header that are used. */
export interface JwsHeader {
  alg: string
  kid: string | undefined
  /** Unchecked: the caller must check it. */
  typ: unknown
}

const maxLength = 16_384
const compact = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/

/** Reads the header. Makes all checks that need no cryptography and no I/O. */
export function readHeader(text: string): JwsHeader {
  if (text.length > maxLength || !compact.test(text)) throw invalid('not a compact JWS')
  const parts = text.split('.')
  if (!parts.every(isCanonical)) throw invalid('base64url with stray bits')
  const [encoded = ''] = parts
  const header = parseStrictObject(decode(encoded))
  if (header === undefined) throw invalid('its header is not one plain JSON object')
  const { alg, typ, crit, kid, b64 } = header
  if (typeof alg !== 'string' || !algorithms.has(alg)) throw invalid('its algorithm is not allowed')
  if (crit !== undefined || b64 !== undefined) throw invalid('it has unknown extensions')
  if (kid !== undefined && typeof kid !== 'string') throw invalid('its kid is not a string')
  return { alg, kid, typ }
}

/** Checks the signature with exactly this algorithm and returns the payload. Throws `ERR_ACCESS_TOKEN_INVALID`. */
export async function readSigned(text: string, key: VerificationKey, alg: string): Promise<Uint8Array> {
  try {
    return (await compactVerify(text, key, { algorithms: [alg] })).payload
  } catch (cause) {
    throw new DaypassError('ERR_ACCESS_TOKEN_INVALID', undefined, { cause })
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
  return Uint8Array.from(atob(part.replaceAll('-', '+').replaceAll('_', '/')), (character) => character.charCodeAt(0))
}
