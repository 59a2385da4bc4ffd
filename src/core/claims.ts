// Checks the app's own claims before they go into access tokens.

import { Buffer } from 'node:buffer'
import { DaypassError } from '../errors.ts'
import { registeredClaims } from '../verify/access-token.ts'
import { parseStrictObject } from '../verify/json.ts'
import type { ClaimsSchema } from './options.ts'
import type { Claims } from './session.ts'
import { isStorable } from './text.ts'

const maxClaimsLength = 4096

/**
 * Checks an app's claims, with its schema if there is one. Returns a copy as every store will return it: plain JSON,
 * without dates and undefined members.
 *
 * @throws DaypassError `ERR_CLAIMS_INVALID`.
 */
export async function readClaims<C>(given: C | undefined, schema: ClaimsSchema<C> | undefined): Promise<Claims> {
  let claims: unknown = given === undefined ? {} : given
  if (schema !== undefined) {
    const result = await schema['~standard'].validate(claims)
    if (result.issues) {
      const reasons = result.issues.map((issue) => issue.message).join('; ')
      throw new DaypassError('ERR_CLAIMS_INVALID', `The claims do not fit their schema: ${reasons}`)
    }
    claims = result.value
  }
  if (typeof claims !== 'object' || claims === null || Array.isArray(claims)) {
    throw new DaypassError('ERR_CLAIMS_INVALID', 'The claims must be a plain object.')
  }
  const reserved = Object.keys(claims).find((name) => registeredClaims.has(name))
  if (reserved !== undefined) {
    throw new DaypassError(
      'ERR_CLAIMS_INVALID',
      `The claim "${reserved}" belongs to the protocol; name yours otherwise.`,
    )
  }
  const json = toJson(claims)
  const bytes = Buffer.from(json)
  if (bytes.length > maxClaimsLength) {
    throw new DaypassError('ERR_CLAIMS_INVALID', `The claims are over ${maxClaimsLength} bytes of JSON.`)
  }
  // In JSON, NUL and unpaired surrogates are escaped.
  if (!isStorable(json)) throw new DaypassError('ERR_CLAIMS_INVALID', 'The claims contain U+FFFE or U+FFFF.')
  // Reject claims that a verifier would reject: otherwise every refresh of the session would return an invalid token.
  const copy = parseStrictObject(bytes)
  if (copy === undefined) {
    throw new DaypassError(
      'ERR_CLAIMS_INVALID',
      'The claims are nested too deeply, or have a member named "__proto__".',
    )
  }
  return copy
}

function toJson(claims: object): string {
  try {
    return JSON.stringify(claims)
  } catch (cause) {
    throw new DaypassError('ERR_CLAIMS_INVALID', 'The claims must be plain JSON.', { cause })
  }
}
