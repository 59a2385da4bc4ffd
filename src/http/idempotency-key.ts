// Reads the header `Idempotency-Key`: the client's name for one refresh.

import { DaypassError } from '../errors.ts'
import type { HttpRequest } from './request.ts'

/** The key of this refresh and, in the cookie transport, of the last one that the client completed. */
export interface RefreshKeys {
  idempotencyKey?: string
  previousKey?: string
}

// A structured-field string with parameters (RFC 8941 §3.3.3, draft-ietf-httpapi-idempotency-key-header §2.1);
// a bare word too, because that is what people type.
const syntax =
  /^(?:"([\x21\x23-\x5b\x5d-\x7e]+)"|([\w.~+/=-]+))((?:\s*;\s*[a-z*][\w.*-]*(?:="[\x21\x23-\x5b\x5d-\x7e]*")?)*)$/
const previous = /;\s*previous="([^"]+)"/

/** Reads `Idempotency-Key: "k3"; previous="k2"`. Throws `ERR_IDEMPOTENCY_KEY_INVALID`. */
export function readRefreshKeys(request: HttpRequest): RefreshKeys {
  const values = request.headers('idempotency-key')
  if (values.length === 0) return {}
  // Two headers are one error, whether the adapter gives them apart or joined.
  const text = values.join(', ')
  const [, quoted, bare, parameters = ''] = (text.length > 600 ? null : syntax.exec(text.trim())) ?? []
  const idempotencyKey = quoted ?? bare
  if (idempotencyKey === undefined) throw new DaypassError('ERR_IDEMPOTENCY_KEY_INVALID')
  const previousKey = previous.exec(parameters)?.[1]
  return previousKey === undefined ? { idempotencyKey } : { idempotencyKey, previousKey }
}
