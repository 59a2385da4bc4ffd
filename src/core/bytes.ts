// Byte arrays as Buffers and as text.

import { Buffer } from 'node:buffer'

/** The same bytes as a Buffer; nothing is copied. */
export const bufferOf = (bytes: Uint8Array): Buffer =>
  bytes instanceof Buffer ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

/** Base64url without padding (RFC 4648 §5). */
export const base64url = (bytes: Uint8Array): string => bufferOf(bytes).toString('base64url')
